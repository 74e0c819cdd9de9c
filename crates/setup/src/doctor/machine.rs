//! What the machine itself has for a run: a port, room on the disks, memory, instructions.

use std::{fs, net::TcpListener, path::Path};

use flags::{Replay, Step};
use indicatif::HumanCount;
use native::Isa;

use super::finding::{Finding, Plan};
use crate::cache::cache_dir;

/// Bytes of a sample in a chunk file, with room for another copy of the newest chunk.
const SAMPLE: u64 = 1000;
/// Bytes of a round in the run folder: a checkpoint of 421,642 weights.
const ROUND: u64 = 2_000_000;
/// Checkpoints that a live run keeps.
const LIVE_ROUNDS: u64 = 2;
/// Bytes that fetching and unpacking libtorch takes.
const LIBTORCH: u64 = 2_000_000_000;
/// Bytes of memory of the three programs, and for each partition and sample; measured, see BENCHMARKS.md, and doubled.
const PROGRAMS: u64 = 400_000_000;
const PARTITION: u64 = 100_000_000;
const SAMPLE_IN_MEMORY: u64 = 2 * 784 * 2;

pub(crate) fn port(listen: &str) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) if listen.ends_with(":0") => Finding::ok(format!("{} has free ones", listen.trim_end_matches(":0"))),
        Ok(_) => Finding::ok(format!("{listen} is free")),
        Err(error) => {
            let text = format!("{listen}: {error}; choose another with --listen, such as --listen 127.0.0.1:0");
            Finding::wrong(text).stops_if(true)
        }
    }
}

/// Whether there is room for chunks, results, and libtorch if it is to be fetched.
pub(crate) fn disk(plan: &Plan, fetches_libtorch: bool) -> Finding {
    let (endless, slice) = (plan.streaming.endless, plan.live.samples_per_round);
    let samples = if endless { slice.unwrap_or(1) } else { plan.streaming.samples };
    let chunks = samples.saturating_mul(SAMPLE);
    let rounds = if plan.live.live { LIVE_ROUNDS } else { plan.training.rounds.into() }.saturating_mul(ROUND);
    let mut wanted = vec![(plan.dir.clone(), chunks), (plan.run_dir.clone(), rounds)];
    if let Ok(cache) = cache_dir() {
        wanted.push((cache, if fetches_libtorch { LIBTORCH } else { 0 }));
    }
    let mut known = Vec::new();
    for (path, needed) in wanted {
        let Some(free) = free_space(&path) else { continue };
        if free < needed {
            let (name, free, needed) = (path.display(), size(free), size(needed));
            let text = format!("`{name}` has {free} free, of {needed} that may be needed; make room, or name another");
            return Finding::wrong(text).stops_if(true);
        }
        known.push(format!("`{}` has {} free", path.display(), size(free)));
        if endless && path == plan.dir {
            known.push(format!("room for some {} samples of a stream that has no end", HumanCount(free / SAMPLE)));
        }
    }
    Finding::ok(if known.is_empty() { "its free space is not known".into() } else { known.join(", ") })
}

/// For how many samples there is room in a chunk directory that is or will be made there; `None` where that is not known.
pub fn room_for_samples(dir: &Path) -> Option<u64> {
    free_space(dir).map(|free| free / SAMPLE)
}

