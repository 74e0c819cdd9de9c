//! The chunk directory as its users see it: written, left unfinished, gone on with, damaged, read.

use std::{fs, path::Path, sync::Arc};

use sample::{Extent, PIXELS, SampleSlice, Samples};
use store::{DatasetId, Disk, Durable, Error, Manifest, Mode, Rows, Store, StreamEntry, hold, read, read_manifest};
use tempfile::TempDir;

const PER_CHUNK: usize = 4;

fn dataset() -> DatasetId {
    DatasetId { name: "tiny".into(), digest: "00ff".into() }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, Mode::Continue, PER_CHUNK).unwrap()
}

/// An unfinished directory with the first samples of stream `a`.
fn begun(dir: &Path, count: u64, end: u64) -> Store {
    let mut store = open(dir);
    store.open_stream("a", &dataset(), Extent::range(0..end)).unwrap();
    append(&mut store, "a", 0, count);
    store
}

fn label(seq: u64) -> u8 {
    (seq % 10) as u8
}

fn samples(first: u64, count: u64) -> Samples {
    let seqs = first..first + count;
    Samples { labels: seqs.clone().map(label).collect(), images: seqs.flat_map(|seq| [seq as u8; PIXELS]).collect() }
}

fn append(store: &mut Store, stream: &str, first: u64, count: u64) -> Vec<Durable> {
    store.append(stream, first, samples(first, count).as_slice()).unwrap();
    let mut durable = Vec::new();
    while store.has_full_chunk() {
        durable.extend(store.commit().unwrap());
    }
    durable
}

/// A complete directory: stream `a` with samples 0..6, stream `b` with 6..9, in three chunks.
fn complete(dir: &Path) {
    let mut store = begun(dir, 3, 6);
    store.open_stream("b", &dataset(), Extent::range(6..9)).unwrap();
    append(&mut store, "b", 6, 3);
    append(&mut store, "a", 3, 3);
    store.commit().unwrap();
    store.complete(None, 1.5).unwrap();
}

fn chunk_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    files
}

/// Exactly these samples, whatever their order.
#[track_caller]
fn assert_holds(rows: &Rows, expect: impl IntoIterator<Item = u64>) {
    let mut seqs = rows.seqs.clone();
    seqs.sort_unstable();
    assert_eq!(seqs, expect.into_iter().collect::<Vec<_>>());
    for (&seq, sample) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        assert_eq!(sample, (label(seq), &[seq as u8; PIXELS][..]));
    }
}

#[test]
fn what_is_written_is_read_with_nothing_lost_in_the_short_last_chunk() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    let (manifest, rows) = read(dir.path()).unwrap();
    assert_eq!((manifest.samples, manifest.chunks.len(), manifest.seconds), (9, 3, 1.5));
    assert_eq!(rows.streams, [0, 0, 0, 1, 1, 1, 0, 0, 0]);
    assert_holds(&rows, 0..9);
}

#[test]
fn samples_are_durable_when_their_chunk_is_and_not_before() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.open_stream("a", &dataset(), Extent::range(0..20)).unwrap(), 0);
    assert_eq!(append(&mut store, "a", 0, 3), []);
    let durable = |position| Durable { stream: "a".into(), position };
    assert_eq!(append(&mut store, "a", 3, 6), [durable(4), durable(8)]);
    assert_eq!(store.open_stream("a", &dataset(), Extent::range(0..20)).unwrap(), 9, "buffered samples are accepted");
    assert_eq!(chunk_files(dir.path()).len(), 2);
    assert_eq!(store.commit().unwrap(), [durable(9)]);
    assert_eq!(store.commit().unwrap(), []);
}

