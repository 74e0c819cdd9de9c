//! An event file on disk: opened new or where a run goes on, and written one event at a time.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use crate::{
    message::{Event, FILE_VERSION, Hyperparameter, SESSION_END, Summary, Value, What},
    record,
};

/// TensorBoard takes any file with `tfevents` in its name; ours also ends so.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".tributary";

/// An event file open for appending.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    last_step: u32,
}

impl EventFile {
    /// Opens the event file in `dir`, which it makes if need be, and takes back every step after `step`, the end of the run,
    /// and all that is cut short or damaged. If no step is left, it begins anew, with the hyper-parameters.
    ///
    /// # Errors
    /// When the operating system says no.
    pub fn open(dir: &Path, step: u32, hparams: BTreeMap<String, Hyperparameter>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = match find(dir)? {
            Some(path) => path,
            None => dir.join(format!("{PREFIX}{:.0}{SUFFIX}", now().floor())),
        };
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
        let (kept, last_step) = kept(&fs::read(&path)?, step);
        // In place, so that a TensorBoard that follows the file goes on with it.
        file.set_len(kept as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut events = Self { path, file, last_step };
        if kept == 0 {
            events.append(0, What::FileVersion(FILE_VERSION.into()))?;
            events.append(0, What::Summary(Summary { values: vec![Value::session_start(hparams, now())] }))?;
        }
        Ok(events)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last step that it tells of, from 1; 0 if there is none.
    pub fn last_step(&self) -> u32 {
        self.last_step
    }

    /// Adds what is known of a step, durably.
    ///
    /// # Errors
    /// When the disk is full, for one. A part of an event that is left then is no event to any reader.
    pub fn write(&mut self, step: u32, values: Vec<Value>) -> io::Result<()> {
        self.append(step, What::Summary(Summary { values }))?;
        self.file.sync_data()?;
        self.last_step = step;
        Ok(())
    }

    /// Adds that the run has ended well.
    ///
    /// # Errors
    /// As [`EventFile::write`].
    pub fn finish(&mut self) -> io::Result<()> {
        self.write(self.last_step, vec![Value::session_end(now())])
    }

    fn append(&mut self, step: u32, what: What) -> io::Result<()> {
        let event = Event { wall_time: now(), step: step.into(), what: Some(what) };
        let mut bytes = Vec::new();
        record::put(&mut bytes, &event.encode_to_vec());
        self.file.write_all(&bytes)
    }
}

/// Our event file in the directory; the first of several.
fn find(dir: &Path) -> io::Result<Option<PathBuf>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let is_ours = |name: &&str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    Ok(names.iter().filter_map(|name| name.to_str()).filter(is_ours).min().map(|name| dir.join(name)))
}

/// How many bytes of the file are events up to `step`, before any end of the run; and the last step among them.
pub fn kept(file: &[u8], step: u32) -> (usize, u32) {
    let (mut rest, mut last_step) = (file, 0);
    while let Some((bytes, after)) = record::take(rest)
        && let Ok(event) = Event::decode(bytes)
        && let Ok(at) = u32::try_from(event.step)
        && (last_step..=step).contains(&at)
        && !is_end(&event)
    {
        (rest, last_step) = (after, at);
    }
    // A run that has no step yet may begin anew with other hyper-parameters.
    if last_step == 0 { (0, 0) } else { (file.len() - rest.len(), last_step) }
}

fn is_end(event: &Event) -> bool {
    matches!(&event.what, Some(What::Summary(summary)) if summary.values.iter().any(|value| value.tag == SESSION_END))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hparams() -> BTreeMap<String, Hyperparameter> {
        BTreeMap::from([("seed".into(), Hyperparameter::Number(42.0))])
    }

    fn open(dir: &Path, step: u32) -> EventFile {
        EventFile::open(dir, step, hparams()).unwrap()
    }

    fn write(events: &mut EventFile, step: u32) {
        events.write(step, vec![Value::scalar("loss", step.into())]).unwrap();
    }

    /// The step and first tag of each event.
    fn read(path: &Path) -> Vec<(i64, String)> {
        let file = fs::read(path).unwrap();
        let (mut rest, mut events) = (&file[..], Vec::new());
        while let Some((bytes, after)) = record::take(rest) {
            let event = Event::decode(bytes).unwrap();
            let tag = match event.what.unwrap() {
                What::FileVersion(version) => version,
                What::Summary(summary) => summary.values[0].tag.clone(),
            };
            events.push((event.step, tag));
            rest = after;
        }
        assert!(rest.is_empty());
        events
    }

    #[test]
    fn an_event_has_the_bytes_that_its_definition_gives_it() {
        let what = What::Summary(Summary { values: vec![Value::scalar("loss", 0.5)] });
        let event = Event { wall_time: 2.0, step: 3, what: Some(what) };
        let expect = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 3][..], // Field 1, a double; field 2, a varint.
            &[0x2a, 13, 0x0a, 11],                           // Field 5, 13 bytes; in it field 1, 11 bytes:
            b"\x0a\x04loss",
            &[0x15, 0, 0, 0, 0x3f],
        ];
        assert_eq!(event.encode_to_vec(), expect.concat());
    }

    #[test]
    fn a_run_that_goes_on_gives_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = open(dir.path(), 0);
        (1..=3).for_each(|step| write(&mut events, step));
        let path = events.path().to_owned();
        events.finish().unwrap();
        let expect = |steps: &[i64]| {
            let start = [(0, FILE_VERSION.into()), (0, "_hparams_/session_start_info".into())];
            start.into_iter().chain(steps.iter().map(|&step| (step, "loss".into()))).collect::<Vec<_>>()
        };
        // The last step came after the checkpoint to go on from.
        let mut events = open(dir.path(), 2);
        assert_eq!(events.last_step(), 2);
        assert_eq!(read(&path), expect(&[1, 2]));
        (3..=4).for_each(|step| write(&mut events, step));
        assert_eq!(read(&path), expect(&[1, 2, 3, 4]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_that_begins_anew_has_its_own_hyperparameters() {
        let dir = tempfile::tempdir().unwrap();
        write(&mut open(dir.path(), 0), 1);
        let other = BTreeMap::from([("seed".into(), Hyperparameter::Text("other".into()))]);
        let events = EventFile::open(dir.path(), 0, other).unwrap();
        assert_eq!(read(events.path()).len(), 2);
        let file = fs::read(events.path()).unwrap();
        assert!(file.windows(5).any(|window| window == b"other"));
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = open(dir.path(), 0);
        let mut ends = vec![fs::metadata(events.path()).unwrap().len() as usize];
        for step in 1..=2 {
            write(&mut events, step);
            ends.push(fs::metadata(events.path()).unwrap().len() as usize);
        }
        let good = fs::read(events.path()).unwrap();
        for at in 0..good.len() {
            let left = ends.iter().rposition(|&end| end <= at).unwrap_or(0) as u32;
            fs::write(events.path(), &good[..at]).unwrap();
            assert_eq!(open(dir.path(), 2).last_step(), left, "{at}");
            assert_eq!(read(events.path()).len(), 2 + left as usize, "{at}");
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(events.path(), bad).unwrap();
            assert_eq!(open(dir.path(), 2).last_step(), left, "{at}");
        }
    }
}
