//! The dataset's files: there, and as their headers say. Whether they are MNIST is for the sender to find.

use flags::{Dataset, Streaming};

use super::finding::Finding;

pub(crate) fn examine(streaming: &Streaming) -> Finding {
    let is_generated = streaming.dataset == Dataset::Generated;
    let given = streaming.data.clone().or_else(dataset::environment).filter(|_| !is_generated);
    let dir = given.clone().unwrap_or_else(|| dataset::default_dir(if is_generated { "generated" } else { "mnist" }));
    let name = dir.display();
    match dataset::Place::complete(&dir) {
        Ok(place) => match dataset::check(&place) {
            Ok(()) => Finding::ok(format!("a whole dataset in `{name}`")),
            Err(error) => Finding::wrong(error.to_string()).stops_if(true),
        },
        Err(error) if given.is_some() => Finding::missing(error.to_string()).stops_if(true),
        Err(_) if is_generated => Finding::missing(format!("the first run draws digits into `{name}`")),
        Err(_) => {
            Finding::missing(format!("the first run downloads MNIST into `{name}`; `sender --prepare` does only that"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataset::{FILES, Split};

    use super::*;
    use crate::doctor::finding::Plan;

    fn streaming(flags: &[&str]) -> Streaming {
        Plan::of("chunks", flags).streaming
    }

    #[test]
    fn files_are_whole_missing_or_cut_under_any_name_that_the_sender_knows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let examined = |path: &str| {
            let Finding { state, text, stops, .. } = examine(&streaming(&["--data", path]));
            assert_eq!(stops, state != "ok");
            (state, text)
        };
        let (state, text) = examined("no/such/folder");
        assert!(state == "missing" && text.starts_with("`no/such/folder` is not there"), "{text}");
        let (state, text) = examined(path);
        assert!(state == "missing" && text.contains("train-images-idx3-ubyte` is missing"), "{text}");
        for split in [Split::Train, Split::Test] {
            dataset::write_idx(dir.path(), split, &[7; 3 * 784], &[1, 2, 3]).unwrap();
        }
        assert_eq!(examined(path).0, "ok");
        let file = dir.path().join("t10k-images.idx3-ubyte");
        fs::rename(dir.path().join(FILES[2]), &file).unwrap();
        assert_eq!(examined(path).0, "ok");
        let bytes = fs::read(&file).unwrap();
        for (bytes, expect) in [
            (&bytes[..bytes.len() - 1], "is 2367 bytes long, shorter than the 2368 bytes that its header promises"),
            (&[&bytes[..], &[0]].concat(), "is longer than the 2368 bytes that its header promises"),
            (&bytes[..7], "is 7 bytes long, too short for an images file"),
        ] {
            fs::write(&file, bytes).unwrap();
            let (state, text) = examined(path);
            assert!(state == "wrong" && text.starts_with(&format!("`{}` {expect}", file.display())), "{text}");
        }
    }

    #[test]
    fn what_a_run_provides_by_itself_stops_nobody() {
        let finding = examine(&streaming(&["--dataset=generated"]));
        assert!(!finding.stops, "{finding:?}");
    }
}
