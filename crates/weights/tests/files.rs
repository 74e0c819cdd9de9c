//! Files of weights as people have them. They are made here byte by byte, as PyTorch writes them: eight tensors, each of
//! which repeats one number, so that a file has every shape of SimpleCnn in a few kilobytes.

use std::io::{Cursor, Write};

use weights::{SIMPLE_CNN, StateDict};
use zip::write::{SimpleFileOptions, ZipWriter};

const TENSORS: &[(&str, &[usize])] = SIMPLE_CNN.tensors;

type Encode = fn(usize) -> Vec<u8>;

/// The types of number, by PyTorch's classes for storages of them.
const TYPES: [(&str, Encode); 4] = [
    ("FloatStorage", |number| (number as f32).to_le_bytes().into()),
    ("DoubleStorage", |number| (number as f64).to_le_bytes().into()),
    ("BFloat16Storage", |number| (number as f32).to_le_bytes()[2..].into()),
    ("HalfStorage", |number| {
        [0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700u16][number].to_le_bytes().into()
    }),
];
const FLOAT: &str = TYPES[0].0;

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into()
}

/// Tensor number `i` of SimpleCnn, over a storage that holds `i`. `none` stands behind the storage's length.
fn tensor(i: usize, class: &str, none: &[u8]) -> Vec<u8> {
    let shape = TENSORS[i].1;
    let sizes = shape.iter().flat_map(|&size| [b"M", &(size as u16).to_le_bytes()[..]].concat()).collect();
    let tuple = |items: Vec<u8>| [b"(", &items[..], b"t"].concat();
    let storage =
        [text("storage"), global("torch", class), text(&i.to_string()), text("cpu"), b"K\x01".to_vec(), none.to_vec()];
    let storage = [tuple(storage.concat()), b"Q".to_vec()].concat();
    let hooks = b"\x89ccollections\nOrderedDict\n)R".to_vec();
    let arguments = [storage, b"K\0".to_vec(), tuple(sizes), tuple(b"K\0".repeat(shape.len())), hooks];
    [global("torch._utils", "_rebuild_tensor_v2"), tuple(arguments.concat()), b"R".to_vec()].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries[..], b"u"].concat()
}

fn state_dict() -> Vec<u8> {
    state_dict_but(|_| {})
}

