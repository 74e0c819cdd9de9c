//! The log of a run: what a watcher needs to see it as it is, in order, by ids that only grow. It is bounded: of what is
//! superseded by what comes later, only the newest is kept, and curves lose points where they are old.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
};

/// How much is kept of entries with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So many, the newest.
    Newest(usize),
    /// About so many: when there are more, every second of the older half goes, so that the first and the newest stay.
    Thinned(usize),
}

/// Entries in order, each under an id from 1.
#[derive(Debug)]
pub(crate) struct Log<K> {
    newest: u64,
    kept: BTreeMap<u64, Box<str>>,
    by_key: HashMap<K, VecDeque<u64>>,
}

impl<K> Default for Log<K> {
    fn default() -> Self {
        Self { newest: 0, kept: BTreeMap::new(), by_key: HashMap::new() }
    }
}

impl<K: Hash + Eq> Log<K> {
    /// The id of the newest entry; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Appends the entry that is made of its id.
    pub(crate) fn push(&mut self, key: K, keep: Keep, entry: impl FnOnce(u64) -> String) {
        self.newest += 1;
        self.kept.insert(self.newest, entry(self.newest).into_boxed_str());
        let ids = self.by_key.entry(key).or_default();
        ids.push_back(self.newest);
        match keep {
            Keep::Newest(most) if ids.len() > most => {
                if let Some(id) = ids.pop_front() {
                    self.kept.remove(&id);
                }
            }
            Keep::Thinned(most) if ids.len() > most => {
                let older = ids.len() / 2;
                let mut place = 0;
                ids.retain(|id| {
                    place += 1;
                    let goes = place <= older && place % 2 == 0;
                    if goes {
                        self.kept.remove(id);
                    }
                    !goes
                });
            }
            _ => {}
        }
    }

    /// What is kept after this id, in order, and the id of the last of it. There is more where that is not the newest: it ends
    /// with the entry that makes it `most` bytes.
    pub(crate) fn after(&self, id: u64, most: usize) -> (String, u64) {
        let (mut text, mut last) = (String::new(), self.newest);
        for (&id, entry) in self.kept.range(id + 1..) {
            text.push_str(entry);
            if text.len() >= most {
                last = id;
                break;
            }
        }
        (text, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of entries by their keys, each entry being its id.
    fn log(entries: impl IntoIterator<Item = (char, Keep)>) -> Log<char> {
        let mut log = Log::default();
        entries.into_iter().for_each(|(key, keep)| log.push(key, keep, |id| format!("{id} ")));
        log
    }

    #[test]
    fn the_newest_of_a_key_takes_the_place_of_those_before() {
        let (one, two) = (Keep::Newest(1), Keep::Newest(2));
        let log = log([('a', one), ('b', two), ('a', one), ('b', two), ('c', one), ('b', two), ('a', one)]);
        for (after, expect) in [(0, "4 5 6 7 "), (3, "4 5 6 7 "), (4, "5 6 7 "), (6, "7 "), (7, "")] {
            assert_eq!(log.after(after, 99), (expect.into(), 7), "{after}");
        }
    }

    #[test]
    fn what_does_not_fit_comes_next() {
        let log = log((0..5).map(|_| ('a', Keep::Newest(9))));
        assert_eq!(log.after(0, 1), ("1 ".into(), 1));
        assert_eq!(log.after(1, 3), ("2 3 ".into(), 3));
        assert_eq!(log.after(3, 3), ("4 5 ".into(), 5));
        assert_eq!(Log::<char>::default().after(0, 3), (String::new(), 0));
    }

    #[test]
    fn a_curve_keeps_its_ends_and_is_thinned_where_it_is_old() {
        for n in [1, 2, 7, 8, 9, 100, 10_000] {
            let log = log((0..n).map(|_| ('a', Keep::Thinned(8))));
            let text = log.after(0, usize::MAX).0;
            let ids: Vec<u64> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert!(ids.len() <= 8 && ids.is_sorted(), "{ids:?}");
            assert_eq!((ids[0], *ids.last().unwrap()), (1, n), "{ids:?}");
            assert!(n > 8 || ids.len() as u64 == n, "nothing goes before it must: {ids:?}");
            assert_eq!(log.kept.len(), ids.len());
        }
    }

    /// Whoever applies "the newest of each key" sees the same, whether entries were left out or not, and wherever he came in.
    #[test]
    fn who_comes_late_or_again_ends_with_the_newest_of_each_key() {
        let mut random = sample::random::Stream::keyed("page log", &[1]);
        let keeps = [Keep::Newest(1), Keep::Newest(3), Keep::Thinned(4)];
        let (mut log, mut all) = (Log::default(), Vec::new());
        let mut cursors: Vec<(u64, BTreeMap<usize, String>)> = Vec::new();
        for _ in 0..500 {
            let key = random.below(9) as usize;
            log.push(key, keeps[key % 3], |id| format!("{key}:{id} "));
            all.push(key);
            if random.below(20) == 0 {
                cursors.push((0, BTreeMap::new()));
            }
            for (cursor, seen) in &mut cursors {
                if random.below(4) > 0 {
                    continue;
                }
                let (text, last) = log.after(*cursor, 1 + random.below(40) as usize);
                for entry in text.split_whitespace() {
                    let (key, id) = entry.split_once(':').unwrap();
                    assert!(id.parse::<u64>().unwrap() > *cursor, "once");
                    seen.insert(key.parse().unwrap(), id.into());
                }
                *cursor = last;
            }
        }
        let newest: BTreeMap<usize, String> =
            all.iter().enumerate().map(|(i, &key)| (key, (i + 1).to_string())).collect();
        for (cursor, mut seen) in cursors {
            for entry in log.after(cursor, usize::MAX).0.split_whitespace() {
                let (key, id) = entry.split_once(':').unwrap();
                seen.insert(key.parse().unwrap(), id.into());
            }
            assert_eq!(seen, newest);
        }
    }
}
