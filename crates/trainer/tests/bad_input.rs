//! Each thing that can be wrong has one clear line and its own exit code.

mod support;

use std::fs;

use dataset::Split;
use store::DatasetId;
use support::{N, Place, fail, receive, succeed};

#[test]
fn flags_that_no_run_can_have_are_usage_errors() {
    let place = Place::received();
    for flags in [["--learning-rate", "NaN"], ["--rounds", "0"], ["--partitions", "0"]] {
        let output = place.train("run", &flags).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {stderr}");
        assert!(stderr.lines().next().unwrap().contains(flags[1]), "{flags:?}: {stderr}");
    }
    assert!(!place.path("run").exists());
}

#[test]
fn more_partitions_than_samples_are_refused() {
    let place = Place::received();
    let line = "250 samples cannot fill 251 partitions; give --partitions 250 or fewer";
    fail(&mut place.train("run", &["--partitions", "251"]), 64, line);
    let line = "do not fit into memory together; give --partitions 1024 or fewer";
    fail(&mut place.train("run", &["--partitions", "1025"]), 64, line);
    assert!(!place.path("run").exists());
}

#[test]
fn a_chunk_directory_that_is_missing_or_late_is_refused() {
    let place = Place::new();
    fail(&mut place.train("run", &["--wait", "0s"]), 65, "chunk directory `chunks` does not exist; start a receiver");
    fs::create_dir(place.path("chunks")).unwrap();
    let line = "chunk directory `chunks` is still not complete after 0s; start a receiver and its senders";
    fail(&mut place.train("run", &["--wait", "0s"]), 69, line);
}

#[test]
fn a_chunk_directory_without_samples_is_refused() {
    let place = Place::new();
    place.receive(100, &[("one", 0, 0)]);
    fail(&mut place.train("run", &[]), 65, "chunk directory `chunks` holds no samples");
}

#[test]
fn samples_of_another_run_are_refused() {
    let place = Place::received(); // For no run in particular.
    let line =
        "chunk directory `chunks` holds samples that were received for no run in particular, not for run 1f; give";
    fail(&mut place.train("run", &["--run-id", "1f"]), 73, line);
    assert!(!place.path("run").exists());
}

#[test]
fn a_run_that_is_resumed_by_hand_knows_which_samples_are_its_own() {
    let place = Place::received(); // For no run in particular.
    place.hash_of("run", &["--rounds", "1"]);
    fs::write(place.path("run/run.id"), "1f").unwrap(); // As an orchestrator leaves it.
    let resume = ["--resume", "run", "--rounds", "2", "--test-data", "blobs"];
    fail(&mut place.command(&resume), 73, "were received for no run in particular, not for run 1f; give each run");
    fs::remove_file(place.path("run/run.id")).unwrap();
    succeed(&mut place.command(&resume));
}

#[test]
fn a_dataset_is_read_without_a_folder_for_temporary_files() {
    let place = Place::received();
    place.hash_of("run", &["--rounds", "1"]);
    succeed(place.command(&["evaluate", "run", "--test-data", "blobs"]).env("TMPDIR", place.path("no/such/folder")));
    succeed(place.train("other", &["--rounds", "1"]).env("TMPDIR", place.path("no/such/folder")));
}

#[test]
fn a_damaged_chunk_directory_is_refused_and_the_file_named() {
    let place = Place::received();
    let chunk = fs::read_dir(place.path("chunks")).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).min().unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    fail(&mut place.train("run", &[]), 65, chunk.file_name().unwrap().to_str().unwrap());
    fs::write(place.path("chunks/_SUCCESS"), "{}").unwrap();
    fail(&mut place.train("run", &[]), 65, "_SUCCESS` is damaged");
}

#[test]
fn a_run_folder_that_cannot_be_written_or_is_taken_is_refused() {
    let place = Place::received();
    fs::write(place.path("file"), "").unwrap();
    fail(&mut place.train("file/run", &[]), 74, "failed to create run folder `file/run`");
    place.hash_of("run", &["--rounds", "1"]);
    fail(&mut place.train("run", &[]), 73, "already holds checkpoints; go on with them by --resume run");
}