fn state_dict_but(change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let tensor = |(i, (name, _)): (usize, &(&str, _))| (name.to_string(), tensor(i, FLOAT, b""));
    let mut entries = TENSORS.iter().enumerate().map(tensor).collect();
    change(&mut entries);
    dict(&entries.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
}

fn with_prefix(prefix: &str) -> Vec<u8> {
    state_dict_but(|entries| entries.iter_mut().for_each(|(name, _)| name.insert_str(0, prefix)))
}

fn of_class(class: &str, none: &[u8]) -> Vec<u8> {
    state_dict_but(|entries| entries.iter_mut().enumerate().for_each(|(i, (_, value))| *value = tensor(i, class, none)))
}

/// A file since PyTorch 1.6, with the eight storages.
fn zip(object: &[u8], storage: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let pickle = [b"\x80\x02", object, b"."].concat();
    let storages = (0..TENSORS.len()).map(|i| (format!("data/{i}"), storage(i)));
    for (name, content) in [("data.pkl".to_owned(), pickle)].into_iter().chain(storages) {
        zip.start_file(format!("model/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn saved(object: &[u8]) -> Vec<u8> {
    zip(object, TYPES[0].1)
}

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const MACHINE: &[u8] =
    b"\x80\x02}(X\x10\0\0\0protocol_versionM\xe9\x03X\x0d\0\0\0little_endian\x88X\x0a\0\0\0type_sizes}u.";

/// A file from before PyTorch 1.6, with the eight storages.
fn legacy(object: &[u8], storage: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let keys: Vec<u8> = (0..TENSORS.len()).flat_map(|i| text(&i.to_string())).collect();
    let storages = (0..TENSORS.len()).flat_map(|i| [&1u64.to_le_bytes()[..], &storage(i)].concat()).collect::<Vec<_>>();
    let object = [b"\x80\x02", object, b"."].concat();
    [MAGIC, b"\x80\x02M\xe9\x03.", MACHINE, &object, b"\x80\x02](", &keys, b"e.", &storages].concat()
}

/// A safetensors file in which all numbers are `number`, of this type, and all names begin with this prefix.
fn safetensors(dtype: &str, prefix: &str, number: &[u8]) -> Vec<u8> {
    let mut end = 0;
    let entry = |(tensor, shape): &(&str, &[usize])| {
        let start = end;
        end += shape.iter().product::<usize>() * number.len();
        format!(r#""{prefix}{tensor}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", TENSORS.iter().map(entry).collect::<Vec<_>>().join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &number.repeat(end / number.len())].concat()
}

/// What a file holds, or why it is not read, as a user sees it.
fn read(bytes: &[u8]) -> Result<StateDict, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    std::fs::write(&path, bytes).unwrap();
    SIMPLE_CNN.read(&path).map(|(weights, _)| weights).map_err(|error| {
        let mut causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.by_ref().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

#[track_caller]
fn check_read(bytes: &[u8]) {
    let weights = read(bytes).unwrap();
    for (i, (name, _, values)) in weights.tensors().enumerate() {
        assert!(values.iter().all(|&value| value == i as f32), "{name}: {}", values[0]);
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    assert_eq!(read(bytes).err().as_deref(), Some(expected));
}

#[test]
fn a_file_from_before_pytorch_1_6_is_read() {
    for (class, storage) in TYPES {
        check_read(&legacy(&of_class(class, b"N"), storage));
    }
}

#[test]
fn a_file_from_before_pytorch_1_6_that_python_2_wrote_is_read() {
    // Python 2 makes an OrderedDict of a list of pairs, and has texts of bytes.
    let pair = |(i, (name, _)): (usize, &(&str, _))| {
        [b"](U", &[name.len() as u8][..], name.as_bytes(), &tensor(i, FLOAT, b"N"), b"e"].concat()
    };
    let pairs: Vec<u8> = TENSORS.iter().enumerate().flat_map(pair).collect();
    let object = [b"ccollections\nOrderedDict\n](", &pairs[..], b"e\x85R"].concat();
    check_read(&legacy(&object, TYPES[0].1));
}

#[test]
fn a_damaged_file_from_before_pytorch_1_6_is_refused() {
    let good = legacy(&of_class(FLOAT, b"N"), TYPES[0].1);
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let lengths = |len: u64| [&good[..good.len() - 12], &len.to_le_bytes(), &[0; 4]].concat();
    let odd_class = legacy(&of_class("OddStorage", b"N"), TYPES[0].1);
    let long_pickle = [MAGIC, &b"\x80\x02X\xff\xff\xff\xff"[..], &[0; 1 << 19]].concat();
    let (endian, cut) = ("it does not say that its numbers are little-endian", "it ends before its numbers do");
    for (bytes, problem) in [
        (replaced(b"little_endian\x88", b"little_endian\x89"), endian),
        (replaced(b"little_endian\x88", b"wide_integers\x88"), endian),
        (replaced(b"M\xe9\x03.", b"M\xea\x03."), "it has an unknown version"),
        (good[..good.len() - 1].to_vec(), cut),
        (good[..good.len() - 90].to_vec(), cut),
        (lengths(2), cut),
        (lengths(1 << 61), cut),
        (lengths(1 << 63), cut),
        (lengths(u64::MAX), cut),
        (lengths(0), "the tensor `fc2.bias` has a storage of another length than it says"),
        (replaced(b"](X\x01\0\0\x000", b"](X\x01\0\0\x009"), "it has a storage that belongs to no tensor"),
        (replaced(b"X\x01\0\0\x007e", b"e"), "the tensor `fc2.bias` has no data"),
        (odd_class, "it has a storage of the unknown type `OddStorage`"),
        (b"\x80\x02}.".to_vec(), "it is a pickle, but not one that `torch.save` wrote"),
        (long_pickle, "a pickle in it has more than 262144 bytes"),
    ] {
        check_refused(&bytes, &format!("not a readable PyTorch file: {problem}"));
    }
    for len in 0..good.len() {
        assert!(read(&good[..len]).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn the_prefix_that_a_wrapper_puts_before_every_key_is_taken_off() {
    for prefix in ["module.", "_orig_mod.", "_orig_mod.module.", "net."] {
        check_read(&saved(&with_prefix(prefix)));
        let ones = safetensors("F32", prefix, &1f32.to_le_bytes());
        assert!(read(&ones).unwrap().values().iter().all(|&value| value == 1.0), "{prefix}");
    }
    check_refused(
        &saved(&state_dict_but(|entries| entries[0].0 = "module.conv1.weight".into())),
        "the tensor `conv1.bias` does not belong to SimpleCnn",
    );
}

#[test]
fn the_entry_that_holds_the_weights_is_found_beside_others() {
    let optimizer =
        dict(&[("state", b"}".to_vec()), ("param_groups", b"](}X\x02\0\0\0lrG?\xf0\0\0\0\0\0\0se".to_vec())]);
    for key in ["model_state_dict", "state_dict", "model", "net"] {
        // A loss is often left a tensor.
        let entries = [
            ("epoch", b"K\x03".to_vec()),
            (key, with_prefix("module.")),
            ("optimizer", optimizer.clone()),
            ("loss", tensor(1, FLOAT, b"")),
        ];
        check_read(&saved(&dict(&entries)));
        check_read(&legacy(&dict(&entries), TYPES[0].1));
    }
    let two = dict(&[("model", state_dict()), ("epoch", b"K\x03".to_vec()), ("ema", with_prefix("module."))]);
    let several = "several of its entries fit: `model`, `ema`; save the one that is meant in a file of its own";
    check_refused(&saved(&two), several);
    let missing = state_dict_but(|entries| drop(entries.pop()));
    check_refused(&saved(&missing), "the tensor `fc2.bias` is missing");
    let inner = dict(&[("buffers", dict(&[("mean", tensor(1, FLOAT, b""))])), ("state_dict", missing)]);
    check_refused(&saved(&inner), "its entry `state_dict` does not fit: the tensor `fc2.bias` is missing");
}

#[test]
fn other_types_of_floating_point_number_are_converted() {
    for (class, storage) in TYPES {
        check_read(&zip(&of_class(class, b""), storage));
    }
    let advice = "convert it with `.float()` first";
    let expected = format!("the tensor `conv1.weight` has elements of type LongStorage instead of float32: {advice}");
    check_refused(&zip(&of_class("LongStorage", b""), |_| vec![0; 8]), &expected);
    for (name, one) in
        [("F16", [0, 0x3c].to_vec()), ("BF16", [0x80, 0x3f].to_vec()), ("F64", 1f64.to_le_bytes().to_vec())]
    {
        let ones = safetensors(name, "", &one);
        assert!(read(&ones).unwrap().values().iter().all(|&value| value == 1.0), "{name}");
    }
}

#[test]
fn parameters_are_tensors() {
    let parameters = state_dict_but(|entries| {
        for (_, value) in entries {
            let hooks = b"\x88ccollections\nOrderedDict\n)R\x87R";
            *value = [&global("torch._utils", "_rebuild_parameter"), &value[..], hooks].concat();
        }
    });
    check_read(&saved(&parameters));
}

#[test]
fn values_beside_the_weights_do_not_matter_whatever_they_are() {
    // numpy.float64(0.5), argparse.Namespace(lr=1), {1, 2}, frozenset(), bytes, a text that is not Unicode, a large integer,
    // a recursive list, and what would run a program: none is run.
    let beside: [(&str, &[u8]); 10] = [
        ("scalar", b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8K\0K\x01\x87R(K\x03X\x01\0\0\0<NNNtbC\x08\0\0\0\0\0\0\xe0?\x86R"),
        ("args", b"cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb"),
        ("kept", b"\x8c\x08builtins\x8c\x07getattr\x93N\x94N\x86R"),
        ("set", b"\x8f(K\x01K\x02\x90"),
        ("frozen", b"(\x91"),
        ("text", b"X\x03\0\0\0\xed\xa0\x80"),
        ("large", b"\x8a\x14aaaaaaaaaaaaaaaaaaaa"),
        ("list", b"]q\xffh\xffa"),
        ("counts", b"ccollections\ndefaultdict\nc__builtin__\nint\n\x85R(X\x01\0\0\0aK\x01u"),
        ("code", b"cposix\nsystem\nX\x0e\0\0\0touch /hostile\x85R"),
    ];
    for (key, value) in beside {
        let entries = [("before", value.to_vec()), ("state_dict", state_dict()), (key, value.to_vec())];
        check_read(&saved(&dict(&entries)));
        check_read(&legacy(&dict(&entries), TYPES[0].1));
    }
    check_read(&saved(&state_dict_but(|entries| entries.push(("epoch".into(), b"K\x03".to_vec())))));
}

#[test]
fn a_whole_model_is_refused_and_the_way_out_told() {
    let advice = "not a readable PyTorch file: it wants to run `__main__.SimpleCNN`: save `model.state_dict()`, not the model itself";
    let model = b"c__main__\nSimpleCNN\n)\x81}X\x08\0\0\0training\x88sb";
    check_refused(&saved(model), advice);
    check_refused(&saved(&dict(&[("epoch", b"K\x01".to_vec()), ("model", model.to_vec())])), advice);
    // Files from before PyTorch 1.6 keep its source.
    let legacy_model = b"(X\x06\0\0\0modulec__main__\nSimpleCNN\nNNtQ)\x81}b";
    let object = [&b"\x80\x02"[..], legacy_model, b"."].concat();
    let file = [MAGIC, b"\x80\x02M\xe9\x03.", MACHINE, &object, b"\x80\x02]."].concat();
    check_refused(&file, advice);
}
