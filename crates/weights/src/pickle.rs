//! Reads the pickles inside a PyTorch file without running them.
//!
//! A pickle is a program for a small stack machine that may name any Python function and call it. This reader builds plain
//! data of it and calls nothing. It knows the few names that `torch.save` needs for dictionaries of tensors; whatever else
//! a pickle names or calls becomes a value that only remembers the name, so that it does no harm where nobody needs it.
//! All values live in one arena and refer to each other by index: a hostile file can neither recurse without end nor make
//! more values than it has bytes.

mod input;
mod machine;
mod meaning;

use self::machine::Machine;

/// What a pickle holds: its values, and which of them is the whole.
pub(crate) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

/// A value's place in the arena.
pub(crate) type Id = usize;

/// A value, as far as a state dict needs to tell them apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    /// Wide enough for the number that marks a file of `torch.save`.
    Int(i128),
    Text(&'a str),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    /// A `dict` or an `OrderedDict`, in the order of insertion.
    Dict(Vec<(Id, Id)>),
    /// A class or function, by module and name.
    Global(&'a str, &'a str),
    /// What running that class or function would give. It was not run.
    Object(&'a str, &'a str),
    /// Any other value: nothing here looks inside.
    Opaque,
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// The numbers behind one or more tensors, which stand elsewhere in the file under a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage<'a> {
    /// `FloatStorage` for f32.
    pub(crate) class: &'a str,
    pub(crate) key: &'a str,
    /// In elements.
    pub(crate) len: usize,
}

/// A view of a storage: element `[i, j, …]` is number `offset + i * strides[0] + j * strides[1] + …` of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor<'a> {
    pub(crate) storage: Storage<'a>,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with, and returns what follows it. The error says what is wrong or not understood.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), String> {
        Machine::new(bytes).run()
    }

    pub(crate) fn root(&self) -> &Value<'a> {
        &self.values[self.root]
    }

    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }

    /// All storages that are described anywhere.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| if let Value::Storage(storage) = value { Some(storage) } else { None })
    }
}

const STACK: &str = "a pickle instruction finds too few values on the stack";
/// The error of a pickle that is not over where its bytes are.
pub(crate) const TOO_SHORT: &str = "the pickle ends too early";
