//! Logs go to stderr, results to stdout. `RUST_LOG` chooses what is logged, `NO_COLOR` is respected.

use std::io::{self, IsTerminal};

use tracing_subscriber::{Layer, filter::Targets, fmt::time::uptime, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging; call once, first thing in `main`. Each line begins with the seconds since the program started.
pub fn init() {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let chosen = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter: Targets = chosen.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_timer(uptime())
        .with_target(false)
        .with_ansi(colour)
        .with_writer(io::stderr)
        .log_internal_errors(false) // To stderr again, and where that is gone, with a panic.
        .with_filter(filter);
    tracing_subscriber::registry().with(lines).init();
}
