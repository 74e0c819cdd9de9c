use super::*;
use crate::{Mode, Store};

/// The pixels of a sample say its seq.
fn samples(seqs: Range<u64>) -> Samples {
    let image = |seq: u64| [seq as u8; PIXELS];
    Samples { labels: seqs.clone().map(|seq| (seq % 10) as u8).collect(), images: seqs.flat_map(image).collect() }
}

fn dataset() -> DatasetId {
    DatasetId { name: "tiny".into(), digest: "00".into() }
}

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    /// Streams of these samples, in chunks of at most 100.
    fn new(streams: &[(&str, Range<u64>)]) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Mode::Continue, 100).unwrap();
        for (name, seqs) in streams {
            store.open_stream(name, &dataset(), Extent::range(seqs.clone())).unwrap();
        }
        Place { dir, store }
    }

    /// A chunk of these samples.
    fn chunk(&mut self, stream: &str, seqs: Range<u64>) {
        self.store.append(stream, seqs.start, samples(seqs).as_slice()).unwrap();
        self.store.commit().unwrap();
    }

    fn follow(&self) -> Follower {
        Follower::open(self.dir.path(), 0).unwrap()
    }
}

#[test]
fn samples_are_durable_up_to_the_first_gap_and_read_by_seq() {
    let mut place = Place::new(&[("a", 0..20), ("b", 20..40)]);
    let mut follower = place.follow();
    assert!(!follower.advance(9).unwrap());
    assert_eq!((follower.durable(), follower.dataset()), (0, None));
    place.chunk("b", 20..30);
    assert!(follower.advance(9).unwrap());
    assert_eq!((follower.durable(), follower.beyond()), (0, Some(20)));
    place.chunk("a", 0..15);
    place.chunk("a", 15..20);
    assert!(follower.advance(1).unwrap());
    assert_eq!(follower.durable(), 15);
    assert!(follower.advance(9).unwrap());
    assert_eq!((follower.durable(), follower.dataset()), (30, Some(&dataset())));
    assert_eq!(follower.read(12..27).unwrap(), samples(12..27));
    assert_eq!(follower.chunks_of(&(16..21)).len(), 2);
    let streams: Vec<_> =
        follower.streams_of(&(16..21)).map(|stream| (stream.name, stream.first, stream.end)).collect();
    assert_eq!(streams, [("a".into(), 16, 20), ("b".into(), 20, 21)]);
    assert!(follower.age(&(0..30)) < Duration::from_secs(600));
    place.chunk("b", 30..40);
    place.store.complete(None, 0.5).unwrap();
    let news = [(); 3].map(|()| follower.advance(9).unwrap());
    assert_eq!(news, [true, true, false], "the chunk, the manifest, and nothing more");
    assert_eq!((follower.durable(), follower.manifest().unwrap().samples), (40, 40));
    assert_eq!(follower.read(0..40).unwrap(), samples(0..40));
}

#[test]
fn a_chunk_that_a_listing_lacks_is_waited_for() {
    let mut place = Place::new(&[("a", 0..30)]);
    (0..3).for_each(|i| place.chunk("a", i * 10..i * 10 + 10));
    let mut follower = place.follow();
    let name = follower.directory.list().unwrap().chunks[1].file_name();
    let [there, elsewhere] = [name.as_str(), ".elsewhere"].map(|name| place.dir.path().join(name));
    fs::rename(&there, &elsewhere).unwrap();
    assert!(follower.advance(9).unwrap() && !follower.advance(9).unwrap());
    assert_eq!(follower.durable(), 10);
    fs::rename(&elsewhere, &there).unwrap();
    assert!(follower.advance(9).unwrap());
    assert_eq!(follower.durable(), 30);
}

#[test]
fn a_fresh_start_of_a_directory_without_samples_takes_nothing_from_its_followers() {
    let place = Place::new(&[]);
    let _follower = place.follow();
    drop(place.store);
    Store::open(place.dir.path(), Mode::Fresh, 100).unwrap();
}

#[test]
fn a_directory_that_is_followed_is_not_emptied_and_one_that_was_is_noticed() {
    let mut place = Place::new(&[("a", 0..20)]);
    place.chunk("a", 0..10);
    let mut follower = place.follow();
    follower.advance(9).unwrap();
    drop(place.store);
    let fresh = |dir: &Path| Store::open(dir, Mode::Fresh, 100);
    assert!(matches!(fresh(place.dir.path()), Err(Error::Locked(_))));
    follower._reading = None; // As on a file system that knows no locks.
    fresh(place.dir.path()).unwrap();
    assert!(matches!(follower.advance(9), Err(Error::Replaced(_))));
}

#[test]
fn what_cannot_be_cut_into_slices_is_refused() {
    let mut place = Place::new(&[("a", 0..20), ("b", 15..40)]);
    place.chunk("a", 0..20);
    place.chunk("b", 15..30);
    let error = place.follow().advance(9).unwrap_err().to_string();
    assert!(error.contains("two streams hold sample 15"), "{error}");
    let error = Follower::open(place.dir.path(), 5).unwrap().advance(9).unwrap_err().to_string();
    assert!(error.contains("sample 0 is there, and the first is to be 5"), "{error}");
}
