//! Damage: every bit and every length of every file of a small chunk directory, and files removed, copied and renamed. All
//! of it must be an error that names the file; none may change what is read.
//!
//! Some changes are no damage. `.lock`, `.tmp-…`, `.rejected` and other hidden files say nothing about the samples, so a
//! reader looks past them. Of a directory that is not finished, the last chunks may be missing: that is how a killed
//! receiver leaves it, and their senders send them again. A checkpoint is damaged in the same ways.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use store::{DatasetId, Disk, Error, FileSystem, IMAGE_BYTES, Lock, Mode, NewFile, Store};
use tempfile::TempDir;

use crate::Finding;

mod sealed;

/// Exit codes: damage, and what is not ours.
const DAMAGED: u8 = 65;
const FOREIGN: u8 = 73;

const MANIFEST: &str = "_SUCCESS";

/// Violations that are told; one mistake may make thousands.
const TOLD: usize = 20;

/// Damages a complete directory and an unfinished one in every way, and a checkpoint, with so many bits of its weights.
///
/// # Errors
/// When there is no place for the directory.
pub fn run(weight_bits: usize) -> anyhow::Result<Finding> {
    let start = Instant::now();
    let mut trial = Trial::new(Reader::Complete)?;
    trial.damage_bytes()?;
    trial.damage_names()?;
    trial.remove()?;
    trial.exchange()?;
    trial.add_files()?;
    let mut unfinished = Trial::new(Reader::Unfinished)?;
    unfinished.damage_bytes()?;
    unfinished.damage_names()?;
    unfinished.remove()?;
    unfinished.add_files()?;
    let mut figures = trial.figures("complete");
    figures.extend(unfinished.figures("unfinished"));
    let sealed = sealed::run(weight_bits)?;
    figures.extend(sealed.figures);
    Ok(Finding {
        title: "Damaged files".into(),
        cases: trial.cases + unfinished.cases + sealed.cases,
        seed: 0,
        took: start.elapsed(),
        figures,
        violations: [trial.violations, unfinished.violations, sealed.violations].concat(),
    })
}

/// Who reads the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A trainer, once everything is there.
    Complete,
    /// A receiver that goes on.
    Unfinished,
}

impl Reader {
    /// The number of samples that were found.
    fn read(self, dir: &Path) -> Result<usize, Error> {
        match self {
            Reader::Complete => store::read(dir).map(|(_, samples)| samples.labels.len()),
            Reader::Unfinished => {
                let mut samples = 0;
                let count = |replay: store::Replay<'_>| samples += replay.labels.len();
                let store = Store::open_on(Arc::new(Unsynced), dir, Mode::Continue, PER_CHUNK, count)?;
                assert_eq!(store.samples(), samples as u64);
                Ok(samples)
            }
        }
    }
}

const PER_CHUNK: usize = 2;

/// A directory that is damaged and mended again and again.
struct Trial {
    dir: TempDir,
    reader: Reader,
    /// Name and bytes of every file as it was written: the chunks by number, then the manifest, if there is one.
    files: Vec<(String, Vec<u8>)>,
    cases: u64,
    counts: Vec<(&'static str, u64)>,
    violations: Vec<String>,
}

impl Trial {
    /// Five samples of two streams in three chunks.
    fn new(reader: Reader) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        write(dir.path(), reader, 0)?;
        let mut names: Vec<String> = visible(dir.path())?;
        names.sort();
        names.rotate_left(usize::from(reader == Reader::Complete)); // An underscore comes before letters.
        let read = |name: String| Ok((name.clone(), fs::read(dir.path().join(name))?));
        let files = names.into_iter().map(read).collect::<std::io::Result<_>>()?;
        let trial = Trial { dir, reader, files, cases: 0, counts: Vec::new(), violations: Vec::new() };
        anyhow::ensure!(reader.read(trial.dir.path())? == 5, "the directory is not what it should be");
        Ok(trial)
    }

    /// Every flipped bit, every length, and bytes too many.
    fn damage_bytes(&mut self) -> anyhow::Result<()> {
        for (name, good) in self.files.clone() {
            let path = self.path(&name);
            // In place: a file that is cut to nothing and written again would be sent to the disk each time.
            let mut file = File::options().write(true).open(&path)?;
            let mut put = |at: usize, byte: u8| {
                file.seek(SeekFrom::Start(at as u64))?;
                Write::write_all(&mut file, &[byte])
            };
            for (at, byte) in good.iter().enumerate() {
                for bit in 0..8 {
                    put(at, byte ^ 1 << bit)?;
                    self.expect_refusal("bits flipped", &format!("bit {bit} of byte {at} of {name}"), DAMAGED, &name);
                }
                put(at, *byte)?;
            }
            for length in (0..good.len()).rev() {
                file.set_len(length as u64)?;
                self.expect_refusal("lengths cut to", &format!("{length} bytes of {name}"), DAMAGED, &name);
            }
            for more in [&[0][..], &good] {
                fs::write(&path, [&good, more].concat())?;
                self.expect_refusal("bytes appended", &format!("{} bytes after {name}", more.len()), DAMAGED, &name);
            }
            fs::write(&path, good)?;
        }
        self.expect("mended", "all files as they were", 5);
        Ok(())
    }

