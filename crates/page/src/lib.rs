//! A page is a run in a browser, while it lasts: what happens is pushed to whoever watches, and a digit that is drawn there is
//! recognised by the newest model. Nothing on it changes the run.
//!
//! ```text
//! program --Happening--> Run: log of events <--cursor-- watcher --Server-Sent Events--> browser
//!                        run folder: models <--PNG----- guard, route <--HTTP-- browser
//! ```
//!
//! The log is all that a run and its watchers share. It is kept short by leaving out what later events supersede, so that who
//! comes late gets what there is to be seen, and who reads slowly skips what is old. No event waits for a watcher.
//!
//! What decides is pure: `guard` (who gets in), `route` (what is asked for), `log` (what is kept and who gets what). What does
//! I/O is thin: `server`, `connection`, `events`, `digits`.

#![forbid(unsafe_code)]

mod answer;
mod assets;
mod connection;
mod digits;
mod events;
mod guard;
mod happening;
mod log;
mod model;
mod places;
mod route;
mod run;
mod server;
mod socket;
mod token;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use crate::{happening::Happening, run::Run, server::Server};

/// Where a page is served, and who may see it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The file with the token that opens the page, made if it is not there; without it, a token is drawn.
    pub token_file: Option<PathBuf>,
}

/// How long a server waits for others, and how many of them it serves.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the head of a request is there.
    pub head: Duration,
    /// Until the body of a request is there.
    pub body: Duration,
    /// Until a reader takes some of what was written to it.
    pub write: Duration,
    /// Between two signs of life to a watcher.
    pub heartbeat: Duration,
    /// Until watchers have read the rest, when the server stops.
    pub stop: Duration,
    /// Connections of those who have shown the token.
    pub members: usize,
    /// Connections of those who have not. Another one drops the oldest.
    pub strangers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(20),
            body: Duration::from_secs(10),
            write: Duration::from_secs(20),
            heartbeat: Duration::from_secs(10),
            stop: Duration::from_secs(2),
            members: 384,
            strangers: 128,
        }
    }
}

impl Limits {
    /// Descriptors that are left to the rest of the program.
    const RESERVED: usize = 128;

    /// With fewer connections, where there are not descriptors for all. Strangers that have to leave may still be here.
    fn within(self, descriptors: usize) -> Self {
        let most = descriptors.saturating_sub(Self::RESERVED).max(8);
        Self { members: self.members.min(most / 2), strangers: self.strangers.min(most / 4), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_the_run() {
        for (descriptors, members, strangers) in
            [(0, 4, 2), (256, 64, 32), (1024, 384, 128), (usize::MAX, 384, 128), (640, 256, 128)]
        {
            let limits = Limits::default().within(descriptors);
            assert_eq!((limits.members, limits.strangers), (members, strangers), "{descriptors}");
        }
    }
}
