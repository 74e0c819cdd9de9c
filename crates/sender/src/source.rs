//! From flags to samples in memory.

use std::{
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use dataset::{Dataset, Split};
use download::{Choice, Provided};
use flags::Streaming;
use process::{
    exit::{Code, failure},
    shutdown::Shutdown,
};
use sample::Share;
use sender::{Source, Supply};
use terminal::count;

use crate::output::Output;

/// Which part of the samples this sender sends, and by what name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Streaming")]
pub(crate) struct Stream {
    /// Name of the stream; each sender of a receiver has another [default: from-<OFFSET>, or share-<I>-of-<N>]
    #[arg(long, value_name = "NAME", value_parser = stream_name)]
    stream: Option<String>,
    /// This sender's share where N senders deal out the batches in turn: 0/3, 1/3 and 2/3; each sends every third batch. All
    /// other flags say what all of them send together, and are the same for each
    #[arg(long, value_name = "I/N")]
    share: Option<Share>,
    /// Send without an end, from --offset on: after the dataset's last sample comes its first again, as a new one, with the
    /// next number. It is over when the receiver is stopped, which then has a complete directory; a sender that is stopped can go on
    #[arg(long, conflicts_with = "samples")]
    endless: bool,
}

/// A whole dataset, and which of its samples are to be streamed.
pub(crate) struct Found {
    dir: PathBuf,
    dataset: Dataset,
    /// None if they have no end.
    range: Option<Range<usize>>,
}

/// Provides the dataset and checks that it holds what is to be streamed.
pub(crate) fn find(flags: &Streaming, stream: &Stream, output: &Output, shutdown: &Shutdown) -> anyhow::Result<Found> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(|error| coded(error.into()))?;
    let range = (!stream.endless).then(|| range(dataset.samples.len(), flags, &dir)).transpose()?;
    output.data(&dir, dataset.digest());
    Ok(Found { dir, dataset, range })
}

impl Found {
    /// Says what is there, in a line.
    pub(crate) fn tell(&self, output: &Output) {
        let Found { dir, dataset, .. } = self;
        let samples = count(dataset.samples.len(), "sample");
        output.result(&format!("{}: {samples} to send, in `{}`", dataset.name, dir.display()));
    }

    /// What is to be streamed, and nothing beside it.
    ///
    /// # Errors
    /// When that is nothing at all.
    pub(crate) fn source(self, flags: &Streaming, stream: &Stream) -> anyhow::Result<Source> {
        let dataset_digest = self.dataset.digest();
        let Dataset { name: dataset, mut samples, .. } = self.dataset;
        let (share, batch) = (stream.share.unwrap_or(Share::WHOLE), flags.samples_per_batch.into());
        let (first, extent) = match self.range {
            None => (0, share.endless(flags.offset, batch)),
            Some(range) => {
                let seqs = range.start as u64..range.end as u64;
                samples.keep(range);
                (seqs.start, share.extent(seqs, batch))
            }
        };
        let nothing = |what| anyhow!("there cannot be {what}; look at --offset, --samples and --share");
        extent.check().map_err(|what| failure(Code::Usage, nothing(what)))?;
        let supply = Supply::new(first, samples);
        Ok(Source { stream: stream.name(flags.offset), dataset, dataset_digest, extent, supply })
    }
}

impl Stream {
    fn name(&self, offset: u64) -> String {
        match (&self.stream, self.share) {
            (Some(name), _) => name.clone(),
            (None, Some(share)) => format!("share-{}-of-{}", share.index(), share.count()),
            (None, None) => format!("from-{offset}"),
        }
    }
}

fn stream_name(text: &str) -> Result<String, String> {
    let rule = format!("give letters, digits, `.`, `_` or `-`, at most {}", proto::message::MAX_NAME);
    if proto::message::is_name(text) { Ok(text.to_owned()) } else { Err(rule) }
}

fn provide(flags: &Streaming, output: &Output, shutdown: &Shutdown) -> anyhow::Result<PathBuf> {
    let choice = match flags.dataset {
        flags::Dataset::Auto => Choice::Auto,
        flags::Dataset::Mnist => Choice::Mnist,
        flags::Dataset::Generated => Choice::Generated,
    };
    let provided = download::provide(choice, flags.data.as_deref(), &mut |progress| {
        output.providing(&progress);
        if shutdown.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    output.finish();
    let Provided { dir, notice } = provided.map_err(coded)?;
    if let Some(notice) = notice {
        output.notice(notice);
    }
    Ok(dir)
}

/// Which of so many samples the flags ask for.
fn range(samples: usize, flags: &Streaming, dir: &Path) -> anyhow::Result<Range<usize>> {
    let (first, end) = (flags.offset, flags.offset.saturating_add(flags.samples));
    if end > samples as u64 {
        let has = count(samples, "sample");
        let text = format!("--samples {} from --offset {first}: `{}` has {has}", flags.samples, dir.display());
        return Err(failure(Code::Usage, anyhow!(text)));
    }
    Ok(first as usize..end as usize)
}

fn coded(error: download::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}
