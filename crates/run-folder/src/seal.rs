//! A seal is a digest over the weights and all metadata of a file. safetensors has none of its own, and a flipped bit in a
//! weight would otherwise be another model that nobody notices. Every file of weights that the trainer writes has one;
//! files from elsewhere do not, and are taken as they are.

use std::{collections::BTreeMap, path::Path};

use weights::{Architecture, Beside, StateDict};

use crate::Error;

const SEAL: &str = "blake3";
/// The key of the format, and how the name of each of ours begins. So a file of ours whose seal is gone is known as one.
pub const FORMAT: &str = "format";
const OURS: &str = "tributary ";

/// The bytes of a sealed file.
pub fn seal(weights: &StateDict, beside: &Beside, mut metadata: BTreeMap<String, String>) -> Vec<u8> {
    metadata.insert(SEAL.to_owned(), digest(weights, beside, &metadata));
    weights.to_safetensors_with(beside, &metadata)
}

/// Checks the seal, and takes it out of the metadata.
///
/// # Errors
/// Saying so, when it does not match or a file of ours has none.
pub fn check(weights: &StateDict, beside: &Beside, metadata: &mut BTreeMap<String, String>) -> Result<(), String> {
    match metadata.remove(SEAL) {
        Some(seal) if seal != digest(weights, beside, metadata) => Err("its digest does not match".into()),
        None if metadata.get(FORMAT).is_some_and(|format| format.starts_with(OURS)) => {
            Err("its digest is missing".into())
        }
        _ => Ok(()),
    }
}

/// Weights and metadata of a file of any origin.
///
/// # Errors
/// Naming the file: when it cannot be read, holds no such weights, or is damaged.
pub fn read(path: &Path, architecture: &'static Architecture) -> Result<(StateDict, BTreeMap<String, String>), Error> {
    let (weights, beside, mut metadata) = architecture.read_with(path)?;
    let advice = "; replace it, or name another model";
    check(&weights, &beside, &mut metadata).map_err(|what| Error::Damaged { path: path.to_owned(), advice, what })?;
    Ok((weights, metadata))
}

fn digest(weights: &StateDict, beside: &Beside, metadata: &BTreeMap<String, String>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tributary checkpoint");
    for text in metadata.iter().flat_map(|(key, value)| [key, value]).chain([&weights.sha256()]) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    for (name, numbers) in beside {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(numbers.len() as u64).to_le_bytes());
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use weights::SIMPLE_CNN;

    use super::*;

    fn metadata(format: &str) -> BTreeMap<String, String> {
        let history = r#"[{"round":1,"train_loss":0.25}]"#;
        [(FORMAT, format), ("history", history), ("dataset", "mnist")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// Whether the bytes are read as a file that is whole.
    fn is_whole(bytes: &[u8]) -> bool {
        let read = SIMPLE_CNN.from_safetensors_with(bytes);
        read.is_ok_and(|(weights, beside, mut metadata)| check(&weights, &beside, &mut metadata).is_ok())
    }

    #[test]
    fn what_is_beside_the_weights_is_sealed_with_them() {
        let beside = Beside::from([("v".into(), vec![0.5, 0.25])]);
        let whole = seal(&SIMPLE_CNN.init(1), &beside, metadata("tributary checkpoint 2"));
        assert!(is_whole(&whole));
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        assert!((whole.len() - 16..whole.len()).all(|at| !is_whole(&flipped(at))));
    }

    #[test]
    fn a_file_from_elsewhere_needs_no_seal_and_one_of_ours_does() {
        let weights = SIMPLE_CNN.init(1);
        assert!(is_whole(&weights.to_safetensors(&BTreeMap::new())));
        assert!(is_whole(&weights.to_safetensors(&metadata("pt"))));
        assert!(!is_whole(&weights.to_safetensors(&metadata("tributary model 1"))));
    }
}
