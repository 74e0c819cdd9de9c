//! Reads the pickle inside a PyTorch file without running it.
//!
//! A pickle is a program for a small stack machine that may name any Python function and call it. This reader knows the
//! few instructions and the few names that `torch.save` needs for dictionaries of tensors and plain values, builds plain
//! data from them, calls nothing, and refuses the rest by name. All values live in one arena and refer to each other by
//! index: a hostile file can neither recurse without end nor make more values than it has bytes.

use std::collections::HashMap;

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
    Int(i64),
    Text(&'a str),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    /// A `dict` or an `OrderedDict`, in the order of insertion.
    Dict(Vec<(Id, Id)>),
    /// `None`, `True`, `False` or a float: nothing here looks inside.
    Opaque,
    OrderedDict,
    RebuildTensor,
    /// The class of a storage, by its name without the `torch.`.
    StorageClass(&'a str),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// The numbers behind one or more tensors: an entry `data/KEY` of the file.
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

/// More dimensions than any tensor of a network has.
const MAX_DIMENSIONS: usize = 8;

impl<'a> Pickle<'a> {
    /// Reads a whole pickle. The error says what is wrong or not understood.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        Machine { input: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }.run()
    }

    /// The value that was pickled.
    pub(crate) fn root(&self) -> &Value<'a> {
        &self.values[self.root]
    }

    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }
}

