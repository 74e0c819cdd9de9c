//! What follows from something that a child does while samples are streamed. It is decided here, and done in the module above.

use std::process::ExitStatus;

use event::Event;
use process::exit::Code;
use setup::siblings::Program;

use crate::child_event::What;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// All goes on as it is.
    Nothing,
    /// Earlier deaths of these programs do not count any more.
    Progress(&'static [Program]),
    /// The receiver is told to end the stream.
    Interrupt,
    /// The child is started again, if it can be.
    Restart(ExitStatus),
    /// The streaming is over.
    Complete,
    /// The run is: the receiver has left its work undone.
    Fail,
    /// The run is, and can be resumed.
    Stop,
}

/// Where the streaming stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Case {
    /// The trainer is at work.
    pub(super) is_live: bool,
    /// The receiver was told to end a stream that has no end.
    pub(super) is_ending: bool,
    /// At the end of the receiver: the chunk directory is complete.
    pub(super) is_streamed: bool,
    /// This is the first that is heard of a round.
    pub(super) is_new_round: bool,
}

pub(super) fn decide(program: Program, what: &What, case: Case) -> Reaction {
    match what {
        What::Event(Event::Complete { .. }) => Reaction::Complete,
        What::Event(Event::Stored { .. }) => Reaction::Progress(&[Program::Receiver, Program::Sender]),
        What::Event(_) if case.is_new_round => Reaction::Progress(&[Program::Trainer]),
        // It was being started again when it was to be told.
        What::Event(Event::Listening { .. }) if case.is_ending => Reaction::Interrupt,
        What::Event(_) | What::Log(_) | What::Started { .. } | What::Restarting { .. } => Reaction::Nothing,
        What::Ended(status) => ended(program, *status, case),
    }
}

fn ended(program: Program, status: ExitStatus, case: Case) -> Reaction {
    match program {
        // It may have been killed between the last of its work and saying so.
        Program::Receiver if case.is_streamed => Reaction::Complete,
        Program::Receiver if status.success() => Reaction::Fail,
        // Not all senders had begun.
        Program::Receiver if case.is_ending && Code::from(status).is_stop() => Reaction::Stop,
        Program::Sender if status.success() => Reaction::Nothing,
        // Its turn comes when there is something to train on.
        Program::Trainer if !case.is_live => Reaction::Nothing,
        // It may be done before the receiver has said its last words.
        Program::Trainer if status.success() => Reaction::Nothing,
        Program::Receiver | Program::Sender | Program::Trainer => Reaction::Restart(status),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const RECEIVER: Program = Program::Receiver;
    const SENDER: Program = Program::Sender;
    const TRAINER: Program = Program::Trainer;

    fn cases() -> [Case; 5] {
        let plain = Case::default();
        [
            plain,
            Case { is_live: true, ..plain },
            Case { is_ending: true, ..plain },
            Case { is_streamed: true, ..plain },
            Case { is_streamed: true, is_ending: true, ..plain },
        ]
    }

    #[test]
    fn what_a_child_says_is_progress_of_its_own_or_the_end() {
        let listening = || Event::Listening { address: "127.0.0.1:1".parse().unwrap(), samples: 0 };
        for (event, reaction, while_ending) in [
            (Event::Complete { samples: 9, chunks: 1, seconds: 0.5 }, Reaction::Complete, Reaction::Complete),
            (
                Event::Stored { samples: 9, chunks: 1 },
                Reaction::Progress(&[RECEIVER, SENDER]),
                Reaction::Progress(&[RECEIVER, SENDER]),
            ),
            (listening(), Reaction::Nothing, Reaction::Interrupt),
            (Event::Resumed, Reaction::Nothing, Reaction::Nothing),
        ] {
            for (is_ending, reaction) in [(false, reaction), (true, while_ending)] {
                let case = Case { is_ending, ..Case::default() };
                assert_eq!(decide(RECEIVER, &What::Event(event.clone()), case), reaction, "{event:?}, {case:?}");
            }
        }
        let drift = What::Event(Event::Drift { round: 1, seq: 7 }); // Any event of a trainer will do.
        let new_round = Case { is_new_round: true, ..Case::default() };
        assert_eq!(decide(TRAINER, &drift, new_round), Reaction::Progress(&[TRAINER]));
        assert_eq!(decide(TRAINER, &drift, Case::default()), Reaction::Nothing);
        assert_eq!(decide(TRAINER, &What::Log("x".into()), Case::default()), Reaction::Nothing);
    }

    #[test]
    fn whose_end_is_the_end_of_the_streaming_and_who_is_started_again() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let [done, stopped, killed] = [exited(0), exited(130), ExitStatus::from_raw(9)];
        let again = Reaction::Restart;
        use Reaction::{Complete, Fail, Nothing, Stop};
        for (program, status, reactions) in [
            // In this order: plain, live, told to end, with a complete directory, told to end with one.
            (RECEIVER, done, [Fail, Fail, Fail, Complete, Complete]),
            (RECEIVER, stopped, [again(stopped), again(stopped), Stop, Complete, Complete]),
            (RECEIVER, killed, [again(killed), again(killed), again(killed), Complete, Complete]),
            (SENDER, done, [Nothing; 5]),
            (SENDER, stopped, [again(stopped); 5]),
            (SENDER, killed, [again(killed); 5]),
            (TRAINER, done, [Nothing; 5]),
            (TRAINER, stopped, [Nothing, again(stopped), Nothing, Nothing, Nothing]),
            (TRAINER, killed, [Nothing, again(killed), Nothing, Nothing, Nothing]),
        ] {
            let decided = cases().map(|case| decide(program, &What::Ended(status), case));
            assert_eq!(decided, reactions, "{program:?}, {status}");
        }
    }
}
