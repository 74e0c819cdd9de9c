//! Impostors between sender and receiver, or in the receiver's place: the sender tells them nothing but its greeting and
//! a proof that is worth nothing elsewhere.

mod helper;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use helper::{key, right_key, send, send_fails, sending, source, started};
use process::exit::Code;
use proto::{Key, MAX_BODY, Message, VERSION, message::Hello};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use transport::{Reader, Writer, key_file, tls};

/// Sends in vain, and expects to be told to look at this key.
async fn assert_sender_blames(key: &Path, config: sender::Config) {
    let words = format!("is `{}` the receiver's key?", key.display());
    send_fails(source("a", 0, 20), config, Code::Refused, &[&words]).await;
}

/// Listens, and treats every connection in the same way, until the tasks are dropped.
async fn every_connection<Treated>(treat: impl Fn(TcpStream) -> Treated + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    Treated: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(treat(socket));
        }
    });
    (address, listening)
}

#[tokio::test]
async fn a_sender_with_another_key_is_refused_and_asks_for_the_right_one() {
    let (dir, receiver) = started(1).await;
    let keys = TempDir::new().unwrap();
    let other = keys.path().join("other.key");
    key_file::create(&other).unwrap();
    for tls in [false, true] {
        assert_sender_blames(&other, sender::Config { key: other.clone(), tls, ..sending(receiver.address) }).await;
    }
    send(source("a", 0, 20), sending(receiver.address)).await;
    receiver.completes(&dir, 20).await;
}

/// What the man in the middle does to a message; `true` for one from the sender.
type Alter = fn(bool, Message) -> Message;

/// Passes messages on in both directions, altered, until one side is gone. The sender is shown the key `near` over TLS, or none
/// without it.
async fn relay(socket: TcpStream, receiver: SocketAddr, near: Option<Key>, far_tls: bool, alter: Alter) {
    let far = TcpStream::connect(receiver).await.unwrap();
    let near = match near {
        None => transport::split(socket),
        Some(key) => tls::Acceptor::new(&key).accept(socket).await.map(|(reader, writer, _)| (reader, writer)),
    };
    let Ok((near_reader, near_writer)) = near else { return };
    let (far_reader, far_writer) = if far_tls {
        let (reader, writer, _) = tls::Connector::new(&right_key()).connect(far).await.unwrap();
        (reader, writer)
    } else {
        transport::split(far).unwrap()
    };
    tokio::select! {
        () = pass(near_reader, far_writer, move |message| alter(true, message)) => {}
        () = pass(far_reader, near_writer, move |message| alter(false, message)) => {}
    }
}

async fn pass(mut reader: Reader, mut writer: Writer, alter: impl Fn(Message) -> Message) {
    while let Ok(Some(message)) = reader.read(MAX_BODY).await {
        if writer.send(&alter(message)).await.is_err() {
            return;
        }
    }
}

/// A man in the middle, as [`relay`] has him, gets nowhere.
async fn assert_seen_through(near: Option<Key>, far_tls: bool, alter: Alter) {
    let (dir, receiver) = started(1).await;
    let (to, tls) = (receiver.address, near.is_some());
    let (address, _listening) = every_connection(move |socket| relay(socket, to, near.clone(), far_tls, alter)).await;
    assert_sender_blames(&key(), sender::Config { tls, ..sending(address) }).await;
    send(source("b", 0, 20), sending(receiver.address)).await;
    receiver.completes(&dir, 20).await;
}

/// The greeting with a wider range of versions, which both sides still accept.
fn wider(message: Message) -> Message {
    match message {
        Message::Hello(hello) => Message::Hello(Hello { max_version: VERSION + 1, ..hello }),
        message => message,
    }
}

#[tokio::test]
async fn a_man_in_the_middle_cannot_change_the_versions_that_were_offered() {
    let of_sender: Alter = |from_sender, message| if from_sender { wider(message) } else { message };
    let of_receiver: Alter = |from_sender, message| if from_sender { message } else { wider(message) };
    assert_seen_through(None, false, of_sender).await;
    assert_seen_through(None, false, of_receiver).await;
}

#[tokio::test]
async fn a_receiver_without_the_key_is_told_nothing() {
    static SAID: Mutex<Vec<Message>> = Mutex::new(Vec::new());
    let reflects: Alter = |from_sender, message| {
        let mut said = SAID.lock().unwrap();
        if from_sender {
            said.push(message.clone());
        }
        match (message, said.last()) {
            // The best that it has is the sender's own proof.
            (Message::Counterproof(_), Some(Message::Proof(proof))) => Message::Counterproof(proof.mac),
            (message, _) => message,
        }
    };
    assert_seen_through(None, false, reflects).await;
    let said = SAID.lock().unwrap();
    assert!(said.iter().all(|message| matches!(message, Message::Hello(_) | Message::Proof(_))), "{said:?}");
}

#[tokio::test]
async fn a_man_in_the_middle_cannot_pass_a_proof_from_one_channel_to_another() {
    let own_key = || Some(Key::new([0; 32]));
    for (near, far_tls) in [
        (None, true),
        (own_key(), false),
        (own_key(), true),
        // Even if he could show the sender the right public key, each session proves something else.
        (Some(right_key()), false),
        (Some(right_key()), true),
    ] {
        assert_seen_through(near, far_tls, |_, message| message).await;
    }
}

#[tokio::test]
async fn a_handshake_that_the_network_damages_is_tried_again() {
    let (dir, receiver) = started(1).await;
    let (to, count) = (receiver.address, AtomicUsize::new(0));
    let damages = move |mut near: TcpStream| {
        let damaged = count.fetch_add(1, Ordering::Relaxed) < 4;
        async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            let mut greeting = [0; 20];
            near.read_exact(&mut greeting).await.unwrap();
            greeting[19] ^= u8::from(damaged);
            far.write_all(&greeting).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    };
    let (address, _listening) = every_connection(damages).await;
    send(source("a", 0, 20), sending(address)).await;
    receiver.completes(&dir, 20).await;
}
