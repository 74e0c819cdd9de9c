//! A faulty network: a real sender and a real receiver with a proxy between them that delays, cuts, swallows, damages and
//! repeats what passes, while strangers bother the receiver. Whatever happens for a while, every sample must be stored
//! exactly once and both sides must end well; whatever happens forever, the sender must give up with a clear error, and
//! what is stored must be sound. Beside kinds of trouble drawn from seeds, a small session is cut after each of its bytes.

mod ends;
mod fault;
mod kind;
mod proxy;
mod scenario;
mod strangers;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tokio::{sync::Semaphore, task::JoinSet};

use self::{
    ends::Shape,
    fault::{Break, Fault},
    kind::{Kind, Lengths, Way},
    proxy::{Meeting, Treatment},
    scenario::{Passed, Scene},
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Trouble { kind: Kind, seed: u64 },
    Cut { how: Break, tls: bool, side: usize, byte: u64 },
}

/// Makes the trouble, case by case.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    let started = Instant::now();
    panics::watch();
    let tls = |shape| Shape { tls: true, ..shape };
    let mut lengths = Measured::new();
    for shape in [PLAIN, LONG, SMALL, tls(PLAIN), tls(SMALL)] {
        lengths.insert(shape.kind(), scenario::measure(shape).await?);
    }
    let lengths = Arc::new(lengths);
    let is_wanted =
        |case: &Case| config.only.as_ref().is_none_or(|only| [case.kind(), case.to_string()].contains(only));
    let cases: Vec<Case> = cases(&config, &lengths).filter(is_wanted).collect();
    ensure!(!cases.is_empty(), "no case or kind of trouble has this name");
    let (count, all) = (cases.len() as u64, config.at_once);
    let places = Arc::new(Semaphore::new(all as usize));
    let mut playing = JoinSet::new();
    for case in cases {
        let (places, lengths) = (Arc::clone(&places), Arc::clone(&lengths));
        playing.spawn(async move {
            let _place = places.acquire_many_owned(case.weight(all)).await;
            (case, case.play_until_struck(&lengths).await)
        });
    }
    let (mut violations, mut passes) = (Vec::new(), BTreeMap::<String, (u64, u64, Duration)>::new());
    while let Some(played) = playing.join_next().await {
        let (case, played) = played.context("a case panicked")?;
        match played {
            Ok(Passed { reconnects, took, .. }) => {
                let (cases, sum, longest) = passes.entry(case.kind()).or_default();
                (*cases, *sum, *longest) = (*cases + 1, *sum + reconnects, took.max(*longest));
            }
            Err(error) => violations.push(format!("{case}: {error:#}")),
        }
    }
    violations.sort();
    violations.extend(panics::take().into_iter().map(|panic| format!("a panic: {panic}")));
    let mut finding =
        Finding { cases: count, took: started.elapsed(), violations, ..Finding::new("Faulty network", config.seed) };
    for (kind, (cases, reconnects, longest)) in passes {
        let longest = longest.as_secs_f64();
        finding.figure(kind, format!("{cases} cases, {reconnects} reconnects, longest {longest:.1} s"));
    }
    Ok(finding)
}

fn cases(config: &Config, lengths: &Measured) -> impl Iterator<Item = Case> {
    let seeds = config.seed..config.seed + config.seeds;
    let troubles = kind::ALL.iter().flat_map(move |kind| seeds.clone().map(|seed| Case::Trouble { kind: *kind, seed }));
    let (step, offset) = (config.cut_step, config.seed % config.cut_step);
    let sessions = [false, true].map(|tls| (tls, lengths[&Shape { tls, ..SMALL }.kind()])).into_iter();
    let directions = sessions.flat_map(|(tls, lengths)| (0..2).map(move |side| (tls, side, lengths.bytes[side])));
    let cuts = directions.flat_map(move |(tls, side, length)| {
        let bytes = (offset..=length).step_by(step as usize);
        bytes.flat_map(move |byte| [Break::Cut, Break::Reset].map(|how| Case::Cut { how, tls, side, byte }))
    });
    troubles.chain(cuts)
}

