//! The key file: one line of text that only its owner may read, with the secret that a receiver shares with its senders.
//! The first receiver makes it; a sender on another machine needs a copy. Command lines name the file, and nothing shows
//! what is in it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use proto::Key;
use zeroize::Zeroizing;

/// What the line begins with; the number is the format's version.
const PREFIX: &str = "tributary-key-1 ";

/// Why there is no key. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file has that name.
    #[error("there is no key file `{}`", .0.display())]
    Missing(PathBuf),
    /// A new key was to be made, and there is a file of that name.
    #[error("`{}` exists already, and senders may depend on it; remove it, or give another --key", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may read the file, or change it.
    #[error("`{path}` is open to other users: run `chmod 600 {path}`, or make a new key", path = .0.display())]
    Exposed(PathBuf),
    /// The file system opens all files to all users, whatever is asked of it.
    #[error(
        "`{}` is open to other users, and its file system, as that of a Windows drive or a USB stick, cannot close it: \
         move the key to another one, such as your home folder, and name it with --key",
        .0.display()
    )]
    Unprotectable(PathBuf),
    /// The file holds something else.
    #[error("`{}` holds no key: copy the receiver's, or remove it and let `receiver keygen` make one", .0.display())]
    Malformed(PathBuf),
    /// The operating system refused to read or write.
    #[error("failed to {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Malformed(_) => 65,
            Error::Missing(_) => 69,
            Error::Exists(_) => 73,
            Error::Io { .. } => 74,
            Error::Exposed(_) | Error::Unprotectable(_) => 78,
        }
    }

    /// For `map_err`.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }
}

/// The key in a file.
///
/// # Errors
/// When there is none, when it holds something else, and when other users may read it.
pub fn read(path: &Path) -> Result<Key, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(path.to_owned())),
        // Opening a pipe would wait for somebody to write to it.
        Ok(other) if !other.is_file() => return Err(Error::Malformed(path.to_owned())),
        found => found.map_err(Error::io("open", path))?,
    };
    let file = File::open(path).map_err(Error::io("open", path))?;
    if is_exposed(&file).map_err(Error::io("read", path))? {
        let error = if can_protect(folder(path)) { Error::Exposed } else { Error::Unprotectable };
        return Err(error(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    match file.take(128).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Error::Malformed(path.to_owned())),
        read => read.map_err(Error::io("read", path))?,
    };
    parse(&text).ok_or_else(|| Error::Malformed(path.to_owned()))
}

/// Makes a new key and its file in one step: nobody reads half a key, and of two that make one at the same time, one gets
/// [`Error::Exists`].
///
/// # Errors
/// When the file exists or cannot be written, or its file system would open it to other users.
pub fn create(path: &Path) -> Result<Key, Error> {
    let dir = folder(path);
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| Error::io("make a key for", path)(error.into()))?;
    let mut file = private_file(dir).map_err(Error::io("write", path))?;
    if is_exposed(file.as_file()).map_err(Error::io("write", path))? {
        return Err(Error::Unprotectable(path.to_owned()));
    }
    file.write_all(line(&bytes).as_bytes()).map_err(Error::io("write", path))?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(Key::new(*bytes)),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(Error::Exists(path.to_owned())),
        Err(error) => Err(Error::io("write", path)(error.error)),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file that only its owner may read or change.
fn private_file(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".tributary-key-").tempfile_in(dir)
}

/// Whether files in this folder can be closed to other users. One is made to see, because file systems that cannot do it
/// have many names. Where none can be made, the answer is yes.
fn can_protect(dir: &Path) -> bool {
    private_file(dir).and_then(|file| is_exposed(file.as_file())).map_or(true, |exposed| !exposed)
}

fn line(key: &[u8; 32]) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(128)); // Enough, so that no copy is left behind.
    let digits = Zeroizing::new(hex::encode(key));
    [PREFIX, &digits, "\n"].into_iter().for_each(|part| line.push_str(part));
    line
}

fn parse(text: &str) -> Option<Key> {
    let digits = text.trim_end().strip_prefix(PREFIX)?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *bytes).ok()?;
    Some(Key::new(*bytes))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_one_line_that_only_its_owner_may_read_or_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/key");
        let key = create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), "tributary-key-1 ".len() + 64 + 1);
        assert_eq!(line(&[0x5f; 32]).as_str(), format!("tributary-key-1 {}\n", "5f".repeat(32)));
        assert_eq!(*read(&path).unwrap().derive(b"x"), *key.derive(b"x"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains(&format!("run `chmod 600 {}`", path.display())), "{error}");
        }
    }

    #[test]
    fn no_two_keys_are_the_same_and_of_many_who_make_one_at_once_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let other = create(&dir.path().join("other")).unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..16).map(|_| scope.spawn(|| create(&path))).collect();
            makers.into_iter().filter_map(|maker| maker.join().unwrap().ok()).collect()
        });
        assert_eq!(made.len(), 1);
        assert_ne!(*made[0].derive(b"x"), *other.derive(b"x"));
        assert!(matches!(create(&path), Err(Error::Exists(_))), "none is overwritten");
        assert_eq!(*read(&path).unwrap().derive(b"x"), *made[0].derive(b"x"));
    }

    /// A file that only its owner may read.
    fn written(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn anything_but_a_key_is_refused_and_the_file_is_named() {
        let digits = "0123456789abcdef".repeat(4);
        assert!(read(written(format!("tributary-key-1 {digits}")).path()).is_ok(), "a lost line end is no harm");
        for wrong in [
            String::new(),
            digits.clone(),
            format!("tributary-key-2 {digits}\n"),
            format!("tributary-key-1 {}\n", &digits[1..]),
            format!("tributary-key-1 {digits}0\n"),
            format!("tributary-key-1 {digits}\n{digits}{digits}\n"),
            format!("tributary-key-1 +{}\n", &digits[1..]),
            format!("tributary-key-1 {}é\n", &digits[2..]),
        ] {
            let file = written(&wrong);
            let error = read(file.path()).unwrap_err();
            assert!(matches!(error, Error::Malformed(_)), "{wrong}");
            assert!(error.to_string().contains(file.path().to_str().unwrap()));
        }
        assert!(matches!(read(written([0xff; 81]).path()), Err(Error::Malformed(_))));
        assert!(matches!(read(Path::new("no/such/file")), Err(Error::Missing(_))));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_without_opening_it() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, dir.path()] {
            assert!(matches!(read(path), Err(Error::Malformed(_))), "{}", path.display());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_private_to_its_owner_or_mounted_for_our_group() {
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

    #[cfg(unix)]
    #[test]
    fn a_folder_protects_its_files_unless_one_is_seen_to_be_exposed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(can_protect(dir.path()) && can_protect(&dir.path().join("absent")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        let error = Error::Unprotectable("drive/key".into());
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("--key") && !error.to_string().contains("chmod"), "{error}");
    }
}
