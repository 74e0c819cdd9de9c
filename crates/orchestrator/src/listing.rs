//! A listing: the flags of a run as a configuration file that people read, in the order and under the headings of
//! `--help`. [`effective`] says where each value comes from, [`explained`] what each key means.

use std::{ffi::OsString, fmt::Write};

use clap::{Arg, ArgAction, CommandFactory};
use flags::{
    Dataset, EngineName,
    layers::{self, Error, Origin},
};
use toml::Value;

use crate::config::{
    Config,
    file::{NOT_KEYS, values},
};

/// Width of the lines that explain a key.
const WIDTH: usize = 100;

/// The configuration of a run with these arguments (the program's name first), as a file for `--config`, each value with
/// its origin in a comment.
///
/// # Errors
/// For wrong flags and files, and paths that are not UTF-8.
pub fn effective(arguments: &[OsString]) -> Result<String, Error> {
    let (config, layers) = Config::load_with_layers(arguments)?;
    let origins = layers::origins::<Config>(arguments, &layers)?;
    let values = values(&config).map_err(|error| Error::Layer(format!("{error:#}")))?;
    let lines = |keys: Vec<Arg>| -> Vec<(String, String)> {
        let names = keys.iter().filter_map(Arg::get_long).filter(|name| *name != "preset");
        names.map(|name| line(name, values.get(name), &origins[name], &config)).collect()
    };
    let sections: Vec<_> = sections().into_iter().map(|(heading, keys)| (heading, lines(keys))).collect();
    let width = sections.iter().flat_map(|(_, lines)| lines).map(|(text, _)| text.chars().count()).max().unwrap_or(0);
    let mut out = "# What a run would be started with. `orchestrator --config FILE` does it.\n".to_owned();
    for (heading, lines) in sections {
        let _ = writeln!(out, "\n# --- {heading} ---"); // Writing to a string cannot fail.
        for (text, origin) in lines {
            let _ = writeln!(out, "{text:<width$}  # {origin}");
        }
    }
    Ok(out)
}

/// Every key that a configuration file can have, with its meaning and its default, as such a file.
pub fn explained() -> String {
    let mut out = "# Every key of a configuration file, with its default; `orchestrator config --explain` prints this.\n\
                   # Each is a flag of the same name, which wins over the file. Keep what you need and leave out the rest.\n"
        .to_owned();
    for (heading, keys) in sections() {
        let _ = writeln!(out, "\n# --- {heading} ---");
        keys.iter().for_each(|key| explain(&mut out, key));
    }
    out
}

/// The flags that can be keys of a file, under their headings.
fn sections() -> Vec<(String, Vec<Arg>)> {
    let mut sections: Vec<(String, Vec<Arg>)> = Vec::new();
    let command = Config::command();
    for key in command.get_arguments().filter(|key| key.get_long().is_some_and(|name| !NOT_KEYS.contains(&name))) {
        let heading = key.get_help_heading().unwrap_or("Options");
        match sections.iter_mut().find(|(known, _)| known == heading) {
            Some((_, keys)) => keys.push(key.clone()),
            None => sections.push((heading.to_owned(), vec![key.clone()])),
        }
    }
    sections
}

/// A key with its value, or that it has none; and the origin of that.
fn line(name: &str, value: Option<&Value>, origin: &Origin, config: &Config) -> (String, String) {
    let from = match origin {
        Origin::Flag => "flag".to_owned(),
        Origin::Layer(layer) => layer.escape_debug().to_string(), // A path may hold a line break.
        Origin::Default if name == "partitions" => "default: CPU cores".to_owned(),
        Origin::Default if name == "test-data" && value.is_some() => "default: as data".to_owned(),
        Origin::Default => "default".to_owned(),
    };
    let set = |value: &Value, origin: &str| (format!("{name} = {value}"), origin.to_owned());
    let unset = |origin: &str| (format!("# {name} is not set"), origin.to_owned());
    let mnist = dataset::environment().filter(|_| config.streaming.dataset != Dataset::Generated);
    match (name, value) {
        (_, Some(value)) => set(value, &from),
        ("data" | "test-data", None) => match mnist {
            Some(dir) => set(&dir.display().to_string().into(), "environment: $MNIST_DIR"),
            None if config.streaming.dataset == Dataset::Generated => unset("default: data/generated"),
            None => unset("default: data/mnist, where MNIST is downloaded to if need be"),
        },
        ("spark-remote", None) if config.engine.engine == EngineName::Spark => unset("default: a Spark of its own"),
        ("spark-dir", None) => unset("default: as dir"),
        (_, None) => unset(&from),
    }
}

