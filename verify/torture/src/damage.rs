//! Damage: every bit and every length of every file of a small chunk directory, and files removed, copied and renamed. All
//! of it must be an error that names the file; none may change what is read.
//!
//! Some changes are no damage. `.lock`, `.tmp-…`, `.rejected` and other hidden files say nothing about the samples, so a
//! reader looks past them. Of a directory that is not finished, the last chunks may be missing: that is how a killed
//! receiver leaves it, and their senders send them again. A checkpoint is damaged in the same ways.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use sample::{Extent, PIXELS, SampleSlice};
use store::{DatasetId, Disk, Error, Mode, Store};
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
pub fn run(weight_bits: usize) -> anyhow::Result<Finding> {
    let mut all = Finding::default();
    for reader in [Reader::Complete, Reader::Unfinished] {
        let mut trial = Trial::new(reader)?;
        trial.damage_bytes()?;
        trial.damage_names()?;
        trial.remove()?;
        trial.exchange()?;
        trial.add_files()?;
        all.add(trial.finding);
    }
    sealed::run(weight_bits, &mut all)?;
    Ok(all)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Complete,   // A trainer, once everything is there.
    Unfinished, // A receiver that goes on.
}

impl Reader {
    fn read(self, dir: &Path) -> Result<usize, Error> {
        match self {
            Reader::Complete => store::read(dir).map(|(_, rows)| rows.samples.len()),
            Reader::Unfinished => {
                let mut samples = 0;
                let count = |replay: store::Replay<'_>| samples += replay.samples.len();
                let store = Store::open_on(Arc::new(Disk), dir, Mode::Continue, PER_CHUNK, count)?;
                assert_eq!(store.samples(), samples as u64);
                Ok(samples)
            }
        }
    }
}

const PER_CHUNK: usize = 2;

/// A file and what is put into it; nothing takes it away.
type Change<'a> = (&'a str, Option<&'a [u8]>);

/// A directory that is damaged and mended again and again.
struct Trial {
    dir: TempDir,
    reader: Reader,
    /// Name and bytes of every file as it was written: the chunks by number, then the manifest, if there is one.
    files: Vec<(String, Vec<u8>)>,
    finding: Finding,
}

impl Trial {
    /// Five samples of two streams in three chunks.
    fn new(reader: Reader) -> anyhow::Result<Self> {
        // In memory, if it can be: the disk would make every change wait.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        write(dir.path(), reader, 0)?;
        let mut names: Vec<String> = visible(dir.path())?;
        names.sort();
        names.rotate_left(usize::from(reader == Reader::Complete)); // An underscore comes before letters.
        let read = |name: String| Ok((name.clone(), fs::read(dir.path().join(name))?));
        let files = names.into_iter().map(read).collect::<io::Result<_>>()?;
        anyhow::ensure!(reader.read(dir.path())? == 5, "the directory is not what it should be");
        Ok(Trial { dir, reader, files, finding: Finding::default() })
    }

    /// Every flipped bit, every length, and bytes too many.
    fn damage_bytes(&mut self) -> io::Result<()> {
        for (name, good) in self.files.clone() {
            let expect = Err((DAMAGED, &*name));
            let mut bad = good.clone();
            for bit in 0..8 * good.len() {
                bad[bit / 8] ^= 1 << (bit % 8);
                self.check("bits flipped", &[(&name, Some(&bad))], expect)?;
                bad[bit / 8] ^= 1 << (bit % 8);
            }
            for length in (0..good.len()).rev() {
                self.check("lengths cut to", &[(&name, Some(&good[..length]))], expect)?;
            }
            for more in [&[0][..], &good] {
                self.check("bytes appended", &[(&name, Some(&[&good, more].concat()))], expect)?;
            }
        }
        self.check("mended", &[], Ok(5))
    }

