//! Writes `valid-…` and `hostile-…` of the corpus anew where they are in formats of ours, with the project's own writers.
//! Files in formats of others (IDX, NumPy, PyTorch, TensorBoard, TOML) never change, nor does what fuzzers found.
//!
//! ```text
//! cargo run -p hostile --example seeds
//! ```

use std::{collections::BTreeMap, fs, path::Path};

use hostile::put_frame;
use proto::{
    Batch, ErrorCode, HEADER_BYTES, Message,
    message::{End, Hello, Open, Proof, Welcome},
};
use run_folder::{Checkpoint, Listed, Origin, Position, ServerState, Sums, record::Record};
use sample::{Extent, PIXELS, SampleSlice};
use store::{DatasetId, Mode, Store};
use weights::SIMPLE_CNN;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in [
        ("frame", frames()),
        ("handshake", handshakes()),
        ("sender_session", sender_sessions()),
        ("receiver_session", receiver_sessions()),
        ("chunk", chunks()),
        ("manifest", manifests()),
        ("safetensors", safetensors()),
        ("checkpoint", checkpoints()),
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
    Open { stream: "s-0".into(), dataset: "mnist".into(), dataset_digest: [7; 32], extent: Extent::range(10..20) }
}

/// One that is dealt out and has no end.
fn endless() -> Open {
    Open { extent: Extent { first: 10, end: None, block: 3, stride: 9 }, ..open() }
}

fn frames() -> Seeds {
    let messages = [
        Message::Hello(Hello::OURS),
        Message::Challenge([1; 32]),
        Message::Proof(Proof { nonce: [2; 32], mac: [3; 32] }),
        Message::Counterproof([4; 32]),
        Message::Open(open()),
        Message::Open(endless()),
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
    let batch = Batch::frame(12, SampleSlice { labels: &[3], images: &[0x55; PIXELS] });
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
        ("hostile-label", sealed(4, &[&[0; 11][..], &[1, 10], &[0; PIXELS]].concat())),
        ("hostile-escape", sealed(11, b"\0\0\0\x08\0\0\0\0\0\0\0\x05\x1b[31m")),
        ("hostile-code", sealed(11, b"\0\0\0\x63\0\0\0\0\0\0\0\0")),
    ]
}

fn handshakes() -> Seeds {
    // The first byte says who is the stranger: a sender, who says two things, or a receiver, who says three. From 0xa0 on
    // stands what they say in an earlier conversation, with another key, on another channel, and reflected.
    vec![
        ("valid-sender", vec![0, 0x80, 0x81]),
        ("valid-receiver", vec![1, 0x81, 0x82, 0x80]),
        ("valid-sender-by-tls", vec![2, 0x80, 0x81]),
        ("valid-receiver-by-tls", vec![3, 0x81, 0x82, 0x80]),
        ("hostile-replayed-sender", vec![0, 0x80, 0xa1]),
        ("hostile-other-key-of-sender", vec![0, 0x80, 0xa3]),
        ("hostile-other-channel-of-sender", vec![2, 0x80, 0xa5]),
        ("hostile-reflection-by-sender", vec![0, 0x80, 0xa7]),
        ("hostile-replayed-receiver", vec![1, 0xa0, 0xa1, 0xa2]),
        ("hostile-other-key-of-receiver", vec![1, 0xa3, 0xa4, 0xa5]),
        ("hostile-other-channel-of-receiver", vec![3, 0xa6, 0xa7, 0xa8]),
        ("hostile-reflection-by-receiver", vec![1, 0xa9, 0xaa, 0xab]),
        ("hostile-other-proof", vec![0, 0x80, 0xc1, 5]),
        ("hostile-second-chance", vec![0, 0x80, 0xc1, 5, 0x81, 0x80, 0x81]),
        ("hostile-no-greeting", vec![0, 0x81, 0x81]),
        ("hostile-early-open", vec![0, 0x80, 2, 0, 1]),
        ("hostile-other-versions", vec![0, 1, 8, b'T', b'R', b'B', b'T', 0, 2, 0, 3, 0x81]),
        ("hostile-other-challenge", vec![1, 0x81, 0xc1, 9, 0x80]),
        ("hostile-words", [&[1, 11, 18][..], b"\0\0\0\x09\0\0\0\0\0\0\0\x06sesame"].concat()),
    ]
}

