//! Files that are complete or absent: whoever kills the process, and when, never leaves half a file behind.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Puts a file of ours with these bytes at `path`, in place of whatever is there, in one step that survives a power cut.
///
/// # Errors
/// When the disk is full or read-only, or the directory is missing.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    put(path, bytes).with_context(|| failed(path))
}

/// Writes these bytes to what a user named. A file is replaced as [`replace`] does it, also at the end of a link; a
/// device, a pipe or an open descriptor stays what it is and is written into.
///
/// # Errors
/// As [`replace`], and when whoever reads a pipe is gone.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || match target(path)? {
        Target::File(path) => put(&path, bytes),
        Target::Stdout => into(io::stdout().lock(), bytes),
        Target::Stderr => into(io::stderr().lock(), bytes),
        // A descriptor's file may hold something by now, which is not ours to overwrite.
        Target::Descriptor(path) => into(OpenOptions::new().append(true).open(path)?, bytes),
        Target::Other(path) => into(OpenOptions::new().write(true).open(path)?, bytes),
    };
    write().with_context(|| failed(path))
}

fn failed(path: &Path) -> String {
    format!("failed to write `{}`", path.display())
}

/// What stands at the end of a path that a user named.
enum Target {
    /// A file, or nothing yet.
    File(PathBuf),
    /// Ours. Opened a second time, it would have a position of its own, and what we print would overwrite the bytes.
    Stdout,
    /// As for stdout.
    Stderr,
    /// Another open descriptor of ours. The file that it is open on must not be replaced under it.
    Descriptor(PathBuf),
    /// A device, a pipe, a directory.
    Other(PathBuf),
}

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

fn target(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        if is_descriptor(&path) {
            return Ok(match path.file_name().and_then(|name| name.to_str()) {
                Some("1") => Target::Stdout,
                Some("2") => Target::Stderr,
                _ => Target::Descriptor(path),
            });
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => path = directory(&path).join(fs::read_link(&path)?),
            Ok(found) if !found.is_file() => return Ok(Target::Other(path)),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => return Ok(Target::File(path)),
        }
    }
    Err(io::Error::other("too many links that lead to each other"))
}

/// Whether the path names a descriptor of this process, as `/dev/fd/1` does, and `/dev/stdout` with one more link.
fn is_descriptor(path: &Path) -> bool {
    let Ok(directory) = directory(path).canonicalize() else { return false };
    ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"]
        .iter()
        .any(|descriptors| Path::new(descriptors).canonicalize().is_ok_and(|descriptors| descriptors == directory))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn into(mut open: impl Write, bytes: &[u8]) -> io::Result<()> {
    open.write_all(bytes)?;
    open.flush()
}

/// Removes what a process left that was killed while it replaced this file, if no other replaces it meanwhile.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_unfinished(path: &Path) -> anyhow::Result<()> {
    let temporary = temporary(path)?;
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", temporary.display()))
        }
        _ => Ok(()),
    }
}

/// What a file is called while it is written. One name per target, so that what a kill left behind goes with the next
/// attempt.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let mut temporary = OsString::from(".tmp-");
    temporary.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
    Ok(path.with_file_name(temporary))
}

/// As [`replace`], for who has words of his own for what the system says.
///
/// # Errors
/// As [`replace`].
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path)?;
    // It is removed, not opened: it may be a link that somebody else put there.
    let mut file = match File::create_new(&temporary) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary)?;
            File::create_new(&temporary)?
        }
        created => created?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_directory(directory(path))
}

/// Makes renames and new files in `directory` durable.
///
/// # Errors
/// When the directory cannot be opened, or the disk fails.
#[cfg(unix)]
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened like a file, and a rename is durable without it.
#[cfg(not(unix))]
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes a directory and all that is in it; it need not be there.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove_directory(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes of all files below `directory`, as far as it can be read just now: how much has arrived there.
pub fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    bytes.sum()
}

/// Lets the symbolic link `link` point to a directory, also if it pointed elsewhere: in one step, so that nobody finds it
/// missing.
///
/// # Errors
/// When links are not allowed, for one; Windows wants developer mode.
pub fn point(link: &Path, directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    use std::os::unix::fs::symlink;
    #[cfg(windows)]
    use std::os::windows::fs::symlink_dir as symlink;

    let new = link.with_file_name(format!(".tmp-link-{}", std::process::id()));
    symlink(directory, &new)?;
    fs::rename(&new, link).inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        os::unix::fs::{FileTypeExt, symlink},
        process::Command,
        thread,
    };

    use super::*;

    fn is_made(command: &str, arguments: &[&str], dir: &Path) -> bool {
        Command::new(command).args(arguments).current_dir(dir).output().is_ok_and(|output| output.status.success())
    }

    #[test]
    fn a_file_is_replaced_also_at_the_end_of_links_and_the_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("far")).unwrap();
        for (link, to) in [("link", "far/file"), ("second", "link"), ("dangling", "far/new"), ("loop", "loop")] {
            symlink(to, path(link)).unwrap();
        }
        fs::write(path("victim"), "old").unwrap();
        symlink("victim", path(".tmp-plain")).unwrap(); // Where the temporary file goes.
        for (name, file) in [
            ("plain", "plain"),
            ("plain", "plain"),
            ("link", "far/file"),
            ("second", "far/file"),
            ("dangling", "far/new"),
        ] {
            fs::write(path("far/file"), "old and longer").unwrap();
            write(&path(name), b"new").unwrap();
            assert_eq!(fs::read(path(file)).unwrap(), b"new", "{name}");
            assert_eq!(fs::symlink_metadata(path(name)).unwrap().is_symlink(), name != file, "{name}");
        }
        assert_eq!(fs::read(path("victim")).unwrap(), b"old");
        assert_eq!(fs::read_dir(path("far")).unwrap().count(), 2, "nothing is left behind");
        for wrong in ["loop", "far", "absent/file"] {
            let error = write(&path(wrong), b"new").unwrap_err();
            assert!(error.to_string().contains(&format!("{}`", path(wrong).display())), "{error}");
        }
        assert!(path("far").is_dir());
    }

    #[test]
    fn a_dangling_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("new"), dir.path().join("link"));
        symlink(dir.path().join("gone"), &link).unwrap();
        point(&link, &target).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), target);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_pipe_and_a_device_are_written_into_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(is_made("mkfifo", &["pipe"], dir.path()));
        symlink("pipe", path("link")).unwrap();
        for name in ["pipe", "link"] {
            let pipe = path("pipe");
            let reader = thread::spawn(move || fs::read(pipe).unwrap());
            write(&path(name), b"new").unwrap();
            assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo(), "{name}");
            assert_eq!(reader.join().unwrap(), b"new", "{name}");
        }
        if !is_made("mknod", &["null", "c", "1", "3"], dir.path()) {
            return drop(writeln!(io::stderr(), "skipped: only root can make a device"));
        }
        write(&path("null"), b"new").unwrap();
        assert!(fs::symlink_metadata(path("null")).unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else is left there");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_open_is_known_by_every_name() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/proc/self/fd/1", &link).unwrap();
        for stdout in [link.as_path(), Path::new("/proc/self/fd/1"), Path::new("/dev/fd/1")] {
            assert!(matches!(target(stdout).unwrap(), Target::Stdout), "{}", stdout.display());
        }
        assert!(matches!(target(Path::new("/proc/self/fd/2")).unwrap(), Target::Stderr));
        assert!(matches!(target(Path::new("/proc/self/fd/9")).unwrap(), Target::Descriptor(_)));
        assert!(matches!(target(Path::new("/proc/self/1")).unwrap(), Target::File(_)));
    }
}
