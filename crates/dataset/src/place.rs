//! A place is where a dataset lies: a folder with its four files, or one `.npz` file. People have the files as their authors
//! publish them (`train-images-idx3-ubyte`), as the best-known archive names them (`train-images.idx3-ubyte`), with `.gz` or
//! without, each in a folder of its own name, as some programs unpack that archive, or below a root, as torchvision keeps them
//! (`MNIST/raw`). Whatever the layout, it is read file by file, unpacked.
//!
//! Names say which file is which. What a file *is*, its first bytes say.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{Error, FILES, idx, npz};

/// Where a dataset of this name lies if nobody says otherwise: digits that the program draws in `data/generated`, any other
/// in `$MNIST_DIR`, else in `data/mnist`.
pub fn default_dir(name: &str) -> PathBuf {
    match name {
        "generated" => "data/generated".into(),
        _ => environment().unwrap_or_else(|| "data/mnist".into()),
    }
}

/// `$MNIST_DIR`, if it is set.
pub fn environment() -> Option<PathBuf> {
    named(env::var_os("MNIST_DIR"))
}

/// An empty `MNIST_DIR=` is the shell's way of unsetting it for one command.
fn named(variable: Option<OsString>) -> Option<PathBuf> {
    variable.filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// The four files of a dataset, in the order of [`FILES`], as far as they are there.
type Files = [Option<PathBuf>; 4];

/// Where a dataset lies.
#[derive(Debug)]
pub struct Place {
    /// The folder that its files are in, or the one file that holds them all.
    pub(crate) path: PathBuf,
    /// `None` if one file holds them all.
    pub(crate) files: Option<Files>,
}

impl Place {
    /// Finds the dataset in `path`: that which lies in the folder itself, else the only one that lies below it.
    ///
    /// # Errors
    /// When there is no such folder or file, or there are several datasets below it.
    pub fn find(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            return Ok(Self { path: path.to_owned(), files: None });
        }
        if !path.is_dir() {
            return Err(Error::unusable(path, "is not there; name a folder with the four IDX files of a dataset"));
        }
        let at = |path: PathBuf, files| Self { path, files: Some(files) };
        let files = files_in(path);
        // What lies in the folder itself was meant, even if it is not complete.
        if files.iter().any(Option::is_some) {
            return Ok(at(path.to_owned(), files));
        }
        let folders = folders_below(path).map_err(Error::io("list", path))?;
        let mut below: Vec<_> = folders.into_iter().map(|folder| (files_in(&folder), folder)).collect();
        below.retain(|(files, _)| files.iter().any(Option::is_some));
        let is_complete = |(files, _): &(Files, PathBuf)| files.iter().all(Option::is_some);
        if below.iter().any(is_complete) {
            below.retain(is_complete);
        }
        below.sort_by(|(_, one), (_, other)| one.cmp(other));
        if below.len() > 1 {
            let names: Vec<_> = below.iter().map(|(_, folder)| format!("`{}`", folder.display())).collect();
            return Err(Error::unusable(
                path,
                format!("holds several datasets; name one of them: {}", names.join(", ")),
            ));
        }
        Ok(below.pop().map_or_else(|| at(path.to_owned(), files), |(files, folder)| at(folder, files)))
    }

    /// As [`Place::find`], of a dataset that has all of its files. What is in them is looked at when they are read.
    ///
    /// # Errors
    /// As [`Place::find`], and with the first thing that is missing.
    pub fn complete(path: &Path) -> Result<Self, Error> {
        let place = Self::find(path)?;
        match &place.files {
            Some(files) => (0..FILES.len()).try_for_each(|file| place.require(files, file).map(drop))?,
            None => npz::require_dataset(path)?,
        }
        Ok(place)
    }

    /// What the dataset is called when its content is not known: its folder's name, for torchvision's `raw` that of the folder
    /// around it; or the file's name without its ending.
    ///
    /// # Errors
    /// When it is gone, or may not be opened.
    pub fn name(&self) -> Result<String, Error> {
        // `canonicalize` so that `.` and `..` have a name.
        let absolute = self.path.canonicalize().map_err(Error::io("open", &self.path))?;
        let named = match (&self.files, absolute.parent()) {
            (None, _) => absolute.file_stem(),
            (Some(_), Some(parent)) if absolute.ends_with(RAW) => parent.file_name(),
            (Some(_), _) => absolute.file_name(),
        };
        Ok(named.unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned())
    }

    /// Whether the file at this position of [`FILES`] is there.
    pub fn has(&self, file: usize) -> bool {
        self.files.as_ref().is_none_or(|files| files[file].is_some())
    }

    /// Reads and unpacks the file at this position of [`FILES`].
    pub(crate) fn read(&self, file: usize) -> Result<Unpacked, Error> {
        let (path, bytes) = match &self.files {
            Some(files) => {
                let path = self.require(files, file)?;
                (path, idx::read(path)?)
            }
            None => (&self.path, npz::idx_file(&self.path, file)?),
        };
        let sha256 = Sha256::digest(&bytes).into();
        Ok(Unpacked { path: path.clone(), bytes, sha256 })
    }

    fn require<'a>(&self, files: &'a Files, file: usize) -> Result<&'a PathBuf, Error> {
        let what = "is missing, raw or with `.gz`; put it there, or name the folder that holds all four files";
        files[file].as_ref().ok_or_else(|| Error::unusable(self.path.join(FILES[file]), what))
    }
}

