//! The `sender` program: flags, logging, signals and the dataset; the work is in the library.

mod output;
mod source;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use flags::address;
use process::{
    exit::{self, failure},
    shutdown::{self, Shutdown, stopped},
};
use sender::{Config, Outcome, Source};
use terminal::count;

use crate::{
    output::Output,
    source::{Found, Stream},
};

/// Streams MNIST, or another dataset of the same shape, to a receiver over TCP.
///
/// Started before the receiver, it waits for it. A broken connection is made again, and goes on where the receiver says.
#[derive(Parser)]
#[command(name = "sender", version)]
struct Flags {
    /// The receiver's address
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9999", value_parser = address::to_connect)]
    connect: String,
    #[command(flatten)]
    security: flags::Security,
    /// Encrypt on loopback too, as a tunnel to another machine needs; elsewhere all is encrypted
    #[arg(long, help_heading = "Security")]
    tls: bool,
    #[command(flatten)]
    streaming: flags::Streaming,
    #[command(flatten)]
    stream: Stream,
    /// How long to try to reach the receiver without progress
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// Find, download or draw the dataset and check it, and send nothing
    #[arg(long)]
    prepare: bool,
    #[command(flatten)]
    output: flags::Output,
}

fn main() -> ExitCode {
    let flags = match flags::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    terminal::logging::init();
    let stopped = shutdown::listen(flags.output.lifeline);
    exit::report("sender", stopped.map_err(Into::into).and_then(|(_, shutdown)| run(&flags, shutdown)))
}

fn run(flags: &Flags, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = Output::new(flags.output.json);
    match runtime.block_on(find(flags, &output, &mut shutdown)) {
        Ok(found) if flags.prepare => {
            found.tell(&output); // That was all that was asked for.
            Ok(())
        }
        Ok(found) => {
            let source = found.source(&flags.streaming, &flags.stream)?;
            runtime.block_on(stream(flags, &source, &output, shutdown))
        }
        Err(error) => {
            // A download may be under way. It leaves nothing half done, but what it has started is to end with it.
            runtime.shutdown_timeout(Duration::from_secs(1));
            Err(error)
        }
    }
}

/// Finds, downloads or draws the dataset.
async fn find(flags: &Flags, output: &Output, shutdown: &mut Shutdown) -> anyhow::Result<Found> {
    let (streaming, output, stop) = (flags.streaming.clone(), output.clone(), shutdown.clone());
    tokio::select! {
        found = tokio::task::spawn_blocking(move || source::find(&streaming, &output, &stop)) => found?,
        cause = shutdown.wait() => Err(stopped(cause)),
    }
}

async fn stream(flags: &Flags, source: &Source, output: &Output, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Config {
        tls: flags.tls,
        samples_per_batch: flags.streaming.samples_per_batch.into(),
        batch_delay: flags.streaming.batch_delay,
        deadline: flags.deadline,
        ..Config::new(&flags.connect, &flags.security.key)
    };
    let (extent, name, started) = (source.extent, &source.dataset, Instant::now());
    let total = extent.end.map_or(0, |end| end - extent.first);
    output.durable(0, total);
    let outcome = sender::run(source, &config, shutdown, |durable| output.durable(durable, total)).await;
    output.finish();
    match outcome? {
        Outcome::Complete => {
            let seconds = started.elapsed().as_secs_f64();
            let samples = match extent.is_contiguous() {
                true => format!("samples {extent}"),
                false => count(total, "sample"),
            };
            output.result(&format!("sent {samples} of {name} in {seconds:.1} s; all are durable"));
            Ok(())
        }
        Outcome::Sealed(durable) => {
            let durable = count(durable, "sample");
            output.result(&format!("the receiver was stopped, and has {durable} of {name}; all are durable"));
            Ok(())
        }
        Outcome::Stopped(cause, durable) => {
            let of = if total == 0 { String::new() } else { format!(" of {}", count(total, "sample")) };
            let text = format!("durable: {durable}{of}; start the sender again to go on");
            Err(failure(cause.code(), anyhow::anyhow!("stopped by {}: {text}", cause.as_str())))
        }
    }
}
