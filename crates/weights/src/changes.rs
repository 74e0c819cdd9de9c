//! What had to be done to a file's tensors to make a model of them, so that it can be said.

use std::{collections::BTreeSet, fmt};

use crate::element::Element;

/// What was done. Written out, each change is a clause; nothing is written if there was none.
#[derive(Default)]
pub(crate) struct Changes {
    /// The entry of the file that holds the tensors, if that is not the whole of it.
    pub(crate) entry: Option<String>,
    /// What was taken off the tensors' names, or nothing.
    pub(crate) prefix: String,
    /// The types that their numbers have in the file.
    pub(crate) elements: BTreeSet<Element>,
}

impl Changes {
    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.entry.is_none() && self.prefix.is_empty() && self.elements.iter().all(|element| *element == Element::F32)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.elements.iter().filter(|element| **element != Element::F32);
        let others: Vec<_> = others.map(|element| element.name()).collect();
        let clauses = [
            self.entry.as_ref().map(|entry| format!("took its entry `{entry}`")),
            (!self.prefix.is_empty()).then(|| format!("took `{}` off the names of the tensors", self.prefix)),
            (!others.is_empty()).then(|| format!("converted {} to float32", others.join(" and "))),
        ];
        f.write_str(&clauses.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
