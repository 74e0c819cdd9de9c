//! Processes, as `/proc` shows them: the children of one, and whoever works in a folder.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::look_for;

/// Kills a process; whether it was there to be killed.
pub(super) fn kill(id: u32) -> bool {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| kill_process(id, Signal::KILL).is_ok())
}

/// Tells a process to end.
pub(super) fn terminate(id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let _ = id.map(|id| kill_process(id, Signal::TERM)); // It may have ended.
}

/// Waits until nobody works in `dir`.
pub(super) fn wait_for_all_in(dir: &Path, limit: Duration) -> anyhow::Result<()> {
    let ended = look_for("processes do not end", limit, || Ok(working_in(dir).is_empty().then_some(())));
    ended.with_context(|| format!("processes are left: {:?}", working_in(dir)))
}

/// The command lines in which `dir` stands. Those of the dead are empty.
fn working_in(dir: &Path) -> Vec<String> {
    let command_line = |entry: fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).replace('\0', " "))
    };
    let dir = dir.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(command_line).filter(|line| line.contains(&dir)).collect()
}

/// The children of a process, whichever of its threads started them.
pub(super) fn children(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether this is a living process of that name: not one that has ended and waits to be waited for, nor one that is
/// just being made.
pub(super) fn lives(id: u32, name: &str) -> bool {
    // `123 (receiver) S 1 …`
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.split_once(&format!("({name}) ")).is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
