//! Reads the pickles inside a PyTorch file without running them.
//!
//! A pickle is a program for a small stack machine that may name any Python function and call it. This reader builds plain
//! data of it and calls nothing. It knows the few names that `torch.save` needs for dictionaries of tensors; whatever else
//! a pickle names or calls becomes a value that only remembers the name, so that it does no harm where nobody needs it.
//! All values live in one arena and refer to each other by index: a hostile file can neither recurse without end nor make
//! more values than it has bytes.

use std::{collections::HashMap, mem};

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

/// The most bytes of a storage's key. PyTorch numbers them.
const MAX_KEY: usize = 64;

/// More dimensions than any tensor of a network has.
const MAX_DIMENSIONS: usize = 8;

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with, and returns what follows it. The error says what is wrong or not understood.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), String> {
        Machine { input: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }.run()
    }

    /// The value that was pickled.
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
    fn run(mut self) -> Result<(Pickle<'a>, &'a [u8]), String> {
        loop {
            match self.byte()? {
                b'.' => {
                    let root = self.pop()?;
                    return Ok((Pickle { values: self.values, root }, self.input));
                }
                // PROTO, FRAME
                0x80 => match self.byte()? {
                    2..=5 => {}
                    version => return Err(format!("pickle protocol {version} instead of 2 to 5")),
                },
                0x95 => drop(self.take(8)?),
                // MARK, POP, POP_MARK, DUP
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
                b'q' => self.memoize(1)?,
                b'r' => self.memoize(4)?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len() as u32, top);
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                // BININT1, BININT2, BININT, LONG1, LONG4, and the two of older protocols: INT, LONG
                b'K' => self.int(1, false)?,
                b'M' => self.int(2, false)?,
                b'J' => self.int(4, true)?,
                0x8a => {
                    let len = self.length(1)?;
                    self.int(len, true)?;
                }
                0x8b => {
                    let len = self.length(4)?;
                    self.int(len, true)?;
                }
                b'I' | b'L' => {
                    let value = match self.line()? {
                        "00" => Value::Bool(false),
                        "01" => Value::Bool(true),
                        digits => digits.trim_end_matches('L').parse().map_or(Value::Opaque, Value::Int),
                    };
                    self.push(value);
                }
                // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, and texts of Python 2: SHORT_BINSTRING, BINSTRING
                0x8c | b'U' => self.text(1)?,
                b'X' | b'T' => self.text(4)?,
                0x8d => self.text(8)?,
                // NONE, NEWTRUE, NEWFALSE
                b'N' => self.push(Value::None),
                opcode @ (0x88 | 0x89) => self.push(Value::Bool(opcode == 0x88)),
                // BINFLOAT, FLOAT, SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Opaque);
                }
                b'F' => {
                    self.line()?;
                    self.push(Value::Opaque);
                }
                b'C' => self.bytes(1)?,
                b'B' => self.bytes(4)?,
                0x8e | 0x96 => self.bytes(8)?,
                // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE, EMPTY_LIST, APPTOO_SHORT, APPTOO_SHORTS
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
                // EMPTY_SET, ADDITEMS, FROZENSET
                0x8f => self.push(Value::Opaque),
                0x90 => drop(self.since_mark()?),
                0x91 => {
                    self.since_mark()?;
                    self.push(Value::Opaque);
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
                // GLOBAL, STACK_GLOBAL, BINPERSID
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(module, name));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (&Value::Text(module), &Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                        return Err("it names something by what is no text".into());
                    };
                    self.push(Value::Global(module, name));
                }
                b'Q' => self.persistent()?,
                // REDUCE, NEWOBJ, NEWOBJ_EX, INST, OBJ, BUILD
                b'R' | 0x81 => self.call()?,
                0x92 => {
                    self.pop()?; // Arguments by keyword.
                    self.call()?;
                }
                b'i' => {
                    let class = Value::Global(self.line()?, self.line()?);
                    let arguments = self.since_mark()?;
                    self.push(class);
                    self.push(Value::Sequence(arguments));
                    self.call()?;
                }
                b'o' => {
                    let mut arguments = self.since_mark()?.into_iter();
                    self.stack.push(arguments.next().ok_or(STACK)?);
                    self.push(Value::Sequence(arguments.collect()));
                    self.call()?;
                }
                b'b' => self.attributes()?,
                opcode => return Err(format!("the pickle instruction 0x{opcode:02x} is not understood")),
            }
        }
    }

    /// What `torch.save` keeps outside the pickle. `("storage", class, key, device, length)` becomes a storage; where it
    /// once lived, in a GPU say, is of no interest. Files from before PyTorch 1.6 add what the storage is a part of, as a
    /// rule `None`, and say `("module", class, …)` for a class whose source they keep.
    fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let value = match self.description(id).as_deref() {
            Some(
                &[
                    Value::Text("storage"),
                    Value::Global("torch", class),
                    Value::Text(key),
                    Value::Text(_),
                    Value::Int(len),
                    ref rest @ ..,
                ],
            ) if class.ends_with("Storage") && key.len() <= MAX_KEY && matches!(rest, [] | [Value::None]) => {
                usize::try_from(*len).ok().map(|len| Value::Storage(Storage { class, key, len }))
            }
            Some(&[Value::Text("module"), Value::Global(module, name), ..]) => Some(Value::Global(module, name)),
            _ => None,
        };
        self.push(value.unwrap_or(Value::Opaque));
        Ok(())
    }

    /// The few calls that a state dict consists of, of which none is a call here. The result of any other is not known.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Sequence(arguments) = &self.values[arguments] else {
            return Err("a call without a tuple of arguments".into());
        };
        let arguments: Vec<Id> = arguments.iter().take(4).copied().collect();
        let Value::Global(module, name) = self.values[function] else {
            self.push(Value::Opaque);
            return Ok(());
        };
        let value = match (module, name, arguments.as_slice()) {
            ("collections", "OrderedDict", []) => Some(Value::Dict(Vec::new())),
            ("collections", "OrderedDict", &[list]) => self.dict_of(list).map(Value::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2", &[storage, offset, shape, strides]) => {
                self.tensor(storage, offset, shape, strides).map(Value::Tensor)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", &[tensor, ..])
                if matches!(self.values[tensor], Value::Tensor(_)) =>
            {
                self.stack.push(tensor);
                return Ok(());
            }
            _ => None,
        };
        self.push(value.unwrap_or(Value::Object(module, name)));
        Ok(())
    }

    /// The pairs in a list, of which Python 2 makes an `OrderedDict`. The list is emptied: a file that names it again and
    /// again must not multiply it.
    fn dict_of(&mut self, list: Id) -> Option<Vec<(Id, Id)>> {
        let Value::Sequence(pairs) = &mut self.values[list] else { return None };
        let pairs = mem::take(pairs);
        let pair = |id: Id| match &self.values[id] {
            Value::Sequence(pair) => <[Id; 2]>::try_from(pair.as_slice()).ok().map(Into::into),
            _ => None,
        };
        pairs.into_iter().map(pair).collect()
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<Tensor<'a>> {
        let Value::Storage(storage) = &self.values[storage] else { return None };
        let number = |id: Id| match self.values[id] {
            Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        };
        let numbers = |id: Id| match &self.values[id] {
            Value::Sequence(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&id| number(id)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let (offset, shape, strides) = (number(offset)?, numbers(shape)?, numbers(strides)?);
        (shape.len() == strides.len()).then(|| Tensor { storage: storage.clone(), offset, shape, strides })
    }

    /// Sets an object's attributes. PyTorch gives a state dict one, `_metadata`, that nothing here needs.
    fn attributes(&mut self) -> Result<(), String> {
        self.pop()?;
        match &self.values[self.top()?] {
            Value::Dict(_) | Value::Object(..) | Value::Opaque => Ok(()),
            _ => Err("it sets the attributes of something that has none".into()),
        }
    }

    /// A tuple's items, if it has no more than what `torch.save` keeps outside the pickle is described by.
    fn description(&self, id: Id) -> Option<Vec<&Value<'a>>> {
        match &self.values[id] {
            Value::Sequence(items) if items.len() <= 6 => Some(items.iter().map(|&id| &self.values[id]).collect()),
            _ => None,
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::Sequence(list)) => list.extend(items),
            Some(Value::Object(..) | Value::Opaque) => {}
            _ => return Err("it appends to something else than a list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        match self.stack.last().map(|&id| &mut self.values[id]) {
            Some(Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks(2).map(|pair| (pair[0], pair[1])));
            }
            Some(Value::Object(..) | Value::Opaque) => {}
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
        let top = self.top()?;
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

    fn top(&self) -> Result<Id, String> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| STACK.into())
    }

    /// Below this height lie the values of an outer group.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    /// A little-endian integer.
    fn int(&mut self, width: usize, signed: bool) -> Result<(), String> {
        let bytes = self.take(width)?;
        let negative = signed && bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = if negative { [0xff; 16] } else { [0; 16] };
        let value = match wide.get_mut(..width) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i128::from_le_bytes(wide))
            }
            None => Value::Opaque,
        };
        self.push(value);
        Ok(())
    }

    /// An unsigned little-endian integer of at most four bytes that is part of an instruction.
    fn index(&mut self, width: usize) -> Result<u32, String> {
        let mut wide = [0; 4];
        wide[..width].copy_from_slice(self.take(width)?);
        Ok(u32::from_le_bytes(wide))
    }

    /// The length of what follows, in as many bytes.
    fn length(&mut self, width: usize) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| TOO_SHORT.into())
    }

    /// A text behind its length. One that is not UTF-8, as none is that matters, is not looked into.
    fn text(&mut self, width: usize) -> Result<(), String> {
        let len = self.length(width)?;
        let text = str::from_utf8(self.take(len)?);
        self.push(text.map_or(Value::Opaque, Value::Text));
        Ok(())
    }

    /// Bytes behind their length.
    fn bytes(&mut self, width: usize) -> Result<(), String> {
        let len = self.length(width)?;
        self.take(len)?;
        self.push(Value::Opaque);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.input.iter().position(|&byte| byte == b'\n').ok_or(TOO_SHORT)?;
        let line = str::from_utf8(self.take(len)?).map_err(|_| "a name in it is not UTF-8")?;
        self.take(1)?;
        Ok(line)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or(TOO_SHORT)?;
        self.input = rest;
        Ok(taken)
    }
}

const STACK: &str = "a pickle instruction finds too few values on the stack";
/// The error of a pickle that is not over where its bytes are.
pub(crate) const TOO_SHORT: &str = "the pickle ends too early";
