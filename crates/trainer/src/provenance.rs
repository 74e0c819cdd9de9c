//! Provenance is what a summary says about how its figures came about, beside the flags: the command, the machine, the
//! versions. It is written down when the run ends, since a report may be made later and elsewhere.

use std::{env, ffi::OsStr, fs, num::NonZero, path::Path, thread};

use cli::shell;
use serde::{Deserialize, Serialize};

/// How a run came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The trainer's command line, its program without the path.
    pub command: Vec<String>,
    /// When it ended, with the offset of the time zone.
    pub finished: String,
    /// The processor's name, as the operating system says it.
    pub cpu: String,
    /// Cores that the trainer could use.
    pub cores: usize,
    /// The operating system.
    pub os: String,
    /// Tributary's version.
    pub tributary: String,
    /// libtorch's version.
    pub libtorch: String,
}

impl Provenance {
    /// Of this process, now.
    pub fn here() -> Self {
        Self {
            command: env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            finished: cli::time::now().strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
            cpu: line("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            os: line("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| env::consts::OS.to_owned()),
            tributary: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: model::LIBTORCH.to_owned(),
        }
    }
}

/// A command line as it would be typed, without the path of its program, which is nobody else's business.
pub fn typed(command: &[String]) -> String {
    let Some((program, arguments)) = command.split_first() else { return String::new() };
    let name = Path::new(program).file_name().unwrap_or(program.as_ref());
    shell::command_line([name].into_iter().chain(arguments.iter().map(OsStr::new)))
}

/// The value of the first line `key … value` of a file of the system.
fn line(path: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find(|line| line.starts_with(key))?.split_once(separator)?.1;
    Some(value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let command = ["/home/me/target/release/trainer", "--run-dir", "my runs/1", "it's", ""].map(String::from);
        assert_eq!(typed(&command), r"trainer --run-dir 'my runs/1' 'it'\''s' ''");
    }
}
