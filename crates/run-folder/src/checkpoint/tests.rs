use event::Prequential;
use weights::SIMPLE_CNN;

use super::*;
use crate::{Listed, record::PartitionRecord};

fn checkpoint() -> Checkpoint {
    let flags = vec![("seed".into(), "42".into()), ("partitions".into(), "2".into())];
    let origin = Origin { flags, data: "ab".repeat(32), dataset: "mnist".into() };
    Checkpoint {
        origin,
        history: vec![Record::example(1), Record::example(2)],
        unlisted: Sums::default(),
        global: SIMPLE_CNN.init(1),
        position: None,
        server: ServerState::default(),
    }
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(CHECKPOINTS)).unwrap();
    let path = dir.path().join(CHECKPOINTS).join(checkpoint().file_name());
    fs::write(&path, checkpoint().to_bytes().unwrap()).unwrap();
    (dir, path)
}

fn read(path: &Path) -> Result<Checkpoint, Error> {
    Checkpoint::read(path, &SIMPLE_CNN, &checkpoint().origin)
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    let (dir, path) = written();
    assert_eq!(newest(dir.path()).unwrap().unwrap(), path);
    assert!(path.ends_with("round-002.safetensors"));
    assert_eq!(read(&path).unwrap(), checkpoint());
}

#[test]
fn what_the_server_remembers_comes_back_and_only_then_the_format_is_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("round-002.safetensors");
    let list = |value: f64| vec![value; SIMPLE_CNN.weights()];
    let server = ServerState::from([("m".into(), list(0.1 + 0.2)), ("v".into(), list(1e-6))]);
    let checkpoint = Checkpoint { server, ..checkpoint() };
    fs::write(&path, checkpoint.to_bytes().unwrap()).unwrap();
    assert_eq!(read(&path).unwrap(), checkpoint);
    assert_eq!(checkpoint.metadata()[seal::FORMAT], "tributary checkpoint 2");
    assert_eq!(self::checkpoint().metadata()[seal::FORMAT], "tributary checkpoint 1");
    let short = Checkpoint { server: ServerState::from([("v".into(), vec![0.5; 7])]), ..checkpoint };
    fs::write(&path, short.to_bytes().unwrap()).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("its `v` has 7 numbers, not 421642"), "{error}");
}

#[test]
fn a_checkpoint_that_lists_the_newest_rounds_is_that_of_all_its_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoint = checkpoint();
    let sums = checkpoint.sums();
    assert!(!checkpoint.metadata().contains_key("unlisted"));
    let listed = Listed { rounds: 1, partitions: 0, drifts: 0 };
    checkpoint.unlisted.take_over(&mut checkpoint.history, listed);
    assert_eq!((checkpoint.history.len(), checkpoint.rounds(), checkpoint.sums()), (1, 2, sums));
    let path = dir.path().join("round-002.safetensors");
    fs::write(&path, checkpoint.to_bytes().unwrap()).unwrap();
    assert_eq!(read(&path).unwrap(), checkpoint);
}

#[test]
fn rounds_that_cannot_be_those_of_a_run_are_refused() {
    let unlisted = |rounds| Sums { rounds, ..Sums::default() };
    let records = |rounds: &[u32]| rounds.iter().map(|&round| Record::example(round)).collect();
    let (order, last) = ("its rounds are not one after the other", "it does not list its last round");
    for (unlisted, history, says) in [
        (unlisted(0), records(&[2]), order),
        (unlisted(1), records(&[1]), order),
        (unlisted(0), records(&[1, 3]), order),
        (unlisted(u32::MAX - 1), records(&[u32::MAX]), order),
        (unlisted(u32::MAX), records(&[0]), order),
        (unlisted(3), records(&[]), last),
        (Sums { drifts: 1, ..unlisted(0) }, records(&[]), last),
    ] {
        let metadata = Checkpoint { unlisted, history, ..checkpoint() }.metadata();
        assert_eq!(Checkpoint::decode(SIMPLE_CNN.zeros(), ServerState::default(), &metadata).unwrap_err(), says);
    }
}

#[test]
fn a_checkpoint_that_could_not_be_read_is_not_written() {
    let drifts = vec![u64::MAX; 1 << 20];
    let error = Checkpoint { history: vec![Record { drifts, ..Record::example(1) }], ..checkpoint() }.to_bytes();
    assert!(error.unwrap_err().to_string().ends_with("its header is longer than 16777216 bytes"));
}

