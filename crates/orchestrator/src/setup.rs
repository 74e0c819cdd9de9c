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

/// A set-up under way: all is fetched, and all programs can be started but the trainer, whose build takes longest.
#[derive(Debug)]
pub struct Setup {
    /// The directory of all binaries.
    pub directory: PathBuf,
    /// What is still to be built from; an installed program is complete.
    checkout: Option<Checkout>,
    /// libtorch, where it was looked for: an installed program has its own.
    libtorch: Option<PathBuf>,
    /// The compiler that a trainer with Spark is built with.
    protoc: Option<OsString>,
    /// Spark, if the run is to have one of its own.
    pub spark: Option<PathBuf>,
    /// Where it tells of itself.
    pub console: Console,
    shutdown: Shutdown,
}

impl Setup {
    /// Fetches what is missing, and meanwhile builds the programs that do not need it. What cannot be had is found out
    /// before anything is built.
    ///
    /// # Errors
    /// When something is missing that cannot be provided; the message says what to do. When told to stop.
    pub async fn begin(
        engine: &Engine,
        console: &Console,
        shutdown: &Shutdown,
        phases: &mut Phases,
    ) -> anyhow::Result<Setup> {
        let exe = env::current_exe().context("failed to find this program's own path")?;
        let start = Instant::now();
        if needs_spark(engine) {
            spark::java().await?;
        }
        let checkout = Checkout::of(&exe);
        let directory = match &checkout {
            Some(checkout) => checkout.profile_dir.clone(),
            None => installed(exe)?,
        };
        let (console, shutdown) = (console.clone(), shutdown.clone());
        let mut setup = Setup { directory, checkout, libtorch: None, protoc: None, spark: None, console, shutdown };
        setup.fetch(engine).await?;
        phases.end("set-up", start);
        Ok(setup)
    }

    async fn fetch(&mut self, engine: &Engine) -> anyhow::Result<()> {
        let (console, shutdown) = (&self.console, &self.shutdown);
        let Some(checkout) = &self.checkout else {
            self.spark = spark(engine, console, shutdown).await?;
            return Ok(());
        };
        if !siblings::path(&self.directory, Program::Trainer).exists() {
            tool::compiler().await?;
        }
        let fetch = async {
            let libtorch = libtorch::provide(checkout, console, shutdown).await?;
            let protoc = match engine.engine {
                EngineName::Rayon => None,
                EngineName::Spark => Some(spark::protoc(console, shutdown).await?),
            };
            Ok((libtorch, protoc, spark(engine, console, shutdown).await?))
        };
        let build = siblings::build_sender_and_receiver(checkout, console, shutdown);
        let ((libtorch, protoc, spark), ()) = tokio::try_join!(fetch, build)?;
        (self.libtorch, self.protoc, self.spark) = (Some(libtorch), protoc, spark);
        Ok(())
    }

    /// Builds the trainer.
    ///
    /// # Errors
    /// When that fails, or the program is told to stop.
    pub async fn build_trainer(&self, phases: &mut Phases) -> anyhow::Result<()> {
        let start = Instant::now();
        if let Some(checkout) = &self.checkout {
            siblings::build_trainer(checkout, self.protoc.as_deref(), &self.console, &self.shutdown).await?;
        }
        phases.end("set-up", start);
        Ok(())
    }
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
/// See [`Setup`].
pub async fn report(engine: &Engine, console: &Console, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut phases = Phases::default();
    let setup = Setup::begin(engine, console, &shutdown, &mut phases).await?;
    setup.build_trainer(&mut phases).await?;
    if let Some(libtorch) = &setup.libtorch {
        console.result(&format!("libtorch  {}", libtorch.display()));
    }
    if let Some(protoc) = &setup.protoc {
        console.result(&format!("protoc    {}", protoc.display()));
    }
    if let Some(spark) = &setup.spark {
        console.result(&format!("spark     {}", spark.display()));
    }
    for program in Program::ALL {
        let path = siblings::path(&setup.directory, program);
        console.result(&format!("{:<9} {}", program.name(), path.display()));
    }
    console.result(&format!("time: {}", phases.line()));
    Ok(())
}

/// The directory of this program, if its siblings lie there, too.
fn installed(mut exe: PathBuf) -> anyhow::Result<PathBuf> {
    exe.pop();
    match Program::ALL.into_iter().find(|program| !siblings::path(&exe, *program).exists()) {
        None => Ok(exe),
        Some(program) => Err(failure(
            Code::Unavailable,
            anyhow!(
                "`{}` is missing; install all four programs into one directory, or run from a checkout",
                siblings::path(&exe, program).display()
            ),
        )),
    }
}
