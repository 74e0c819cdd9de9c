//! A full disk, a stop, and a store that fails.

use super::*;

#[test]
fn a_full_disk_pauses_the_senders_until_there_is_room() {
    let mut play = Play::paused();
    play.deadline(Some(1000));
    // Samples on their way are kept, and not appended: they are paid for out of the budget.
    play.step(100, data(1, 10, 25), "");
    play.step(200, data(1, 25, 32), "");
    play.step(1000, Input::Tick, "seal");
    play.step(1000, failed(full()), "");
    play.deadline(Some(2000));
    play.step(2500, Input::Tick, "seal");
    play.step(2500, sealed("a", 10), "resumed, 1: resume, 1: ack 10, stored 10 in 1, append a 10..25, seal");
    play.step(2500, sealed("a", 20), "1: ack 20, stored 20 in 2, append a 25..32, seal");
    play.step(2500, failed(full()), PAUSED);
    play.step(3500, Input::Tick, "seal");
    play.step(3500, sealed("a", 30), "resumed, 1: resume, 1: ack 30, stored 30 in 3");
    play.deadline(Some(3500 + LINGER));
}

#[test]
fn senders_are_told_again_that_the_disk_is_full_and_so_is_one_that_comes_meanwhile() {
    let mut play = Play::paused();
    for second in 1..5 {
        play.step(second * 1000, Input::Tick, "seal");
        play.step(second * 1000, failed(full()), "");
    }
    play.step(5000, Input::Tick, "seal");
    play.step(5000, failed(full()), PAUSED);
    play.step(5100, close(1), "");
    play.open_and_hear(5200, 2, "a", 40, "2: welcome 10 0, 2: pause: no room for `f`: disk full");
}

#[test]
fn samples_kept_for_a_connection_that_is_gone_are_sent_again() {
    let mut play = Play::paused();
    play.step(100, data(1, 10, 15), "");
    play.step(100, close(1), "");
    play.open_and_hear(100, 2, "a", 40, "2: welcome 10 0, 2: pause: no room for `f`: disk full");
    play.step(100, data(2, 10, 13), "");
    play.step(1000, Input::Tick, "seal");
    play.step(1000, sealed("a", 10), "resumed, 2: resume, 2: ack 10, stored 10 in 1, append a 10..13");
}

#[test]
fn a_manifest_for_which_there_is_no_room_is_tried_again() {
    let mut play = Play::all_durable();
    play.step(0, end(1, 20), "1: end-ack");
    play.step(1000, bye(1), "complete after 1");
    play.step(1000, failed(full()), PAUSED);
    play.step(1100, close(1), "");
    play.step(2000, Input::Tick, "complete after 2");
    // A sender that asks again meanwhile is answered.
    let mut play = Play::all_durable();
    play.step(0, close(1), "");
    play.step(GRACE, Input::Tick, "complete after 5");
    play.step(GRACE, failed(full()), "paused: no room for `f`: disk full");
    play.open_and_hear(GRACE, 2, "a", 20, "2: welcome 20 20, 2: pause: no room for `f`: disk full");
    play.step(GRACE, end(2, 20), "");
    play.step(6000, Input::Tick, "2: end-ack");
    play.deadline(Some(7000));
    play.step(6500, bye(2), "");
    play.step(7000, Input::Tick, "complete after 7");
}

#[test]
fn a_stop_seals_and_acknowledges_what_was_accepted() {
    let mut play = Play::new(1);
    play.step(0, stop(), "finish: stopped by SIGTERM");

    let mut play = Play::opened(40);
    play.step(0, stop(), STOPPED);

    let mut play = Play::opened(40);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, stop(), "seal");
    play.step(0, sealed("a", 5), &format!("1: ack 5, stored 5 in 1, {STOPPED}"));
    play.step(0, data(1, 5, 10), "");
    play.step(0, open(2, "b", 40), "");
    play.deadline(None);

    // An end that was said is answered.
    let mut play = Play::new(2);
    play.open(0, 1, "a", 5);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, end(1, 5), "");
    play.step(0, stop(), "seal");
    play.step(0, sealed("a", 5), &format!("1: ack 5, stored 5 in 1, 1: end-ack, {STOPPED}"));

    let mut play = Play::all_durable();
    play.step(0, stop(), STOPPED);
}

#[test]
fn a_stop_while_the_disk_is_full_seals_what_there_is_room_for() {
    let mut play = Play::paused();
    play.step(0, data(1, 10, 15), "");
    play.step(5000, stop(), "seal");
    play.step(5000, sealed("a", 10), "1: ack 10, stored 10 in 1, append a 10..15, seal");
    let warning = "warn: no room for `f`: disk full; what was not acknowledged is to be sent again";
    play.step(5000, failed(full()), &format!("{warning}, {STOPPED}"));

    // What waits for its chunk and what arrived since are one chunk.
    let mut play = Play::opened(40);
    play.step(0, data(1, 0, 4), "append a 0..4");
    play.step(LINGER, Input::Tick, "seal");
    play.step(LINGER, failed(full()), PAUSED);
    play.step(LINGER, data(1, 4, 7), "");
    play.step(LINGER, stop(), "append a 4..7, seal");
    play.step(LINGER, sealed("a", 7), &format!("1: ack 7, stored 7 in 1, {STOPPED}"));
}

#[test]
fn a_failure_of_the_store_ends_every_session_and_the_work() {
    let expect = "1: Storage: failed to write `f`: broken, finish: failed to write `f`: broken";
    let mut play = Play::opened(40);
    play.step(0, data(1, 0, 10), "append a 0..10, seal");
    play.step(0, failed(broken()), expect);
    play.step(0, sealed("a", 10), "");

    let mut play = Play::paused();
    play.step(1000, Input::Tick, "seal");
    play.step(1000, failed(broken()), expect);

    let mut play = Play::opened(40);
    play.step(0, data(1, 0, 5), "append a 0..5");
    play.step(0, stop(), "seal");
    play.step(0, failed(broken()), expect);
}
