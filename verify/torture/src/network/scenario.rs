//! How a case is played: a receiver, a proxy before it, senders that go through the proxy, perhaps strangers; and the
//! checks of what is left when all have ended.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, ensure};
use receiver::Outcome;
use store::{Mode, Store};
use tokio::{task::JoinSet, time::timeout};

use super::{
    ends::{Receiving, Shape, Witness, chunks, send},
    kind::{Case, Kind, Lengths},
    log::Log,
    proxy::Proxy,
};
use crate::samples;

const LIMIT: Duration = Duration::from_secs(60);

/// Plays a case, and returns what went through the proxy.
pub(crate) async fn play(case: Case, lengths: Lengths) -> anyhow::Result<Arc<Log>> {
    let late = || format!("it did not end within {LIMIT:?}");
    timeout(LIMIT, play_to_the_end(case, lengths)).await.with_context(late)?
}

async fn play_to_the_end(case: Case, lengths: Lengths) -> anyhow::Result<Arc<Log>> {
    let Kind { shape, forever, strangers, .. } = case.kind;
    let folder = tempfile::tempdir()?;
    let (folder, witness) = (folder.path(), Witness::new(folder.path(), shape));
    let mut receiver = Receiving::start(folder, shape).await?;
    let proxy = Proxy::bind(receiver.address, case, lengths)?;
    let (address, log, mut network) = (proxy.address()?, Arc::clone(&proxy.log), JoinSet::new());
    network.spawn(proxy.serve());
    if let Some(strangers) = strangers {
        strangers.arrive(receiver.address, case.seed, &log, &mut network).await;
    }
    let sent = send(address, folder, shape, &witness).await;
    drop(network);
    match sent {
        Ok(()) => {}
        Err(error) if !forever => {
            let ended = timeout(Duration::ZERO, &mut receiver.task).await; // If it has, that may be why.
            return Err(error.context(format!("the receiver ended: {ended:?}")));
        }
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("gave up after 1s: "), "it ended otherwise than by giving up: {text}");
            // The network heals, too late for that sender. The receiver may have all it needs and be gone.
            let sent = send(receiver.address, folder, Shape { deadline: LIMIT, ..shape }, &witness).await;
            ensure!(sent.is_ok() || receiver.task.is_finished(), "nor did a second sender get through: {sent:?}");
        }
    }
    let outcome = (&mut receiver.task).await.context("the receiver panicked")?.context("the receiver failed")?;
    ensure!(matches!(outcome, Outcome::Complete { .. }), "the receiver ended with {outcome:?}");
    check(&chunks(folder), shape, &witness)?;
    Ok(log)
}

/// What a session puts on the wire in which nothing goes wrong.
pub(crate) async fn measure(shape: Shape) -> anyhow::Result<Lengths> {
    let played = play(Case::undisturbed(shape), Lengths::default()).await;
    let log = played.context("a session without any fault went wrong")?;
    Ok(Lengths::of(&log.session(0).context("nothing went through the proxy")?, shape.tls))
}

fn check(dir: &Path, shape: Shape, witness: &Witness) -> anyhow::Result<()> {
    let wrong = [witness.lies(), samples::check(dir, shape.samples)].concat();
    ensure!(wrong.is_empty(), "{}", wrong.join(", "));
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        ensure!(!name.to_string_lossy().starts_with(".tmp-"), "{name:?} is left");
    }
    match Store::open(dir, Mode::Continue, 1) {
        Err(store::Error::Complete(_)) => Ok(()),
        other => Err(anyhow!("the directory is not free and complete: {:?}", other.err())),
    }
}