pub(crate) struct Unpacked {
    pub(crate) path: PathBuf,
    /// The bytes of the raw file, header included.
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: [u8; 32],
}

impl Unpacked {
    pub(crate) fn check<T>(&self, check: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, Error> {
        check(&self.bytes).map_err(|what| Error::unusable(&self.path, what))
    }
}

/// The folder in which torchvision keeps the files of a dataset.
const RAW: &str = "raw";

/// The files in this folder. Of two spellings of a name, the published one is taken.
fn files_in(folder: &Path) -> Files {
    FILES.map(|name| {
        let dotted = name.replace("-idx", ".idx");
        let spellings = [name, &dotted].map(|name| [name.to_owned(), format!("{name}.gz")]).concat();
        let folders = [folder.to_owned(), folder.join(name), folder.join(dotted)];
        let mut paths = folders.iter().flat_map(|folder| spellings.iter().map(|spelling| folder.join(spelling)));
        paths.find(|path| path.is_file())
    })
}

/// The folders in this one, and torchvision's in each. No others are looked into, so that a home directory is no long work.
fn folders_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            folders.extend([entry.path(), entry.path().join(RAW)]);
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_folder() {
        assert_eq!([named(None), named(Some("".into())), named(Some("a".into()))], [None, None, Some("a".into())]);
    }

    /// A folder with these empty files.
    fn folder(files: &[String]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), files);
        root
    }

    fn put(root: &Path, files: &[String]) {
        for path in files.iter().map(|file| root.join(file)) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    /// The four files, each made of its published name.
    fn four(name: impl Fn(&str) -> String) -> [String; 4] {
        FILES.map(name)
    }

    /// Folder and files of the place, relative to where it was looked for.
    fn found(root: &Path) -> (String, [Option<String>; 4]) {
        let relative = |path: PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let Place { path, files } = Place::find(root).unwrap();
        (relative(path), files.unwrap().map(|file| file.map(relative)))
    }

    #[test]
    fn the_four_files_are_found_by_the_names_that_people_have_them_under() {
        let dotted = |file: &str| file.replace("-idx", ".idx");
        for name in [
            &|file: &str| file.to_owned() as _,
            &|file: &str| format!("{file}.gz"),
            &dotted,
            &|file: &str| format!("{}.gz", dotted(file)),
            &|file: &str| format!("{file}/{file}"),
            &|file: &str| format!("{file}/{}", dotted(file)),
            &|file: &str| format!("{}/{}.gz", dotted(file), dotted(file)),
        ] as [&dyn Fn(&str) -> String; 7]
        {
            for (prefix, expect) in [("", ""), ("MNIST/raw/", "MNIST/raw"), ("raw/", "raw"), ("shoes/", "shoes")] {
                let files = four(|file| format!("{prefix}{}", name(file)));
                let root = folder(&files);
                put(root.path(), &["README.md", "notes.gz", "._train-images-idx3-ubyte", "a/b"].map(String::from));
                assert_eq!(found(root.path()), (expect.into(), files.map(Some)));
            }
        }
    }

    #[test]
    fn of_two_spellings_the_published_one_is_taken_and_what_is_missing_stays_missing() {
        let names =
            ["train-images.idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"].map(String::from);
        for (there, taken) in [(3, Some(2)), (2, Some(1)), (1, Some(0)), (0, None)] {
            let root = folder(&names[..there]);
            assert_eq!(found(root.path()), ("".into(), [taken.map(|at| names[at].clone()), None, None, None]));
        }
    }

    #[test]
    fn what_lies_in_the_folder_itself_comes_before_what_lies_below_and_of_several_below_none_is_guessed() {
        let files = four(|file| format!("MNIST/raw/{file}"));
        let root = folder(&files);
        let other = ["FashionMNIST/raw/train-images-idx3-ubyte", "deep/er/raw/train-images-idx3-ubyte", ".hidden/x"];
        put(root.path(), &other.map(String::from));
        put(root.path(), &four(|file| format!(".hidden/{file}")));
        assert_eq!(found(root.path()), ("MNIST/raw".into(), files.map(Some)));
        // The folder of the dataset, and that of its files, may be named as well.
        for folder in ["", "MNIST", "MNIST/raw"] {
            assert_eq!(Place::find(&root.path().join(folder)).unwrap().name().unwrap(), "MNIST");
        }

        put(root.path(), &four(|file| format!("letters/{file}.gz")));
        let [letters, mnist] = ["letters", "MNIST/raw"].map(|folder| root.path().join(folder).display().to_string());
        let expect =
            format!("`{}` holds several datasets; name one of them: `{mnist}`, `{letters}`", root.path().display());
        assert_eq!(Place::find(root.path()).unwrap_err().to_string(), expect);

        put(root.path(), &[FILES[1].into()]);
        assert_eq!(found(root.path()), ("".into(), [None, Some(FILES[1].into()), None, None]));
    }
}
