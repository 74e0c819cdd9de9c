//! The kinds of trouble that a network makes. What a kind does to a connection follows from the kind, the seed and the
//! number of the connection alone, so that a case can be repeated.

use std::time::Duration;

use sample::random::Stream;

use super::{
    fault::{Break, Damage, Fault, Misdelivery, take_frames},
    proxy::{Meeting, Session, Treatment},
    strangers::Strangers,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    /// Whether all connections are hit, not only the first few, or later ones ever more rarely, by the seed.
    pub(crate) forever: bool,
    pub(crate) tls: bool,
}

/// What is wrong with the way between sender and receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Meeting(Meeting),         // New connections.
    Pace(u64, u64, u64, u64), // Pieces of so many bytes, each after so many microseconds.
    Break(Direction, Break),  // Their flow.
    Damage(Damage),           // Their bytes.
    Misdelivery(Misdelivery), // Their frames.
    Mixed,                    // Any of these, another one for each connection.
    Strangers(Strangers),     // Nothing, but others connect to the receiver, too.
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,     // From sender to receiver.
    Down,   // From receiver to sender.
    Either, // One or the other.
    Both,   // Both.
}

/// Bytes and frames of a session in which nothing goes wrong: [from sender to receiver, from receiver to sender]. There
/// are no frames to be seen in one that is encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) bytes: [u64; 2],
    pub(crate) frames: [u64; 2],
}

const fn way(name: &'static str, way: Way) -> Kind {
    Kind { name, way, forever: false, tls: false }
}

const fn tls(name: &'static str, way: Way) -> Kind {
    Kind { tls: true, ..self::way(name, way) }
}

const fn forever(name: &'static str, way: Way) -> Kind {
    Kind { forever: true, ..self::way(name, way) }
}

pub(crate) const ALL: &[Kind] = &{
    use Direction::{Both, Down, Either, Up};
    // Longer than the sender's time limits, so that what it gave up on comes to life while it tries again.
    const STALL: Break = Break::Stall(Duration::from_millis(550));
    [
        way("delay", Way::Pace(1 << 20, 1 << 20, 1_000, 30_000)),
        way("jitter", Way::Pace(1, 4_000, 0, 8_000)),
        way("throttle", Way::Pace(300, 600, 2_000, 4_000)),
        way("single bytes", Way::Pace(1, 2, 0, 1)),
        way("slices", Way::Pace(1, 200, 0, 1)),
        way("stall, then go on", Way::Break(Either, STALL)),
        way("stall from sender, then go on", Way::Break(Up, STALL)),
        way("cut from sender", Way::Break(Up, Break::Cut)),
        way("cut from receiver", Way::Break(Down, Break::Cut)),
        way("reset from sender", Way::Break(Up, Break::Reset)),
        way("reset from receiver", Way::Break(Down, Break::Reset)),
        way("half-close from sender", Way::Break(Up, Break::HalfClose)),
        way("half-close from receiver", Way::Break(Down, Break::HalfClose)),
        way("black hole from sender", Way::Break(Up, Break::Silence)),
        way("black hole from receiver", Way::Break(Down, Break::Silence)),
        way("cable pulled", Way::Break(Both, Break::Silence)),
        way("zero window", Way::Break(Up, Break::Deafness)),
        way("zero window to receiver", Way::Break(Down, Break::Deafness)),
        way("closed at once", Way::Meeting(Meeting::Close)),
        way("reset at once", Way::Meeting(Meeting::Reset)),
        way("half-open", Way::Meeting(Meeting::Swallow)),
        way("never read", Way::Meeting(Meeting::Ignore)),
        way("crossed connections", Way::Meeting(Meeting::Cross)),
        way("flip bits", Way::Damage(Damage::Flip)),
        way("insert bytes", Way::Damage(Damage::Insert(16))),
        way("drop bytes", Way::Damage(Damage::Drop)),
        way("duplicate bytes", Way::Damage(Damage::Duplicate)),
        way("reverse bytes", Way::Damage(Damage::Reverse)),
        way("drop a frame", Way::Misdelivery(Misdelivery::Drop)),
        way("duplicate a frame", Way::Misdelivery(Misdelivery::Duplicate)),
        way("swap frames", Way::Misdelivery(Misdelivery::Swap)),
        way("replay a frame", Way::Misdelivery(Misdelivery::Replay)),
        way("mixed", Way::Mixed),
        tls("TLS, cut from sender", Way::Break(Up, Break::Cut)),
        tls("TLS, reset from receiver", Way::Break(Down, Break::Reset)),
        tls("TLS, half-close from sender", Way::Break(Up, Break::HalfClose)),
        tls("TLS, black hole", Way::Break(Either, Break::Silence)),
        tls("TLS, flip bits", Way::Damage(Damage::Flip)),
        tls("TLS, drop bytes", Way::Damage(Damage::Drop)),
        tls("TLS, single bytes", Way::Pace(1, 2, 0, 1)),
        tls("TLS, mixed", Way::Mixed),
        way("strangers say nothing", Way::Strangers(Strangers::Silent)),
        way("strangers take every place", Way::Strangers(Strangers::TooMany)),
        way("strangers talk garbage", Way::Strangers(Strangers::Garbage)),
        way("strangers never read", Way::Strangers(Strangers::Deaf)),
        way("replay of a broken session", Way::Strangers(Strangers::ReplayBroken)),
        way("replay of a whole session", Way::Strangers(Strangers::ReplayEnded)),
        forever("always closed", Way::Meeting(Meeting::Close)),
        forever("always half-open", Way::Meeting(Meeting::Swallow)),
        forever("always a black hole from sender", Way::Break(Up, Break::Silence)),
        forever("always a black hole from receiver", Way::Break(Down, Break::Silence)),
        forever("always slower than patience", Way::Pace(1, 32, 8_000, 16_000)),
    ]
};

