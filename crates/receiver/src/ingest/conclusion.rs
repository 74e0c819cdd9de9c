//! How the work ends: when all streams are complete, or when the receiver is told to stop.

use super::*;

/// What senders hear whose stream might have gone on.
pub(super) const SEALED: &str = "the receiver was stopped; what is durable is all";

impl Ingest {
    /// Everything that arrived is appended and no chunk is due. Answers senders that have said `End`, and ends the work if
    /// it is done.
    pub(super) fn conclude(&mut self, now: Instant) {
        for (name, stream) in &mut self.streams {
            match stream.check_end() {
                None => {}
                Some((lease, true)) => self.effects.push(Effect::Reply(lease, Message::EndAck)),
                Some((_, false)) => {
                    let what = format!("stream `{name}`: what arrived is not what was sent");
                    self.effects.push(Effect::Reject(what));
                    self.state = State::Rejecting;
                    return;
                }
            }
        }
        match self.state {
            State::Stopping(cause) if !(seals(cause) && self.is_sealable(now)) => self.stopped(cause),
            State::Stopping(_) => self.complete(now),
            _ if self.complete_at().is_some_and(|at| at <= now) => self.complete(now),
            _ => {}
        }
    }

    fn complete(&mut self, now: Instant) {
        let seconds = self.first_sample.map_or(0.0, |since| (now - since).as_secs_f64());
        self.effects.push(Effect::Complete { seconds });
    }

    /// Whether the directory, once the receiver is told to stop, is complete although its senders would have gone on: all
    /// expected streams are there, those that have an end are at it, and others are to go on until somebody stops them.
    fn is_sealable(&self, now: Instant) -> bool {
        self.streams.len() == self.config.streams
            && self.durable.samples > 0
            && self.streams.values().any(Stream::is_endless)
            && self.streams.values().all(|stream| stream.is_sealable(now, self.config.grace))
    }

    /// When the directory is complete, if nothing more happens.
    pub(super) fn complete_at(&self) -> Option<Instant> {
        if self.streams.len() < self.config.streams {
            return None;
        }
        let settled = self.streams.values().map(|stream| stream.settled_at(self.config.grace));
        settled.reduce(|latest, at| Some(latest?.max(at?))).flatten()
    }

    /// The manifest is durable. If the receiver was stopped, senders that are there are told, and those that are away have
    /// some time to come back and ask.
    pub(super) fn completed(&mut self, now: Instant, seconds: f64) {
        let Totals { samples, chunks } = self.durable;
        self.effects.push(Effect::Report(Event::Complete { samples, chunks, seconds }));
        let outcome = Outcome::Complete { samples, chunks, seconds };
        if !matches!(self.state, State::Stopping(_)) {
            return self.finish(Ok(outcome));
        }
        self.reply_all(&failed(ErrorCode::Sealed, SEALED));
        let grace = self.config.grace;
        let untold = self.streams.iter().filter(|(_, stream)| stream.is_missed(now, grace));
        let untold = untold.map(|(name, _)| name.clone()).collect();
        self.state = State::Leaving { untold, until: now + grace, outcome };
    }

    /// Ends once everybody knows that the streams are sealed, or has had the time to ask.
    pub(super) fn leave(&mut self, now: Instant) {
        if let State::Leaving { untold, until, outcome } = &self.state
            && (untold.is_empty() || *until <= now)
        {
            self.finish(Ok(*outcome));
        }
    }

    pub(super) fn stopped(&mut self, cause: Cause) {
        self.end(ErrorCode::Stopping, "the receiver was stopped", Ok(Outcome::Stopped(cause)));
    }

    /// Ends every session, and the work.
    pub(super) fn end(&mut self, code: ErrorCode, text: &str, result: Result<Outcome, store::Error>) {
        self.reply_all(&failed(code, text));
        self.finish(result);
    }

    fn finish(&mut self, result: Result<Outcome, store::Error>) {
        self.state = State::Ended;
        self.effects.push(Effect::Finish(result));
    }
}

/// Whether somebody who stops the receiver so wants its streams to be over. A terminal that was closed, or a parent process
/// that is gone, says nothing of the kind: they can be gone on with.
fn seals(cause: Cause) -> bool {
    match cause {
        Cause::Interrupt | Cause::Terminate => true,
        Cause::HangUp | Cause::Lifeline => false,
    }
}
