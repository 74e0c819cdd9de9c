//! Which libtorch is needed, and whether a directory holds it.

use std::{env, fs, io::ErrorKind, path::Path};

/// The version that the `tch` crate is bound to.
pub(crate) const VERSION: &str = "2.13.0";
/// Holds the version; written last, so that its presence says that the rest is there.
pub(crate) const VERSION_FILE: &str = "build-version";

/// Whether `path` holds libtorch in the right version, whole; if not, why not.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let library = path.join("lib").join(format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX));
    let version = match fs::read_to_string(path.join(VERSION_FILE)) {
        Ok(version) => version,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(format!("it has no file `{VERSION_FILE}`")),
        Err(error) => return Err(format!("its file `{VERSION_FILE}` cannot be read: {error}")),
    };
    // `2.13.0` or `2.13.0+cpu`
    match version.trim().split('+').next() {
        Some(VERSION) if library.is_file() => Ok(()),
        Some(VERSION) => Err(format!("it has no file `{}`", library.display())),
        _ => Err(format!("that is libtorch {}; exactly {VERSION} is needed", version.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_version_will_do_whatever_it_was_built_for_and_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let check = || check(dir.path());
        assert_eq!(check(), Err("it has no file `build-version`".into()));
        fs::write(dir.path().join(VERSION_FILE), "2.13.0+cpu\n").unwrap();
        assert!(check().unwrap_err().starts_with("it has no file `"));
        fs::create_dir(dir.path().join("lib")).unwrap();
        let library = format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::write(dir.path().join("lib").join(library), "").unwrap();
        for (version, expect) in [
            ("2.13.0", Ok(())),
            ("2.13.0+cpu\n", Ok(())),
            ("2.12.1\n", Err("that is libtorch 2.12.1; exactly 2.13.0 is needed".to_owned())),
        ] {
            fs::write(dir.path().join(VERSION_FILE), version).unwrap();
            assert_eq!(check(), expect);
        }
    }
}
