//! Which tensors of a file are those of a model. Whoever wraps a model puts the wrapper's name before every key:
//! `module.conv1.weight` with `DataParallel`, `_orig_mod.conv1.weight` with `torch.compile`. One such prefix is taken off.

use crate::{Architecture, Error, architecture::NamedShape};

/// A tensor of a file: its name, its shape, and whatever stands for it.
pub(crate) type Found<'a, T> = (&'a str, &'a [usize], T);

/// The tensors of a file that are those of a model, in its order.
pub(crate) struct Fit<'a, T> {
    pub(crate) tensors: Vec<T>,
    /// What was taken off every name: nothing, or one that ends with a dot.
    pub(crate) prefix: &'a str,
}

/// Longer than the names of any wrappers.
const MAX_PREFIX: usize = 256;

/// The tensors in `found` that are the architecture's, if they are exactly those, but for one prefix.
pub(crate) fn fit<'a, T: Copy>(found: &[Found<'a, T>], architecture: &Architecture) -> Result<Fit<'a, T>, Error> {
    let expected = architecture.tensors;
    let prefix = found.iter().find_map(|(key, ..)| prefix_of(key, expected)).unwrap_or_default();
    let belongs = |key: &str| expected.iter().any(|(name, _)| key.strip_prefix(prefix) == Some(*name));
    if let Some((key, ..)) = found.iter().find(|(key, ..)| !belongs(key)) {
        return Err(Error::Other(format!("the tensor `{}` does not belong to {}", shown(key), architecture.name)));
    }
    let tensor = |&(name, shape): &NamedShape| {
        // Python keeps the last of two entries with one key.
        let last = found.iter().rfind(|(key, ..)| key.strip_prefix(prefix) == Some(name));
        let (key, found, tensor) = last.ok_or_else(|| Error::MissingTensor(shown(&format!("{prefix}{name}"))))?;
        if *found != shape {
            let key = shown(key);
            return Err(Error::Other(format!("the tensor `{key}` has shape {found:?} instead of {shape:?}")));
        }
        Ok(*tensor)
    };
    Ok(Fit { tensors: expected.iter().map(tensor).collect::<Result<_, _>>()?, prefix })
}

/// What stands before the name of a tensor of the model: nothing, or names of wrappers with a dot behind each.
pub(crate) fn prefix_of<'a>(key: &'a str, expected: &[NamedShape]) -> Option<&'a str> {
    let is_wrapper = |prefix: &&str| prefix.is_empty() || (prefix.ends_with('.') && prefix.len() <= MAX_PREFIX);
    expected.iter().filter_map(|(name, _)| key.strip_suffix(name)).find(is_wrapper)
}

/// A name out of a file, as an error shows it.
pub(crate) fn shown(name: &str) -> String {
    const ENOUGH: usize = 100;
    name.chars().take(ENOUGH).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: Architecture = Architecture { name: "Layer", tensors: &[("a.weight", &[2, 3]), ("a.bias", &[2])] };

    /// The tensors' numbers in the file and the prefix, or the error.
    fn fitted(keys: &[&str]) -> Result<(Vec<usize>, String), String> {
        let shape = |key: &str| if key.ends_with("weight") { LAYER.tensors[0].1 } else { LAYER.tensors[1].1 };
        let found: Vec<_> = keys.iter().enumerate().map(|(number, key)| (*key, shape(key), number)).collect();
        let fit = fit(&found, &LAYER).map_err(|error| error.to_string())?;
        Ok((fit.tensors, fit.prefix.to_owned()))
    }

    #[test]
    fn one_prefix_of_all_names_is_taken_off() {
        for prefix in ["", "module.", "_orig_mod.", "_orig_mod.module.", "net.0."] {
            let keys = [format!("{prefix}a.bias"), format!("{prefix}a.weight")];
            assert_eq!(fitted(&[&keys[0], &keys[1]]), Ok((vec![1, 0], prefix.to_owned())), "{prefix}");
        }
    }

    #[test]
    fn names_that_do_not_fit_exactly_are_refused_as_the_file_has_them() {
        for (keys, expected) in [
            (&["module.a.weight", "a.bias"][..], "the tensor `a.bias` does not belong to Layer"),
            (&["module.a.weight", "module.b", "module.a.bias"], "the tensor `module.b` does not belong to Layer"),
            (&["module.a.weight"], "the tensor `module.a.bias` is missing"),
            (&["a.weight"], "the tensor `a.bias` is missing"),
            (&[], "the tensor `a.weight` is missing"),
            (&["modulea.weight", "modulea.bias"], "the tensor `modulea.weight` does not belong to Layer"),
        ] {
            assert_eq!(fitted(keys), Err(expected.to_owned()), "{keys:?}");
        }
        let long = format!("{}.a.weight", "\u{1b}".repeat(300));
        let shown = "\\u{1b}".repeat(100);
        assert_eq!(fitted(&[&long]), Err(format!("the tensor `{shown}` does not belong to Layer")));
    }
}
