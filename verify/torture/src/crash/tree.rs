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

/// Directories and files by path, below a root that is always there. The values of a name are those since its directory
/// was synced: the first is certain, the last is what processes see.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tree(BTreeMap<PathBuf, Vec<Option<Node>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Directory,
    File(File),
}

impl Tree {
    /// The paths in a directory, as processes see them.
    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.directory(dir)?;
        Ok(self.0.keys().filter(|path| path.parent() == Some(dir) && self.exists(path)).cloned().collect())
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.node(path).is_some()
    }

    pub(super) fn bytes(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        Ok(Arc::clone(&self.file(path)?.bytes))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.set(path, Some(Node::Directory)),
        }
    }

    /// Creates an empty file.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<()> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set(path, Some(Node::File(File::new(Vec::new(), 0, false))))
    }

    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.change(path, |File { bytes: old, synced, spoiled, .. }| {
            File::new([old.as_slice(), bytes].concat(), *synced, *spoiled)
        })
    }

    /// Makes a file's bytes certain, unless it is spoiled; returns whether it was not.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<bool> {
        let is_good = !self.file(path)?.spoiled;
        if is_good {
            self.change(path, |file| File::new(file.bytes.to_vec(), file.bytes.len(), false))?;
        }
        Ok(is_good)
    }

    /// A sync failed: the kernel has dropped what it could not write, so zeros are read where it was.
    pub(super) fn spoil(&mut self, path: &Path) -> io::Result<()> {
        self.change(path, |File { bytes, synced, .. }| {
            let mut left = bytes[..*synced].to_vec();
            left.resize(bytes.len(), 0);
            File::new(left, *synced, true)
        })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?.clone();
        self.set(from, None)?;
        self.set(to, Some(Node::File(file)))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.set(path, None)
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.directory(dir)?;
        for (_, values) in self.0.iter_mut().filter(|(path, _)| path.parent() == Some(dir)) {
            values.drain(..values.len() - 1);
        }
        self.0.retain(|_, values| values[..] != [None]);
        Ok(())
    }

    /// The same tree with the same beside it gives the same number, whatever led to it.
    pub(super) fn key(&self, beside: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self, beside).hash(&mut hasher);
        hasher.finish()
    }

    /// What a power cut may leave: everything, or `limit` draws where that is more. Each file that was not synced is
    /// there in the ways that are likeliest to be mistaken for a good one, and torn at random in `torn` more.
    pub(super) fn after_power_cut(&self, limit: usize, torn: usize, random: &mut Random) -> Vec<Tree> {
        let mut remains = |value: &Option<Node>| match value {
            Some(Node::File(file)) if file.synced < file.bytes.len() => {
                file.remains(torn, random).into_iter().map(|file| Some(Node::File(file))).collect()
            }
            certain => vec![certain.clone()],
        };
        let outcomes = self.0.iter().map(|(path, values)| {
            let mut seen = HashSet::new();
            let outcomes = values.iter().filter(|value| seen.insert(*value)).flat_map(&mut remains);
            (path, outcomes.collect::<Vec<_>>())
        });
        let outcomes: Vec<_> = outcomes.collect();
        let sizes: Vec<usize> = outcomes.iter().map(|(_, outcomes)| outcomes.len()).collect();
        let left = choices(&sizes, limit, random).into_iter().map(|choice| {
            let chosen = outcomes.iter().zip(choice).map(|((path, outcomes), chosen)| (*path, &outcomes[chosen]));
            Tree::certain(chosen)
        });
        left.collect()
    }

    /// A tree of these names, in order. What is in a directory that is lost is lost, too.
    fn certain<'a>(names: impl Iterator<Item = (&'a PathBuf, &'a Option<Node>)>) -> Tree {
        let mut tree = Tree::default();
        for (path, value) in names {
            // A directory comes before what is in it.
            if value.is_some() && path.parent().is_some_and(|dir| tree.exists(dir)) {
                tree.0.insert(path.clone(), vec![value.clone()]);
            }
        }
        tree
    }

    fn node(&self, path: &Path) -> Option<&Node> {
        if path.parent().is_none() {
            return Some(&Node::Directory);
        }
        self.0.get(path)?.last()?.as_ref()
    }

    fn file(&self, path: &Path) -> io::Result<&File> {
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

    /// Changes a file under the name that it has.
    fn change(&mut self, path: &Path, changed: impl FnOnce(&File) -> File) -> io::Result<()> {
        let node = Some(Node::File(changed(self.file(path)?)));
        let values = self.0.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        *values.last_mut().ok_or(io::ErrorKind::NotFound)? = node;
        Ok(())
    }

    fn set(&mut self, path: &Path, value: Option<Node>) -> io::Result<()> {
        self.directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        self.0.entry(path.to_owned()).or_insert_with(|| vec![None]).push(value);
        Ok(())
    }
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
            let paths = tree.0.keys().map(|path| (path.display(), tree.bytes(path).map_or(0, |bytes| bytes.len())));
            paths.map(|(path, length)| format!("{path} {length}")).collect::<Vec<_>>().join(", ")
        };
        let cuts = tree.after_power_cut(1000, 0, &mut Random::keyed("tributary test", &[]));
        let left: std::collections::BTreeSet<String> = cuts.iter().map(show).collect();
        assert_eq!(left.iter().collect::<Vec<_>>(), expect);
    }

    fn tree_with_file(bytes: &[u8]) -> (Tree, &'static Path) {
        let (mut tree, file) = (Tree::default(), Path::new("/a"));
        tree.create(file).unwrap();
        tree.append(file, bytes).unwrap();
        (tree, file)
    }

    #[test]
    fn a_file_is_certain_when_both_its_bytes_and_its_name_are_synced() {
        let (mut tree, file) = tree_with_file(b"1234");
        check(&tree, &["", "/a 0", "/a 2", "/a 3", "/a 4"]);
        assert!(tree.sync(file).unwrap());
        check(&tree, &["", "/a 4"]);
        tree.sync_dir(Path::new("/")).unwrap();
        check(&tree, &["/a 4"]);
    }

    #[test]
    fn a_rename_and_a_removal_may_be_lost_or_done_by_halves() {
        let (mut tree, file) = tree_with_file(b"1234");
        assert!(tree.sync(file).unwrap());
        tree.sync_dir(Path::new("/")).unwrap();
        tree.rename(file, Path::new("/b")).unwrap();
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
        tree.spoil(file).unwrap();
        assert!(!tree.sync(file).unwrap());
        assert_eq!(tree.bytes(Path::new("/a")).unwrap().as_slice(), [0; 4]);
        tree.sync_dir(Path::new("/")).unwrap();
        check(&tree, &["/a 0", "/a 2", "/a 3", "/a 4"]);
    }
}