    /// Every chunk under other names, as a copy and instead of its own.
    fn damage_names(&mut self) -> io::Result<()> {
        let files = self.files.clone();
        let chunks: Vec<_> = files.iter().filter(|(name, _)| name != MANIFEST).collect();
        for (number, (name, good)) in chunks.iter().enumerate() {
            let digest = &name["chunk-00000000-".len()..];
            let numbered = |number: usize| format!("chunk-{number:08}-{digest}");
            let other_digit = if digest.starts_with('0') { "1" } else { "0" };
            let flipped = format!("chunk-{number:08}-{other_digit}{}", &digest[1..]);
            let free = chunks.len();
            let is_complete = self.reader == Reader::Complete;
            for other in [numbered(free), numbered(free + 1), numbered((number + 1) % free), flipped] {
                let (copy, gone) = ((&*other, Some(&**good)), (&**name, None));
                self.check("chunks copied", &[copy], wrong(is_complete, &other))?;
                self.check("chunks renamed", &[copy, gone], wrong(is_complete, name))?;
            }
            let other = name.replace(".parquet", ".bak");
            let (copy, gone) = ((&*other, Some(&**good)), (&**name, None));
            self.check("chunks copied", &[copy], Err((FOREIGN, &other)))?;
            // What is missing is worse than what is too much, where it is known to be missing.
            let code = if is_complete { DAMAGED } else { FOREIGN };
            self.check("chunks renamed", &[copy, gone], Err((code, &other)))?;
        }
        Ok(())
    }

    /// Every set of files but the whole.
    fn remove(&mut self) -> io::Result<()> {
        let files = self.files.clone();
        for kept in 0..(1_u32 << files.len()) - 1 {
            let is_kept = |index: &usize| kept & 1 << index != 0;
            let gone: Vec<usize> = (0..files.len()).filter(|index| !is_kept(index)).collect();
            let changes: Vec<Change<'_>> = gone.iter().map(|&index| (&*files[index].0, None)).collect();
            let missing = format!("chunk {}, which comes before it", gone[0]);
            let (kind, expect) = match self.reader {
                Reader::Complete if is_kept(&(files.len() - 1)) => {
                    ("sets of files removed", Err((DAMAGED, &*files[gone[0]].0)))
                }
                Reader::Complete => ("sets of files removed", Err((DAMAGED, MANIFEST))),
                // Chunks that were never written leave no gap.
                Reader::Unfinished if kept.trailing_ones() == 32 - kept.leading_zeros() => {
                    ("last chunks not there", Ok((PER_CHUNK * gone[0]).min(5)))
                }
                Reader::Unfinished => ("sets of files removed", Err((DAMAGED, &*missing))),
            };
            self.check(kind, &changes, expect)?;
        }
        Ok(())
    }

    /// Contents of two files exchanged, and files of another directory in the place of these. Without a manifest, they
    /// may be what a receiver would have written.
    fn exchange(&mut self) -> anyhow::Result<()> {
        if self.reader == Reader::Unfinished {
            return Ok(());
        }
        let files = self.files.clone();
        for (a, (name, good)) in files.iter().enumerate() {
            for (other, bad) in &files[a + 1..] {
                let changes = [(&**name, Some(&**bad)), (other, Some(good))];
                self.check("files exchanged", &changes, Err((DAMAGED, "")))?;
            }
        }
        let elsewhere = tempfile::tempdir()?;
        write(elsewhere.path(), self.reader, 100)?;
        for name in visible(elsewhere.path())? {
            let bytes = fs::read(elsewhere.path().join(&name))?;
            self.check("files of another directory", &[(&name, Some(&bytes))], Err((DAMAGED, ".parquet")))?;
        }
        Ok(())
    }

