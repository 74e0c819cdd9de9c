//! Streams without an end, and what a stop makes of them.

use super::*;

const SEALED: &str = "Sealed: the receiver was stopped; what is durable is all";

/// The store's answer to a manifest that was to be written.
fn completed(seconds: f64) -> Input {
    Input::Completed { seconds }
}

#[test]
fn a_stream_without_an_end_is_sealed_when_the_receiver_is_stopped() {
    let mut play = Play::opened(ENDLESS);
    play.step(0, data(1, 0, 12), "append a 0..12, seal");
    play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.deadline(Some(LINGER)); // It never counts as complete by itself.
    play.step(1000, stop(), "seal");
    play.step(1000, sealed("a", 12), "1: ack 12, stored 12 in 2, complete after 1");
    play.step(1000, completed(1.0), &format!("completed 12 in 2, 1: {SEALED}, finish: complete after 1"));
}

#[test]
fn a_stream_whose_sender_is_away_is_sealed_too() {
    let totals = Totals { samples: 20, chunks: 2 };
    let known = |start| BTreeMap::from([("a".to_owned(), Stream::new(start, Extent::endless(0), 20, digest(20)))]);
    let mut play = Play::with(1, totals, known);
    play.step(GRACE, Input::Tick, "");
    play.step(GRACE, stop(), "complete after 0");
    play.step(GRACE, completed(0.0), "completed 20 in 2, finish: complete after 0");
}

#[test]
fn streams_with_an_end_must_be_durable_to_it_before_others_are_sealed() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", ENDLESS);
    play.open(0, 2, "b", 10);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, data(2, 0, 5), "append b 0..5, seal");
    let both = ["a", "b"].map(|stream| Durable { stream: stream.into(), position: 5 });
    play.step(0, Input::Sealed(both.clone().into()), "1: ack 5, 2: ack 5, stored 10 in 1");
    let stopped = "1: Stopping: the receiver was stopped, 2: Stopping: the receiver was stopped";
    play.step(0, stop(), &format!("{stopped}, finish: stopped by SIGTERM"));

    let mut play = Play::new(2);
    play.open(0, 1, "a", ENDLESS);
    play.open(0, 2, "b", 5);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, data(2, 0, 5), "append b 0..5, seal");
    play.step(0, Input::Sealed(both.into()), "1: ack 5, 2: ack 5, stored 10 in 1");
    play.step(0, end(2, 5), "2: end-ack");
    play.step(0, stop(), "complete after 0");
    play.step(0, completed(0.0), &format!("completed 10 in 1, 1: {SEALED}, 2: {SEALED}, finish: complete after 0"));
}

#[test]
fn nothing_is_sealed_while_a_stream_is_still_to_come_or_nothing_came() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", ENDLESS);
    play.step(0, data(1, 0, 10), "append a 0..10, seal");
    play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.step(0, stop(), STOPPED);

    let mut play = Play::opened(ENDLESS);
    play.step(0, stop(), STOPPED);
}

#[test]
fn a_full_disk_leaves_a_stream_open_for_the_next_receiver() {
    let mut play = Play::opened(ENDLESS);
    play.step(0, data(1, 0, 10), "append a 0..10, seal");
    play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.step(0, stop(), "complete after 0");
    let warning = "warn: no room for `f`: disk full; what was not acknowledged is to be sent again";
    play.step(0, failed(full()), &format!("{warning}, {STOPPED}"));
}