#[test]
fn a_test_set_that_is_missing_not_chosen_or_the_training_data_is_refused() {
    let place = Place::received();
    let mut command = place.command(&["--dir", "chunks"]);
    fail(&mut command, 65, "failed to load the test set (--test-data): `data/mnist` is not there");

    dataset::write_idx(&place.path("shoes"), Split::Test, &[0; 784], &[3]).unwrap();
    let line = "the test set in `shoes` belongs to other samples, of `shoes`, than those received, of `blobs`";
    fail(place.command(&["--dir", "chunks"]).env("MNIST_DIR", "shoes"), 65, line);
    // Nor is a folder's name enough.
    fail(place.command(&["--dir", "chunks"]).env("MNIST_DIR", "blobs"), 65, "belongs to other samples");

    let digest = dataset::load(&place.path("blobs"), Split::Test).unwrap().digest();
    let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    receive(&place.path("chunks"), &DatasetId { name: "blobs".into(), digest }, 0, 100, &[("one", 0, N)]);
    fail(&mut place.train("run", &[]), 65, "the samples received are the test set in `blobs` itself");

    fs::write(place.path("blobs/t10k-labels-idx1-ubyte"), "short").unwrap();
    fail(&mut place.train("run", &[]), 65, "t10k-labels-idx1-ubyte");
    assert!(!place.path("run").exists());
}

#[test]
fn a_learning_rate_that_is_too_high_ends_the_run_and_names_the_partition() {
    let place = Place::received();
    let line =
        "training diverged in round 1, partition 0: a loss or weight is not finite; try a smaller --learning-rate";
    fail(&mut place.train("run", &["--learning-rate", "1e30", "--optimizer", "sgd"]), 64, line);
    // A single step's loss is that before the step, and its weights may be merely huge.
    let flags = ["--learning-rate", "1e20", "--optimizer", "sgd", "--batch-size", "full"];
    fail(&mut place.train("one step", &flags), 64, "training diverged in round 1, seen on the test set");
}

