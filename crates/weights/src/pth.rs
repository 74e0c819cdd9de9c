//! Reads a `.pth` file, as `torch.save` writes it: a zip archive, or, from before PyTorch 1.6, pickles with raw numbers
//! behind them.
//!
//! In both, a pickle describes every tensor as a view of a storage, and the storages' numbers stand elsewhere, each under a
//! key. The file may come from anywhere, so everything that it says about sizes is checked before memory is reserved for it.

mod archive;
mod entry;
mod legacy;

use std::borrow::Cow;

use archive::Archive;

use crate::{
    Architecture, Error,
    changes::Changes,
    element::Element,
    fit::{Fit, shown},
    pickle::{Pickle, Storage, Tensor},
};

/// The most bytes of a pickle. That of a SimpleCnn takes about 1,200, with an optimizer's state beside it a few times that.
const MAX_PICKLE: usize = 1 << 18;
/// The most elements of a storage. The largest of SimpleCnn has 401,408; several tensors may share one. A few bytes in an
/// archive may unpack to this many, once for each tensor.
const MAX_STORAGE: usize = 1 << 22;

/// Whether a file begins as one of either kind does.
pub(crate) fn is_pth(bytes: &[u8]) -> bool {
    bytes.starts_with(archive::MAGIC) || legacy::is_pickle(bytes)
}

/// The values of the architecture's tensors, row-major, end to end.
pub(crate) fn read(bytes: &[u8], architecture: &Architecture) -> Result<(Vec<f32>, Changes), Error> {
    if legacy::is_pickle(bytes) {
        let (pickle, storages) = legacy::read(bytes)?;
        weights(&pickle, architecture, |storage, _| Ok(storages.get(storage.key).copied().map(Cow::Borrowed)))
    } else {
        let mut archive = Archive::open(bytes)?;
        let pickle = archive.pickle()?;
        let (pickle, _) = Pickle::read(&pickle).map_err(Error::Pth)?;
        let mut storage = |key: &str, len| archive.entry(&format!("data/{key}"), len);
        weights(&pickle, architecture, |at, len| Ok(storage(at.key, len)?.map(Cow::Owned)))
    }
}

/// The weights that a pickle describes. `storage` gives a storage's bytes, of which there should be so many, if it is there.
fn weights<'b>(
    pickle: &Pickle<'_>,
    architecture: &Architecture,
    mut storage: impl FnMut(&Storage<'_>, usize) -> Result<Option<Cow<'b, [u8]>>, Error>,
) -> Result<(Vec<f32>, Changes), Error> {
    let (entry, Fit { tensors, prefix }) = entry::state_dict(pickle, architecture)?;
    let mut values = Vec::new();
    let mut changes = Changes { entry, prefix: prefix.to_owned(), ..Changes::default() };
    for (&(name, _), tensor) in architecture.tensors.iter().zip(tensors) {
        let class = tensor.storage.class;
        let element = Element::of(name, &shown(class), |element| element.class == class)?;
        let wrong = |problem: &str| Error::Pth(format!("the tensor `{name}` {problem}"));
        if tensor.storage.len > MAX_STORAGE {
            return Err(wrong(&format!(
                "is part of a storage that is larger than any that {} needs",
                architecture.name
            )));
        }
        if last(tensor).is_none_or(|last| last >= tensor.storage.len) {
            return Err(wrong("reaches beyond its storage"));
        }
        let len = tensor.storage.len * element.size;
        let bytes = storage(&tensor.storage, len)?.ok_or_else(|| wrong("has no data"))?;
        if bytes.len() != len {
            return Err(wrong("has a storage of another length than it says"));
        }
        values.extend(view(tensor, &(element.decode)(&bytes)));
        changes.elements.insert(element.name);
    }
    Ok((values, changes))
}

/// The place of a tensor's last element in its storage; `None` if it has no element, or there is no such place.
fn last(tensor: &Tensor<'_>) -> Option<usize> {
    let mut steps = tensor.shape.iter().zip(&tensor.strides);
    steps.try_fold(tensor.offset, |last, (&dim, &stride)| last.checked_add(dim.checked_sub(1)?.checked_mul(stride)?))
}

