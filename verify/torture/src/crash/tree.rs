//! What is on a disk, as far as it is certain: every name with the values it may hold after a power cut, every file with
//! the bytes that are sure to survive.
//!
//! The rules are the weakest that file systems are allowed. After a cut a name holds any value that it held since its
//! directory was last synced, whatever other names hold: creations, renames and removals are lost, applied and
//! reordered at will, a rename may leave both names or neither, a name may be there and the bytes not. A file holds the
//! bytes that were synced; of the rest any block may be there, be zeros, or be garbage, and the length may be any.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sample::random::Stream as Random;

use super::file::File;

/// Directories and files by path, below a root that is always there.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// The values of a name since its directory was synced: the first is certain, the last is what processes see.
    names: BTreeMap<PathBuf, Vec<Option<Node>>>,
    files: Vec<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Directory,
    File(usize), // Index into the tree's files.
}

impl Tree {
    /// The paths in a directory, as processes see them.
    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.directory(dir)?;
        Ok(self.names.keys().filter(|path| path.parent() == Some(dir) && self.node(path).is_some()).cloned().collect())
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.node(path).is_some()
    }

    pub(super) fn bytes(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        Ok(Arc::clone(&self.files[self.file(path)?].bytes))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.set(path, Some(Node::Directory)),
        }
    }

    /// Creates an empty file and returns its index.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        if self.node(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set(path, Some(Node::File(self.files.len())))?;
        self.files.push(File::new(Vec::new(), 0, false));
        Ok(self.files.len() - 1)
    }

    pub(super) fn append(&mut self, file: usize, bytes: &[u8]) {
        let File { bytes: old, synced, spoiled, .. } = &self.files[file];
        self.files[file] = File::new([old.as_slice(), bytes].concat(), *synced, *spoiled);
    }

    /// Makes a file's bytes certain, unless it is spoiled; returns whether it was not.
    pub(super) fn sync(&mut self, file: usize) -> bool {
        let File { bytes, spoiled, .. } = &self.files[file];
        if !spoiled {
            self.files[file] = File::new(bytes.to_vec(), bytes.len(), false);
        }
        !self.files[file].spoiled
    }

    /// A sync failed: the kernel has dropped what it could not write, so zeros are read where it was.
    pub(super) fn spoil(&mut self, file: usize) {
        let File { bytes, synced, .. } = &self.files[file];
        let mut left = bytes[..*synced].to_vec();
        left.resize(bytes.len(), 0);
        self.files[file] = File::new(left, *synced, true);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        self.set(from, None)?;
        self.set(to, Some(Node::File(file)))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.set(path, None)
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.directory(dir)?;
        for (_, values) in self.names.iter_mut().filter(|(path, _)| path.parent() == Some(dir)) {
            values.drain(..values.len() - 1);
        }
        self.names.retain(|_, values| values[..] != [None]);
        Ok(())
    }

    /// The same tree with the same beside it gives the same number, whatever led to it.
    pub(super) fn key(&self, beside: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, values) in &self.names {
            let what = |node: Node| match node {
                Node::Directory => 0,
                Node::File(file) => self.files[file].hash,
            };
            let values: Vec<Option<u64>> = values.iter().map(|value| value.map(what)).collect();
            (path, values).hash(&mut hasher);
        }
        beside.hash(&mut hasher);
        hasher.finish()
    }

    /// What a power cut may leave: everything, or `limit` draws where that is more. Each file that was not synced is
    /// there in the ways that are likeliest to be mistaken for a good one, and torn at random in `torn` more.
    pub(super) fn after_power_cut(&self, limit: usize, torn: usize, random: &mut Random) -> Vec<Tree> {
        let names = self.names.iter().map(|(path, values)| (path, distinct(values)));
        let uncertain: Vec<(&PathBuf, Vec<Option<Node>>)> = names.filter(|(_, values)| values.len() > 1).collect();
        let files = self.files.iter().enumerate();
        let unsynced: Vec<(usize, Vec<File>)> = files
            .filter(|(index, file)| file.synced < file.bytes.len() && self.is_named(*index))
            .map(|(index, file)| (index, file.remains(torn, random)))
            .collect();
        let sizes = uncertain.iter().map(|(_, values)| values.len());
        let sizes: Vec<usize> = sizes.chain(unsynced.iter().map(|(_, files)| files.len())).collect();
        let cut = |choice: &[usize]| {
            let mut tree = self.clone();
            for ((path, values), &chosen) in uncertain.iter().zip(choice) {
                tree.names.insert((*path).clone(), vec![values[chosen]]);
            }
            for ((index, files), &chosen) in unsynced.iter().zip(&choice[uncertain.len()..]) {
                tree.files[*index] = files[chosen].clone();
            }
            tree.settle();
            tree
        };
        choices(&sizes, limit, random).iter().map(|choice| cut(choice)).collect()
    }

    /// Forgets what is not named, and what is named in a directory that is not.
    fn settle(&mut self) {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        for (path, values) in std::mem::take(&mut self.names) {
            let parent = path.parent().unwrap_or(&path);
            if parent.parent().is_some() && !names.contains_key(parent) {
                continue; // Its directory is lost. A directory comes before what is in it.
            }
            match values.last() {
                Some(Some(Node::Directory)) => {
                    names.insert(path, vec![Some(Node::Directory)]);
                }
                Some(Some(Node::File(file))) => {
                    names.insert(path, vec![Some(Node::File(files.len()))]);
                    files.push(self.files[*file].clone());
                }
                _ => {}
            }
        }
        *self = Tree { names, files };
    }

    fn is_named(&self, file: usize) -> bool {
        self.names.values().any(|values| values.contains(&Some(Node::File(file))))
    }

    fn node(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() {
            return Some(Node::Directory);
        }
        *self.names.get(path)?.last()?
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.node(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn directory(&self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn set(&mut self, path: &Path, value: Option<Node>) -> io::Result<()> {
        self.directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        self.names.entry(path.to_owned()).or_insert_with(|| vec![None]).push(value);
        Ok(())
    }
}

fn distinct(values: &[Option<Node>]) -> Vec<Option<Node>> {
    let mut seen = HashSet::new();
    values.iter().copied().filter(|value| seen.insert(*value)).collect()
}

/// Every way to choose one of `sizes[i]` for each `i`, or `limit` random ones if there are more.
fn choices(sizes: &[usize], limit: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let product = sizes.iter().try_fold(1, |product: usize, size| product.checked_mul(*size)).unwrap_or(usize::MAX);
    if product > limit {
        return (0..limit).map(|_| sizes.iter().map(|size| random.below(*size as u64) as usize).collect()).collect();
    }
    let mut all = vec![Vec::new()];
    for size in sizes {
        let longer = |choice: &Vec<usize>, last| choice.iter().copied().chain([last]).collect();
        all = all.iter().flat_map(|choice| (0..*size).map(move |last| longer(choice, last))).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What power cuts may leave: the paths that are there, each with the length of its file.
    #[track_caller]
    fn check(tree: &Tree, expect: &[&str]) {
        let show = |tree: &Tree| {
            let paths = tree.names.keys().map(|path| (path.display(), tree.bytes(path).map_or(0, |bytes| bytes.len())));
            paths.map(|(path, length)| format!("{path} {length}")).collect::<Vec<_>>().join(", ")
        };
        let cuts = tree.after_power_cut(1000, 0, &mut Random::keyed("tributary test", &[]));
        let left: std::collections::BTreeSet<String> = cuts.iter().map(show).collect();
        assert_eq!(left.iter().collect::<Vec<_>>(), expect);
    }

    fn tree_with_file(bytes: &[u8]) -> (Tree, usize) {
        let mut tree = Tree::default();
        let file = tree.create(Path::new("/a")).unwrap();
        tree.append(file, bytes);
        (tree, file)
    }

    #[test]
    fn a_file_is_certain_when_both_its_bytes_and_its_name_are_synced() {
        let (mut tree, file) = tree_with_file(b"1234");
        check(&tree, &["", "/a 0", "/a 2", "/a 3", "/a 4"]);
        assert!(tree.sync(file));
        check(&tree, &["", "/a 4"]);
        tree.sync_dir(Path::new("/")).unwrap();
        check(&tree, &["/a 4"]);
    }

    #[test]
    fn a_rename_and_a_removal_may_be_lost_or_done_by_halves() {
        let (mut tree, file) = tree_with_file(b"1234");
        assert!(tree.sync(file));
        tree.sync_dir(Path::new("/")).unwrap();
        tree.rename(Path::new("/a"), Path::new("/b")).unwrap();
        check(&tree, &["", "/a 4", "/a 4, /b 4", "/b 4"]);
        tree.sync_dir(Path::new("/")).unwrap();
        tree.remove(Path::new("/b")).unwrap();
        check(&tree, &["", "/b 4"]);
    }

    #[test]
    fn what_is_in_a_directory_is_lost_with_its_name() {
        let mut tree = Tree::default();
        tree.create_dir(Path::new("/d")).unwrap();
        tree.create(Path::new("/d/a")).unwrap();
        tree.sync_dir(Path::new("/d")).unwrap();
        check(&tree, &["", "/d 0, /d/a 0"]);
    }

    #[test]
    fn a_file_whose_sync_failed_is_never_certain() {
        let (mut tree, file) = tree_with_file(b"1234");
        tree.spoil(file);
        assert!(!tree.sync(file));
        assert_eq!(tree.bytes(Path::new("/a")).unwrap().as_slice(), [0; 4]);
        tree.sync_dir(Path::new("/")).unwrap();
        check(&tree, &["/a 0", "/a 2", "/a 3", "/a 4"]);
    }
}