fn sender_sessions() -> Seeds {
    // Samples 10..20; welcomed at 12, durable to 11, with a window of 4; sent 3, 4 and 1, with acks, a pause and its end
    // between; a ping; the end. Numbers of eight bytes begin with 0xff, so nine of them are the largest.
    const MAX: [u8; 9] = [0xff; 9];
    let stream = [10, 10, 3, 12, 11, 4, 0x80, 3, 5, 15, 10, 2, b'n', b'o', 12, 0, 0x80, 4, 5, 19, 0x80, 1, 0x80];
    let end = [8, 8, 0, 0, 0, 0, 0, 0, 0, 1, 5, 20, 7, 0];
    vec![
        ("valid-stream", [&stream[..], &end].concat()),
        ("hostile-endless-welcome", [&[10, 0, 3][..], &MAX, &MAX, &MAX].concat()),
        ("hostile-endless-window", [&[10, 0, 3, 20, 10][..], &MAX, &[0x80, 9, 5, 21]].concat()),
        ("hostile-welcome", [&[10, 10, 3][..], &MAX, &MAX, &MAX].concat()),
        ("hostile-window", [&[10, 10, 3, 20, 10][..], &MAX, &[0x80, 9, 5, 21]].concat()),
        ("hostile-ack", vec![10, 10, 3, 12, 11, 4, 5, 16]),
        ("hostile-early-end", vec![10, 10, 3, 20, 10, 4, 0x80, 7, 0]),
    ]
}

fn receiver_sessions() -> Seeds {
    // Samples 10..20 in one piece, of which none was received; window 12; 8 and 2 samples with an ack between; the end.
    const OPEN: [u8; 5] = [2, 10, 20, 1, 1];
    // Ten samples from 10 on in blocks of 3 every 9, and as many as come.
    const DEALT: [u8; 5] = [2, 10, 20, 3, 9];
    const ENDLESS: [u8; 5] = [2, 10, 0, 3, 9];
    let session = |open: [u8; 5], rest: &[u8]| [&open[..], rest].concat();
    vec![
        ("valid-stream", session(OPEN, &[0, 0, 12, 4, 10, 8, 0x80, 8, 4, 18, 2, 6, 10])),
        ("hostile-gap", session(OPEN, &[0, 0, 12, 4, 11, 1])),
        ("hostile-repetition", session(OPEN, &[0, 0, 12, 4, 10, 2, 4, 11, 1])),
        ("hostile-window", session(OPEN, &[0, 0, 4, 4, 10, 5])),
        ("hostile-overrun", session(OPEN, &[0, 0, 12, 4, 10, 8, 4, 18, 3])),
        ("hostile-early-end", session(OPEN, &[0, 0, 12, 4, 10, 8, 6, 10])),
        ("valid-dealt", session(DEALT, &[0, 0, 12, 4, 10, 8, 0x80, 8, 4, 18, 2, 6, 10])),
        ("hostile-endless-end", session(ENDLESS, &[0, 0, 12, 4, 10, 8, 0x80, 8, 4, 18, 2, 6, 10])),
        ("hostile-blocks", session([2, 10, 20, 0, 9], &[0, 0, 12, 4, 10, 8])),
        ("hostile-overlap", session([2, 10, 20, 3, 2], &[0, 0, 12, 4, 10, 8])),
        ("hostile-extent", [&[2][..], &[0xff; 18], &[1, 1]].concat()),
        ("hostile-far", [&[2, 10, 20, 1][..], &[0xff; 9], &[0, 0, 12, 4, 10, 2]].concat()),
    ]
}

/// A stream that is dealt out and has no end.
const DEALT: Extent = Extent { first: 4, end: None, block: 2, stride: 6 };

