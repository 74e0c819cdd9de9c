//! What the trainer shows: text for people, or events for a program.

use std::io::{self, Write};

use event::{self, Event};

/// Shows the event, or the text that says the same.
pub(crate) fn show(json: bool, event: &Event, text: &str) {
    if json {
        let _ = event::emit(event); // For the reason given at `say`.
    } else {
        say(text);
    }
}

/// Shows text. A stdout that nobody reads any more is no reason to lose a run, whose results are all in its folder, so
/// errors are ignored.
pub(crate) fn say(text: &str) {
    let _ = say_surely(text);
}

/// Shows text without which there is no use in going on.
///
/// # Errors
/// When nobody can read it.
pub(crate) fn say_surely(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
