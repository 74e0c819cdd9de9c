//! Random numbers that nobody can guess or repeat: of these, none reaches a model.

use anyhow::Context;

/// So many random bytes, in hex.
pub(crate) fn hex<const BYTES: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).context("failed to get random numbers from the system")?;
    Ok(hex::encode(bytes))
}