/// The files of a complete directory of two samples in two streams, of which the second has this extent.
fn directory(extent: Extent) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
    let mut store = Store::open(dir.path(), Mode::Continue, 2).unwrap();
    for (name, seq, extent) in [("a", 3, Extent::range(3..4)), ("b", 4, extent)] {
        store.open_stream(name, &dataset, extent).unwrap();
        store.append(name, seq, SampleSlice { labels: &[seq as u8], images: &[0x55; PIXELS] }).unwrap();
    }
    store.commit().unwrap();
    let manifest = store.complete(None, 0.5).unwrap();
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    (read(&manifest.chunks[0].name), read("_SUCCESS"))
}

fn chunks() -> Seeds {
    let file = |metadata: &[u8]| [b"PAR1", metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat();
    let max = b"\xff\xff\xff\xff\x07"; // 2^31 - 1
    let valid = directory(Extent::range(4..5)).0;
    vec![
        ("valid-dealt", directory(DEALT).0),
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
    let [valid, dealt] = [Extent::range(4..5), DEALT].map(|extent| directory(extent).1);
    let replaced = |text: &[u8], from: &str, to: &str| {
        let text = str::from_utf8(text).unwrap();
        assert!(text.contains(from), "{text}");
        text.replace(from, to).into_bytes()
    };
    let with = |from: &str, to: &str| replaced(&valid, from, to);
    vec![
        ("hostile-block", replaced(&dealt, "\"block\": 2", "\"block\": 0")),
        ("hostile-stride", replaced(&dealt, "\"stride\": 6", "\"stride\": 2")),
        ("hostile-format", replaced(&dealt, "\"format\": 2", "\"format\": 1")),
        ("valid-dealt", dealt.clone()),
        ("valid-two-streams", valid.clone()),
        ("hostile-sum", with("\"samples\": 2", "\"samples\": 18446744073709551615")),
        ("hostile-path", with("chunk-00000000", "../../etc/passwd")),
        ("hostile-order", with("\"name\": \"b\"", "\"name\": \"a\"")),
        ("hostile-nesting", [b'['; 2000].to_vec()),
    ]
}

fn header() -> String {
    let metadata = BTreeMap::from([("round".to_owned(), "3".to_owned()), ("đ".to_owned(), "\"\\\n".to_owned())]);
    let file = SIMPLE_CNN.zeros().to_safetensors(&metadata);
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
    let history = vec![Record::example(1), measured];
    let (unlisted, global) = (Sums::default(), SIMPLE_CNN.zeros());
    let mut checkpoint =
        Checkpoint { origin, history, unlisted, global, position: None, server: ServerState::default() };
    let metadata = checkpoint.metadata();
    checkpoint.unlisted.take_over(&mut checkpoint.history, Listed { rounds: 1, partitions: 0, drifts: 0 });
    checkpoint.position = Some(Position { seq: 4000, digest: "cd".repeat(32), figures: Default::default() });
    let newest = checkpoint.metadata();
    let live = |from: &str, to: &str| {
        let texts = ["origin", "history", "position", "unlisted"].map(|key| newest[key].replacen(from, to, 1));
        texts.join("\0").into_bytes()
    };
    let (origin, history) = (&metadata["origin"], &metadata["history"]);
    let file = |origin: &str, history: &str| [origin, history].join("\0").into_bytes();
    vec![
        ("valid-two-rounds", file(origin, history)),
        ("valid-none", file(origin, "[]")),
        ("valid-newest-round", live("", "")),
        ("hostile-unlisted", live("\"rounds\":1", "\"rounds\":4294967295")),
        ("hostile-number", file(origin, &history.replacen("0.5", "1e999", 1))),
        ("hostile-round", file(origin, &history.replacen("\"round\":1", "\"round\":4294967296", 1))),
        ("hostile-nesting", file(origin, &"[".repeat(2000))),
        ("hostile-flags", file(&origin.replacen("[\"seed\",\"42\"]", "[\"seed\"]", 1), history)),
    ]
}