    /// Every chunk under other names, as a copy and instead of its own.
    fn damage_names(&mut self) -> anyhow::Result<()> {
        let chunks = self.chunks();
        for (number, (name, good)) in chunks.iter().enumerate() {
            let digest = &name["chunk-00000000-".len()..];
            let numbered = |number: usize| format!("chunk-{number:08}-{digest}");
            let flipped =
                format!("chunk-{number:08}-{}{}", if digest.starts_with('0') { "1" } else { "0" }, &digest[1..]);
            let free = chunks.len();
            for other in [numbered(free), numbered(free + 1), numbered((number + 1) % free), flipped] {
                // Of two files with one number, only a manifest tells which is wrong.
                let [too_much, missing] = match self.reader {
                    Reader::Complete => [other.as_str(), name],
                    Reader::Unfinished => [".parquet"; 2],
                };
                fs::write(self.path(&other), good)?;
                self.expect_refusal("chunks copied", &format!("{name} as {other}"), DAMAGED, too_much);
                fs::remove_file(self.path(name))?;
                self.expect_refusal("chunks renamed", &format!("{name} to {other}"), DAMAGED, missing);
                fs::remove_file(self.path(&other))?;
                fs::write(self.path(name), good)?;
            }
            let other = name.replace(".parquet", ".bak");
            fs::write(self.path(&other), good)?;
            self.expect_refusal("chunks copied", &format!("{name} as {other}"), FOREIGN, &other);
            fs::remove_file(self.path(name))?;
            // What is missing is worse than what is too much, where it is known to be missing.
            let code = if self.reader == Reader::Complete { DAMAGED } else { FOREIGN };
            self.expect_refusal("chunks renamed", &format!("{name} to {other}"), code, &other);
            fs::remove_file(self.path(&other))?;
            fs::write(self.path(name), good)?;
        }
        Ok(())
    }

    /// Every set of files but the whole.
    fn remove(&mut self) -> anyhow::Result<()> {
        let files = self.files.clone();
        for kept in 0..(1_u32 << files.len()) - 1 {
            let is_kept = |index: usize| kept & 1 << index != 0;
            for (index, (name, _)) in files.iter().enumerate() {
                if !is_kept(index) {
                    fs::remove_file(self.path(name))?;
                }
            }
            let what = format!("files {:?} kept", (0..files.len()).filter(|&i| is_kept(i)).collect::<Vec<_>>());
            let first_missing = (0..files.len()).find(|&index| !is_kept(index)).unwrap_or(0);
            match self.reader {
                Reader::Complete => {
                    let missing = if is_kept(files.len() - 1) { &files[first_missing].0 } else { MANIFEST };
                    self.expect_refusal("sets of files removed", &what, DAMAGED, missing);
                }
                // Chunks that were never written leave no gap.
                Reader::Unfinished if kept.trailing_ones() == 32 - kept.leading_zeros() => {
                    self.expect("last chunks not there", &what, (PER_CHUNK * first_missing).min(5));
                }
                Reader::Unfinished => {
                    let missing = format!("chunk {first_missing}, which comes before it");
                    self.expect_refusal("sets of files removed", &what, DAMAGED, &missing);
                }
            }
            for (name, good) in &files {
                fs::write(self.path(name), good)?;
            }
        }
        Ok(())
    }

    /// Contents of two files exchanged, and files of another directory in the place of these.
    fn exchange(&mut self) -> anyhow::Result<()> {
        let files = self.files.clone();
        for (a, (name, good)) in files.iter().enumerate() {
            for (other, bad) in &files[a + 1..] {
                fs::write(self.path(name), bad)?;
                fs::write(self.path(other), good)?;
                self.expect_refusal("files exchanged", &format!("{name} and {other}"), DAMAGED, "");
                fs::write(self.path(name), good)?;
                fs::write(self.path(other), bad)?;
            }
        }
        let elsewhere = tempfile::tempdir()?;
        write(elsewhere.path(), self.reader, 100)?;
        for name in visible(elsewhere.path())? {
            let bytes = fs::read(elsewhere.path().join(&name))?;
            fs::write(self.path(&name), bytes)?;
            self.expect_refusal("files of another directory", &name, DAMAGED, ".parquet");
            fs::remove_file(self.path(&name))?;
            for (name, good) in &files {
                fs::write(self.path(name), good)?;
            }
        }
        Ok(())
    }

