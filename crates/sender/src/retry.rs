//! Whether and when to try again after a connection ended: soon at first, then less often, never at the same moment as
//! every other sender, and not forever. The policy is a state machine that reads no clock and draws no random numbers.

use std::time::{Duration, Instant};

use process::exit::Code;

use crate::{TimeLimits, error::Class};

/// Answers in a row that say that the keys differ, before they are believed: a handshake that the network damages gets
/// the same answer. They take less than a second.
const REFUSALS: u32 = 5;

/// What happened so far, as far as it decides about the next connection.
#[derive(Debug)]
pub(crate) struct Retry {
    deadline: Duration,
    first: Duration,
    longest: Duration,
    /// When there was progress last; before that, the start.
    since: Instant,
    /// Failures since then.
    failures: u32,
    /// Connections that broke. What was sent on one may still reach the receiver and take the stream over from the next,
    /// so each explains being fenced off once. Without one, it was another sender.
    broken: u32,
    /// Answers in a row that say that the keys differ.
    refusals: u32,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) ended: Instant,
    pub(crate) class: Class,
    /// Whether something became durable, or the receiver asked for a pause.
    pub(crate) progress: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again after this wait.
    Wait(Duration),
    /// End with the error of the connection, and this code.
    Fail(Code),
    /// End, because the receiver holds another key.
    OtherKey,
    /// End, because there was no progress for the whole deadline.
    GiveUp,
}

impl Retry {
    pub(crate) fn new(start: Instant, deadline: Duration, limits: &TimeLimits) -> Self {
        let TimeLimits { first_retry: first, longest_retry: longest, .. } = *limits;
        Retry { deadline, first, longest, since: start, failures: 0, broken: 0, refusals: 0 }
    }

    /// Decides after a connection ended. `jitter` is a random number from 0 to 1.
    pub(crate) fn next(&mut self, attempt: Attempt, jitter: f64) -> Next {
        match attempt.class {
            Class::Final(code) => return Next::Fail(code),
            Class::Fenced if self.broken == 0 => return Next::Fail(Code::Unavailable),
            Class::Fenced => self.broken -= 1,
            Class::Broken => self.broken += 1,
            Class::Key | Class::Later => {}
        }
        self.refusals = if attempt.class == Class::Key { self.refusals + 1 } else { 0 };
        if self.refusals == REFUSALS {
            return Next::OtherKey;
        }
        if attempt.progress {
            (self.since, self.failures) = (attempt.ended, 0);
        }
        let left = self.deadline.saturating_sub(attempt.ended.duration_since(self.since));
        if left.is_zero() {
            return Next::GiveUp;
        }
        let full = self.first.saturating_mul(1 << self.failures.min(10)).min(self.longest);
        self.failures += 1;
        Next::Wait(full.mul_f64(0.5 + 0.5 * jitter).min(left))
    }

    /// Whether the last failure was the first since there was progress.
    pub(crate) fn is_first_failure(&self) -> bool {
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Plays attempts: when each ended, how, whether there was progress, and what is to follow. The deadline is 60 s, the
    /// waits are from 50 ms to 2 s, without jitter.
    #[track_caller]
    fn check(attempts: &[(u64, Class, bool, Next)]) {
        let start = Instant::now();
        let mut retry = Retry::new(start, ms(60_000), &TimeLimits::default());
        for (i, &(at, class, progress, expect)) in attempts.iter().enumerate() {
            let attempt = Attempt { ended: start + ms(at), class, progress };
            assert_eq!(retry.next(attempt, 1.0), expect, "attempt {i}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_end_with_the_deadline() {
        let waits =
            [50, 100, 200, 400, 800, 1600, 2000, 2000].map(|wait| (0, Class::Later, false, Next::Wait(ms(wait))));
        check(&waits);
        check(&[
            (59_990, Class::Later, false, Next::Wait(ms(10))), // No longer than what is left.
            (60_000, Class::Later, false, Next::GiveUp),
        ]);
        let mut retry = Retry::new(Instant::now(), Duration::ZERO, &TimeLimits::default());
        let attempt = Attempt { ended: Instant::now(), class: Class::Later, progress: false };
        assert_eq!(retry.next(attempt, 1.0), Next::GiveUp);
    }

    #[test]
    fn jitter_halves_a_wait_at_most() {
        let start = Instant::now();
        for (jitter, wait) in [(0.0, 25_000), (0.5, 37_500), (1.0, 50_000)] {
            let mut retry = Retry::new(start, ms(60_000), &TimeLimits::default());
            let attempt = Attempt { ended: start, class: Class::Later, progress: false };
            assert_eq!(retry.next(attempt, jitter), Next::Wait(Duration::from_micros(wait)));
        }
    }

    #[test]
    fn progress_starts_waits_and_deadline_over() {
        check(&[
            (0, Class::Broken, false, Next::Wait(ms(50))),
            (50_000, Class::Broken, false, Next::Wait(ms(100))),
            (70_000, Class::Broken, true, Next::Wait(ms(50))),
            (129_000, Class::Broken, false, Next::Wait(ms(100))),
            (130_000, Class::Broken, false, Next::GiveUp),
        ]);
        let start = Instant::now();
        let mut retry = Retry::new(start, ms(60_000), &TimeLimits::default());
        for (progress, is_first) in [(false, true), (false, false), (true, true), (false, false)] {
            retry.next(Attempt { ended: start, class: Class::Later, progress }, 1.0);
            assert_eq!(retry.is_first_failure(), is_first);
        }
    }

    #[test]
    fn each_broken_connection_explains_being_fenced_off_once() {
        check(&[(0, Class::Fenced, false, Next::Fail(Code::Unavailable))]);
        check(&[
            (0, Class::Broken, true, Next::Wait(ms(50))),
            (0, Class::Broken, true, Next::Wait(ms(50))),
            (0, Class::Fenced, true, Next::Wait(ms(50))),
            (0, Class::Later, true, Next::Wait(ms(50))), // Nothing that the receiver could still hear.
            (0, Class::Fenced, true, Next::Wait(ms(50))),
            (0, Class::Fenced, true, Next::Fail(Code::Unavailable)),
        ]);
    }

    #[test]
    fn another_key_is_believed_after_five_answers_in_a_row() {
        let key = |wait| (0, Class::Key, false, Next::Wait(ms(wait)));
        let last = (0, Class::Key, false, Next::OtherKey);
        check(&[key(50), key(100), key(200), key(400), last]);
        let other = (0, Class::Later, true, Next::Wait(ms(50)));
        check(&[key(50), key(100), key(200), key(400), other, key(100), key(200), key(400), key(800), last]);
    }

    #[test]
    fn a_final_error_ends_the_sender_whatever_came_before() {
        let (last, fail) = (Class::Final(Code::Data), Next::Fail(Code::Data));
        check(&[(0, Class::Broken, true, Next::Wait(ms(50))), (0, last, true, fail)]);
    }
}
