//! How a program talks.

use clap::Args;

/// How a program talks to the program that started it.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Report events on stdout, one JSON object a line, instead of text
    #[arg(long)]
    pub json: bool,
    /// Stop when stdin ends: a parent that holds it open leaves no child behind. A byte on it is as good as Ctrl-C
    #[arg(long)]
    pub lifeline: bool,
}