#[test]
fn a_checkpoint_of_another_configuration_or_of_other_data_is_refused() {
    let place = Place::received();
    place.hash_of("run", &[]);
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    for (flag, value, line) in [
        ("--seed", "7", "round-002.safetensors` was trained with --seed 42, not 7; resume it as it was"),
        ("--batch-size", "full", "was trained with --batch-size 16, not full"),
        ("--weighting", "uniform", "was trained with --weighting samples, not uniform"),
    ] {
        fail(&mut place.command(&["--resume", "run", flag, value]), 65, line);
    }
    fail(&mut place.command(&["--resume", "run", "--rounds", "1"]), 64, "already has 2 rounds; --rounds 1 is fewer");
    place.receive(100, &[("one", 0, N - 1)]);
    fail(&mut place.command(&["--resume", "run"]), 65, "was trained on other data (digest ");
    assert_eq!(fs::read_to_string(place.path("run/config.toml")).unwrap(), config, "a refusal changes nothing");
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_still_serves() {
    let place = Place::received();
    let hash = place.hash_of("run", &[]);
    let newest = place.path("run/checkpoints/round-002.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let line = "round-002.safetensors` is damaged; remove it to resume from the checkpoint before";
    fail(&mut place.command(&["--resume", "run"]), 65, line);
    fs::write(&newest, &bytes[..1000]).unwrap();
    fail(&mut place.command(&["--resume", "run"]), 65, "round-002.safetensors");
    fs::remove_file(&newest).unwrap();
    succeed(&mut place.command(&["--resume", "run"]));
    assert_eq!(place.summary("run")["model_sha256"], hash.as_str());
}

#[test]
fn a_damaged_model_is_not_evaluated() {
    let place = Place::received();
    place.hash_of("run", &["--rounds", "1"]);
    for name in ["run/final_cnn_model.safetensors", "run/checkpoints/round-001.safetensors"] {
        let mut bytes = fs::read(place.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(place.path(name), bytes).unwrap();
        let line = format!("`{name}` is damaged; replace it, or name another model: its digest does not match");
        fail(&mut place.command(&["evaluate", name, "--test-data", "blobs"]), 65, &line);
    }
}

#[test]
fn a_run_that_is_none_cannot_be_resumed() {
    let place = Place::received();
    fail(&mut place.command(&["--resume", "nowhere"]), 74, "failed to read `nowhere/config.toml`");
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("run/config.toml"), "rounds = ").unwrap();
    fail(&mut place.command(&["--resume", "run"]), 65, "`run/config.toml` is not TOML");
    fs::write(place.path("run/config.toml"), "rounds = 0").unwrap();
    let output = place.command(&["--resume", "run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: `run/config.toml`: invalid value '0'"));
}

#[test]
fn a_model_that_is_none_cannot_be_evaluated() {
    let place = Place::new();
    fail(&mut place.command(&["evaluate", "absent.pth"]), 74, "there is no model `absent.pth`; name a ");
    fail(&mut place.command(&["evaluate", "blobs"]), 65, "there is no model in `blobs`");
    let labels = "blobs/t10k-labels-idx1-ubyte";
    fail(&mut place.command(&["evaluate", labels]), 65, "does not hold usable weights");
}

#[test]
fn a_model_with_a_weight_that_is_not_finite_is_of_no_use() {
    let place = Place::received();
    let mut weights = model::StateDict::init(1);
    *weights.values_mut().last_mut().unwrap() = f32::NAN;
    fs::write(place.path("nan.safetensors"), weights.to_safetensors(&Default::default())).unwrap();
    let line = "nan.safetensors` is of no use: its tensor `fc2.bias` has a weight that is infinite or not a number";
    fail(&mut place.command(&["evaluate", "nan.safetensors", "--test-data", "blobs"]), 65, line);
    let images = "blobs/t10k-images-idx3-ubyte";
    fail(&mut place.command(&["predict", images, "--model", "nan.safetensors"]), 65, line);
    fail(&mut place.train("run", &["--init", "nan.safetensors"]), 65, line);
    assert!(!place.path("run").exists());
}

#[test]
fn a_model_is_tested_on_another_dataset_only_when_that_is_asked_for() {
    let place = Place::received();
    place.hash_of("run", &["--rounds", "1"]);
    dataset::write_idx(&place.path("shoes"), Split::Test, &[0; 784], &[3]).unwrap();
    let line = "was trained on dataset `blobs`, but the test set in `shoes` belongs to `shoes`; name the folder of the one to \
                measure by with --test-data";
    for model in ["run", "run/checkpoints/round-001.safetensors"] {
        fail(place.command(&["evaluate", model]).env("MNIST_DIR", "shoes"), 65, line);
        let said = succeed(&mut place.command(&["evaluate", model, "--test-data", "shoes"]));
        assert!(said.contains("\ntest set       shoes, 1 sample; the model was trained on `blobs`\n"), "{said}");
    }
    let said = succeed(&mut place.command(&[
        "--dir",
        "chunks",
        "--rounds",
        "1",
        "--test-data",
        "shoes",
        "--run-dir",
        "other",
    ]));
    assert!(said.contains(" 1 test sample of `shoes`, which is not the data's own test set"), "{said}");
    // What a run was measured by is known by its content, not by its folder.
    fs::rename(place.path("shoes"), place.path("boots")).unwrap();
    fail(
        &mut place.command(&["report", "other", "--test-data", "blobs"]),
        65,
        "is not that of run `other`, of dataset `shoes`",
    );
    succeed(&mut place.command(&["report", "other", "--test-data", "boots"]));
}

#[test]
fn a_test_set_belongs_to_the_samples_beside_it_whatever_their_folder_is_called() {
    let place = Place::new();
    dataset::write_idx(&place.path("blobs"), Split::Train, &[7; 784], &[3]).unwrap();
    let digest = dataset::check(&place.path("blobs"), Split::Train).unwrap().digest;
    let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    receive(&place.path("chunks"), &DatasetId { name: "smudges".into(), digest }, 0, 100, &[("one", 0, N)]);
    let mut command = place.command(&["--dir", "chunks", "--rounds", "1", "--partitions", "2", "--run-dir", "run"]);
    succeed(command.env("MNIST_DIR", "blobs"));
}

#[cfg(not(feature = "spark"))]
#[test]
fn a_trainer_built_without_spark_says_how_to_get_it() {
    let place = Place::received();
    let line = "built without Spark; build one with it (needs protoc): cargo build -p trainer --features spark";
    fail(&mut place.train("run", &["--engine", "spark"]), 64, line);
    assert!(!place.path("run").exists());
}
