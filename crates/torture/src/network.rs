//! A faulty network: a real sender and a real receiver with a proxy between them that delays, cuts, swallows, damages and
//! repeats what passes, while strangers bother the receiver. Whatever happens for a while, every sample must be stored
//! exactly once and both sides must end well; whatever happens forever, the sender must give up with a clear error, and
//! what is stored must be sound. Beside kinds of trouble drawn from seeds, a small session is cut after each of its bytes.

mod ends;
mod fault;
mod frames;
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

use anyhow::{Context, bail};
use tokio::{sync::Semaphore, task::JoinSet};

use self::{
    ends::Shape,
    fault::{Break, Fault},
    kind::{Kind, Lasts, Lengths, Trouble, Way},
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

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Trouble { kind: Kind, seed: u64 },
    Cut { how: Break, tls: bool, side: usize, byte: u64 },
}

/// Makes the trouble, case by case.
///
/// # Errors
/// When not even a faultless session can be had. What went wrong otherwise is in the finding.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    let started = Instant::now();
    panics::watch();
    let lengths = Measured {
        plain: scenario::measure(PLAIN).await?,
        long: scenario::measure(LONG).await?,
        small: scenario::measure(SMALL).await?,
        plain_tls: scenario::measure(Shape { tls: true, ..PLAIN }).await?,
        small_tls: scenario::measure(Shape { tls: true, ..SMALL }).await?,
    };
    let is_wanted =
        |case: &Case| config.only.as_ref().is_none_or(|only| [case.kind(), case.to_string()].contains(only));
    let cases: Vec<Case> = cases(&config, lengths).filter(is_wanted).collect();
    let (count, all) = (cases.len() as u64, config.at_once);
    let places = Arc::new(Semaphore::new(all as usize));
    let mut playing = JoinSet::new();
    for case in cases {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire_many_owned(case.weight(all)).await;
            (case, case.play_until_struck(lengths).await)
        });
    }
    let (mut violations, mut tallies) = (Vec::new(), BTreeMap::<String, Tally>::new());
    while let Some(played) = playing.join_next().await {
        let (case, played) = played.context("a case panicked")?;
        match played {
            Ok(passed) => tallies.entry(case.kind()).or_default().add(passed),
            Err(error) => violations.push(format!("{case}: {error:#}")),
        }
    }
    let figures = tallies.into_iter().map(|(kind, tally)| (kind, tally.to_string())).collect();
    violations.sort();
    violations.extend(panics::take().into_iter().map(|panic| format!("a panic: {panic}")));
    Ok(Finding {
        title: "Faulty network".into(),
        cases: count,
        seed: config.seed,
        took: started.elapsed(),
        figures,
        violations,
    })
}

fn cases(config: &Config, lengths: Measured) -> impl Iterator<Item = Case> {
    let seeds = config.seed..config.seed + config.seeds;
    let troubles = kind::ALL.iter().flat_map(move |kind| seeds.clone().map(|seed| Case::Trouble { kind: *kind, seed }));
    let (step, offset) = (config.cut_step, config.seed % config.cut_step);
    let sessions = [(false, lengths.small), (true, lengths.small_tls)].into_iter();
    let directions = sessions.flat_map(|(tls, lengths)| (0..2).map(move |side| (tls, side, lengths.bytes[side])));
    let cuts = directions.flat_map(move |(tls, side, length)| {
        let bytes = (offset..=length).step_by(step as usize);
        bytes.flat_map(move |byte| [Break::Cut, Break::Reset].map(|how| Case::Cut { how, tls, side, byte }))
    });
    troubles.chain(cuts)
}

/// Sessions in which nothing goes wrong.
#[derive(Clone, Copy, Debug)]
struct Measured {
    plain: Lengths,
    long: Lengths,
    small: Lengths,
    plain_tls: Lengths,
    small_tls: Lengths,
}

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
    async fn play_until_struck(self, lengths: Measured) -> anyhow::Result<Passed> {
        for _ in 0..3 {
            let passed = self.play(lengths).await?;
            if passed.has_struck {
                return Ok(passed);
            }
        }
        bail!("nothing went wrong, so nothing was tried")
    }

    async fn play(self, lengths: Measured) -> anyhow::Result<Passed> {
        match self {
            Case::Trouble { kind, seed } => {
                let shape = shape(kind);
                let lengths = match shape {
                    Shape { tls: true, .. } => lengths.plain_tls,
                    Shape { samples, .. } if samples == LONG.samples => lengths.long,
                    _ => lengths.plain,
                };
                let strangers = match kind.trouble {
                    Trouble::Strangers(strangers) => Some(strangers),
                    Trouble::Way(_) => None,
                };
                let treat = move |connection| kind.treatment(seed, connection, lengths);
                Scene { shape, seed, lasts: kind.lasts, treat, strangers }.play().await
            }
            Case::Cut { how, tls, side, byte } => {
                let shape = Shape { tls, ..SMALL };
                let fault = move |here| if here == side { Fault::Break { byte, how } } else { Fault::None };
                let treat = move |connection| match connection {
                    0 => Treatment { meeting: Meeting::Connect, up: fault(0), down: fault(1) },
                    _ => Treatment::default(),
                };
                Scene { shape, seed: byte, lasts: Lasts::AWhile, treat, strangers: None }.play().await
            }
        }
    }

    /// How many of all the places of cases this one takes: one with a crowd is alone, for the sake of a process that may
    /// have no more than 1,024 descriptors.
    fn weight(self, all: u32) -> u32 {
        match self {
            Case::Trouble { kind, .. } if kind.trouble == Trouble::Strangers(Strangers::TooMany) => all,
            _ => 1,
        }
    }

    /// The kind of trouble.
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
    let shape = match kind.trouble {
        Trouble::Way(Way::Break(_, Break::Deafness)) => LONG,
        Trouble::Way(Way::Meeting(Meeting::Cross)) => Shape { senders: 2, ..PLAIN },
        // Long enough for what was stalled to arrive before it ends.
        Trouble::Way(Way::Break(_, Break::Stall(_))) => Shape { batch_delay: Duration::from_millis(40), ..PLAIN },
        // Long enough for strangers to meet it on its way.
        Trouble::Strangers(Strangers::ReplayEnded) => {
            Shape { senders: 2, batch_delay: Duration::from_millis(10), ..PLAIN }
        }
        Trouble::Strangers(_) => Shape { batch_delay: Duration::from_millis(10), ..PLAIN },
        Trouble::Way(_) => Shape { tls: kind.tls, ..PLAIN },
    };
    match kind.lasts {
        Lasts::AWhile => shape,
        Lasts::Forever => Shape { deadline: Duration::from_secs(1), ..shape },
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Trouble { seed, .. } => write!(f, "{}, seed {seed}", self.kind()),
            Case::Cut { byte, .. } => write!(f, "{}, after byte {byte}", self.kind()),
        }
    }
}

/// What the cases of a kind showed.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cases: u64,
    reconnects: u64,
    longest: Duration,
}

impl Tally {
    fn add(&mut self, passed: Passed) {
        self.cases += 1;
        self.reconnects += passed.reconnects;
        self.longest = self.longest.max(passed.took);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { cases, reconnects, longest } = self;
        write!(f, "{cases} cases, {reconnects} reconnects, longest {:.1} s", longest.as_secs_f64())
    }
}
