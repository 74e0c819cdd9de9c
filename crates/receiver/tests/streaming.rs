//! Sender and receiver together, over real sockets into real directories.

mod helper;

use std::{net::TcpListener, process::Command, time::Duration};

use cli::{
    exit::{Code, code_of},
    shutdown::{Cause, Shutdown},
};
use helper::{ByHand, Process, assert_complete, config, key, send, sending, source, start, start_at};
use proto::{ErrorCode, Message, StreamDigest, message::Welcome};
use receiver::{Config, Outcome};
use tempfile::TempDir;

#[tokio::test]
async fn a_stream_lands_whole_and_both_sides_end() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    assert_eq!(send(source("a", 0, 95), sending(receiver.address)).await.unwrap(), sender::Outcome::Complete);
    let Outcome::Complete { samples, chunks, .. } = receiver.ended().await.unwrap() else { panic!() };
    assert_eq!((samples, chunks), (95, 10));
    assert_complete(dir.path(), 95);
}

#[tokio::test]
async fn many_senders_at_once_lose_and_double_nothing() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 8)).await;
    let senders: Vec<_> = (0..8)
        .map(|i| tokio::spawn(send(source(&format!("s-{i}"), i * 50, i * 50 + 50), sending(receiver.address))))
        .collect();
    for sender in senders {
        assert_eq!(sender.await.unwrap().unwrap(), sender::Outcome::Complete);
    }
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 400);
}

#[tokio::test]
async fn a_batch_larger_than_a_frame_is_split() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { samples_per_chunk: 1000, ..config(dir.path(), 1) }).await;
    let sending = sender::Config { samples_per_batch: 3000, ..sending(receiver.address) };
    send(source("a", 0, 3000), sending).await.unwrap();
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 3000);
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
    assert_eq!(sender.await.unwrap().unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 20);
}

#[tokio::test]
async fn a_sender_gives_up_at_its_deadline_and_says_how_to_go_on() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sending = sender::Config { deadline: Duration::from_millis(200), ..sending(address) };
    let error = send(source("a", 0, 20), sending).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Unavailable);
    let text = format!("{error:#}");
    assert!(text.starts_with("gave up after 200ms: failed to connect to 127.0.0.1:"), "{text}");
    assert!(text.ends_with("start a receiver, or name it with --connect"), "{text}");
}

#[tokio::test]
async fn a_stopped_receiver_seals_what_it_accepted_and_a_new_one_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut receiver = start(config(dir.path(), 1)).await;
    let address = receiver.address;
    let slowly = sender::Config { batch_delay: Duration::from_millis(1), ..sending(address) };
    let sender = tokio::spawn(send(source("a", 0, 500), slowly));
    receiver.stored(100).await;
    receiver.trigger.stop(Cause::Terminate);
    assert_eq!(receiver.ended().await.unwrap(), Outcome::Stopped(Cause::Terminate));
    assert!(store::read_manifest(dir.path()).unwrap().is_none());

    let receiver = start_at(address, config(dir.path(), 1)).await;
    assert_eq!(sender.await.unwrap().unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 500);
}

#[tokio::test]
async fn a_stopped_receiver_acknowledges_what_it_seals() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 40).await;
    client.send_samples(0, 15).await;
    assert_eq!(client.receive().await, Some(Message::Ack(10)));
    receiver.trigger.stop(Cause::Terminate);
    assert_eq!(client.receive().await, Some(Message::Ack(15)));
    assert_eq!(client.refusal().await, "the receiver was stopped");
}

