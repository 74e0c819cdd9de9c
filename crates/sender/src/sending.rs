//! What the sender does on an open stream, and when: a state machine that reads no clock and moves no bytes. Given the
//! time it says what to do next; it is told what was done, and what the receiver says.

use std::{ops::Range, time::Instant};

use proto::{Batch, Message, SenderEvent, SenderSession, Violation};
use sample::Extent;

use crate::{Config, error::Error};

/// Samples in a frame, 61 KiB of them: over a slow link a frame must arrive before the receiver gives the connection up,
/// and what arrives in part holds memory there.
pub(crate) const FRAME_SAMPLES: u64 = 80;
const _: () = assert!(FRAME_SAMPLES as usize <= Batch::MAX_SAMPLES);

/// An open stream on its way.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    config: &'a Config,
    session: SenderSession,
    extent: Extent,
    /// When the simulated latency of the next batch is over. It is in the past while a batch is being sent.
    due: Instant,
    last_heard: Instant,
    last_ping: Instant,
    /// When something last became durable, when samples were first sent that nothing had acknowledged yet, or when the receiver
    /// last said that it pauses.
    last_progress: Instant,
}

/// What to do if the receiver has said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send the samples at these positions in one frame, then call [`Sending::sent`].
    Send(Range<u64>),
    /// The stream ends at this position: send the message that [`Sending::end`] makes of its digest.
    End(u64),
    /// Send a ping, then call [`Sending::pinged`].
    Ping,
    /// Wait for a message until then.
    Wait(Instant),
}

impl<'a> Sending<'a> {
    /// A stream of this extent that was opened just now.
    pub(crate) fn new(now: Instant, session: SenderSession, extent: Extent, config: &'a Config) -> Self {
        let (due, [last_heard, last_ping, last_progress]) = (now + config.batch_delay, [now; 3]);
        Sending { config, session, extent, due, last_heard, last_ping, last_progress }
    }

    /// What to do next.
    ///
    /// # Errors
    /// When the connection is to be given up: the receiver says nothing, or makes nothing durable.
    pub(crate) fn next(&self, now: Instant) -> Result<Action, Error> {
        let sendable = self.session.sendable();
        if self.session.is_all_sent() {
            return Ok(Action::End(sendable.start));
        }
        if !sendable.is_empty() && self.due <= now {
            let start = sendable.start;
            return Ok(Action::Send(start..sendable.end.min(self.batch_end(start)).min(start + FRAME_SAMPLES)));
        }
        let quiet = self.last_heard.max(self.last_ping) + self.config.time_limits.ping;
        if now < quiet {
            return Ok(Action::Wait(if sendable.is_empty() { quiet } else { quiet.min(self.due) }));
        }
        if now.duration_since(self.last_heard) > self.config.time_limits.idle {
            return Err(Error::Silent);
        }
        if self.is_stalled(now) { Err(Error::Stalled) } else { Ok(Action::Ping) }
    }

    /// Notes that the samples at these positions, the first of the sendable ones, were sent.
    pub(crate) fn sent(&mut self, now: Instant, positions: &Range<u64>) {
        if self.session.durable() == positions.start {
            self.last_progress = now; // From here on the receiver owes an ack.
        }
        if positions.end == self.batch_end(positions.start) {
            self.due = now + self.config.batch_delay;
        }
        self.session.sent(positions.end - positions.start);
    }

