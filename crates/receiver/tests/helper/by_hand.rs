//! One side of the protocol, spoken by hand.

use std::net::SocketAddr;

use proto::{
    Binding, Message, SenderEvent, SenderSession,
    message::{End, Open, Welcome},
};
use tokio::{net::TcpStream, time::timeout};
use transport::{Reader, Writer};

use super::{LIMIT, open, right_key, samples};

/// A client that speaks the protocol by hand.
pub(crate) struct ByHand {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

impl ByHand {
    pub(crate) async fn connect(address: SocketAddr) -> ByHand {
        let (reader, writer) = transport::split(TcpStream::connect(address).await.unwrap()).unwrap();
        ByHand { reader, writer }
    }

    /// Proves the key and opens a stream of samples 0..end.
    pub(crate) async fn open(address: SocketAddr, stream: &str, end: u64) -> (ByHand, Welcome) {
        let (mut client, open) = ByHand::prove(address, open(stream, end)).await;
        client.send(open).await;
        match client.receive().await {
            Some(Message::Welcome(welcome)) => (client, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// Proves the key, has it proved, and returns the `Open` that comes next.
    pub(crate) async fn prove(address: SocketAddr, open: Open) -> (ByHand, Message) {
        let mut client = ByHand::connect(address).await;
        let credentials = transport::credentials(&right_key(), Binding::Plain).unwrap();
        let (mut session, hello) = SenderSession::new(open, credentials);
        client.send(hello).await;
        loop {
            match session.receive(client.receive().await.unwrap()).unwrap() {
                SenderEvent::Send(open @ Message::Open(_)) => return (client, open),
                SenderEvent::Send(message) => client.send(message).await,
                event => assert_eq!(event, SenderEvent::Alive),
            }
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.writer.send(&message).await.unwrap();
    }

    pub(crate) async fn send_samples(&mut self, first: u64, end: u64) {
        let samples = samples(first, end);
        self.writer.write(&proto::Batch::frame(first, samples.as_slice())).await.unwrap();
    }

    pub(crate) async fn send_end(&mut self, end: u64, digest: [u8; 32]) {
        self.send(Message::End(End { count: end, digest })).await;
    }

    pub(crate) async fn receive(&mut self) -> Option<Message> {
        timeout(LIMIT, self.reader.read(proto::MAX_BODY)).await.expect("an answer in time").unwrap()
    }

    /// The text of the `Error` that comes next but for acks, after which the receiver hangs up.
    pub(crate) async fn refusal(&mut self) -> String {
        loop {
            match self.receive().await {
                Some(Message::Error(failure)) => return failure.text,
                Some(Message::Ack(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
