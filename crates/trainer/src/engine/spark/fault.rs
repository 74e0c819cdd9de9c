//! Spark's errors as a user needs them. A server wraps what a worker said into what its executor said, into what the
//! scheduler said, and adds stack traces.

use anyhow::anyhow;
use process::exit::{Code, failure};
use spark_connect::SparkError;

/// gRPC's code for who is not known.
const UNAUTHENTICATED: i32 = 16;
const MAX_CHARS: usize = 800;

/// Conditions that mean that the chunks are not what they must be, or not where.
const ABOUT_DATA: [&str; 5] = [
    "PATH_NOT_FOUND",
    "FAILED_READ_FILE",
    "UNABLE_TO_INFER_SCHEMA",
    "UNRESOLVED_COLUMN",
    "UnsupportedFileSystemException",
];

/// A server's error in a few lines, with its exit code. A worker that failed decides that of the driver: both are the
/// trainer.
pub(super) fn report(error: SparkError) -> anyhow::Error {
    let text = error.to_string();
    if is_lost_connection(&error) {
        return failure(Code::Unavailable, anyhow!("the connection to the Spark server broke: {}", essence(&text)));
    }
    if error.grpc_code == Some(UNAUTHENTICATED) {
        let hint = "put its token into the environment variable SPARK_CONNECT_AUTHENTICATE_TOKEN";
        return failure(Code::Refused, anyhow!("the Spark server refuses us: {}; {hint}", essence(&text)));
    }
    if let Some((status, said)) = of_worker(&text) {
        let said = essence(said);
        let said = if said.is_empty() { "it said nothing" } else { said.strip_prefix("trainer: ").unwrap_or(&said) };
        // Those of a shell that does not find the command or may not run it, and of `timeout`.
        let (code, hint) = match status {
            126 | 127 => (Code::Usage, "; is --worker-command the trainer on every executor?"),
            124 | 137 => (Code::Unavailable, "; did it take longer than --spark-patience, or too much memory?"),
            _ => (code_of_worker(status), ""),
        };
        return failure(code, anyhow!("a worker failed (exit status {status}): {said}{hint}"));
    }
    let is_about_data = ABOUT_DATA.iter().any(|condition| text.contains(condition));
    let code = if is_about_data { Code::Data } else { Code::Unavailable };
    failure(code, anyhow!("{}", essence(&text)))
}

/// Whether the connection to the server broke, rather than that the server has something to say.
pub(super) fn is_lost_connection(error: &SparkError) -> bool {
    /// Also what a request gets that was about to be sent as the connection broke.
    const CANCELLED: i32 = 1;
    const UNKNOWN: i32 = 2;
    const UNAVAILABLE: i32 = 14;
    match error.grpc_code {
        Some(UNAVAILABLE) => true,
        Some(CANCELLED | UNKNOWN) => error.grpc_details.is_none(), // What a server says comes with details.
        _ => false,
    }
}

/// The exit status of the worker that this error is about, and what it said.
fn of_worker(text: &str) -> Option<(u8, &str)> {
    let (_, rest) = text.split_once("Subprocess exited with status ")?;
    let (status, said) = rest.split_once(". Error: ")?;
    Some((status.parse().ok()?, said))
}

fn code_of_worker(status: u8) -> Code {
    match Code::from(status) {
        // It stands for all numbers that are no codes as well.
        code if code == Code::Software || code.is_stop() => Code::Unavailable,
        code => code,
    }
}

/// What is left without stack traces, names of classes and conditions, and where in the cluster it was.
fn essence(text: &str) -> String {
    let cause = match text.split_once("most recent failure: ") {
        Some((_, lost)) => lost.split_once("): ").map_or(lost, |(_, cause)| cause),
        None => text,
    };
    let is_trace = |line: &&str| line.starts_with("at ") || line.starts_with("...") || *line == "Driver stacktrace:";
    let lines = cause.lines().map(str::trim).take_while(|line| !is_trace(line)).filter(|line| !line.is_empty());
    let mut text = lines.map(unlabelled).collect::<Vec<_>>().join("\n");
    if let Some(at) = text.find(" SQLSTATE: ") {
        text.truncate(at);
    }
    let text = text.trim_end_matches(['.', '\n']);
    let shown: String =
        text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).take(MAX_CHARS).collect();
    if shown.len() < text.len() { shown + " …" } else { shown }
}

