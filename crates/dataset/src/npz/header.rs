//! The header of an array file, `.npy`: type, order and shape of the elements that follow it, as the text of a Python
//! dictionary. NumPy always writes it in one way, so this reader knows that way only, and none of Python's syntax beside it.
//! Crates that read any such file bring a parser of Python literals that recurses as deep as the text says.

use std::io::Read;

/// The longest text that is read. That of a plain array takes 118 bytes.
const MAX_TEXT: usize = 1 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Kind and size in bytes, such as `i` and 8.
    pub(crate) element: (u8, usize),
    pub(crate) is_big_endian: bool,
    pub(crate) shape: Vec<u64>,
}

impl Header {
    /// Reads it from the begin of an array file, up to the elements. The error is a clause about the array.
    pub(crate) fn read(file: &mut impl Read) -> Result<Self, String> {
        let cut = |error: std::io::Error| format!("cannot be read: {error}");
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(cut)?;
        let length = match start {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0] => {
                let mut length = [0; 2];
                file.read_exact(&mut length).map_err(cut)?;
                usize::from(u16::from_le_bytes(length))
            }
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0] => {
                let mut length = [0; 4];
                file.read_exact(&mut length).map_err(cut)?;
                usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
            }
            _ => return Err("is not in a known version of NumPy's format".into()),
        };
        if length > MAX_TEXT {
            return Err(format!("has a header of {length} bytes; a plain array has one of at most {MAX_TEXT}"));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(cut)?;
        let text = str::from_utf8(&text).map_err(|_| "has a header that is not text")?;
        Self::parse(text)
    }

    /// NumPy's name of the type, such as `<i8`.
    pub(crate) fn type_name(&self) -> String {
        let (kind, size) = self.element;
        let order = match (self.is_big_endian, size) {
            (_, 1) => '|',
            (true, _) => '>',
            (false, _) => '<',
        };
        format!("{order}{}{size}", char::from(kind))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let unknown =
            || format!("has a header that is not that of a plain array: {:.80}", text.trim_end().escape_debug());
        let rest = text.strip_prefix("{'descr': ").ok_or_else(unknown)?;
        let (element, rest) = rest.split_once(", 'fortran_order': ").ok_or_else(unknown)?;
        let (order, rest) = rest.split_once(", 'shape': (").ok_or_else(unknown)?;
        let (shape, end) = rest.split_once(')').ok_or_else(unknown)?;
        if end.trim_end() != ", }" {
            return Err(unknown());
        }
        let element = element.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')).ok_or_else(unknown)?;
        if element.contains('O') {
            return Err(
                "has Python objects for elements, which could run any code; save it as an array of integers".into()
            );
        }
        if order != "False" {
            return Err("is in Fortran's order; save it after `numpy.ascontiguousarray`".into());
        }
        let (is_big_endian, element) = parse_element(element).ok_or_else(unknown)?;
        Ok(Self { element, is_big_endian, shape: parse_shape(shape).ok_or_else(unknown)? })
    }
}

/// Such as `<i8`: order, kind and size.
fn parse_element(name: &str) -> Option<(bool, (u8, usize))> {
    let ([order @ (b'<' | b'>' | b'|'), kind], size) = name.as_bytes().split_first_chunk()? else { return None };
    let size = str::from_utf8(size).ok()?.parse().ok()?;
    kind.is_ascii_alphabetic().then_some((*order == b'>', (*kind, size)))
}

/// Such as `1000, 28, 28` or `1000,`.
fn parse_shape(text: &str) -> Option<Vec<u64>> {
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() { Some(Vec::new()) } else { text.split(", ").map(|length| length.parse().ok()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(element: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': {element}, 'fortran_order': {order}, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn headers_as_numpy_writes_them_are_understood() {
        let header = |element, is_big_endian, shape: &[u64]| Header { element, is_big_endian, shape: shape.into() };
        for (element, shape, expect) in [
            ("'|u1'", "(3, 28, 28)", header((b'u', 1), false, &[3, 28, 28])),
            ("'<i8'", "(3,)", header((b'i', 8), false, &[3])),
            ("'>f4'", "()", header((b'f', 4), true, &[])),
        ] {
            let header = Header::parse(&text(element, "False", shape)).unwrap();
            assert_eq!(header, expect);
            assert_eq!(format!("'{}'", header.type_name()), element);
        }
    }

    #[test]
    fn the_second_and_third_version_have_a_longer_length() {
        let text = text("'|u1'", "False", "(0,)");
        for version in [2, 3] {
            let length = (text.len() as u32).to_le_bytes();
            let file = [&b"\x93NUMPY"[..], &[version, 0], &length, text.as_bytes()].concat();
            assert_eq!(Header::read(&mut &file[..]).unwrap().shape, [0]);
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let error = Header::parse(text).unwrap_err();
        assert!(error.starts_with(expect), "{error}");
    }

    #[test]
    fn whatever_else_is_refused() {
        check(&text("'|O'", "False", "(3,)"), "has Python objects for elements");
        check(&text("'|u1'", "True", "(3, 28, 28)"), "is in Fortran's order");
        let unknown = "has a header that is not that of a plain array";
        check(&text("[('a', '<i4')]", "False", "(3,)"), unknown);
        check(&text("'<'", "False", "(3,)"), unknown);
        check(&text("'|u1'", "False", "(-1,)"), unknown);
        check(&text("'|u1'", "False", "(99999999999999999999,)"), unknown);
        check(&text("'|u1'", "False", "((3,), )"), unknown);
        check("", unknown);
        let long = [b"\x93NUMPY\x02\0", &u32::MAX.to_le_bytes()[..]].concat();
        let error = Header::read(&mut &long[..]).unwrap_err();
        assert!(error.starts_with("has a header of 4294967295 bytes"), "{error}");
        let error = Header::read(&mut &b"\x93NUMPY\x04\0"[..]).unwrap_err();
        assert_eq!(error, "is not in a known version of NumPy's format");
    }
}