#[test]
fn however_long_a_live_run_its_checkpoint_is_short() {
    let mut checkpoint = checkpoint();
    for round in 3..=5000 {
        let prequential = Prequential {
            position: u64::from(round) << 32,
            accuracy: 1.0 / 3.0,
            loss: 1.0 / 3.0,
            kappa: -1.0 / 3.0,
            fading_accuracy: 1.0 / 3.0,
        };
        let partition = PartitionRecord { n_samples: 123_456, train_loss: 1.0 / 3.0 };
        let record = Record {
            prequential: Some(prequential),
            partitions: vec![partition; 16],
            drifts: vec![u64::from(round) << 32; 9],
            ..Record::example(round)
        };
        checkpoint.history.push(record);
        checkpoint.unlisted.take_over(&mut checkpoint.history, Listed::LIVE);
    }
    let (rounds, header) = (checkpoint.rounds(), checkpoint.to_bytes().unwrap().len() - SIMPLE_CNN.bytes());
    assert!(rounds == 5000 && header < 1 << 20, "{rounds} rounds, {header} bytes");
}

#[test]
fn the_newest_checkpoint_is_that_of_the_highest_round_and_a_file_half_written_is_none() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(newest(dir.path()).unwrap(), None);
    let checkpoints = dir.path().join(CHECKPOINTS);
    fs::create_dir(&checkpoints).unwrap();
    for name in ["round-009.safetensors", "round-1000.safetensors", "round-999.safetensors"] {
        fs::write(checkpoints.join(name), "").unwrap();
    }
    for name in [".tmp-round-1001.safetensors", "round-1002.safetensors.bak", "round-01003.safetensors"] {
        fs::write(checkpoints.join(name), "").unwrap();
    }
    let all = all(dir.path()).unwrap();
    let names: Vec<_> = all.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["round-009.safetensors", "round-999.safetensors", "round-1000.safetensors"]);
    assert_eq!(newest(dir.path()).unwrap().as_ref(), all.last());
}

#[test]
fn any_changed_byte_is_an_error_that_names_the_file() {
    let (_dir, path) = written();
    let good = fs::read(&path).unwrap();
    let history = good.windows(7).position(|window| window == b"history").unwrap();
    for at in [0, 9, history + 30, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("round-002.safetensors"), "{error}");
        assert_eq!(error.exit_code(), 65);
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert!(read(&path).is_err());
    let renamed = path.with_file_name("round-003.safetensors");
    fs::write(&renamed, good).unwrap();
    let error = read(&renamed).unwrap_err().to_string();
    assert!(error.ends_with("it is the checkpoint of round 2, renamed"), "{error}");
}

#[test]
fn a_checkpoint_of_another_format_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = BTreeMap::from([("format".to_owned(), "tributary checkpoint 3".to_owned())]);
    let path = dir.path().join("round-001.safetensors");
    fs::write(&path, SIMPLE_CNN.init(1).to_safetensors(&metadata)).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("has the format `tributary checkpoint 3`") && !error.contains("damaged"), "{error}");
}

#[test]
fn a_run_from_before_the_native_step_goes_on_by_libtorchs() {
    let (_dir, path) = written();
    let with = |name: &str, value: &str| {
        let mut checkpoint = checkpoint();
        checkpoint.origin.flags.push((name.into(), value.into()));
        checkpoint
    };
    let read = |older: Checkpoint, step: &str| {
        fs::write(&path, older.to_bytes().unwrap()).unwrap();
        Checkpoint::read(&path, &SIMPLE_CNN, &with("step", step).origin)
    };
    assert_eq!(read(with("precision", "f32"), "libtorch").unwrap(), with("step", "libtorch"));
    for (older, step, says) in [
        (with("precision", "f32"), "native", "was trained with --step libtorch, not native; resume it as it was"),
        (with("precision", "bf16"), "libtorch", "was trained in bf16, which this version does not do; resume it with"),
    ] {
        let error = read(older, step).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn the_first_difference_is_named() {
    let stored = checkpoint().origin;
    let mut wanted = stored.clone();
    assert_eq!(wanted.difference(&stored), None);
    wanted.data = "cd".repeat(32);
    let what =
        "was trained on other data (digest abababababababab…) than the chunk directory holds (cdcdcdcdcdcdcdcd…)";
    assert_eq!(wanted.difference(&stored).unwrap(), what);
    wanted.flags[1].1 = "3".into();
    assert_eq!(wanted.difference(&stored).unwrap(), "was trained with --partitions 2, not 3");
    wanted.flags.remove(1);
    assert_eq!(wanted.difference(&stored).unwrap(), "was trained with --partitions 2, and not without");
    wanted.flags[0].0 = "rate".into();
    assert_eq!(wanted.difference(&stored).unwrap(), "does not say its --rate");
}
