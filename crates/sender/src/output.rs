//! What the user sees: a bar on a terminal, events under `--json`, the result on stdout.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use download::Progress;
use event::{self, Event};
use indicatif::ProgressBar;

/// Where progress goes. The bar draws on stderr, and only if that is a terminal.
#[derive(Clone)]
pub(crate) struct Output {
    json: bool,
    bar: Arc<Mutex<ProgressBar>>,
    last_event: Arc<Mutex<Option<Instant>>>,
}

/// Time between two events about a download; a bar needs no more.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json, bar: Arc::new(Mutex::new(ProgressBar::hidden())), last_event: Arc::default() }
    }

    /// The dataset is being downloaded or drawn.
    pub(crate) fn providing(&self, progress: &Progress) {
        let (what, done, of) = match progress {
            Progress::Downloading { file, done, total } => (format!("downloading {file}"), *done, total.unwrap_or(0)),
            Progress::Drawing { done, total } => ("drawing digits".to_owned(), *done, *total),
        };
        if !self.json {
            return self.draw(&what, done, of);
        }
        let Ok(mut last) = self.last_event.lock() else { return };
        if last.is_none_or(|last| last.elapsed() > EVENT_INTERVAL) {
            *last = Some(Instant::now());
            let _ = event::emit(&Event::Providing { what, done, of });
        }
    }

    /// The dataset is there and read.
    pub(crate) fn data(&self, dir: &Path, digest: [u8; 32]) {
        if self.json {
            let _ = event::emit(&Event::Data { dir: dir.to_owned(), digest: hex::encode(digest) });
        }
    }

    /// Something that nobody should miss.
    pub(crate) fn notice(&self, text: String) {
        if self.json {
            let _ = event::emit(&Event::Notice { text }); // A parent that is gone is noticed by the lifeline.
        } else {
            tracing::warn!("{text}");
        }
    }

    /// So many samples of the stream are durable; `of` is 0 for a stream without an end.
    pub(crate) fn durable(&self, samples: u64, of: u64) {
        if self.json {
            let _ = event::emit(&Event::Acknowledged { samples, of });
        } else {
            self.draw("durable", samples, of);
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Ok(mut bar) = self.bar.lock() {
            bar.finish_and_clear();
            *bar = ProgressBar::hidden();
        }
    }

    /// The number that matters, last.
    pub(crate) fn result(&self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stdout(), "{text}"); // Nobody may be listening, and the work is done all the same.
        }
    }

    fn draw(&self, what: &str, done: u64, of: u64) {
        let Ok(mut bar) = self.bar.lock() else { return };
        if bar.is_hidden() && !self.json {
            let style = match of {
                0 => "{msg} {human_pos}, {rate}",
                _ => "{msg} [{bar:30}] {human_pos}/{human_len}, {rate}, {eta} left",
            };
            *bar = ProgressBar::new(of).with_style(terminal::bars::style(style));
        }
        bar.set_message(what.to_owned());
        bar.set_length(of);
        bar.set_position(done);
    }
}