    /// Files that are no chunks and no manifest.
    fn add_files(&mut self) -> anyhow::Result<()> {
        for name in [".lock", ".tmp-chunk-00000003", ".hidden", ".chunk-00000003-0123456789abcdef.parquet"] {
            fs::write(self.path(name), b"anything")?;
            self.expect("hidden files", name, 5);
        }
        let swept = !self.path(".tmp-chunk-00000003").exists();
        self.hold(swept == (self.reader == Reader::Unfinished), || {
            "a temporary file is not swept by a receiver".into()
        });
        self.hold(self.path(".hidden").exists(), || "a hidden file of somebody else is gone".into());

        fs::write(self.path(".rejected"), b"what arrived\x1b[2J is not what was sent")?;
        match self.reader {
            Reader::Complete => self.expect("hidden files", ".rejected", 5),
            Reader::Unfinished => self.expect_refusal("given up", ".rejected", DAMAGED, "what arrived [2J is not"),
        }
        fs::remove_file(self.path(".rejected"))?;
        for name in ["notes.txt", "chunk-3.parquet", "_SUCCESS.bak", "part-0.parquet"] {
            fs::write(self.path(name), b"anything")?;
            self.expect_refusal("foreign files", name, FOREIGN, name);
            fs::remove_file(self.path(name))?;
        }
        Ok(())
    }

    /// The directory must be refused with this exit code, in words that name the file.
    fn expect_refusal(&mut self, kind: &'static str, what: &str, code: u8, name: &str) {
        let got = self.read(kind);
        let is_right = got.as_ref().is_err_and(|error| error.exit_code() == code && error.to_string().contains(name));
        self.hold(is_right, || format!("{what}: {got:?}"));
    }

    /// So many samples must be read.
    fn expect(&mut self, kind: &'static str, what: &str, samples: usize) {
        let got = self.read(kind);
        self.hold(matches!(got, Ok(read) if read == samples), || format!("{what}: {got:?}"));
    }

    fn read(&mut self, kind: &'static str) -> Result<usize, Error> {
        self.cases += 1;
        match self.counts.iter_mut().find(|(name, _)| *name == kind) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((kind, 1)),
        }
        self.reader.read(self.dir.path())
    }

    fn hold(&mut self, good: bool, violation: impl FnOnce() -> String) {
        if !good && self.violations.len() < TOLD {
            self.violations.push(violation());
        }
    }

    fn figures(&self, state: &str) -> Vec<(String, String)> {
        self.counts.iter().map(|(kind, count)| (format!("{state} directory, {kind}"), count.to_string())).collect()
    }

    fn chunks(&self) -> Vec<(String, Vec<u8>)> {
        self.files.iter().filter(|(name, _)| name != MANIFEST).cloned().collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Writes samples 0..3 of stream `a` and 0..2 of stream `b`, all of this colour or the next.
fn write(dir: &Path, reader: Reader, colour: u8) -> anyhow::Result<()> {
    let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
    let mut store = Store::open(dir, Mode::Continue, PER_CHUNK)?;
    for (stream, end) in [("a", 3), ("b", 2)] {
        store.open_stream(stream, &dataset, 0, end)?;
    }
    for (stream, seq) in [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2)] {
        store.append(stream, seq, &[seq as u8], &[colour + seq as u8; IMAGE_BYTES])?;
    }
    while store.has_pending() {
        store.commit()?;
    }
    if reader == Reader::Complete {
        store.complete(None, 0.5)?;
    }
    Ok(())
}

/// Names of the files that are not hidden.
fn visible(dir: &Path) -> anyhow::Result<Vec<String>> {
    let names = fs::read_dir(dir).context("failed to list the directory")?;
    let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(names.collect::<std::io::Result<Vec<_>>>()?.into_iter().filter(|name| !name.starts_with('.')).collect())
}

/// The disk without the waiting: nobody cuts the power here.
#[derive(Debug)]
struct Unsynced;

impl FileSystem for Unsynced {
    fn exists(&self, path: &Path) -> std::io::Result<bool> {
        Disk.exists(path)
    }

    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        Disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        Disk.list(dir)
    }

    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        Disk.read(path)
    }

    fn create(&self, path: &Path) -> std::io::Result<Box<dyn NewFile>> {
        Disk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        Disk.remove(path)
    }

    fn sync_dir(&self, _dir: &Path) -> std::io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Lock, fs::TryLockError> {
        Disk.lock(path)
    }
}
