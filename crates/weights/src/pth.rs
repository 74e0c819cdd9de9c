//! Reads a `.pth` file, as `torch.save` writes it: a zip archive, or, from before PyTorch 1.6, pickles with raw numbers
//! behind them.
//!
//! In both, a pickle describes every tensor as a view of a storage, and the storages' numbers stand elsewhere, each under a
//! key. The file may come from anywhere, so everything that it says about sizes is checked before memory is reserved for it.

mod archive;
mod legacy;

use std::{borrow::Cow, collections::HashSet};

use archive::Archive;

use crate::{
    Error,
    changes::Changes,
    element::Element,
    fit::{Fit, fit, is_named, shown},
    pickle::{Id, Pickle, Storage, Tensor, Value},
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

/// The tensors with these names and shapes, row-major, end to end.
///
/// # Errors
/// If `bytes` is not such a file, or its tensors are not exactly those.
pub(crate) fn read(bytes: &[u8], expected: &[(&str, &[usize])]) -> Result<(Vec<f32>, Changes), Error> {
    if legacy::is_pickle(bytes) {
        let (pickle, storages) = legacy::read(bytes)?;
        weights(&pickle, expected, |storage, _| Ok(storages.get(storage.key).copied().map(Cow::Borrowed)))
    } else {
        let mut archive = Archive::open(bytes)?;
        let pickle = archive.pickle()?;
        let (pickle, _) = Pickle::read(&pickle).map_err(Error::Pth)?;
        weights(&pickle, expected, |storage, len| Ok(archive.storage(storage, len)?.map(Cow::Owned)))
    }
}

/// The weights that a pickle describes. `storage` gives a storage's bytes, of which there should be so many, if it is there.
fn weights<'b>(
    pickle: &Pickle<'_>,
    expected: &[(&str, &[usize])],
    mut storage: impl FnMut(&Storage<'_>, usize) -> Result<Option<Cow<'b, [u8]>>, Error>,
) -> Result<(Vec<f32>, Changes), Error> {
    let (entry, Fit { tensors, prefix }) = state_dict(pickle, expected)?;
    let mut values = Vec::new();
    let mut changes = Changes { entry, prefix: prefix.to_owned(), ..Changes::default() };
    for (&(name, _), tensor) in expected.iter().zip(tensors) {
        let class = tensor.storage.class;
        let element = element(class).ok_or_else(|| Error::ElementType { key: name.into(), found: shown(class) })?;
        let wrong = |problem: &str| Error::Pth(format!("the tensor `{name}` {problem}"));
        if tensor.storage.len > MAX_STORAGE {
            return Err(wrong("is part of a storage that is larger than any that SimpleCnn needs"));
        }
        if last(tensor).is_none_or(|last| last >= tensor.storage.len) {
            return Err(wrong("reaches beyond its storage"));
        }
        let len = tensor.storage.len * element.size();
        let bytes = storage(&tensor.storage, len)?.ok_or_else(|| wrong("has no data"))?;
        if bytes.len() != len {
            return Err(wrong("has a storage of another length than it says"));
        }
        values.extend(view(tensor, &element.decode(&bytes)));
        changes.elements.insert(element);
    }
    Ok((values, changes))
}

/// The type of number in a storage of this class.
fn element(class: &str) -> Option<Element> {
    match class {
        "BFloat16Storage" => Some(Element::BF16),
        "HalfStorage" => Some(Element::F16),
        "FloatStorage" => Some(Element::F32),
        "DoubleStorage" => Some(Element::F64),
        _ => None,
    }
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

/// The tensors of the state dict that the file is, or that one of its entries is, beside an epoch and an optimizer, say. Then
/// that entry's name comes with them.
fn state_dict<'p, 'a>(
    pickle: &'p Pickle<'a>,
    expected: &[(&str, &[usize])],
) -> Result<(Option<String>, Fit<'p, &'p Tensor<'a>>), Error> {
    let Value::Dict(root) = pickle.root() else { return Err(no_state_dict([pickle.root()])) };
    let mut closest = match candidate(pickle, root, expected) {
        Ok(fit) => return Ok((None, fit)),
        Err(unfit) => unfit,
    };
    let mut fits = Vec::new();
    // Each once, though a hostile file may name one a thousand times.
    let mut tried = HashSet::<Id>::new();
    for &(key, value) in root {
        let Value::Dict(entries) = pickle.get(value) else { continue };
        if !tried.insert(value) {
            continue;
        }
        match candidate(pickle, entries, expected) {
            Ok(fit) => fits.push((label(pickle.get(key)), fit)),
            Err((likeness, error)) if likeness > closest.0 => {
                closest = (likeness, Error::Entry { entry: label(pickle.get(key)), source: Box::new(error) });
            }
            Err(_) => {}
        }
    }
    if fits.len() > 1 {
        return Err(Error::SeveralEntries(fits.into_iter().map(|(entry, _)| entry).collect()));
    }
    match fits.pop() {
        Some((entry, fit)) => Ok((Some(entry), fit)),
        None if closest.0 == Likeness::None => Err(no_state_dict(root.iter().map(|&(_, value)| pickle.get(value)))),
        None => Err(closest.1),
    }
}

/// How much a dict that does not fit looks like the state dict that is wanted.
#[derive(PartialEq, PartialOrd)]
enum Likeness {
    None,
    /// It holds tensors.
    Tensors,
    /// It has one of the keys.
    Keys,
}

/// The tensors in a dict, if they are those of a state dict that fits. What is no tensor does not matter.
fn candidate<'p, 'a>(
    pickle: &'p Pickle<'a>,
    entries: &[(Id, Id)],
    expected: &[(&str, &[usize])],
) -> Result<Fit<'p, &'p Tensor<'a>>, (Likeness, Error)> {
    let named = entries.iter().filter_map(|&(key, value)| match pickle.get(key) {
        Value::Text(key) => Some((*key, pickle.get(value))),
        _ => None,
    });
    let tensor = |(key, value): (&'p str, &'p Value<'a>)| match value {
        Value::Tensor(tensor) => Some((key, tensor.shape.as_slice(), tensor)),
        _ => None,
    };
    let tensors: Vec<_> = named.clone().filter_map(tensor).collect();
    fit(&tensors, expected).map_err(|error| {
        let likeness = match () {
            () if named.clone().any(|(key, _)| is_named(key, expected)) => Likeness::Keys,
            () if !tensors.is_empty() => Likeness::Tensors,
            () => Likeness::None,
        };
        let other = |missing: &str| named.clone().find(|(key, _)| *key == missing);
        match &error {
            Error::MissingTensor(missing) => match other(missing) {
                Some((key, Value::Object(module, name))) => {
                    let made =
                        format!("its entry `{}` is made by `{}`", shown(key), shown(&format!("{module}.{name}")));
                    (likeness, Error::Pth(format!("{made}, which is not understood; save a plain tensor")))
                }
                Some((key, _)) => (likeness, Error::Pth(format!("its entry `{}` is not a tensor", shown(key)))),
                None => (likeness, error),
            },
            _ => (likeness, error),
        }
    })
}

/// The name of an entry.
fn label(key: &Value<'_>) -> String {
    match key {
        Value::Text(text) => shown(text),
        Value::Int(number) => number.to_string(),
        _ => "?".into(),
    }
}

/// What to say of values of which none is a state dict. As a rule one is a model, which is code.
fn no_state_dict<'p, 'a: 'p>(values: impl IntoIterator<Item = &'p Value<'a>>) -> Error {
    let code = values.into_iter().find_map(|value| match value {
        Value::Global(module, name) | Value::Object(module, name) => Some(shown(&format!("{module}.{name}"))),
        _ => None,
    });
    Error::Pth(match code {
        Some(name) => format!("it wants to run `{name}`: save `model.state_dict()`, not the model itself"),
        None => "it does not hold a state dict".into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

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
    fn numbers(bytes: &[u8]) -> Vec<f32> {
        read(bytes, &SMALL).unwrap().0
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(read(bytes, &SMALL).err().unwrap().to_string(), expected);
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
    fn a_file_of_doubles_holds_the_same() {
        let double = include_bytes!("../tests/reference/double.pth");
        assert!(StateDict::from_pth(double).unwrap() == StateDict::from_pth(SAVED).unwrap());
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        assert_eq!(numbers(&saved(&pickle("FloatStorage", 0, [2, 3], [3, 1]))), SIX);
        let transposed = numbers(&saved(&pickle("FloatStorage", 0, [2, 3], [1, 2])));
        assert_eq!(transposed, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        let repeated = numbers(&saved(&pickle("FloatStorage", 3, [2, 3], [0, 1])));
        assert_eq!(repeated, [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_pth_file_of_another_model_names_the_tensor() {
        let good = saved(&pickle("FloatStorage", 0, [2, 3], [3, 1]));
        assert_eq!(read(&good, &[]).err().unwrap().to_string(), "the tensor `w` does not belong to SimpleCnn");
        let more = [SMALL[0], ("b", &[2])];
        assert_eq!(read(&good, &more).err().unwrap().to_string(), "the tensor `b` is missing");
        check(&saved(&pickle("FloatStorage", 0, [3, 2], [2, 1])), "the tensor `w` has shape [3, 2] instead of [2, 3]");
    }

    #[test]
    fn what_is_not_a_state_dict_is_refused_by_name() {
        check(
            &saved(b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R."),
            "not a readable PyTorch file: it wants to run `posix.system`: save `model.state_dict()`, not the model itself",
        );
        check(&saved(b"\x80\x06."), "not a readable PyTorch file: pickle protocol 6 instead of 2 to 5");
        check(
            &saved(b"\x80\x02\x82\x01."),
            "not a readable PyTorch file: the pickle instruction 0x82 is not understood",
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
