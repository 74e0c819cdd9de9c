//! The command line of the orchestrator: the flags of a run, or a subcommand, some of which are about a run that would have
//! such flags.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use flags::{EngineName, manual::Shell};
use setup::siblings::Program;

use crate::config::Config;

/// Runs everything: stream MNIST from sender to receiver, train on the received chunks, show the result
///
/// In a fresh checkout, libtorch is fetched and the other programs are built first.
#[derive(Parser, Clone, Debug)]
#[command(name = "orchestrator", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// What to do, if not the whole run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The whole run.
    #[command(flatten)]
    pub run: Config,
}

/// What to do instead of the whole run.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Only provide libtorch and build the other programs, and say where they are
    Setup {
        /// The engine to provide for
        #[arg(long, value_enum, default_value = "rayon")]
        engine: EngineName,
    },
    /// Only show the configuration that a run with these flags would have, and where each value comes from; the output is
    /// a file that --config reads
    Config(Listing),
    /// Only look at this machine: what a run with these flags needs, whether it is there, and what to do if it is not.
    /// Nothing is changed. Exit code 69 if a run could not go ahead
    Doctor(Box<Config>),
    /// Print the script that completes flags in a shell; for bash, put it into the file
    /// ~/.local/share/bash-completion/completions/PROGRAM
    Completions {
        /// The shell
        shell: Shell,
        /// The program to complete, this one if none is named; another must be built
        program: Option<Program>,
    },
    /// Write the man pages of all four programs; the other three must be built. `man -l FILE` shows one
    Man {
        /// The directory to write them into, such as ~/.local/share/man/man1
        #[arg(value_parser = flags::path::parser())]
        dir: PathBuf,
    },
}

/// What to show of a configuration.
#[derive(Args, Clone, Debug)]
pub struct Listing {
    /// Instead, explain every key that a configuration file can have
    #[arg(long, exclusive = true)]
    pub explain: bool,
    /// The flags of the run.
    #[command(flatten)]
    pub run: Box<Config>,
}

/// The arguments of the run that a subcommand is about: all but the subcommand's name, which clap wants first.
pub fn without_subcommand(arguments: &[OsString]) -> Vec<OsString> {
    arguments.iter().take(1).chain(arguments.iter().skip(2)).cloned().collect()
}