/// Free bytes where `path` is or will be made.
fn free_space(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.is_dir()).filter(|path| !path.as_os_str().is_empty());
    free_on_disk_of(there.unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn free_on_disk_of(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(windows)]
fn free_on_disk_of(_directory: &Path) -> Option<u64> {
    None
}

/// Whether the programs fit into memory.
pub(crate) fn memory(plan: &Plan) -> Finding {
    match fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(available) {
        None => Finding::ok("what is free is not known here"),
        Some(free) => memory_of(plan, free),
    }
}

/// Whether the programs fit into so many bytes.
fn memory_of(plan: &Plan, free: u64) -> Finding {
    let partitions = u64::from(plan.training.partitions.unwrap_or(1)).saturating_mul(PARTITION);
    let fixed = PROGRAMS.saturating_add(partitions);
    let samples = most_trained_on(plan);
    let needed = fixed.saturating_add(samples.unwrap_or(0).saturating_mul(SAMPLE_IN_MEMORY));
    let available = size(free);
    if free < needed {
        let (needed, less) = (size(needed), if plan.live.live { "a smaller --replay" } else { "fewer --samples" });
        let text =
            format!("{available} available, of {needed} that may be needed; fewer --partitions or {less} need less");
        return Finding::wrong(text); // The system may have more to give than it says.
    }
    if samples.is_none() {
        let room = HumanCount((free - needed) / SAMPLE_IN_MEMORY);
        let text = format!("{available} available, for some {room} samples of a stream that has no end");
        return Finding::ok(format!("{text}; a live run without --replay landmark needs no more as it goes on"));
    }
    Finding::ok(format!("{available} available"))
}

/// The most samples that one round trains on: of a live run its slice and what is replayed. `None` if that grows without an end.
fn most_trained_on(plan: &Plan) -> Option<u64> {
    let streamed = Some(plan.streaming.samples).filter(|_| !plan.streaming.endless);
    let replayed = match plan.live.replay {
        Some(Replay::None) => 0,
        Some(Replay::Sliding(samples) | Replay::Reservoir(samples)) => samples,
        Some(Replay::Landmark) | None => return streamed,
    };
    let trained_on = plan.live.samples_per_round.unwrap_or(0).saturating_add(replayed);
    Some(streamed.map_or(trained_on, |streamed| trained_on.min(streamed)))
}

/// `MemAvailable:   12345 kB`
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Which instructions the native step has here. It computes the same on all.
pub(crate) fn processor(step: Step, isa: Isa) -> Finding {
    if !isa.is_slow() {
        return Finding::ok(format!("{}: the native step is fast here", isa.name()));
    }
    let text = "no AVX2 with multiply-add: the native step is slow here";
    match step {
        Step::Native => Finding::missing(format!("{text}; use --step libtorch")),
        Step::Libtorch => Finding::ok(text),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_stops_a_run_and_a_free_one_does_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let finding = port(&address);
        assert!(finding.stops && finding.text.contains(&address), "{finding:?}");
        drop(taken);
        assert_eq!(port(&address).state, "ok");
    }

    #[test]
    fn a_disk_too_small_is_named_also_where_the_folder_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = dir.path().join("not/there");
        let dir = chunks.to_str().unwrap();
        if cfg!(unix) {
            let finding = disk(&Plan::of(dir, &["--samples=1000000000000000"]), false);
            assert!(finding.stops && finding.text.contains("not/there` has "), "{finding:?}");
        }
        assert_eq!(disk(&Plan::of(dir, &["--samples=10", "--rounds=1"]), false).state, "ok");
        assert!(!chunks.exists());
    }

    #[test]
    fn of_a_stream_without_an_end_it_is_said_how_much_of_it_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let text = |flags: &[&str]| disk(&Plan::of(dir, flags), false).text;
        if cfg!(unix) {
            let endless = text(&["--endless"]);
            assert!(
                endless.contains("free, room for some ") && endless.contains(" of a stream that has no end"),
                "{endless}"
            );
        }
        assert!(!text(&[]).contains("no end"));
        let huge = Plan::of(dir, &["--endless", "--live", "--samples-per-round=1000000000000000"]);
        assert_eq!(disk(&huge, false).stops, cfg!(unix), "no slice has room");
    }

    #[test]
    fn a_live_run_needs_memory_for_what_a_round_trains_on() {
        for (flags, samples) in [
            (&["--samples=90"][..], Some(90)),
            (&["--samples=90", "--live", "--samples-per-round=10"], Some(10)),
            (&["--samples=90", "--live", "--samples-per-round=10", "--replay=sliding:7"], Some(17)),
            (&["--samples=90", "--live", "--samples-per-round=10", "--replay=sliding:99"], Some(90)),
            (&["--samples=90", "--live", "--samples-per-round=10", "--replay=landmark"], Some(90)),
            (&["--endless", "--live", "--samples-per-round=10", "--replay=reservoir:5"], Some(15)),
            (&["--endless", "--live", "--replay=landmark"], None),
            (&["--endless"], None),
        ] {
            assert_eq!(most_trained_on(&Plan::of("x", flags)), samples, "{flags:?}");
        }
        let text = |flags: &[&str], free| memory_of(&Plan::of("x", flags), free).text;
        let (much, live) = (PROGRAMS + PARTITION + 1000 * SAMPLE_IN_MEMORY, ["--live", "--replay=sliding:2000"]);
        assert_eq!(text(&["--samples=1000"], much), "503 MB available");
        assert!(text(&["--samples=1001"], much).ends_with("fewer --partitions or fewer --samples need less"));
        assert!(
            text(&live, much)
                .ends_with(", of 512 MB that may be needed; fewer --partitions or a smaller --replay need less")
        );
        assert!(
            text(&["--endless"], much)
                .starts_with("503 MB available, for some 1,000 samples of a stream that has no end")
        );
    }

    #[test]
    fn a_processor_on_which_the_native_step_is_slow_is_told_of() {
        let state = |step| processor(step, Isa::BASELINE).state;
        assert_eq!(state(Step::Native) == "ok", !Isa::BASELINE.is_slow());
        assert_eq!(state(Step::Libtorch), "ok");
        let fast = Isa::available().into_iter().filter(|isa| !isa.is_slow());
        assert!(fast.into_iter().all(|isa| processor(Step::Native, isa).state == "ok"));
    }

    #[test]
    fn what_linux_says_is_understood() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert_eq!([size(999_999_999), size(1_500_000_000)], ["999 MB", "1.5 GB"]);
    }
}
