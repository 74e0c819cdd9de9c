use std::io::Write;

use zip::{
    CompressionMethod,
    write::{SimpleFileOptions, ZipWriter},
};

use super::*;
use crate::{Split, load, write_idx};

/// Three samples with labels of type int64, by `numpy.savez_compressed`.
const SAVED: &[u8] = include_bytes!("../../tests/reference/saved.npz");

/// An array file of format 1.0.
fn npy(element: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
}

fn archive(entries: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Two black images and these labels.
fn file(labels: Vec<u8>) -> Vec<u8> {
    let images = npy("|u1", "(2, 28, 28)", &[0; 2 * PIXELS]);
    archive(&[("images.npy", images), ("labels.npy", labels)], CompressionMethod::Stored)
}

/// One image, packed, and its label.
fn one(images: Vec<u8>) -> Vec<u8> {
    let labels = npy("|u1", "(1,)", &[3]);
    archive(&[("images.npy", images), ("labels.npy", labels)], CompressionMethod::Deflated)
}

#[track_caller]
fn check(bytes: &[u8], expect: &str) {
    assert_eq!(read(bytes).unwrap_err().to_string(), expect);
}

#[test]
fn a_file_that_numpy_wrote_holds_its_samples() {
    let samples = read(SAVED).unwrap();
    assert_eq!(samples.labels, [7, 0, 9]);
    let expect = (0..3 * PIXELS).map(|i| (i * 7 % 256) as u8);
    assert!(samples.images.iter().copied().eq(expect));
}

#[test]
fn labels_may_be_any_integers() {
    for (element, content) in [
        ("|u1", &[3, 9][..]),
        ("|i1", &[3, 9]),
        ("<u2", &[3, 0, 9, 0]),
        (">i2", &[0, 3, 0, 9]),
        ("<i4", &[3, 0, 0, 0, 9, 0, 0, 0]),
        (">u8", &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]),
    ] {
        assert_eq!(read(&file(npy(element, "(2,)", content))).unwrap().labels, [3, 9], "{element}");
    }
}

#[test]
fn labels_that_are_none_are_refused() {
    let label = "has a label that is not 0 to 9, of sample 1";
    for (element, shape, content, expect) in [
        ("|u1", "(2,)", &[3, 10][..], label),
        ("|i1", "(2,)", &[3, 0xff], label),
        ("<i2", "(2,)", &[3, 0, 0, 1], label),
        (">i2", "(2,)", &[0, 3, 9, 0], label),
        ("<f4", "(2,)", &[0; 8], "has elements of type <f4, not integers"),
        ("<i3", "(2,)", &[0; 6], "has elements of type <i3, not integers"),
        ("|u1", "(2, 1)", &[3, 9], "has the shape [2, 1], not [n]"),
        ("|u1", "(3,)", &[3, 9, 1], "has 3 labels for 2 images"),
    ] {
        check(&file(npy(element, shape, content)), &format!("its array `labels` {expect}"));
    }
}

#[test]
fn images_of_another_shape_type_or_length_are_refused() {
    assert!(read(&one(npy("|u1", "(1, 28, 28)", &[0; PIXELS]))).is_ok());
    for (images, expect) in [
        (
            npy("|u1", "(1, 28, 27)", &[0; PIXELS]),
            "has the shape [1, 28, 27], not [n, 28, 28], [n, 1, 28, 28], [n, 28, 28, 1] or [n, 784]",
        ),
        (npy("<i4", "(1, 28, 28)", &[0; 4 * PIXELS]), "has elements of type <i4, not uint8, float32 or float64"),
        (npy("<f2", "(1, 28, 28)", &[0; 2 * PIXELS]), "has elements of type <f2, not uint8, float32 or float64"),
        (npy("|u1", "(1, 28, 28)", &[0; PIXELS + 1]), "is longer than its shape"),
        (npy("|u1", "(1, 28, 28)", &[0; PIXELS - 1]), "cannot be read: failed to fill whole buffer"),
        (npy("|u1", "(1000001, 28, 28)", &[]), "has 1000001 samples, more than the 1000000 that a file may have"),
        (
            npy("|O", "(1, 28, 28)", &[]),
            "has Python objects for elements, which could run any code; save it as an array of integers",
        ),
    ] {
        check(&one(images), &format!("its array `images` {expect}"));
    }
    check(
        &archive(&[("labels.npy", npy("|u1", "(1,)", &[3]))], CompressionMethod::Stored),
        "it has no array `images`; save it by `numpy.savez(file, images=images, labels=labels)`",
    );
}

