//! Where a page is served.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{address, path};

/// A page to watch runs on: orchestrator and `trainer page`. It is of this start of the program, and kept nowhere.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Page")]
pub struct Page {
    /// Serve a page to watch the run on, and to draw digits for its model: at this address, else at a free port of 127.0.0.1.
    /// What opens it is printed. Port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = Page::ADDRESS, value_parser = address::to_listen)]
    pub page: Option<String>,
    /// File with the token that opens the page, made if it is not there; without it there is a new one each time. Needed
    /// where other machines reach the page
    #[arg(long, value_name = "FILE", value_parser = path::parser())]
    pub page_token: Option<PathBuf>,
    /// How long to serve the page when the run is over [default: until Ctrl-C; of an orchestrator without a terminal, not at
    /// all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub page_linger: Option<Duration>,
}

impl Page {
    /// Where it is, if nobody says so.
    pub const ADDRESS: &str = "127.0.0.1:0";
}
