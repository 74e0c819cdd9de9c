//! What the command lines of the four programs share, so that each `main.rs` stays a page.
//!
//! - [`flags`]: the flags themselves, in groups, so that the orchestrator offers the very flags of the programs it starts;
//! - [`layers`]: flag beats file beats preset beats default;
//! - [`address`] and [`path`]: what a flag's value may be;
//! - [`event`]: what a program reports on stdout under `--json`, which is how the orchestrator follows it;
//! - [`manual`]: completions for shells, and man pages;
//! - [`bars`]: how progress looks;
//! - [`exit`]: exit codes, and how an error carries one;
//! - [`shell`]: a command as it would be typed;
//! - [`runs`]: where the results of a run go, unless told otherwise;
//! - [`time`] and [`count()`]: how a time and a number of things are written;
//! - [`logging`] and [`shutdown`]: stderr logs, signals, and the lifeline to a parent process.

#![forbid(unsafe_code)]

use std::fmt;

pub mod address;
pub mod bars;
pub mod event;
pub mod exit;
pub mod flags;
pub mod layers;
pub mod logging;
pub mod manual;
pub mod path;
pub mod runs;
pub mod shell;
pub mod shutdown;
pub mod time;

/// `1 sample`, `2 samples`.
pub fn count<N: fmt::Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let plural = if n == N::from(1) { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_counted_as_one() {
        assert_eq!([0_u64, 1, 2].map(|n| count(n, "sample")), ["0 samples", "1 sample", "2 samples"]);
    }
}
