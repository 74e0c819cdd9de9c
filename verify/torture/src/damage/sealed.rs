//! Damage to a checkpoint. Its weights are 1.7 MB, and all of them are hashed each time; so every bit of the header is
//! flipped and every length is tried, but of the bits of the weights only some, evenly spread.

use std::{fs, path::Path};

use anyhow::ensure;
use rayon::prelude::*;
use run_folder::{Checkpoint, Origin, ServerState, Sums, record::Record, seal};
use weights::SIMPLE_CNN;

use super::{DAMAGED, TOLD};
use crate::Finding;

/// Damages the checkpoint of a second round, with `weight_bits` bits of its weights.
pub(super) fn run(weight_bits: usize, finding: &mut Finding) -> anyhow::Result<()> {
    let written = checkpoint();
    let good = written.to_bytes()?;
    ensure!(is_whole(&good), "the checkpoint is not what it should be");
    let header = 8 + u64::from_le_bytes(*good.first_chunk().expect("it begins with a length")) as usize;
    let weights = 8 * (good.len() - header);
    let spread =
        (0..weight_bits).map(|number| 8 * header + (number as u128 * weights as u128 / weight_bits as u128) as usize);
    let bits: Vec<usize> = (0..8 * header).chain(spread).collect();
    let flipped = |bad: &mut Vec<u8>, bit: &usize| {
        bad[bit / 8] ^= 1 << (bit % 8);
        let unnoticed = is_whole(bad);
        bad[bit / 8] ^= 1 << (bit % 8);
        unnoticed.then(|| format!("bit {} of byte {} of a checkpoint", bit % 8, bit / 8))
    };
    let mut violations: Vec<String> = bits.par_iter().map_init(|| good.clone(), flipped).flatten().collect();
    let cut = |length| is_whole(&good[..length]).then(|| format!("a checkpoint cut to {length} bytes"));
    violations.par_extend((0..good.len()).into_par_iter().filter_map(cut));

    let names = misplace(&written, &good, &mut violations)?;
    violations.truncate(TOLD);
    let flipped = format!("{}: all of the header, and {weight_bits} of the weights", bits.len());
    finding.figure("checkpoint, bits flipped", flipped);
    finding.figure("checkpoint, lengths cut to", good.len());
    finding.figure("checkpoint, damaged or misplaced on the disk", names);
    finding.cases += (bits.len() + good.len() + names) as u64;
    finding.violations.extend(violations);
    Ok(())
}

/// Files on the disk: each must be refused as damaged, and named. Returns how many.
fn misplace(written: &Checkpoint, good: &[u8], violations: &mut Vec<String>) -> anyhow::Result<usize> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(written.file_name());
    fs::write(&path, good)?;
    ensure!(Checkpoint::read(&path, &SIMPLE_CNN, &written.origin)? == *written, "the checkpoint does not come back");
    let flip = |at: usize| {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        bad
    };
    let mut cases = vec![(written.file_name(), Vec::new()), (written.file_name(), [good, &[0]].concat())];
    for at in (0..good.len()).step_by(good.len() / 100) {
        cases.extend([flip(at), good[..at].to_vec()].map(|bad| (written.file_name(), bad)));
    }
    cases.extend([1, 3, 999].map(|round| (format!("round-{round:03}.safetensors"), good.to_vec())));
    for (name, bytes) in &cases {
        let path = dir.path().join(name);
        fs::write(&path, bytes)?;
        if !is_refused(&path, &written.origin) {
            violations.push(format!("{name} with {} bytes", bytes.len()));
        }
        fs::remove_file(path)?;
    }
    Ok(cases.len())
}

fn is_refused(path: &Path, origin: &Origin) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Checkpoint::read(path, &SIMPLE_CNN, origin)
        .is_err_and(|error| error.exit_code() == DAMAGED && error.to_string().contains(&*name))
}

/// Whether the bytes are read as a file that is whole.
fn is_whole(bytes: &[u8]) -> bool {
    let read = SIMPLE_CNN.from_safetensors_with(bytes);
    read.is_ok_and(|(weights, beside, mut said)| seal::check(&weights, &beside, &mut said).is_ok())
}

fn checkpoint() -> Checkpoint {
    let flags = vec![("seed".into(), "42".into()), ("partitions".into(), "2".into())];
    let origin = Origin { flags, data: "ab".repeat(32), dataset: "mnist".into() };
    Checkpoint {
        origin,
        history: vec![Record::example(1), Record::example(2)],
        unlisted: Sums::default(),
        global: SIMPLE_CNN.init(1),
        position: None,
        server: ServerState::default(),
    }
}
