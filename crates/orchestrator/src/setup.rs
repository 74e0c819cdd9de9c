//! Set-up: what a run needs and a fresh checkout lacks. libtorch first, because the trainer is linked to it, then the
//! sibling programs. What is there already is only looked at, so a second set-up takes a fraction of a second.
//!
//! An orchestrator that is installed elsewhere finds its siblings beside itself and sets nothing up.

pub(crate) mod checkout;
pub(crate) mod libtorch;
mod libtorch_wheels;
pub(crate) mod pip;
pub(crate) mod siblings;
pub(crate) mod spark;
pub(crate) mod tool;
mod wheel;

use std::{env, ffi::OsString, path::PathBuf, time::Instant};

use anyhow::{Context, anyhow};
use cli::{
    exit::{Code, failure},
    flags::{Engine, EngineName},
    shutdown::Shutdown,
};

use crate::{commands::Program, console::Console, progress::Phases};
use checkout::Checkout;

pub use libtorch::cache_dir;
pub(crate) use tool::Tool;

/// The programs, ready to be started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The directory of all binaries.
    pub directory: PathBuf,
    /// libtorch, where it was looked for: an installed program has its own.
    pub libtorch: Option<PathBuf>,
    /// The compiler that a trainer with Spark was built with.
    pub protoc: Option<OsString>,
    /// Spark, if the run is to have one of its own.
    pub spark: Option<PathBuf>,
}

/// Provides what is missing.
///
/// # Errors
/// When something is missing that cannot be provided; the message says what to do. When told to stop.
pub async fn provide(
    engine: &Engine,
    console: &Console,
    shutdown: &Shutdown,
    phases: &mut Phases,
) -> anyhow::Result<Programs> {
    let exe = env::current_exe().context("failed to find this program's own path")?;
    let Some(checkout) = Checkout::of(&exe) else {
        return Ok(Programs { spark: spark(engine, console, shutdown).await?, ..installed(exe)? });
    };
    let start = Instant::now();
    if !siblings::path(&checkout.profile_dir, Program::Trainer).exists() {
        tool::compiler().await?;
    }
    let libtorch = libtorch::provide(&checkout, console, shutdown).await?;
    phases.end("libtorch", start);
    let start = Instant::now();
    let protoc = match engine.engine {
        EngineName::Rayon => None,
        EngineName::Spark => Some(spark::protoc(console, shutdown).await?),
    };
    siblings::build(&checkout, protoc.as_deref(), console, shutdown).await?;
    phases.end("build", start);
    let start = Instant::now();
    let spark = spark(engine, console, shutdown).await?;
    if spark.is_some() {
        phases.end("Spark", start);
    }
    Ok(Programs { directory: checkout.profile_dir, libtorch: Some(libtorch), protoc, spark })
}

/// Spark, unless there is no need for it.
async fn spark(engine: &Engine, console: &Console, shutdown: &Shutdown) -> anyhow::Result<Option<PathBuf>> {
    match (engine.engine, &engine.spark.spark_remote) {
        (EngineName::Spark, None) => spark::home(console, shutdown).await.map(Some),
        _ => Ok(None),
    }
}

/// `orchestrator setup`: provides what is missing and prints where everything is.
///
/// # Errors
/// See [`provide`].
pub async fn report(engine: &Engine, console: &Console, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut phases = Phases::default();
    let programs = provide(engine, console, &shutdown, &mut phases).await?;
    if let Some(libtorch) = &programs.libtorch {
        console.result(&format!("libtorch  {}", libtorch.display()));
    }
    if let Some(protoc) = &programs.protoc {
        console.result(&format!("protoc    {}", protoc.display()));
    }
    if let Some(spark) = &programs.spark {
        console.result(&format!("spark     {}", spark.display()));
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
        None => Ok(Programs { directory: exe, libtorch: None, protoc: None, spark: None }),
        Some(program) => Err(failure(
            Code::Unavailable,
            anyhow!(
                "`{}` is missing; install all four programs into one directory, or run from a checkout",
                siblings::path(&exe, program).display()
            ),
        )),
    }
}
