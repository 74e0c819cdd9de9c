//! A configuration as a file: read as a layer below the flags, and written so that `--config` and `--resume` read it.

use std::{io::ErrorKind, path::Path};

use anyhow::Context;
use flags::layers::{self, Error, Layer};
use process::exit::{Code, OrExit};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Config;

/// Flags that no file can have: they say where a configuration comes from, where results go, or what is printed and shown.
pub(crate) const NOT_KEYS: [&str; 9] =
    ["config", "resume", "run-dir", "json", "quiet", "page", "page-token", "page-linger", "help"];

/// The values in a configuration file, or in that of a run.
pub(super) fn read_layer(path: &Path, is_run: bool) -> Result<Layer, Error> {
    let name = path.display().to_string();
    let text = layers::read(path).map_err(|error| {
        let missing_run = is_run && error.kind() == ErrorKind::NotFound;
        let hint = if missing_run { "; there is no run to go on with, so start one without --resume" } else { "" };
        Error::Layer(format!("failed to read `{name}`: {error}{hint}"))
    })?;
    let layer = parse_layer(&name, &text)?;
    match NOT_KEYS.into_iter().find(|key| layer.values.contains_key(*key)) {
        Some(key) => Err(Error::Layer(format!("`{key}` cannot stand in `{name}`; give it as a flag"))),
        None => Ok(layer),
    }
}

/// The values in the text of a configuration file, which messages name so.
#[doc(hidden)] // For those who try to break it.
pub fn parse_layer(name: &str, text: &str) -> Result<Layer, Error> {
    match text.parse() {
        Ok(values) => Ok(Layer { name: name.into(), values }),
        Err(error) => Err(Error::Layer(one_line(name, text, &error))),
    }
}

/// toml's own message spans several lines, with a picture; ours names the place in one.
fn one_line(name: &str, text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("`{name}` line {line}: {}", error.message().replace('\n', ", "))
}

/// A group of flags as a flat table: long flags without dashes, and their values.
/// Fails when a path is not UTF-8. The same holds for the functions below.
pub(crate) fn table(flags: &impl Serialize) -> anyhow::Result<Map<String, Value>> {
    let value = serde_json::to_value(flags).context("a path is not UTF-8").or_exit(Code::Usage)?;
    let mut table: Map<String, Value> = serde_json::from_value(value).context("flags are no table")?;
    if table.contains_key("endless") {
        table.remove("samples"); // No flags say both, and one of them is always there.
    }
    Ok(table)
}

/// The configuration as values that a file can hold, by long flag.
pub(crate) fn values(config: &Config) -> anyhow::Result<toml::Table> {
    let value = |value| match value {
        Value::String(text) => text.into(),
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => number.to_string().into(), // An integer beyond TOML's; read as if typed, so a string will do.
        },
        other => other.to_string().into(),
    };
    Ok(table(config)?.into_iter().map(|(key, given)| (key, value(given))).collect())
}

pub(crate) fn text(config: &Config) -> anyhow::Result<String> {
    let body =
        toml::to_string(&values(config)?).context("failed to write the configuration").or_exit(Code::Software)?;
    Ok(format!("# What this run was started with. `orchestrator --config FILE` repeats it.\n{body}"))
}
