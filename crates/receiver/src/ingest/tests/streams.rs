//! Streams from their opening to their end.

use super::*;

#[test]
fn a_stream_is_acknowledged_chunk_by_chunk_and_completed_when_its_sender_knows() {
    let mut play = Play::opened(25);
    play.step(1000, data(1, 0, 7), "append a 0..7");
    play.step(1000, data(1, 7, 14), "append a 7..14, seal");
    play.step(1000, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.step(2000, data(1, 14, 25), "append a 14..25, seal");
    play.step(2000, sealed("a", 20), "1: ack 20, stored 20 in 2, seal");
    play.step(2000, sealed("a", 25), "1: ack 25, stored 25 in 3");
    play.step(2000, end(1, 25), "1: end-ack");
    play.step(3500, bye(1), "complete after 2.5");
    let completed = Input::Completed { seconds: 2.5 };
    play.step(3600, completed, "completed 25 in 3, finish: complete after 2.5");
    play.step(3600, data(1, 25, 26), "");
}

#[test]
fn an_end_that_comes_before_all_is_durable_is_answered_when_it_is() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", 5);
    play.open(0, 2, "b", 5);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, end(1, 5), "");
    play.step(0, data(2, 0, 5), "append b 0..5, seal");
    let both = ["a", "b"].map(|stream| Durable { stream: stream.into(), position: 5 });
    let both = Input::Sealed(both.into());
    play.step(0, both, "1: ack 5, 2: ack 5, stored 10 in 1, 1: end-ack");
    play.step(0, bye(1), "");
    play.step(0, close(1), "");
    play.step(0, end(2, 5), "2: end-ack");
    play.step(0, bye(2), "complete after 0");
}

#[test]
fn a_short_chunk_is_sealed_when_nothing_more_can_come() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", 3);
    play.step(0, data(1, 0, 3), "append a 0..3");
    play.open(0, 2, "b", 2);
    play.step(0, data(2, 0, 1), "append b 0..1");
    play.step(0, data(2, 1, 2), "append b 1..2, seal");
}

#[test]
fn a_sample_waits_no_longer_than_the_linger() {
    let mut play = Play::new(1);
    play.deadline(None);
    play.open(0, 1, "a", 40);
    play.deadline(None);
    play.step(100, data(1, 0, 4), "append a 0..4");
    play.step(200, data(1, 4, 5), "append a 4..5");
    play.deadline(Some(100 + LINGER));
    play.step(99 + LINGER, Input::Tick, "");
    play.step(100 + LINGER, Input::Tick, "seal");
    play.step(100 + LINGER, sealed("a", 5), "1: ack 5, stored 5 in 1");
    play.deadline(None);
    // What a full chunk leaves waits from then on.
    play.step(3000, data(1, 5, 17), "append a 5..17, seal");
    play.step(3100, sealed("a", 15), "1: ack 15, stored 15 in 2");
    play.deadline(Some(3100 + LINGER));
}

#[test]
fn a_newer_connection_takes_the_stream_over_and_the_old_one_is_not_heard() {
    let mut play = Play::opened(40);
    play.step(0, data(1, 0, 12), "append a 0..12, seal");
    play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.open_and_hear(0, 2, "a", 40, "1: Fenced: another connection took the stream over, 2: welcome 12 10");
    play.step(0, data(1, 12, 22), "");
    play.step(0, end(1, 40), "");
    play.step(0, bye(1), "");
    play.step(0, close(1), "");
    play.step(0, data(2, 12, 20), "append a 12..20, seal");
    play.step(0, sealed("a", 20), "2: ack 20, stored 20 in 2");
    play.step(0, close(2), "");
    play.open(0, 3, "a", 40);
    play.step(0, data(2, 20, 30), "");
}

#[test]
fn a_sender_that_missed_the_answer_to_its_end_is_told_when_it_comes_back() {
    let mut play = Play::all_durable();
    play.step(0, end(1, 20), "1: end-ack");
    play.step(1000, close(1), "");
    play.open(1000 + GRACE - 1, 2, "a", 20);
    play.step(9000, end(2, 20), "2: end-ack");
    play.deadline(None);
    play.step(9000, bye(2), "complete after 9");
}

#[test]
fn an_end_counts_only_on_the_connection_that_said_it() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", 5);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, end(1, 5), "");
    play.open_and_hear(0, 2, "a", 5, "1: Fenced: another connection took the stream over, 2: welcome 5 0");
    play.step(LINGER, Input::Tick, "seal");
    play.step(LINGER, sealed("a", 5), "2: ack 5, stored 5 in 1");
    play.step(LINGER, end(2, 5), "2: end-ack");
}