impl Kind {
    pub(crate) fn treatment(&self, seed: u64, connection: u64, lengths: Lengths) -> Treatment {
        let mut random = self.random(seed, connection);
        match self.way {
            // There is no broken session without a break.
            Way::Strangers(Strangers::ReplayBroken) if connection == 0 => {
                Way::Break(Direction::Up, Break::Cut).treatment(&mut random, lengths)
            }
            Way::Strangers(_) => Treatment::default(),
            way if self.hits(seed, connection) => way.treatment(&mut random, lengths),
            _ => Treatment::default(),
        }
    }

    pub(crate) fn strangers(&self) -> Option<Strangers> {
        match self.way {
            Way::Strangers(strangers) => Some(strangers),
            _ => None,
        }
    }

    fn hits(&self, seed: u64, connection: u64) -> bool {
        match connection {
            _ if self.forever => true,
            0 => true,
            1 if self.way == Way::Meeting(Meeting::Cross) => true, // It takes two to cross any.
            // Damaged handshakes, many in a row, look to a sender as if it had the wrong key.
            _ if connection % 5 == 4 => false,
            _ if seed.is_multiple_of(2) => connection <= self.random(seed, u64::MAX).below(4),
            _ => self.random(seed, u64::MAX - connection).unit_f32() < 0.6_f32.powi(connection.min(100) as i32),
        }
    }

    fn random(&self, seed: u64, number: u64) -> Stream {
        Stream::keyed(&format!("tributary network trouble: {}", self.name), &[seed, number])
    }
}

impl Way {
    fn treatment(self, random: &mut Stream, lengths: Lengths) -> Treatment {
        match self {
            Way::Meeting(meeting) => Treatment { meeting, ..Treatment::default() },
            Way::Mixed => {
                let ways: Vec<Way> = ALL.iter().map(|kind| kind.way).filter(|way| way.mixes(lengths)).collect();
                ways[random.below(ways.len() as u64) as usize].treatment(random, lengths)
            }
            _ => {
                let hit = self.direction().sides(random);
                let mut side = |side: usize| if hit[side] { self.fault(random, side, lengths) } else { Fault::None };
                Treatment { faults: [side(0), side(1)], ..Treatment::default() }
            }
        }
    }

    fn mixes(self, lengths: Lengths) -> bool {
        match self {
            Way::Mixed | Way::Meeting(Meeting::Cross) | Way::Strangers(_) => false,
            Way::Misdelivery(_) => lengths.frames != [0; 2],
            _ => true,
        }
    }

    fn direction(self) -> Direction {
        match self {
            Way::Break(direction, _) => direction,
            Way::Damage(_) | Way::Misdelivery(_) => Direction::Either,
            _ => Direction::Both,
        }
    }

    fn fault(self, random: &mut Stream, side: usize, lengths: Lengths) -> Fault {
        match self {
            Way::Pace(from, to, fast, slow) => Fault::Pace { piece: from..to, micros: fast..slow },
            Way::Break(_, how) => Fault::Break { byte: lengths.byte(random, side), how },
            Way::Damage(how) => Fault::Damage { byte: lengths.byte(random, side), length: 1 + random.below(8), how },
            Way::Misdelivery(how) => Fault::Misdeliver { frame: random.below(lengths.frames[side]), how },
            _ => Fault::None,
        }
    }
}

impl Direction {
    /// Whether each side is hit: [from sender to receiver, from receiver to sender].
    fn sides(self, random: &mut Stream) -> [bool; 2] {
        match self {
            Direction::Up => [true, false],
            Direction::Down => [false, true],
            Direction::Both => [true, true],
            Direction::Either => [[true, false], [false, true]][random.below(2) as usize],
        }
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
        let measure = |bytes: &[u8]| {
            let frames =
                take_frames(&mut bytes.to_vec()).into_iter().filter(|frame| !matches!(frame.get(4), Some(8 | 9)));
            frames.fold((0, 0), |(bytes, frames), frame| (bytes + frame.len() as u64, frames + 1))
        };
        let [up, down] = session.bytes.each_ref().map(|bytes| measure(bytes));
        Lengths { bytes: [up.0, down.0], frames: [up.1, down.1] }
    }

    /// A byte of one direction: as often one of the first few hundred, where the greetings are, as any.
    fn byte(&self, random: &mut Stream, side: usize) -> u64 {
        let all = self.bytes[side];
        let upto = if random.below(2) == 0 { all.min(300) } else { all };
        random.below(upto)
    }
}