#[test]
fn images_come_in_every_usual_shape_and_as_floats_that_are_whole_255ths() {
    let greys: Vec<u8> = (0..PIXELS).map(|pixel| (pixel % 256) as u8).collect();
    let each = |bytes: fn(u8) -> Vec<u8>| greys.iter().flat_map(|&grey| bytes(grey)).collect::<Vec<u8>>();
    for shape in ["(1, 28, 28)", "(1, 1, 28, 28)", "(1, 28, 28, 1)", "(1, 784)"] {
        for (element, content) in [
            ("|u1", greys.clone()),
            ("<f4", each(|grey| (f32::from(grey) / 255.0).to_le_bytes().into())),
            ("<f4", each(|grey| ((f64::from(grey) / 255.0) as f32).to_le_bytes().into())),
            (">f4", each(|grey| (f32::from(grey) / 255.0).to_be_bytes().into())),
            ("<f8", each(|grey| (f64::from(grey) / 255.0).to_le_bytes().into())),
            (">f8", each(|grey| (f64::from(grey) / 255.0).to_be_bytes().into())),
        ] {
            assert_eq!(read(&one(npy(element, shape, &content))).unwrap().images, greys, "{element} {shape}");
        }
    }
}

#[test]
fn other_floats_are_refused_with_the_value() {
    let float = |value: f32| npy("<f4", "(1, 784)", &[[0; 783 * 4].as_slice(), &value.to_le_bytes()].concat());
    let next = (1.0_f64 / 255.0).next_up();
    for (images, said) in [
        (float(0.3), "0.30000001192092896"),
        (float(-1.0), "-1"),
        (float(17.0), "17"),
        (float(f32::NAN), "NaN"),
        (float(f32::INFINITY), "inf"),
        (npy("<f8", "(1, 784)", &next.to_le_bytes().repeat(PIXELS)), &next.to_string()),
    ] {
        let expect = format!(
            "its array `images` has the value {said} in image 0, which is none of 0/255 to 255/255; save the images as \
             uint8, 0 to 255"
        );
        check(&one(images), &expect);
    }
}

/// A whole dataset: black images with these labels to train on, and one with label 5 to test with.
fn dataset(labels: &[u8]) -> Vec<u8> {
    let count = labels.len();
    let train = npy("|u1", &format!("({count}, 28, 28)"), &vec![0; count * PIXELS]);
    archive(
        &[
            ("x_train.npy", train),
            ("y_train.npy", npy("|u1", &format!("({count},)"), labels)),
            ("x_test.npy", npy("|u1", "(1, 28, 28)", &[9; PIXELS])),
            ("y_test.npy", npy("<i8", "(1,)", &[5, 0, 0, 0, 0, 0, 0, 0])),
        ],
        CompressionMethod::Deflated,
    )
}

#[test]
fn a_whole_dataset_is_the_same_as_in_four_files() {
    let root = tempfile::tempdir().unwrap();
    let (file, dir) = (root.path().join("digits.npz"), root.path().join("digits"));
    std::fs::write(&file, dataset(&[3, 9])).unwrap();
    write_idx(&dir, Split::Train, &[0; 2 * PIXELS], &[3, 9]).unwrap();
    write_idx(&dir, Split::Test, &[9; PIXELS], &[5]).unwrap();
    require_dataset(&file).unwrap();
    for split in [Split::Train, Split::Test] {
        let [from_file, from_dir] = [&file, &dir].map(|path| load(path, split).unwrap());
        assert_eq!((&*from_file.name, from_file.digest()), ("digits", from_dir.digest()));
        assert_eq!(from_file.samples, from_dir.samples);
    }
}

#[test]
fn a_file_that_is_no_dataset_is_refused_and_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("x.npz");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = require_dataset(&path).and_then(|()| load(&path, Split::Train).map(drop)).unwrap_err();
        assert_eq!(error.exit_code(), 65);
        error.to_string().strip_prefix(&format!("`{}` cannot be used", path.display())).unwrap().to_owned()
    };
    let chunk = message(SAVED);
    assert!(chunk.starts_with(": it has no array `x_train`; ") && chunk.ends_with("by `trainer import`"), "{chunk}");
    assert_eq!(message(&dataset(&[3, 10])), ": its array `y_train` has a label that is not 0 to 9, of sample 1");
    let idx = message(&[0, 0, 8, 3]);
    assert!(idx.ends_with("; name an .npz file, or the folder with the four IDX files"), "{idx}");
}

#[test]
fn a_file_that_was_cut_or_changed_is_refused() {
    (0..SAVED.len()).for_each(|at| assert!(read(&SAVED[..at]).is_err(), "{at}"));
    let mut bad = file(npy("|u1", "(2,)", &[3, 9]));
    let pixel = bad.windows(PIXELS).position(|window| window == [0; PIXELS]).unwrap() + 100;
    bad[pixel] = 1;
    check(&bad, "its array `images` cannot be read: Invalid checksum");
    assert!(read(b"").unwrap_err().to_string().starts_with("not a readable .npz file: "));
}
