//! One connection of a sender that holds the key: the protocol on one side, the store actor on the other.

use std::time::Duration;

use proto::{
    ErrorCode, MAX_CONTROL_BODY, Message, ReceiverEvent, ReceiverSession,
    message::{Failure, Welcome},
};
use tokio::time::{Instant, timeout_at};
use transport::{Reader, Writer};

use crate::{
    budget::{Budget, Permit},
    error::Error,
    handshake::Authenticated,
    ingest::{Request, Samples},
    store_actor::StoreActor,
    time_limits::TimeLimits,
};

/// Serves the connection to its end. `Open` is to come before `due`.
pub(crate) async fn serve(
    connection: Authenticated,
    due: Instant,
    actor: &StoreActor,
    budget: &Budget,
    limits: TimeLimits,
) -> Result<(), Error> {
    let Authenticated { mut reader, writer, mut session } = connection;
    let mut writer = writer.with_limit(limits.write);
    let incoming = Incoming { reader: &mut reader, budget, permit: None, idle: limits.idle, due };
    let result = stream_samples(incoming, &mut writer, &mut session, actor).await;
    if let Some(message) = result.as_ref().err().and_then(last_message) {
        let _ = writer.send(&message).await; // The peer may be gone, and the connection ends anyway.
    }
    transport::close(reader, writer).await;
    result
}

/// Tells a sender to come back later.
pub(crate) async fn turn_away(connection: Authenticated) {
    let Authenticated { reader, mut writer, .. } = connection;
    let busy = Message::error(ErrorCode::Busy, "the receiver serves as many senders as it can");
    let _ = writer.send(&busy).await; // A sender that is gone need not hear it.
    transport::close(reader, writer).await;
}

/// Waits for the sender's `Open`, and takes the stream's samples in until the sender or the store actor ends the session.
async fn stream_samples(
    mut incoming: Incoming<'_>,
    writer: &mut Writer,
    session: &mut ReceiverSession,
    actor: &StoreActor,
) -> Result<(), Error> {
    let Some((message, _)) = incoming.next(session.max_body()).await? else { return Ok(()) };
    let open = match session.receive(message)? {
        ReceiverEvent::Open(open) => open,
        ReceiverEvent::Failed(failure) => return Err(Error::Sender(failure.text)),
        _ => return Ok(()), // The session lets nothing else come first.
    };
    let stream = open.stream.clone();
    let (lease, mut replies) = actor.open(open);
    let ending = || Message::error(ErrorCode::Stopping, "the receiver is ending");
    let first = replies.recv().await.unwrap_or_else(ending);
    if let Message::Welcome(Welcome { next, .. }) = first {
        tracing::info!("stream `{stream}` goes on at sample {next}");
    }
    deliver(first, writer, session).await?;
    incoming.due = Instant::now() + incoming.idle;
    loop {
        tokio::select! {
            message = incoming.next(session.max_body()) => {
                let Some((message, permit)) = message? else { return Ok(()) };
                match session.receive(message)? {
                    ReceiverEvent::Data(batch) => lease.request(Request::Data(Samples { batch, permit })),
                    ReceiverEvent::End(end) => lease.request(Request::End(end)),
                    ReceiverEvent::Bye => {
                        lease.request(Request::Bye);
                        return Ok(());
                    }
                    ReceiverEvent::Send(message) => writer.send(&message).await?,
                    ReceiverEvent::Failed(failure) => return Err(Error::Sender(failure.text)),
                    ReceiverEvent::Alive | ReceiverEvent::Greet(_) | ReceiverEvent::Open(_) => {}
                }
            }
            reply = replies.recv() => match reply {
                Some(reply) => deliver(reply, writer, session).await?,
                None => return Ok(()), // The receiver is ending.
            },
        }
    }
}

/// Tells the sender what the store actor says.
async fn deliver(reply: Message, writer: &mut Writer, session: &mut ReceiverSession) -> Result<(), Error> {
    let message = match reply {
        Message::Welcome(welcome) => session.welcome(welcome),
        Message::Ack(position) => session.acknowledge(position),
        Message::EndAck => session.acknowledge_end(),
        Message::Error(Failure { code, text }) => {
            writer.send(&Message::error(code, text.as_str())).await?;
            return if code == ErrorCode::Sealed { Ok(()) } else { Err(Error::Refused(text)) };
        }
        reply => reply,
    };
    Ok(writer.send(&message).await?)
}

/// The messages of a stream. A message's permit is waited for before the message is taken off the socket. So what all
/// connections hold together stays within the budget, and a sender that is ahead of it waits in its own socket.
struct Incoming<'a> {
    reader: &'a mut Reader,
    budget: &'a Budget,
    permit: Option<Permit>,
    /// How long the peer may say nothing.
    idle: Duration,
    due: Instant,
}

impl Incoming<'_> {
    /// The next message with its permit, or `None` when the peer has closed the connection. Cancel safe.
    async fn next(&mut self, max_body: u32) -> Result<Option<(Message, Option<Permit>)>, Error> {
        let Some(header) = timeout_at(self.due, self.reader.header(max_body)).await?? else { return Ok(None) };
        if self.permit.is_none() && header.len > MAX_CONTROL_BODY {
            self.permit = self.budget.permit(header.len).await;
            self.due = Instant::now() + self.idle; // However long that took, it was not the peer's doing.
        }
        let Some(message) = timeout_at(self.due, self.reader.read(max_body)).await?? else { return Ok(None) };
        self.due = Instant::now() + self.idle;
        Ok(Some((message, self.permit.take())))
    }
}

/// What the peer is told of an error that is its own doing.
fn last_message(error: &Error) -> Option<Message> {
    match error {
        Error::Violation(_) | Error::Transport(transport::Error::Frame(_)) => {
            Some(Message::error(ErrorCode::Protocol, error.to_string()))
        }
        Error::Silent(_) => Some(Message::error(ErrorCode::Busy, error.to_string())),
        _ => None,
    }
}