/// Sessions in which nothing goes wrong, by their shapes.
type Measured = BTreeMap<(u64, bool), Lengths>;

const PLAIN: Shape = Shape {
    samples: 60,
    senders: 1,
    samples_per_batch: 7,
    samples_per_chunk: 10,
    batch_delay: Duration::ZERO,
    tls: false,
    silence: Duration::from_millis(400),
    deadline: Duration::from_secs(20),
};
/// More bytes than sockets hold.
const LONG: Shape = Shape { samples: 900, samples_per_batch: 100, samples_per_chunk: 150, ..PLAIN };
/// Few bytes, yet two batches and two chunks. Whoever cuts says so, so silence means no more than a busy machine.
const SMALL: Shape =
    Shape { samples: 3, samples_per_batch: 2, samples_per_chunk: 2, silence: Duration::from_secs(5), ..PLAIN };

impl Case {
    /// Plays the case; again, if the fault did not happen because on a busy machine something else did first.
    async fn play_until_struck(self, lengths: &Measured) -> anyhow::Result<Passed> {
        for _ in 0..3 {
            let passed = self.play(lengths).await?;
            if passed.log.strikes() > 0 {
                return Ok(passed);
            }
        }
        bail!("nothing went wrong, so nothing was tried")
    }

    async fn play(self, lengths: &Measured) -> anyhow::Result<Passed> {
        match self {
            Case::Trouble { kind, seed } => {
                let (shape, strangers) = (shape(kind), kind.strangers());
                let lengths = lengths[&shape.kind()];
                let treat = move |connection| kind.treatment(seed, connection, lengths);
                Scene { shape, seed, forever: kind.forever, treat, strangers }.play().await
            }
            Case::Cut { how, tls, side, byte } => {
                let shape = Shape { tls, ..SMALL };
                let treat = move |connection| {
                    let faults = [0, 1].map(|here| match (connection, here == side) {
                        (0, true) => Fault::Break { byte, how },
                        _ => Fault::None,
                    });
                    Treatment { faults, ..Treatment::default() }
                };
                Scene { shape, seed: byte, forever: false, treat, strangers: None }.play().await
            }
        }
    }

    /// How many of all the places of cases this one takes: one with a crowd is alone, for the sake of a process that may
    /// have no more than 1,024 descriptors.
    fn weight(self, all: u32) -> u32 {
        match self {
            Case::Trouble { kind, .. } if kind.strangers() == Some(Strangers::TooMany) => all,
            _ => 1,
        }
    }

    fn kind(self) -> String {
        match self {
            Case::Trouble { kind, .. } => kind.name.into(),
            Case::Cut { how, tls, side, .. } => {
                let (tls, side) = (if tls { "TLS, " } else { "" }, ["sender", "receiver"][side]);
                format!("{tls}each byte: {how:?} from {side}")
            }
        }
    }
}

/// What is sent through a kind of trouble.
fn shape(kind: Kind) -> Shape {
    let shape = match kind.way {
        Way::Break(_, Break::Deafness) => LONG,
        Way::Meeting(Meeting::Cross) => Shape { senders: 2, ..PLAIN },
        // Long enough for what was stalled to arrive before it ends.
        Way::Break(_, Break::Stall(_)) => Shape { batch_delay: Duration::from_millis(40), ..PLAIN },
        // Long enough for strangers to meet it on its way.
        Way::Strangers(Strangers::ReplayEnded) => Shape { senders: 2, batch_delay: Duration::from_millis(10), ..PLAIN },
        Way::Strangers(_) => Shape { batch_delay: Duration::from_millis(10), ..PLAIN },
        _ => Shape { tls: kind.tls, ..PLAIN },
    };
    if kind.forever { Shape { deadline: Duration::from_secs(1), ..shape } } else { shape }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Trouble { seed, .. } => write!(f, "{}, seed {seed}", self.kind()),
            Case::Cut { byte, .. } => write!(f, "{}, after byte {byte}", self.kind()),
        }
    }
}
