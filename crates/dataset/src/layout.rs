//! A layout is how the files of a dataset lie in a folder. People have them as their authors publish them
//! (`train-images-idx3-ubyte`), as the best-known archive names them (`train-images.idx3-ubyte`), with `.gz` or without, each in
//! a folder of its own name, as some programs unpack that archive, or below a root, as torchvision keeps them (`MNIST/raw`).
//!
//! Which file is which is a function of names alone. What a file *is*, its first bytes say.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, idx::FILES};

/// Where a dataset lies.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder that its files are in, or the one file that holds them all.
    pub(crate) path: PathBuf,
    /// The four files, in the order of [`FILES`], as far as they are there; `None` if one file holds them all.
    pub(crate) files: Option<[Option<PathBuf>; 4]>,
}

impl Place {
    /// Finds the dataset in `path`: that which lies in the folder itself, else the only one that lies below it.
    ///
    /// # Errors
    /// When there is no such folder or file, or there are several datasets below it.
    pub(crate) fn find(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            return Ok(Self { path: path.to_owned(), files: None });
        }
        if !path.is_dir() {
            return Err(Error::missing(path, "is not there; name a folder with the four IDX files of a dataset"));
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
                Err(Error::missing(path, format!("holds several datasets; name one of them: {}", names.join(", "))))
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
}

/// The folder in which torchvision keeps the files of a dataset.
const RAW: &str = "raw";

/// What a listing says.
#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    /// The folder, and the four files as far as they are there. All are relative to where the listing was made.
    One(&'a str, [Option<&'a str>; 4]),
    /// The folders of complete datasets, of which somebody must choose.
    Several(Vec<&'a str>),
}

/// Which file is which of the four, for a listing of relative paths with `/` between their parts.
fn choose(listing: &[String]) -> Choice<'_> {
    let mut named: Vec<_> = listing.iter().filter_map(|path| role(path)).collect();
    named.sort_unstable();
    let mut folders: BTreeMap<&str, [Option<&str>; 4]> = BTreeMap::new();
    for Role { folder, file, path, .. } in named {
        folders.entry(folder).or_default()[file].get_or_insert(path);
    }
    // What lies in the folder itself was meant, even if it is not complete.
    if let Some(files) = folders.remove("") {
        return Choice::One("", files);
    }
    if folders.values().any(|files| files.iter().all(Option::is_some)) {
        folders.retain(|_, files| files.iter().all(Option::is_some));
    }
    match folders.len() {
        0 => Choice::One("", [None; 4]),
        1 => {
            folders.pop_first().map(|(folder, files)| Choice::One(folder, files)).unwrap_or(Choice::One("", [None; 4]))
        }
        _ => Choice::Several(folders.into_keys().collect()),
    }
}

/// What one file is by its name. The order of these is that of preference.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Role<'a> {
    folder: &'a str,
    file: usize,
    is_nested: bool,
    spelling: usize,
    path: &'a str,
}

fn role(path: &str) -> Option<Role<'_>> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (file, spelling) = spelled(name)?;
    let (around, inner) = folder.rsplit_once('/').unwrap_or(("", folder));
    let is_nested = spelled(inner).is_some_and(|(same, _)| same == file);
    Some(Role { folder: if is_nested { around } else { folder }, file, is_nested, spelling, path })
}

/// Position in [`FILES`] of the file that is called so, and which of its spellings this is.
fn spelled(name: &str) -> Option<(usize, usize)> {
    let (stem, packed) = name.strip_suffix(".gz").map_or((name, 0), |stem| (stem, 1));
    let (stem, dotted) = if stem.contains(".idx") { (stem.replace(".idx", "-idx"), 2) } else { (stem.to_owned(), 0) };
    FILES.iter().position(|file| *file == stem).map(|file| (file, dotted + packed))
}

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

    /// A listing of the four files, each made of its published name.
    fn four(name: impl Fn(&str) -> String) -> Vec<String> {
        FILES.iter().map(|file| name(file)).collect()
    }

    #[track_caller]
    fn check(listing: &[String], folder: &str, files: [&str; 4]) {
        assert_eq!(choose(listing), Choice::One(folder, files.map(Some)));
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
            for (prefix, folder) in [("", ""), ("MNIST/raw/", "MNIST/raw"), ("raw/", "raw"), ("shoes/", "shoes")] {
                let mut listing = four(|file| format!("{prefix}{}", name(file)));
                let files = listing.clone();
                listing.extend(["README.md", "notes.gz", "._train-images-idx3-ubyte", "a/b"].map(String::from));
                check(&listing, folder, [&files[0], &files[1], &files[2], &files[3]]);
            }
        }
    }

    #[test]
    fn of_two_spellings_the_published_one_is_taken_and_what_is_missing_stays_missing() {
        let listing =
            ["train-images.idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"].map(String::from);
        assert_eq!(choose(&listing), Choice::One("", [Some("train-images-idx3-ubyte"), None, None, None]));
        assert_eq!(choose(&listing[..2]), Choice::One("", [Some("train-images-idx3-ubyte.gz"), None, None, None]));
        assert_eq!(choose(&[]), Choice::One("", [None; 4]));
    }

    #[test]
    fn what_lies_in_the_folder_itself_comes_before_what_lies_below_and_of_several_below_none_is_guessed() {
        let mut listing = four(|file| format!("MNIST/raw/{file}"));
        listing.push("FashionMNIST/raw/train-images-idx3-ubyte".into());
        let files = listing.clone();
        check(&listing, "MNIST/raw", [&files[0], &files[1], &files[2], &files[3]]);
        listing.extend(four(|file| format!("FashionMNIST/raw/{file}")));
        assert_eq!(choose(&listing), Choice::Several(vec!["FashionMNIST/raw", "MNIST/raw"]));
        listing.push(FILES[1].into());
        assert_eq!(choose(&listing), Choice::One("", [None, Some(FILES[1]), None, None]));
    }

    #[test]
    fn folders_are_looked_into_as_far_as_a_layout_goes() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: String| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        four(|file| format!("KMNIST/raw/{file}/{file}")).into_iter().for_each(put);
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

        four(|file| format!("letters/{file}.gz")).into_iter().for_each(put);
        let [letters, kmnist] = ["letters", "KMNIST/raw"].map(|folder| root.path().join(folder).display().to_string());
        let expect =
            format!("`{}` holds several datasets; name one of them: `{kmnist}`, `{letters}`", root.path().display());
        assert_eq!(Place::find(root.path()).unwrap_err().to_string(), expect);
    }
}
