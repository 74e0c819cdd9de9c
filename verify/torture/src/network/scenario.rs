//! One case: a receiver, a proxy before it, senders that go through the proxy, perhaps strangers; and the checks of what
//! is left when all have ended.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use receiver::Outcome;
use store::{Mode, Store};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};

use super::{
    ends::{Receiving, Shape, Witness, chunks, send},
    kind::Lengths,
    proxy::{Log, Proxy, Treatment},
    strangers::Strangers,
};
use crate::samples;

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Passed {
    /// Connections that were made beyond the first.
    pub(crate) reconnects: u64,
    pub(crate) took: Duration,
    pub(crate) log: Arc<Log>,
}

pub(crate) struct Scene<T> {
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
    pub(crate) forever: bool,
    pub(crate) treat: T,
    pub(crate) strangers: Option<Strangers>,
}

impl<T: Fn(u64) -> Treatment + Send + 'static> Scene<T> {
    pub(crate) async fn play(self) -> anyhow::Result<Passed> {
        let (started, senders) = (Instant::now(), self.shape.senders);
        let late = || format!("it did not end within {LIMIT:?}");
        let log = timeout(LIMIT, self.play_to_the_end()).await.with_context(late)??;
        Ok(Passed { reconnects: log.connections() - senders, took: started.elapsed(), log })
    }

    async fn play_to_the_end(self) -> anyhow::Result<Arc<Log>> {
        let Scene { shape, seed, forever, treat, strangers } = self;
        let witness = Witness::new(TempDir::new()?, shape);
        let mut receiver = Receiving::start(&witness.folder, shape).await?;
        let proxy = Proxy::start(receiver.address, seed, treat).await?;
        let log = Arc::clone(&proxy.log);
        let crowd = match strangers {
            Some(strangers) => strangers.arrive(receiver.address, seed, Arc::clone(&log)).await,
            None => JoinSet::new(),
        };
        let sent = send_all(proxy.address, shape, &witness, strangers == Some(Strangers::ReplayEnded)).await;
        drop((proxy, crowd));
        match sent {
            Ok(()) => {}
            Err(error) if !forever => return Err(receiver.explain(error).await),
            Err(error) => {
                let text = format!("{error:#}");
                ensure!(text.contains("gave up after 1s: "), "it ended otherwise than by giving up: {text}");
                // The network heals, too late for that sender. The receiver may have all it needs and be gone.
                let sent = send_all(receiver.address, Shape { deadline: LIMIT, ..shape }, &witness, false).await;
                ensure!(sent.is_ok() || receiver.task.is_finished(), "nor did a second sender get through: {sent:?}");
            }
        }
        let outcome = (&mut receiver.task).await.context("the receiver panicked")?.context("the receiver failed")?;
        ensure!(matches!(outcome, Outcome::Complete { .. }), "the receiver ended with {outcome:?}");
        check(&chunks(&witness.folder), shape, &witness)?;
        Ok(log)
    }
}

pub(crate) async fn measure(shape: Shape) -> anyhow::Result<Lengths> {
    let treat = |_| Treatment::default();
    let scene = Scene { shape, seed: 0, forever: false, treat, strangers: None };
    let passed = scene.play().await.context("a session without any fault went wrong")?;
    Ok(Lengths::of(&passed.log.session(0).context("nothing went through the proxy")?, shape.tls))
}

/// Lets all senders send, at the same time or one after the other.
async fn send_all(to: SocketAddr, shape: Shape, witness: &Arc<Witness>, in_turn: bool) -> anyhow::Result<()> {
    let mut senders = JoinSet::new();
    for number in 0..shape.senders {
        senders.spawn(send(number, to, shape, Arc::clone(witness)));
        if in_turn && let Some(ended) = senders.join_next().await {
            ended.context("a sender panicked")?.context("a sender failed")?;
        }
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender panicked")?.context("a sender failed")?;
    }
    Ok(())
}

fn check(dir: &Path, shape: Shape, witness: &Witness) -> anyhow::Result<()> {
    if let Some(lie) = witness.lie() {
        bail!(lie);
    }
    let wrong = samples::check(dir, shape.samples);
    ensure!(wrong.is_empty(), "{}", wrong.join(", "));
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        ensure!(!name.to_string_lossy().starts_with(".tmp-"), "{name:?} is left");
    }
    match Store::open(dir, Mode::Continue, 1) {
        Err(store::Error::Complete(_)) => Ok(()),
        Err(error) => Err(anyhow!(error).context("the directory is not free and complete")),
        Ok(_) => bail!("the directory is not complete"),
    }
}