#[test]
fn an_unfinished_directory_is_gone_on_with_at_the_durable_position_of_each_stream() {
    let dir = TempDir::new().unwrap();
    let mut store = begun(dir.path(), 3, 6);
    store.open_stream("b", &dataset(), Extent::range(6..9)).unwrap();
    append(&mut store, "b", 6, 2);
    drop(store); // Four samples are in a chunk; the fifth, 7 of `b`, was never acknowledged.
    fs::write(dir.path().join(".tmp-chunk-00000001"), b"half a chunk").unwrap();

    let mut seen = Vec::new();
    let mut store = Store::open_on(Arc::new(Disk), dir.path(), Mode::Continue, PER_CHUNK, |replay| {
        seen.push((replay.stream.to_owned(), replay.samples.labels.to_vec()));
    })
    .unwrap();
    assert_eq!(seen, [("a".to_owned(), vec![0, 1, 2]), ("b".to_owned(), vec![6])]);
    assert!(!dir.path().join(".tmp-chunk-00000001").exists());
    assert_eq!(store.open_stream("a", &dataset(), Extent::range(0..6)).unwrap(), 3);
    assert_eq!(store.open_stream("b", &dataset(), Extent::range(6..9)).unwrap(), 7);
    append(&mut store, "b", 7, 2);
    append(&mut store, "a", 3, 3);
    store.commit().unwrap();
    store.complete(None, 0.0).unwrap();
    assert_holds(&read(dir.path()).unwrap().1, 0..9);
}

#[test]
fn samples_that_do_not_continue_their_stream_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut store = begun(dir.path(), 0, 6);
    for (first, count) in [(1, 1), (0, 7)] {
        let appended = store.append("a", first, samples(first, count).as_slice());
        assert!(matches!(appended, Err(Error::Stream { .. })));
    }
    let cut = SampleSlice { labels: &[1], images: &[0; 783] };
    assert!(matches!(store.append("a", 0, cut), Err(Error::Stream { .. })));
    let error = store.open_stream("a", &dataset(), Extent::range(0..7)).unwrap_err().to_string();
    assert_eq!(error, "stream `a`: it has samples 0..6, not 0..7; use --fresh to start over");
}

#[test]
fn a_directory_is_complete_only_when_every_stream_is_durable_to_its_end() {
    let dir = TempDir::new().unwrap();
    let mut store = begun(dir.path(), 6, 6);
    assert_eq!(store.complete(None, 0.0).unwrap_err().to_string(), "stream `a`: it is durable to 4 of 6");
    assert_eq!(read_manifest(dir.path()).unwrap(), None);
    assert!(matches!(read(dir.path()), Err(Error::Incomplete(_))));
}

#[test]
fn a_locked_complete_or_foreign_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert!(matches!(Store::open(dir.path(), Mode::Fresh, PER_CHUNK), Err(Error::Locked(_))));
    drop(store);
    complete(dir.path());
    assert!(matches!(Store::open(dir.path(), Mode::Continue, PER_CHUNK), Err(Error::Complete(_))));

    let foreign = TempDir::new().unwrap();
    fs::write(foreign.path().join("thesis.txt"), "years of work").unwrap();
    for mode in [Mode::Continue, Mode::Fresh] {
        assert!(matches!(Store::open(foreign.path(), mode, PER_CHUNK), Err(Error::Foreign(_))));
    }
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1, "nothing was added or removed");
}

#[test]
fn a_directory_is_not_emptied_while_it_is_read() {
    let dir = TempDir::new().unwrap();
    assert!(hold(dir.path()).unwrap().is_none(), "it is not complete");
    complete(dir.path());
    let (first, second) = (hold(dir.path()).unwrap().unwrap(), hold(dir.path()).unwrap().unwrap());
    drop(first);
    assert!(matches!(Store::open(dir.path(), Mode::Fresh, PER_CHUNK), Err(Error::Locked(_))));
    assert_eq!(read(dir.path()).unwrap().0, second.manifest);
    drop(second);
    let store = Store::open(dir.path(), Mode::Fresh, PER_CHUNK).unwrap();
    assert!(chunk_files(dir.path()).is_empty());
    drop(store);
}

