//! The console: results, or under `--json` events, on stdout; notes, the children's logs and progress bars on stderr.
//! Everything that is printed goes through here, because a line printed past a progress bar tears it.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write},
};

use event::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use serde::Serialize;

/// Where lines and progress bars go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    bars: MultiProgress,
    shown: Shown,
    /// Bars are drawn.
    live: bool,
    colour: bool,
}

/// ANSI colours of the children's names, told apart on dark and light backgrounds.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// What of a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Everything, for people.
    All,
    /// Only warnings, errors and the summary.
    Quiet,
    /// Events, for programs; what is for people is on stderr.
    Events,
}

impl Default for Console {
    fn default() -> Self {
        Console::new()
    }
}

impl Console {
    /// The console of this process, which shows everything: bars are drawn and colours used only on a terminal that is not
    /// dumb, colours not under `NO_COLOR`.
    pub fn new() -> Console {
        Console::that_shows(Shown::All)
    }

    /// [`Console::new`], but for what it shows. Bars are drawn only if that is everything.
    pub fn that_shows(shown: Shown) -> Console {
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !is_dumb;
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let live = terminal && shown == Shown::All;
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        Console { bars, shown, live, colour: terminal && !no_colour }
    }

    /// Whether somebody watches: bars move on a terminal; elsewhere a line now and then has to do.
    pub fn is_terminal(&self) -> bool {
        self.live
    }

    /// A result, on stdout, where only events stand if those are shown.
    pub fn result(&self, line: &str) {
        if self.shown != Shown::Events {
            self.stdout(line);
        }
    }

    /// A step on the way to the result, on stdout.
    pub fn step(&self, line: &str) {
        if self.shown == Shown::All {
            self.stdout(line);
        }
    }

    /// A child's event, on stdout, if events are shown: its own line of JSON, with the child's name.
    pub fn event(&self, child: &str, event: &Event) {
        #[derive(Serialize)]
        struct Line<'a> {
            child: &'a str,
            #[serde(flatten)]
            event: &'a Event,
        }
        if self.shown == Shown::Events
            && let Ok(line) = serde_json::to_string(&Line { child, event })
        {
            self.stdout(&line);
        }
    }

    /// A note about what is going on, on stderr.
    pub fn note(&self, line: &str) {
        if self.shown != Shown::Quiet {
            self.stderr(line);
        }
    }

    /// What was asked for, on stderr, however little is shown.
    pub fn tell(&self, line: &str) {
        self.stderr(line);
    }

    /// Something that nobody should miss, on stderr.
    pub fn warn(&self, line: &str) {
        self.stderr(&self.paint(line, "1;33"));
    }

    /// A child's log line, on stderr, behind its name.
    pub fn log(&self, child: usize, name: &str, line: &str) {
        if self.shown == Shown::Quiet && is_chatter(line) {
            return;
        }
        let name = self.paint(&format!("{name:<8}"), &COLOURS[child % COLOURS.len()].to_string()).into_owned();
        // What moves the cursor would tear the bars.
        let line = line.replace(|c: char| c.is_control() && c != '\t', " ");
        self.stderr(&format!("{name} | {line}"));
    }

    fn stdout(&self, line: &str) {
        // Nobody is left to tell if stdout is gone. The same holds for stderr below.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }

    fn stderr(&self, line: &str) {
        self.bars.suspend(|| drop(writeln!(io::stderr(), "{line}")));
    }

    /// A progress bar, invisible unless on a terminal. The template is indicatif's.
    pub fn bar(&self, length: u64, template: &'static str) -> ProgressBar {
        self.bars.add(ProgressBar::new(length).with_style(crate::bars::style(template)))
    }

    fn paint<'a>(&self, text: &'a str, code: &str) -> Cow<'a, str> {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// Whether a log line of a child says that all is well: `   0.012s  INFO listening`. What has no level, such as a panic, is
/// no chatter.
fn is_chatter(line: &str) -> bool {
    matches!(line.split_whitespace().nth(1), Some("INFO" | "DEBUG" | "TRACE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_that_all_is_well_is_told_from_what_does_not() {
        assert!(is_chatter("   0.012345s  INFO listening on 127.0.0.1:9999"));
        for line in
            ["   0.1s  WARN paused", "  0.1s ERROR INFO", "thread 'main' panicked at x.rs:1:2:", "sender: no INFO"]
        {
            assert!(!is_chatter(line), "{line}");
        }
    }
}
