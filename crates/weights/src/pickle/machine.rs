//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::{Id, Pickle, STACK, Value, input::Input};

pub(super) struct Machine<'a> {
    input: Input<'a>,
    pub(super) values: Vec<Value<'a>>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack at which a group of values began.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let input = Input(input);
        Machine { input, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    pub(super) fn run(mut self) -> Result<(Pickle<'a>, &'a [u8]), String> {
        loop {
            match self.input.byte()? {
                b'.' => {
                    let root = self.pop()?;
                    return Ok((Pickle { values: self.values, root }, self.input.0));
                }
                // PROTO, FRAME
                0x80 => match self.input.byte()? {
                    2..=5 => {}
                    version => return Err(format!("pickle protocol {version} instead of 2 to 5")),
                },
                0x95 => drop(self.input.take(8)?),
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
                    self.memo.insert(self.memo.len(), top);
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                // BININT1, BININT2, BININT, LONG1, LONG4, and the two of older protocols: INT, LONG
                b'K' => self.int(1, false)?,
                b'M' => self.int(2, false)?,
                b'J' => self.int(4, true)?,
                opcode @ (0x8a | 0x8b) => {
                    let len = self.input.number(if opcode == 0x8a { 1 } else { 4 })?;
                    self.int(len, true)?;
                }
                b'I' | b'L' => {
                    let value = match self.input.line()? {
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
                b'G' => self.skip(8)?,
                b'F' => {
                    self.input.line()?;
                    self.push(Value::Opaque);
                }
                b'C' => self.bytes(1)?,
                b'B' => self.bytes(4)?,
                0x8e | 0x96 => self.bytes(8)?,
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
                    let (module, name) = (self.input.line()?, self.input.line()?);
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
                    let class = Value::Global(self.input.line()?, self.input.line()?);
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
        let index = self.input.number(width)?;
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Result<(), String> {
        let index = self.input.number(width)?;
        let id = *self.memo.get(&index).ok_or_else(|| format!("it recalls value {index}, which it never stored"))?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    pub(super) fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() > self.floor() { self.stack.pop().ok_or_else(|| STACK.into()) } else { Err(STACK.into()) }
    }

    pub(super) fn top(&self) -> Result<Id, String> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| STACK.into())
    }

    /// Below this height lie the values of an outer group.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn int(&mut self, width: usize, signed: bool) -> Result<(), String> {
        let bytes = self.input.take(width)?;
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

    /// A text behind its length. One that is not UTF-8, as none is that matters, is not looked into.
    fn text(&mut self, width: usize) -> Result<(), String> {
        let len = self.input.number(width)?;
        let text = str::from_utf8(self.input.take(len)?);
        self.push(text.map_or(Value::Opaque, Value::Text));
        Ok(())
    }

    fn bytes(&mut self, width: usize) -> Result<(), String> {
        let len = self.input.number(width)?;
        self.skip(len)
    }

    fn skip(&mut self, len: usize) -> Result<(), String> {
        self.input.take(len)?;
        self.push(Value::Opaque);
        Ok(())
    }
}
