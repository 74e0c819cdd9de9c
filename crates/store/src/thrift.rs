//! The Thrift compact protocol, as far as the metadata of our Parquet files uses it: values in, nothing built from them.
//!
//! The `parquet` crate has a parser of its own, and it takes lengths on trust: seven bytes of metadata make it reserve
//! a hundred gigabytes, and eight times as many thousand keep it counting for hours. Here every value costs at least a
//! byte of input, and nesting has a limit, so hostile bytes buy neither memory nor time.

/// Deeper than any metadata of ours, which nests seven values.
const MAX_DEPTH: u8 = 12;

#[derive(Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Binary(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Struct<'a>),
}

/// Fields by number, in the order in which they stand.
#[derive(Debug, PartialEq)]
pub(crate) struct Struct<'a>(Vec<(i16, Value<'a>)>);

impl<'a> Struct<'a> {
    /// Takes a struct off the front of `input`; `None` if there is none, or one that metadata of ours does not have.
    pub(crate) fn read(input: &mut &'a [u8]) -> Option<Self> {
        read_struct(input, MAX_DEPTH)
    }

    pub(crate) fn int(&self, field: i16) -> Option<i64> {
        let Value::Int(number) = self.get(field)? else { return None };
        Some(*number)
    }

    pub(crate) fn size(&self, field: i16) -> Option<usize> {
        self.int(field)?.try_into().ok()
    }

    pub(crate) fn binary(&self, field: i16) -> Option<&'a [u8]> {
        let Value::Binary(bytes) = self.get(field)? else { return None };
        Some(bytes)
    }

    pub(crate) fn fields(&self, field: i16) -> Option<&Struct<'a>> {
        let Value::Struct(fields) = self.get(field)? else { return None };
        Some(fields)
    }

    pub(crate) fn structs(&self, field: i16) -> Option<Vec<&Struct<'a>>> {
        let Value::List(items) = self.get(field)? else { return None };
        let structs = items.iter().map(|item| match item {
            Value::Struct(fields) => Some(fields),
            _ => None,
        });
        structs.collect()
    }

    fn get(&self, field: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, value)| value)
    }
}

fn read_struct<'a>(input: &mut &'a [u8], depth: u8) -> Option<Struct<'a>> {
    let depth = depth.checked_sub(1)?;
    let mut fields = Vec::new();
    let mut number: i16 = 0;
    loop {
        let [head] = take(input, 1)? else { return None };
        let (step, kind) = (head >> 4, head & 0xf);
        if kind == 0 {
            return Some(Struct(fields));
        }
        number = match step {
            0 => zig_zag(input)?.try_into().ok()?,
            step => number.checked_add(step.into())?,
        };
        let value = match kind {
            1 => Value::Bool(true),
            2 => Value::Bool(false),
            kind => read_value(input, kind, depth)?,
        };
        fields.push((number, value));
    }
}

/// A value of a kind that stands behind its field's head; a flag stands in the head itself.
fn read_value<'a>(input: &mut &'a [u8], kind: u8, depth: u8) -> Option<Value<'a>> {
    Some(match kind {
        3 => Value::Int((take(input, 1)?[0] as i8).into()),
        4..=6 => Value::Int(zig_zag(input)?),
        8 => {
            let len = varint(input)?.try_into().ok()?;
            Value::Binary(take(input, len)?)
        }
        9 => read_list(input, depth)?,
        12 => Value::Struct(read_struct(input, depth)?),
        _ => return None,
    })
}

fn read_list<'a>(input: &mut &'a [u8], depth: u8) -> Option<Value<'a>> {
    let depth = depth.checked_sub(1)?;
    let head = take(input, 1)?[0];
    let len = match head >> 4 {
        15 => varint(input)?,
        len => len.into(),
    };
    // Nothing is reserved for the length: a list that is longer than the input ends with it.
    (0..len).map(|_| read_value(input, head & 0xf, depth)).collect::<Option<_>>().map(Value::List)
}

fn zig_zag(input: &mut &[u8]) -> Option<i64> {
    let number = varint(input)?;
    Some((number >> 1) as i64 ^ -((number & 1) as i64))
}

/// Seven bits a byte, the lowest first, of at most 64.
fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = u64::from(take(input, 1)?[0]);
        number |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: Option<Vec<(i16, Value<'_>)>>) {
        assert_eq!(Struct::read(&mut &*bytes), expect.map(Struct));
    }

    #[test]
    fn fields_have_these_bytes() {
        // Field 1: -1; field 3: true; field 300, its number written out: "ab"; field 301: [1, 2]; field 302: {}.
        let bytes = [0x15, 0x01, 0x21, 0x08, 0xd8, 0x04, 0x02, b'a', b'b', 0x19, 0x25, 0x02, 0x04, 0x1c, 0x00, 0x00];
        let expect = vec![
            (1, Value::Int(-1)),
            (3, Value::Bool(true)),
            (300, Value::Binary(b"ab")),
            (301, Value::List(vec![Value::Int(1), Value::Int(2)])),
            (302, Value::Struct(Struct(Vec::new()))),
        ];
        check(&bytes, Some(expect));
        for length in 0..bytes.len() {
            check(&bytes[..length], None);
        }
    }

    #[test]
    fn a_length_beyond_the_input_reserves_nothing_and_ends_with_the_input() {
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for (field, element) in [(0x18, None), (0x19, Some(0xfc)), (0x19, Some(0xf5))] {
            let bytes = [vec![field], element.into_iter().collect(), max.to_vec()].concat();
            check(&bytes, None);
        }
        // A list of flags would cost nothing an item; metadata of ours has none.
        check(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00], None);
    }

    #[test]
    fn nesting_and_numbers_have_limits() {
        check(&[0x1c; 100_000], None);
        check(&[0x19; 100_000], None);
        check(&[[0x16].as_slice(), &[0x80; 100]].concat(), None);
    }
}
