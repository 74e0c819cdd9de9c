//! A stage under way: on a terminal, one live line for each. A line fits any window: what matters most
//! stands first, and what finds no room is left out. Of a window that is made narrower than a line which stands there, some
//! terminals wrap that line before anybody can clear it, and keep the beginning of it.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar};

use terminal::Console;

const BAR: &str = "{prefix:<12}[{bar:10}] {wide_msg}";
const SPINNER: &str = "{prefix:<12}{spinner} {wide_msg}";
/// Columns before the details.
const LEFT: usize = 25;
/// Slow enough to be calm.
const TICK: Duration = Duration::from_millis(200);

/// The line of one stage; it goes away with this.
#[derive(Debug)]
pub(crate) struct Stage(ProgressBar);

impl Stage {
    /// A stage of `of` steps; of unknown length if that is 0.
    pub(crate) fn new(console: &Console, name: &str, of: u64) -> Stage {
        let bar = console.bar(of, if of > 0 { BAR } else { SPINNER });
        bar.set_prefix(name.to_owned());
        if of == 0 && !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Stage(bar)
    }

    /// So many steps are done. `details` are given the steps per second; the most important come first.
    pub(crate) fn at(&self, position: u64, details: impl FnOnce(f64) -> Vec<String>) {
        self.0.set_position(position);
        if self.0.is_hidden() {
            return;
        }
        let mut parts = Vec::new();
        if let Some(of) = self.0.length().filter(|of| *of > 0) {
            parts.push(format!("{:>3} %", u128::from(position) * 100 / u128::from(of)));
            if position > 0 && position < of {
                parts.push(format!("{} left", span(self.0.eta())));
            }
        }
        parts.extend(details(self.0.per_sec()));
        let columns = terminal::width().unwrap_or(80);
        self.0.set_message(fitting(parts, columns.saturating_sub(LEFT)));
    }

    /// Whether nobody knows how many steps there are.
    pub(crate) fn is_endless(&self) -> bool {
        self.0.length().is_none_or(|of| of == 0)
    }

    /// How many steps are done.
    #[cfg(test)]
    pub(crate) fn position(&self) -> u64 {
        self.0.position()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// As many parts, from the first on, as there are columns for.
fn fitting(parts: Vec<String>, columns: usize) -> String {
    let mut text = String::new();
    for part in parts {
        let separator = if text.is_empty() { "" } else { ", " };
        if text.chars().count() + separator.len() + part.chars().count() > columns {
            break;
        }
        text.push_str(separator);
        text.push_str(&part);
    }
    text
}

/// `9,600 samples/s`
pub(crate) fn speed(samples_per_second: f64) -> String {
    format!("{} samples/s", HumanCount(samples_per_second as u64))
}

/// Two digits are enough for a guess.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6000 => format!("{} min", seconds.div_ceil(60)),
        seconds @ 6000..360_000 => format!("{} h", seconds.div_ceil(3600)),
        seconds => format!("{} days", seconds.div_ceil(24 * 3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_left_out_from_the_end() {
        let text = |columns| fitting(["47 %", "3 s left", "9 samples/s"].map(Into::into).into(), columns);
        assert_eq!(
            [text(3), text(13), text(14), text(27)],
            ["", "47 %", "47 %, 3 s left", "47 %, 3 s left, 9 samples/s"]
        );
    }

    #[test]
    fn a_guess_has_two_digits() {
        let text = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([text(0), text(99), text(100), text(5999), text(6000)], ["0 s", "99 s", "2 min", "100 min", "2 h"]);
        assert_eq!([text(359_999), text(360_000)], ["100 h", "5 days"]);
        assert_eq!(speed(9600.7), "9,600 samples/s");
    }
}
