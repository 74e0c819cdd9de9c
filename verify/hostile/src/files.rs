//! Files of data: chunks, the manifest, IDX files; what TensorBoard is told; and configuration files.

use std::path::Path;

use orchestrator::config::{Config, parse_layer};
use store::Manifest;

/// A chunk file. Its digest stands in its name, so that bytes cannot contradict it.
/// Panics when the chunk that was read has not one label and 784 pixels a sample.
pub fn chunk(data: &[u8]) -> bool {
    store::samples_in(Path::new("chunk"), data).is_ok_and(|samples| samples > 0)
}

/// A manifest, sealed again if it is one but for its digest.
/// Panics when a manifest is written otherwise than it was read.
pub fn manifest(data: &[u8]) -> bool {
    let sealed = serde_json::from_slice(data).map(|manifest: Manifest| manifest.encode());
    let bytes = sealed.as_deref().unwrap_or(data);
    Manifest::decode(bytes).inspect(|manifest| assert_eq!(manifest.encode(), bytes)).is_ok()
}

/// A file of images.
pub fn images(data: &[u8]) -> bool {
    dataset::check_images(data).is_ok()
}

/// A file of labels.
pub fn labels(data: &[u8]) -> bool {
    dataset::check_labels(data).is_ok()
}

/// A packed file of images.
pub fn gzip(data: &[u8]) -> bool {
    dataset::unpack_idx(data).is_ok_and(|data| dataset::check_images(&data).is_ok())
}

/// The third event of an event file, with the checksums that it must have.
pub fn event(data: &[u8]) -> bool {
    let mut file = Vec::new();
    // Of no bytes is an event at step 0.
    for event in [b"", b"", data] {
        tensorboard::put_record(&mut file, event);
    }
    tensorboard::kept(&file, 2).0 == file.len()
}

/// A configuration file of the orchestrator; of flags there are none.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let layer = parse_layer("run.toml", text);
    layer.and_then(|layer| flags::layers::resolve::<Config>(&["orchestrator".into()], &[layer])).is_ok()
}
