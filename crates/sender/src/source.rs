//! From flags to samples in memory.

use std::{
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use dataset::{Dataset, Split};
use download::{Choice, Provided};
use flags::Streaming;
use process::{
    exit::{Code, failure},
    shutdown::Shutdown,
};
use sender::Source;
use terminal::count;

use crate::output::Output;

/// A whole dataset, and which of its samples are to be streamed.
pub(crate) struct Found {
    dir: PathBuf,
    dataset: Dataset,
    range: Range<usize>,
}

/// Provides the dataset and checks that it holds what is to be streamed.
pub(crate) fn find(flags: &Streaming, output: &Output, shutdown: &Shutdown) -> anyhow::Result<Found> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(|error| coded(error.into()))?;
    let range = range(dataset.samples.len(), flags, &dir)?;
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
    pub(crate) fn source(self, stream: Option<String>) -> Source {
        let dataset_digest = self.dataset.digest();
        let Dataset { name: dataset, mut samples, .. } = self.dataset;
        let first = self.range.start;
        samples.keep(self.range);
        let stream = stream.unwrap_or_else(|| format!("from-{first}"));
        Source { stream, dataset, dataset_digest, first: first as u64, samples }
    }
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
