//! What versions before the native step wrote. They had `--precision f32` or `bf16`, and no step but libtorch's.

/// Flags of a checkpoint in today's words.
///
/// # Errors
/// When this version cannot train as they say.
#[cfg(feature = "checkpoint")]
pub(crate) fn flags(flags: &mut [(String, String)]) -> Result<(), String> {
    for (name, value) in flags.iter_mut().filter(|(name, _)| name == "precision") {
        if value != "f32" {
            return Err(format!(
                "was trained in {value}, which this version does not do; resume it with the version that wrote it"
            ));
        }
        (*name, *value) = ("step".into(), "libtorch".into());
    }
    Ok(())
}

/// A configuration in today's words.
pub(crate) fn config(mut table: toml::Table) -> toml::Table {
    if table.remove("precision").is_some() {
        table.entry("step").or_insert_with(|| "libtorch".into());
    }
    table
}