/// A tensor's elements out of its storage, row-major, whatever its strides.
fn view(tensor: &Tensor<'_>, storage: &[f32]) -> Vec<f32> {
    let dims: Vec<(usize, usize)> = tensor.shape.iter().copied().zip(tensor.strides.iter().copied()).collect();
    let (&(length, step), outer) = dims.split_last().unwrap_or((&(1, 1), &[]));
    let mut rows = vec![tensor.offset];
    for &(dim, stride) in outer {
        rows = rows.iter().flat_map(|&row| (0..dim).map(move |i| row + i * stride)).collect();
    }
    let mut values = Vec::with_capacity(rows.len() * length);
    for row in rows {
        match step {
            1 => values.extend(&storage[row..row + length]),
            _ => values.extend((0..length).map(|i| storage[row + i * step])),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::SIMPLE_CNN;

    const SAVED: &[u8] = include_bytes!("../tests/reference/expanded.pth");
    const SMALL: Architecture = Architecture { name: "Small", tensors: &[("w", &[2, 3])] };
    const SIX: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

    /// The pickle of `{"w": tensor}`, a view of a storage of six numbers.
    fn pickle(offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
        let mut p = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
        p.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ");
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
        assert_eq!(read(bytes, &SMALL).err().unwrap().to_string(), expected);
    }

    #[test]
    fn a_file_of_torch_save_holds_the_numbers_that_were_saved() {
        let weights = SIMPLE_CNN.from_pth(SAVED).unwrap();
        for (i, (name, shape, values)) in weights.tensors().enumerate() {
            let last = shape[shape.len() - 1];
            let expected = |j: usize| i as f32 + (j % last) as f32 / 4.0;
            assert!(values.iter().enumerate().all(|(j, &value)| value == expected(j)), "{name}");
        }
        for (what, same) in [
            ("with an optimizer beside it", &include_bytes!("../tests/reference/checkpoint.pth")[..]),
            ("in the older format", include_bytes!("../tests/reference/before-1.6.pth")),
            ("as doubles", include_bytes!("../tests/reference/double.pth")),
        ] {
            assert!(SIMPLE_CNN.from_pth(same).unwrap() == weights, "{what}");
        }
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        for (offset, strides, expected) in
            [(0, [3, 1], SIX), (0, [1, 2], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]), (3, [0, 1], [3.0, 4.0, 5.0, 3.0, 4.0, 5.0])]
        {
            let numbers = read(&saved(&pickle(offset, [2, 3], strides)), &SMALL).unwrap().0;
            assert_eq!(numbers, expected, "{offset}, {strides:?}");
        }
    }

    #[test]
    fn what_is_not_a_state_dict_is_refused_by_name() {
        let good = pickle(0, [2, 3], [3, 1]);
        let big_endian = archive(&[("data.pkl", &good), ("byteorder", b"big")]);
        let [short, long] = [20, 25].map(|len| archive(&[("data.pkl", &good), ("data/0", &vec![0; len])]));
        let runs = "it wants to run `posix.system`: save `model.state_dict()`, not the model itself";
        for (bytes, problem) in [
            (saved(b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R."), runs),
            (saved(b"\x80\x06."), "pickle protocol 6 instead of 2 to 5"),
            (saved(b"\x80\x02\x82\x01."), "the pickle instruction 0x82 is not understood"),
            (saved(b"\x80\x02K\x01."), "it does not hold a state dict"),
            (saved(b"\x80\x02}X\x01\0\0\0wK\x01s."), "its entry `w` is not a tensor"),
            (saved(b"\x80\x02}"), "the pickle ends too early"),
            (saved(&pickle(1, [2, 3], [3, 1])), "the tensor `w` reaches beyond its storage"),
            (big_endian, "its numbers are big-endian"),
            (archive(&[("data.pkl", &good)]), "the tensor `w` has no data"),
            (long, "its entry `small/data/0`: more than 24 bytes"),
            (short, "the tensor `w` has a storage of another length than it says"),
            (archive(&[]), "it has no `data.pkl`"),
        ] {
            check(&bytes, &format!("not a readable PyTorch file: {problem}"));
        }
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        for len in (0..SAVED.len()).step_by(7) {
            assert!(SIMPLE_CNN.from_pth(&SAVED[..len]).is_err(), "cut to {len} bytes");
        }
        let good = pickle(0, [2, 3], [3, 1]);
        for len in 0..good.len() {
            assert!(read(&saved(&good[..len]), &SMALL).is_err(), "pickle cut to {len} bytes");
        }
    }
}
