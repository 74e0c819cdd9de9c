//! Flag beats file beats preset beats default.
//!
//! A file or preset is a flat table whose keys are long flags without the dashes. Its values are handed to clap as if
//! they had been typed, so each is checked by the same rules and nothing has to be said twice.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use clap::{
    Arg, ArgMatches, Command, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use process::exit::{self, Code};

use crate::manual;

/// A set of values below the flags.
#[derive(Clone, Debug)]
pub struct Layer {
    /// How messages name it, such as a file's path.
    pub name: String,
    /// Flag names without dashes, and their values.
    pub values: toml::Table,
}

/// What is wrong with the flags or with a layer.
#[derive(Debug)]
pub enum Error {
    /// clap's own message: a wrong flag, or `--help`.
    Flags(clap::Error),
    /// A layer has a wrong key or value; one sentence.
    Layer(String),
}

/// The largest configuration file. All flags together take two kilobytes; parsed, a hostile text takes fifty times its
/// size.
const MAX_FILE: u64 = 1 << 16;

/// The text of a configuration file.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or is larger than 64 KiB.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 KiB"));
    }
    Ok(text)
}

/// Parses the flags of this process, or prints what is wrong, or the help, and says how to exit.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    if let Some(answered) = manual::answer::<T>(&env::args_os().collect::<Vec<_>>()) {
        return Err(exit::report(T::command().get_name(), answered));
    }
    T::try_parse().map_err(|error| explain(&Error::Flags(error)))
}

/// Parses `arguments` (the program's name first) over `layers`, the strongest first.
///
/// # Errors
/// For wrong flags, and for keys and values of a layer that no flag accepts.
pub fn resolve<T: Parser>(arguments: &[OsString], layers: &[Layer]) -> Result<T, Error> {
    let mut command = T::command();
    let typed = command.try_get_matches_from_mut(arguments).map_err(Error::Flags)?;
    let mut combined: Vec<OsString> = arguments.iter().take(1).cloned().collect();
    let mut chosen = Vec::new();
    for layer in layers {
        for (key, value) in &layer.values {
            let token = as_flag(&command, layer, key, value)?;
            if !is_typed(&typed, key) && !chosen.contains(&key) {
                chosen.push(key);
                combined.extend(token.map(OsString::from));
            }
        }
    }
    combined.extend(arguments.iter().skip(1).cloned());
    let matches = command.try_get_matches_from(combined).map_err(Error::Flags)?;
    T::from_arg_matches(&matches).map_err(Error::Flags)
}

/// Where the value of a flag comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was typed.
    Flag,
    /// The layer of this name.
    Layer(String),
    /// Nobody gave it.
    Default,
}

/// Where each value comes from that `T` has after [`resolve`] with the same arguments and layers, by long flag.
///
/// # Errors
/// For wrong flags.
pub fn origins<T: Parser>(arguments: &[OsString], layers: &[Layer]) -> Result<BTreeMap<String, Origin>, Error> {
    let mut command = T::command();
    let typed = command.try_get_matches_from_mut(arguments).map_err(Error::Flags)?;
    let origin = |key: &str| match layers.iter().find(|layer| layer.values.contains_key(key)) {
        _ if is_typed(&typed, key) => Origin::Flag,
        Some(layer) => Origin::Layer(layer.name.clone()),
        None => Origin::Default,
    };
    let keys = command.get_arguments().filter_map(Arg::get_long);
    Ok(keys.map(|key| (key.to_owned(), origin(key))).collect())
}

/// Prints an error of the flags, or the help if that was asked for, and returns the exit code.
#[expect(clippy::print_stderr, reason = "the last line of a program that failed")]
pub fn explain(error: &Error) -> ExitCode {
    match error {
        // A wrong value has a reason of its own, so clap's pages on usage would only bury it.
        Error::Flags(error) if error.kind() == ErrorKind::ValueValidation => {
            eprintln!("{}; see --help", first_line(error));
            Code::Usage.into()
        }
        Error::Flags(error) => {
            let _ = error.print(); // Nobody is left to tell if stderr is gone.
            if error.use_stderr() { Code::Usage.into() } else { ExitCode::SUCCESS }
        }
        Error::Layer(text) => {
            eprintln!("error: {text}");
            Code::Usage.into()
        }
    }
}

fn is_typed(matches: &ArgMatches, key: &str) -> bool {
    matches.value_source(&key.replace('-', "_")) == Some(ValueSource::CommandLine)
}

