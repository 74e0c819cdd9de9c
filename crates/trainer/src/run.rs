//! A run is a sequence of rounds with a memory: opened new or where it stopped, told of every round, and finished.

use std::{collections::BTreeMap, path::Path};

use anyhow::anyhow;
use checkpoint::{
    Checkpoint, Origin,
    record::{self, Record},
    seal,
};
use cli::{
    count,
    event::Event,
    exit::{Code, failure},
    flags::When,
    shutdown::{Cause, Shutdown},
};
use dataset::{CLASSES, Dataset};
use model::StateDict;
use store::Manifest;

use crate::{
    board::{Board, Confusion},
    config::Config,
    output, reporting,
    run_folder::{FINAL_MODEL, REPORT, RunFolder, SUMMARY},
    summary::Summary,
    test_set,
};

pub(crate) struct Run<'a> {
    config: &'a Config,
    folder: RunFolder,
    board: Board,
    /// The run after the last round that was recorded.
    state: Checkpoint,
}

impl<'a> Run<'a> {
    /// Opens the run folder, and goes on from its newest checkpoint or else from the `initial` weights.
    pub(crate) fn open(
        config: &'a Config,
        origin: Origin,
        initial: StateDict,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let folder = RunFolder::open(&config.folder, shutdown)?;
        let state = match checkpoint::newest(&folder.checkpoints())? {
            Some(path) => Checkpoint::read(&path, &origin)?,
            None => Checkpoint { origin, history: Vec::new(), global: initial },
        };
        let (path, done) = (folder.path().display(), state.history.len());
        if config.rounds < done as u32 {
            let error = anyhow!(
                "run folder `{path}` already has {}; --rounds {} is fewer",
                count(done, "round"),
                config.rounds
            );
            return Err(failure(Code::Usage, error));
        }
        if config.rounds == done as u32 {
            tracing::info!("run folder `{path}` already has all its rounds ({done}); to train more, raise --rounds");
        } else if done > 0 {
            tracing::info!("resuming after round {done}");
        }
        // Not earlier: a refused resume must leave the folder as it is.
        if (done as u32) < config.rounds {
            // Those of the shorter run would pass for this one's until it ends.
            folder.remove_results()?;
        }
        folder.write_config(&config.effective)?;
        folder.write_rounds(&state.history)?;
        let board = Board::open(folder.path(), &state)?;
        Ok(Self { config, folder, board, state })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn history(&self) -> &[Record] {
        &self.state.history
    }

    pub(crate) fn global(&self) -> &StateDict {
        &self.state.global
    }

    pub(crate) fn next_round(&self) -> u32 {
        self.state.history.len() as u32 + 1
    }

    /// Announces what comes.
    pub(crate) fn start(&mut self, manifest: &Manifest, test_set: &Dataset, engine: &str) -> anyhow::Result<()> {
        let Config { rounds, partitions, local, .. } = self.config;
        let (samples, chunks) = (manifest.samples, manifest.chunks.len());
        let text = format!(
            "{}: {} received in {}, {}{}\n\
             rounds {rounds}, partitions {partitions}, engine {engine}, seed {}; results in {}\n\n{}",
            manifest.dataset.name,
            count(samples, "sample"),
            count(chunks, "chunk"),
            count(test_set.len(), "test sample"),
            test_set::foreign(&test_set.name, &manifest.dataset.name),
            local.seed,
            self.path().display(),
            record::header(self.shows_received()),
        );
        let event = Event::Training {
            samples,
            partitions: (*partitions).into(),
            first_round: self.next_round(),
            rounds: *rounds,
            run_dir: self.path().to_owned(),
        };
        self.show(&event, &text)?;
        // Of a resumed run the whole table is shown. A kill may have come between a checkpoint and its event.
        let logged = self.folder.logged_rounds()?;
        for record in &self.state.history {
            let event = record.event();
            if !logged.contains(&(record.round, record.model_sha256.clone())) {
                self.folder.append_event(&event)?;
            }
            output::show(self.config.json, &event, &record.line(self.shows_received()));
        }
        Ok(())
    }

    /// Makes a round durable, then shows it.
    pub(crate) fn record(&mut self, record: Record, global: StateDict, confusion: &Confusion) -> anyhow::Result<()> {
        self.board.record(&record, &global, confusion)?; // Before the checkpoint; `Board` says why.
        let (event, text) = (record.event(), record.line(self.shows_received()));
        self.state.history.push(record);
        self.state.global = global;
        self.folder.write_checkpoint(&self.state)?;
        self.folder.write_rounds(&self.state.history)?;
        self.show(&event, &text)
    }

    /// How a run ends that is told to stop. Every file in its folder is complete or absent, so there is nothing to do.
    pub(crate) fn stopped(&self, cause: Cause) -> anyhow::Error {
        let how = cause.as_str();
        let error = match self.history().len() {
            0 => anyhow!("stopped by {how} before the first checkpoint"),
            _ => anyhow!("stopped by {how}; to go on: trainer --resume {}", self.path().display()),
        };
        failure(cause.code(), error)
    }

    /// Writes the final model, the summary and the report, then shows the second. `scores` are what the final model says
    /// of the test set.
    pub(crate) fn finish(
        mut self,
        summary: &Summary,
        test_set: &Dataset,
        scores: &[[f32; CLASSES]],
    ) -> anyhow::Result<()> {
        // No times here: the same seed gives the same file.
        let Origin { flags, data, dataset } = &self.state.origin;
        let mut metadata: BTreeMap<String, String> = flags.iter().cloned().collect();
        metadata.extend([
            (seal::FORMAT.into(), "tributary model 1".into()),
            ("rounds".into(), summary.rounds.to_string()),
            ("data".into(), data.clone()),
            ("dataset".into(), dataset.clone()),
        ]);
        self.folder.write(FINAL_MODEL, &seal::seal(&self.state.global, metadata))?;
        let mut json = serde_json::to_vec_pretty(summary)?;
        json.push(b'\n');
        self.folder.write(SUMMARY, &json)?;
        self.board.finish()?;
        let report = reporting::of_run(self.folder.path(), test_set, scores)?;
        self.folder.write(REPORT, report.as_bytes())?;
        let text = summary.text(self.folder.path());
        self.show(&Event::Summary { text: text.clone() }, &format!("\n{text}"))
    }

    fn shows_received(&self) -> bool {
        self.config.received_accuracy == When::EachRound
    }

    fn show(&mut self, event: &Event, text: &str) -> anyhow::Result<()> {
        self.folder.append_event(event)?;
        output::show(self.config.json, event, text);
        Ok(())
    }
}
