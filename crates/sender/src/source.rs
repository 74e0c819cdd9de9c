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

/// Provides the dataset and checks that it holds what is to be streamed.
pub(crate) fn check(flags: &Streaming, output: &Output, shutdown: &Shutdown) -> anyhow::Result<()> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(|error| coded(error.into()))?;
    let samples = dataset.samples.len();
    range(samples, flags, &dir)?;
    output.data(&dir, dataset.digest());
    output.result(&format!("{}: {} to send, in `{}`", dataset.name, count(samples, "sample"), dir.display()));
    Ok(())
}

/// Provides the dataset and reads what is to be streamed.
pub(crate) fn read(
    flags: &Streaming,
    stream: Option<String>,
    output: &Output,
    shutdown: &Shutdown,
) -> anyhow::Result<Source> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(|error| coded(error.into()))?;
    let digest = dataset.digest();
    let source = slice(dataset, flags, &dir, stream)?;
    output.data(&dir, digest);
    Ok(source)
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

/// The part of the dataset that the flags ask for.
fn slice(dataset: Dataset, flags: &Streaming, dir: &Path, stream: Option<String>) -> anyhow::Result<Source> {
    let range = range(dataset.samples.len(), flags, dir)?;
    let dataset_digest = dataset.digest();
    let Dataset { name, mut samples, .. } = dataset;
    let first = range.start;
    samples.keep(range);
    Ok(Source {
        stream: stream.unwrap_or_else(|| format!("from-{first}")),
        dataset: name,
        dataset_digest,
        first: first as u64,
        samples,
    })
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
