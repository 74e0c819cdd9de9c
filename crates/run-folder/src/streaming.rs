//! The streaming log is what only the orchestrator sees of a run: its command line, how long each phase before training
//! took, and how many samples were durable when. The report draws the ingest rate from it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, STREAMING, read};

/// Changes when an older reader would misread a newer file.
const FORMAT: u32 = 1;

/// [`STREAMING`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Streaming {
    format: u32,
    /// The orchestrator's command line.
    pub command: Vec<String>,
    /// The phases before training, with their seconds.
    pub phases: Vec<(String, f64)>,
    /// How many samples were durable when.
    pub points: Vec<Point>,
}

/// So many samples were durable, so many seconds after the senders were started.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the sentence above says it")]
pub struct Point {
    pub seconds: f64,
    pub samples: u64,
}

impl Streaming {
    /// The log of a run that this command started.
    pub fn new(command: Vec<String>, phases: Vec<(String, f64)>, points: Vec<Point>) -> Self {
        Self { format: FORMAT, command, phases, points }
    }

    /// That of a run folder; `None` if no orchestrator started the run.
    ///
    /// # Errors
    /// When it is damaged or of another format.
    pub fn read(run_folder: &Path) -> Result<Option<Self>, Error> {
        let path = run_folder.join(STREAMING);
        match read::json::<Self>(&path)? {
            Some(Self { format, .. }) if format != FORMAT => {
                Err(Error::Other { path, what: format!("has format {format}, not {FORMAT}") })
            }
            streaming => Ok(streaming),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_names_its_format_phases_and_points_and_comes_back() {
        let points = vec![Point { seconds: 0.5, samples: 1000 }];
        let streaming = Streaming::new(vec!["orchestrator".into()], vec![("data".into(), 0.25)], points);
        let text = serde_json::to_string(&streaming).unwrap();
        let expect = r#"{"format":1,"command":["orchestrator"],"phases":[["data",0.25]],"points":[{"seconds":0.5,"samples":1000}]}"#;
        assert_eq!(text, expect);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Streaming::read(dir.path()).unwrap(), None);
        fs::write(dir.path().join(STREAMING), &text).unwrap();
        assert_eq!(Streaming::read(dir.path()).unwrap(), Some(streaming));
        fs::write(dir.path().join(STREAMING), text.replace(":1,", ":2,")).unwrap();
        assert!(Streaming::read(dir.path()).unwrap_err().to_string().ends_with("` has format 2, not 1"));
        fs::write(dir.path().join(STREAMING), "{").unwrap();
        assert!(Streaming::read(dir.path()).unwrap_err().to_string().contains("` is damaged: EOF"));
    }
}
