//! What had to be done to a file's tensors to make a model of them, so that it can be said.

use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Changes {
    /// The entry of the file that holds the tensors, if that is not the whole of it.
    pub(crate) entry: Option<String>,
    /// What was taken off the tensors' names, or nothing.
    pub(crate) prefix: String,
    /// PyTorch's names of the types that their numbers have in the file.
    pub(crate) elements: BTreeSet<&'static str>,
}

impl Changes {
    /// Each change as a clause; nothing if there was none.
    pub(crate) fn clauses(&self) -> String {
        let others: Vec<&str> = self.elements.iter().copied().filter(|name| *name != "float32").collect();
        let clauses = [
            self.entry.as_ref().map(|entry| format!("took its entry `{entry}`")),
            (!self.prefix.is_empty()).then(|| format!("took `{}` off the names of the tensors", self.prefix)),
            (!others.is_empty()).then(|| format!("converted {} to float32", others.join(" and "))),
        ];
        clauses.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
