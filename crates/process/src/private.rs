//! Files with a secret: a line of text that only their owner may read.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

use zeroize::Zeroizing;

/// Why there is no secret.
#[derive(Debug)]
pub enum Fault {
    /// No file has that name.
    Missing,
    /// One was to be made, and there is a file of that name.
    Exists,
    /// Others than the owner may read the file, or change it.
    Exposed,
    /// The file system opens all files to all users, whatever is asked of it.
    Unprotectable,
    /// It is no file, or holds no text.
    Malformed,
    /// The operating system refused: what was being done, and its answer.
    Io(&'static str, io::Error),
}

/// For `map_err`.
fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Fault {
    move |error| Fault::Io(action, error)
}

/// The text in a file, no more than `most` bytes of it.
///
/// # Errors
/// When there is none, and when other users may read it.
pub fn read(path: &Path, most: usize) -> Result<Zeroizing<String>, Fault> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Fault::Missing),
        // Opening a pipe would wait for somebody to write to it.
        Ok(other) if !other.is_file() => return Err(Fault::Malformed),
        found => found.map_err(failed("open"))?,
    };
    let file = File::open(path).map_err(failed("open"))?;
    if is_exposed(&file).map_err(failed("read"))? {
        return Err(if can_protect(folder(path)) { Fault::Exposed } else { Fault::Unprotectable });
    }
    let mut text = Zeroizing::new(String::with_capacity(most)); // Enough, so that no copy is left behind.
    match file.take(most as u64).read_to_string(&mut text) {
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(Fault::Malformed),
        Err(error) => Err(Fault::Io("read", error)),
        Ok(_) => Ok(text),
    }
}

/// Makes a file with this text in one step: nobody reads half a secret, and of two that make one at the same time, one gets
/// [`Fault::Exists`].
///
/// # Errors
/// When the file exists or cannot be written, or its file system would open it to other users.
pub fn create(path: &Path, text: &str) -> Result<(), Fault> {
    let dir = folder(path);
    let mut file = private_file(dir).map_err(failed("write"))?;
    if is_exposed(file.as_file()).map_err(failed("write"))? {
        return Err(Fault::Unprotectable);
    }
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed("write"))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(Fault::Exists),
        Err(error) => Err(Fault::Io("write", error.error)),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that only its owner may read or change.
fn private_file(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".tributary-").tempfile_in(dir)
}

/// Whether files in this folder can be closed to other users. One is made to see, because file systems that cannot do it
/// have many names. Where none can be made, the answer is yes.
fn can_protect(dir: &Path) -> bool {
    private_file(dir).and_then(|file| is_exposed(file.as_file())).map_or(true, |exposed| !exposed)
}

#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    use rustix::process::{getegid, geteuid, getgroups};

    let found = file.metadata()?;
    let groups = getgroups()?;
    let in_group = groups.into_iter().chain([getegid()]).any(|group| group.as_raw() == found.gid());
    Ok(!is_private(found.mode(), found.uid(), geteuid().as_raw(), in_group))
}

/// Whether a file with this mode and owner is closed to other users, as user `us` sees it. A secret that is mounted into a
/// container may belong to root and be readable by a group of ours: it cannot be changed from here, and was made so on
/// purpose.
#[cfg(unix)]
fn is_private(mode: u32, owner: u32, us: u32, in_group: bool) -> bool {
    let is_mounted = owner == 0 && in_group && (us != owner || mode & 0o222 == 0);
    match mode & 0o077 {
        0 => true,
        0o040 => is_mounted,
        _ => false,
    }
}

/// Elsewhere, a user's files are closed to others by default, and no mode says so.
#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_private_to_its_owner_or_mounted_for_our_group() {
        for (mode, owner, us, in_group, private) in [
            (0o600, 1000, 1000, false, true),
            (0o400, 0, 1000, false, true),
            // Mounted.
            (0o440, 0, 1000, true, true),
            (0o640, 0, 1000, true, true),
            (0o440, 0, 0, true, true),
            // Of others, or open to them.
            (0o440, 0, 1000, false, false),
            (0o440, 1001, 1000, true, false),
            (0o444, 0, 1000, true, false),
            (0o460, 0, 1000, true, false),
            // Ours: `chmod` helps.
            (0o440, 1000, 1000, true, false),
            (0o640, 1000, 1000, true, false),
            (0o640, 0, 0, true, false),
            (0o620, 1000, 1000, false, false),
            (0o601, 1000, 1000, false, false),
        ] {
            assert_eq!(is_private(mode, owner, us, in_group), private, "{mode:o} of {owner}, seen by {us}, {in_group}");
        }
    }

    #[test]
    fn a_folder_protects_its_files_unless_one_is_seen_to_be_exposed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(can_protect(dir.path()) && can_protect(&dir.path().join("absent")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_is_no_file_is_refused_without_opening_it() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, dir.path()] {
            assert!(matches!(read(path, 9), Err(Fault::Malformed)), "{}", path.display());
        }
    }
}
