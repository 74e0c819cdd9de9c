//! `trainer worker`: the part of the trainer that runs on the executors of a cluster. It reads samples from stdin, does
//! its job with one partition after the other, and writes a reply for each to stdout. It is a pure function of its
//! command line, the weights and the samples: whoever runs it twice gets the same bytes.

mod job;
mod row;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead, Read, Write},
    iter::Peekable,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use model::{StateDict, evaluate};
use process::exit::{Code, OrExit};
use sample::{PIXELS, Samples};

pub use job::{Arguments, Job};
pub use row::{Outcome, Reply, Sample};

use crate::{
    config::ARCHITECTURE,
    data::digest::Digest,
    round::{
        local::{Turn, train_partition},
        self_check,
    },
};

/// The longest line that is read; a sample takes about a thousand bytes.
const MAX_LINE: u64 = 4096;

/// Does the job with the samples in `input`, and writes the replies to `output`. The rows of a partition come together, in
/// any order.
///
/// # Errors
/// When the driver is another version, a row is not one, samples are missing, or the weights are.
pub fn run(arguments: &Arguments, input: impl BufRead, mut output: impl Write) -> anyhow::Result<()> {
    let job = &arguments.job().or_exit(Code::Usage)?;
    let global = job.weights().map(find_weights).transpose()?;
    tracing::debug!("the weights are read");
    let (mut rows, mut over, mut checked) = (rows(input).peekable(), BTreeSet::new(), false);
    while let Some((partition, places)) = next_partition(&mut rows, &mut over).or_exit(Code::Data)? {
        tracing::debug!("the samples of partition {partition} are read");
        let reply = reply(partition, places, job, global.as_ref(), &mut checked)?;
        tracing::debug!("partition {partition} is done");
        writeln!(output, "{}", reply.encode()).context("failed to write to stdout")?;
    }
    output.flush().context("failed to write to stdout")
}

type Places = BTreeMap<u32, Sample>;

/// The rows and their numbers, from 1.
fn rows(mut input: impl BufRead) -> impl Iterator<Item = anyhow::Result<(u64, Sample)>> {
    let mut line = Vec::new(); // One buffer for all.
    let mut read = move |number| -> anyhow::Result<_> {
        line.clear();
        input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("failed to read stdin")?;
        if line.is_empty() {
            return Ok(None);
        }
        let text = str::from_utf8(&line).ok().and_then(|line| line.strip_suffix('\n'));
        let text = text.with_context(|| format!("row {number} on stdin is no line of text, or too long"))?;
        let sample = Sample::decode(text).map_err(|what| anyhow!("row {number} on stdin is no sample: {what}"))?;
        Ok(Some((number, sample)))
    };
    (1..).map_while(move |number| read(number).transpose())
}

/// The next partition and its number; nothing at the end. A worker holds one at a time. Those that are `over` are not to
/// come again.
fn next_partition(
    rows: &mut Peekable<impl Iterator<Item = anyhow::Result<(u64, Sample)>>>,
    over: &mut BTreeSet<u32>,
) -> anyhow::Result<Option<(u32, Places)>> {
    let Some((row, first)) = rows.next().transpose()? else { return Ok(None) };
    let number = first.partition;
    ensure!(over.insert(number), "row {row} on stdin: partition {number} was over before");
    let mut places = Places::from([(first.place, first)]);
    while let Some(next) = rows.next_if(|next| next.as_ref().map_or(true, |(_, sample)| sample.partition == number)) {
        let (row, sample) = next?;
        let place = sample.place;
        let twice = places.insert(place, sample);
        ensure!(twice.is_none(), "row {row} on stdin: partition {number} has two samples in place {place}");
    }
    Ok(Some((number, places)))
}

fn reply(
    partition: u32,
    places: Places,
    job: &Job,
    global: Option<&StateDict>,
    checked: &mut bool,
) -> anyhow::Result<Reply> {
    let n = places.len();
    if let Some((expected, _)) = (0..).zip(places.keys()).find(|(expected, place)| expected != *place) {
        fail!(Code::Data, "partition {partition} has no sample in place {expected}");
    }
    let digest = places.values().map(|sample| Digest::of(sample.seq, sample.label, &sample.image)).sum();
    let mut samples = Samples { labels: Vec::with_capacity(n), images: Vec::with_capacity(n * PIXELS) };
    for sample in places.into_values() {
        samples.labels.push(sample.label);
        samples.images.extend(sample.image);
    }
    let result = match (job, global) {
        (Job::Count, _) | (_, None) => Outcome::Counted,
        (Job::Evaluate { .. }, Some(global)) => {
            // Spark decides how many cores are busy, by the number of workers.
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
            let evaluation = alone.install(|| evaluate(global, &samples.images, &samples.labels));
            Outcome::Evaluated(evaluation.correct as u64)
        }
        (&Job::Train { seed, round, ref local, .. }, Some(global)) => {
            let slice = samples.as_slice();
            if !std::mem::replace(checked, true) {
                self_check::check(local, seed, slice)?;
            }
            let update = train_partition(local, Turn { seed, round, partition }, global, slice, &go_on)?;
            Outcome::Trained(update.train_loss, Box::new(update.state_dict))
        }
    };
    Ok(Reply { partition, samples: n as u64, digest, result })
}

