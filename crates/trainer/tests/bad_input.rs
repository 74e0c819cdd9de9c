//! Each thing that can be wrong has one clear line and its own exit code.

mod support;

use std::fs;

use dataset::Split;
use support::{N, Place, blobs, fail, id, refuse, succeed};

#[test]
fn flags_that_no_run_can_have_are_usage_errors() {
    let place = Place::received();
    for flags in [["--learning-rate", "NaN"], ["--rounds", "0"], ["--partitions", "0"]] {
        refuse(&mut place.train("run", &flags), &flags);
    }
    for (partitions, line) in [
        ("251", "250 samples cannot fill 251 partitions; give --partitions 250 or fewer"),
        ("1025", "do not fit into memory together; give --partitions 1024 or fewer"),
    ] {
        fail(&mut place.train("run", &["--partitions", partitions]), 64, line);
    }
    refuse(&mut place.train("run", &["--strategy", "fedprox"]), &["--strategy", "`fedprox` is no strategy", "krum"]);
    let line = "--strategy krum:f=1 needs at least 5 partitions, and there are 3; give more --partitions";
    fail(&mut place.train("run", &["--strategy", "krum"]), 64, line);
    #[cfg(not(feature = "spark"))]
    {
        let line = "built without Spark; build one with it (needs protoc): cargo build -p trainer --features spark";
        fail(&mut place.train("run", &["--engine", "spark"]), 64, line);
    }
    assert!(!place.path("run").exists());
}

#[test]
fn a_chunk_directory_that_is_missing_late_or_empty_is_refused() {
    let place = Place::new();
    fail(&mut place.train("run", &["--wait", "0s"]), 65, "chunk directory `chunks` does not exist; start a receiver");
    fs::create_dir(place.path("chunks")).unwrap();
    let line = "chunk directory `chunks` is still not complete after 0s; start a receiver and its senders";
    fail(&mut place.train("run", &["--wait", "0s"]), 69, line);
    place.receive(100, &[("one", 0, 0)]);
    fail(&mut place.train("run", &[]), 65, "chunk directory `chunks` holds no samples");
}

#[test]
fn samples_of_another_run_are_refused_also_when_a_run_is_resumed_by_hand() {
    let place = Place::received(); // For no run in particular.
    let line = "holds samples that were received for no run in particular, not for run 1f; give each run a --dir";
    fail(&mut place.train("run", &["--run-id", "1f"]), 73, line);
    assert!(!place.path("run").exists());
    place.hash_of("run", &["--rounds", "1"]);
    fs::write(place.path("run/run.id"), "1f").unwrap(); // As an orchestrator leaves it.
    let resume = ["--resume", "run", "--rounds", "2", "--test-data", "blobs"];
    place.fails(&resume, 73, line);
    fs::remove_file(place.path("run/run.id")).unwrap();
    place.says(&resume);
}

#[test]
fn a_run_folder_that_cannot_be_written_or_is_taken_is_refused() {
    let place = Place::trained();
    fs::write(place.path("file"), "").unwrap();
    fail(&mut place.train("file/run", &[]), 74, "failed to create run folder `file/run`");
    fail(&mut place.train("run", &[]), 73, "already holds checkpoints; go on with them by --resume run");
}

#[test]
fn a_test_set_that_is_missing_not_chosen_or_the_training_data_is_refused() {
    let place = Place::received();
    let line = "failed to load the test set (--test-data): `data/mnist` is not there";
    place.fails(&["--dir", "chunks"], 65, line);

    dataset::write_idx(&place.path("shoes"), Split::Test, &[0; 784], &[3]).unwrap();
    let line = "the test set in `shoes` belongs to other samples, of `shoes`, than those received, of `blobs`";
    fail(place.command(&["--dir", "chunks"]).env("MNIST_DIR", "shoes"), 65, line);
    // Nor is a folder's name enough.
    fail(place.command(&["--dir", "chunks"]).env("MNIST_DIR", "blobs"), 65, "belongs to other samples");

    let digest = hex::encode(dataset::load(&place.path("blobs"), Split::Test).unwrap().digest());
    place.receive_of(id("blobs", digest), &blobs(0, N), 100, &[("one", 0, N)]);
    fail(&mut place.train("run", &[]), 65, "the samples received are the test set in `blobs` itself");

    fs::write(place.path("blobs/t10k-labels-idx1-ubyte"), "short").unwrap();
    fail(&mut place.train("run", &[]), 65, "t10k-labels-idx1-ubyte");
    assert!(!place.path("run").exists());
}