    /// The position that is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.session.durable()
    }

    /// Notes that a ping was sent.
    pub(crate) fn pinged(&mut self, now: Instant) {
        self.last_ping = now;
    }

    /// The message that ends the stream.
    pub(crate) fn end(&mut self, digest: [u8; 32]) -> Message {
        self.session.end(digest)
    }

    /// Takes in a message from the receiver.
    ///
    /// # Errors
    /// When the receiver breaks the protocol.
    pub(crate) fn receive(&mut self, now: Instant, message: Message) -> Result<SenderEvent, Violation> {
        self.last_heard = now;
        let event = self.session.receive(message)?;
        if matches!(event, SenderEvent::Durable(_) | SenderEvent::Paused(_)) {
            self.last_progress = now;
        }
        Ok(event)
    }

    /// Whether the receiver has made nothing durable for too long, although it should.
    fn is_stalled(&self, now: Instant) -> bool {
        let (durable, sendable) = (self.session.durable(), self.session.sendable());
        // With nothing to send, there is an ack, the last one or the end of a pause to wait for.
        let owes = sendable.is_empty() || durable < sendable.start;
        // A chunk may take its time to fill. What comes when all is durable comes at once, or was lost.
        let Config { deadline, time_limits, .. } = self.config;
        let limit = if self.extent.end == Some(durable) { time_limits.idle.min(*deadline) } else { *deadline };
        owes && now.duration_since(self.last_progress) > limit
    }

    /// Where the batch that holds `position` ends. Batches are cut from the start of the stream, so a resumed stream has
    /// the same ones.
    fn batch_end(&self, position: u64) -> u64 {
        let (first, size) = (self.extent.first, self.config.samples_per_batch);
        let whole = (position - first) / size * size;
        (first + whole).saturating_add(size).min(self.extent.limit())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::{
        Binding, Credentials, Key, ReceiverEvent, ReceiverSession,
        message::{Open, Welcome},
    };

    use super::*;

    /// A stream whose time is counted in milliseconds. There is a ping after 5 s, an idle connection ends after 30 s, and
    /// the deadline is 60 s.
    struct Case {
        start: Instant,
        sending: Sending<'static>,
    }

    impl Case {
        /// Samples 100..400 in batches of 100, each after a second; the receiver says where to go on.
        fn new(next: u64, durable: u64, window: u64) -> Case {
            let (samples_per_batch, batch_delay) = (100, Duration::from_secs(1));
            let config = Config { samples_per_batch, batch_delay, ..Config::new("receiver", "key") };
            let session = welcomed(Extent::range(100..400), Welcome { next, durable, window });
            let start = Instant::now();
            Case { start, sending: Sending::new(start, session, Extent::range(100..400), Box::leak(Box::new(config))) }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Expects actions at their times, and performs them.
        #[track_caller]
        fn acts<const N: usize>(&mut self, actions: [(u64, &str); N]) {
            for (ms, expect) in actions {
                let now = self.at(ms);
                let action = self.sending.next(now);
                let text = match &action {
                    Ok(Action::Send(samples)) => format!("send {samples:?}"),
                    Ok(Action::End(position)) => format!("end at {position}"),
                    Ok(Action::Wait(until)) => format!("wait until {}", until.duration_since(self.start).as_millis()),
                    Ok(other) => format!("{other:?}").to_lowercase(),
                    Err(error) => format!("{error:?}").to_lowercase(),
                };
                assert_eq!(text, expect, "at {ms} ms");
                match action {
                    Ok(Action::Send(samples)) => self.sending.sent(now, &samples),
                    Ok(Action::End(_)) => drop(self.sending.end([0; 32])),
                    Ok(Action::Ping) => self.sending.pinged(now),
                    Ok(Action::Wait(_)) | Err(_) => {}
                }
            }
        }

        #[track_caller]
        fn hears(&mut self, ms: u64, message: Message, expect: SenderEvent) {
            assert_eq!(self.sending.receive(self.at(ms), message), Ok(expect));
        }

        /// Pings are due, and answered, every 5 s.
        #[track_caller]
        fn answers_pings(&mut self, first: u64, last: u64) {
            for ms in (first..=last).step_by(5000) {
                self.acts([(ms, "ping")]);
                self.hears(ms, Message::Pong(0), SenderEvent::Alive);
            }
        }
    }

    /// A session after handshake and `Welcome`.
    fn welcomed(extent: Extent, welcome: Welcome) -> SenderSession {
        let credentials = Credentials { key: Key::new([1; 32]), nonce: [2; 32], binding: Binding::Plain };
        let open = Open { stream: "s".into(), dataset: "d".into(), dataset_digest: [0; 32], extent };
        let (mut sender, hello) = SenderSession::new(open, credentials.clone());
        let mut receiver = ReceiverSession::new(credentials);
        let Ok(ReceiverEvent::Greet([hello, challenge])) = receiver.receive(hello) else { panic!() };
        sender.receive(hello).unwrap();
        let Ok(SenderEvent::Send(proof)) = sender.receive(challenge) else { panic!() };
        let Ok(ReceiverEvent::Send(counterproof)) = receiver.receive(proof) else { panic!() };
        sender.receive(counterproof).unwrap();
        assert_eq!(sender.receive(Message::Welcome(welcome)), Ok(SenderEvent::Ready));
        sender
    }

    #[test]
    fn a_batch_waits_for_its_latency_once_and_is_sent_in_frames_of_80() {
        let mut case = Case::new(100, 100, 1000);
        case.acts([(0, "wait until 1000"), (999, "wait until 1000")]);
        case.acts([(1000, "send 100..180"), (1000, "send 180..200"), (1000, "wait until 2000")]);
        case.acts([(2000, "send 200..280"), (2001, "send 280..300"), (2001, "wait until 3001")]);
        case.acts([(3001, "send 300..380"), (3001, "send 380..400"), (3001, "end at 400"), (3001, "wait until 5000")]);
        case.hears(3002, Message::Ack(400), SenderEvent::Durable(400));
        case.hears(3003, Message::EndAck, SenderEvent::Done);
    }

    #[test]
    fn a_resumed_stream_has_the_same_batches() {
        let mut case = Case::new(250, 250, 1000);
        case.acts([(1000, "send 250..300"), (1000, "wait until 2000"), (2000, "send 300..380")]);
    }

    #[test]
    fn a_full_window_and_a_pause_hold_samples_back() {
        let mut case = Case::new(100, 100, 40);
        case.acts([(1000, "send 100..140"), (1000, "wait until 5000")]);
        case.hears(1001, Message::Ack(120), SenderEvent::Durable(120));
        case.acts([(1001, "send 140..160")]);
        case.hears(1002, Message::pause("disk full"), SenderEvent::Paused("disk full".into()));
        case.hears(1003, Message::Ack(160), SenderEvent::Durable(160));
        case.acts([(1003, "wait until 6003")]);
        case.hears(1004, Message::Resume, SenderEvent::Alive);
        case.acts([(1004, "send 160..200")]);
    }

    #[test]
    fn silence_is_answered_with_pings_and_then_given_up() {
        let mut case = Case::new(100, 100, 40);
        case.acts([(1000, "send 100..140")]);
        case.hears(2000, Message::Ping(7), SenderEvent::Send(Message::Pong(7)));
        case.acts([(2000, "wait until 7000"), (7000, "ping"), (7000, "wait until 12000"), (12_000, "ping")]);
        case.hears(13_000, Message::Pong(0), SenderEvent::Alive);
        // The next ping is due when 30 s are just not over.
        case.acts([(18_000, "ping"), (43_000, "ping"), (48_000, "silent")]);
    }

    /// A receiver that answers pings and makes nothing durable.
    #[track_caller]
    fn check_stall(mut case: Case, from: u64, last_ping: u64) {
        case.answers_pings(from, last_ping);
        case.acts([(last_ping + 5000, "stalled")]);
    }

    #[test]
    fn a_receiver_that_makes_nothing_durable_is_given_up() {
        let mut full_window = Case::new(100, 100, 40);
        full_window.acts([(1000, "send 100..140")]);
        full_window.hears(20_000, Message::Ack(120), SenderEvent::Durable(120));
        full_window.acts([(20_000, "send 140..160")]);
        check_stall(full_window, 25_000, 80_000);
        let mut paused = Case::new(100, 100, 40);
        paused.hears(20_000, Message::pause("disk full"), SenderEvent::Paused("disk full".into()));
        check_stall(paused, 25_000, 80_000);
        // What is missing after the last sample is durable comes at once, or was lost.
        let mut ended = Case::new(400, 400, 40);
        ended.acts([(0, "end at 400")]);
        check_stall(ended, 5000, 30_000);
    }

    #[test]
    fn nothing_is_owed_while_the_latency_of_a_batch_lasts() {
        let mut case = Case::new(100, 100, 1000);
        case.sending.due = case.at(600_000);
        case.answers_pings(5000, 595_000);
        // The receiver owes an ack from the first sample on, not from the opening.
        case.acts([(600_000, "send 100..180"), (600_000, "send 180..200")]);
        case.sending.due = case.at(900_000);
        check_stall(case, 605_000, 660_000);
    }
}
