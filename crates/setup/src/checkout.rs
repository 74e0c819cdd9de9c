//! A checkout is a folder with this workspace's sources, and a cargo target folder, wherever that is, which holds the
//! running program.

use std::path::{Path, PathBuf};

/// Where this program was built, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    /// The target triple, if one was asked for: cargo then adds a folder of that name.
    pub(crate) triple: Option<String>,
    /// The profile's folder, where the binaries are; its name is the profile's, but for `debug`.
    pub(crate) profile_dir: PathBuf,
}

impl Checkout {
    /// The checkout that `exe` was built from and lies in, if that is so.
    pub(crate) fn of(exe: &Path) -> Option<Checkout> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_dir.ancestors().nth(2)?;
        if !crate_dir.join("Cargo.toml").is_file() || !root.join("Cargo.toml").is_file() {
            return None;
        }
        Checkout::in_target_dir(root, exe)
    }

    fn in_target_dir(root: &Path, exe: &Path) -> Option<Checkout> {
        let profile_dir = exe.parent()?;
        let above = profile_dir.parent()?;
        // cargo marks a target folder that it made, so that backup programs leave it out; in any it keeps what it knows
        // of the compiler.
        let is_target_dir =
            |path: &Path| ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|name| path.join(name).is_file());
        let (target_dir, triple) = if is_target_dir(above) {
            (above, None)
        } else {
            (above.parent().filter(|path| is_target_dir(path))?, Some(above.file_name()?.to_str()?.to_owned()))
        };
        Some(Checkout { root: root.into(), target_dir: target_dir.into(), triple, profile_dir: profile_dir.into() })
    }

    /// The profile's name, as `cargo build --profile` wants it.
    pub(crate) fn profile(&self) -> &str {
        match self.profile_dir.file_name().and_then(|name| name.to_str()) {
            None | Some("debug") => "dev",
            Some(profile) => profile,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_target_folder_says_how_a_program_was_built_also_one_that_was_there_before_cargo() {
        for mark in ["CACHEDIR.TAG", ".rustc_info.json"] {
            let target = tempfile::tempdir().unwrap();
            let root = Path::new("/checkout");
            let of = |exe: &str| Checkout::in_target_dir(root, &target.path().join(exe));
            assert_eq!(of("release/orchestrator"), None, "not a target folder of cargo's");

            fs::write(target.path().join(mark), "").unwrap();
            let plain = of("release/orchestrator").unwrap();
            assert_eq!((plain.profile(), plain.triple.as_deref()), ("release", None));
            assert_eq!((plain.root.as_path(), plain.target_dir.as_path()), (root, target.path()));

            let cross = of("x86_64-unknown-linux-gnu/debug/orchestrator").unwrap();
            assert_eq!((cross.profile(), cross.triple.as_deref()), ("dev", Some("x86_64-unknown-linux-gnu")));
            assert_eq!(cross.target_dir, target.path());
        }
    }

    #[test]
    fn a_program_copied_out_of_the_target_folder_is_installed() {
        assert_eq!(Checkout::of(Path::new("/usr/local/bin/orchestrator")), None);
    }
}
