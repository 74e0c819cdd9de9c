//! Which dict in a file is the state dict: the whole, or one of its entries.

use std::collections::HashSet;

use crate::{
    Architecture, Error,
    fit::{Fit, fit, prefix_of, shown},
    pickle::{Id, Pickle, Tensor, Value},
};

/// The tensors of the state dict that the file is, or that one of its entries is, beside an epoch and an optimizer, say. Then
/// that entry's name comes with them.
pub(super) fn state_dict<'p, 'a>(
    pickle: &'p Pickle<'a>,
    architecture: &Architecture,
) -> Result<(Option<String>, Fit<'p, &'p Tensor<'a>>), Error> {
    let Value::Dict(root) = pickle.root() else { return Err(no_state_dict([pickle.root()])) };
    let mut closest = match candidate(pickle, root, architecture) {
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
        match candidate(pickle, entries, architecture) {
            Ok(fit) => fits.push((label(pickle.get(key)), fit)),
            Err((likeness, error)) if likeness > closest.0 => {
                let entry = label(pickle.get(key));
                closest = (likeness, Error::Other(format!("its entry `{entry}` does not fit: {error}")));
            }
            Err(_) => {}
        }
    }
    if fits.len() > 1 {
        let entries = fits.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>().join("`, `");
        let advice = "save the one that is meant in a file of its own";
        return Err(Error::Other(format!("several of its entries fit: `{entries}`; {advice}")));
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
    architecture: &Architecture,
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
    fit(&tensors, architecture).map_err(|error| {
        let likeness = match () {
            () if named.clone().any(|(key, _)| prefix_of(key, architecture.tensors).is_some()) => Likeness::Keys,
            () if !tensors.is_empty() => Likeness::Tensors,
            () => Likeness::None,
        };
        let Error::MissingTensor(missing) = &error else { return (likeness, error) };
        match named.clone().find(|(key, _)| key == missing) {
            Some((key, Value::Object(module, name))) => {
                let made = format!("its entry `{}` is made by `{}`", shown(key), shown(&format!("{module}.{name}")));
                (likeness, Error::Pth(format!("{made}, which is not understood; save a plain tensor")))
            }
            Some((key, _)) => (likeness, Error::Pth(format!("its entry `{}` is not a tensor", shown(key)))),
            None => (likeness, error),
        }
    })
}

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
