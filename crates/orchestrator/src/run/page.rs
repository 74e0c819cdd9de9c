//! The page of a run: served before anything is made or started, so that a port in use costs nobody a run, and after the end,
//! as long as somebody may want to look.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::{Duration, SystemTime},
};

use flags::address;
use page::{Happening, Options, Server};
use process::shutdown::Shutdown;
use terminal::Console;
use tokio::time::timeout;

use crate::{config::Config, observers::page::Page};

/// A page that shows this run.
pub(super) struct Served {
    run: page::Run,
    linger: Option<Duration>,
    console: Console,
    /// Serves until it is dropped.
    _server: Server,
}

/// Serves a page, if that is asked for, which shows no run yet.
pub(super) fn serve(flags: &flags::Page) -> anyhow::Result<Option<Server>> {
    let Some(address) = &flags.page else { return Ok(None) };
    let options = Options { listen: address::resolve(address)?, token_file: flags.page_token.clone() };
    Server::start(&options, Vec::new()).map(Some)
}

impl Served {
    /// Shows the run with this folder, and says where.
    pub(super) fn begin(server: Server, config: &Config, folder: &Path, console: &Console) -> Served {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
        let run = page::Run::new(&name, folder);
        let (streaming, training, live) = (&config.streaming, &config.training, config.live.live);
        let plan = Happening::Plan {
            senders: config.senders,
            samples: if streaming.endless { 0 } else { streaming.samples },
            partitions: training.partitions.unwrap_or(1), // It is always there by now.
            rounds: if live { 0 } else { training.rounds },
            live,
        };
        run.tell(None, SystemTime::now(), &plan);
        server.add(run.clone());
        console.tell(&format!("watch this run: {}", server.address()));
        if let Some(warning) = server.warning() {
            console.warn(&warning);
        }
        Served { run, linger: config.page.page_linger, console: console.clone(), _server: server }
    }

    /// Who tells it what the children do.
    pub(super) fn observer(&self) -> Page {
        Page(self.run.clone())
    }

    /// Tells how the run ended. One that ended well can still be looked at, until `shutdown` or as long as is asked for.
    pub(super) async fn end(self, result: &anyhow::Result<String>, mut shutdown: Shutdown) {
        let error;
        let (ok, text) = match result {
            Ok(line) => (true, line.as_str()),
            Err(failed) => {
                error = format!("{failed:#}");
                (false, error.as_str())
            }
        };
        self.run.tell(None, SystemTime::now(), &Happening::Finished { ok, text });
        let stop = shutdown.wait();
        match lingering(self.linger, io::stderr().is_terminal()) {
            _ if !ok => {}
            None => {
                self.console.tell("the page is served until Ctrl-C");
                stop.await;
            }
            Some(Duration::ZERO) => {}
            Some(time) => {
                let words = humantime::format_duration(time);
                self.console.tell(&format!("the page is served for {words} more, or until Ctrl-C"));
                drop(timeout(time, stop).await);
            }
        }
    }
}

/// How long a page is served after a good end; `None` is until somebody stops it, which takes somebody who can.
fn lingering(asked: Option<Duration>, is_terminal: bool) -> Option<Duration> {
    asked.or((!is_terminal).then_some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stays_as_long_as_is_asked_for_or_somebody_can_stop_it() {
        let second = Duration::from_secs(1);
        for (asked, is_terminal, expect) in [
            (None, true, None),
            (None, false, Some(Duration::ZERO)),
            (Some(second), true, Some(second)),
            (Some(second), false, Some(second)),
            (Some(Duration::ZERO), true, Some(Duration::ZERO)),
        ] {
            assert_eq!(lingering(asked, is_terminal), expect, "{asked:?}, {is_terminal}");
        }
    }
}
