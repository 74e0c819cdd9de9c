//! The files in `examples/` through the real program: what it prints of each is what the file claims to be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use orchestrator::config::Preset;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// What `orchestrator config` prints under these flags.
#[track_caller]
fn config(flags: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    let output = command.arg("config").args(flags).env("MNIST_DIR", "mnist").output().unwrap();
    assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The values of an example, as the program understands it.
#[track_caller]
fn example(name: &str) -> toml::Table {
    config(&["--config", folder().join(name).to_str().unwrap()]).parse().unwrap()
}

fn all() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let examples = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    examples.map(named).collect()
}

#[test]
fn every_example_is_a_configuration_and_none_has_a_value_that_it_does_not_give() {
    for (name, text) in all() {
        let given: toml::Table = text.parse().unwrap();
        let effective = example(&name);
        for (key, value) in given.iter().filter(|(key, _)| *key != "preset") {
            let same = effective[key] == *value || key == "spark-patience"; // Ten minutes are written in two ways.
            assert!(same, "{name}: {key} = {} instead of {value}", effective[key]);
        }
    }
}

#[test]
fn what_is_commented_out_of_an_example_is_a_configuration_too() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in all() {
        let is_value =
            |line: &str| line.starts_with("# ") && line[2..].parse::<toml::Table>().is_ok_and(|t| !t.is_empty());
        let lines = text.lines().map(|line| if is_value(line) { &line[2..] } else { line });
        let mut text: String = lines.flat_map(|line| [line, "\n"]).collect();
        if name == "every-key.toml" {
            text = text.replace("endless = true", ""); // It contradicts `samples`.
            // These say what a value looks like; a model to begin with must be there.
            for (placeholder, value) in [
                ("URL", "sc://host"),
                ("FILE|RUN", "."),
                ("WHAT", "landmark"),
                ("FACTOR", "0.5"),
                ("DELTA", "0.5"),
                ("ACCURACY", "0.5"),
            ] {
                text = text.replace(&format!("\"{placeholder}\""), &format!("\"{value}\""));
            }
        }
        let file = dir.path().join(&name);
        fs::write(&file, text).unwrap();
        config(&["--config", file.to_str().unwrap()]);
    }
}

#[test]
fn every_example_is_in_the_index() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    for name in all().keys() {
        assert!(index.contains(&format!("({name})")), "{name}");
    }
}

#[test]
fn every_preset_has_an_example_that_is_that_preset() {
    for preset in Preset::value_variants() {
        let preset = preset.to_possible_value().unwrap().get_name().to_owned();
        let expect: toml::Table = config(&["--preset", &preset]).parse().unwrap();
        assert_eq!(example(&format!("{preset}.toml")), expect);
    }
}

#[test]
fn the_examples_do_what_they_are_named_for() {
    assert_eq!(example("many-senders.toml")["senders"].as_integer(), Some(8));
    assert_eq!(example("live.toml")["live"].as_bool(), Some(true));
    assert_eq!(example("spark.toml")["engine"].as_str(), Some("spark"));
    assert!(example("quick-look.toml")["samples"].as_integer().unwrap() <= 2000);
    assert_eq!(example("accuracy.toml")["samples"].as_integer(), Some(60_000));
    let given: toml::Table = all()["exact-repetition.toml"].parse().unwrap();
    let data = ["samples", "offset"];
    let training = ["seed", "partitions", "rounds", "weighting"];
    let local = ["local-epochs", "batch-size", "learning-rate", "optimizer", "step"];
    for key in data.iter().chain(&training).chain(&local) {
        assert!(given.contains_key(*key), "{key} decides the model");
    }
}

#[test]
fn the_output_of_config_says_where_values_come_from_also_the_environments() {
    let text = config(&["--preset", "fast", "--samples", "100"]);
    assert!(text.contains("# flag\n") && text.contains("# preset fast\n"), "{text}");
    assert!(text.contains("data = \"mnist\"") && text.contains("# environment: $MNIST_DIR\n"), "{text}");
}
