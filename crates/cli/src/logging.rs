//! Logs go to stderr, results to stdout. `RUST_LOG` chooses what is logged, `NO_COLOR` is respected.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::time::uptime};

/// Starts logging; call once, first thing in `main`. Each line begins with the seconds since the program started.
pub fn init() {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(uptime())
        .with_target(false)
        .with_ansi(colour)
        .with_writer(io::stderr)
        .init();
}
