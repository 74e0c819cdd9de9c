//! A live run: the same stream gives the same model and the same figures, however it arrived and whatever happened to the
//! trainer meanwhile.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use model::SIMPLE_CNN;
use run_folder::{Checkpoint, Listed, ServerState, checkpoint, seal};
use sample::Extent;
use serde_json::{Value, json};
use store::{Mode, Store};
use support::{N, Place, blobs, fail, id, succeed};

/// Slices of 60: four whole ones and one of 10 samples, fewer than it could have partitions.
const LIVE: [&str; 7] = ["--live", "--samples-per-round", "60", "--partitions", "12", "--drift-delta", "0.5"];

/// A trainer under way, and what it says.
struct Live {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Live {
    fn start(command: &mut Command) -> Live {
        let mut child = command.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Live { child, events }
    }

    /// Waits for an event of a round.
    #[track_caller]
    fn hears(&mut self, name: &str, round: u64) -> Value {
        loop {
            let line = self.events.next().expect("the trainer ended").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name && event["round"] == round {
                return event;
            }
        }
    }

    #[track_caller]
    fn ends(mut self) {
        self.events.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }

    fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Model and figures, without the times.
fn outcome(place: &Place, run: &str) -> (String, Vec<Vec<String>>) {
    let header: Vec<String> =
        place.read(&format!("{run}/rounds.csv")).lines().next().unwrap().split(',').map(String::from).collect();
    let is_kept = |name: &String| !name.ends_with("_seconds");
    let rows = place.rounds(run);
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().zip(&header).filter(|(_, name)| is_kept(name)).map(|(cell, _)| cell).collect());
    (place.summary(run)["model_sha256"].as_str().unwrap().to_owned(), rows.collect())
}

fn replayed(place: &Place, run: &str, flags: &[&str]) -> (String, Vec<Vec<String>>) {
    succeed(&mut place.train(run, &[&LIVE, flags].concat()));
    outcome(place, run)
}

#[test]
fn a_round_begins_when_its_slice_is_durable_and_a_replay_gives_the_same_bits() {
    let place = Place::new();
    let mut live = Live::start(&mut place.train("live", &LIVE)); // Before there is a directory.
    let mut store = Store::open(&place.path("chunks"), Mode::Fresh, 100).unwrap();
    store.open_stream("one", &id("blobs", "00".repeat(32)), Extent::range(0..N as u64)).unwrap();
    let samples = blobs(0, N);
    let mut write = |from: usize, to: usize| {
        store.append("one", from as u64, samples.slice(from..to)).unwrap();
        store.commit().unwrap();
    };
    write(0, 59);
    write(59, 60);
    let slice = live.hears("slice", 1);
    assert_eq!((&slice["position"], &slice["behind_samples"]), (&60.into(), &0.into()), "{slice}");
    let round = live.hears("round", 1);
    assert_eq!(round["prequential"]["position"], 60, "{round}");
    write(60, 150);
    live.hears("round", 2);
    write(150, 240);
    write(240, N);
    live.hears("round", 4);
    store.complete(None, 0.5).unwrap();
    live.ends();
    let (hash, rounds) = outcome(&place, "live");
    assert_eq!(rounds.len(), 5);
    assert_eq!(replayed(&place, "replay", &[]), (hash, rounds));
    let summary = &place.summary("live")["live"];
    assert_eq!((&summary["samples"], &summary["replay"]), (&N.into(), &"none".into()), "{summary}");
    assert_eq!(place.names("live/checkpoints"), ["round-004.safetensors", "round-005.safetensors"]);
}

#[test]
fn the_way_the_samples_arrived_changes_nothing_whatever_is_replayed() {
    for replay in ["none", "landmark", "sliding:70", "reservoir:50"] {
        let place = Place::received();
        let flags = ["--replay", replay];
        let plain = replayed(&place, "plain", &flags);
        place.receive(33, &[("c", 0, 80), ("b", 80, 100), ("a", 100, N)]);
        assert_eq!(replayed(&place, "three streams", &flags), plain, "{replay}");
        assert_ne!(replayed(&place, "other seed", &[&flags[..], &["--seed", "1"]].concat()).0, plain.0);
        let trained: Vec<u64> = place
            .read("plain/partitions.csv")
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(2).unwrap().parse().unwrap())
            .collect();
        let expect = match replay {
            "none" => 250,
            "landmark" => 60 + 120 + 180 + 240 + 250,
            "sliding:70" => 60 + 120 + 130 + 130 + 80,
            _ => 60 + 110 * 3 + 60,
        };
        assert_eq!(trained.iter().sum::<u64>(), expect, "{replay}");
    }
}

