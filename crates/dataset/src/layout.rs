//! A layout is how the files of a dataset lie in a folder. People have them as their authors publish them
//! (`train-images-idx3-ubyte`), as the best-known archive names them (`train-images.idx3-ubyte`), with `.gz` or without, each in
//! a folder of its own name, as some programs unpack that archive, or below a root, as torchvision keeps them (`MNIST/raw`).
//!
//! Which file is which is a function of names alone. What a file *is*, its first bytes say.

use std::collections::BTreeMap;

use crate::FILES;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// The folder, and the four files as far as they are there. All are relative to where the listing was made.
    One(&'a str, [Option<&'a str>; 4]),
    /// The folders of complete datasets, of which somebody must choose.
    Several(Vec<&'a str>),
}

/// Which file is which of the four, for a listing of relative paths with `/` between their parts.
pub(crate) fn choose(listing: &[String]) -> Choice<'_> {
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
    if folders.len() > 1 {
        return Choice::Several(folders.into_keys().collect());
    }
    let (folder, files) = folders.pop_first().unwrap_or(("", [None; 4]));
    Choice::One(folder, files)
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
pub(crate) fn spelled(name: &str) -> Option<(usize, usize)> {
    let (stem, packed) = name.strip_suffix(".gz").map_or((name, 0), |stem| (stem, 1));
    let (stem, dotted) = if stem.contains(".idx") { (stem.replace(".idx", "-idx"), 2) } else { (stem.to_owned(), 0) };
    FILES.iter().position(|file| *file == stem).map(|file| (file, dotted + packed))
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
}
