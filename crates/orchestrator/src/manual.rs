//! Completions and man pages of all four programs. The orchestrator makes its own; its siblings know their flags better,
//! so each is asked, and must be there.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, anyhow};
use clap::CommandFactory;
use flags::manual::{self, COMPLETIONS, MAN, Shell};
use process::exit::{Code, failure};
use setup::siblings::{self, Program};

use crate::command_line::CommandLine;

/// Prints the script that completes the flags of `program`, of the orchestrator if none is named.
///
/// # Errors
/// When the program is not there or stdout is gone.
pub fn completions(shell: Shell, program: Option<Program>) -> anyhow::Result<()> {
    let Some(program) = program else {
        return manual::completions(CommandLine::command(), shell);
    };
    let script = ask(program, COMPLETIONS, shell.to_string().as_ref())?;
    io::stdout().write_all(&script).context("failed to write to stdout")
}

/// Writes the man pages of all programs into `dir`.
///
/// # Errors
/// When a program is not there, or they cannot be written.
pub fn man_pages(dir: &Path) -> anyhow::Result<()> {
    for program in Program::ALL {
        ask(program, MAN, dir.as_os_str())?;
    }
    manual::man_pages(CommandLine::command(), dir)
}

fn ask(program: Program, question: &str, value: &OsStr) -> anyhow::Result<Vec<u8>> {
    let exe = env::current_exe().context("failed to find this program's own path")?;
    let path = siblings::path(exe.parent().unwrap_or(Path::new("")), program);
    if !path.exists() {
        let advice = "build it with `orchestrator setup`, or install all four programs into one directory";
        return Err(failure(Code::Unavailable, anyhow!("`{}` is missing; {advice}", path.display())));
    }
    let mut command = Command::new(&path);
    command.args([question.as_ref(), value]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("failed to start `{}`", path.display()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let (path, status) = (path.display(), output.status);
    Err(failure(status, anyhow!("`{path}` failed ({status}); build it anew with `orchestrator setup`")))
}
