//! Files of weights, and what a checkpoint says beside them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{Cursor, Read, Write},
    sync::LazyLock,
};

use ::weights::SIMPLE_CNN;
use run_folder::{Checkpoint, Origin, ServerState, record::Columns};
use zip::{
    ZipArchive,
    write::{SimpleFileOptions, ZipWriter},
};

const MAX_HEADER: usize = 1 << 14;

/// A PyTorch file of a few kilobytes, whose tensors repeat a few numbers.
pub(crate) const SAVED: &[u8] = include_bytes!("../../../crates/weights/tests/reference/expanded.pth");

thread_local! {
    /// Room for a header, and the weights behind it, all zero; kept, because filling it takes longer than reading it.
    static FILE: RefCell<Vec<u8>> = RefCell::new(vec![0; 8 + MAX_HEADER + SIMPLE_CNN.bytes()]);
}

/// A safetensors file as it is, or, if it begins with a brace, the header of one that has all its weights.
/// Panics when weights and metadata that were understood do not come back from a file that we write of them.
pub fn safetensors(data: &[u8]) -> bool {
    if data.first() != Some(&b'{') {
        return SIMPLE_CNN.from_safetensors(data).is_ok();
    }
    let header = &data[..data.len().min(MAX_HEADER)];
    FILE.with_borrow_mut(|file| {
        let start = MAX_HEADER - header.len();
        file[start..start + 8].copy_from_slice(&(header.len() as u64).to_le_bytes());
        file[start + 8..][..header.len()].copy_from_slice(header);
        match SIMPLE_CNN.from_safetensors(&file[start..]) {
            Ok((_, metadata)) => {
                let again = SIMPLE_CNN.zeros().to_safetensors(&metadata);
                assert_eq!(read_metadata(&again), metadata);
                true
            }
            Err(_) => false,
        }
    })
}

fn read_metadata(file: &[u8]) -> BTreeMap<String, String> {
    SIMPLE_CNN.from_safetensors(file).expect("what we write, we read").1
}

/// What a checkpoint says beside its weights, as somebody says it who can seal what he likes: where it comes from, then,
/// after a zero, its rounds, then where its stream stands, then the sums of what it does not list.
/// Panics when what was understood does not come back from what we write of it.
pub fn checkpoint(data: &[u8]) -> bool {
    let texts = String::from_utf8_lossy(data);
    let keys = ["origin", "history", "position", "unlisted"].into_iter().zip(texts.splitn(4, '\0'));
    let metadata = std::iter::once(("format", "tributary checkpoint 1")).chain(keys);
    let metadata: BTreeMap<_, _> = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let Ok(checkpoint) = Checkpoint::decode(SIMPLE_CNN.zeros(), ServerState::default(), &metadata) else {
        return false;
    };
    let nothing = Origin { flags: vec![("seed".into(), "42".into())], data: String::new(), dataset: String::new() };
    let _ = nothing.difference(&checkpoint.origin);
    checkpoint.history.iter().for_each(|record| drop((record.line(Columns::default()), record.seconds())));
    let _ = (checkpoint.rounds(), checkpoint.sums().seconds());
    let again = Checkpoint::decode(SIMPLE_CNN.zeros(), ServerState::default(), &checkpoint.metadata())
        .expect("what we write, we read");
    // The weights take long.
    let of = |checkpoint: Checkpoint| (checkpoint.origin, checkpoint.history, checkpoint.unlisted, checkpoint.position);
    assert!(of(again) == of(checkpoint));
    true
}

/// A PyTorch file.
pub fn pth(data: &[u8]) -> bool {
    SIMPLE_CNN.from_pth(data).is_ok()
}

/// The pickle in a PyTorch file that is whole otherwise, of either kind.
/// Panics when the two kinds hold different weights.
pub fn pickle(data: &[u8]) -> bool {
    let archived = SIMPLE_CNN.from_pth(&archive(data));
    if let (Ok(archived), Ok(legacy)) = (&archived, SIMPLE_CNN.from_pth(&legacy(data))) {
        assert!(*archived == legacy);
    }
    archived.is_ok()
}

/// What `SAVED` would be in a file from before PyTorch 1.6, with another pickle.
pub fn legacy(pickle: &[u8]) -> Vec<u8> {
    const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\
                           \x80\x02}X\x0d\0\0\0little_endian\x88s.";
    /// The keys of the storages, in a pickle, and the storages.
    static STORAGES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let (mut keys, mut storages) = (b"\x80\x02](".to_vec(), Vec::new());
        for (name, content) in entries(SAVED) {
            let Some((_, key)) = name.split_once("/data/") else { continue };
            keys.extend([b"X", &(key.len() as u32).to_le_bytes()[..], key.as_bytes()].concat());
            storages.extend([&(content.len() as u64 / 4).to_le_bytes(), &content[..]].concat());
        }
        [&keys, &b"e."[..], &storages].concat()
    });
    [START, pickle, &STORAGES].concat()
}

pub(crate) fn archive(pickle: &[u8]) -> Vec<u8> {
    static ENTRIES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| entries(SAVED));
    let with = |(name, content): &'static (String, Vec<u8>)| {
        (name.as_str(), if name.ends_with("data.pkl") { pickle } else { content })
    };
    stored(ENTRIES.iter().map(with))
}

/// An archive of these files, as they are.
pub(crate) fn stored<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in files {
        zip.start_file(name, options).and_then(|()| Ok(zip.write_all(content)?)).expect("memory takes any file");
    }
    zip.finish().expect("memory takes any file").into_inner()
}

/// Name and content of all files in an archive of ours.
pub fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(archive)).expect("it is one of ours");
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).expect("it is one of ours");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("it is one of ours");
            (entry.name().expect("it is one of ours").into_owned(), content)
        })
        .collect()
}