#[tokio::test]
async fn a_receiver_killed_again_and_again_costs_no_sample() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let start = |address: &str| Process::start(&["--dir", path, "--listen", address, "--samples-per-chunk", "10"]);
    let mut receiver = start("127.0.0.1:0");
    let address = receiver.listening();
    let slowly = sender::Config { batch_delay: Duration::from_millis(1), ..sending(address) };
    let sender = tokio::spawn(send(source("a", 0, 700), slowly));
    for _ in 0..4 {
        let one_more_chunk = move || {
            receiver.event().unwrap();
            receiver.kill();
        };
        tokio::task::spawn_blocking(one_more_chunk).await.unwrap();
        receiver = start(&address.to_string());
        receiver.listening();
    }
    assert_eq!(sender.await.unwrap().unwrap(), sender::Outcome::Complete);
    assert_eq!(receiver.code(), Some(0));
    assert_complete(dir.path(), 700);
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
    assert_eq!(send(source, sending).await.unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), all);
}

#[tokio::test]
async fn a_newer_connection_takes_the_stream_over() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (mut old, _) = ByHand::open(receiver.address, "a", 40).await;
    old.send_samples(0, 15).await;
    assert_eq!(old.receive().await, Some(Message::Ack(10)));
    let (mut new, welcome) = ByHand::open(receiver.address, "a", 40).await;
    assert_eq!((welcome.next, welcome.durable), (15, 10), "buffered samples are not asked for again");
    assert_eq!(old.refusal().await, "another connection took the stream over");
    new.send_samples(15, 40).await;
    let whole = source("a", 0, 40);
    let mut digest = StreamDigest::default();
    digest.update(&whole.labels, &whole.images);
    new.send_end(40, digest.finish()).await;
    while new.receive().await != Some(Message::EndAck) {}
    new.send(Message::Bye).await;
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 40);
}

#[tokio::test]
async fn a_lonely_sample_is_durable_after_the_linger() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { linger: Duration::from_millis(20), ..config(dir.path(), 1) }).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 40).await;
    client.send_samples(0, 1).await;
    assert_eq!(client.receive().await, Some(Message::Ack(1)));
}

/// The linger and the grace end at about the same time: the one must not hide the other.
#[tokio::test]
async fn a_stream_whose_sender_is_gone_before_its_end_is_complete_after_the_grace() {
    let moment = Duration::from_millis(30);
    for later in 0..30 {
        let dir = TempDir::new().unwrap();
        let grace = moment + Duration::from_micros(100 * later);
        let receiver = start(Config { linger: moment, grace, ..config(dir.path(), 1) }).await;
        let (mut client, _) = ByHand::open(receiver.address, "a", 5).await;
        client.send_samples(0, 5).await;
        drop(client);
        assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { samples: 5, .. }));
        assert_complete(dir.path(), 5);
    }
}

#[tokio::test]
async fn a_wrong_digest_gives_the_directory_up() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 5).await;
    client.send_samples(0, 5).await;
    client.send_end(5, [0; 32]).await;
    assert_eq!(client.refusal().await, "stream `a`: what arrived is not what was sent");
    let error = receiver.ended().await.unwrap_err();
    assert_eq!(code_of(&error), Code::Data);
    assert!(store::read_manifest(dir.path()).unwrap().is_none());
    // Nor does a restart make it good.
    let listener = receiver::bind("127.0.0.1:0", &key()).await.unwrap();
    let (_trigger, shutdown) = Shutdown::manual();
    let error = receiver::run(listener, config(dir.path(), 1), shutdown, |_| {}).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Data);
    assert!(format!("{error:#}").contains("what arrived is not what was sent; use --fresh"), "{error:#}");
    let fresh = start(Config { mode: store::Mode::Fresh, ..config(dir.path(), 1) }).await;
    send(source("a", 0, 5), sending(fresh.address)).await.unwrap();
    fresh.ended().await.unwrap();
    assert_complete(dir.path(), 5);
}

#[tokio::test]
async fn a_sender_cut_off_before_its_answer_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let mut receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 10).await;
    client.send_samples(0, 10).await;
    receiver.stored(10).await;
    drop(client); // Everything is durable, and nobody has heard so.
    assert_eq!(send(source("a", 0, 10), sending(receiver.address)).await.unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
}

