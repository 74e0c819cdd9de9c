//! Reads a `.pth` file: the zip archive that `torch.save(model.state_dict(), path)` writes.
//!
//! `NAME/data.pkl` is a pickle that describes every tensor, `NAME/data/KEY` holds the numbers, uncompressed, and
//! `NAME/byteorder` says how they are written. The file may come from anywhere, so everything that it says about sizes
//! is checked before memory is reserved for it.

use std::{
    io::{Cursor, Read},
    iter,
};

use zip::ZipArchive;

use crate::Error;
use crate::pickle::{Pickle, Tensor, Value};

/// The most bytes of a pickle. That of a SimpleCnn takes about 1,200, with an optimizer's state beside it a few times that.
const MAX_PICKLE: usize = 1 << 18;

/// The most elements of a storage. The largest of SimpleCnn has 401,408; several tensors may share one. A few bytes in an
/// archive may unpack to this many, once for each tensor.
const MAX_STORAGE: usize = 1 << 22;

/// The tensors with these names and shapes, row-major, end to end.
///
/// # Errors
/// If `bytes` is not such a file, or its tensors are not exactly those.
pub(crate) fn read(bytes: &[u8], expected: &[(&str, &[usize])]) -> Result<Vec<f32>, Error> {
    let mut archive = Archive::open(bytes)?;
    let order = archive.entry("byteorder", 16)?;
    if order.is_some_and(|order| order != b"little") {
        return Err(Error::Pth("its numbers are big-endian".into()));
    }
    let pickle = archive.entry("data.pkl", MAX_PICKLE)?.ok_or_else(|| Error::Pth("it has no `data.pkl`".into()))?;
    let pickle = Pickle::read(&pickle).map_err(Error::Pth)?;
    let tensors = state_dict(&pickle)?;

    if let Some((key, _)) = tensors.iter().find(|(key, _)| !expected.iter().any(|(name, _)| name == key)) {
        return Err(Error::UnexpectedTensor(key.escape_debug().to_string()));
    }
    let mut values = Vec::new();
    for &(name, shape) in expected {
        // Python keeps the last of two entries with one key.
        let found = tensors.iter().rfind(|(key, _)| *key == name);
        let (_, tensor) = found.ok_or_else(|| Error::MissingTensor(name.into()))?;
        if tensor.shape != shape {
            return Err(Error::Shape { key: name.into(), found: tensor.shape.clone(), expected: shape.into() });
        }
        if tensor.storage.class != "FloatStorage" {
            let found = tensor.storage.class.escape_debug().to_string();
            return Err(Error::ElementType { key: name.into(), found });
        }
        values.extend(archive.numbers(name, tensor)?);
    }
    Ok(values)
}

/// The tensors of a state dict, or of the one that a checkpoint holds under `state_dict` or `model`.
fn state_dict<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(&'a str, &'p Tensor<'a>)>, Error> {
    let mut value = pickle.root();
    if let Value::Dict(entries) = value {
        let is_inner = |key: &Value<'_>| matches!(key, Value::Text("state_dict" | "model"));
        let inner = entries
            .iter()
            .find(|(key, inner)| is_inner(pickle.get(*key)) && matches!(pickle.get(*inner), Value::Dict(_)));
        value = inner.map_or(value, |&(_, inner)| pickle.get(inner));
    }
    let Value::Dict(entries) = value else {
        return Err(Error::Pth("it does not hold a state dict".into()));
    };
    entries
        .iter()
        .map(|&(key, value)| match (pickle.get(key), pickle.get(value)) {
            (Value::Text(key), Value::Tensor(tensor)) => Ok((*key, tensor)),
            (Value::Text(key), _) => Err(Error::Pth(format!("its entry `{}` is not a tensor", key.escape_debug()))),
            _ => Err(Error::Pth("a key of its state dict is not a text".into())),
        })
        .collect()
}

struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that holds everything: the file's name when it was saved.
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Error::Pth(error.to_string()))?;
        let folder = zip.file_names().flatten().find_map(|name| name.strip_suffix("data.pkl").map(String::from));
        let folder = folder.ok_or_else(|| Error::Pth("it has no `data.pkl`".into()))?;
        Ok(Self { zip, folder })
    }

    /// A whole entry; `None` if there is none of that name. Its CRC is checked.
    fn entry(&mut self, name: &str, max_len: usize) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}{name}", self.folder);
        let Some(index) = self.zip.index_for_name(&path) else { return Ok(None) };
        let wrong = |problem: String| Error::Pth(format!("its entry `{}`: {problem}", path.escape_debug()));
        let entry = self.zip.by_index(index).map_err(|error| wrong(error.to_string()))?;
        // The size that the archive names may be a lie: read no more than is allowed, whatever it says.
        let mut content = Vec::new();
        entry.take(max_len as u64 + 1).read_to_end(&mut content).map_err(|error| wrong(error.to_string()))?;
        if content.len() > max_len {
            return Err(wrong(format!("more than {max_len} bytes")));
        }
        Ok(Some(content))
    }

    /// A tensor's elements, row-major, whatever its strides.
    fn numbers(&mut self, name: &str, tensor: &Tensor<'_>) -> Result<Vec<f32>, Error> {
        let Tensor { storage, offset, shape, strides } = tensor;
        let wrong = |problem: &str| Error::Pth(format!("the tensor `{name}` {problem}"));
        if storage.len > MAX_STORAGE {
            return Err(wrong("is part of a storage that is larger than any that SimpleCnn needs"));
        }
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(*offset, |last, (&dim, &stride)| last.checked_add(dim.checked_sub(1)?.checked_mul(stride)?));
        if last.is_none_or(|last| last >= storage.len) {
            return Err(wrong("reaches beyond its storage"));
        }
        let bytes = self.entry(&format!("data/{}", storage.key), storage.len * size_of::<f32>())?;
        let bytes = bytes.ok_or_else(|| wrong("has no data"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() != storage.len || !rest.is_empty() {
            return Err(wrong("has a storage of another length than it says"));
        }

        let dims: Vec<(usize, usize)> = shape.iter().copied().zip(strides.iter().copied()).collect();
        let (&(length, step), outer) = dims.split_last().unwrap_or((&(1, 1), &[]));
        let mut rows = vec![*offset];
        for &(dim, stride) in outer {
            rows = rows.iter().flat_map(|&row| (0..dim).map(move |i| row + i * stride)).collect();
        }
        let number = |place: usize| f32::from_le_bytes(numbers[place]);
        let mut values = Vec::with_capacity(rows.len() * length);
        for row in rows {
            match step {
                0 => values.extend(iter::repeat_n(number(row), length)),
                1 => values.extend(numbers[row..row + length].iter().copied().map(f32::from_le_bytes)),
                _ => values.extend((0..length).map(|i| number(row + i * step))),
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::StateDict;

    const SAVED: &[u8] = include_bytes!("../tests/reference/expanded.pth");
    const SMALL: [(&str, &[usize]); 1] = [("w", &[2, 3])];
    const SIX: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

    /// The pickle of `{"w": tensor}`, a view of a storage of six numbers.
    fn pickle(class: &str, offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
        let mut p = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
        p.extend(format!("ctorch\n{class}\n").bytes());
        p.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ");
        p.extend([b'K', offset, b'K', shape[0], b'K', shape[1], 0x86, b'K', strides[0], b'K', strides[1], 0x86]);
        p.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
        p
    }

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(format!("small/{name}"), SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn saved(pickle: &[u8]) -> Vec<u8> {
        let data: Vec<u8> = SIX.iter().flat_map(|number| number.to_le_bytes()).collect();
        archive(&[("data.pkl", pickle), ("byteorder", b"little"), ("data/0", &data)])
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(read(bytes, &SMALL).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_file_of_torch_save_holds_the_numbers_that_were_saved() {
        let weights = StateDict::from_pth(SAVED).unwrap();
        for (i, (name, shape, values)) in weights.tensors().enumerate() {
            let last = shape[shape.len() - 1];
            let expected = |j: usize| i as f32 + (j % last) as f32 / 4.0;
            assert!(values.iter().enumerate().all(|(j, &value)| value == expected(j)), "{name}");
        }
    }

    #[test]
    fn a_checkpoint_with_an_optimizer_beside_the_state_dict_holds_the_same() {
        let checkpoint = include_bytes!("../tests/reference/checkpoint.pth");
        assert_eq!(StateDict::from_pth(checkpoint).unwrap(), StateDict::from_pth(SAVED).unwrap());
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        assert_eq!(read(&saved(&pickle("FloatStorage", 0, [2, 3], [3, 1])), &SMALL).unwrap(), SIX);
        let transposed = read(&saved(&pickle("FloatStorage", 0, [2, 3], [1, 2])), &SMALL).unwrap();
        assert_eq!(transposed, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        let repeated = read(&saved(&pickle("FloatStorage", 3, [2, 3], [0, 1])), &SMALL).unwrap();
        assert_eq!(repeated, [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_pth_file_of_another_model_names_the_tensor() {
        let expected = "the tensor `conv1.weight` has elements of type DoubleStorage instead of float32: \
                        convert it with `.float()` first";
        let double = include_bytes!("../tests/reference/double.pth");
        assert_eq!(StateDict::from_pth(double).unwrap_err().to_string(), expected);

        let good = saved(&pickle("FloatStorage", 0, [2, 3], [3, 1]));
        assert_eq!(read(&good, &[]).unwrap_err().to_string(), "the tensor `w` does not belong to SimpleCnn");
        let more = [SMALL[0], ("b", &[2])];
        assert_eq!(read(&good, &more).unwrap_err().to_string(), "the tensor `b` is missing");
        check(&saved(&pickle("FloatStorage", 0, [3, 2], [2, 1])), "the tensor `w` has shape [3, 2] instead of [2, 3]");
    }

    #[test]
    fn what_is_not_a_state_dict_is_refused_by_name() {
        check(
            &saved(b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R."),
            "not a readable PyTorch file: it wants to run `posix.system`: save `model.state_dict()`, not the model itself",
        );
        check(&saved(b"\x80\x04."), "not a readable PyTorch file: pickle protocol 4 instead of 2");
        check(
            &saved(b"\x80\x02ifoo\nbar\n."),
            "not a readable PyTorch file: the pickle instruction 0x69 is not part of a state dict",
        );
        check(&saved(b"\x80\x02K\x01."), "not a readable PyTorch file: it does not hold a state dict");
        check(&saved(b"\x80\x02}X\x01\0\0\0wK\x01s."), "not a readable PyTorch file: its entry `w` is not a tensor");
        check(&saved(b"\x80\x02}"), "not a readable PyTorch file: the pickle ends too early");
        check(
            &saved(&pickle("FloatStorage", 1, [2, 3], [3, 1])),
            "not a readable PyTorch file: the tensor `w` reaches beyond its storage",
        );
        let good = pickle("FloatStorage", 0, [2, 3], [3, 1]);
        check(
            &archive(&[("data.pkl", &good), ("byteorder", b"big")]),
            "not a readable PyTorch file: its numbers are big-endian",
        );
        check(&archive(&[("data.pkl", &good)]), "not a readable PyTorch file: the tensor `w` has no data");
        check(
            &archive(&[("data.pkl", &good), ("data/0", &[0; 20])]),
            "not a readable PyTorch file: the tensor `w` has a storage of another length than it says",
        );
        check(&archive(&[]), "not a readable PyTorch file: it has no `data.pkl`");
    }

    #[test]
    fn a_storage_that_unpacks_to_more_than_it_says_is_not_unpacked() {
        let bomb = vec![0; 50_000_000];
        let bytes = archive(&[("data.pkl", &pickle("FloatStorage", 0, [2, 3], [3, 1])), ("data/0", &bomb)]);
        assert!(bytes.len() < 100_000);
        check(&bytes, "not a readable PyTorch file: its entry `small/data/0`: more than 24 bytes");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_a_panic() {
        for len in (0..SAVED.len()).step_by(7) {
            assert!(StateDict::from_pth(&SAVED[..len]).is_err(), "cut to {len} bytes");
        }
        for place in (0..SAVED.len()).step_by(61) {
            let mut bad = SAVED.to_vec();
            bad[place] ^= 0x04;
            let _ = StateDict::from_pth(&bad);
        }
        // The archive has checksums; behind them, damage every bit of the pickle.
        let good = pickle("FloatStorage", 0, [2, 3], [3, 1]);
        for len in 0..good.len() {
            assert!(read(&saved(&good[..len]), &SMALL).is_err(), "pickle cut to {len} bytes");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&saved(&bad), &SMALL);
        }
    }
}
