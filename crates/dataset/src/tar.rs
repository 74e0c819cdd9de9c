//! A tar archive is a row of entries: a header of 512 bytes (name, size in octal digits, kind), then the content, filled
//! up to a multiple of 512.

use std::io::{self, Read};

use crate::FILES;

/// The four files make up 55 MB; an archive that holds more than this is another one.
const MAX_UNPACKED_BYTES: u64 = 80 << 20;
const BLOCK: usize = 512;

/// The files of these positions in [`FILES`] in an archive, in whatever folder they lie there. The error is a clause about it.
pub(crate) fn unpack(archive: impl Read, wanted: &[usize]) -> Result<Vec<(usize, Vec<u8>)>, String> {
    let mut archive = archive.take(MAX_UNPACKED_BYTES);
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    let unreadable = |error| format!("is not a whole archive ({error})");
    while found.len() < wanted.len() {
        let mut header = [0; BLOCK];
        archive.read_exact(&mut header).map_err(unreadable)?;
        if header == [0; BLOCK] {
            break; // The end of the archive.
        }
        let Some(size) = octal(&header[124..136]) else {
            return Err(unreadable(io::ErrorKind::InvalidData.into()));
        };
        let padded = size.next_multiple_of(BLOCK as u64);
        let name = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
        let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let is_file = matches!(header[156], 0 | b'0');
        let file = wanted.iter().copied().find(|&file| is_file && FILES[file].as_bytes() == name);
        let mut bytes = Vec::new();
        let read = match file {
            Some(_) => archive.by_ref().take(padded).read_to_end(&mut bytes).map(|read| read as u64),
            None => io::copy(&mut archive.by_ref().take(padded), &mut io::sink()),
        };
        if read.map_err(unreadable)? < padded {
            return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(file) = file
            && found.iter().all(|(other, _)| *other != file)
        {
            bytes.truncate(size as usize);
            found.push((file, bytes));
        }
    }
    match wanted.iter().find(|file| found.iter().all(|(other, _)| other != *file)) {
        Some(&missing) => Err(format!("holds no `{}`", FILES[missing])),
        None => Ok(found),
    }
}

/// The number that a field of a header holds: octal digits, then spaces or zero bytes. Eleven digits cannot overflow.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let digit = |byte: &u8| matches!(byte, b'0'..=b'7').then(|| u64::from(byte - b'0'));
    digits.iter().try_fold(0, |number, byte| Some(number * 8 + digit(byte)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fake_mirror::raw_files, fake_npm::tar};

    #[test]
    fn wanted_files_are_found_in_any_folder_between_any_others() {
        let files = raw_files(1);
        let archive = tar(&[
            ("pax_global_header", b'g', b"52 comment=train-images-idx3-ubyte"),
            ("package/train-images-idx3-ubyte", b'5', b""),
            ("package/readme.md", b'0', &[7; 512]),
            ("package/data/t10k-labels-idx1-ubyte", b'0', &files[3]),
            ("package/data/train-images-idx3-ubyte.bak", b'0', b"other"),
            ("train-images-idx3-ubyte", 0, &files[0]),
            ("later/train-images-idx3-ubyte", b'0', b"second"),
        ]);
        let found = unpack(&*archive, &[0, 3]).unwrap();
        assert_eq!(found, [(3, files[3].clone()), (0, files[0].clone())]);
        let error = unpack(&*archive, &[0, 1, 3]).unwrap_err();
        assert_eq!(error, "holds no `train-labels-idx1-ubyte`");
    }

    #[track_caller]
    fn check_damage(archive: &[u8], expect: &str) {
        let error = unpack(archive, &[0]).unwrap_err();
        assert_eq!(error, format!("is not a whole archive ({expect})"));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = tar(&[("a/train-images-idx3-ubyte", b'0', &[1; 700])]);
        check_damage(&[], "failed to fill whole buffer");
        check_damage(&whole[..100], "failed to fill whole buffer");
        check_damage(&whole[..BLOCK + 700], "unexpected end of file");
        check_damage(&[7; 3 * BLOCK], "invalid data");
        let mut huge = whole.clone();
        huge[124..135].fill(b'7');
        check_damage(&huge, "unexpected end of file");
        // GNU tar writes sizes beyond octal digits in binary.
        huge[124] = 0x80;
        check_damage(&huge, "invalid data");
    }
}
