//! Configuration files.

use orchestrator::config::{Config, parse_layer};

/// A configuration file of the orchestrator; of flags there are none.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let layer = parse_layer("run.toml", text);
    layer.and_then(|layer| flags::layers::resolve::<Config>(&["orchestrator".into()], &[layer])).is_ok()
}