#[tokio::test]
async fn a_sender_that_missed_the_end_is_told_when_it_comes_back() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 10).await;
    client.send_samples(0, 10).await;
    let whole = source("a", 0, 10);
    let mut digest = StreamDigest::default();
    digest.update(&whole.labels, &whole.images);
    client.send_end(10, digest.finish()).await;
    while client.receive().await != Some(Message::EndAck) {}
    drop(client); // It said no `Bye`: for all the receiver knows, the EndAck was lost.
    assert_eq!(send(whole, sending(receiver.address)).await.unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 10);
}

#[tokio::test]
async fn a_sender_whose_end_is_not_answered_tries_another_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ping, idle) = (Duration::from_millis(10), Duration::from_millis(200));
    let patience = sender::Patience { ping, idle, ..sender::Patience::default() };
    let sending = sender::Config { patience, ..sending(listener.local_addr().unwrap()) };
    let sender = tokio::spawn(send(source("a", 0, 5), sending));
    let (mut receiver, mut server) = ByHand::accept(&listener).await;
    receiver.send(server.welcome(Welcome { next: 5, durable: 5, window: 10 })).await;
    while let Some(message) = receiver.receive().await {
        if let Message::Ping(number) = message {
            let _ = receiver.writer.send(&Message::Pong(number)).await; // The last one may come too late.
        }
    }
    ByHand::accept(&listener).await;
    sender.abort();
}

#[tokio::test]
async fn a_sender_that_is_fenced_off_asks_again_only_if_a_broken_connection_of_its_own_may_have_done_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = tokio::spawn(send(source("a", 0, 5), sending(listener.local_addr().unwrap())));
    drop(ByHand::accept(&listener).await);
    for _ in 0..2 {
        let (mut receiver, _) = ByHand::accept(&listener).await;
        receiver.send(Message::error(ErrorCode::Fenced, "another connection took the stream over")).await;
    }
    let error = sender.await.unwrap().unwrap_err();
    assert_eq!(code_of(&error), Code::Unavailable);
    assert!(format!("{error:#}").ends_with("another connection took the stream over"), "{error:#}");
}

#[tokio::test]
async fn a_stream_of_which_nothing_came_gives_its_place_back() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    drop(ByHand::open(receiver.address, "mistyped", 40).await);
    // The receiver may see the new connection before the old one's end; then it refuses, and that may be tried again.
    let whole = source("a", 0, 20);
    while send(whole.clone(), sending(receiver.address)).await.is_err() {}
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 20);
}

#[tokio::test]
async fn a_broken_protocol_is_answered_with_the_reason_and_others_are_served() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;

    let (mut client, welcome) = ByHand::open(receiver.address, "a", 1_000_000).await;
    client.send_samples(3, 4).await;
    assert!(client.refusal().await.contains("samples 3..+1 do not continue the stream at 0"));
    let (mut client, _) = ByHand::open(receiver.address, "a", 1_000_000).await;
    client.send(Message::EndAck).await;
    assert!(client.refusal().await.contains("EndAck came while waiting for Data or End"));
    assert!(welcome.window >= 20, "at least two chunks");
}

#[tokio::test]
async fn an_unexpected_stream_another_extent_and_another_dataset_are_refused() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 40).await;
    client.send_samples(0, 10).await;
    assert_eq!(client.receive().await, Some(Message::Ack(10)));
    for (other, text) in [
        (source("b", 0, 40), "stream `b` is not one of the 1 that are expected"),
        (source("a", 0, 41), "stream `a`: it has samples 0..40, not 0..41; use --fresh to start over"),
        (
            sender::Source { dataset_digest: [8; 32], ..source("a", 0, 40) },
            "holds samples of dataset `tiny` (0707070707",
        ),
    ] {
        let error = send(other, sending(receiver.address)).await.unwrap_err();
        assert_eq!(code_of(&error), Code::Data);
        assert!(format!("{error:#}").contains(text), "{error:#}");
    }
}

