//! From flags to samples in memory.

use std::{
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use dataset::{Dataset, Drift, Split, Supply};
use download::{Choice, Provided};
use flags::Streaming;
use process::{
    exit::{Code, failure},
    shutdown::Shutdown,
};
use proto::message::MAX_DATASET_NAME;
use sample::Share;
use sender::Source;
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
}

/// A dataset that is there, and what of it is to be streamed.
pub(crate) struct Found {
    dir: PathBuf,
    /// With its drift, as its digest.
    name: String,
    digest: [u8; 32],
    samples: usize,
    supply: Supply,
    /// None if there is no end.
    seqs: Option<Range<u64>>,
}

/// Provides the dataset and checks that it holds what is to be streamed.
pub(crate) fn find(flags: &Streaming, output: &Output, shutdown: &Shutdown) -> anyhow::Result<Found> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(|error| coded(error.into()))?;
    let (name, digest) = (flags.drift.name(&dataset.name), flags.drift.digest(dataset.digest()));
    if name.len() > MAX_DATASET_NAME {
        return Err(failure(Code::Usage, anyhow!("`{name}` is too long a name for a dataset; use less --drift")));
    }
    let samples = dataset.samples.len();
    let seqs = (!flags.endless).then(|| seqs(samples, flags, &dir)).transpose()?;
    let supply = supply(dataset, &flags.drift, seqs.as_ref())
        .map_err(|what| failure(Code::Data, anyhow!("`{}` {what}", dir.display())))?;
    output.data(&dir, digest);
    Ok(Found { dir, name, digest, samples, supply, seqs })
}

impl Found {
    /// Says what is there, in a line.
    pub(crate) fn tell(&self, output: &Output) {
        let samples = count(self.samples, "sample");
        output.result(&format!("{}: {samples} to send, in `{}`", self.name, self.dir.display()));
    }

    /// The stream that this sender sends.
    ///
    /// # Errors
    /// When that is nothing at all.
    pub(crate) fn source(self, flags: &Streaming, stream: &Stream) -> anyhow::Result<Source> {
        let (share, batch) = (stream.share.unwrap_or(Share::WHOLE), flags.samples_per_batch.into());
        let extent = match self.seqs {
            None => share.endless(flags.offset, batch),
            Some(seqs) => share.extent(seqs, batch),
        };
        let nothing = |what| anyhow!("there cannot be {what}; look at --offset, --samples and --share");
        extent.check().map_err(|what| failure(Code::Usage, nothing(what)))?;
        let (dataset, dataset_digest) = (self.name, self.digest);
        Ok(Source { stream: stream.name(flags.offset), dataset, dataset_digest, extent, supply: self.supply })
    }
}

/// The samples with these seqs, or without an end. Memory holds nothing beside them, unless a drift may bring any sample of the
/// dataset.
fn supply(dataset: Dataset, drift: &Drift, seqs: Option<&Range<u64>>) -> Result<Supply, String> {
    match seqs {
        Some(seqs) if drift.is_none() => {
            let mut samples = dataset.samples;
            samples.keep(seqs.start as usize..seqs.end as usize);
            Ok(Supply::new(seqs.start, samples))
        }
        _ => Supply::of(dataset, drift),
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
fn seqs(samples: usize, flags: &Streaming, dir: &Path) -> anyhow::Result<Range<u64>> {
    let (first, end) = (flags.offset, flags.offset.saturating_add(flags.samples));
    if end > samples as u64 {
        let has = count(samples, "sample");
        let text = format!("--samples {} from --offset {first}: `{}` has {has}", flags.samples, dir.display());
        return Err(failure(Code::Usage, anyhow!(text)));
    }
    Ok(first..end)
}

fn coded(error: download::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}
