//! The key file: one line of text that only its owner may read, with the secret that a receiver shares with its senders.
//! The first receiver makes it; a sender on another machine needs a copy. Command lines name the file, and nothing shows
//! what is in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use process::private::{self, Fault};
use proto::Key;
use zeroize::Zeroizing;

/// What the line begins with; the number is the format's version.
const PREFIX: &str = "tributary-key-1 ";
/// More bytes than the line has.
const MOST: usize = 128;

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

    fn of(path: &Path, fault: Fault) -> Error {
        let path = path.to_owned();
        match fault {
            Fault::Missing => Error::Missing(path),
            Fault::Exists => Error::Exists(path),
            Fault::Exposed => Error::Exposed(path),
            Fault::Unprotectable => Error::Unprotectable(path),
            Fault::Malformed => Error::Malformed(path),
            Fault::Io(action, source) => Error::Io { action, path, source },
        }
    }
}

/// The key in a file.
///
/// # Errors
/// When there is none, when it holds something else, and when other users may read it.
pub fn read(path: &Path) -> Result<Key, Error> {
    let text = private::read(path, MOST).map_err(|fault| Error::of(path, fault))?;
    parse(&text).ok_or_else(|| Error::Malformed(path.to_owned()))
}

/// Makes a new key and its file in one step: nobody reads half a key, and of two that make one at the same time, one gets
/// [`Error::Exists`].
///
/// # Errors
/// When the file exists or cannot be written, or its file system would open it to other users.
pub fn create(path: &Path) -> Result<Key, Error> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|source| Error::Io { action: "create", path: dir.to_owned(), source })?;
    let mut bytes = Zeroizing::new([0; 32]);
    let action = "make a key for";
    getrandom::fill(&mut *bytes).map_err(|error| Error::of(path, Fault::Io(action, error.into())))?;
    private::create(path, &line(&bytes)).map_err(|fault| Error::of(path, fault))?;
    Ok(Key::new(*bytes))
}

fn line(key: &[u8; 32]) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(MOST)); // Enough, so that no copy is left behind.
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

    #[test]
    fn where_no_file_can_be_closed_the_advice_is_another_place() {
        let error = Error::Unprotectable("drive/key".into());
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("--key") && !error.to_string().contains("chmod"), "{error}");
    }
}
