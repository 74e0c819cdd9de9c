//! The kinds of trouble that a network makes, each with what is sent through it. What happens to a connection follows from
//! the kind, the seed and the number of the connection alone, so that a case can be repeated.

use std::{fmt, time::Duration};

use sample::random::Stream;

use super::{
    Config,
    ends::Shape,
    fault::{Change, Fault, Hit},
    log::{Session, frames},
    strangers::Strangers,
};

/// One kind of trouble, from one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    way: Way,
    place: Place,
    /// Whether all connections are hit, not only the first few, or later ones ever more rarely, by the seed.
    pub(crate) forever: bool,
    /// Others who connect to the receiver, too.
    pub(crate) strangers: Option<Strangers>,
    /// What is sent through it.
    pub(crate) shape: Shape,
}

/// What is wrong with the way between sender and receiver.
#[derive(Clone, Copy, Debug)]
enum Way {
    Good,
    Faulty(Sides, Fault),
    Mixed, // Any fault, another one for each connection.
}

/// The sides of a connection that are hit, [from sender to receiver, from receiver to sender], or several such choices.
type Sides = &'static [[bool; 2]];

const UP: Sides = &[[true, false]];
const DOWN: Sides = &[[false, true]];
const EITHER: Sides = &[[true, false], [false, true]];
const BOTH: Sides = &[[true, true]];

/// Where in a connection a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Anywhere,
    EachByte, // After as many bytes of the first connection as the seed says.
}

/// What is done with a connection: from sender to receiver, and from receiver to sender.
pub(crate) type Treatment = [Option<Hit>; 2];

/// Bytes and frames of a session in which nothing goes wrong: [from sender to receiver, from receiver to sender]. There
/// are no frames to be seen in one that is encrypted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lengths {
    pub(crate) bytes: [u64; 2],
    pub(crate) frames: [u64; 2],
}

pub(crate) const PLAIN: Shape = Shape {
    samples: 60,
    senders: 1,
    in_turn: false,
    samples_per_batch: 7,
    samples_per_chunk: 10,
    batch_delay: Duration::ZERO,
    tls: false,
    silence: Duration::from_millis(400),
    deadline: Duration::from_secs(20),
};
/// More bytes than sockets hold.
pub(crate) const LONG: Shape = Shape { samples: 900, samples_per_batch: 100, samples_per_chunk: 150, ..PLAIN };
/// Few bytes, yet two batches and two chunks. Whoever cuts says so, so silence means no more than a busy machine.
pub(crate) const SMALL: Shape =
    Shape { samples: 3, samples_per_batch: 2, samples_per_chunk: 2, silence: Duration::from_secs(5), ..PLAIN };
/// Long enough for what was stalled to arrive before it ends.
const STALLED: Shape = Shape { batch_delay: Duration::from_millis(40), ..PLAIN };
/// Long enough for strangers to meet it on its way.
const MET: Shape = Shape { batch_delay: Duration::from_millis(10), ..PLAIN };

const fn way(name: &'static str, sides: Sides, fault: Fault) -> Kind {
    Kind { way: Way::Faulty(sides, fault), ..mixed(name) }
}

/// The whole way is slow, in pieces of so many bytes, each after so many microseconds.
const fn pace(name: &'static str, piece: (u64, u64), micros: (u64, u64)) -> Kind {
    way(name, BOTH, Fault::Pace(piece, micros)).at_start()
}

const fn mixed(name: &'static str) -> Kind {
    Kind { name, way: Way::Mixed, place: Place::Anywhere, forever: false, strangers: None, shape: PLAIN }
}

const fn strangers(name: &'static str, strangers: Strangers) -> Kind {
    Kind { way: Way::Good, strangers: Some(strangers), shape: MET, ..mixed(name) }
}

impl Kind {
    const fn at_start(self) -> Kind {
        Kind { place: Place::Start, ..self }
    }

    const fn at_each_byte(self) -> Kind {
        Kind { place: Place::EachByte, shape: SMALL, ..self }
    }

    const fn forever(self) -> Kind {
        Kind { forever: true, shape: Shape { deadline: Duration::from_secs(1), ..self.shape }, ..self }
    }

    const fn tls(self) -> Kind {
        Kind { shape: self.shape.with_tls(), ..self }
    }

    const fn sending(self, shape: Shape) -> Kind {
        Kind { shape, ..self }
    }
}