#[test]
fn a_trainer_killed_after_any_round_goes_on_to_the_same_bits() {
    let place = Place::received();
    let flags = ["--replay", "reservoir:50"];
    let whole = replayed(&place, "whole", &flags);
    for round in 1..5 {
        let run = format!("killed-{round}");
        let mut live = Live::start(&mut place.train(&run, &[&LIVE, &flags[..]].concat()));
        live.hears("round", round);
        live.killed();
        place.says(&["--resume", &run]);
        assert_eq!(outcome(&place, &run), whole, "killed after round {round}");
    }
    place.says(&["--resume", "whole"]); // There is nothing left to do.
    assert_eq!(outcome(&place, "whole"), whole);
}

#[test]
fn prequential_figures_are_of_the_model_before_the_round() {
    let place = Place::received();
    let flags = ["--live", "--samples-per-round", "60", "--partitions", "1", "--local-epochs", "9"];
    succeed(&mut place.train("run", &flags));
    let (_, rounds) = outcome(&place, "run");
    let header: Vec<String> =
        place.read("run/rounds.csv").lines().next().unwrap().split(',').map(String::from).collect();
    let column =
        header.iter().filter(|name| !name.ends_with("_seconds")).position(|name| name == "prequential_loss").unwrap();
    let loss: Vec<f64> = rounds.iter().map(|row| row[column].parse().unwrap()).collect();
    assert!((loss[0] - 10_f64.ln()).abs() < 0.1, "a model that has seen nothing knows nothing: {loss:?}");
    assert!(loss[4] < 0.8 * loss[0], "{loss:?}");
}

