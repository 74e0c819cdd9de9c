//! Sender and receiver together, over real sockets into real directories.

mod helper;

use std::{net::TcpListener, process::Command, time::Duration};

use helper::{
    ByHand, Process, assert_complete, assert_ends, config, key, send, send_fails, sending, source, start, start_at,
    started,
};
use process::{
    exit::Code,
    shutdown::{Cause, Shutdown},
};
use proto::Message;
use receiver::{Config, Outcome};
use sample::{Extent, Share};
use sender::Source;
use tempfile::TempDir;

#[tokio::test]
async fn many_senders_at_once_lose_and_double_nothing() {
    let (dir, receiver) = started(8).await;
    let senders: Vec<_> = (0..8)
        .map(|i| tokio::spawn(send(source(&format!("s-{i}"), i * 50, i * 50 + 50), sending(receiver.address))))
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    receiver.completes(&dir, 400).await;
}

/// A source of `source`'s samples 0..end that sends only its share of them.
fn dealt(share: Share, end: u64) -> Source {
    Source { extent: share.extent(0..end, 7), ..source(&format!("share-{}", share.index()), 0, end) }
}

#[tokio::test]
async fn senders_that_deal_samples_out_bring_the_same_as_one() {
    let (dir, receiver) = started(3).await;
    let shares = (0..3).map(|index| Share::new(index, 3).unwrap());
    let sending: Vec<_> =
        shares.map(|share| tokio::spawn(send(dealt(share, 200), sending(receiver.address)))).collect();
    for sender in sending {
        sender.await.unwrap();
    }
    receiver.completes(&dir, 200).await;
}

#[tokio::test]
async fn a_batch_larger_than_a_frame_is_split() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { samples_per_chunk: 1000, ..config(dir.path(), 1) }).await;
    let sending = sender::Config { samples_per_batch: 3000, ..sending(receiver.address) };
    send(source("a", 0, 3000), sending).await;
    receiver.completes(&dir, 3000).await;
}

#[tokio::test]
async fn a_sender_started_first_waits_for_the_receiver() {
    let dir = TempDir::new().unwrap();
    let absent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = absent.local_addr().unwrap();
    let sender = tokio::spawn(send(source("a", 0, 20), sending(address)));
    drop(absent.accept().await.unwrap()); // It has tried, and somebody hung up on it.
    drop(absent);
    let receiver = start_at(address, config(dir.path(), 1)).await;
    sender.await.unwrap();
    receiver.completes(&dir, 20).await;
}

#[tokio::test]
async fn a_sender_gives_up_at_its_deadline_and_says_how_to_go_on() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let deadline = Duration::from_millis(200);
    let refused = "failed to connect to 127.0.0.1:";
    let start = "start a receiver, or name it with --connect";
    for (extent, key, failed, advice) in [
        (Extent::range(0..20), key(), refused, start),
        (Extent::endless(0), key(), refused, &format!("{start}, unless one was stopped and has sealed the stream")),
        (Extent::range(0..20), "no/such.key".into(), "there is no key file `no/such.key`", "start a receiver here"),
    ] {
        let failed = format!("gave up after 200ms: {failed}");
        let sending = sender::Config { key, deadline, ..sending(address) };
        let source = Source { extent, ..source("a", 0, 20) };
        send_fails(source, sending, Code::Unavailable, &[&failed, advice]).await;
    }
}

#[tokio::test]
async fn a_stopped_receiver_seals_what_it_accepted_and_a_new_one_goes_on() {
    let (dir, mut receiver) = started(1).await;
    let address = receiver.address;
    let slowly = sender::Config { batch_delay: Duration::from_millis(1), ..sending(address) };
    let sender = tokio::spawn(send(source("a", 0, 500), slowly));
    receiver.stored(100).await;
    receiver.trigger.stop(Cause::Terminate);
    assert_eq!(receiver.ended().await.unwrap(), Outcome::Stopped(Cause::Terminate));
    assert!(store::read_manifest(dir.path()).unwrap().is_none());

    let receiver = start_at(address, config(dir.path(), 1)).await;
    sender.await.unwrap();
    receiver.completes(&dir, 500).await;
}

#[tokio::test]
async fn a_stopped_sender_goes_on_where_it_was() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { samples_per_chunk: 1000, ..config(dir.path(), 1) }).await;
    // More than the window holds, so that there is something left to send when the first chunk is durable.
    let (source, all) = (source("a", 0, 8000), 8000);
    let sending = sender::Config { samples_per_batch: 500, ..sending(receiver.address) };
    let (trigger, shutdown) = Shutdown::manual();
    let stop_at_first = |durable| {
        if durable > 0 {
            trigger.stop(Cause::Interrupt);
        }
    };
    let outcome = sender::run(&source, &sending, shutdown, stop_at_first).await.unwrap();
    assert!(matches!(outcome, sender::Outcome::Stopped(Cause::Interrupt, durable) if durable < all), "{outcome:?}");
    send(source, sending).await;
    receiver.completes(&dir, all).await;
}