pub(crate) const ALL: &[Kind] = &{
    use Change::{Drop, Duplicate, Flip, Insert, Replay, Reverse, Swap};
    use Fault::{Bytes, Crossing, Cut, Deafness, Frame, HalfClose, Reset, Silence};
    // Longer than the sender's time limits, so that what it gave up on comes to life while it tries again.
    const STALL: Fault = Fault::Stall(Duration::from_millis(550));
    [
        pace("delay", (1 << 20, 1 << 21), (1_000, 30_000)),
        pace("jitter", (1, 4_000), (0, 8_000)),
        pace("throttle", (300, 600), (2_000, 4_000)),
        pace("single bytes", (1, 2), (0, 1)),
        pace("slices", (1, 200), (0, 1)),
        way("stall, then go on", EITHER, STALL).sending(STALLED),
        way("stall from sender, then go on", UP, STALL).sending(STALLED),
        way("cut from sender", UP, Cut),
        way("cut from receiver", DOWN, Cut),
        way("reset from sender", UP, Reset),
        way("reset from receiver", DOWN, Reset),
        way("half-close from sender", UP, HalfClose),
        way("half-close from receiver", DOWN, HalfClose),
        way("black hole from sender", UP, Silence),
        way("black hole from receiver", DOWN, Silence),
        way("cable pulled", BOTH, Silence),
        way("zero window", UP, Deafness).sending(LONG),
        way("zero window to receiver", DOWN, Deafness).sending(LONG),
        way("closed at once", BOTH, Cut).at_start(),
        way("reset at once", BOTH, Reset).at_start(),
        way("half-open", BOTH, Silence).at_start(),
        way("never read", BOTH, Deafness).at_start(),
        way("crossed connections", UP, Crossing).at_start().sending(Shape { senders: 2, ..PLAIN }),
        way("flip bits", EITHER, Bytes(Flip)),
        way("insert bytes", EITHER, Bytes(Insert)),
        way("drop bytes", EITHER, Bytes(Drop)),
        way("duplicate bytes", EITHER, Bytes(Duplicate)),
        way("reverse bytes", EITHER, Bytes(Reverse)),
        way("drop a frame", EITHER, Frame(Drop)),
        way("duplicate a frame", EITHER, Frame(Duplicate)),
        way("swap frames", EITHER, Frame(Swap)),
        way("replay a frame", EITHER, Frame(Replay)),
        mixed("mixed"),
        way("TLS, cut from sender", UP, Cut).tls(),
        way("TLS, reset from receiver", DOWN, Reset).tls(),
        way("TLS, half-close from sender", UP, HalfClose).tls(),
        way("TLS, black hole", EITHER, Silence).tls(),
        way("TLS, flip bits", EITHER, Bytes(Flip)).tls(),
        way("TLS, drop bytes", EITHER, Bytes(Drop)).tls(),
        pace("TLS, single bytes", (1, 2), (0, 1)).tls(),
        mixed("TLS, mixed").tls(),
        strangers("strangers say nothing", Strangers::Silent),
        strangers("strangers take every place", Strangers::TooMany),
        strangers("strangers talk garbage", Strangers::Garbage),
        strangers("strangers never read", Strangers::Deaf),
        // There is no broken session without a break.
        Kind { way: Way::Faulty(UP, Cut), ..strangers("replay of a broken session", Strangers::ReplayBroken) },
        strangers("replay of a whole session", Strangers::ReplayEnded).sending(Shape {
            senders: 2,
            in_turn: true,
            ..MET
        }),
        way("always closed", BOTH, Cut).at_start().forever(),
        way("always half-open", BOTH, Silence).at_start().forever(),
        way("always a black hole from sender", UP, Silence).forever(),
        way("always a black hole from receiver", DOWN, Silence).forever(),
        pace("always slower than patience", (1, 32), (8_000, 16_000)).forever(),
        way("each byte: cut from sender", UP, Cut).at_each_byte(),
        way("each byte: cut from receiver", DOWN, Cut).at_each_byte(),
        way("each byte: reset from sender", UP, Reset).at_each_byte(),
        way("each byte: reset from receiver", DOWN, Reset).at_each_byte(),
        way("TLS, each byte: cut from sender", UP, Cut).at_each_byte().tls(),
        way("TLS, each byte: cut from receiver", DOWN, Cut).at_each_byte().tls(),
        way("TLS, each byte: reset from sender", UP, Reset).at_each_byte().tls(),
        way("TLS, each byte: reset from receiver", DOWN, Reset).at_each_byte().tls(),
    ]
};

