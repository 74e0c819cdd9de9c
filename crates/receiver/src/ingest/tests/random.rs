//! Two senders and a store in memory, with all kinds of trouble in random order.

use super::*;

const NAMES: [&str; 2] = ["a", "b"];
const LENGTH: u64 = 60;

struct Trouble {
    play: Play,
    dice: u64,
    millis: u64,
    leases: u64,
    senders: [Sender; 2],
    /// Whose samples wait for their chunk.
    pending: Vec<usize>,
    finished: bool,
}

#[derive(Default)]
struct Sender {
    connection: Option<Connection>,
    /// Samples that the store has, that are in chunks, and that the sender knows to be in chunks.
    appended: u64,
    durable: u64,
    told: u64,
}

#[derive(Clone, Copy)]
struct Connection {
    lease: u64,
    /// The sample to send next, once it was welcomed.
    next: Option<u64>,
    answered: bool,
}

impl Trouble {
    fn new(seed: u64) -> Trouble {
        let senders = Default::default();
        Trouble { play: Play::new(2), dice: seed, millis: 0, leases: 0, senders, pending: Vec::new(), finished: false }
    }

    /// A pseudo-random number.
    fn below(&mut self, end: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.dice >> 33) % end
    }

    /// One of the senders does something, or time passes.
    fn step(&mut self) {
        let sender = self.below(2) as usize;
        let (choice, count) = (self.below(10), 1 + self.below(12));
        let connection = &mut self.senders[sender].connection;
        let input = match (choice, connection.as_mut()) {
            (0, _) | (1..8, None) => {
                self.leases += 1; // A connection from before is not closed: its words are late.
                *connection = Some(Connection { lease: self.leases, next: None, answered: false });
                open(self.leases, NAMES[sender], LENGTH)
            }
            (1, Some(&mut Connection { lease, .. })) => {
                *connection = None;
                close(lease)
            }
            (2..8, Some(&mut Connection { lease, answered: true, .. })) => bye(lease),
            (2..8, Some(&mut Connection { lease, next: Some(LENGTH), .. })) => end(lease, LENGTH),
            (2..8, Some(Connection { lease, next: Some(next), .. })) => {
                let first = std::mem::replace(next, LENGTH.min(*next + count));
                data(*lease, first, *next)
            }
            _ => {
                self.millis += self.below(1000);
                Input::Tick
            }
        };
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.millis += self.below(3);
            let now = self.play.start + Duration::from_millis(self.millis);
            for effect in self.play.ingest.handle(now, input) {
                next = self.execute(effect);
            }
            assert!(next.is_some() || self.play.ingest.deadline().is_none_or(|at| at > now));
        }
    }

    fn execute(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Declare { lease, open } => return Some(Input::Declared { lease, open, result: Ok(()) }),
            Effect::Append { stream, samples: Samples { batch, .. } } => {
                let (sender, count) = ((stream == "b") as usize, batch.count());
                assert_eq!(batch.first_position(), self.senders[sender].appended, "in order, and once");
                self.senders[sender].appended += count as u64;
                self.pending.extend(std::iter::repeat_n(sender, count));
            }
            Effect::Seal if self.below(4) == 0 => return Some(Input::Failed(full())),
            Effect::Seal => return Some(Input::Sealed(self.seal())),
            Effect::Complete { seconds } => return Some(Input::Completed { seconds }),
            Effect::Reply(lease, reply) => self.hear(lease.0, &reply),
            Effect::Finish(result) => self.finished = matches!(result, Ok(Outcome::Complete { samples: 120, .. })),
            Effect::Forget(_) | Effect::Report(_) => {}
            Effect::Reject(_) | Effect::Warn(_) => panic!("{effect:?}"),
        }
        None
    }

    fn seal(&mut self) -> Vec<Durable> {
        let chunk: Vec<usize> = self.pending.drain(..PER_CHUNK.min(self.pending.len())).collect();
        assert!(!chunk.is_empty());
        chunk.iter().for_each(|&sender| self.senders[sender].durable += 1);
        let inside = [0, 1].into_iter().filter(|sender| chunk.contains(sender));
        inside.map(|sender| Durable { stream: NAMES[sender].into(), position: self.senders[sender].durable }).collect()
    }

    fn hear(&mut self, lease: u64, reply: &Message) {
        let holds = |sender: &&mut Sender| sender.connection.is_some_and(|connection| connection.lease == lease);
        let Some(sender) = self.senders.iter_mut().find(holds) else {
            return assert!(matches!(reply, Message::Error(_)), "a connection that was replaced hears {reply:?}");
        };
        let connection = sender.connection.as_mut().unwrap();
        match reply {
            Message::Welcome(welcome) => {
                assert_eq!((welcome.next, welcome.durable), (sender.appended, sender.durable));
                connection.next = Some(welcome.next);
            }
            Message::Ack(position) => {
                assert!(*position == sender.durable && *position > sender.told, "an ack is true");
                sender.told = *position;
            }
            Message::EndAck => {
                assert_eq!(sender.durable, LENGTH);
                connection.answered = true;
            }
            Message::Pause(_) | Message::Resume => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whatever_happens_every_sample_is_stored_once_and_no_ack_is_early() {
    for seed in 0..50 {
        let mut trouble = Trouble::new(seed);
        let steps = (0..3000)
            .take_while(|_| {
                !trouble.finished && {
                    trouble.step();
                    true
                }
            })
            .count();
        assert!(trouble.finished, "seed {seed}: after {steps} steps");
    }
}
