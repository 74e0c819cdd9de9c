//! Start-up: what a program takes to say how it is used, from being started to its end.

use std::time::{Duration, Instant};

use crate::{
    Measurement, Target, child,
    programs::command,
    series::Unit,
    turns::{self, Contestant},
};

/// It is over so quickly that it can be repeated more often than other kinds.
const TIMES: u32 = 10;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    let limits = [("sender", 10.0), ("receiver", 10.0), ("trainer", 50.0)];
    let help = |name: &str| format!("{name} --help");
    let mut contestants = limits.map(|(name, _)| Contestant::of(help(name), Unit::Milliseconds, move || start(name)));
    let results = turns::take(TIMES * turns, &mut contestants)?;
    let target = |(name, limit)| {
        let name = help(name);
        let measured = results.get(&name).cloned();
        Target::at_most(limit, Unit::Milliseconds, format!("start-up, `{name}`"), measured)
    };
    let targets = limits.map(target).into();
    let about = "From being started to the end of the process, its files in the page cache.".into();
    Ok(Measurement { title: "Start-up".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn start(name: &str) -> anyhow::Result<f64> {
    let mut command = command(name)?;
    command.arg("--help");
    let start = Instant::now();
    child::output(command, LIMIT)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
