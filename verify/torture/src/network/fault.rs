//! A fault is what happens to the bytes of one direction of a connection. [`Faulty`] applies one as a pure function:
//! bytes in, steps out; the proxy takes the steps.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use sample::random::Stream;

use crate::locked;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// All bytes come through, in pieces of so many bytes, each after so many microseconds.
    Pace { piece: Range<u64>, micros: Range<u64> },
    /// After `byte` bytes, this.
    Break { byte: u64, how: Break },
    /// The `length` bytes from `byte` on come through changed.
    Damage { byte: u64, length: u64, how: Damage },
    /// A whole frame, counted from 0, is treated so.
    Misdeliver { frame: u64, how: Misdelivery },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Cut,             // FIN to both sides.
    Reset,           // RST to both sides.
    HalfClose,       // FIN in this direction only.
    Silence,         // The rest is swallowed, and nobody is told anything.
    Deafness,        // The rest is not even taken off the socket, until the sending side can send no more.
    Stall(Duration), // The rest comes after a while.
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Flip,        // One bit of each is flipped.
    Insert(u64), // So many random bytes come before them.
    Drop,        // They are lost.
    Duplicate,   // They come twice.
    Reverse,     // They come in the reverse order.
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdelivery {
    Drop,      // It is lost.
    Duplicate, // It comes twice.
    Swap,      // The next one comes before it.
    Replay,    // Some earlier one, of this connection or of one before, comes again before it.
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Vec<u8>), // Pass these on.
    Wait(Duration), // Wait.
    Break(Break),   // Break the connection.
}

/// Frames that went by in one direction, over all connections of a proxy.
pub(crate) type Memory = Arc<Mutex<Vec<Vec<u8>>>>;

/// One direction of one connection, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Faulty {
    fault: Fault,
    random: Stream,
    memory: Memory,
    seen: u64,
    /// Bytes that wait for the rest of what is to be changed.
    held: Vec<u8>,
    frames_seen: u64,
    swapped: Option<Vec<u8>>,
    pub(crate) has_struck: bool,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, random: Stream, memory: Memory) -> Faulty {
        let held = Vec::new();
        Faulty { fault, random, memory, seen: 0, held, frames_seen: 0, swapped: None, has_struck: false }
    }

    /// Takes bytes in; none, to begin with, because a fault may happen before the first.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Step> {
        let steps = match self.fault.clone() {
            Fault::None => write(bytes.to_vec()),
            Fault::Pace { piece, micros } => self.pace(bytes, piece, micros),
            Fault::Break { byte, how } => self.break_at(bytes, byte, how),
            Fault::Damage { byte, length, how } => self.damage(bytes, byte, length, how),
            Fault::Misdeliver { frame, how } => {
                self.held.extend_from_slice(bytes);
                let whole = take_frames(&mut self.held);
                whole.into_iter().flat_map(|bytes| self.deliver(bytes, frame, how)).collect()
            }
        };
        self.seen += bytes.len() as u64;
        steps
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Step> {
        let mut left = self.swapped.take().unwrap_or_default();
        left.append(&mut self.held);
        write(left)
    }

    fn pace(&mut self, bytes: &[u8], piece: Range<u64>, micros: Range<u64>) -> Vec<Step> {
        let (mut steps, mut left) = (Vec::new(), bytes);
        while !left.is_empty() {
            let size = within(&mut self.random, &piece).clamp(1, left.len() as u64);
            let (now, later) = left.split_at(size as usize);
            let wait = Duration::from_micros(within(&mut self.random, &micros));
            steps.extend([Step::Wait(wait), Step::Write(now.to_vec())]);
            (left, self.has_struck) = (later, true);
        }
        steps
    }

    fn break_at(&mut self, bytes: &[u8], byte: u64, how: Break) -> Vec<Step> {
        let before = byte.saturating_sub(self.seen);
        if self.has_struck || before > bytes.len() as u64 {
            return write(bytes.to_vec());
        }
        self.has_struck = true;
        let (before, after) = bytes.split_at(before as usize);
        let mut steps = write(before.to_vec());
        steps.push(match how {
            Break::Stall(time) => Step::Wait(time),
            how => Step::Break(how),
        });
        steps.extend(write(after.to_vec()));
        steps
    }

    fn damage(&mut self, bytes: &[u8], byte: u64, length: u64, how: Damage) -> Vec<Step> {
        let end = byte + length;
        if self.has_struck && self.held.is_empty() && self.seen >= end || self.seen + (bytes.len() as u64) <= byte {
            return write(bytes.to_vec());
        }
        self.has_struck = true;
        let (before, rest) = bytes.split_at(byte.saturating_sub(self.seen) as usize);
        let here = (end.saturating_sub(self.seen + before.len() as u64) as usize).min(rest.len());
        let (inside, after) = rest.split_at(here);
        self.held.extend_from_slice(inside);
        let mut out = before.to_vec();
        if self.held.len() as u64 == length {
            let window = std::mem::take(&mut self.held);
            out.extend(changed(window, how, &mut self.random));
        }
        out.extend_from_slice(after);
        write(out)
    }

    fn deliver(&mut self, bytes: Vec<u8>, frame: u64, how: Misdelivery) -> Vec<Step> {
        let earlier = {
            let mut memory = locked(&self.memory);
            let earlier = (!memory.is_empty()).then(|| memory[self.random.below(memory.len() as u64) as usize].clone());
            memory.push(bytes.clone());
            earlier
        };
        let number = self.frames_seen;
        self.frames_seen += 1;
        if number != frame {
            let mut out = bytes;
            out.extend(self.swapped.take().unwrap_or_default());
            return write(out);
        }
        self.has_struck = true;
        match how {
            Misdelivery::Drop => Vec::new(),
            Misdelivery::Duplicate => write([bytes.clone(), bytes].concat()),
            Misdelivery::Replay => write([earlier.unwrap_or_default(), bytes].concat()),
            Misdelivery::Swap => {
                self.swapped = Some(bytes);
                Vec::new()
            }
        }
    }
}

