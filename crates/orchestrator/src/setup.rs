//! Set-up: what a run needs and a fresh checkout lacks. libtorch first, because the trainer is linked to it, then the
//! sibling programs. What is there already is only looked at, so a second set-up takes a fraction of a second.
//!
//! An orchestrator that is installed elsewhere finds its siblings beside itself and sets nothing up.

mod checkout;
mod libtorch;
mod pip;
mod siblings;
mod tool;
mod wheel;

use std::{env, path::PathBuf, time::Instant};

use anyhow::{Context, anyhow};
use cli::{
    exit::{Code, failure},
    shutdown::Shutdown,
};

use crate::{commands::Program, console::Console, progress::Phases};
use checkout::Checkout;

/// The programs, ready to be started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The directory of all binaries.
    pub directory: PathBuf,
    /// libtorch, where it was looked for: an installed program has its own.
    pub libtorch: Option<PathBuf>,
}

/// Provides what is missing.
///
/// # Errors
/// When something is missing that cannot be provided; the message says what to do. When told to stop.
pub async fn provide(console: &Console, shutdown: &Shutdown, phases: &mut Phases) -> anyhow::Result<Programs> {
    let exe = env::current_exe().context("failed to find this program's own path")?;
    let Some(checkout) = Checkout::of(&exe) else {
        return installed(exe);
    };
    let start = Instant::now();
    if !siblings::path(&checkout.profile_dir, Program::Trainer).exists() {
        tool::compiler().await?;
    }
    let libtorch = libtorch::provide(&checkout, console, shutdown).await?;
    phases.end("libtorch", start);
    let start = Instant::now();
    siblings::build(&checkout, console, shutdown).await?;
    phases.end("build", start);
    Ok(Programs { directory: checkout.profile_dir, libtorch: Some(libtorch) })
}

/// `orchestrator setup`: provides what is missing and prints where everything is.
///
/// # Errors
/// See [`provide`].
pub async fn report(console: &Console, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut phases = Phases::default();
    let programs = provide(console, &shutdown, &mut phases).await?;
    if let Some(libtorch) = &programs.libtorch {
        console.result(&format!("libtorch  {}", libtorch.display()));
    }
    for program in Program::ALL {
        let path = siblings::path(&programs.directory, program);
        console.result(&format!("{:<9} {}", program.name(), path.display()));
    }
    console.result(&format!("time: {}", phases.line()));
    Ok(())
}

fn installed(mut exe: PathBuf) -> anyhow::Result<Programs> {
    exe.pop();
    match Program::ALL.into_iter().find(|program| !siblings::path(&exe, *program).exists()) {
        None => Ok(Programs { directory: exe, libtorch: None }),
        Some(program) => Err(failure(
            Code::Unavailable,
            anyhow!(
                "`{}` is missing; install all four programs into one directory, or run from a checkout",
                siblings::path(&exe, program).display()
            ),
        )),
    }
}