/// The layer's value as it would be typed, checked on its own so that the message can name the layer.
fn as_flag(command: &Command, layer: &Layer, key: &str, value: &toml::Value) -> Result<Option<String>, Error> {
    let name = &layer.name;
    let Some(argument) = command.get_arguments().find(|argument| argument.get_long() == Some(key)) else {
        let hint = match near_flag(command, key) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the keys are the long flags of --help".into(),
        };
        return Err(Error::Layer(format!("unknown key `{key}` in `{name}`; {hint}")));
    };
    let is_switch = !argument.get_action().takes_values();
    let flag = match value {
        toml::Value::Boolean(false) if is_switch => return Ok(None),
        toml::Value::Boolean(true) if is_switch => format!("--{key}"),
        toml::Value::Boolean(value) => format!("--{key}={value}"), // Refused below, by the flag's own rule.
        toml::Value::String(text) => format!("--{key}={text}"),
        toml::Value::Integer(_) | toml::Value::Float(_) => format!("--{key}={value}"),
        _ => return Err(Error::Layer(format!("`{key}` in `{name}` must be one value"))),
    };
    match command.clone().try_get_matches_from(["x", &flag]) {
        Ok(_) => Ok(Some(flag)),
        Err(error) => {
            let line = first_line(&error);
            Err(Error::Layer(format!("`{name}`: {}", line.trim_start_matches("error: "))))
        }
    }
}

/// The flag that clap takes an unknown one to be meant for, if there is one like it.
fn near_flag(command: &Command, key: &str) -> Option<String> {
    let error = command.clone().try_get_matches_from(["x", &format!("--{key}")]).err()?;
    match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => Some(flag.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser, Debug, PartialEq)]
    struct Flags {
        #[arg(long, default_value = "5")]
        rounds: u32,
        #[arg(long, default_value = "32")]
        batch_size: String,
        #[arg(long)]
        fresh: bool,
    }

    fn layer(name: &str, text: &str) -> Layer {
        Layer { name: name.into(), values: text.parse().unwrap() }
    }

    fn resolved(arguments: &[&str], layers: &[(&str, &str)]) -> Result<Flags, String> {
        let arguments: Vec<OsString> = std::iter::once("x").chain(arguments.iter().copied()).map(Into::into).collect();
        let layers: Vec<_> = layers.iter().map(|(name, text)| layer(name, text)).collect();
        resolve::<Flags>(&arguments, &layers).map_err(|error| match error {
            Error::Layer(text) => text,
            Error::Flags(error) => error.to_string(),
        })
    }

    #[test]
    fn flag_beats_file_beats_preset_beats_default() {
        let file = ("run.toml", "rounds = 7\nfresh = true");
        let preset = ("original", "rounds = 6\nbatch-size = \"full\"");
        let off = ("run.toml", "fresh = false");
        let flags = |rounds, batch_size: &str, fresh| Ok(Flags { rounds, batch_size: batch_size.into(), fresh });
        assert_eq!(resolved(&[], &[file, preset]), flags(7, "full", true));
        assert_eq!(resolved(&["--rounds", "8"], &[file, preset]), flags(8, "full", true));
        assert_eq!(resolved(&[], &[]), flags(5, "32", false));
        assert_eq!(resolved(&[], &[off, ("original", "fresh = true")]), flags(5, "32", false), "a switch can be off");
    }

    #[test]
    fn a_wrong_key_or_value_names_the_file_even_if_a_flag_overrides_it() {
        for (text, expect) in [
            ("round = 7", "unknown key `round` in `run.toml`; did you mean `rounds`?"),
            ("colour = 7", "unknown key `colour` in `run.toml`; the keys are the long flags of --help"),
            ("rounds = -1", "`run.toml`: invalid value '-1' for '--rounds <ROUNDS>': -1 is not in 0..=4294967295"),
            (
                "rounds = false",
                "`run.toml`: invalid value 'false' for '--rounds <ROUNDS>': invalid digit found in string",
            ),
            ("rounds = []", "`rounds` in `run.toml` must be one value"),
        ] {
            assert_eq!(resolved(&["--rounds=3"], &[("run.toml", text)]), Err(expect.to_owned()));
        }
    }

    #[test]
    fn every_value_knows_where_it_comes_from() {
        let layers = [layer("run.toml", "rounds = 7"), layer("original", "rounds = 6\nbatch-size = \"full\"")];
        let origins = |arguments: &[&str]| {
            let arguments: Vec<OsString> = ["x"].iter().chain(arguments).map(Into::into).collect();
            origins::<Flags>(&arguments, &layers).unwrap()
        };
        let found = origins(&["--fresh"]);
        let expect = |name: &str| Origin::Layer(name.into());
        assert_eq!([&found["rounds"], &found["batch-size"]], [&expect("run.toml"), &expect("original")]);
        assert_eq!(found["fresh"], Origin::Flag);
        assert_eq!(origins(&["--rounds=7"])["rounds"], Origin::Flag);
        assert_eq!(origins(&[])["fresh"], Origin::Default);
    }

    #[test]
    fn a_file_that_is_too_large_for_a_configuration_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_FILE).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, MAX_FILE);
        file.as_file().set_len(1 << 40).unwrap(); // Sparse: it takes no room.
        assert_eq!(read(file.path()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
