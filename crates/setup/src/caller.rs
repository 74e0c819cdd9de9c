//! Whoever called for a set-up: sees how it goes, and may stop it.

use process::shutdown::Shutdown;
use terminal::Console;

/// Who called for a set-up.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Where the set-up tells of itself.
    pub(crate) console: Console,
    /// What stops it.
    pub(crate) shutdown: Shutdown,
}
