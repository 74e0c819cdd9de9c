//! Paths, as a user gives them. `~` is the home folder wherever it comes from: a shell expands it only at the beginning of
//! an argument, not in `--data=~/x` and not in a configuration file.

use std::{
    env,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use clap::builder::{OsStringValueParser, TypedValueParser};

/// Parses a flag's path.
pub fn parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text: OsString| expanded(text.into(), env::home_dir()))
}

/// Parses a flag's path to what must be there, with all links followed: `runs/latest` is going to be another run soon.
pub(crate) fn existing() -> impl TypedValueParser<Value = PathBuf> {
    parser().try_map(|path| path.canonicalize().map_err(|error| format!("{error}; name a model file or a run folder")))
}

fn expanded(path: PathBuf, home: Option<PathBuf>) -> Result<PathBuf, String> {
    let mut parts = path.components();
    let Some(first) = parts.next() else { return Err("give a path".into()) };
    let Component::Normal(name) = first else { return Ok(path) };
    if name == "~" {
        let home = home.ok_or("there is no home folder: HOME is not set; give the whole path")?;
        return Ok(home.join(parts));
    }
    // A file of such a name is likely where there is one.
    if name.as_encoded_bytes().starts_with(b"~") && Path::new(name).symlink_metadata().is_err() {
        let name = name.display();
        return Err(format!(
            "only a shell knows whose home `{name}` is; give the whole path, or ./{name} for that name"
        ));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: Result<&str, &str>) {
        let found = expanded(path.into(), Some("/home/me".into()));
        assert_eq!(found.as_deref().map_err(String::as_str), expect.map(Path::new), "{path}");
    }

    #[test]
    fn the_home_folder_stands_only_at_the_beginning() {
        check("~", Ok("/home/me"));
        check("~/", Ok("/home/me"));
        check("~/a b/c", Ok("/home/me/a b/c"));
        for path in ["a", "/a", "./~", "./~you", "a/~/b", "a~", "../~"] {
            check(path, Ok(path));
        }
        let advice = "only a shell knows whose home `~you` is; give the whole path, or ./~you for that name";
        check("~you/a", Err(advice));
        check("", Err("give a path"));
        let homeless = expanded("~/a".into(), None).unwrap_err();
        assert!(homeless.contains("HOME is not set"), "{homeless}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_unicode() {
        use std::os::unix::ffi::OsStringExt;
        let path = PathBuf::from(OsString::from_vec(b"~/\xff".to_vec()));
        let expect = PathBuf::from(OsString::from_vec(b"/home/me/\xff".to_vec()));
        assert_eq!(expanded(path, Some("/home/me".into())), Ok(expect));
    }
}
