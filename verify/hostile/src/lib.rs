//! Hostile bytes. Whatever comes from the network or from a disk may have been made by somebody who wants the program to
//! crash, to hang, or to eat the machine's memory. Each function here feeds one reader with arbitrary bytes and checks
//! what must hold whatever they are.
//!
//! The functions are the bodies of the fuzzers in `verify/fuzz`, which look for bytes that break them, and of the test
//! `replay`, which runs them over `corpus/`: files of our own writers (`valid-…`), what is known to be dangerous
//! (`hostile-…`), and all that fuzzers ever found (`crash-…`). When a format of ours has changed,
//! `cargo run -p hostile --example seeds` writes its files of the first two kinds again.
//!
//! Each returns whether the bytes were taken for good. Where a checksum or digest stands before a reader, the function
//! puts it right first: a forger can do the same.

#![forbid(unsafe_code)]

mod files;
mod handshake;
mod samples;
mod session;
mod steps;
mod weights;
mod wire;

pub use files::{chunk, config, event, gzip, images, labels, manifest};
pub use handshake::handshake;
pub use samples::{npy, npz};
pub use session::{receiver_session, sender_session};
pub use weights::{checkpoint, entries, legacy, pickle, pth, safetensors};
pub use wire::{frame, put_frame};

/// The most memory that may be reserved at any time, by all that runs in a process with this crate in it. A gzip file of
/// images unpacks to at most 60 MB, into a vector that grows by doubling; everything else stays below.
pub const MEMORY: usize = 96 << 20;

/// Far more is not there at all. A little more is, because some code takes a refusal for an ordinary error.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, 2 * MEMORY);

/// A function of this crate.
pub type Target = fn(&[u8]) -> bool;

/// Runs a target. Returns what it does.
/// Panics when the target panics, and when more than [`MEMORY`] was ever held.
pub fn feed(target: Target, data: &[u8]) -> bool {
    let accepted = target(data);
    let peak = ALLOCATOR.max_allocated();
    assert!(peak <= MEMORY, "{peak} bytes of memory were held");
    accepted
}

macro_rules! by_name {
    ($($target:ident)*) => { [$((stringify!($target), $target as Target)),*] };
}

/// All functions, by name.
pub const TARGETS: [(&str, Target); 17] = by_name! {
    frame handshake sender_session receiver_session chunk manifest safetensors checkpoint pth pickle images labels gzip
    npz npy event config
};
