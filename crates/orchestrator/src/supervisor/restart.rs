//! Whether a child that ended is started again, and after how long.
//!
//! A child that died (it was killed, or panicked) is: none of them keeps in memory what it cannot find again. One that
//! ended with a reason (a full disk, a wrong flag) would only give it once more, unless that reason may pass by itself.

use std::time::Duration;

use process::exit::Code;

/// How often a child is started again without progress in between: after 0.1, 0.2, … 1.6 s.
pub(super) const RESTARTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// What Rust's runtime exits with after a panic in `main`.
const PANIC: i32 = 101;

/// How often a child was started again since there was progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restarts(pub(super) u32);

impl Restarts {
    /// After how long a child is started again that ended with this exit code, or with none, by a signal; `None` if it is
    /// not. The cause behind the code `passing` may pass by itself.
    pub(super) fn next(&mut self, code: Option<i32>, passing: Option<Code>) -> Option<Duration> {
        let is_passing = passing.is_some_and(|passing| code == Some(passing as i32));
        let died = code.is_none_or(|code| code == PANIC || code == Code::Software as i32);
        if !(died || is_passing) || self.0 == RESTARTS {
            return None;
        }
        self.0 += 1;
        Some(FIRST_WAIT * (1 << (self.0 - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_is_started_again_and_who_ends_with_a_reason_is_not_unless_it_may_pass() {
        let unavailable = Some(Code::Unavailable);
        for (code, passing, again) in [
            (None, None, true),
            (Some(101), None, true),
            (Some(70), None, true),
            (Some(0), None, false),
            (Some(64), None, false),
            (Some(69), None, false),
            (Some(69), unavailable, true),
            (Some(74), unavailable, false),
        ] {
            let again = again.then_some(FIRST_WAIT);
            assert_eq!(Restarts::default().next(code, passing), again, "{code:?}, {passing:?}");
        }
    }

    #[test]
    fn a_child_without_progress_is_started_again_five_times_each_after_twice_as_long() {
        let mut restarts = Restarts::default();
        let waits: Vec<_> = std::iter::from_fn(|| restarts.next(None, None)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600]);
    }
}
