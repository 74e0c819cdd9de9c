//! Drift is what changes, on purpose, in the samples that are sent: from some seq on digits are turned, labels are swapped,
//! pixels change places, or only some of the digits come. It is a pure function of seq, so the same samples come over
//! however many senders, after whatever was killed.
//!
//! A drift is written as a list, `rotate:45@20000,swap-labels@40000`, and its changes are made in that order:
//!
//! | change | what it does | known as |
//! |---|---|---|
//! | `rotate:45@20000` | turns by so many degrees, counterclockwise | Rotated MNIST |
//! | `rotate:45@20000..30000` | the same by and by: the angle grows over these seqs, and stays | |
//! | `swap-labels@40000` | swaps the labels 0 and 1, 2 and 3, … 8 and 9 | |
//! | `permute@20000` | all pixels change places; each `permute` of the list in another way | Permuted MNIST |
//! | `digits:0-4@0..20000` | only these digits are sent, `0-4` or `13579` | Split MNIST |
//!
//! All but `rotate` hold in their range alone, or from their seq on for ever. Of two `digits` that hold, the later in the list
//! counts; they go by the labels that the dataset gives. [`Supply`](crate::Supply) makes the changes.

mod parse;

use std::{fmt, str::FromStr};

use blake3::Hasher;
use sample::CLASSES;

/// Changes of what is sent, in the order in which they are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    pub(crate) changes: Vec<Change>,
}

/// One change, and the seqs that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) from: u64,
    /// `None`: for ever.
    pub(crate) to: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Turns by so many degrees, counterclockwise.
    Rotate(i32),
    /// Swaps each even label with the one after it.
    SwapLabels,
    /// Rearranges the pixels.
    Permute,
    /// Sends these digits only.
    Digits(Digits),
}

/// A set of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    pub(crate) holds: [bool; CLASSES],
}

/// What stands between the name of a dataset and its drift.
const WITH: &str = " with drift ";

impl Drift {
    /// Whether nothing changes.
    pub fn is_none(&self) -> bool {
        self.changes.is_empty()
    }

    /// What the samples of this dataset are called with the drift.
    pub fn name(&self, dataset: &str) -> String {
        if self.is_none() { dataset.to_owned() } else { format!("{dataset}{WITH}{self}") }
    }

    /// The dataset, and the drift, that such a name tells of.
    pub fn of_name(name: &str) -> (&str, Drift) {
        let parts = name.rsplit_once(WITH).and_then(|(dataset, drift)| Some((dataset, drift.parse().ok()?)));
        parts.unwrap_or((name, Drift::default()))
    }

    /// What names the samples of the dataset of this digest with the drift: the same if there is none.
    pub fn digest(&self, dataset_digest: [u8; 32]) -> [u8; 32] {
        if self.is_none() {
            return dataset_digest;
        }
        let mut hasher = Hasher::new_derive_key("tributary drift, version 1");
        hasher.update(&dataset_digest).update(self.to_string().as_bytes());
        hasher.finalize().into()
    }
}

impl Change {
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.from <= seq && self.to.is_none_or(|to| seq < to)
    }

    /// How much of a change by and by has happened: 0 before its range, 1 after it.
    pub(crate) fn progress(&self, seq: u64) -> f64 {
        match self.to {
            _ if seq < self.from => 0.0,
            Some(to) if seq < to => (seq - self.from) as f64 / (to - self.from) as f64,
            _ => 1.0,
        }
    }
}

impl FromStr for Drift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse::drift(text)
    }
}

/// As it can be given: `none`, or `rotate:45@20000,swap-labels@40000`.
impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (place, Change { kind, from, to }) in self.changes.iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            match kind {
                Kind::Rotate(degrees) => write!(f, "rotate:{degrees}")?,
                Kind::SwapLabels => f.write_str("swap-labels")?,
                Kind::Permute => f.write_str("permute")?,
                Kind::Digits(digits) => write!(f, "digits:{digits}")?,
            }
            write!(f, "@{from}")?;
            to.map_or(Ok(()), |to| write!(f, "..{to}"))?;
        }
        Ok(())
    }
}

/// `0-4` where they are consecutive, else `13579`.
impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<usize> = (0..CLASSES).filter(|&digit| self.holds[digit]).collect();
        match held[..] {
            [first, .., last] if last - first + 1 == held.len() => write!(f, "{first}-{last}"),
            _ => held.iter().try_for_each(|digit| write!(f, "{digit}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_written_as_it_was_read() {
        for text in [
            "none",
            "rotate:45@20000",
            "rotate:-30@20000..30000",
            "swap-labels@40000",
            "swap-labels@40000..50000",
            "permute@0..20000,permute@20000",
            "digits:0-4@0..20000,digits:5-9@20000..40000,digits:13579@40000",
            "digits:7@1,digits:0-9@2,digits:04@3",
        ] {
            assert_eq!(text.parse::<Drift>().unwrap().to_string(), text);
        }
        for (text, written) in [
            (" rotate:+45@20000 , swap-labels@40000..", "rotate:45@20000,swap-labels@40000"),
            ("digits:42@07", "digits:24@7"),
            ("digits:234@1", "digits:2-4@1"),
        ] {
            assert_eq!(text.parse::<Drift>().unwrap().to_string(), written);
        }
        assert_eq!("none".parse(), Ok(Drift::default()));
    }

    #[test]
    fn a_change_holds_in_its_range_and_grows_over_it() {
        let Drift { changes } = "rotate:45@10..14,permute@12".parse().unwrap();
        assert_eq!([9, 10, 12, 13, 14, 99].map(|seq| changes[0].progress(seq)), [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]);
        assert_eq!([11, 12].map(|seq| changes[1].progress(seq)), [0.0, 1.0]);
        assert_eq!([9, 10, 13, 14].map(|seq| changes[0].holds(seq)), [false, true, true, false]);
        assert_eq!([11, 12, u64::MAX].map(|seq| changes[1].holds(seq)), [false, true, true]);
    }

    #[test]
    fn a_name_tells_of_the_dataset_and_its_drift() {
        let drift: Drift = "rotate:45@20000,swap-labels@40000".parse().unwrap();
        let name = drift.name("mnist");
        assert_eq!(name, "mnist with drift rotate:45@20000,swap-labels@40000");
        assert_eq!(Drift::of_name(&name), ("mnist", drift.clone()));
        assert_eq!(Drift::of_name(&drift.name("a with drift b")), ("a with drift b", drift));
        for name in ["mnist", "sand with drift ice", " with drift "] {
            assert_eq!(Drift::of_name(name), (name, Drift::default()));
        }
        assert_eq!(Drift::default().name("mnist"), "mnist");
    }

    #[test]
    fn another_drift_makes_another_digest_and_none_the_same() {
        let digest = |drift: &str, dataset| hex::encode(drift.parse::<Drift>().unwrap().digest([dataset; 32]));
        assert_eq!(digest("none", 7), "07".repeat(32));
        let all = [("rotate:45@2", 7), ("rotate:45@2", 8), ("rotate:45@3", 7)].map(|(drift, of)| digest(drift, of));
        assert!(all[0] != all[1] && all[0] != all[2]);
        assert_eq!(all[0], DIGEST);
    }

    const DIGEST: &str = "ad35a390332607a7ee98af865a69e3b2063429e3fb048365d97198970ceb80ba";
}
