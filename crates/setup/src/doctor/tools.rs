//! Programs and libraries: those that a checkout is built with, and those that only the engine `spark` needs.

use std::{env, path::PathBuf};

use tokio::process::Command;

use super::finding::Finding;
use crate::{
    checkout::Checkout,
    libtorch, pip,
    siblings::{self, Program},
    spark as spark_setup, tool,
};

/// The oldest Rust that builds this workspace.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What is there of the checkout, and so what is still to be built or fetched.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// Whether this program runs from a checkout; an installed one builds and fetches nothing.
    is_checkout: bool,
    /// libtorch; or what is wrong with it.
    libtorch: Result<Option<PathBuf>, String>,
    /// The sibling programs that are not there.
    unbuilt: Vec<&'static str>,
}

impl Tools {
    /// Looks at files only.
    pub(crate) fn find() -> Tools {
        let exe = env::current_exe().unwrap_or_default();
        let checkout = Checkout::of(&exe);
        let libtorch = match &checkout {
            Some(checkout) => libtorch::find(checkout).map_err(|error| format!("{error:#}")),
            None => Ok(None),
        };
        let directory = exe.parent().map(PathBuf::from).unwrap_or_default();
        let is_missing = |program: &Program| !siblings::path(&directory, *program).exists();
        let unbuilt = Program::ALL.into_iter().filter(is_missing).map(Program::name).collect();
        Tools { is_checkout: checkout.is_some(), libtorch, unbuilt }
    }

    pub(crate) fn fetches_libtorch(&self) -> bool {
        self.is_checkout && self.libtorch == Ok(None)
    }

    /// Whether a run would compile C++.
    fn compiles(&self) -> bool {
        self.is_checkout && (self.fetches_libtorch() || self.unbuilt.contains(&Program::Trainer.name()))
    }

    pub(crate) fn libtorch(&self) -> Finding {
        match &self.libtorch {
            _ if !self.is_checkout => Finding::ok("the installed trainer has its own"),
            Ok(Some(path)) => Finding::ok(format!("{} in `{}`", libtorch::VERSION, path.display())),
            Ok(None) => {
                let text = "the first run fetches it (540 MB); `orchestrator setup` does only that";
                Finding::missing(text)
            }
            Err(problem) => Finding::wrong(problem).stops_if(true),
        }
    }

    pub(crate) fn programs(&self) -> Finding {
        if self.unbuilt.is_empty() {
            return Finding::ok("receiver, sender and trainer are built");
        }
        let names = self.unbuilt.join(", ");
        let text = match self.is_checkout {
            true => format!("{names}: the first run builds them; `orchestrator setup` does only that"),
            false => format!("{names}: install all four programs into one directory, or run from a checkout"),
        };
        Finding::missing(text).stops_if(!self.is_checkout)
    }
}

pub(crate) async fn compiler(tools: Tools) -> Finding {
    match tool::compiler().await {
        Ok(compiler) => {
            let version = first_line(Command::new(&compiler).arg("--version")).await;
            Finding::ok(version.unwrap_or_else(|| compiler.to_string_lossy().into_owned()))
        }
        Err(error) => missing(&error).stops_if(tools.compiles()),
    }
}

pub(crate) async fn cargo(tools: Tools) -> Finding {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let said = first_line(Command::new(cargo).arg("--version")).await;
    let finding = match said {
        None => Finding::missing("it does not run; install Rust from https://rustup.rs"),
        Some(said) if is_old(&said) => Finding::wrong(format!("{said}, and {RUST} is needed; run `rustup update`")),
        Some(said) => Finding::ok(said),
    };
    finding.stops_if(tools.is_checkout)
}

/// Whether `cargo 1.90.0 (840b83a10 2025-07-30)` is older than what is needed.
fn is_old(said: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> { text.split(['.', '-']).map_while(|part| part.parse().ok()).collect() };
    numbers(said.split_whitespace().nth(1).unwrap_or_default()) < numbers(RUST)
}

/// Only to fetch libtorch.
pub(crate) async fn python(tools: Tools) -> Finding {
    let advice = format!("or set LIBTORCH to a libtorch {}", libtorch::VERSION);
    let fetches = tools.fetches_libtorch();
    let finding = match pip::python("libtorch", &advice).await {
        Ok(python) => Finding::ok(format!("{python} with pip")),
        Err(_) if !fetches => Finding::missing("not needed: there is nothing to fetch with pip"),
        Err(error) => missing(&error),
    };
    finding.stops_if(fetches)
}

const ONLY_SPARK: &str = "only needed for --engine spark without a --spark-remote";

/// Java, which a run needs that starts a Spark of its own.
pub(crate) async fn java(is_needed: bool) -> Finding {
    match spark_setup::java().await {
        Ok(()) => Finding::ok("17 or newer"),
        Err(error) if is_needed => missing(&error).stops_if(true),
        Err(_) => Finding::missing(format!(
            "Java 17 is {ONLY_SPARK} (Debian and Ubuntu: `apt install openjdk-17-jre-headless`)"
        )),
    }
}

pub(crate) fn spark(is_needed: bool) -> Finding {
    match spark_setup::present() {
        Ok(Some(home)) => Finding::ok(format!("in `{}`", home.display())),
        Err(error) => Finding::wrong(format!("{error:#}")).stops_if(is_needed),
        Ok(None) if is_needed => Finding::missing("the first run fetches it (500 MB)"),
        Ok(None) => Finding::missing(format!("Spark is {ONLY_SPARK}, whose first run fetches it (500 MB)")),
    }
}

fn missing(error: &anyhow::Error) -> Finding {
    Finding::missing(format!("{error:#}"))
}

async fn first_line(command: &mut Command) -> Option<String> {
    let output = tool::output(command).await.ok()??;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().filter(|_| output.status.success()).map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(is_checkout: bool, libtorch: Result<Option<PathBuf>, String>, unbuilt: &[&'static str]) -> Tools {
        Tools { is_checkout, libtorch, unbuilt: unbuilt.to_vec() }
    }

    #[test]
    fn what_a_run_can_provide_stops_nobody_and_what_it_cannot_does() {
        let fresh = tools(true, Ok(None), &["receiver", "sender", "trainer"]);
        assert!(fresh.fetches_libtorch() && fresh.compiles());
        assert!(!fresh.libtorch().stops && !fresh.programs().stops);
        let wrong = tools(true, Err("LIBTORCH is `x`, but …".into()), &[]);
        assert!(wrong.libtorch().stops && !wrong.fetches_libtorch());
        let half_installed = tools(false, Ok(None), &["sender"]);
        assert!(half_installed.programs().stops && !half_installed.compiles());
        let ready = tools(true, Ok(Some("x".into())), &[]);
        assert!(!ready.compiles());
    }

    #[test]
    fn an_old_rust_is_told_from_a_new_one() {
        assert!(is_old("cargo 1.90.0 (840b83a10 2025-07-30)") && is_old("cargo 0.99") && is_old(""));
        assert!(!is_old("cargo 1.91.0") && !is_old("cargo 2.0.0") && !is_old("cargo 1.100.0-nightly"));
    }

    #[tokio::test]
    async fn java_and_spark_are_nobodys_error_without_the_engine() {
        assert!(!java(false).await.stops && !spark(false).stops);
    }
}