    fn add_files(&mut self) -> io::Result<()> {
        const ANYTHING: Option<&[u8]> = Some(b"anything");
        for name in [".lock", ".tmp-chunk-00000003", ".hidden", ".chunk-00000003-0123456789abcdef.parquet"] {
            self.check("hidden files", &[(name, ANYTHING)], Ok(5))?;
        }
        let [temporary, hidden] = [".tmp-chunk-00000003", ".hidden"];
        self.put(temporary, ANYTHING)?;
        self.put(hidden, ANYTHING)?;
        let _ = self.reader.read(self.dir.path());
        let swept = !self.path(temporary).exists();
        let is_receiver = self.reader == Reader::Unfinished;
        self.finding.hold(swept == is_receiver, || "a temporary file is not swept by a receiver".into());
        self.finding.hold(self.path(hidden).exists(), || "a hidden file of somebody else is gone".into());
        self.put(temporary, None)?;
        self.put(hidden, None)?;

        let rejected = (".rejected", Some(&b"what arrived\x1b[2J is not what was sent"[..]));
        let (kind, expect) = match self.reader {
            Reader::Complete => ("hidden files", Ok(5)),
            Reader::Unfinished => ("given up", Err((DAMAGED, "what arrived [2J is not"))),
        };
        self.check(kind, &[rejected], expect)?;
        for name in ["notes.txt", "chunk-3.parquet", "_SUCCESS.bak", "part-0.parquet"] {
            self.check("foreign files", &[(name, ANYTHING)], Err((FOREIGN, name)))?;
        }
        Ok(())
    }

    /// Changes files, looks at what a reader makes of them, and mends them. So many samples must be read, or the directory
    /// refused with this exit code, in words that hold this text.
    fn check(&mut self, kind: &str, changes: &[Change<'_>], expect: Result<usize, (u8, &str)>) -> io::Result<()> {
        changes.iter().try_for_each(|(name, bytes)| self.put(name, *bytes))?;
        let got = self.reader.read(self.dir.path());
        let is_right = match (&got, expect) {
            (Ok(samples), Ok(expected)) => *samples == expected,
            (Err(error), Err((code, text))) => error.exit_code() == code && error.to_string().contains(text),
            _ => false,
        };
        self.finding.cases += 1;
        self.finding.count(format!("{:?} directory, {kind}", self.reader).to_lowercase());
        if !is_right && self.finding.violations.len() < TOLD {
            let damage: Vec<String> = changes.iter().map(|change| self.describe(change)).collect();
            self.finding.violations.push(format!("{}: {got:?}", damage.join(" and ")));
        }
        changes.iter().try_for_each(|(name, _)| self.put(name, self.good(name)))
    }

    fn describe(&self, (name, bytes): &Change<'_>) -> String {
        let (Some(bytes), good) = (bytes, self.good(name).unwrap_or_default()) else { return format!("no {name}") };
        let same = bytes.iter().zip(good).take_while(|(byte, good)| byte == good).count();
        let next = bytes.get(same);
        format!("{name} of {} bytes, of which the first {same} are as they were, then {next:?}", bytes.len())
    }

    /// What a file was written with.
    fn good(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, bytes)| &**bytes)
    }

    fn put(&self, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
        let path = self.path(name);
        match bytes {
            Some(bytes) => fs::write(path, bytes),
            None if path.exists() => fs::remove_file(path),
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Of two files with one number, only a manifest tells which is wrong.
fn wrong(has_manifest: bool, name: &str) -> Result<usize, (u8, &str)> {
    Err((DAMAGED, if has_manifest { name } else { ".parquet" }))
}

/// Writes samples 0..3 of stream `a` and 0..2 of stream `b`, all of this colour or the next.
fn write(dir: &Path, reader: Reader, colour: u8) -> anyhow::Result<()> {
    let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
    let mut store = Store::open(dir, Mode::Continue, PER_CHUNK)?;
    for (stream, end) in [("a", 3), ("b", 2)] {
        store.open_stream(stream, &dataset, Extent::range(0..end))?;
    }
    for (stream, seq) in [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2)] {
        store.append(stream, seq, SampleSlice { labels: &[seq as u8], images: &[colour + seq as u8; PIXELS] })?;
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
    Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().filter(|name| !name.starts_with('.')).collect())
}
