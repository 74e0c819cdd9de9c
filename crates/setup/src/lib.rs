//! Set-up: what a run needs and a fresh checkout lacks. libtorch first, because the trainer is linked to it, then the
//! sibling programs. What is there already is only looked at, so a second set-up takes a fraction of a second.
//!
//! An orchestrator that is installed elsewhere finds its siblings beside itself and sets nothing up. [`doctor`] only looks.

#![forbid(unsafe_code)]

mod cache;
mod caller;
mod checkout;
pub mod doctor;
mod libtorch;
mod pip;
pub mod siblings;
mod spark;
pub mod tool;

use std::{env, ffi::OsString, path::PathBuf, time::Instant};

use anyhow::Context;
use flags::{Engine, EngineName};
use process::shutdown::Shutdown;
use terminal::Console;

pub use crate::cache::cache_dir;
use crate::{cache::unavailable, caller::Caller, checkout::Checkout, siblings::Program};

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
    caller: Caller,
}

impl Setup {
    /// Fetches what is missing, and meanwhile builds the programs that do not need it. What cannot be had is found out
    /// before anything is built.
    ///
    /// # Errors
    /// When something is missing that cannot be provided; the message says what to do. When told to stop.
    pub async fn begin(engine: &Engine, console: &Console, shutdown: &Shutdown) -> anyhow::Result<Setup> {
        let exe = env::current_exe().context("failed to find this program's own path")?;
        if spark::is_needed(engine) {
            spark::java().await?;
        }
        let caller = Caller { console: console.clone(), shutdown: shutdown.clone() };
        let Some(checkout) = Checkout::of(&exe) else {
            let directory = installed(exe)?;
            let spark = spark::provide(engine, &caller).await?;
            return Ok(Setup { directory, checkout: None, libtorch: None, protoc: None, spark, caller });
        };
        let directory = checkout.profile_dir.clone();
        if !siblings::path(&directory, Program::Trainer).exists() {
            tool::compiler().await?;
        }
        let fetch = async {
            let libtorch = libtorch::provide(&checkout, &caller).await?;
            let protoc = match engine.engine {
                EngineName::Rayon => None,
                EngineName::Spark => Some(spark::protoc(&caller).await?),
            };
            Ok((Some(libtorch), protoc, spark::provide(engine, &caller).await?))
        };
        let build = siblings::build_sender_and_receiver(&checkout, &caller);
        let ((libtorch, protoc, spark), ()) = tokio::try_join!(fetch, build)?;
        Ok(Setup { directory, checkout: Some(checkout), libtorch, protoc, spark, caller })
    }

    /// Builds the trainer.
    ///
    /// # Errors
    /// When that fails, or the program is told to stop.
    pub async fn build_trainer(&self) -> anyhow::Result<()> {
        match &self.checkout {
            Some(checkout) => siblings::build_trainer(checkout, self.protoc.as_deref(), &self.caller).await,
            None => Ok(()),
        }
    }
}

/// `orchestrator setup`: provides what is missing and prints where everything is.
///
/// # Errors
/// See [`Setup`].
pub async fn report(engine: &Engine, console: &Console, shutdown: Shutdown) -> anyhow::Result<()> {
    let start = Instant::now();
    let setup = Setup::begin(engine, console, &shutdown).await?;
    setup.build_trainer().await?;
    let seconds = start.elapsed().as_secs_f64();
    let protoc = setup.protoc.map(PathBuf::from);
    let fetched = [("libtorch", setup.libtorch), ("protoc", protoc), ("spark", setup.spark)];
    let programs = Program::ALL.map(|program| (program.name(), Some(siblings::path(&setup.directory, program))));
    for (name, path) in fetched.into_iter().chain(programs) {
        if let Some(path) = path {
            console.result(&format!("{name:<9} {}", path.display()));
        }
    }
    console.result(&format!("time: set-up {seconds:.1} s, total {seconds:.1} s"));
    Ok(())
}

/// The directory of this program, if its siblings lie there, too.
fn installed(mut exe: PathBuf) -> anyhow::Result<PathBuf> {
    exe.pop();
    let paths = Program::ALL.map(|program| siblings::path(&exe, program));
    let Some(missing) = paths.iter().find(|path| !path.exists()) else { return Ok(exe) };
    let advice = "install all four programs into one directory, or run from a checkout";
    Err(unavailable(format!("`{}` is missing; {advice}", missing.display())))
}
