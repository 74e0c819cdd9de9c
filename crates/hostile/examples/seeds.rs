//! Writes `corpus/<target>/valid-…` and `hostile-…` anew, with the project's own writers. What fuzzers found, `crash-…`,
//! it leaves alone.
//!
//! ```text
//! cargo run -p hostile --example seeds
//! ```

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Write},
    path::Path,
};

use checkpoint::{Checkpoint, Origin, record::Record};
use flate2::{Compression, write::GzEncoder};
use hostile::put_frame;
use proto::{
    Batch, ErrorCode, HEADER_BYTES, IMAGE_BYTES, Message,
    message::{End, Hello, Open, Proof, Welcome},
};
use store::{DatasetId, Mode, Store};
use weights::StateDict;
use zip::{
    CompressionMethod,
    write::{SimpleFileOptions, ZipWriter},
};

const SAVED: &[u8] = include_bytes!("../../weights/tests/reference/expanded.pth");
const CHECKPOINT: &[u8] = include_bytes!("../../weights/tests/reference/checkpoint.pth");

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in [
        ("frame", frames()),
        ("handshake", handshakes()),
        ("client", clients()),
        ("server", servers()),
        ("chunk", chunks()),
        ("manifest", manifests()),
        ("safetensors", safetensors()),
        ("checkpoint", checkpoints()),
        ("pth", pth()),
        ("pickle", pickles()),
        ("images", images()),
        ("labels", labels()),
        ("gzip", gzip()),
        ("npz", npz()),
        ("npy", npy()),
        ("event", events()),
        ("config", configs()),
    ] {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir).unwrap();
        for (name, bytes) in seeds {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn open() -> Open {
    Open { stream: "s-0".into(), dataset: "mnist".into(), dataset_digest: [7; 32], first: 10, end: 20 }
}

fn frames() -> Seeds {
    let messages = [
        Message::Hello(Hello::OURS),
        Message::Challenge([1; 32]),
        Message::Proof(Proof { nonce: [2; 32], mac: [3; 32] }),
        Message::Counterproof([4; 32]),
        Message::Open(open()),
        Message::Welcome(Welcome { next: 12, durable: 11, window: 4 }),
        Message::Ack(15),
        Message::End(End { count: 10, digest: [9; 32] }),
        Message::EndAck,
        Message::Ping(1),
        Message::Pong(1),
        Message::pause("the disk is full"),
        Message::Resume,
        Message::error(ErrorCode::Busy, "later"),
        Message::refused(),
    ];
    let all: Vec<u8> = messages.iter().flat_map(Message::frame).collect();
    let batch = Batch::frame(12, &[3], &[0x55; IMAGE_BYTES]);
    // The first byte leaves the checksums as they are, or puts them right.
    let sealed = |kind, body: &[u8]| {
        let mut stream = vec![1, 0];
        put_frame(&mut stream, kind, body);
        stream
    };
    vec![
        ("valid-messages", [&[1, 1], &all[..]].concat()),
        ("valid-batch", [&[1, 0], &batch[..]].concat()),
        ("hostile-longest", [&[1, 0, 0xff, 0xff, 0xff, 0xff, 4][..], &[0; 7]].concat()),
        ("hostile-over-the-cap", vec![1, 1, 0, 0, 0x10, 1, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("hostile-checksum", [&[1, 0], &batch[..8], &[0; 4], &batch[HEADER_BYTES..]].concat()),
        ("hostile-long-name", sealed(2, &[0xff; 8])),
        ("hostile-many-samples", sealed(4, &[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])),
        ("hostile-no-samples", sealed(4, &[0; 12])),
        ("hostile-label", sealed(4, &[&[0; 11][..], &[1, 10], &[0; IMAGE_BYTES]].concat())),
        ("hostile-escape", sealed(11, b"\0\0\0\x08\0\0\0\0\0\0\0\x05\x1b[31m")),
        ("hostile-code", sealed(11, b"\0\0\0\x63\0\0\0\0\0\0\0\0")),
    ]
}

fn handshakes() -> Seeds {
    // The first byte says who is the stranger: a sender, who says two things, or a receiver, who says three.
    vec![
        ("valid-sender", vec![0, 0x80, 0x81]),
        ("valid-receiver", vec![1, 0x81, 0x82, 0x80]),
        ("hostile-other-proof", vec![0, 0x80, 0xc1, 5]),
        ("hostile-second-chance", vec![0, 0x80, 0xc1, 5, 0x81, 0x80, 0x81]),
        ("hostile-no-greeting", vec![0, 0x81, 0x81]),
        ("hostile-early-open", vec![0, 0x80, 2, 0, 1]),
        ("hostile-other-versions", vec![0, 1, 8, b'T', b'R', b'B', b'T', 0, 1, 0, 2, 0x81]),
        ("hostile-other-challenge", vec![1, 0x81, 0xc1, 9, 0x80]),
        ("hostile-words", [&[1, 11, 18][..], b"\0\0\0\x09\0\0\0\0\0\0\0\x06sesame"].concat()),
    ]
}

fn clients() -> Seeds {
    // Samples 10..20; welcomed at 12, durable to 11, with a window of 4; sent 3, 4 and 1, with acks, a pause and its end
    // between; a ping; the end. Numbers of eight bytes begin with 0xff, so nine of them are the largest.
    const MAX: [u8; 9] = [0xff; 9];
    let stream = [10, 10, 3, 12, 11, 4, 0x80, 3, 5, 15, 10, 2, b'n', b'o', 12, 0, 0x80, 4, 5, 19, 0x80, 1, 0x80];
    let end = [8, 8, 0, 0, 0, 0, 0, 0, 0, 1, 5, 20, 7, 0];
    vec![
        ("valid-stream", [&stream[..], &end].concat()),
        ("hostile-welcome", [&[10, 10, 3][..], &MAX, &MAX, &MAX].concat()),
        ("hostile-window", [&[10, 10, 3, 20, 10][..], &MAX, &[0x80, 9, 5, 21]].concat()),
        ("hostile-ack", vec![10, 10, 3, 12, 11, 4, 5, 16]),
        ("hostile-early-end", vec![10, 10, 3, 20, 10, 4, 0x80, 7, 0]),
    ]
}

fn servers() -> Seeds {
    // Samples 10..20, of which none was received; window 12; 8 and 2 samples with an ack between; the end.
    vec![
        ("valid-stream", vec![2, 10, 20, 0, 0, 12, 4, 10, 8, 0x80, 8, 4, 18, 2, 6, 10]),
        ("hostile-gap", vec![2, 10, 20, 0, 0, 12, 4, 11, 1]),
        ("hostile-repetition", vec![2, 10, 20, 0, 0, 12, 4, 10, 2, 4, 11, 1]),
        ("hostile-window", vec![2, 10, 20, 0, 0, 4, 4, 10, 5]),
        ("hostile-overrun", vec![2, 10, 20, 0, 0, 12, 4, 10, 8, 4, 18, 3]),
        ("hostile-early-end", vec![2, 10, 20, 0, 0, 12, 4, 10, 8, 6, 10]),
        ("hostile-extent", [&[2][..], &[0xff; 18]].concat()),
    ]
}

/// The files of a complete directory of two samples in two streams.
fn directory() -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
    let mut store = Store::open(dir.path(), Mode::Continue, 2).unwrap();
    for (name, seq) in [("a", 3), ("b", 4)] {
        store.open_stream(name, &dataset, seq, seq + 1).unwrap();
        store.append(name, seq, &[seq as u8], &[0x55; IMAGE_BYTES]).unwrap();
    }
    store.commit().unwrap();
    let manifest = store.complete(None, 0.5).unwrap();
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    (read(&manifest.chunks[0].name), read("_SUCCESS"))
}

fn chunks() -> Seeds {
    let file = |metadata: &[u8]| [b"PAR1", metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat();
    let max = b"\xff\xff\xff\xff\x07"; // 2^31 - 1
    let valid = directory().0;
    vec![
        ("hostile-cut", valid[1000..].to_vec()),
        ("valid-two-streams", valid),
        ("hostile-long-schema", file(&[b"\x29\xfc", &max[..]].concat())),
        ("hostile-long-pairs", file(&[b"\x59\xfc", &max[..]].concat())),
        ("hostile-long-text", file(&[b"\x68", &max[..]].concat())),
        ("hostile-many-flags", file(&[b"\x09\x14\xf1", &max[..]].concat().repeat(50))),
        ("hostile-nesting", file(&[0x1c; 400])),
        ("hostile-long-metadata", b"PAR1\xff\xff\xff\xffPAR1".to_vec()),
    ]
}

fn manifests() -> Seeds {
    let valid = directory().1;
    let text = String::from_utf8(valid.clone()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replace(from, to).into_bytes()
    };
    vec![
        ("valid-two-streams", valid),
        ("hostile-sum", with("\"samples\": 2", "\"samples\": 18446744073709551615")),
        ("hostile-path", with("chunk-00000000", "../../etc/passwd")),
        ("hostile-order", with("\"name\": \"b\"", "\"name\": \"a\"")),
        ("hostile-nesting", [b'['; 2000].to_vec()),
    ]
}

/// The header of a safetensors file.
fn header() -> String {
    let metadata = BTreeMap::from([("round".to_owned(), "3".to_owned()), ("đ".to_owned(), "\"\\\n".to_owned())]);
    let file = StateDict::zeros().to_safetensors(&metadata);
    let len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    String::from_utf8(file[8..8 + len].to_vec()).unwrap()
}

fn safetensors() -> Seeds {
    let header = header();
    let with = |from: &str, to: &str| {
        assert!(header.contains(from), "{header}");
        header.replacen(from, to, 1).into_bytes()
    };
    vec![
        ("valid-header", header.clone().into_bytes()),
        ("hostile-offset", with("[0,1152]", "[0,18446744073709551615]")),
        ("hostile-shape", with("[10, 128]", "[4294967296, 4294967296]")),
        ("hostile-shapes", with("[10, 128]", &format!("{:?}", [1; 1000]))),
        ("hostile-long-header", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("hostile-nesting", [b"{\"a\":", &[b'['; 1000][..]].concat()),
    ]
}

fn checkpoints() -> Seeds {
    let flags = vec![("seed".into(), "42".into()), ("partitions".into(), "2".into())];
    let origin = Origin { flags, data: "ab".repeat(32), dataset: "mnist".into() };
    let measured = Record { received_accuracy: Some(0.875), ..Record::example(2) };
    let checkpoint = Checkpoint { origin, history: vec![Record::example(1), measured], global: StateDict::zeros() };
    let metadata = checkpoint.metadata();
    let (origin, history) = (&metadata["origin"], &metadata["history"]);
    let file = |origin: &str, history: &str| [origin, history].join("\0").into_bytes();
    vec![
        ("valid-two-rounds", file(origin, history)),
        ("valid-none", file(origin, "[]")),
        ("hostile-number", file(origin, &history.replacen("0.5", "1e999", 1))),
        ("hostile-round", file(origin, &history.replacen("\"round\":1", "\"round\":4294967296", 1))),
        ("hostile-nesting", file(origin, &"[".repeat(2000))),
        ("hostile-flags", file(&origin.replacen("[\"seed\",\"42\"]", "[\"seed\"]", 1), history)),
    ]
}

fn packed(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in entries {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn pth() -> Seeds {
    let mut entries = hostile::entries(SAVED);
    let valid = packed(&entries);
    for (name, content) in &mut entries {
        if name.contains("/data/") {
            *content = vec![0; 4 << 20];
            break;
        }
    }
    let many: Vec<(String, Vec<u8>)> = (0..40).map(|i| (i.to_string(), Vec::new())).collect();
    let legacy = hostile::legacy(&pickles().remove(0).1);
    let with = |from: &[u8], to: &[u8]| {
        let at = legacy.windows(from.len()).rposition(|window| window == from).unwrap();
        [&legacy[..at], to, &legacy[at + from.len()..]].concat()
    };
    // Ten numbers, the storage of `fc2.bias`.
    let ten = [&10u64.to_le_bytes()[..], &7f32.to_le_bytes()].concat();
    vec![
        ("valid-packed", valid),
        ("hostile-bomb", packed(&entries)),
        ("hostile-many-files", packed(&many)),
        ("hostile-legacy-long", with(&ten, &[&(i64::MAX as u64).to_le_bytes()[..], &[0; 4]].concat())),
        ("hostile-legacy-negative", with(&ten, &[0xff; 12])),
        ("hostile-legacy-endless-pickle", [&legacy[..50], &[b'N'; 2000]].concat()),
        ("hostile-legacy-big-endian", with(b"little_endian\x88", b"little_endian\x89")),
        ("hostile-legacy-keys", with(b"](X", b"](\x8f")),
        ("valid-legacy", legacy),
    ]
}

fn pickles() -> Seeds {
    let pickle = |saved: &[u8]| {
        let mut entries = hostile::entries(saved).into_iter();
        entries.find(|(name, _)| name.ends_with("data.pkl")).unwrap().1
    };
    vec![
        ("valid-state-dict", pickle(SAVED)),
        ("valid-checkpoint", pickle(CHECKPOINT)),
        ("hostile-code", b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R.".to_vec()),
        ("hostile-long-text", b"\x80\x02X\xff\xff\xff\xff".to_vec()),
        ("hostile-marks", [b"\x80\x02", &[b'('; 2000][..]].concat()),
        ("hostile-nesting", [b"\x80\x02]", &b"q\x00h\x00a".repeat(300)[..], b"."].concat()),
        (
            "hostile-code-by-stack",
            b"\x80\x04\x95\0\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x04echo\x85R.".to_vec(),
        ),
        ("hostile-code-of-objects", b"\x80\x02(cposix\nsystem\nX\x04\0\0\0echoo(iposix\nsystem\n.".to_vec()),
        ("hostile-one-list-twice", b"\x80\x02ccollections\nOrderedDict\n]q\0(h\0h\0e\x85R.".to_vec()),
    ]
}

fn images() -> Seeds {
    let file = |count: [u8; 4], size: u8| [&[0, 0, 8, 3][..], &count, &[0, 0, 0, size, 0, 0, 0, 28]].concat();
    vec![
        ("valid-image", [file([0, 0, 0, 1], 28), vec![0x55; 784]].concat()),
        ("valid-none", file([0; 4], 28)),
        ("hostile-many", file([0xff; 4], 28)),
        ("hostile-size", file([0, 0, 0, 1], 0)),
    ]
}

fn labels() -> Seeds {
    vec![
        ("valid-labels", vec![0, 0, 8, 1, 0, 0, 0, 3, 0, 5, 9]),
        ("hostile-many", vec![0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 0, 5, 9]),
        ("hostile-label", vec![0, 0, 8, 1, 0, 0, 0, 3, 0, 5, 10]),
    ]
}

fn gzip() -> Seeds {
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let image = images().remove(0).1;
    let (head, tail) = image.split_at(100);
    vec![
        ("valid-image", pack(&image)),
        ("valid-in-two-members", [pack(head), pack(tail)].concat()),
        ("hostile-bomb", pack(&vec![0; 4 << 20])),
        ("hostile-members", pack(b"").repeat(100)),
        ("hostile-name", [&[0x1f, 0x8b, 8, 0x08, 0, 0, 0, 0, 0, 0][..], &[b'n'; 2000]].concat()),
    ]
}

const NPZ: &[u8] = include_bytes!("../../dataset/tests/reference/saved.npz");

fn npz() -> Seeds {
    let mut entries = hostile::entries(NPZ);
    let valid = packed(&entries);
    entries[0].1.resize(1 << 22, 0);
    let bomb = packed(&entries);
    let image = |element: &str, shape: &str, size: usize| npy_file(element, shape, &vec![0; 784 * size]);
    let dataset = [
        ("x_train.npy", image("'<f4'", "(1, 28, 28, 1)", 4)),
        ("y_train.npy", npy_file("'|u1'", "(1,)", &[7])),
        ("x_test.npy", image("'|u1'", "(1, 784)", 1)),
        ("y_test.npy", npy_file("'<i8'", "(1,)", &[3, 0, 0, 0, 0, 0, 0, 0])),
    ]
    .map(|(name, content)| (name.to_owned(), content));
    let swapped: Vec<_> = hostile::entries(NPZ).into_iter().map(|(name, _)| (name, npy().remove(0).1)).collect();
    vec![
        ("valid-numpy", NPZ.to_vec()),
        ("valid-packed", valid),
        ("valid-dataset", packed(&dataset)),
        ("hostile-half-a-dataset", packed(&dataset[..2])),
        ("hostile-bomb", bomb),
        ("hostile-labels", packed(&swapped)),
    ]
}

fn npy() -> Seeds {
    let file = npy_file;
    vec![
        ("valid-bytes", file("'|u1'", "(3,)", &[0, 5, 9])),
        ("valid-big-endian", file("'>i2'", "(3,)", &[0, 0, 0, 5, 0, 9])),
        ("hostile-label", file("'|i1'", "(3,)", &[0, 5, 0xff])),
        ("hostile-objects", file("'|O'", "(3,)", b"\x80\x04cposix\nsystem\nX\x04\0\0\0echo\x85R.")),
        ("hostile-many", file("'<i8'", "(18446744073709551615,)", &[])),
        ("hostile-overflow", file("'<i8'", "(2305843009213693952, 8)", &[])),
        ("hostile-size", file("'<i18446744073709551615'", "(3,)", &[])),
        ("hostile-nesting", file(&"[".repeat(900), "(3,)", &[])),
        ("hostile-long-header", [&b"\x93NUMPY\x02\0"[..], &[0xff; 4]].concat()),
    ]
}

fn npy_file(element: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': {element}, 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), content].concat()
}

fn events() -> Seeds {
    // At step 2, field 5: a summary with one value, of tag "loss" and 0.5.
    let scalar = b"\x09\0\0\0\0\0\0\0\x40\x10\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f";
    vec![
        ("valid-scalar", scalar.to_vec()),
        ("valid-unknown-field", [&scalar[..], b"\x7a\x01x"].concat()),
        ("hostile-later-step", [&scalar[..], b"\x10\x03"].concat()),
        ("hostile-negative-step", [&scalar[..], b"\x10", &[0xff; 9], b"\x01"].concat()),
        ("hostile-long-tag", b"\x2a\x0d\x0a\x0b\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ("hostile-nesting", [0x7b; 2000].to_vec()),
    ]
}

fn configs() -> Seeds {
    let values = "samples = 250\nsamples-per-batch = 50\nbatch-delay = \"50ms\"\ndir = \"chunks\"\nsamples-per-chunk = 100\n\
                  rounds = 2\nbatch-size = \"full\"\nlearning-rate = 0.002\noptimizer = \"sgd\"\nseed = 7\nsenders = 3\n";
    vec![
        ("valid-values", values.into()),
        ("valid-preset", "preset = \"original\" # and no more\n".into()),
        ("hostile-key", "no-such-flag = 1\n".into()),
        ("hostile-help", "help = true\n".into()),
        ("hostile-table", "[rounds]\nx = 1\n".into()),
        ("hostile-flags", "dir = \"--fresh\\u0000\\u001b[31m\"\nrounds = \"--help\"\n".into()),
        ("hostile-number", "rounds = 99999999999999999999\n".into()),
        ("hostile-arrays", format!("rounds = {}", "[".repeat(2000)).into()),
        ("hostile-dots", format!("{} = 1", ["a"; 1000].join(".")).into()),
    ]
}