#[test]
fn what_cannot_be_is_told_in_one_line() {
    let place = Place::received();
    let fails = |flags: &[&str], code: i32, expect: &str| {
        let _ = fs::remove_dir_all(place.path("bad")); // Slices before the one in question may have been trained on.
        fail(&mut place.train("bad", flags), code, expect);
    };
    let live = |rest: &[&'static str]| [&["--live"], rest].concat();
    fails(&["--samples-per-round", "9"], 64, "--samples-per-round is for live runs; give --live, too");
    fails(
        &live(&["--samples-per-round", "251"]),
        64,
        "--samples-per-round 251 is more than the 250 samples of the stream",
    );
    fails(&live(&["--samples-per-round", "2", "--partitions", "3"]), 64, "2 samples cannot fill 3 partitions");
    fails(&live(&["--offset", "7"]), 65, "sample 0 is there, and the first is to be 7; see --offset");
    fails(&live(&["--run-id", "a1"]), 73, "holds samples that were received for no run in particular, not for run a1");
    place.receive(100, &[("one", 0, 100), ("two", 120, N)]);
    fails(&live(&["--samples-per-round", "50"]), 65, "lacks samples 100 to before 120");
    place.receive(100, &[("one", 0, 100), ("two", 90, N)]);
    fails(&live(&["--samples-per-round", "50"]), 65, "two streams hold sample 90");
    place.receive(100, &[("one", 30, N)]);
    fails(&live(&["--samples-per-round", "50"]), 64, "begin at 30; give --offset 30");
    let mut store = Store::open(&place.path("chunks"), Mode::Fresh, 100).unwrap();
    store.open_stream("one", &id("blobs", "00".repeat(32)), Extent::range(0..N as u64)).unwrap();
    fails(&live(&["--wait", "0s"]), 69, "nothing new came into chunk directory `chunks` for 0s");
    store.open_stream("two", &id("blobs", "00".repeat(32)), Extent::range(300..400)).unwrap();
    store.append("two", 300, blobs(0, 50).as_slice()).unwrap();
    store.commit().unwrap();
    fails(&live(&["--wait", "0s"]), 69, "samples 0 to before 300 have not come into chunk directory `chunks` for 0s");
}

#[test]
fn a_resumed_run_whose_earlier_slices_have_changed_is_refused() {
    let place = Place::received();
    let mut live = Live::start(&mut place.train("run", &LIVE));
    live.hears("round", 2);
    live.killed();
    let mut samples = blobs(0, N);
    samples.labels[17] = (samples.labels[17] + 1) % 10;
    place.receive_of(id("blobs", "00".repeat(32)), &samples, 100, &[("one", 0, N)]);
    let checkpoints = place.names("run/checkpoints");
    place.fails(&["--resume", "run"], 65, "holds other samples up to ");
    assert_eq!(place.names("run/checkpoints"), checkpoints);
    place.fails(&["--resume", "run", "--samples-per-round", "50"], 65, "--samples-per-round 60, not 50");
    let config = place.read("run/config.toml");
    for end in [100, 20] {
        place.receive(100, &[("one", 0, end)]);
        place.fails(&["--resume", "run", "--dir", "chunks"], 65, "holds other samples up to ");
    }
    assert_eq!(place.read("run/config.toml"), config, "a resume that is refused changes nothing");
    fs::remove_dir_all(place.path("chunks")).unwrap();
    place.fails(&["--resume", "run", "--wait", "0s"], 65, "does not exist");
}

/// Writes the newest checkpoint of a run otherwise, sealed as if the trainer had; gives its name.
fn rewrite(place: &Place, run: &str, change: impl FnOnce(&mut Checkpoint)) -> String {
    let path = checkpoint::newest(&place.path(run)).unwrap().unwrap();
    let (global, metadata) = seal::read(&path, &SIMPLE_CNN).unwrap();
    let mut checkpoint = Checkpoint::decode(global, ServerState::default(), &metadata).unwrap();
    change(&mut checkpoint);
    fs::write(&path, checkpoint.to_bytes().unwrap()).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_run_whose_checkpoint_lists_its_newest_rounds_goes_on_as_if_it_listed_all() {
    let place = Place::received();
    let whole = replayed(&place, "whole", &[]);
    let whole_partitions = place.read("whole/partitions.csv");
    place.receive(100, &[("one", 0, 240)]); // Which is four rounds.
    replayed(&place, "run", &[]);
    let four = place.path("run/checkpoints/round-004.safetensors");
    for stale in ["001", "002"] {
        fs::copy(&four, place.path(&format!("run/checkpoints/round-{stale}.safetensors"))).unwrap();
    }
    rewrite(&place, "run", |checkpoint| {
        let listed = Listed { rounds: 2, partitions: 12, drifts: 0 };
        checkpoint.unlisted.take_over(&mut checkpoint.history, listed);
        assert_eq!((checkpoint.history.len(), checkpoint.unlisted.samples), (2, 3 * 60));
    });
    // As a kill leaves them.
    let rounds = place.read("run/rounds.csv");
    fs::write(place.path("run/rounds.csv"), &rounds[..rounds.len() - 30]).unwrap();
    let partitions = place.read("run/partitions.csv");
    fs::write(place.path("run/partitions.csv"), partitions + "5,0,7").unwrap();

    place.receive(100, &[("one", 0, N)]);
    let before = &place.summary("run")["live"];
    place.says(&["--resume", "run"]);
    assert_eq!(outcome(&place, "run"), whole);
    assert_eq!(place.read("run/partitions.csv"), whole_partitions);
    assert_eq!(place.names("run/checkpoints"), ["round-004.safetensors", "round-005.safetensors"]);
    assert!(place.read("run/report.html").contains("The page shows the rounds from 3 on"));
    let (summary, expect) = (place.summary("run"), place.summary("whole"));
    let trained = |summary: &Value| {
        let [rate, seconds] = [&summary["samples_per_second"]["train"], &summary["seconds"]["train"]];
        (rate.as_f64().unwrap() * seconds.as_f64().unwrap()).round()
    };
    assert_eq!((summary["rounds"].as_u64(), trained(&summary)), (Some(5), trained(&expect)));
    let drifts = |summary: &Value| {
        let live = &summary["live"];
        live["drifts"].as_array().unwrap().len() as u64 + live["unlisted_drifts"].as_u64().unwrap()
    };
    assert_eq!(drifts(&summary), drifts(&expect));
    let behind = |live: &Value| live["behind_samples"].as_u64().unwrap();
    assert_eq!((behind(before), behind(&summary["live"])), (180, 180));
    fs::copy(&four, place.path("run/checkpoints/round-003.safetensors")).unwrap();
    place.says(&["--resume", "run"]); // There is nothing left to do.
    assert_eq!(place.summary("run")["live"], summary["live"]);
    assert_eq!(place.names("run/checkpoints"), ["round-004.safetensors", "round-005.safetensors"]);
}

#[test]
fn figures_that_no_run_has_are_refused_by_the_name_of_their_checkpoint() {
    let place = Place::received();
    replayed(&place, "run", &[]);
    let path = checkpoint::newest(&place.path("run")).unwrap().unwrap();
    let good = fs::read(&path).unwrap();
    for (pointer, value, says) in [
        ("/detector/samples", json!(u64::MAX), "cannot be those of a stream up to 250"),
        ("/detector/rows", json!([[0], [0], [u64::MAX]]), "cannot be those of a stream up to 250"),
        ("/prequential/confusion/3/3", json!(251), "cannot be those of a stream up to 250"),
        ("/prequential", json!(null), "are not those of this version"),
    ] {
        fs::write(&path, &good).unwrap();
        let name = rewrite(&place, "run", |checkpoint| {
            *checkpoint.position.as_mut().unwrap().figures.pointer_mut(pointer).unwrap() = value;
        });
        let damaged = format!("{name}` is damaged; remove it to resume from the checkpoint before: its figures {says}");
        place.fails(&["--resume", "run"], 65, &damaged);
    }
    fs::write(&path, &good).unwrap();
    rewrite(&place, "run", |checkpoint| checkpoint.position = None);
    place.fails(&["--resume", "run"], 65, "it does not say where in its stream the run stands");
    fs::remove_file(&path).unwrap();
    place.says(&["--resume", "run"]);
}

#[test]
fn a_last_slice_with_too_few_samples_for_its_strategy_changes_no_weight() {
    let place = Place::received();
    let tested = |run: &str, strategy: &str| {
        succeed(&mut place.train(run, &[&LIVE[..], &["--strategy", strategy]].concat()));
        let [.., whole, short] = &place.rounds(run)[..] else { panic!("five rounds") };
        [whole, short].map(|row| row[2..4].to_vec()) // Loss and accuracy on the test set.
    };
    // The last one has ten samples, so ten partitions of twelve.
    let [whole, short] = tested("enough", "krum:f=3");
    assert_ne!(whole, short);
    let [whole, short] = tested("few", "krum:f=4");
    assert_eq!(whole, short);
}

#[test]
fn a_checkpoint_without_what_its_strategy_remembers_is_refused() {
    let place = Place::received();
    let mut live = Live::start(&mut place.train("run", &[&LIVE[..], &["--strategy", "fedadam"]].concat()));
    live.hears("round", 2);
    live.killed();
    let name = rewrite(&place, "run", |checkpoint| checkpoint.server.clear());
    let advice = "remove it to resume from the checkpoint before";
    let line = format!("{name}` is damaged; {advice}: it does not hold what its strategy remembers");
    place.fails(&["--resume", "run"], 65, &line);
}
