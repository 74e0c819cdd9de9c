//! From flags to samples in memory.

use std::{
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use cli::{
    count,
    exit::{Code, failure},
    flags::{self, Streaming},
    shutdown::Shutdown,
};
use dataset::{Choice, Dataset, PIXELS, Provided, Split};
use sender::Source;

use crate::output::Output;

/// Provides the dataset and checks that it holds what is to be streamed.
pub(crate) fn check(flags: &Streaming, output: &Output, shutdown: &Shutdown) -> anyhow::Result<()> {
    let dir = provide(flags, output, shutdown)?;
    let dataset = dataset::check(&dir, Split::Train).map_err(coded)?;
    range(dataset.count, flags, &dir)?;
    output.data(&dir, dataset.digest);
    output.result(&format!("{}: {} to send, in `{}`", dataset.name, count(dataset.count, "sample"), dir.display()));
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
    let dataset = dataset::load(&dir, Split::Train).map_err(coded)?;
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
    let environment = std::env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let provided = dataset::provide(choice, flags.data.as_deref(), environment.as_deref(), &mut |progress| {
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
    let Range { start, end } = range(dataset.len(), flags, dir)?;
    Ok(Source {
        stream: stream.unwrap_or_else(|| format!("from-{start}")),
        dataset: dataset.name.clone(),
        dataset_digest: dataset.digest(),
        first: start as u64,
        labels: dataset.labels[start..end].to_vec(),
        images: dataset.images[start * PIXELS..end * PIXELS].to_vec(),
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

fn coded(error: dataset::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}
