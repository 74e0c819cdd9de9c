//! The doctor looks at this machine before a run: what the run needs, whether it is there, and what to do about what is
//! not. It changes nothing, and each of its probes has a time limit.
//!
//! - `tools`: programs and libraries; `machine`: port, disk, memory, processor; `data`: the dataset's files;
//! - `finding`: what is asked and answered.

mod data;
mod finding;
mod machine;
mod tools;

use std::{future::ready, pin::Pin, thread, time::Duration};

use native::Isa;
use terminal::Console;
use tokio::{sync::oneshot, time::timeout};

use self::finding::Finding;
pub use self::{finding::Plan, machine::room_for_samples};
use crate::{cache::unavailable, spark};

/// All probes run at once, so this is the limit of the whole.
const LIMIT: Duration = Duration::from_millis(1800);

/// Looks at everything, prints a line for each, and says whether such a run can go ahead.
///
/// # Errors
/// When it cannot.
pub async fn report(plan: &Plan, console: &Console) -> anyhow::Result<()> {
    let findings = examine(plan).await?;
    findings.iter().for_each(|(subject, finding)| console.result(&finding.line(subject)));
    let stops: Vec<_> = findings.iter().filter(|(_, finding)| finding.stops).map(|(subject, _)| *subject).collect();
    if stops.is_empty() {
        console.result("\na run can go ahead");
        return Ok(());
    }
    Err(unavailable(format!("a run cannot go ahead before this is mended: {}", stops.join(", "))))
}

/// Everything at once; in the order in which a run needs it.
async fn examine(plan: &Plan) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let tools = tools::Tools::find();
    let spark = spark::is_needed(&plan.engine);
    let (streaming, listen) = (plan.streaming.clone(), plan.listen.clone());
    let (for_disk, for_memory, step) = (plan.clone(), plan.clone(), plan.training.local.step);
    let fetches = tools.fetches_libtorch();
    let (libtorch, programs) = (tools.libtorch(), tools.programs());
    let probes: [(&str, Probe); 12] = [
        ("compiler", Box::pin(tools::compiler(tools.clone()))),
        ("cargo", Box::pin(tools::cargo(tools.clone()))),
        ("python", Box::pin(tools::python(tools))),
        ("libtorch", Box::pin(ready(libtorch))),
        ("programs", Box::pin(ready(programs))),
        ("data", in_thread(move || data::examine(&streaming))),
        ("port", in_thread(move || machine::port(&listen))),
        ("disk", in_thread(move || machine::disk(&for_disk, fetches))),
        ("memory", in_thread(move || machine::memory(&for_memory))),
        ("processor", Box::pin(ready(machine::processor(step, Isa::best())))),
        ("java", Box::pin(tools::java(spark))),
        ("spark", in_thread(move || tools::spark(spark))),
    ];
    let running = probes.map(|(subject, probe)| (subject, tokio::spawn(within(LIMIT, probe))));
    let mut findings = Vec::new();
    for (subject, finding) in running {
        findings.push((subject, finding.await?));
    }
    Ok(findings)
}

type Probe = Pin<Box<dyn Future<Output = Finding> + Send>>;

/// What a probe finds in its time. What does not answer stops nobody: a run would wait for it longer.
async fn within(limit: Duration, probe: impl Future<Output = Finding>) -> Finding {
    let silent = |_| Finding::wrong(format!("no answer within {} s", limit.as_secs_f64()));
    timeout(limit, probe).await.unwrap_or_else(silent)
}

/// A probe on a thread of its own, which ends with the process: a disk of another machine may not answer.
fn in_thread(examine: impl FnOnce() -> Finding + Send + 'static) -> Probe {
    let (sender, finding) = oneshot::channel();
    thread::spawn(move || drop(sender.send(examine())));
    Box::pin(async { finding.await.unwrap_or_else(|_| Finding::wrong("it failed; please report this")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_does_not_answer_is_told_and_stops_nobody() {
        let finding = within(Duration::ZERO, std::future::pending()).await;
        assert_eq!(finding.line("disk"), "wrong    disk         no answer within 0 s");
        assert!(!finding.stops);
    }
}
