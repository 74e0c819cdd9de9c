//! The rows that driver and worker exchange, one a line, with tabs between fields: samples in, a reply for each partition
//! out. Images and weights are base64.

use std::fmt::Display;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Architecture, StateDict};
use sample::{CLASSES, PIXELS};

use crate::data::digest::Digest;

/// A sample and its place: partition, place in the partition, index in the dataset, label, image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The partition, from 0.
    pub partition: u32,
    /// Its place in the partition, from 0.
    pub place: u32,
    /// Its index in the dataset.
    pub seq: u64,
    /// Its label.
    pub label: u8,
    /// [`PIXELS`] bytes.
    pub image: Vec<u8>,
}

impl Sample {
    /// The sample in a line.
    ///
    /// # Errors
    /// Saying which field is wrong.
    pub fn decode(line: &str) -> Result<Sample, String> {
        let mut fields = line.split('\t');
        let mut field = |name| fields.next().ok_or_else(|| format!("it has no {name}"));
        let sample = Sample {
            partition: number("partition", field("partition")?)?,
            place: number("place", field("place")?)?,
            seq: number("index", field("index")?)?,
            label: number("label", field("label")?)?,
            image: STANDARD.decode(field("image")?).map_err(|error| format!("its image: {error}"))?,
        };
        match (fields.next(), usize::from(sample.label), sample.image.len()) {
            (Some(_), ..) => Err("it has more than five fields".into()),
            (_, CLASSES.., _) => Err(format!("its label is {}; labels are below {CLASSES}", sample.label)),
            (.., PIXELS) => Ok(sample),
            (.., len) => Err(format!("its image has {len} pixels, not {PIXELS}")),
        }
    }

    /// The line without its end.
    pub fn encode(&self) -> String {
        let Sample { partition, place, seq, label, image } = self;
        format!("{partition}\t{place}\t{seq}\t{label}\t{}", STANDARD.encode(image))
    }
}

/// Stands where there are no weights: of an empty field at the end of a line, Spark makes none.
const NOTHING: &str = "-";

/// What a worker says of a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The partition, from 0.
    pub partition: u32,
    /// Samples in it.
    pub samples: u64,
    /// What identifies them.
    pub digest: Digest,
    /// What became of them.
    pub result: Outcome,
}

/// What a job comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// They were counted.
    Counted,
    /// So many were recognised.
    Evaluated(u64),
    /// They were trained on: mean loss and weights.
    Trained(f64, Box<StateDict>),
}

impl Reply {
    /// Names of the fields.
    pub const FIELDS: [&str; 5] = ["part", "samples", "digest", "number", "weights"];

    /// The reply in the fields of a line; any weights in it are of this architecture.
    ///
    /// # Errors
    /// Saying which field is wrong.
    pub fn decode(fields: [&str; 5], architecture: &'static Architecture) -> Result<Reply, String> {
        let [partition, samples, digest, result, weights] = fields;
        let result = match result.split_once(' ') {
            _ if result == "counted" => Outcome::Counted,
            Some(("evaluated", correct)) => Outcome::Evaluated(number("number of recognised samples", correct)?),
            Some(("trained", bits)) => {
                let bits = u64::from_str_radix(bits, 16).map_err(|_| format!("its loss is `{}`", shown(bits)))?;
                Outcome::Trained(f64::from_bits(bits), Box::new(decode_weights(weights, architecture)?))
            }
            _ => return Err(format!("its result is `{}`", shown(result))),
        };
        Ok(Reply {
            partition: number("partition", partition)?,
            samples: number("number of samples", samples)?,
            digest: digest.parse()?,
            result,
        })
    }

    /// The line without its end.
    pub fn encode(&self) -> String {
        let Reply { partition, samples, digest, result } = self;
        let (result, weights) = match result {
            Outcome::Counted => ("counted".into(), NOTHING.into()),
            Outcome::Evaluated(correct) => (format!("evaluated {correct}"), NOTHING.into()),
            // The bits: no rounding on the way.
            Outcome::Trained(loss, weights) => (format!("trained {:x}", loss.to_bits()), encode_weights(weights)),
        };
        format!("{partition}\t{samples}\t{digest}\t{result}\t{weights}")
    }
}