fn go_on(_partition: Option<u32>, _samples: usize) -> anyhow::Result<()> {
    if is_gone() {
        fail!(Code::Unavailable, "nobody reads the replies any more");
    }
    Ok(())
}

/// Whether nobody reads what goes to stdout: the task was cancelled, or Spark is gone, which does not end its workers. It
/// can only be told of a pipe, and on Unix.
fn is_gone() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let stdout = std::io::stdout();
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())]; // Errors are reported unasked.
        let found = poll(&mut descriptors, Some(&Timespec::default()));
        found.is_ok() && descriptors[0].revents().contains(PollFlags::ERR)
    }
    #[cfg(not(unix))]
    false
}

/// The name of the file that weights are shipped in.
pub fn weights_file(sha256: &str) -> String {
    format!("tributary-{sha256}.safetensors")
}

/// The weights with this SHA-256, from where Spark puts what it ships.
fn find_weights(sha256: &str) -> anyhow::Result<StateDict> {
    let name = weights_file(sha256);
    let path = find(&name).ok_or_else(|| anyhow!("the weights `{name}` have not arrived here")).or_exit(Code::Data)?;
    let (weights, _) = ARCHITECTURE.read(&path).or_exit(Code::Data)?;
    if weights.sha256() != sha256 {
        fail!(Code::Data, "`{}` is damaged", path.display());
    }
    Ok(weights)
}

/// Spark ships files into a directory that it appends to `PATH`, or into a folder in it, one for each session.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let roots = env::split_paths(&path).last().into_iter().chain(env::current_dir());
    let found = |dir: &Path| Some(dir.join(name)).filter(|path| path.is_file());
    roots.into_iter().find_map(|root| {
        let folders = || fs::read_dir(&root).ok()?.find_map(|entry| found(&entry.ok()?.path()));
        found(&root).or_else(folders)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::example;

    fn rows(samples: &Samples, partition: u32) -> String {
        let row = |place: usize| Sample {
            partition,
            place: place as u32,
            seq: place as u64,
            label: samples.labels[place],
            image: samples.images[place * PIXELS..][..PIXELS].to_vec(),
        };
        // Backwards: the order of rows is Spark's business.
        (0..samples.len()).rev().map(|place| row(place).encode() + "\n").collect()
    }

    fn replies(job: &Job, input: &str) -> anyhow::Result<Vec<Reply>> {
        let mut output = Vec::new();
        run(&job.arguments(), input.as_bytes(), &mut output)?;
        let text = String::from_utf8(output).unwrap();
        let decode = |line: &str| {
            let fields = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            Reply::decode(fields, ARCHITECTURE).unwrap()
        };
        Ok(text.lines().map(decode).collect())
    }

    #[test]
    fn every_partition_gets_its_reply() {
        let input = rows(&example(5), 1) + &rows(&example(3), 0);
        let replies = replies(&Job::Count, &input).unwrap();
        assert_eq!(replies.iter().map(|reply| (reply.partition, reply.samples)).collect::<Vec<_>>(), [(1, 5), (0, 3)]);
        assert!(replies.iter().all(|reply| reply.result == Outcome::Counted));
        assert_ne!(replies[0].digest, replies[1].digest);
        assert!(self::replies(&Job::Count, "").unwrap().is_empty());
    }

    #[test]
    fn garbage_is_an_error_that_names_the_row() {
        let (good, other) = (rows(&example(2), 0), rows(&example(1), 1));
        for (input, what) in [
            ("\n".to_owned(), "row 1 on stdin is no sample: its partition is ``"),
            (good.clone() + "x", "row 3 on stdin is no line of text, or too long"),
            (good.clone() + &"x".repeat(5000), "row 3 on stdin is no line of text, or too long"),
            (good.clone() + &good, "row 3 on stdin: partition 0 has two samples in place 1"),
            (good.clone() + &other + &good, "row 4 on stdin: partition 0 was over before"),
            (good.lines().next().unwrap().to_owned() + "\n", "partition 0 has no sample in place 0"),
        ] {
            let error = replies(&Job::Count, &input).unwrap_err();
            assert_eq!(process::exit::code_of(&error), Code::Data);
            assert!(format!("{error:#}").starts_with(what), "{error:#}");
        }
        let error = run(&Job::Count.arguments(), &b"\xff\n"[..], Vec::new()).unwrap_err();
        assert!(format!("{error:#}").contains("row 1 on stdin is no line of text"), "{error:#}");
    }

    #[test]
    fn a_driver_of_another_version_and_weights_that_are_not_there_are_told_clearly() {
        let mut other = Job::Count.arguments();
        other.rows += 1;
        let error = run(&other, &b""[..], Vec::new()).unwrap_err().to_string();
        assert!(error.contains("install the same trainer on both sides"), "{error}");
        let error = replies(&Job::Evaluate { weights: "00".into() }, "").unwrap_err().to_string();
        assert_eq!(error, "the weights `tributary-00.safetensors` have not arrived here");
    }
}
