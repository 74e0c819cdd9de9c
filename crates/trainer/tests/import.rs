//! The Python original's `.npz` chunks, imported.

mod support;

use std::fs;

use support::{Place, fail, succeed};

/// Three samples, with labels 7, 0 and 9, as `numpy.savez_compressed` writes them.
const SAVED: &[u8] = include_bytes!("../../dataset/tests/reference/saved.npz");

fn with_files(names: &[&str]) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("npz")).unwrap();
    names.iter().for_each(|name| fs::write(place.path("npz").join(name), SAVED).unwrap());
    place
}

#[test]
fn imported_samples_are_a_chunk_directory_that_is_trained_on() {
    let place = with_files(&["chunk_10.npz", "chunk_2.npz"]);
    fs::write(place.path("npz/notes.txt"), "not looked at").unwrap();
    fs::write(place.path("npz/._chunk_2.npz"), "what macOS leaves").unwrap();
    let import = ["import", "npz", "--dir", "chunks", "--samples-per-chunk", "4", "--dataset", "blobs"];
    let text = succeed(&mut place.command(&import));
    assert_eq!(text, "imported 6 samples from 2 files into `chunks`: 2 chunks\n");
    let (manifest, samples) = store::read(&place.path("chunks")).unwrap();
    assert_eq!(samples.labels, [7, 0, 9, 7, 0, 9]);
    assert_eq!(
        (samples.images[1], samples.images[2 * 784], samples.images.len()),
        (7, (2 * 784 * 7 % 256) as u8, 6 * 784)
    );
    assert_eq!((manifest.streams[0].first, manifest.streams[0].end, manifest.dataset.name.as_str()), (0, 6, "blobs"));
    succeed(&mut place.train("run", &[]));

    fail(&mut place.command(&import), 73, "chunk directory `chunks` is already complete; use --fresh");
    let text = succeed(&mut place.command(&[&import[..], &["--fresh"]].concat()));
    assert!(text.contains("6 samples"), "{text}");
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let place = with_files(&["a.npz", "b.npz"]);
    let import = ["import", "npz", "--dir", "chunks", "--samples-per-chunk", "4"];
    succeed(&mut place.command(&import));
    let whole = store::read(&place.path("chunks")).unwrap().1;
    let last = fs::read_dir(place.path("chunks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .max();
    fs::remove_file(place.path("chunks/_SUCCESS")).unwrap();
    fs::remove_file(last.unwrap()).unwrap();
    succeed(&mut place.command(&import));
    assert_eq!(store::read(&place.path("chunks")).unwrap().1, whole);
}

#[test]
fn a_file_that_is_no_chunk_is_named_and_nothing_is_written() {
    let place = with_files(&["chunk_1.npz"]);
    fail(&mut place.command(&["import", "absent"]), 74, "failed to list `absent`");
    fail(&mut place.command(&["import", "blobs"]), 65, "there are no .npz files in `blobs`");
    fs::write(place.path("npz/chunk_2.npz"), &SAVED[..SAVED.len() / 2]).unwrap();
    let line = "cannot import `npz/chunk_2.npz`: not a readable .npz file";
    fail(&mut place.command(&["import", "npz", "--dir", "chunks"]), 65, line);
    assert!(!place.path("chunks").exists());
}