#[tokio::test]
async fn everything_durable_but_unsaid_is_completed_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut receiver = start(config(dir.path(), 1)).await;
    let (mut client, _) = ByHand::open(receiver.address, "a", 10).await;
    client.send_samples(0, 10).await;
    receiver.stored(10).await;
    receiver.trigger.stop(Cause::Terminate);
    receiver.ended().await.unwrap();
    // The sender never comes back: nothing is missing, so the directory is complete after a grace.
    let receiver = start(Config { grace: Duration::from_millis(50), ..config(dir.path(), 1) }).await;
    assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { samples: 10, .. }));
    assert_complete(dir.path(), 10);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = receiver::bind(taken.local_addr().unwrap(), &key()).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Unavailable);
    assert!(format!("{error:#}").contains(&taken.local_addr().unwrap().to_string()));
}

#[test]
fn signals_and_a_lost_parent_end_the_program_with_their_codes() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let dir = TempDir::new().unwrap();
        let mut receiver = Process::start(&["--listen", "localhost:0", "--dir", dir.path().to_str().unwrap()]);
        assert!(receiver.listening().ip().is_loopback());
        receiver.signal(signal);
        assert_eq!(receiver.code(), Some(code));
    }
    // As `nohup` starts it.
    let dir = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_receiver"), "--listen", "127.0.0.1:0"]);
    command.arg("--key").arg(key()).arg("--dir").arg(dir.path());
    let mut receiver = Process::spawn(command);
    receiver.listening();
    receiver.signal("-HUP");
    receiver.signal("-TERM");
    assert_eq!(receiver.code(), Some(143));
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut receiver = Process::start(&["--listen", "127.0.0.1:0", "--dir", path, "--lifeline"]);
    receiver.listening();
    drop(receiver.lifeline.take());
    assert_eq!(receiver.code(), Some(143));
}

#[tokio::test]
async fn a_receiver_waits_for_another_to_leave_the_directory_and_is_refused_if_it_does_not() {
    let dir = TempDir::new().unwrap();
    let mut first = start(config(dir.path(), 1)).await;
    first.listening().await;
    let mut second = start(config(dir.path(), 1)).await;
    // While this one waits, the second has found the directory in use.
    let refused = start(Config { lock_limit: Duration::from_millis(100), ..config(dir.path(), 1) }).await;
    assert_eq!(code_of(&refused.ended().await.unwrap_err()), Code::Directory);
    first.trigger.stop(Cause::Terminate);
    first.ended().await.unwrap();
    second.listening().await;
}

#[tokio::test]
async fn a_receiver_that_is_told_to_stop_at_once_removes_nothing() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    send(source("a", 0, 10), sending(receiver.address)).await.unwrap();
    receiver.ended().await.unwrap();

    let (trigger, shutdown) = Shutdown::manual();
    trigger.stop(Cause::Lifeline);
    let listener = receiver::bind("127.0.0.1:0", &key()).await.unwrap();
    let fresh = Config { mode: store::Mode::Fresh, ..config(dir.path(), 1) };
    let outcome = receiver::run(listener, fresh, shutdown, |_| {}).await.unwrap();
    assert_eq!(outcome, Outcome::Stopped(Cause::Lifeline));
    assert_complete(dir.path(), 10);
}

#[test]
fn a_complete_directory_ends_the_program_with_73() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--dir", path];
    let dataset = store::DatasetId { name: "tiny".into(), digest: "07".into() };
    let mut store = store::Store::open(dir.path(), store::Mode::Fresh, 10).unwrap();
    store.open_stream("a", &dataset, 0, 1).unwrap();
    store.append("a", 0, &[1], &[0; store::IMAGE_BYTES]).unwrap();
    store.commit().unwrap();
    store.complete(None, 0.0).unwrap();
    drop(store);
    assert_eq!(Process::start(&arguments).code(), Some(73));
    let fresh = Process::start(&["--listen", "127.0.0.1:0", "--dir", path, "--fresh"]);
    fresh.listening();
}
