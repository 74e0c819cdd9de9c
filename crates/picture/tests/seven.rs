//! The same picture of a 7 in many formats, as Pillow wrote them.

use std::{fs, path::Path};

use picture::{Error, Picture};

fn files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seven");
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect()
}

#[test]
fn the_same_picture_is_read_of_every_format() {
    let files = files();
    assert_eq!(files.len(), 19);
    let plain = &files.iter().find(|(name, _)| name == "plain.png").unwrap().1;
    let plain = picture::read(plain).unwrap();
    for (name, bytes) in &files {
        let picture = picture::read(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((picture.width(), picture.height()), (60, 80), "{name}");
        // A picture of black and white alone differs more.
        let most = if name == "bits.tiff" { 12.0 } else { 3.0 };
        assert!(difference(&plain, &picture) < most, "{name}: {}", difference(&plain, &picture));
    }
}

fn difference(one: &Picture, other: &Picture) -> f64 {
    let pixels = one.pixels().iter().zip(other.pixels());
    pixels.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / one.pixels().len() as f64
}

#[test]
fn a_file_cut_short_is_damaged() {
    for (name, bytes) in files() {
        for percent in [30, 60, 90] {
            let read = picture::read(&bytes[..bytes.len() * percent / 100]);
            assert!(matches!(read, Err(Error::Damaged(_))), "{percent} % of {name}: {read:?}");
        }
    }
}

/// A parser that trusts its bytes panics on one of these, or reserves more memory than there is.
#[test]
fn no_byte_that_is_changed_makes_a_reader_panic() {
    for (name, bytes) in files() {
        for at in (0..bytes.len().min(100)).chain((100..bytes.len()).step_by(97)) {
            for value in [0, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok(picture) = picture::read(&changed) {
                    assert!(picture.pixels().len() <= 64_000_000, "{name}, {value} at {at}");
                }
            }
        }
    }
}
