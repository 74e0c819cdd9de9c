//! Pictures of what the network saw, beside what a person sees, in a folder.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use picture::{Picture, SIDE};
use process::file;

/// A folder for pictures, and which are in it.
pub(super) struct Explanations {
    dir: PathBuf,
    names: HashSet<String>,
}

impl Explanations {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), names: HashSet::new() }
    }

    /// Writes the original, if there is one, and the image of MNIST that was made of it.
    pub(super) fn write(&mut self, name: &str, original: Option<&Picture>, pixels: &[u8]) -> anyhow::Result<()> {
        fs::create_dir_all(&self.dir).with_context(|| format!("failed to create `{}`", self.dir.display()))?;
        let seen = Picture::new(SIDE, SIDE, pixels.to_vec());
        let both = picture::comparison(original.unwrap_or(&seen), &seen);
        let file = self.file_name(name);
        file::replace(&self.dir.join(file), &both.png())
    }

    /// A name that no other picture of ours has, whatever a file system thinks of capitals.
    fn file_name(&mut self, name: &str) -> String {
        // Of the whole path, so that files of the same name in two folders do not meet.
        let plain = |c: char| if c.is_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let plain: String = name.chars().map(plain).collect();
        let plain = plain.trim_matches(['_', '.']);
        let numbered = |n: u64| if n == 1 { format!("{plain}.png") } else { format!("{plain}-{n}.png") };
        let mut number = 1;
        while !self.names.insert(numbered(number).to_lowercase()) {
            number += 1;
        }
        numbered(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pictures_have_the_same_name() {
        let mut explanations = Explanations::new(Path::new("seen"));
        let mut name = |name| explanations.file_name(name);
        assert_eq!(name("../a/b.png"), "a_b.png.png");
        assert_eq!(name("a/b.png[1]"), "a_b.png_1.png");
        assert_eq!(name("a_b.png"), "a_b.png-2.png");
        assert_eq!(name("A/b.png"), "A_b.png-3.png");
        assert_eq!(name("a_b.png-2"), "a_b.png-2-2.png");
    }
}
