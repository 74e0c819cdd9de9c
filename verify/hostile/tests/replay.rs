//! Runs all targets over the corpus, over the corpus changed at random, and over files that are too large to be kept.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use hostile::{TARGETS, Target};
use sample::random::Stream;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Nothing of at most a few kilobytes takes longer to read, on a busy machine and without optimisation.
const LIMIT: Duration = Duration::from_secs(2);

/// The limit on memory is for all threads together.
static ALONE: Mutex<()> = Mutex::new(());

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Whether a target takes these bytes for good, in time and within [`hostile::MEMORY`].
#[track_caller]
fn accepts(target: Target, bytes: &[u8]) -> bool {
    let started = Instant::now();
    let accepted = hostile::feed(target, bytes);
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    accepted
}

#[test]
fn what_is_valid_is_taken_and_what_is_hostile_is_refused() {
    let _alone = ALONE.lock().unwrap();
    for (name, target) in TARGETS {
        let mut valid = 0;
        for (path, bytes) in corpus(name) {
            let file = path.file_name().unwrap().to_str().unwrap();
            let accepted = accepts(target, &bytes);
            valid += usize::from(accepted);
            if file.starts_with("valid-") {
                assert!(accepted, "{name}/{file}; has a format changed? cargo run -p hostile --example seeds");
            } else if file.starts_with("hostile-") {
                assert!(!accepted, "{name}/{file}");
            }
        }
        assert!(valid > 0, "{name} has nothing that is valid to start from");
    }
}

/// `HOSTILE_INPUTS` is the number of inputs for each target, where more time is to be spent.
#[test]
fn whatever_is_changed_in_a_file_nothing_panics() {
    let _alone = ALONE.lock().unwrap();
    let inputs = std::env::var("HOSTILE_INPUTS").map_or(1000, |inputs| inputs.parse().unwrap());
    for (name, target) in TARGETS {
        let files = corpus(name);
        let mut random = Stream::keyed("tributary hostile bytes", &[name.len() as u64, name.as_bytes()[0].into()]);
        for _ in 0..inputs {
            let mut bytes = files[random.below(files.len() as u64) as usize].1.clone();
            for _ in 0..=random.below(4) {
                change(&mut bytes, &mut random);
            }
            accepts(target, &bytes);
        }
    }
}

fn change(bytes: &mut Vec<u8>, random: &mut Stream) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.below(256) as u8),
        2 => bytes.splice(at..at, [0xff; 8]).for_each(drop),
        _ if at == bytes.len() => {}
        3 => bytes[at] ^= 1 << random.below(8),
        _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
    }
}

/// An archive of files that start so and go on for as many pieces of zeros, of 64 KiB each.
fn bomb(files: &[(&str, &[u8], usize)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, start, pieces) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(start).unwrap();
        (0..*pieces).for_each(|_| zip.write_all(&[0; 1 << 16]).unwrap());
    }
    zip.finish().unwrap().into_inner()
}

/// A PyTorch file of some hundred kilobytes, of which one storage unpacks to 256 MiB.
fn pth_bomb() -> Vec<u8> {
    let saved = hostile::entries(include_bytes!("../../../crates/weights/tests/reference/expanded.pth"));
    let pieces = |name: &str| if name.ends_with("/data/0") { 1 << 12 } else { 0 };
    bomb(&saved.iter().map(|(name, content)| (&**name, &**content, pieces(name))).collect::<Vec<_>>())
}

/// An `.npz` file of some hundred kilobytes, of which the arrays, as floats of so many samples, go on for 256 MiB.
fn npz_bomb(arrays: [&str; 2], samples: u64) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples}, 28, 28), }}\n");
    let start = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
    bomb(&arrays.map(|name| (name, &*start, 1 << 12)))
}

#[test]
fn large_files_cost_no_more_than_their_size() {
    let _alone = ALONE.lock().unwrap();
    let packed = |start: &[u8], len: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(start).unwrap();
        (0..len >> 16).for_each(|_| encoder.write_all(&[0; 1 << 16]).unwrap());
        encoder.finish().unwrap()
    };
    let file = |metadata: &[u8]| [b"PAR1", metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat();
    assert!(!accepts(hostile::gzip, &packed(&[], 1 << 30)));
    for images in [1_u32, 70_000, 900_000, u32::MAX] {
        let header = [0x0803, images, 28, 28].map(u32::to_be_bytes).concat();
        assert!(!accepts(hostile::gzip, &packed(&header, 1 << 28)), "{images}");
    }
    assert!(!accepts(hostile::pth, &pth_bomb()));
    for arrays in [["images.npy", "labels.npy"], ["x_train.npy", "y_train.npy"]] {
        for samples in [1 << 16, 900_000, 1 << 60] {
            assert!(!accepts(hostile::npz, &npz_bomb(arrays, samples)), "{samples}");
        }
    }
    let list = [b"\x80\x02ccollections\nOrderedDict\nq\0](", &b"]".repeat(80_000)[..], b"e\x85q\x01"].concat();
    let nones = [b"\x80\x02", &vec![b'N'; (1 << 18) - 2][..]].concat();
    let refused: [(Target, Vec<u8>); 11] = [
        (hostile::gzip, packed(&[], 1).repeat(200_000)),
        (hostile::chunk, file(&vec![0x19; 1 << 20])),
        (hostile::chunk, file(&vec![0x15; 1 << 20])),
        (hostile::manifest, vec![b'['; 4 << 20]),
        (hostile::manifest, format!("{{\"streams\":[{}", "{},".repeat(1 << 20)).into()),
        (hostile::pickle, [b"\x80\x02", &b"]q\0h\0".repeat(50_000)[..]].concat()),
        (hostile::pickle, [b"\x80\x02}(", &b"K\x01}q\0"[..], &b"K\x01h\0".repeat(60_000), b"u."].concat()),
        (hostile::pickle, [&list[..], &b"h\0h\x01R".repeat(30_000), b"."].concat()),
        (hostile::pth, hostile::legacy(&nones)),
        (hostile::pickle, nones),
        (hostile::safetensors, vec![b'{'; 1 << 20]),
    ];
    for (number, (target, bytes)) in refused.iter().enumerate() {
        assert!(!accepts(*target, bytes), "file {number}");
    }
    for text in ["a = [", "\n", "[a.a]\n", "a=1\n", "\"", "a."] {
        let text = text.repeat((1 << 16) / text.len());
        accepts(hostile::config, text.as_bytes());
    }
}
