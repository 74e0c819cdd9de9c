//! What the doctor looks for, and what it finds.

use std::path::PathBuf;

use flags::{Engine, Live, Streaming, Training};

/// What a run is to do, as far as the machine matters.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is streamed.
    pub streaming: Streaming,
    /// How it is trained on.
    pub training: Training,
    /// Whether it is trained on while it is streamed.
    pub live: Live,
    /// Where.
    pub engine: Engine,
    /// Where the receiver listens.
    pub listen: String,
    /// The chunk directory.
    pub dir: PathBuf,
    /// Where the results go.
    pub run_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// `ok`, `missing` or `wrong`.
    pub(super) state: &'static str,
    /// What was found, and the command that mends it.
    pub(super) text: String,
    /// A run cannot go ahead like this.
    pub(super) stops: bool,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Finding {
        Finding { state: "ok", text: text.into(), stops: false }
    }

    pub(super) fn missing(text: impl Into<String>) -> Finding {
        Finding { state: "missing", ..Finding::ok(text) }
    }

    pub(super) fn wrong(text: impl Into<String>) -> Finding {
        Finding { state: "wrong", ..Finding::ok(text) }
    }

    /// That this stands in the way of a run, if it is so and `needed` too.
    pub(super) fn stops_if(self, needed: bool) -> Finding {
        Finding { stops: needed && self.state != "ok", ..self }
    }

    /// One line, whatever a path or a program's words may hold.
    pub(super) fn line(&self, subject: &str) -> String {
        let text = self.text.replace(char::is_control, " ");
        format!("{:<8} {subject:<12} {text}", self.state)
    }
}

#[cfg(test)]
impl Plan {
    pub(super) fn of(dir: &str, flags: &[&str]) -> Plan {
        #[derive(clap::Parser)]
        struct Args {
            #[command(flatten)]
            streaming: Streaming,
            #[command(flatten)]
            training: Training,
            #[command(flatten)]
            live: Live,
            #[command(flatten)]
            engine: Engine,
        }
        let Args { streaming, training, live, engine } = clap::Parser::parse_from(["x"].iter().chain(flags));
        let (live, listen, run_dir) = (live.settled().unwrap().into(), "127.0.0.1:0".into(), "runs".into());
        Plan { streaming, training, live, engine, listen, dir: dir.into(), run_dir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_what_is_there_stops_nobody() {
        let finding = Finding::ok("`a\nb\x1b[31m`").stops_if(true);
        assert_eq!((finding.line("data").as_str(), finding.stops), ("ok       data         `a b [31m`", false));
        assert!(Finding::missing("").stops_if(true).stops);
    }
}
