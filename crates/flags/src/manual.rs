//! The manual: what a shell and `man` are told about a program, made from its flags. As each program knows its own flags
//! only, each answers for itself, to `PROGRAM --completions SHELL` and `PROGRAM --man DIR`. People ask the orchestrator,
//! which asks the others; so `--help` does not mention these two.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, anyhow};
use clap::{Command, CommandFactory, ValueEnum};
pub use clap_complete::Shell;

use process::exit::{Code, failure};

/// Asks a program for its completions.
pub const COMPLETIONS: &str = "--completions";
/// Asks a program for its man pages.
pub const MAN: &str = "--man";

/// Answers the two questions, if `arguments` (the program's name first) hold one of them.
pub(crate) fn answer<T: CommandFactory>(arguments: &[OsString]) -> Option<anyhow::Result<()>> {
    let [_, question, value] = arguments else { return None };
    match question.to_str()? {
        COMPLETIONS => Some(shell(value).and_then(|shell| completions(T::command(), shell))),
        MAN => Some(man_pages(T::command(), Path::new(value))),
        _ => None,
    }
}

/// Prints the script that completes a program's flags in `shell`.
///
/// # Errors
/// When stdout is gone.
pub fn completions(mut command: Command, shell: Shell) -> anyhow::Result<()> {
    let (mut script, name) = (Vec::new(), command.get_name().to_owned());
    clap_complete::generate(shell, &mut command, name, &mut script);
    io::stdout().write_all(&script).context("failed to write to stdout")
}

/// Writes a program's man pages into `dir`, which is made: one for itself, and one for each of its subcommands.
///
/// # Errors
/// When they cannot be written.
pub fn man_pages(command: Command, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
    // The page on `help` would only say what `--help` is.
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, dir)
        .with_context(|| format!("failed to write man pages into `{}`", dir.display()))
}

fn shell(name: &OsStr) -> anyhow::Result<Shell> {
    let found = name.to_str().and_then(|name| Shell::from_str(name, false).ok());
    let names = || Shell::value_variants().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| {
        let name = name.to_string_lossy();
        failure(Code::Usage, anyhow!("`{}` is no shell that is known; there are {}", name.escape_debug(), names()))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(name = "x")]
    struct Flags {
        /// How many rounds
        #[arg(long)]
        rounds: Option<u32>,
    }

    fn answer(words: &[&str]) -> Option<anyhow::Result<()>> {
        super::answer::<Flags>(&words.iter().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn only_the_two_questions_are_answered() {
        assert!(
            answer(&["x"]).is_none() && answer(&["x", "--rounds", "3"]).is_none() && answer(&["x", "--man"]).is_none()
        );
        let error = answer(&["x", "--completions", "basic"]).unwrap().unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Usage);
        assert_eq!(
            error.to_string(),
            "`basic` is no shell that is known; there are bash, elvish, fish, powershell, zsh"
        );
    }

    #[test]
    fn a_man_page_explains_the_flags() {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("man1");
        answer(&["x", "--man", pages.to_str().unwrap()]).unwrap().unwrap();
        let page = fs::read_to_string(pages.join("x.1")).unwrap();
        assert!(page.contains("How many rounds") && page.contains(r"\fB\-\-rounds\fR"), "{page}");
    }
}
