//! Senders that send without an end, and a receiver that is stopped, or killed.

mod helper;

use std::{path::Path, time::Duration};

use event::Event;
use helper::{LIMIT, Process, config, image, label, send, sending, source, start, start_at, started, try_to_send};
use process::{exit::Code, shutdown::Cause};
use receiver::{Config, Outcome};
use sample::{Extent, Share};
use sender::Source;
use store::{Follower, Manifest};
use tokio::task::JoinHandle;

/// Samples that are sent over and over.
const CYCLE: u64 = 50;

fn endless(stream: &str, extent: Extent) -> Source {
    Source { extent, ..source(stream, 0, CYCLE) }
}

/// Sends until the receiver has sealed the stream, and says how much of it there is.
fn keep_sending(source: Source, config: sender::Config) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let config = sender::Config { batch_delay: Duration::from_millis(1), ..config };
        match try_to_send(source, config).await.unwrap() {
            sender::Outcome::Sealed(samples) => samples,
            other => panic!("{other:?}"),
        }
    })
}

/// The manifest of a complete directory in which each sample is the one that its seq means.
#[track_caller]
fn sealed(dir: &Path) -> Manifest {
    let (manifest, rows) = store::read(dir).unwrap();
    for (&seq, sample) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        assert_eq!(sample, (label(seq % CYCLE), &image(seq % CYCLE)[..]), "sample {seq}");
    }
    manifest
}

#[tokio::test]
async fn a_receiver_that_is_stopped_seals_what_has_no_end_and_its_senders_know() {
    let (dir, mut receiver) = started(3).await;
    let shares = [0, 1].map(|index| Share::new(index, 2).unwrap());
    let [first, second] = shares.map(|share| {
        let source = endless(&format!("share-{}", share.index()), share.endless(3, 7));
        keep_sending(source, sending(receiver.address))
    });
    send(source("closed", 0, 3), sending(receiver.address)).await;
    let mut follower = Follower::open(dir.path(), 0).unwrap();
    while follower.durable() < 5 * CYCLE {
        receiver.stored(0).await; // One more chunk, of any of them.
        follower.advance(usize::MAX).unwrap();
    }
    receiver.trigger.stop(Cause::Terminate);
    let outcome = receiver.ended().await.unwrap();
    let manifest = sealed(dir.path());
    assert!(matches!(outcome, Outcome::Complete { samples, .. } if samples == manifest.samples), "{outcome:?}");
    let [closed, shares @ ..] = &manifest.streams[..] else { panic!("{manifest:?}") };
    assert!(
        !closed.open
            && shares.iter().all(|stream| stream.open)
            && shares[0].declared() == Share::new(0, 2).unwrap().endless(3, 7)
    );
    let durable: Vec<u64> = shares.iter().map(|stream| stream.samples()).collect();
    assert_eq!([first.await.unwrap(), second.await.unwrap()], durable[..]);
}

#[tokio::test]
async fn a_receiver_that_is_killed_goes_on_with_streams_without_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut killed = Process::start(dir.path(), &["--samples-per-chunk=10"]);
    let address = killed.listening();
    let sender = keep_sending(endless("a", Extent::endless(0)), sending(address));
    let wait = tokio::task::spawn_blocking(move || {
        while !matches!(killed.event(), Some(Event::Stored { samples, .. }) if samples > CYCLE) {}
        killed.signal("-KILL");
        killed.code()
    });
    assert_eq!(wait.await.unwrap(), None);
    let mut receiver = start_at(address, config(dir.path(), 1)).await;
    receiver.stored(4 * CYCLE).await;
    receiver.trigger.stop(Cause::Interrupt);
    assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { .. }));
    let manifest = sealed(dir.path());
    assert_eq!(sender.await.unwrap(), manifest.samples);
    assert!(manifest.streams[0].open && manifest.streams[0].extent() == Extent::range(0..manifest.samples));
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_ends_with_0_when_a_signal_seals_its_streams() {
    for signal in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut receiver = Process::start(dir.path(), &["--samples-per-chunk=10"]);
        let sender = keep_sending(endless("a", Extent::endless(0)), sending(receiver.listening()));
        let ended = tokio::task::spawn_blocking(move || {
            while !matches!(receiver.event(), Some(Event::Stored { .. })) {}
            receiver.signal(signal);
            let mut last = None;
            while let Some(event) = receiver.event() {
                last = Some(event);
            }
            assert!(matches!(last, Some(Event::Complete { .. })), "{last:?}");
            receiver.code()
        });
        assert_eq!(ended.await.unwrap(), Some(0), "{signal}");
        assert_eq!(sender.await.unwrap(), sealed(dir.path()).samples);
    }
}

#[tokio::test]
async fn a_receiver_whose_parent_is_gone_leaves_the_stream_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut orphan = Process::start(dir.path(), &["--samples-per-chunk=10", "--lifeline"]);
    let address = orphan.listening();
    let sender = keep_sending(endless("a", Extent::endless(0)), sending(address));
    let ended = tokio::task::spawn_blocking(move || {
        while !matches!(orphan.event(), Some(Event::Stored { .. })) {}
        drop(orphan.lifeline.take());
        orphan.code()
    });
    assert_eq!(ended.await.unwrap(), Some(Code::Terminated as i32));
    assert!(!dir.path().join("_SUCCESS").exists());
    let mut receiver = start_at(address, config(dir.path(), 1)).await;
    receiver.stored(2 * CYCLE).await;
    receiver.trigger.stop(Cause::Terminate);
    assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { .. }));
    assert_eq!(sender.await.unwrap(), sealed(dir.path()).samples);
}

#[tokio::test]
async fn a_sender_that_is_away_when_its_stream_is_sealed_comes_back_and_hears_of_it() {
    let (dir, mut receiver) = started(1).await;
    let sender = keep_sending(endless("a", Extent::endless(0)), sending(receiver.address));
    receiver.stored(CYCLE).await;
    sender.abort();
    receiver.trigger.stop(Cause::Lifeline);
    assert_eq!(receiver.ended().await.unwrap(), Outcome::Stopped(Cause::Lifeline));
    // The next one never hears of the sender before it is told to end.
    let mut receiver = start(Config { grace: LIMIT, ..config(dir.path(), 1) }).await;
    receiver.listening().await;
    let address = receiver.address;
    receiver.trigger.stop(Cause::Terminate);
    receiver.completed().await;
    let sender = keep_sending(endless("a", Extent::endless(0)), sending(address));
    assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { .. }));
    assert_eq!(sender.await.unwrap(), sealed(dir.path()).samples);
}
