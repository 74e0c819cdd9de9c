//! The journal of a run: opened new or where the run stopped, told of every round, and finished. It keeps the run folder,
//! and shows what happens.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::anyhow;
use dataset::Dataset;
use event::Event;
use flags::{LiveTraining, Training, When};
use model::StateDict;
use process::{
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use run_folder::{
    Checkpoint, FINAL_MODEL, Listed, Origin, Position, REPORT, SUMMARY, ServerState, Summary, Sums, checkpoint,
    record::{self, Columns, Record},
    seal,
};
use terminal::count;

use super::{
    FinalEvaluation, RunInputs,
    board::{Board, Confusion},
    early_end,
    folder::RunFolder,
    strategy, summary,
    tables::Tables,
};
use crate::{
    commands::report,
    config::{ARCHITECTURE, Config},
    data::test_set,
    folder_failure, output,
};

/// Checkpoints that a live run keeps: the newest is all that it needs, and a stream may have no end.
const KEPT: usize = 2;

pub(crate) struct Journal<'a> {
    config: &'a Config,
    folder: RunFolder,
    tables: Tables,
    board: Board,
    /// The run after the last round that was recorded.
    state: Checkpoint,
}

fn damaged(path: PathBuf, what: String) -> anyhow::Error {
    let advice = "; remove it to resume from the checkpoint before";
    folder_failure(run_folder::Error::Damaged { path, advice, what })
}

impl<'a> Journal<'a> {
    /// Opens the run folder, and goes on from its newest checkpoint or else from the `initial` weights.
    pub(crate) fn open(
        config: &'a Config,
        origin: Origin,
        initial: StateDict,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let folder = RunFolder::open(&config.folder, shutdown)?;
        let state = match checkpoint::newest(folder.path()).map_err(folder_failure)? {
            Some(path) => {
                let state = Checkpoint::read(&path, ARCHITECTURE, &origin).map_err(folder_failure)?;
                if !state.server.keys().eq(strategy::chosen(config).remembers()) {
                    return Err(damaged(path, "it does not hold what its strategy remembers".into()));
                }
                state
            }
            None => {
                let (history, unlisted, server) = (Vec::new(), Sums::default(), ServerState::default());
                Checkpoint { origin, history, unlisted, global: initial, position: None, server }
            }
        };
        let (path, done) = (folder.path().display(), state.rounds());
        // A live run has as many as its stream has slices.
        let rounds = config.live.is_none().then_some(config.training.rounds);
        if rounds.is_some_and(|rounds| rounds < done) {
            let (done, rounds) = (count(done, "round"), config.training.rounds);
            fail!(Code::Usage, "run folder `{path}` already has {done}; --rounds {rounds} is fewer");
        }
        if rounds == Some(done) {
            tracing::info!("run folder `{path}` already has all its rounds ({done}); to train more, raise --rounds");
        } else {
            if done > 0 {
                tracing::info!("resuming after round {done}");
            }
            // A refused resume leaves them as they are, and the configuration. Of a live run it is not known yet whether it is.
            if rounds.is_some() {
                folder.remove_results()?;
            }
        }
        if rounds.is_some() {
            folder.write_config(&config.effective)?;
        }
        let tables = Tables::open(folder.path(), config.live.is_some(), &state.history)?;
        let board = Board::open(folder.path(), &state)?;
        if config.live.is_some() {
            folder.keep_checkpoints(KEPT)?; // A kill may have left one more.
        }
        Ok(Self { config, folder, tables, board, state })
    }

    /// What to say of a newest checkpoint that is whole, but says what no run does.
    pub(crate) fn damaged(&self, what: String) -> anyhow::Error {
        damaged(self.folder.checkpoint(&self.state), what)
    }

    /// The rounds so far; the newest of a live run.
    pub(crate) fn history(&self) -> &[Record] {
        &self.state.history
    }

    /// Sums over all rounds so far.
    pub(crate) fn sums(&self) -> Sums {
        self.state.sums()
    }

    /// Sums of what is not in the history.
    pub(crate) fn unlisted(&self) -> &Sums {
        &self.state.unlisted
    }

    /// The summary of an earlier end of this run; none if it is damaged, since it is only to be replaced.
    pub(crate) fn earlier_summary(&self) -> Option<Summary> {
        Summary::read(self.folder.path()).ok().flatten()
    }

    pub(crate) fn global(&self) -> &StateDict {
        &self.state.global
    }

    /// What the strategy remembers after the last round.
    pub(crate) fn server(&self) -> &ServerState {
        &self.state.server
    }

    /// Where in its stream a live run stands, after its last round.
    pub(crate) fn position(&self) -> Option<&Position> {
        self.state.position.as_ref()
    }

    pub(crate) fn next_round(&self) -> u32 {
        self.state.rounds() + 1
    }

    pub(crate) fn start(&mut self, RunInputs { manifest, test_set }: RunInputs<'_>) -> anyhow::Result<()> {
        let Config { training: Training { rounds, seed, .. }, partitions, .. } = self.config;
        let (samples, chunks, engine) = (manifest.samples, manifest.chunks.len(), self.config.flag("engine"));
        let text = format!(
            "{}: {} received in {}, {}{}\n\
             rounds {rounds}, partitions {partitions}{}, engine {engine}, seed {seed}; results in {}\n\n{}",
            manifest.dataset.name,
            count(samples, "sample"),
            count(chunks, "chunk"),
            count(test_set.samples.len(), "test sample"),
            test_set::foreign(&test_set.name, &manifest.dataset.name),
            self.config.strategy_clause(),
            self.folder.path().display(),
            record::header(self.columns()),
        );
        let event = Event::Training {
            samples,
            partitions: (*partitions).into(),
            first_round: self.next_round(),
            rounds: *rounds,
            run_dir: self.folder.path().to_owned(),
        };
        self.show(&event, &text)?;
        self.show_history()
    }