fn explain(out: &mut String, key: &Arg) {
    let name = key.get_long().unwrap_or_default();
    let help = key.get_long_help().or(key.get_help()).map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = match key.get_action() {
        ArgAction::Set => key.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        _ => Vec::new(),
    };
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if !values.is_empty() {
        let _ = write!(text, ". One of: {}", values.join(", "));
    }
    out.push('\n');
    for line in wrap(&text) {
        let _ = writeln!(out, "# {line}");
    }
    let _ = match key.get_default_values().first() {
        Some(default) => writeln!(out, "{name} = {}", as_value(&default.to_string_lossy())),
        None => writeln!(out, "# {name} = {}", placeholder(key, &text)),
    };
}

/// What is typed as a flag, as a value of TOML.
fn as_value(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(integer), _) => integer.into(),
        (_, Ok(float)) => float.into(),
        _ => text.into(),
    }
}

/// What stands for a value that has no default of its own: the one that `help` ends with, if it is a value; else an example.
fn placeholder(key: &Arg, help: &str) -> String {
    let told = help.rsplit_once("[default: ").and_then(|(_, told)| told.strip_suffix(']'));
    if let Some(told) = told.filter(|told| told.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')) {
        return as_value(told).to_string();
    }
    if matches!(key.get_action(), ArgAction::SetTrue) {
        return "true".into();
    }
    match key.get_possible_values().first() {
        Some(value) => format!("\"{}\"", value.get_name()),
        None => match key.get_value_names().and_then(|names| names.first()) {
            Some(name) if name.as_str() == "N" => "2".into(),
            Some(name) => format!("\"{name}\""),
            None => "true".into(),
        },
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.len() + 1 + word.len() <= WIDTH) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::config::{
        file::text,
        tests::{arguments, config},
    };

    fn list(flags: &[&str]) -> String {
        effective(&arguments(flags)).unwrap()
    }

    #[track_caller]
    fn check_line(text: &str, start: &str, origin: &str) {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"));
        assert_eq!(line.split_once("  # ").unwrap().1, origin, "{line}");
    }

    #[test]
    fn flag_beats_file_beats_preset_beats_default_and_each_value_says_where_it_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        fs::write(&file, "rounds = 7\npreset = \"fast\"\nsamples = 50\n").unwrap();
        let name = file.to_str().unwrap();
        let text = list(&["--config", name, "--samples", "100"]);
        check_line(&text, "samples = 100 ", "flag");
        check_line(&text, "rounds = 7 ", name);
        check_line(&text, "batch-size = 64 ", "preset fast");
        check_line(&text, "seed = 42 ", "default");
        check_line(&list(&[]), "partitions = ", "default: CPU cores");
        check_line(&list(&["--data=a"]), "test-data = \"a\" ", "default: as data");
        check_line(&list(&["--dataset=generated"]), "# data is not set ", "default: data/generated");
    }

    #[test]
    fn a_listing_and_a_runs_configuration_are_files_that_give_the_same_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        for flags in [
            &["--preset=original"][..],
            &["--preset=fast", "--samples=100"],
            &["--data=a \"b\"\n#\t\\", "--learning-rate=1e-7", "--seed=18446744073709551615"],
            &["--dataset=generated", "--engine=spark", "--worker-command=a # b"],
            &["--live", "--endless", "--replay=reservoir:500", "--drift-delta=0.1"],
        ] {
            for written in [list(flags), text(&config(flags)).unwrap()] {
                fs::write(&file, written).unwrap();
                let repeated = config(&["--config", file.to_str().unwrap()]);
                let mut expect = config(flags);
                // The environment's directory is written out, so that a listing does not depend on it.
                if dataset::environment().is_some() {
                    expect.streaming.data = expect.streaming.data.or(repeated.streaming.data.clone());
                    expect.training.test_data = expect.training.test_data.or(repeated.training.test_data.clone());
                }
                assert_eq!(values(&repeated).unwrap(), values(&expect).unwrap());
            }
        }
    }

    #[test]
    fn the_example_with_every_key_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/every-key.toml");
        let advice = "write it anew: cargo run --bin orchestrator -- config --explain > examples/every-key.toml";
        assert_eq!(fs::read_to_string(path).unwrap_or_default(), explained(), "{advice}");
    }

    #[test]
    fn every_key_is_explained_and_the_defaults_are_the_defaults() {
        let text = explained();
        for key in sections().into_iter().flat_map(|(_, keys)| keys) {
            let name = key.get_long().unwrap();
            let is_key = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
            assert_eq!(text.lines().filter(|line| is_key(line)).count(), 1, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        fs::write(&file, &text).unwrap();
        let loaded = config(&["--config", file.to_str().unwrap()]);
        assert_eq!(values(&loaded).unwrap(), values(&config(&[])).unwrap());
    }
}