#[test]
fn a_complete_directory_is_there_to_be_read_though_its_writer_lives_on() {
    let dir = TempDir::new().unwrap();
    let mut store = begun(dir.path(), 3, 3);
    store.commit().unwrap();
    store.complete(Some("1f"), 0.0).unwrap();
    assert_eq!(hold(dir.path()).unwrap().unwrap().manifest.run.as_deref(), Some("1f"));
    drop(store);
}

#[test]
fn samples_of_another_dataset_are_refused() {
    let dir = TempDir::new().unwrap();
    drop(begun(dir.path(), 4, 4));
    let mut store = open(dir.path());
    let other = DatasetId { name: "other".into(), digest: "01".into() };
    let error = store.open_stream("b", &other, Extent::range(0..4)).unwrap_err().to_string();
    assert!(error.contains("holds samples of dataset `tiny` (00ff), not of `other` (01); use --fresh"), "{error}");
}

#[test]
fn fresh_removes_an_earlier_run_and_keeps_hidden_files_of_others() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    fs::write(dir.path().join(".gitkeep"), "").unwrap();
    let store = Store::open(dir.path(), Mode::Fresh, PER_CHUNK).unwrap();
    assert_eq!(store.samples(), 0);
    assert!(chunk_files(dir.path()).is_empty() && dir.path().join(".gitkeep").exists());
    assert_eq!(read_manifest(dir.path()).unwrap(), None);
}

#[test]
fn a_changed_cut_renamed_or_missing_chunk_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    let victim = chunk_files(dir.path())[1].clone();
    let name = victim.file_name().unwrap().to_str().unwrap();
    let good = fs::read(&victim).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&victim, bytes).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.exit_code(), 65);
        assert!(error.to_string().contains(name), "{error}");
    };
    for bit in (0..good.len() * 8).step_by(97) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        damaged(&bad);
    }
    for length in (0..good.len()).step_by(101) {
        damaged(&good[..length]);
    }
    fs::write(&victim, &good).unwrap();
    assert!(read(dir.path()).is_ok());

    let elsewhere = dir.path().join("renamed.parquet");
    fs::rename(&victim, &elsewhere).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("`renamed.parquet` may be it"), "{error}");
    fs::remove_file(&elsewhere).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("it is missing"), "{error}");
}

#[test]
fn a_chunk_that_the_manifest_does_not_name_is_an_error() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    let first = chunk_files(dir.path())[0].clone();
    let name = first.file_name().unwrap().to_str().unwrap().replace("00000000", "00000007");
    fs::copy(&first, dir.path().join(&name)).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("does not name it"), "{error}");
}

#[test]
fn recovery_refuses_a_gap_and_a_damaged_chunk() {
    let dir = TempDir::new().unwrap();
    complete(dir.path());
    fs::remove_file(dir.path().join("_SUCCESS")).unwrap();
    let files = chunk_files(dir.path());
    let good = fs::read(&files[2]).unwrap();
    fs::write(&files[2], &good[1..]).unwrap();
    let error = Store::open(dir.path(), Mode::Continue, PER_CHUNK).unwrap_err().to_string();
    assert!(error.contains("do not match the digest"), "{error}");
    fs::write(&files[2], &good).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let error = Store::open(dir.path(), Mode::Continue, PER_CHUNK).unwrap_err().to_string();
    assert!(error.contains("chunk 1, which comes before it, is missing"), "{error}");
}

#[test]
fn a_directory_of_the_first_format_is_read_as_ever() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-1");
    let (manifest, rows) = read(&dir).unwrap();
    assert_eq!((manifest.format, manifest.dataset.name.as_str()), (1, "tiny"));
    let streams = [StreamEntry::new("a", Extent::range(3..4)), StreamEntry::new("b", Extent::range(4..5))];
    assert_eq!(manifest.streams, streams);
    let samples = Samples { labels: vec![3, 4], images: vec![0x55; 2 * PIXELS] };
    assert_eq!(rows, Rows { streams: vec![0, 1], seqs: vec![3, 4], samples });
}