impl Kind {
    pub(crate) fn cases(self, config: &Config, lengths: Lengths) -> Vec<Case> {
        let seeds = match (self.place, self.way) {
            (Place::EachByte, Way::Faulty(sides, _)) => {
                let last = lengths.bytes[usize::from(sides == DOWN)];
                (config.seed % config.cut_step..last + 1).step_by(config.cut_step as usize)
            }
            _ => (config.seed..config.seed + config.seeds).step_by(1),
        };
        seeds.map(|seed| Case { kind: self, seed }).collect()
    }

    fn treatment(&self, seed: u64, random: &mut Stream, lengths: Lengths) -> Treatment {
        let (sides, fault) = match self.way {
            Way::Good => return Treatment::default(),
            Way::Faulty(sides, fault) => (pick(random, sides), fault),
            Way::Mixed => {
                let mixed: Vec<&Kind> = ALL.iter().filter(|kind| kind.mixes(lengths)).collect();
                return pick(random, &mixed).treatment(seed, random, lengths);
            }
        };
        [0, 1].map(|side| {
            let after = match (self.place, fault) {
                _ if !sides[side] => return None,
                (Place::Start, _) => 0,
                (Place::EachByte, _) => seed,
                (Place::Anywhere, Fault::Frame(_)) => random.below(lengths.frames[side]),
                (Place::Anywhere, _) => lengths.byte(random, side),
            };
            Some(Hit { fault, after, length: 1 + random.below(8) })
        })
    }

    /// Whether it may be one of several kinds of trouble in a session of these lengths.
    fn mixes(&self, lengths: Lengths) -> bool {
        match self.way {
            Way::Faulty(_, Fault::Frame(_)) => lengths.frames != [0; 2],
            Way::Faulty(_, fault) => {
                fault != Fault::Crossing && self.place != Place::EachByte && self.strangers.is_none()
            }
            _ => false,
        }
    }
}

impl Case {
    /// One in which nothing goes wrong.
    pub(crate) fn undisturbed(shape: Shape) -> Case {
        Case { kind: Kind { way: Way::Good, shape, ..mixed("undisturbed") }, seed: 0 }
    }

    pub(crate) fn treatment(&self, connection: u64, lengths: Lengths) -> Treatment {
        if !self.hits(connection) {
            return Treatment::default();
        }
        self.kind.treatment(self.seed, &mut self.random(connection), lengths)
    }

    fn hits(&self, connection: u64) -> bool {
        match connection {
            _ if self.kind.forever => true,
            0 => true,
            _ if self.kind.place == Place::EachByte || self.kind.strangers.is_some() => false,
            // Damaged handshakes, many in a row, look to a sender as if it had the wrong key.
            _ if connection % 5 == 4 => false,
            _ if self.seed.is_multiple_of(2) => connection <= self.random(u64::MAX).below(4),
            _ => self.random(u64::MAX - connection).unit_f32() < 0.6_f32.powi(connection.min(100) as i32),
        }
    }

    fn random(&self, number: u64) -> Stream {
        Stream::keyed(&format!("tributary network trouble: {}", self.kind.name), &[self.seed, number])
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, seed {}", self.kind.name, self.seed)
    }
}

impl Lengths {
    /// Those of a session that was recorded. Pings come when time passes, so they do not count.
    pub(crate) fn of(session: &Session, tls: bool) -> Lengths {
        if tls {
            // A signature takes a few bytes more or less.
            let bytes = session.bytes.each_ref().map(|bytes| (bytes.len() as u64).saturating_sub(16));
            return Lengths { bytes, frames: [0; 2] };
        }
        let whole = session.bytes.each_ref().map(|bytes| {
            let mut frames = frames(bytes);
            frames.retain(|frame| !matches!(frame[4], 8 | 9));
            frames
        });
        let bytes = whole.each_ref().map(|frames| frames.concat().len() as u64);
        Lengths { bytes, frames: whole.map(|frames| frames.len() as u64) }
    }

    /// A byte of one direction: as often one of the first few hundred, where the greetings are, as any.
    fn byte(&self, random: &mut Stream, side: usize) -> u64 {
        let all = self.bytes[side];
        let upto = if random.below(2) == 0 { all.min(300) } else { all };
        random.below(upto)
    }
}

fn pick<T: Copy>(random: &mut Stream, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}
