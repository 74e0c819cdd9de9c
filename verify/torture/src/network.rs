//! A faulty network: a real sender and a real receiver with a proxy between them that delays, cuts, swallows, damages and
//! repeats what passes, while strangers bother the receiver. Whatever happens for a while, every sample must be stored
//! exactly once and both sides must end well; whatever happens forever, the sender must give up with a clear error, and
//! what is stored must be sound. Beside kinds of trouble drawn from seeds, a small session is cut after each of its bytes.

mod ends;
mod fault;
mod kind;
mod log;
mod proxy;
mod scenario;
mod strangers;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tokio::{sync::Semaphore, task::JoinSet};

use self::{
    kind::{ALL, Case, LONG, Lengths, PLAIN, SMALL},
    log::Log,
    strangers::Strangers,
};
use crate::{Finding, panics};

/// How much trouble.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first seed.
    pub seed: u64,
    /// Seeds for each kind of trouble.
    pub seeds: u64,
    /// Of the bytes of a small session, every so many-th is one after which it is cut.
    pub cut_step: u64,
    /// Cases at the same time; most of them wait most of the time.
    pub at_once: u32,
    /// Only the case, or the kind of trouble, that has this name, to repeat a violation.
    pub only: Option<String>,
}

/// Makes the trouble, case by case.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    panics::watch();
    // Sessions in which nothing goes wrong, by their shapes.
    let mut lengths = BTreeMap::new();
    for shape in [PLAIN, LONG, SMALL, PLAIN.with_tls(), SMALL.with_tls()] {
        lengths.insert(shape.kind(), scenario::measure(shape).await?);
    }
    let is_wanted =
        |case: &Case| config.only.as_ref().is_none_or(|only| [case.kind.name, &case.to_string()].contains(&&**only));
    let places = Arc::new(Semaphore::new(config.at_once as usize));
    let mut playing = JoinSet::new();
    for kind in ALL {
        let lengths = lengths[&kind.shape.kind()];
        // One with a crowd is alone, for the sake of a process that may have no more than 1,024 descriptors.
        let weight = if kind.strangers == Some(Strangers::TooMany) { config.at_once } else { 1 };
        for case in kind.cases(&config, lengths).into_iter().filter(is_wanted) {
            let places = Arc::clone(&places);
            playing.spawn(async move {
                let _place = places.acquire_many_owned(weight).await;
                let start = Instant::now();
                (case, play_until_struck(case, lengths).await, start.elapsed())
            });
        }
    }
    ensure!(!playing.is_empty(), "no case or kind of trouble has this name");
    let mut finding = Finding { cases: playing.len() as u64, ..Finding::default() };
    let mut passes = BTreeMap::<&str, (u64, u64, Duration)>::new();
    while let Some(played) = playing.join_next().await {
        let (case, played, took) = played.context("a case panicked")?;
        match played {
            Ok(log) => {
                let reconnects = log.connections() - case.kind.shape.senders;
                let (cases, sum, longest) = passes.entry(case.kind.name).or_default();
                (*cases, *sum, *longest) = (*cases + 1, *sum + reconnects, took.max(*longest));
            }
            Err(error) => finding.violations.push(format!("{case}: {error:#}")),
        }
    }
    finding.violations.sort();
    finding.violations.extend(panics::take().into_iter().map(|panic| format!("a panic: {panic}")));
    for (kind, (cases, reconnects, longest)) in passes {
        let longest = longest.as_secs_f64();
        finding.figure(kind, format!("{cases} cases, {reconnects} reconnects, longest {longest:.1} s"));
    }
    Ok(finding)
}

/// Plays a case; again, if the fault did not happen because on a busy machine something else did first.
async fn play_until_struck(case: Case, lengths: Lengths) -> anyhow::Result<Arc<Log>> {
    for _ in 0..3 {
        let log = scenario::play(case, lengths).await?;
        if log.strikes() > 0 {
            return Ok(log);
        }
    }
    bail!("nothing went wrong, so nothing was tried")
}