/// A chunk file without the version of the program, which it names with its length, and the length of what that is in.
fn of_any_version(mut chunk: Vec<u8>, version: &str) -> Vec<u8> {
    let author = format!("tributary {version}").into_bytes();
    let at = chunk.windows(author.len()).rposition(|text| text == author).unwrap();
    chunk.truncate(chunk.len() - 8);
    chunk.drain(at - 1..at + author.len());
    chunk
}

#[test]
fn what_the_first_format_can_say_is_written_in_it_byte_for_byte() {
    let ever = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-1");
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path());
    let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
    for (name, seq) in [("a", 3), ("b", 4)] {
        store.open_stream(name, &dataset, Extent::range(seq..seq + 1)).unwrap();
        store.append(name, seq, SampleSlice { labels: &[seq as u8], images: &[0x55; PIXELS] }).unwrap();
    }
    store.commit().unwrap();
    let Manifest { dataset, run, seconds, streams, .. } = store.complete(None, 0.5).unwrap();

    let [chunk, chunk_then] = [dir.path(), &ever].map(|dir| fs::read(&chunk_files(dir)[0]).unwrap());
    assert!(of_any_version(chunk, env!("CARGO_PKG_VERSION")) == of_any_version(chunk_then, "0.1.0"));
    // Its chunk has another name in another version.
    let then = read_manifest(&ever).unwrap();
    let manifest = Manifest::new(dataset, run, seconds, streams, then.unwrap().chunks);
    assert_eq!(manifest.encode(), fs::read(ever.join("_SUCCESS")).unwrap());
}

#[test]
fn streams_that_deal_samples_out_are_read_with_the_seqs_that_they_mean() {
    let dir = TempDir::new().unwrap();
    let extents = [0, 1].map(|index| Extent::share(0..11, 3, index, 2));
    let mut positions = extents.map(|extent| extent.first);
    for _ in 0..6 {
        // Opened anew each time, so that what is in chunks is found again.
        let mut store = open(dir.path());
        for (name, (extent, position)) in ["a", "b"].iter().zip(extents.iter().zip(&mut positions)) {
            *position = store.open_stream(name, &dataset(), *extent).unwrap();
            let end = extent.end.unwrap().min(*position + 2);
            for (seq, count) in extent.pieces(*position..end) {
                store.append(name, *position, samples(seq, count).as_slice()).unwrap();
                *position += count;
            }
        }
        store.commit().unwrap();
    }
    open(dir.path()).complete(None, 0.0).unwrap();
    let (manifest, rows) = read(dir.path()).unwrap();
    assert_eq!((manifest.format, manifest.streams[1].extent()), (2, extents[1]));
    assert_holds(&rows, 0..11);
}

#[test]
fn a_stream_without_an_end_ends_where_it_stands_when_the_directory_is_completed() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.open_stream("a", &dataset(), Extent::endless(2)).unwrap(), 2);
    append(&mut store, "a", 2, 5);
    drop(store); // The fifth was in memory only.
    let mut store = open(dir.path());
    assert_eq!(store.streams(), [StreamEntry { end: 6, ..StreamEntry::new("a", Extent::endless(2)) }]);
    let error = store.open_stream("a", &dataset(), Extent::range(2..6)).unwrap_err().to_string();
    assert_eq!(error, "stream `a`: it has samples 2.., not 2..6; use --fresh to start over");
    append(&mut store, "a", 6, 3);
    assert!(store.complete(None, 0.0).is_err(), "three samples wait");
    store.commit().unwrap();
    let manifest = store.complete(None, 0.0).unwrap();
    assert!(manifest.streams[0].open && manifest.streams[0].extent() == Extent::range(2..9));
    assert_holds(&read(dir.path()).unwrap().1, 2..9);
}
