//! A place is where a dataset lies: a folder with four files in one of the [layouts](crate::layout) that people have them in,
//! or one `.npz` file. Whatever the layout, it is read file by file, unpacked.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    Error, FILES, idx,
    layout::{Choice, choose, spelled},
    npz,
};

#[derive(Debug)]
pub(crate) struct Place {
    /// The folder that its files are in, or the one file that holds them all.
    pub(crate) path: PathBuf,
    /// The four files, in the order of [`FILES`], as far as they are there; `None` if one file holds them all.
    pub(crate) files: Option<[Option<PathBuf>; 4]>,
}

impl Place {
    /// Finds the dataset in `path`: that which lies in the folder itself, else the only one that lies below it.
    /// Fails when there is no such folder or file, or there are several datasets below it.
    pub(crate) fn find(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            return Ok(Self { path: path.to_owned(), files: None });
        }
        if !path.is_dir() {
            return Err(Error::unusable(path, "is not there; name a folder with the four IDX files of a dataset"));
        }
        let listing = list(path).map_err(Error::io("list", path))?;
        match choose(&listing) {
            Choice::One(folder, files) => {
                let files = files.map(|file| file.map(|file| path.join(file)));
                Ok(Self {
                    path: if folder.is_empty() { path.to_owned() } else { path.join(folder) },
                    files: Some(files),
                })
            }
            Choice::Several(folders) => {
                let names: Vec<_> = folders.iter().map(|folder| format!("`{}`", path.join(folder).display())).collect();
                Err(Error::unusable(path, format!("holds several datasets; name one of them: {}", names.join(", "))))
            }
        }
    }

    /// What the dataset is called when its content is not known: its folder's name, for torchvision's `raw` that of the folder
    /// around it; or the file's name without its ending.
    pub(crate) fn name(&self) -> Result<String, Error> {
        // `canonicalize` so that `.` and `..` have a name.
        let absolute = self.path.canonicalize().map_err(Error::io("open", &self.path))?;
        let named = match (&self.files, absolute.parent()) {
            (None, _) => absolute.file_stem(),
            (Some(_), Some(parent)) if absolute.ends_with(RAW) => parent.file_name(),
            (Some(_), _) => absolute.file_name(),
        };
        Ok(named.unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned())
    }

    pub(crate) fn has(&self, file: usize) -> bool {
        self.files.as_ref().is_none_or(|files| files[file].is_some())
    }

    /// Fails with the first thing that is missing, if not all four files are there.
    pub(crate) fn require_all(&self) -> Result<(), Error> {
        match &self.files {
            Some(files) => (0..FILES.len()).try_for_each(|file| self.require(files, file).map(drop)),
            None => npz::require_dataset(&self.path),
        }
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

    fn require<'a>(&self, files: &'a [Option<PathBuf>; 4], file: usize) -> Result<&'a PathBuf, Error> {
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

/// Files with names of a dataset's, in the folder itself or, where there are none, below it. No other folders are gone
/// through than those that may hold such files, so that a home directory is no long work.
fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut below = Vec::new();
    gather(dir, "", &mut found, &mut below)?;
    if !found.is_empty() {
        return Ok(found);
    }
    while let Some(folder) = below.pop() {
        let mut deeper = Vec::new();
        // A folder that may not be looked into is nobody's dataset.
        let _ = gather(&dir.join(&folder), &format!("{folder}/"), &mut found, &mut deeper);
        below.extend(deeper.into_iter().filter(|deeper| deeper.ends_with("/raw")));
    }
    Ok(found)
}

/// Adds files with names of a dataset's to `found`, and other folders to `below`.
fn gather(dir: &Path, prefix: &str, found: &mut Vec<String>, below: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let relative = format!("{prefix}{name}");
        match (spelled(&name).is_some(), entry.path().is_dir()) {
            (true, false) => found.push(relative),
            (true, true) => gather(&entry.path(), &format!("{relative}/"), found, &mut Vec::new())?,
            (false, true) if !name.starts_with('.') => below.push(relative),
            (false, _) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_looked_into_as_far_as_a_layout_goes() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: String| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        FILES.iter().for_each(|file| put(format!("KMNIST/raw/{file}/{file}")));
        put("KMNIST/deep/raw/train-images-idx3-ubyte".into());
        put(".hidden/train-images-idx3-ubyte".into());
        let place = Place::find(root.path()).unwrap();
        assert_eq!((&*place.path, &*place.name().unwrap()), (&*root.path().join("KMNIST/raw"), "KMNIST"));
        let [images, ..] = place.files.unwrap();
        assert_eq!(images.unwrap(), root.path().join(format!("KMNIST/raw/{0}/{0}", FILES[0])));
        // The folder of the dataset, and that of its files, may be named as well.
        for folder in ["KMNIST", "KMNIST/raw"] {
            assert_eq!(Place::find(&root.path().join(folder)).unwrap().name().unwrap(), "KMNIST");
        }

        FILES.iter().for_each(|file| put(format!("letters/{file}.gz")));
        let [letters, kmnist] = ["letters", "KMNIST/raw"].map(|folder| root.path().join(folder).display().to_string());
        let expect =
            format!("`{}` holds several datasets; name one of them: `{kmnist}`, `{letters}`", root.path().display());
        assert_eq!(Place::find(root.path()).unwrap_err().to_string(), expect);
    }
}
