//! What people see of a program beside its results: logs on stderr, progress bars, and how a number or a command reads.

#![forbid(unsafe_code)]

use std::fmt;

pub mod bars;
mod console;
pub mod logging;
pub mod shell;
pub mod time;

pub use console::{Console, Shown};

/// `1 sample`, `2 samples`.
pub fn count<N: fmt::Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let plural = if n == N::from(1) { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

/// Columns of the terminal on stderr; `None` if it is none.
#[cfg(unix)]
pub fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Columns of the terminal on stderr: nobody knows.
#[cfg(windows)]
pub fn width() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_counted_as_one() {
        assert_eq!([0_u64, 1, 2].map(|n| count(n, "sample")), ["0 samples", "1 sample", "2 samples"]);
    }
}