#[test]
fn a_sample_that_is_missing_is_waited_for_however_long_its_sender_is_away() {
    let mut play = Play::opened(5);
    play.step(0, data(1, 0, 4), "append a 0..4");
    play.step(0, close(1), "");
    play.step(LINGER, Input::Tick, "seal");
    play.step(LINGER, sealed("a", 4), "stored 4 in 1");
    play.deadline(None);
    play.step(GRACE, Input::Tick, "");
}

#[test]
fn streams_whose_senders_are_away_for_the_whole_grace_are_complete() {
    let mut play = Play::new(2);
    play.open(0, 1, "a", 10);
    play.step(0, data(1, 0, 10), "append a 0..10, seal");
    play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1");
    play.step(0, close(1), "");
    play.deadline(None); // Another stream is still to come.
    play.step(GRACE, Input::Tick, "");
    play.open(6000, 2, "b", 5);
    play.step(6000, data(2, 0, 5), "append b 0..5, seal");
    play.step(6000, sealed("b", 5), "2: ack 5, stored 15 in 2");
    play.deadline(None); // Its sender is there.
    play.step(7000, close(2), "");
    play.deadline(Some(7000 + GRACE));
    play.step(6999 + GRACE, Input::Tick, "");
    play.step(7000 + GRACE, Input::Tick, "complete after 12");
}

#[test]
fn a_grace_that_ends_while_a_chunk_is_written_is_not_missed() {
    for written in [GRACE - 1, GRACE, GRACE + 1] {
        let mut play = Play::opened(5);
        play.step(0, data(1, 0, 5), "append a 0..5, seal");
        play.step(0, failed(full()), PAUSED);
        play.step(0, close(1), "");
        play.step(GRACE - 1, Input::Tick, "seal");
        if written < GRACE {
            play.step(written, sealed("a", 5), "resumed, stored 5 in 1");
            play.deadline(Some(GRACE));
            play.step(GRACE, Input::Tick, "complete after 5");
        } else {
            let seconds = written as f64 / 1000.0;
            play.step(written, sealed("a", 5), &format!("resumed, stored 5 in 1, complete after {seconds}"));
        }
    }
}

#[test]
fn a_directory_that_was_all_durable_at_start_is_complete_after_the_grace() {
    let totals = Totals { samples: 20, chunks: 2 };
    let known = |start| BTreeMap::from([("a".to_owned(), Stream::new(start, extent(20), 20, digest(20)))]);
    let mut play = Play::with(1, totals, known);
    play.deadline(Some(GRACE));
    play.step(GRACE, Input::Tick, "complete after 0");
    // Or when its sender comes back: the digest of what was found is known.
    let mut play = Play::with(1, totals, known);
    play.open(1, 1, "a", 20);
    play.step(1, end(1, 20), "1: end-ack");
}

#[test]
fn a_wrong_digest_gives_the_directory_up_before_the_senders_hear_it() {
    let mut play = Play::all_durable();
    let what = "stream `a`: what arrived is not what was sent";
    let wrong = || request(1, Request::End(End { count: 20, digest: [0; 32] }));
    play.step(0, wrong(), &format!("reject: {what}"));
    let error = store::Error::Rejected { dir: "d".into(), what: what.into() };
    let rejected = format!("1: Digest: {what}, finish: {error}");
    play.step(0, failed(error), &rejected);

    let mut play = Play::all_durable();
    play.step(0, wrong(), &format!("reject: {what}"));
    play.step(0, failed(full()), "1: Storage: no room for `f`: disk full, finish: no room for `f`: disk full");
}

#[test]
fn streams_beyond_those_expected_are_refused() {
    let mut play = Play::opened(40);
    play.step(0, open(2, "b", 40), &format!("2: {UNEXPECTED}"));
    play.step(0, data(2, 0, 10), "");
    play.step(0, close(2), "");
}

#[test]
fn a_stream_that_does_not_fit_the_directory_is_refused_and_takes_no_place() {
    let (dir, have, want) = ("d".into(), "x".to_owned(), "y".to_owned());
    let dataset = store::Error::OtherDataset { dir, have, want };
    let extent = store::Error::Stream { stream: "a".into(), what: "another extent".into() };
    for (error, code) in [(dataset, "Dataset"), (extent, "Stream")] {
        let mut play = Play::new(1);
        play.step(0, open(1, "a", 40), "declare a for 1");
        let refusal = format!("1: {code}: {error}");
        play.step(0, declared(1, "a", 40, Err(error)), &refusal);
        play.step(0, close(1), "");
        play.open(0, 2, "b", 40);
    }
}

#[test]
fn a_stream_of_which_nothing_came_gives_its_place_back() {
    let mut play = Play::new(1);
    play.open(0, 1, "mistyped", 40);
    play.step(0, close(1), "forget mistyped");
    play.open(0, 2, "a", 40);
    play.step(0, data(2, 0, 1), "append a 0..1");
    play.step(0, close(2), "");
    play.step(0, open(3, "b", 40), &format!("3: {UNEXPECTED}"));
}
