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

/// Provides what is missing. What cannot be had is found out before anything is built, and what is fetched comes while
/// the programs that do not need it are built.
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
    let start = Instant::now();
    if needs_spark(engine) {
        spark::java().await?;
    }
    let Some(checkout) = Checkout::of(&exe) else {
        let programs = Programs { spark: spark(engine, console, shutdown).await?, ..installed(exe)? };
        phases.end("set-up", start);
        return Ok(programs);
    };
    if !siblings::path(&checkout.profile_dir, Program::Trainer).exists() {
        tool::compiler().await?;
    }
    let fetch = async {
        let libtorch = libtorch::provide(&checkout, console, shutdown).await?;
        let protoc = match engine.engine {
            EngineName::Rayon => None,
            EngineName::Spark => Some(spark::protoc(console, shutdown).await?),
        };
        Ok((libtorch, protoc, spark(engine, console, shutdown).await?))
    };
    let build = siblings::build_sender_and_receiver(&checkout, console, shutdown);
    let ((libtorch, protoc, spark), ()) = tokio::try_join!(fetch, build)?;
    siblings::build_trainer(&checkout, protoc.as_deref(), console, shutdown).await?;
    phases.end("set-up", start);
    Ok(Programs { directory: checkout.profile_dir, libtorch: Some(libtorch), protoc, spark })
}

/// Spark, unless there is no need for it.
async fn spark(engine: &Engine, console: &Console, shutdown: &Shutdown) -> anyhow::Result<Option<PathBuf>> {
    match needs_spark(engine) {
        true => spark::home(console, shutdown).await.map(Some),
        false => Ok(None),
    }
}

/// Whether the run is to have a Spark of its own.
fn needs_spark(engine: &Engine) -> bool {
    engine.engine == EngineName::Spark && engine.spark.spark_remote.is_none()
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
