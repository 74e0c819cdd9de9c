//! What is told of the queue. How often is tested where it is decided.

use super::*;

impl Play {
    /// What is told of the queue, before the store is asked for anything.
    fn queued(&mut self, millis: u64, input: Input) -> Option<u64> {
        let effects = self.ingest.handle(self.start + Duration::from_millis(millis), input);
        let answered = effects.iter().position(Effect::is_answered).unwrap_or(effects.len());
        assert!(answered + 1 >= effects.len());
        effects[..answered].iter().find_map(|effect| match effect {
            Effect::Report(Event::Receiving { queued }) => Some(*queued),
            _ => None,
        })
    }
}

#[test]
fn samples_are_queued_from_their_arrival_until_they_are_durable() {
    let mut play = Play::opened(40);
    assert_eq!(play.queued(100, data(1, 0, 15)), Some(15)); // Ten of them are sealed.
    assert_eq!(play.queued(150, data(1, 15, 20)), None);
    assert_eq!(play.queued(150, sealed("a", 10)), None);
    assert_eq!(play.ingest.deadline(), Some(play.start + Duration::from_millis(200)));
    assert_eq!(play.queued(200, Input::Tick), Some(10));
    assert_eq!(play.queued(300, failed(full())), None);
    assert_eq!(play.queued(400, data(1, 20, 32)), Some(22)); // Where the disk is full, too.
    assert_eq!(play.queued(500, sealed("a", 20)), Some(12));
}

#[test]
fn samples_that_are_not_taken_are_queued_no_more() {
    let mut play = Play::paused();
    assert_eq!(play.queued(100, data(1, 10, 25)), Some(25));
    play.open_and_hear(
        200,
        2,
        "a",
        40,
        "1: Fenced: another connection took the stream over, 2: welcome 10 0, 2: pause: no room for `f`: disk full",
    );
    play.step(1000, Input::Tick, "seal");
    assert_eq!(play.queued(1000, sealed("a", 10)), Some(0));
}
