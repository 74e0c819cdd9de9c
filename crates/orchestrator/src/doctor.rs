//! The doctor looks at this machine before a run: what the run needs, whether it is there, and what to do about what is
//! not. It changes nothing, and each of its probes has a time limit.
//!
//! - `tools`: programs and libraries; `machine`: port, disk, memory, processor; `data`: the dataset's files.

mod data;
mod machine;
mod tools;

use std::{fmt, pin::Pin, thread, time::Duration};

use anyhow::anyhow;
use cli::exit::{Code, failure};
use tokio::{sync::oneshot, time::timeout};

use crate::{config::Config, console::Console};

/// All probes run at once, so this is the limit of the whole.
const LIMIT: Duration = Duration::from_millis(1800);

/// How things stand with something that a run may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Missing,
    Wrong,
}

/// What one probe has found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    subject: &'static str,
    state: State,
    /// What was found, and the command that mends it.
    text: String,
    /// A run cannot go ahead like this.
    stops: bool,
}

impl Finding {
    fn new(subject: &'static str, state: State, text: impl Into<String>) -> Finding {
        Finding { subject, state, text: text.into(), stops: false }
    }

    fn ok(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(subject, State::Ok, text)
    }

    /// That this stands in the way of a run, if it is so and `needed` too.
    fn stops_if(self, needed: bool) -> Finding {
        Finding { stops: needed && self.state != State::Ok, ..self }
    }
}

/// One line; whatever a path or a program's words may hold.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Wrong => "wrong",
        };
        let text = self.text.replace(char::is_control, " ");
        write!(f, "{state:<8} {:<12} {text}", self.subject)
    }
}

/// Looks at everything, prints a line for each, and says whether a run with this configuration can go ahead.
///
/// # Errors
/// When it cannot.
pub async fn report(config: &Config, console: &Console) -> anyhow::Result<()> {
    let findings = examine(config).await?;
    findings.iter().for_each(|finding| console.result(&finding.to_string()));
    let stops: Vec<_> = findings.iter().filter(|finding| finding.stops).map(|finding| finding.subject).collect();
    if stops.is_empty() {
        console.result("\na run can go ahead");
        return Ok(());
    }
    Err(failure(Code::Unavailable, anyhow!("a run cannot go ahead before this is mended: {}", stops.join(", "))))
}

/// Everything at once; in the order in which a run needs it.
async fn examine(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let tools = tools::Tools::find();
    let spark = tools::SparkNeeds::of(&config.engine);
    let (streaming, listen) = (config.streaming.clone(), config.listen.clone());
    let (for_disk, for_memory, precision) = (config.clone(), config.clone(), config.training.precision);
    let fetches = tools.fetches_libtorch();
    let probes = [
        probe("compiler", tools::compiler(tools.clone())),
        probe("cargo", tools::cargo(tools.clone())),
        probe("python", tools::python(tools.clone())),
        now(tools.libtorch()),
        now(tools.programs()),
        probe("data", in_thread(move || data::examine(&streaming))),
        probe("port", in_thread(move || machine::port(&listen))),
        probe("disk", in_thread(move || machine::disk(&for_disk, fetches))),
        probe("memory", in_thread(move || machine::memory(&for_memory))),
        probe("processor", in_thread(move || machine::processor(precision))),
        probe("java", tools::java(spark)),
        probe("spark", in_thread(move || tools::spark(spark))),
    ];
    let running: Vec<_> = probes.into_iter().map(tokio::spawn).collect();
    let mut findings = Vec::new();
    for finding in running {
        findings.push(finding.await?);
    }
    Ok(findings)
}

type Probe = Pin<Box<dyn Future<Output = Finding> + Send>>;

/// A probe that has its time. What does not answer stops nobody: a run would wait for it longer.
fn probe(subject: &'static str, examine: impl Future<Output = Finding> + Send + 'static) -> Probe {
    Box::pin(within(LIMIT, subject, examine))
}

async fn within(limit: Duration, subject: &'static str, examine: impl Future<Output = Finding>) -> Finding {
    let silent = |_| Finding::new(subject, State::Wrong, format!("no answer within {} s", limit.as_secs_f64()));
    timeout(limit, examine).await.unwrap_or_else(silent)
}

fn now(finding: Finding) -> Probe {
    Box::pin(std::future::ready(finding))
}

/// On a thread of its own, which ends with the process: a disk of another machine may not answer.
async fn in_thread(examine: impl FnOnce() -> Finding + Send + 'static) -> Finding {
    let (sender, finding) = oneshot::channel();
    thread::spawn(move || drop(sender.send(examine())));
    finding.await.unwrap_or_else(|_| Finding::new("probe", State::Wrong, "it failed; please report this"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_does_not_answer_is_told_and_stops_nobody() {
        let finding = within(Duration::ZERO, "disk", std::future::pending()).await;
        assert_eq!(finding.to_string(), "wrong    disk         no answer within 0 s");
        assert!(!finding.stops);
    }

    #[test]
    fn a_finding_is_one_line_and_what_is_there_stops_nobody() {
        let finding = Finding::ok("data", "`a\nb\x1b[31m`").stops_if(true);
        assert_eq!((finding.to_string().as_str(), finding.stops), ("ok       data         `a b [31m`", false));
        assert!(Finding::new("data", State::Missing, "").stops_if(true).stops);
    }
}
