//! The dataset's files: there, and as long as their headers say. Whether they are MNIST is for the sender to find, which
//! takes their checksums; and so are files under other names than MNIST's authors gave them, and `.npz` files.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flags::{Dataset, Streaming};
use flate2::bufread::GzDecoder;

use super::finding::Finding;

/// The four files and the bytes of one sample in each, as `dataset` reads them.
const FILES: [(&str, u64); 4] = [
    ("train-images-idx3-ubyte", 784),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 784),
    ("t10k-labels-idx1-ubyte", 1),
];
const MAX_SAMPLES: u64 = 1_000_000;

pub(crate) fn examine(streaming: &Streaming) -> Finding {
    let (dir, given) = directory(streaming);
    let name = dir.display();
    if dir.is_file() {
        return Finding::ok(format!("`{name}`, into which the sender looks"));
    }
    let mut missing = Vec::new();
    for (file, bytes) in FILES {
        match fault(&dir, file, bytes) {
            Ok(None) => {}
            Ok(Some(fault)) => {
                let text = format!("`{name}/{file}` {fault}; put a whole copy in its place");
                return Finding::wrong(text).stops_if(true);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(file),
            Err(error) => {
                return Finding::wrong(format!("`{name}/{file}`: {error}")).stops_if(true);
            }
        }
    }
    if missing.is_empty() {
        return Finding::ok(format!("four whole files in `{name}`"));
    }
    let (text, stops) = match streaming.dataset {
        _ if given && !dir.exists() => {
            (format!("`{name}` is not there; name a folder with a dataset's four files"), true)
        }
        // They may have other names, which the sender knows.
        _ if given => {
            (format!("no `{}` in `{name}`; the sender looks for other names of it", missing.join("`, `")), false)
        }
        Dataset::Generated => (format!("the first run draws digits into `{name}`"), false),
        _ => (format!("the first run downloads MNIST into `{name}`; `sender --prepare` does only that"), false),
    };
    Finding::missing(text).stops_if(stops)
}

/// Where the data is or will be, and whether the user said so.
fn directory(streaming: &Streaming) -> (PathBuf, bool) {
    if streaming.dataset == Dataset::Generated {
        return ("data/generated".into(), false);
    }
    let environment = || env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    match streaming.data.clone().or_else(environment) {
        Some(dir) => (dir, true),
        None => ("data/mnist".into(), false),
    }
}

/// What is wrong with a file, raw or packed.
fn fault(dir: &Path, name: &str, bytes: u64) -> io::Result<Option<String>> {
    let mut file = match File::open(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(dir.join(format!("{name}.gz"))),
        file => file,
    }
    .map(BufReader::new)?;
    // As for the sender, the first bytes say whether it is packed, and not its name.
    let (content, what): (Box<dyn Read>, _) = match file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        true => (Box::new(GzDecoder::new(file)), ", unpacked,"),
        false => (Box::new(file), ""),
    };
    let header = if bytes == 1 { 8 } else { 16 };
    match lengths(content, header + MAX_SAMPLES * bytes) {
        Ok((length, samples)) if length == header + samples * bytes => Ok(None),
        Ok((length, samples)) => {
            Ok(Some(format!("is not whole: {length} bytes{what} instead of {}", header + samples * bytes)))
        }
        Err(error) => Ok(Some(format!("is not whole: {error}"))),
    }
}

/// How many bytes there are, counted up to one past `limit`, and how many samples the header speaks of.
fn lengths(content: impl Read, limit: u64) -> io::Result<(u64, u64)> {
    let mut content = content.take(limit + 1);
    let mut start = [0; 8];
    content.read_exact(&mut start)?;
    let rest = io::copy(&mut content, &mut io::sink())?;
    let [_, _, _, _, samples @ ..] = start;
    Ok((start.len() as u64 + rest, u32::from_be_bytes(samples).into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataset::Split;
    use flate2::{Compression, bufread::GzEncoder};

    use super::*;
    use crate::doctor::finding::Plan;

    fn streaming(flags: &[&str]) -> Streaming {
        Plan::of("chunks", flags).streaming
    }

    #[test]
    fn files_are_whole_missing_or_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let streaming = streaming(&["--data", path]);
        let missing = examine(&streaming);
        assert!(missing.state == "missing" && !missing.stops, "{missing:?}");
        let nowhere = examine(&self::streaming(&["--data", "no/such/folder"]));
        assert!(nowhere.state == "missing" && nowhere.stops, "{nowhere:?}");
        for split in [Split::Train, Split::Test] {
            dataset::write_idx(dir.path(), split, &[7; 3 * 784], &[1, 2, 3]).unwrap();
        }
        let whole = examine(&streaming);
        assert!(whole.state == "ok" && !whole.stops, "{whole:?}");
        let file = dir.path().join(FILES[2].0);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let cut = examine(&streaming);
        assert!(cut.state == "wrong" && cut.stops, "{cut:?}");
        assert!(cut.text.contains("t10k-images-idx3-ubyte` is not whole: 2367 bytes instead of 2368"), "{cut:?}");
        fs::write(&file, [&bytes[..], &[0]].concat()).unwrap();
        assert_eq!(examine(&streaming).state, "wrong");
        fs::write(&file, &bytes[..7]).unwrap();
        assert_eq!(examine(&streaming).state, "wrong");
    }

    #[test]
    fn a_packed_file_that_is_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let raw = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[1, 2, 3]].concat();
        let mut packed = Vec::new();
        GzEncoder::new(&raw[..], Compression::fast()).read_to_end(&mut packed).unwrap();
        let file = dir.path().join("train-labels-idx1-ubyte.gz");
        fs::write(&file, &packed).unwrap();
        assert_eq!(fault(dir.path(), FILES[1].0, 1).unwrap(), None);
        fs::write(&file, &raw).unwrap();
        assert_eq!(fault(dir.path(), FILES[1].0, 1).unwrap(), None, "a name does not make it packed");
        fs::write(&file, &packed[..packed.len() - 1]).unwrap();
        assert!(fault(dir.path(), FILES[1].0, 1).unwrap().unwrap().starts_with("is not whole: "));
    }

    #[test]
    fn what_a_run_provides_by_itself_stops_nobody() {
        let finding = examine(&streaming(&["--dataset=generated"]));
        assert!(!finding.stops, "{finding:?}");
    }
}