struct Machine<'a> {
    /// What has not been read.
    input: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which a group of values began.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, String> {
        loop {
            match self.byte()? {
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Pickle { values: self.values, root });
                }
                // PROTO
                0x80 => match self.byte()? {
                    2 => {}
                    version => return Err(format!("pickle protocol {version} instead of 2")),
                },
                // MARK, and the memo: BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                b'(' => self.marks.push(self.stack.len()),
                b'q' => self.memoize(1)?,
                b'r' => self.memoize(4)?,
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => self.int(4)?,
                0x8a => {
                    let len = self.byte()?;
                    self.int(len.into())?;
                }
                // BINUNICODE
                b'X' => {
                    let len = self.index(4)?;
                    let text = self.text(len as usize)?;
                    self.push(Value::Text(text));
                }
                // NONE, NEWTRUE, NEWFALSE, BINFLOAT
                b'N' | 0x88 | 0x89 => self.push(Value::Opaque),
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Opaque);
                }
                // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE, EMPTY_LIST, APPEND, APPENDS
                b')' | b']' => self.push(Value::Sequence(Vec::new())),
                opcode @ 0x85..=0x87 => self.tuple((opcode - 0x84).into())?,
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Sequence(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                // EMPTY_DICT, SETITEM, SETITEMS
                b'}' => self.push(Value::Dict(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.insert(&items)?;
                }
                // GLOBAL, BINPERSID, REDUCE, BUILD
                b'c' => self.global()?,
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                b'b' => self.attributes()?,
                opcode => return Err(format!("the pickle instruction 0x{opcode:02x} is not part of a state dict")),
            }
        }
    }

    /// A name of Python's world: the only place where a pickle could reach for code.
    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        let value = match (module, name) {
            ("collections", "OrderedDict") => Value::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Value::RebuildTensor,
            ("torch", class) if class.ends_with("Storage") => Value::StorageClass(class),
            _ => {
                let name = format!("{module}.{name}").escape_debug().to_string();
                return Err(format!("it wants to run `{name}`: save `model.state_dict()`, not the model itself"));
            }
        };
        self.push(value);
        Ok(())
    }

    /// `("storage", class, key, device, length)` becomes a storage. Where it once lived, in a GPU say, is of no interest.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let storage = match self.arguments(id).as_deref() {
            Some(
                &[
                    Value::Text("storage"),
                    Value::StorageClass(class),
                    Value::Text(key),
                    Value::Text(_),
                    Value::Int(len),
                ],
            ) => usize::try_from(*len).ok().map(|len| Storage { class, key, len }),
            _ => None,
        };
        let storage = storage.ok_or("a storage is not described as PyTorch describes it")?;
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// The two calls that a state dict consists of, of which neither is a call here.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Some(arguments) = self.arguments(arguments) else {
            return Err("a call without a tuple of arguments".into());
        };
        let value = match (&self.values[function], arguments.as_slice()) {
            (Value::OrderedDict, []) => Value::Dict(Vec::new()),
            (Value::RebuildTensor, &[Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => self
                .tensor(storage, *offset, shape, strides)
                .map(Value::Tensor)
                .ok_or("a tensor is not described as PyTorch describes it")?,
            _ => return Err("it calls something else than a dict or a tensor".into()),
        };
        self.push(value);
        Ok(())
    }

    fn tensor(&self, storage: &Storage<'a>, offset: i64, shape: &Value<'_>, strides: &Value<'_>) -> Option<Tensor<'a>> {
        let numbers = |value: &Value<'_>| match value {
            Value::Sequence(items) if items.len() <= MAX_DIMENSIONS => items
                .iter()
                .map(|&id| match self.values[id] {
                    Value::Int(number) => usize::try_from(number).ok(),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        let same_rank = shape.len() == strides.len();
        same_rank.then_some(Tensor { storage: storage.clone(), offset: offset.try_into().ok()?, shape, strides })
    }

    /// Sets an object's attributes. PyTorch gives a state dict one, `_metadata`, that nothing here needs.
    fn attributes(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last().map(|&id| &self.values[id]) {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("it sets the attributes of something else than a dict".into()),
        }
    }

    /// A tuple's items; `None` if it is not a tuple or longer than any that a state dict needs.
    fn arguments(&self, id: Id) -> Option<Vec<&Value<'a>>> {
        match &self.values[id] {
            Value::Sequence(items) if items.len() <= 8 => Some(items.iter().map(|&id| &self.values[id]).collect()),
            _ => None,
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::Sequence(list)) => list.extend(items),
            _ => return Err("it appends to something else than a list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("it inserts into something else than a dict".into()),
        }
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(len).filter(|&start| start >= self.floor()).ok_or(STACK)?;
        let items = self.stack.split_off(start);
        self.push(Value::Sequence(items));
        Ok(())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let start = self.marks.pop().ok_or(STACK)?;
        Ok(self.stack.split_off(start))
    }

    fn memoize(&mut self, width: usize) -> Result<(), String> {
        let index = self.index(width)?;
        let &top = self.stack.last().ok_or(STACK)?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Result<(), String> {
        let index = self.index(width)?;
        let id = *self.memo.get(&index).ok_or_else(|| format!("it recalls value {index}, which it never stored"))?;
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() > self.floor() { self.stack.pop().ok_or_else(|| STACK.into()) } else { Err(STACK.into()) }
    }

    /// Below this height lie the values of an outer group.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    /// A signed little-endian integer.
    fn int(&mut self, width: usize) -> Result<(), String> {
        let bytes = self.take(width)?;
        if width > 8 {
            return Err("an integer does not fit into 64 bits".into());
        }
        // BININT1 and BININT2 are unsigned; the wider ones have their sign in the highest bit.
        let negative = width > 2 && bytes[width - 1] >= 0x80;
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        wide[..width].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    /// An unsigned little-endian integer of at most four bytes that is part of an instruction.
    fn index(&mut self, width: usize) -> Result<u32, String> {
        let mut wide = [0; 4];
        wide[..width].copy_from_slice(self.take(width)?);
        Ok(u32::from_le_bytes(wide))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.input.iter().position(|&byte| byte == b'\n').ok_or(END)?;
        let line = self.text(len)?;
        self.take(1)?;
        Ok(line)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, String> {
        std::str::from_utf8(self.take(len)?).map_err(|_| "a text in it is not UTF-8".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or(END)?;
        self.input = rest;
        Ok(taken)
    }
}

const STACK: &str = "a pickle instruction finds too few values on the stack";
const END: &str = "the pickle ends too early";
