//! The console: results on stdout; notes, the children's logs and progress bars on stderr. Everything that is printed
//! goes through here, because a line printed past a progress bar tears it.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// Where lines and progress bars go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    bars: MultiProgress,
    terminal: bool,
    colour: bool,
}

/// ANSI colours of the children's names, told apart on dark and light backgrounds.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

impl Console {
    /// The console of this process; bars are drawn and colours used only on a terminal, colours not under `NO_COLOR`.
    #[expect(clippy::new_without_default, reason = "it looks at the process's stderr; that is no default")]
    pub fn new() -> Console {
        let terminal = io::stderr().is_terminal();
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Console { bars: MultiProgress::with_draw_target(target), terminal, colour: terminal && !no_colour }
    }

    /// Whether somebody watches: bars move on a terminal; elsewhere a line now and then has to do.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A result, on stdout.
    pub fn result(&self, line: &str) {
        // Nobody is left to tell if stdout is gone. The same holds for stderr below.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }

    /// A note about what is going on, on stderr.
    pub fn note(&self, line: &str) {
        self.bars.suspend(|| drop(writeln!(io::stderr(), "{line}")));
    }

    /// Something that nobody should miss, on stderr.
    pub fn warn(&self, line: &str) {
        self.note(&self.paint(line, "1;33"));
    }

    /// A child's log line, on stderr, behind its name.
    pub fn log(&self, child: usize, name: &str, line: &str) {
        let name = self.paint(&format!("{name:<8}"), &COLOURS[child % COLOURS.len()].to_string()).into_owned();
        self.note(&format!("{name} | {line}"));
    }

    /// A progress bar, invisible unless on a terminal. The template is indicatif's.
    pub fn bar(&self, length: u64, template: &'static str) -> ProgressBar {
        self.bars.add(ProgressBar::new(length).with_style(cli::bars::style(template)))
    }

    fn paint<'a>(&self, text: &'a str, code: &str) -> Cow<'a, str> {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}
