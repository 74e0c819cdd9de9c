//! State dicts in files: safetensors out and in, PyTorch's own format in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use crate::{
    Architecture, Error, StateDict,
    changes::Changes,
    element::Element,
    fit::{Fit, fit, shown},
    pth,
};

/// The longest header of a safetensors file that is parsed, into several times its size. Ours take a kilobyte, and 400 bytes
/// for each round that they list.
const MAX_HEADER: u64 = 1 << 24;
/// The largest file that is read. The weights take 1.7 MB, a checkpoint that holds an optimizer beside them 5 MB.
const MAX_FILE: u64 = 1 << 28;
/// How the names of tensors begin that are no weights, but numbers beside them.
const BESIDE: &str = "tributary.beside.";
const UNKNOWN: &str = "neither a safetensors file nor a PyTorch file (`.pth`, as `torch.save` writes it)";

/// Numbers that are kept in the file of a model and are no weights of it: lists with names.
pub type Beside = BTreeMap<String, Vec<f64>>;

impl StateDict {
    /// The weights as a safetensors file with `metadata` in its header. The same weights and metadata give the same bytes.
    pub fn to_safetensors(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        self.to_safetensors_with(&Beside::default(), metadata)
    }

    /// As [`StateDict::to_safetensors`], with numbers beside the weights. Names are letters and digits.
    pub fn to_safetensors_with(&self, beside: &Beside, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        // Written here because the `safetensors` crate keeps metadata in a hash map, whose order differs from run to run.
        let metadata = serde_json::to_string(metadata).expect("a map of texts is JSON");
        let mut header = format!(r#"{{"__metadata__":{metadata}"#);
        let weights = self.architecture().tensors.iter();
        let weights = weights.map(|&(name, shape)| (Cow::from(name), "F32", shape.to_vec(), size_of::<f32>()));
        let beside_them = beside.iter();
        let beside_them = beside_them
            .map(|(name, list)| (format!("{BESIDE}{name}").into(), "F64", vec![list.len()], size_of::<f64>()));
        let mut start = 0;
        for (name, dtype, shape, size) in weights.chain(beside_them) {
            let end = start + shape.iter().product::<usize>() * size;
            header += &format!(r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#);
            start = end;
        }
        header.push('}');
        // The format asks for numbers that begin at a multiple of eight.
        while header.len() % 8 != 0 {
            header.push(' ');
        }

        let mut bytes = Vec::with_capacity(8 + header.len() + start);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(self.values().iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(beside.values().flatten().flat_map(|value| value.to_le_bytes()));
        bytes
    }
}

impl Architecture {
    /// Weights and metadata from the bytes of a safetensors file.
    ///
    /// # Errors
    /// If the file is malformed, or does not hold exactly the tensors of this architecture, all behind one prefix or none.
    pub fn from_safetensors(&'static self, bytes: &[u8]) -> Result<(StateDict, BTreeMap<String, String>), Error> {
        let (weights, _, metadata) = self.from_safetensors_with(bytes)?;
        Ok((weights, metadata))
    }

    /// As [`Architecture::from_safetensors`], with the numbers beside the weights.
    ///
    /// # Errors
    /// As there.
    pub fn from_safetensors_with(
        &'static self,
        bytes: &[u8],
    ) -> Result<(StateDict, Beside, BTreeMap<String, String>), Error> {
        let Parsed { weights, beside, metadata, .. } = parse(self, bytes)?;
        Ok((weights, beside, metadata))
    }

    /// Weights from the bytes of a `.pth` file: what `torch.save` makes of `model.state_dict()`, or of a dict that holds one
    /// such state dict. Nothing in the file is executed.
    ///
    /// # Errors
    /// If the file is malformed, or does not hold exactly the tensors of this architecture, all behind one prefix or none.
    pub fn from_pth(&'static self, bytes: &[u8]) -> Result<StateDict, Error> {
        Ok(self.state_dict(pth::read(bytes, self)?.0))
    }

    /// Weights and metadata from a file of either format, which its content decides; a `.pth` file has no metadata. What
    /// had to be changed to make such a network of it is logged.
    ///
    /// # Errors
    /// Those of the formats, with the file's name. Files of more than 256 MB are not read.
    pub fn read(&'static self, path: &Path) -> Result<(StateDict, BTreeMap<String, String>), Error> {
        let (weights, _, metadata) = self.read_with(path)?;
        Ok((weights, metadata))
    }

    /// As [`Architecture::read`], with the numbers beside the weights.
    ///
    /// # Errors
    /// As there.
    pub fn read_with(&'static self, path: &Path) -> Result<(StateDict, Beside, BTreeMap<String, String>), Error> {
        let content = || {
            let mut bytes = Vec::new();
            File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = content().map_err(|source| Error::Io { path: path.into(), source })?;
        let is_read = bytes.len() as u64 <= MAX_FILE;
        let parsed = if is_read && bytes.get(8) == Some(&b'{') {
            parse(self, &bytes)
        } else if is_read && pth::is_pth(&bytes) {
            pth::read(&bytes, self).map(|(values, changes)| {
                let weights = self.state_dict(values);
                Parsed { weights, beside: Beside::default(), metadata: BTreeMap::new(), changes }
            })
        } else {
            Err(Error::Other(UNKNOWN.into()))
        };
        let content = |source| Error::Content { path: path.into(), source: Box::new(source) };
        let Parsed { weights, beside, metadata, changes } = parsed.map_err(content)?;
        let changes = changes.clauses();
        if !changes.is_empty() {
            tracing::info!("`{}`: {changes}", path.display());
        }
        Ok((weights, beside, metadata))
    }
}

/// What a file holds.
struct Parsed {
    weights: StateDict,
    beside: Beside,
    metadata: BTreeMap<String, String>,
    changes: Changes,
}

/// Checks that a safetensors file has no longer header than is read. Who writes one with much metadata asks before.
///
/// # Errors
/// If the header is longer than 16 MiB.
pub fn check_header(bytes: &[u8]) -> Result<(), Error> {
    match bytes.first_chunk() {
        Some(len) if u64::from_le_bytes(*len) > MAX_HEADER => {
            Err(Error::Safetensors(format!("its header is longer than {MAX_HEADER} bytes")))
        }
        _ => Ok(()),
    }
}

/// What a safetensors file holds.
fn parse(architecture: &'static Architecture, bytes: &[u8]) -> Result<Parsed, Error> {
    check_header(bytes)?;
    let malformed = |error: safetensors::SafeTensorError| Error::Safetensors(error.to_string());
    let tensors = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();

    let (mut beside, mut others) = (Beside::default(), Vec::new());
    for (name, tensor) in tensors.tensors() {
        match name.strip_prefix(BESIDE) {
            Some(list) if tensor.dtype() == Dtype::F64 => {
                let (numbers, _) = tensor.data().as_chunks();
                beside.insert(list.to_owned(), numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect());
            }
            Some(_) => return Err(Error::Other(format!("the tensor `{}` is not of float64", shown(&name)))),
            None => others.push((name, tensor)),
        }
    }
    let mut tensors = others;
    // Sorted, so that the same file always gives the same error.
    tensors.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let found: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape(), tensor)).collect();
    let Fit { tensors, prefix } = fit(&found, architecture)?;
    let mut values = Vec::new();
    let mut changes = Changes { prefix: prefix.to_owned(), ..Changes::default() };
    for (&(name, _), tensor) in architecture.tensors.iter().zip(tensors) {
        let dtype = tensor.dtype();
        let element = Element::of(name, &dtype.to_string(), |element| element.dtype == dtype)?;
        values.extend((element.decode)(tensor.data()));
        changes.elements.insert(element.name);
    }
    Ok(Parsed { weights: architecture.state_dict(values), beside, metadata, changes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SIMPLE_CNN;

    fn metadata() -> BTreeMap<String, String> {
        [("seed", "42"), ("round", "3"), ("note", "\"quoted\" and đủ dấu")]
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into()
    }

    /// A safetensors file with this header and as many zeros as it asks for.
    fn file(header: &str) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(8 + header.len() + SIMPLE_CNN.bytes(), 0);
        bytes
    }

    /// The header of a good file, with one piece of text in it replaced.
    fn header_with(from: &str, to: &str) -> Vec<u8> {
        let good = SIMPLE_CNN.zeros().to_safetensors(&BTreeMap::new());
        let len = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&good[8..8 + len]).unwrap();
        assert!(header.contains(from), "{header}");
        file(&header.replacen(from, to, 1))
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(SIMPLE_CNN.from_safetensors(bytes).unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_header_is_the_same_text_every_time() {
        let bytes = SIMPLE_CNN.zeros().to_safetensors(&metadata());
        let expected = concat!(
            r#"{"__metadata__":{"note":"\"quoted\" and đủ dấu","round":"3","seed":"42"},"#,
            r#""conv1.weight":{"dtype":"F32","shape":[32, 1, 3, 3],"data_offsets":[0,1152]},"#,
        );
        assert_eq!(std::str::from_utf8(&bytes[8..8 + expected.len()]).unwrap(), expected);
        assert_eq!(bytes.len() % 8, SIMPLE_CNN.bytes() % 8);
    }

    #[test]
    fn a_safetensors_file_of_another_model_names_the_tensor() {
        check(
            &header_with("[10, 128]", "[128, 10]"),
            "the tensor `fc2.weight` has shape [128, 10] instead of [10, 128]",
        );
        check(
            &header_with(r#"{"dtype":"F32","shape":[10],"#, r#"{"dtype":"I32","shape":[10],"#),
            "the tensor `fc2.bias` has elements of type I32 instead of float32: convert it with `.float()` first",
        );
    }

    #[test]
    fn numbers_beside_the_weights_come_back_and_whoever_wants_only_weights_does_not_see_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let weights = SIMPLE_CNN.init(2);
        let beside =
            Beside::from([("m".into(), vec![0.1, -0.0, f64::MAX]), ("v".into(), vec![]), ("b".into(), vec![1e-300])]);
        let bytes = weights.to_safetensors_with(&beside, &metadata());
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(SIMPLE_CNN.read_with(&path).unwrap(), (weights.clone(), beside, metadata()));
        assert_eq!(SIMPLE_CNN.from_safetensors(&bytes).unwrap(), (weights.clone(), metadata()));
        assert_eq!(weights.to_safetensors_with(&Beside::default(), &metadata()), weights.to_safetensors(&metadata()));
    }

    #[test]
    fn a_header_that_is_too_long_is_not_parsed() {
        let bytes = [&(MAX_HEADER + 1).to_le_bytes()[..], &vec![b'['; MAX_HEADER as usize + 1]].concat();
        check(&bytes, "not a valid safetensors file: its header is longer than 16777216 bytes");
    }

    #[test]
    fn a_safetensors_file_that_was_cut_is_an_error() {
        let good = SIMPLE_CNN.zeros().to_safetensors(&metadata());
        let data = good.len() - SIMPLE_CNN.bytes();
        for len in (0..data + 16).chain([good.len() - 1]) {
            assert!(SIMPLE_CNN.from_safetensors(&good[..len]).is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn a_file_is_read_by_its_content_and_errors_name_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.bin");
        std::fs::write(&path, SIMPLE_CNN.init(1).to_safetensors(&metadata())).unwrap();
        assert_eq!(SIMPLE_CNN.read(&path).unwrap(), (SIMPLE_CNN.init(1), metadata()));

        std::fs::write(&path, "epoch,loss\n1,0.5\n").unwrap();
        let error = SIMPLE_CNN.read(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` does not hold usable weights", path.display()));
        assert!(matches!(error, Error::Content { source, .. } if source.to_string() == UNKNOWN));

        let absent = dir.path().join("absent.pth");
        let error = SIMPLE_CNN.read(&absent).unwrap_err();
        assert_eq!(error.to_string(), format!("failed to read `{}`", absent.display()));
    }
}
