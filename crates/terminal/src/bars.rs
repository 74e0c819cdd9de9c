//! Progress bars that look the same in every program.

use std::fmt::Write;

use indicatif::{HumanCount, ProgressState, ProgressStyle};

/// A style from indicatif's template, in which `{rate}` stands for whole steps per second.
pub fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64)); // A terminal that is gone shows nothing anyway.
    })
}
