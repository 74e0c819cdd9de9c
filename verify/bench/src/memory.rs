//! Memory: what each process holds at its peak, as the kernel counts it (`VmHWM`), with all of MNIST.

use crate::{
    Measurement, Target, mnist, programs, record,
    series::{Series, Unit},
    turns::{self, Contestant},
};

const SAMPLES: u64 = 60_000;
const TRAINER: &str = "trainer, 2 partitions";
const RECEIVER: &str = "receiver";
const SENDER: &str = "sender";

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // The sender would fetch it, or fail less clearly.
    let results = turns::take(turns, &mut [Contestant::new("all processes", processes)])?;
    let target = |bound, name: &str| {
        Target::at_most(bound, Unit::Megabytes, format!("memory, {name}"), results.get(name).cloned())
    };
    let targets = vec![target(700.0, TRAINER), target(64.0, RECEIVER), target(160.0, SENDER)];
    let about = format!("Peak resident memory with {SAMPLES} samples: one sender, no simulated delay, one round.");
    Ok(Measurement { title: "Memory".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn processes() -> anyhow::Result<Vec<Series>> {
    let dir = record::scratch()?;
    let chunks = dir.path().join("chunks");
    let streamed = programs::ingest(&chunks, SAMPLES, "0ms")?;
    let (_, trainer) = programs::train(&chunks, &["--rounds=1".into(), "--partitions=2".into()])?;
    let peaks = [(TRAINER, trainer), (RECEIVER, streamed.receiver), (SENDER, streamed.sender)];
    Ok(peaks.map(|(name, value)| Series::one(name, Unit::Megabytes, value)).into())
}
