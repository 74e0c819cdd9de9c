//! From flags to samples in memory.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use cli::{
    exit::{Code, failure},
    flags::{self, Streaming},
};
use dataset::{Choice, Dataset, PIXELS, Provided, Split};
use sender::Source;

use crate::output::Output;

/// Provides the dataset and reads what is to be streamed.
pub(crate) fn prepare(flags: &Streaming, stream: Option<String>, output: &Output) -> anyhow::Result<Source> {
    let dir = provide(flags, output)?;
    let dataset = dataset::load(&dir, Split::Train).map_err(coded)?;
    let digest = dataset.digest();
    let source = slice(dataset, flags, &dir, stream)?;
    output.data(&dir, digest);
    Ok(source)
}

fn provide(flags: &Streaming, output: &Output) -> anyhow::Result<PathBuf> {
    let choice = match flags.dataset {
        flags::Dataset::Auto => Choice::Auto,
        flags::Dataset::Mnist => Choice::Mnist,
        flags::Dataset::Generated => Choice::Generated,
    };
    let environment = std::env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let provided = dataset::provide(choice, flags.data.as_deref(), environment.as_deref(), &mut |progress| {
        output.providing(&progress);
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
    let (first, length) = (flags.offset, dataset.len() as u64);
    let end = first.saturating_add(flags.samples);
    if end > length {
        let text =
            format!("--samples {} from --offset {first}: `{}` has {length} samples", flags.samples, dir.display());
        return Err(failure(Code::Usage, anyhow!(text)));
    }
    let (from, to) = (first as usize, end as usize);
    Ok(Source {
        stream: stream.unwrap_or_else(|| format!("from-{first}")),
        dataset: dataset.name.clone(),
        dataset_digest: dataset.digest(),
        first,
        labels: dataset.labels[from..to].to_vec(),
        images: dataset.images[from * PIXELS..to * PIXELS].to_vec(),
    })
}

fn coded(error: dataset::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}
