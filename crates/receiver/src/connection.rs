//! One connection: the protocol on one side, the desk on the other.

use proto::{ErrorCode, MAX_CONTROL_BODY, Message, Server, ServerEvent, Violation, message::Open};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, error::Elapsed, timeout_at},
};
use transport::{Reader, Writer};

use crate::{
    Patience,
    desk::{Desk, Reply, Room, Ticket},
    door::Guest,
};

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Transport(#[from] transport::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the sender broke the protocol: {0}")]
    Violation(#[from] Violation),
    #[error("the sender said nothing for too long")]
    Silent(#[from] Elapsed),
    #[error("the sender gave up: {0}")]
    Sender(String),
    #[error("{0}")]
    Refused(String),
    #[error("it speaks without TLS, and this receiver listens on more than loopback")]
    Plain,
    #[error("too many others came meanwhile")]
    Crowded,
}

/// Serves the connection of a sender of ours to its end. `Open` is to come before `due`.
pub(crate) async fn serve(guest: Guest, due: Instant, desk: &Desk, patience: Patience) -> Result<(), Error> {
    let Guest { mut reader, writer, mut server } = guest;
    let mut writer = writer.with_limit(patience.write);
    let opening = timeout_at(due, opening(&mut reader, &mut writer, &mut server));
    let result = match opening.await.unwrap_or_else(|late| Err(late.into())) {
        Ok(Some(open)) => converse(&mut reader, &mut writer, &mut server, open, desk, patience).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Some(message) = result.as_ref().err().and_then(farewell) {
        let _ = writer.send(&message).await; // The peer may be gone, and the connection ends anyway.
    }
    transport::close(reader, writer).await;
    result
}

/// Tells a sender of ours to come back later.
pub(crate) async fn turn_away(guest: Guest) {
    let Guest { reader, mut writer, .. } = guest;
    let busy = Message::error(ErrorCode::Busy, "the receiver serves as many senders as it can");
    let _ = writer.send(&busy).await; // A sender that is gone need not hear it.
    transport::close(reader, writer).await;
}

async fn converse(
    reader: &mut Reader,
    writer: &mut Writer,
    server: &mut Server,
    open: Open,
    desk: &Desk,
    patience: Patience,
) -> Result<(), Error> {
    let stream = open.stream.clone();
    let (seat, welcome, mut replies) = match desk.enter(open).await {
        Ok((ticket, welcome, replies)) => {
            tracing::info!("stream `{stream}` goes on at sample {}", welcome.next);
            (Seat { desk, ticket }, server.welcome(welcome), replies)
        }
        Err(refusal) => {
            writer.send(&Message::error(refusal.code, refusal.text.as_str())).await?;
            return Err(Error::Refused(refusal.text));
        }
    };
    writer.send(&welcome).await?;
    let incoming = Incoming { reader, desk, room: None, patience, due: Instant::now() + patience.idle };
    stream_samples(incoming, writer, server, &seat, &mut replies).await
}

/// A stream held, and given back however the connection ends.
struct Seat<'a> {
    desk: &'a Desk,
    ticket: Ticket,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.desk.leave(self.ticket);
    }
}

/// Waits for the sender's `Open`; `None` if it leaves.
async fn opening(reader: &mut Reader, writer: &mut Writer, server: &mut Server) -> Result<Option<Open>, Error> {
    while let Some(message) = reader.read(server.max_body()).await? {
        match server.receive(message)? {
            ServerEvent::Send(message) => writer.send(&message).await?,
            ServerEvent::Open(open) => return Ok(Some(open)),
            ServerEvent::Failed(failure) => return Err(Error::Sender(failure.text)),
            ServerEvent::Greet(_)
            | ServerEvent::Data(_)
            | ServerEvent::End(_)
            | ServerEvent::Bye
            | ServerEvent::Alive => {}
        }
    }
    Ok(None)
}

async fn stream_samples(
    mut incoming: Incoming<'_>,
    writer: &mut Writer,
    server: &mut Server,
    seat: &Seat<'_>,
    replies: &mut UnboundedReceiver<Reply>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            message = incoming.next(server.max_body()) => {
                let Some((message, room)) = message? else { return Ok(()) };
                match server.receive(message)? {
                    ServerEvent::Data(batch) => seat.desk.hand_in(seat.ticket, batch, room),
                    ServerEvent::End(end) => seat.desk.end(seat.ticket, end),
                    ServerEvent::Bye => {
                        seat.desk.bye(seat.ticket);
                        return Ok(());
                    }
                    ServerEvent::Send(message) => writer.send(&message).await?,
                    ServerEvent::Failed(failure) => return Err(Error::Sender(failure.text)),
                    ServerEvent::Alive | ServerEvent::Greet(_) | ServerEvent::Open(_) => {}
                }
            }
            reply = replies.recv() => match reply {
                Some(Reply::Durable(position)) => writer.send(&server.acknowledge(position)).await?,
                Some(Reply::Paused(reason)) => writer.send(&Message::pause(reason)).await?,
                Some(Reply::Resumed) => writer.send(&Message::Resume).await?,
                Some(Reply::EndAck) => writer.send(&server.acknowledge_end()).await?,
                Some(Reply::Failed(failure)) => {
                    writer.send(&Message::error(failure.code, failure.text.as_str())).await?;
                    return Err(Error::Refused(failure.text));
                }
                None => return Ok(()), // The desk is closed: the receiver is ending.
            },
        }
    }
}

/// The messages of an open stream. Room for a message is found before it is taken off the socket, so that what all
/// connections hold together stays within the desk's budget; a sender that is ahead of it waits in its own socket.
struct Incoming<'a> {
    reader: &'a mut Reader,
    desk: &'a Desk,
    room: Option<Room>,
    patience: Patience,
    due: Instant,
}

impl Incoming<'_> {
    /// The next message and the room that it takes, or `None` when the peer has closed the connection. Cancel safe.
    async fn next(&mut self, max_body: u32) -> Result<Option<(Message, Option<Room>)>, Error> {
        let Some(header) = timeout_at(self.due, self.reader.header(max_body)).await?? else { return Ok(None) };
        if self.room.is_none() && header.len > MAX_CONTROL_BODY {
            self.room = self.desk.room(header.len).await;
            self.due = Instant::now() + self.patience.idle; // However long that took, it was not the peer's doing.
        }
        let Some(message) = timeout_at(self.due, self.reader.read(max_body)).await?? else { return Ok(None) };
        self.due = Instant::now() + self.patience.idle;
        Ok(Some((message, self.room.take())))
    }
}

/// What the peer is told of an error that is its own doing.
fn farewell(error: &Error) -> Option<Message> {
    match error {
        Error::Violation(_) | Error::Transport(transport::Error::Frame(_)) => {
            Some(Message::error(ErrorCode::Protocol, error.to_string()))
        }
        Error::Silent(_) => Some(Message::error(ErrorCode::Busy, error.to_string())),
        _ => None,
    }
}
