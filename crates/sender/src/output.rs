//! What the user sees: a bar on a terminal, events under `--json`, the result on stdout.

use std::{sync::Arc, sync::Mutex};

use cli::event::{self, Event};
use dataset::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes. The bar draws on stderr, and only if that is a terminal.
#[derive(Clone)]
pub(crate) struct Output {
    json: bool,
    bar: Arc<Mutex<ProgressBar>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json, bar: Arc::new(Mutex::new(ProgressBar::hidden())) }
    }

    /// The dataset is being downloaded or drawn.
    pub(crate) fn providing(&self, progress: &Progress) {
        let (what, done, of) = match progress {
            Progress::Downloading { file, done, total } => (format!("downloading {file}"), *done, total.unwrap_or(0)),
            Progress::Drawing { done, total } => ("drawing digits".to_owned(), *done, *total),
        };
        self.draw(&what, done, of);
    }

    /// Something that nobody should miss.
    pub(crate) fn notice(&self, text: String) {
        tracing::warn!("{text}");
        if self.json {
            let _ = event::emit(&Event::Notice { text }); // A parent that is gone is noticed by the lifeline.
        }
    }

    /// Streaming begins.
    pub(crate) fn start(&self, total: u64) {
        self.durable(0, total);
    }

    /// So many samples of the stream are durable.
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
    #[expect(clippy::print_stdout, reason = "results go to stdout")]
    pub(crate) fn result(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    fn draw(&self, what: &str, done: u64, of: u64) {
        let Ok(mut bar) = self.bar.lock() else { return };
        if bar.is_hidden() && !self.json {
            let template = "{msg} [{bar:30}] {human_pos} of {human_len} ({per_sec})";
            *bar = ProgressBar::new(of);
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        }
        bar.set_message(what.to_owned());
        bar.set_length(of);
        bar.set_position(done);
    }
}
