//! Streams without an end, and what a stop makes of them.

use super::*;

const SEALED: &str = "Sealed: the receiver was stopped; what is durable is all";
const REJECTED: &str = "reject: stream `b`: what arrived is not what was sent";

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
    play.step(GRACE, completed(0.0), "completed 20 in 2");
    // It may come back and ask.
    play.deadline(Some(2 * GRACE));
    play.step(2 * GRACE, Input::Tick, "finish: complete after 0");

    let mut play = Play::with(1, totals, known);
    play.step(0, stop(), "complete after 0");
    play.step(0, completed(0.0), "completed 20 in 2");
    play.step(1, open(1, "b", ENDLESS), &format!("1: {UNEXPECTED}"));
    play.step(1, Input::Stop(Cause::Lifeline), "");
    let told = format!("2: welcome 20 20, 2: {SEALED}, finish: complete after 0");
    play.open_and_hear(2, 2, "a", ENDLESS, &told);
}

#[test]
fn whoever_is_gone_with_terminal_or_parent_seals_nothing() {
    for (cause, name) in [(Cause::HangUp, "SIGHUP (the terminal was closed)"), (Cause::Lifeline, "the parent process")]
    {
        let mut play = Play::opened(ENDLESS);
        play.step(0, data(1, 0, 10), "append a 0..10, seal");
        play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
        let expect = format!("1: Stopping: the receiver was stopped, finish: stopped by {name}");
        play.step(0, Input::Stop(cause), &expect);
    }
}

/// A receiver of two streams with five durable samples each, `a` without an end and `b` of so many samples.
fn mixed(end: u64) -> Play {
    let mut play = Play::new(2);
    play.open(0, 1, "a", ENDLESS);
    play.open(0, 2, "b", end);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, data(2, 0, 5), "append b 0..5, seal");
    let both = ["a", "b"].map(|stream| Durable { stream: stream.into(), position: 5 });
    play.step(0, Input::Sealed(both.into()), "1: ack 5, 2: ack 5, stored 10 in 1");
    play
}

#[test]
fn streams_with_an_end_must_be_at_it_and_compared_before_others_are_sealed() {
    let stopped = "1: Stopping: the receiver was stopped, 2: Stopping: the receiver was stopped";
    let stopped = format!("{stopped}, finish: stopped by SIGTERM");
    mixed(10).step(0, stop(), &stopped); // Not at its end.
    mixed(5).step(0, stop(), &stopped); // Its sender has not said what it sent.

    let mut play = mixed(5);
    play.step(0, end(2, 5), "2: end-ack");
    play.step(0, stop(), "complete after 0");
    play.step(0, completed(0.0), &format!("completed 10 in 1, 1: {SEALED}, 2: {SEALED}, finish: complete after 0"));

    let mut play = mixed(5);
    play.step(0, request(2, Request::End(End { count: 5, digest: [0; 32] })), REJECTED);
}

#[test]
fn a_stream_with_an_end_that_nobody_comes_to_compare_is_sealed_after_the_grace() {
    let stopped = "1: Stopping: the receiver was stopped, finish: stopped by SIGTERM";
    for (millis, expect) in [(GRACE - 1, stopped), (GRACE, "complete after 5")] {
        let mut play = mixed(5);
        play.step(0, close(2), "");
        play.step(millis, stop(), expect);
    }
}

#[test]
fn a_sender_that_missed_the_answer_to_its_end_is_told_that_all_is_sealed() {
    let mut play = mixed(5);
    play.step(0, end(2, 5), "2: end-ack");
    play.step(0, close(2), "");
    play.step(0, stop(), "complete after 0");
    play.step(0, completed(0.0), &format!("completed 10 in 1, 1: {SEALED}"));
    let told = format!("3: welcome 5 5, 3: {SEALED}, finish: complete after 0");
    play.open_and_hear(1, 3, "b", 5, &told);
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