/// Bytes of a header, which begins with the length of the body.
const HEADER: usize = 12;

/// Takes the whole frames, headers included, from the start of a stream of bytes. They are told apart by their lengths
/// alone, so that each can be treated as a whole without understanding any.
pub(crate) fn take_frames(stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(length) = stream.first_chunk::<4>() {
        let end = HEADER + u32::from_be_bytes(*length) as usize;
        if stream.len() < end {
            break;
        }
        whole.push(stream.drain(..end).collect());
    }
    whole
}

/// A number in the range; its start, if it is empty.
fn within(random: &mut Stream, range: &Range<u64>) -> u64 {
    range.start + random.below((range.end.saturating_sub(range.start)).max(1))
}

fn write(bytes: Vec<u8>) -> Vec<Step> {
    if bytes.is_empty() { Vec::new() } else { vec![Step::Write(bytes)] }
}

fn changed(window: Vec<u8>, how: Damage, random: &mut Stream) -> Vec<u8> {
    match how {
        Damage::Flip => window.into_iter().map(|byte| byte ^ 1 << random.below(8)).collect(),
        Damage::Insert(count) => (0..count).map(|_| random.next_u64() as u8).chain(window).collect(),
        Damage::Drop => Vec::new(),
        Damage::Duplicate => [window.clone(), window].concat(),
        Damage::Reverse => window.into_iter().rev().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of frames `bytes`, fed in pieces of `step` bytes.
    fn through(fault: &Fault, bytes: &[u8], step: usize) -> Vec<Step> {
        let random = Stream::keyed("tributary test of faults", &[1]);
        let mut faulty = Faulty::new(fault.clone(), random, Memory::default());
        let mut steps = faulty.feed(&[]);
        for piece in bytes.chunks(step) {
            steps.extend(faulty.feed(piece));
        }
        steps.extend(faulty.finish());
        assert_eq!(faulty.has_struck, *fault != Fault::None);
        steps
    }

    /// The bytes that come through, with a `|` where the connection breaks or stalls.
    #[track_caller]
    fn check(fault: Fault, bytes: &[u8], expect: &[u8]) {
        for step in 1..=bytes.len() {
            let mut out = Vec::new();
            for step in through(&fault, bytes, step) {
                match step {
                    Step::Write(bytes) => out.extend(bytes),
                    Step::Wait(_) | Step::Break(_) => out.push(b'|'),
                }
            }
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expect), "in pieces of {step}");
        }
    }

    #[test]
    fn a_break_comes_after_exactly_so_many_bytes() {
        let stall = |byte| Fault::Break { byte, how: Break::Stall(Duration::from_millis(1)) };
        check(Fault::None, b"abcdef", b"abcdef");
        check(stall(0), b"abcdef", b"|abcdef");
        check(stall(2), b"abcdef", b"ab|cdef");
        check(stall(6), b"abcdef", b"abcdef|");
    }

    #[test]
    fn damage_hits_the_bytes_that_it_names() {
        let damage = |length, how| Fault::Damage { byte: 2, length, how };
        check(damage(2, Damage::Drop), b"abcdef", b"abef");
        check(damage(2, Damage::Duplicate), b"abcdef", b"abcdcdef");
        check(damage(3, Damage::Reverse), b"abcdef", b"abedcf");
        let Step::Write(bytes) = through(&damage(1, Damage::Flip), b"abcdef", 6).remove(0) else { panic!() };
        assert_eq!((bytes[2] ^ b'c').count_ones(), 1);
        assert_eq!([&bytes[..2], &bytes[3..]].concat(), b"abdef");
        let Step::Write(bytes) = through(&damage(1, Damage::Insert(4)), b"abcdef", 6).remove(0) else { panic!() };
        assert_eq!([&bytes[..2], &bytes[6..]].concat(), b"abcdef");
    }

    #[test]
    fn whole_frames_are_lost_doubled_swapped_and_replayed() {
        let frame = |name: u8| [&[0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, name][..]].concat();
        let all = |names: &[u8]| names.iter().flat_map(|name| frame(*name)).collect::<Vec<u8>>();
        let misdeliver = |frame, how| Fault::Misdeliver { frame, how };
        check(misdeliver(1, Misdelivery::Drop), &all(b"abc"), &all(b"ac"));
        check(misdeliver(1, Misdelivery::Duplicate), &all(b"abc"), &all(b"abbc"));
        check(misdeliver(1, Misdelivery::Swap), &all(b"abc"), &all(b"acb"));
        check(misdeliver(2, Misdelivery::Swap), &all(b"abc"), &all(b"abc"));
        check(misdeliver(1, Misdelivery::Replay), &all(b"abc"), &all(b"aabc"));
    }

    #[test]
    fn a_slow_direction_loses_nothing() {
        let fault = Fault::Pace { piece: 1..4, micros: 5..9 };
        let written = through(&fault, b"abcdef", 6).into_iter().filter_map(|step| match step {
            Step::Write(bytes) => Some(bytes),
            _ => None,
        });
        assert_eq!(written.flatten().collect::<Vec<u8>>(), b"abcdef");
    }
}