fn encode_weights(weights: &StateDict) -> String {
    let bytes: Vec<u8> = weights.values().iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn decode_weights(text: &str, architecture: &'static Architecture) -> Result<StateDict, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("its weights: {error}"))?;
    let mut weights = architecture.zeros();
    let (values, rest) = bytes.as_chunks();
    if values.len() != architecture.weights() || !rest.is_empty() {
        return Err(format!("its weights have {} bytes, not {}", bytes.len(), architecture.bytes()));
    }
    weights.values_mut().iter_mut().zip(values).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
    Ok(weights)
}

fn number<N: std::str::FromStr<Err: Display>>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|error| format!("its {name} is `{}`: {error}", shown(text)))
}

/// The beginning of a field, for errors: what is no field may be anything, of any length.
fn shown(text: &str) -> String {
    text.chars().take(20).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use model::SIMPLE_CNN;

    use super::*;

    fn sample() -> Sample {
        Sample { partition: 1, place: 2, seq: 1 << 40, label: 9, image: (0..PIXELS).map(|i| i as u8).collect() }
    }

    #[test]
    fn samples_and_replies_come_back_from_their_lines() {
        assert_eq!(Sample::decode(&sample().encode()), Ok(sample()));
        let mut weights = SIMPLE_CNN.init(3);
        weights.values_mut()[0] = f32::NAN;
        for result in
            [Outcome::Counted, Outcome::Evaluated(3), Outcome::Trained(0.1 + 0.2, Box::new(SIMPLE_CNN.init(3)))]
        {
            let reply = Reply { partition: 3, samples: 7, digest: Digest::of(1, 2, &[3]), result };
            let line = reply.encode();
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(Reply::decode(fields.try_into().unwrap(), &SIMPLE_CNN), Ok(reply));
        }
        let bits = |weights: &StateDict| weights.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decode_weights(&encode_weights(&weights), &SIMPLE_CNN).unwrap()), bits(&weights));
    }

    #[test]
    fn what_is_no_sample_is_told_in_words() {
        let good = sample().encode();
        for (line, what) in [
            ("", "its partition is ``: cannot parse integer from empty string"),
            ("1\t2", "it has no index"),
            ("x\x1b[31m\t2", "its partition is `x\\u{1b}[31m`: invalid digit found in string"),
            (&good.replacen("\t9\t", "\t10\t", 1), "its label is 10; labels are below 10"),
            (&good.replacen("\t9\t", "\t256\t", 1), "its label is `256`: number too large to fit in target type"),
            (&good.replacen("1\t", "-1\t", 1), "its partition is `-1`: invalid digit found in string"),
            (&good[..good.len() - 4], "its image has 783 pixels, not 784"),
            (&good[..good.len() - 1], "its image: Invalid padding"),
            (&format!("{good}\tmore"), "it has more than five fields"),
        ] {
            assert_eq!(Sample::decode(line).unwrap_err(), what);
        }
    }

    #[test]
    fn what_is_no_reply_is_told_in_words() {
        let digest = Digest::default().to_string();
        for (number, weights, what) in [
            ("", "", "its result is ``"),
            ("trained zz", "", "its loss is `zz`"),
            ("trained 0", "AAAA", "its weights have 3 bytes, not 1686568"),
            ("evaluated -1", "", "its number of recognised samples is `-1`: invalid digit found in string"),
        ] {
            assert_eq!(Reply::decode(["0", "1", &digest, number, weights], &SIMPLE_CNN).unwrap_err(), what);
        }
        assert_eq!(
            Reply::decode(["0", "1", "00", "counted", ""], &SIMPLE_CNN).unwrap_err(),
            "a digest is 64 hex digits"
        );
    }
}