/// A line without the conditions and classes that stand before it: `[CONDITION] `, `java.io.IOException: `.
fn unlabelled(line: &str) -> &str {
    let mut line = line;
    while let Some((label, rest)) = line.split_once(' ') {
        let is_condition = label.starts_with('[') && label.ends_with(']');
        let is_class = label.contains('.') && (label.ends_with("Exception:") || label.ends_with("Error:"));
        if !is_condition && !is_class {
            break;
        }
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: Code, expect: &str) {
        let error = report(SparkError::connect_msg(text));
        assert_eq!((error.to_string().as_str(), process::exit::code_of(&error)), (expect, code));
    }

    #[test]
    fn a_worker_that_failed_is_heard_through_all_who_pass_it_on() {
        let expect = "a worker failed (exit status 65): the weights have not arrived here";
        let said = "Subprocess exited with status 65. Error: trainer: the weights have not arrived here\n.";
        check(&format!("[_LEGACY_ERROR_TEMP_2264] {said}"), Code::Data, expect);
        let lost = "Job aborted due to stage failure: Task 0 in stage 6.0 failed 4 times, most recent failure: Lost task \
                    0.3 in stage 6.0 (TID 7) (127.0.0.1 executor 1): org.apache.spark.SparkException:";
        let text = format!("[org.apache.spark.SparkException] {lost} {said}\n\tat scala.X.y(Z.scala:1)\n\tat a.b(c)\n");
        check(&text, Code::Data, expect);
    }

    #[test]
    fn the_exit_status_of_a_worker_is_the_drivers_where_it_means_something() {
        for (status, code) in [(64, Code::Usage), (74, Code::Io), (1, Code::Unavailable), (143, Code::Unavailable)] {
            let text = format!("Subprocess exited with status {status}. Error: .");
            check(&text, code, &format!("a worker failed (exit status {status}): it said nothing"));
        }
        let expect = "a worker failed (exit status 124): it said nothing; did it take longer than --spark-patience, or too \
                      much memory?";
        check("Subprocess exited with status 124. Error: .", Code::Unavailable, expect);
        let expect = "a worker failed (exit status 127): bash: no such command; is --worker-command the trainer on every \
                      executor?";
        check("Subprocess exited with status 127. Error: bash: no such command\n.", Code::Usage, expect);
    }

    #[test]
    fn of_what_spark_says_the_cause_is_kept() {
        let text = "[PATH_NOT_FOUND] [PATH_NOT_FOUND] Path does not exist: file:/nowhere/x. SQLSTATE: 42K03";
        check(text, Code::Data, "Path does not exist: file:/nowhere/x");
        let text = "[a.UnsupportedFileSystemException] No FileSystem for scheme \"s3x\"";
        check(text, Code::Data, "No FileSystem for scheme \"s3x\"");
        let text = "[org.apache.spark.SparkException] Job aborted due to stage failure: Task 0 in stage 6.0 failed 1 times, \
                    most recent failure: Lost task 0.0 in stage 6.0 (TID 7) (localhost executor driver): \
                    java.io.IOException: Stream closed\n\tat a.b(c)\nDriver stacktrace:\n";
        check(text, Code::Unavailable, "Stream closed");
    }

    #[test]
    fn a_connection_that_broke_is_told_from_a_server_that_says_no() {
        let is_lost = |code, details: Option<&[u8]>| {
            let mut error = SparkError::connect_msg("operation was canceled");
            (error.grpc_code, error.grpc_details) = (code, details.map(Into::into));
            is_lost_connection(&error)
        };
        assert!([1, 2, 14].into_iter().all(|code| is_lost(Some(code), None)));
        assert!(!is_lost(Some(1), Some(b"said")) && !is_lost(Some(2), Some(b"said")) && !is_lost(Some(13), None));
        assert!(!is_lost(None, None));
    }

    #[test]
    fn a_long_or_coloured_error_is_cut_and_shown_without_its_codes() {
        let error = report(SparkError::connect_msg(format!("\x1b[31m{}", "ä".repeat(5000)))).to_string();
        assert!(error.starts_with("?[31mää") && error.ends_with("ä …"), "{error}");
        assert_eq!(error.chars().count(), MAX_CHARS + 2);
    }
}
