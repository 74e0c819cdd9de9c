//! What `torch.save` wrote before PyTorch 1.6, and still writes when asked to: five pickles, one behind the other (a number
//! that marks the format, its version, what machine wrote it, the object that was saved, and the keys of its storages), then
//! the storages in the order of those keys, each as its length and its numbers.

use std::collections::HashMap;

use super::MAX_PICKLE;
use crate::{
    Error,
    fit::shown,
    pickle::{Pickle, TOO_SHORT, Value},
};

/// The number that marks the format.
const MAGIC: Value<'_> = Value::Int(0x1950_a86a_20f9_469c_fc6c);
/// The only version there ever was.
const VERSION: Value<'_> = Value::Int(1001);

/// The numbers of each storage, by its key.
type Storages<'a> = HashMap<&'a str, &'a [u8]>;

/// Whether a file may be of this format: whether it begins with a pickle.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// The object that was saved, and its storages.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle<'_>, Storages<'_>), Error> {
    let (magic, rest) = pickle(bytes)?;
    if *magic.root() != MAGIC {
        return Err(Error::Pth("it is a pickle, but not one that `torch.save` wrote".into()));
    }
    let (version, rest) = pickle(rest)?;
    if *version.root() != VERSION {
        return Err(Error::Pth("it has an unknown version".into()));
    }
    let (machine, rest) = pickle(rest)?;
    if !is_little_endian(&machine) {
        return Err(Error::Pth("it does not say that its numbers are little-endian".into()));
    }
    let (object, rest) = pickle(rest)?;
    let (keys, rest) = pickle(rest)?;
    let storages = storages(&object, &keys, rest)?;
    Ok((object, storages))
}

/// The next pickle, and what follows it.
fn pickle(bytes: &[u8]) -> Result<(Pickle<'_>, &[u8]), Error> {
    let allowed = &bytes[..bytes.len().min(MAX_PICKLE)];
    let (pickle, rest) = Pickle::read(allowed).map_err(|problem| match problem.as_str() {
        TOO_SHORT if allowed.len() < bytes.len() => {
            Error::Pth(format!("a pickle in it has more than {MAX_PICKLE} bytes"))
        }
        _ => Error::Pth(problem),
    })?;
    Ok((pickle, &bytes[allowed.len() - rest.len()..]))
}

fn is_little_endian(machine: &Pickle<'_>) -> bool {
    let Value::Dict(entries) = machine.root() else { return false };
    let entry = |&(key, value)| (machine.get(key), machine.get(value));
    entries.iter().map(entry).any(|said| said == (&Value::Text("little_endian"), &Value::Bool(true)))
}

/// The storages of `object`, which `bytes` hold in the order of `keys`.
fn storages<'a>(object: &Pickle<'a>, keys: &Pickle<'a>, mut bytes: &'a [u8]) -> Result<Storages<'a>, Error> {
    let wrong = |problem: &str| Error::Pth(problem.into());
    let Value::Sequence(ids) = keys.root() else { return Err(wrong("it has no list of its storages")) };
    let classes: HashMap<&str, &str> = object.storages().map(|storage| (storage.key, storage.class)).collect();
    let mut storages = HashMap::new();
    for &id in ids {
        let &Value::Text(key) = keys.get(id) else { return Err(wrong("the name of a storage is not a text")) };
        let class = classes.get(key).ok_or_else(|| wrong("it has a storage that belongs to no tensor"))?;
        let size =
            size(class).ok_or_else(|| wrong(&format!("it has a storage of the unknown type `{}`", shown(class))))?;
        let (len, rest) = bytes.split_first_chunk().ok_or_else(|| wrong(CUT))?;
        let len = usize::try_from(i64::from_le_bytes(*len)).ok().and_then(|len| len.checked_mul(size));
        let (numbers, rest) = len.and_then(|len| rest.split_at_checked(len)).ok_or_else(|| wrong(CUT))?;
        storages.insert(key, numbers);
        bytes = rest;
    }
    Ok(storages)
}

const CUT: &str = "it ends before its numbers do";

fn size(class: &str) -> Option<usize> {
    match class.strip_suffix("Storage")? {
        "ComplexDouble" => Some(16),
        "ComplexFloat" | "Double" | "Long" => Some(8),
        "Float" | "Int" | "QInt32" => Some(4),
        "BFloat16" | "Half" | "Short" => Some(2),
        "Bool" | "Byte" | "Char" | "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" => Some(1),
        _ => None,
    }
}
