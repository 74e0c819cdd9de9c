//! Whom to kill, and when.

use std::time::Duration;

use sample::random::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Receiver,
    Sender,
    Trainer,
    Orchestrator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Started(Duration), // So long after the victim is started again, which is when it recovers.
    After(Duration),   // So long after what came before.
    Appears(File),     // As soon as a file appears.
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    First,     // What the run folder holds as soon as the chunk directory is this run's.
    Temporary, // A chunk or checkpoint that is being written.
    Whole,     // A chunk or checkpoint.
    Last,      // The manifest or the final model.
}

/// Half of a run, divided by the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Streaming,
    Training,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) phase: Phase,
    pub(super) victim: Victim,
    pub(super) moment: Moment,
}

/// The kills of one phase of a run, in order.
pub(super) fn plan(random: &mut Stream, phase: Phase) -> Vec<Kill> {
    let mut kills = Vec::new();
    let mut add = |random: &mut Stream, victim, moment| {
        kills.push(Kill { phase, victim, moment });
        while random.below(3) == 0 {
            kills.push(Kill { phase, victim, moment: started(random, victim) });
        }
    };
    match (random.below(3), phase) {
        (0, _) => {
            let victim = victim(random, phase);
            let moment = started(random, victim);
            add(random, victim, moment);
        }
        (1, Phase::Streaming) => {
            let victim = [Victim::Orchestrator, Victim::Receiver][random.below(2) as usize];
            add(random, victim, Moment::Appears(File::First));
        }
        _ => {}
    }
    for _ in 0..1 + random.below(4) {
        let victim = victim(random, phase);
        let moment = match random.below(6) {
            0..=2 => Moment::After(Duration::from_millis(random.below(300))),
            3 | 4 => Moment::Appears(File::Temporary),
            _ => Moment::Appears(File::Whole),
        };
        add(random, victim, moment);
    }
    let victim = victim(random, phase);
    add(random, victim, Moment::Appears(File::Last));
    kills
}

fn victim(random: &mut Stream, phase: Phase) -> Victim {
    match (phase, random.below(8)) {
        (_, 0 | 1) => Victim::Orchestrator,
        (Phase::Streaming, 2..=4) => Victim::Sender,
        (Phase::Streaming, _) => Victim::Receiver,
        (Phase::Training, _) => Victim::Trainer,
    }
}

fn started(random: &mut Stream, victim: Victim) -> Moment {
    // About as long as it takes to recover, on a busy machine.
    let longest = match victim {
        Victim::Receiver | Victim::Sender => 40,
        Victim::Orchestrator => 200,
        Victim::Trainer => 800,
    };
    Moment::Started(Duration::from_millis(random.below(longest)))
}

impl Victim {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Kill {
    pub(super) fn figures(self) -> [String; 3] {
        let phase = match self.phase {
            Phase::Streaming => "before the chunks were complete",
            Phase::Training => "after the chunks were complete",
        };
        let moment = match self.moment {
            Moment::Started(_) => "soon after its start",
            Moment::After(_) => "at any time",
            Moment::Appears(File::First) => "as the chunk directory became this run's",
            Moment::Appears(File::Temporary) => "while a file was being written",
            Moment::Appears(File::Whole) => "as a chunk or checkpoint appeared",
            Moment::Appears(File::Last) => "as the manifest or the final model appeared",
        };
        [format!("{}s killed", self.victim.name()), format!("killed {phase}"), format!("killed {moment}")]
    }
}