#[tokio::test]
async fn a_wrong_digest_gives_the_directory_up() {
    let (dir, receiver) = started(1).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 5).await;
    client.send_samples(0, 5).await;
    client.send_end(5, [0; 32]).await;
    assert_eq!(client.refusal().await, "stream `a`: what arrived is not what was sent");
    assert_ends(&receiver.ended().await.unwrap_err(), Code::Data, &[]);
    assert!(store::read_manifest(dir.path()).unwrap().is_none());
    // Nor does a restart make it good.
    let again = start(config(dir.path(), 1)).await;
    assert_ends(&again.ended().await.unwrap_err(), Code::Data, &["what arrived is not what was sent; use --fresh"]);
    let fresh = start(Config { mode: store::Mode::Fresh, ..config(dir.path(), 1) }).await;
    send(source("a", 0, 5), sending(fresh.address)).await;
    fresh.completes(&dir, 5).await;
}

#[tokio::test]
async fn a_broken_protocol_is_answered_with_the_reason_and_others_are_served() {
    let (_dir, receiver) = started(1).await;
    let (mut client, welcome) = ByHand::open(receiver.address, "a", 1_000_000).await;
    client.send_samples(3, 4).await;
    assert!(client.refusal().await.contains("samples 3..+1 do not continue the stream at 0"));
    let (mut client, _) = ByHand::open(receiver.address, "a", 1_000_000).await;
    client.send(Message::EndAck).await;
    assert!(client.refusal().await.contains("EndAck came while waiting for Data or End"));
    assert!(welcome.window >= 20, "at least two chunks");
}

#[tokio::test]
async fn everything_durable_but_unsaid_is_completed_after_a_restart() {
    let (dir, mut receiver) = started(1).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 10).await;
    client.send_samples(0, 10).await;
    receiver.stored(10).await;
    receiver.trigger.stop(Cause::Terminate);
    receiver.ended().await.unwrap();
    // The sender never comes back: nothing is missing, so the directory is complete after a grace.
    let receiver = start(Config { grace: Duration::from_millis(50), ..config(dir.path(), 1) }).await;
    receiver.completes(&dir, 10).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = receiver::bind(taken.local_addr().unwrap(), &key()).await.unwrap_err();
    assert_ends(&error, Code::Unavailable, &[&taken.local_addr().unwrap().to_string()]);
}

#[test]
fn signals_and_a_lost_parent_end_the_program_with_their_codes() {
    let dir = TempDir::new().unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let mut receiver = Process::start(dir.path(), &[]);
        receiver.listening();
        receiver.signal(signal);
        assert_eq!(receiver.code(), Some(code));
    }
    // As `nohup` starts it.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_receiver")]);
    let mut receiver = Process::spawn(command, &key(), dir.path(), &[]);
    receiver.listening();
    receiver.signal("-HUP");
    receiver.signal("-TERM");
    assert_eq!(receiver.code(), Some(143));
    let mut receiver = Process::start(dir.path(), &["--lifeline"]);
    receiver.listening();
    drop(receiver.lifeline.take());
    assert_eq!(receiver.code(), Some(143));
}

#[tokio::test]
async fn a_receiver_waits_for_another_to_leave_the_directory_and_is_refused_if_it_does_not() {
    let (dir, mut first) = started(1).await;
    first.listening().await;
    let mut second = start(config(dir.path(), 1)).await;
    // While this one waits, the second has found the directory in use.
    let refused = start(Config { lock_limit: Duration::from_millis(100), ..config(dir.path(), 1) }).await;
    assert_ends(&refused.ended().await.unwrap_err(), Code::Directory, &[]);
    first.trigger.stop(Cause::Terminate);
    first.ended().await.unwrap();
    second.listening().await;
}

#[tokio::test]
async fn a_complete_directory_ends_the_program_with_73_unless_it_is_to_start_afresh() {
    let (dir, receiver) = started(1).await;
    send(source("a", 0, 10), sending(receiver.address)).await;
    receiver.completes(&dir, 10).await;
    assert_eq!(Process::start(dir.path(), &[]).code(), Some(73));

    // Who is told to stop at once removes nothing.
    let (trigger, shutdown) = Shutdown::manual();
    trigger.stop(Cause::Lifeline);
    let listener = receiver::bind("127.0.0.1:0", &key()).await.unwrap();
    let fresh = Config { mode: store::Mode::Fresh, ..config(dir.path(), 1) };
    let outcome = receiver::run(listener, fresh, shutdown, |_| {}).await.unwrap();
    assert_eq!(outcome, Outcome::Stopped(Cause::Lifeline));
    assert_complete(dir.path(), 10);
    Process::start(dir.path(), &["--fresh"]).listening();
}