    /// Says that slices are trained on from here. Until the run ends, earlier results would be those of a shorter one.
    pub(crate) fn start_live(&mut self, live: &LiveTraining, dataset: &str, test_set: &Dataset) -> anyhow::Result<()> {
        self.folder.remove_results()?;
        self.folder.write_config(&self.config.effective)?;
        let Config { training: Training { seed, .. }, partitions, .. } = self.config;
        let LiveTraining { samples_per_round, replay, .. } = live;
        let text = format!(
            "{dataset}: live, a round for each {samples_per_round} samples, replay {replay}, {}{}\n\
             partitions {partitions}{}, engine {}, seed {seed}; results in {}\n\n{}",
            count(test_set.samples.len(), "test sample"),
            test_set::foreign(&test_set.name, dataset),
            self.config.strategy_clause(),
            self.config.flag("engine"),
            self.folder.path().display(),
            record::header(self.columns()),
        );
        let event = Event::Live {
            partitions: (*partitions).into(),
            first_round: self.next_round(),
            samples_per_round: *samples_per_round,
            replay: replay.to_string(),
            run_dir: self.folder.path().to_owned(),
        };
        self.show(&event, &text)?;
        self.show_history()
    }

    fn show_history(&mut self) -> anyhow::Result<()> {
        // Of a resumed run the whole table is shown. A kill may have come between a checkpoint and its event.
        let logged = self.folder.logged_rounds()?;
        for record in &self.state.history {
            let event = record.event();
            if !logged.contains(&(record.round, record.model_sha256.clone())) {
                self.folder.append_event(&event)?;
            }
            if self.config.json {
                // They were logged when they were seen.
                for &seq in &record.drifts {
                    output::show(true, &Event::Drift { round: record.round, seq }, "");
                }
            }
            output::show(self.config.json, &event, &record.line(self.columns()));
        }
        Ok(())
    }

    /// Shows an event of a live run that no checkpoint holds.
    pub(crate) fn tell(&mut self, event: &Event, text: Option<&str>) -> anyhow::Result<()> {
        self.folder.append_event(event)?;
        if self.config.json || text.is_some() {
            output::show(self.config.json, event, text.unwrap_or_default());
        }
        Ok(())
    }

    /// Makes a round durable, then shows it.
    pub(crate) fn record(
        &mut self,
        record: Record,
        (global, server): (StateDict, ServerState),
        position: Option<Position>,
        confusion: &Confusion,
    ) -> anyhow::Result<()> {
        self.board.record(&record, &global, confusion)?; // Before the checkpoint; `Board` says why.
        let (event, text) = (record.event(), record.line(self.columns()));
        self.state.history.push(record);
        if self.config.live.is_some() {
            let Checkpoint { unlisted, history, .. } = &mut self.state;
            unlisted.take_over(history, Listed::LIVE);
        }
        (self.state.global, self.state.server) = (global, server);
        self.state.position = position;
        self.folder.write_checkpoint(&self.state)?;
        if self.config.live.is_some() {
            self.folder.keep_checkpoints(KEPT)?;
        }
        self.tables.record(&self.state.history)?;
        self.show(&event, &text)
    }

    /// How a run ends that is told to stop. Every file in its folder is complete or absent, so there is nothing to do.
    pub(crate) fn stopped(&self, cause: Cause) -> anyhow::Error {
        let how = cause.as_str();
        let error = match self.state.rounds() {
            0 => anyhow!("stopped by {how} before the first checkpoint"),
            _ => anyhow!("stopped by {how}; to go on: trainer --resume {}", self.folder.path().display()),
        };
        failure(cause.code(), error)
    }

    /// Writes the final model, the summary and the report, then shows the second. The trainer has worked on the run for so
    /// many seconds.
    pub(crate) fn finish(mut self, given: RunInputs<'_>, model: &FinalEvaluation, seconds: f64) -> anyhow::Result<()> {
        let summary = summary::of(self.config, given, &self.state, model, seconds);
        // No times here: the same seed gives the same file.
        let Origin { flags, data, dataset } = &self.state.origin;
        let data = self.state.position.as_ref().map_or(data, |position| &position.digest);
        let mut metadata: BTreeMap<String, String> = flags.iter().cloned().collect();
        metadata.extend([
            (seal::FORMAT.into(), "tributary model 1".into()),
            ("rounds".into(), summary.rounds.to_string()),
            ("data".into(), data.clone()),
            ("dataset".into(), dataset.clone()),
        ]);
        self.folder.write(FINAL_MODEL, &seal::seal(&self.state.global, &ServerState::default(), metadata))?;
        let mut json = serde_json::to_vec_pretty(&summary)?;
        json.push(b'\n');
        self.folder.write(SUMMARY, &json)?;
        self.board.finish()?;
        let report = report::of_run(self.folder.path(), given.test_set, &model.scores)?;
        self.folder.write(REPORT, report.as_bytes())?;
        let ends_early = self.config.live.is_none() && self.state.rounds() < self.config.training.rounds;
        let ended = early_end::reason(&self.config.training, &self.state.history).filter(|_| ends_early);
        let text = summary::text(&summary, &given.test_set.name, self.folder.path(), ended);
        self.show(&Event::Summary { text: text.clone() }, &format!("\n{text}"))
    }

    fn columns(&self) -> Columns {
        let Config { live, training, .. } = self.config;
        Columns { prequential: live.is_some(), received: training.received_accuracy == When::EachRound }
    }

    fn show(&mut self, event: &Event, text: &str) -> anyhow::Result<()> {
        self.folder.append_event(event)?;
        output::show(self.config.json, event, text);
        Ok(())
    }
}