#[test]
fn a_checkpoint_of_another_configuration_or_of_other_data_is_refused() {
    let place = Place::received();
    place.hash_of("run", &[]);
    let config = place.read("run/config.toml");
    let line = "round-002.safetensors` was trained with --seed 42, not 7; resume it as it was";
    place.fails(&["--resume", "run", "--seed", "7"], 65, line);
    place.fails(&["--resume", "run", "--rounds", "1"], 64, "already has 2 rounds; --rounds 1 is fewer");
    place.receive(100, &[("one", 0, N - 1)]);
    place.fails(&["--resume", "run"], 65, "was trained on other data (digest ");
    assert_eq!(place.read("run/config.toml"), config, "a refusal changes nothing");
}

#[test]
fn a_damaged_model_is_refused_and_the_checkpoint_before_it_still_serves() {
    let place = Place::received();
    let hash = place.hash_of("run", &[]);
    let newest = "run/checkpoints/round-002.safetensors";
    for name in ["run/final_cnn_model.safetensors", newest] {
        place.damage(name);
        let line = format!("`{name}` is damaged; replace it, or name another model: its digest does not match");
        place.fails(&["evaluate", name, "--test-data", "blobs"], 65, &line);
    }
    let line = "round-002.safetensors` is damaged; remove it to resume from the checkpoint before";
    place.fails(&["--resume", "run"], 65, line);
    fs::remove_file(place.path(newest)).unwrap();
    place.resumes_to(&hash, "run", &[]);
}

#[test]
fn a_run_that_is_none_cannot_be_resumed() {
    let place = Place::received();
    place.fails(&["--resume", "nowhere"], 74, "failed to read `nowhere/config.toml`");
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("run/config.toml"), "rounds = ").unwrap();
    place.fails(&["--resume", "run"], 65, "`run/config.toml` is not TOML");
    fs::write(place.path("run/config.toml"), "rounds = 0").unwrap();
    refuse(&mut place.command(&["--resume", "run"]), &["`run/config.toml`: invalid value '0'"]);
}

#[test]
fn a_model_that_is_none_or_of_no_use_is_refused() {
    let place = Place::received();
    place.fails(&["evaluate", "absent.pth"], 74, "there is no model `absent.pth`; name a ");
    place.fails(&["evaluate", "blobs"], 65, "there is no model in `blobs`");
    place.fails(&["evaluate", "blobs/t10k-labels-idx1-ubyte"], 65, "does not hold usable weights");

    let mut weights = model::SIMPLE_CNN.init(1);
    *weights.values_mut().last_mut().unwrap() = f32::NAN;
    fs::write(place.path("nan.safetensors"), weights.to_safetensors(&Default::default())).unwrap();
    let line = "nan.safetensors` is of no use: its tensor `fc2.bias` has a weight that is infinite or not a number";
    place.fails(&["evaluate", "nan.safetensors", "--test-data", "blobs"], 65, line);
    place.fails(&["predict", "blobs/t10k-images-idx3-ubyte", "--model", "nan.safetensors"], 65, line);
    fail(&mut place.train("run", &["--init", "nan.safetensors"]), 65, line);
    assert!(!place.path("run").exists());
}

#[test]
fn a_model_is_tested_on_another_dataset_only_when_that_is_asked_for() {
    let place = Place::trained();
    dataset::write_idx(&place.path("shoes"), Split::Test, &[0; 784], &[3]).unwrap();
    let line = "was trained on dataset `blobs`, but the test set in `shoes` belongs to `shoes`; name the folder of the one to \
                measure by with --test-data";
    for model in ["run", "run/checkpoints/round-001.safetensors"] {
        fail(place.command(&["evaluate", model]).env("MNIST_DIR", "shoes"), 65, line);
        let said = place.says(&["evaluate", model, "--test-data", "shoes"]);
        assert!(said.contains("\ntest set       shoes, 1 sample; the model was trained on `blobs`\n"), "{said}");
    }
    let flags = ["--dir", "chunks", "--rounds", "1", "--test-data", "shoes", "--run-dir", "other"];
    let said = place.says(&flags);
    assert!(said.contains(" 1 test sample of `shoes`, which is not the data's own test set"), "{said}");
    // What a run was measured by is known by its content, not by its folder.
    fs::rename(place.path("shoes"), place.path("boots")).unwrap();
    let line = "is not that of run `other`, of dataset `shoes`";
    place.fails(&["report", "other", "--test-data", "blobs"], 65, line);
    place.says(&["report", "other", "--test-data", "boots"]);
}

#[test]
fn a_test_set_belongs_to_the_samples_beside_it_whatever_their_folder_is_called() {
    let place = Place::new();
    dataset::write_idx(&place.path("blobs"), Split::Train, &[7; 784], &[3]).unwrap();
    let digest = hex::encode(dataset::load(&place.path("blobs"), Split::Train).unwrap().digest());
    place.receive_of(id("smudges", digest), &blobs(0, N), 100, &[("one", 0, N)]);
    let mut command = place.command(&["--dir", "chunks", "--rounds", "1", "--partitions", "2", "--run-dir", "run"]);
    succeed(command.env("MNIST_DIR", "blobs"));
}
