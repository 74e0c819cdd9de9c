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

/// Half of a run, divided by the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Streaming,
    Training,
}

/// Kills a victim in a phase, some time after a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) phase: Phase,
    pub(super) victim: Victim,
    pub(super) sign: Sign,
    pub(super) later: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Nothing,
    Start,      // The victim is started again, which is when it recovers.
    File(File), // A file appears.
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum File {
    Digest,    // What the run folder holds as soon as the chunk directory is this run's.
    Temporary, // A chunk or checkpoint that is being written.
    Chunk,
    Manifest,
    Checkpoint,
    Model,
}

/// The kills of one phase of a run, in order. A live run trains in both.
pub(super) fn plan(random: &mut Stream, phase: Phase, is_live: bool) -> Vec<Kill> {
    let (whole, last) = match phase {
        Phase::Streaming => (File::Chunk, File::Manifest),
        Phase::Training => (File::Checkpoint, File::Model),
    };
    let also_trains = is_live && phase == Phase::Streaming;
    let mut signs = match (random.below(3), phase) {
        (0, _) => vec![Sign::Start],
        (1, Phase::Streaming) => vec![Sign::File(File::Digest)],
        _ => Vec::new(),
    };
    for _ in 0..1 + random.below(4) {
        signs.push(match random.below(6) {
            0..=2 => Sign::Nothing,
            3 | 4 => Sign::File(File::Temporary),
            _ if also_trains && random.below(2) == 0 => Sign::File(File::Checkpoint),
            _ => Sign::File(whole),
        });
    }
    signs.push(Sign::File(last));
    let mut kills = Vec::new();
    for sign in signs {
        let victim = victim(random, phase, also_trains, sign);
        kills.push(Kill { phase, victim, sign, later: later(random, victim, sign) });
        while random.below(3) == 0 {
            kills.push(Kill { phase, victim, sign: Sign::Start, later: later(random, victim, Sign::Start) });
        }
    }
    kills
}

fn victim(random: &mut Stream, phase: Phase, also_trains: bool, sign: Sign) -> Victim {
    match (phase, random.below(8)) {
        (_, 0 | 1) => Victim::Orchestrator,
        (Phase::Streaming, _) if also_trains && random.below(3) == 0 => Victim::Trainer,
        // Senders have not begun.
        (Phase::Streaming, 2..=4) if sign != Sign::File(File::Digest) => Victim::Sender,
        (Phase::Streaming, _) => Victim::Receiver,
        (Phase::Training, _) => Victim::Trainer,
    }
}

fn later(random: &mut Stream, victim: Victim, sign: Sign) -> Duration {
    let longest = match (sign, victim) {
        (Sign::File(_), _) => 1,
        (Sign::Nothing, _) => 300,
        // About as long as it takes to recover, on a busy machine.
        (Sign::Start, Victim::Receiver | Victim::Sender) => 40,
        (Sign::Start, Victim::Orchestrator) => 200,
        (Sign::Start, Victim::Trainer) => 800,
    };
    Duration::from_millis(random.below(longest))
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
        let moment = match self.sign {
            Sign::Start => "soon after its start",
            Sign::Nothing => "at any time",
            Sign::File(File::Digest) => "as the chunk directory became this run's",
            Sign::File(File::Temporary) => "while a file was being written",
            Sign::File(File::Chunk | File::Checkpoint) => "as a chunk or checkpoint appeared",
            Sign::File(File::Manifest | File::Model) => "as the manifest or the final model appeared",
        };
        [format!("{}s killed", self.victim.name()), format!("killed {phase}"), format!("killed {moment}")]
    }
}

impl File {
    /// What a file of this name in a chunk directory or a run folder is.
    pub(super) fn named(name: &str) -> Option<File> {
        let is = |start: &str| name.starts_with(start);
        let files = [
            (is(".tmp-"), File::Temporary),
            (is("chunk-"), File::Chunk),
            (is("round-"), File::Checkpoint),
            (name == "data.digest", File::Digest),
            (name == "_SUCCESS", File::Manifest),
            (name == "final_cnn_model.safetensors", File::Model),
        ];
        files.into_iter().find_map(|(is, file)| is.then_some(file))
    }
}
