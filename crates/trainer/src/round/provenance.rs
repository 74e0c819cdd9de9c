//! Where the provenance of a run comes from: the command, the machine, the versions.

use std::{env, fs, num::NonZero, thread};

use run_folder::Provenance;

pub(super) fn here() -> Provenance {
    Provenance {
        command: env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        finished: terminal::time::now().strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        cpu: line("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| env::consts::ARCH.to_owned()),
        cores: thread::available_parallelism().map_or(1, NonZero::get),
        os: line("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| env::consts::OS.to_owned()),
        tributary: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: model::LIBTORCH.to_owned(),
    }
}

/// The value of the first line `key … value` of a file of the system.
fn line(path: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find(|line| line.starts_with(key))?.split_once(separator)?.1;
    Some(value.trim().trim_matches('"').to_owned())
}
