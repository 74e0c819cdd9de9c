//! Impostors between sender and receiver, or in the receiver's place: the sender tells them nothing but its greeting and
//! a proof that is worth nothing elsewhere.

#[expect(dead_code, reason = "the helpers of another test")]
mod helper;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cli::exit::{Code, code_of};
use helper::{assert_complete, config, key, send, sending, source, start};
use proto::{
    Binding, ErrorCode, Key, MAX_BODY, Message, Server, ServerEvent,
    message::{Hello, Welcome},
};
use receiver::Outcome;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use transport::{Reader, Writer, key_file, tls};

/// Sends to an impostor, and expects that the sender ends with 77 and says what to look at.
async fn assert_sender_ends(config: sender::Config) {
    let error = send(source("a", 0, 20), config).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Refused, "{error:#}");
    let text = format!("{error:#}");
    assert!(text.contains(&format!("is `{}` the receiver's key?", key().display())), "{text}");
}

fn right_key() -> Key {
    key_file::read(&key()).unwrap()
}

/// Listens, and treats every connection in the same way, until dropped.
async fn every_connection<Treated>(treat: impl Fn(TcpStream) -> Treated + Send + 'static) -> (SocketAddr, Listening)
where
    Treated: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(treat(socket));
        }
    });
    (address, Listening(task))
}

struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A receiver in all but the key: it takes what it gets, and proves itself with what it has.
async fn fake_receiver(socket: TcpStream, reflects: bool, heard: Arc<AtomicUsize>) {
    let (mut reader, mut writer) = transport::split(socket).unwrap();
    let mut server = Server::new(transport::credentials(&Key::new([0; 32]), Binding::Plain).unwrap());
    while let Ok(Some(message)) = reader.read(MAX_BODY).await {
        let counterproof = match &message {
            Message::Hello(_) => {
                let Ok(ServerEvent::Greet(greeting)) = server.receive(message) else { panic!() };
                for message in &greeting {
                    writer.send(message).await.unwrap();
                }
                continue;
            }
            Message::Proof(proof) if reflects => proof.mac,
            Message::Proof(_) => [0; 32],
            told => {
                heard.fetch_add(1, Ordering::Relaxed);
                panic!("the sender told an impostor {told:?}");
            }
        };
        writer.send(&Message::Counterproof(counterproof)).await.unwrap();
        let welcome = Message::Welcome(Welcome { next: 0, durable: 0, window: 1000 });
        let _ = writer.send(&welcome).await; // The sender may have hung up.
    }
}

#[tokio::test]
async fn a_receiver_without_the_key_is_told_nothing() {
    for reflects in [false, true] {
        let heard = Arc::new(AtomicUsize::new(0));
        let hears = Arc::clone(&heard);
        let (address, _listening) =
            every_connection(move |socket| fake_receiver(socket, reflects, Arc::clone(&hears))).await;
        assert_sender_ends(sending(address)).await;
        assert_eq!(heard.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_stranger_in_the_receivers_place_cannot_end_the_sender_with_other_words() {
    let claims = |socket| async {
        let (reader, mut writer) = transport::split(socket).unwrap();
        let _ = writer.send(&Message::error(ErrorCode::Dataset, "start again with --fresh")).await;
        transport::close(reader, writer).await;
    };
    let (address, _listening) = every_connection(claims).await;
    let deadline = std::time::Duration::from_millis(200);
    let error = send(source("a", 0, 20), sender::Config { deadline, ..sending(address) }).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Unavailable);
    assert!(!format!("{error:#}").contains("--fresh"), "{error:#}");
}

#[tokio::test]
async fn a_sender_with_another_key_is_refused_and_asks_for_the_right_one() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let keys = TempDir::new().unwrap();
    let other = keys.path().join("other.key");
    key_file::create(&other).unwrap();
    for tls in [false, true] {
        let sending = sender::Config { key: other.clone(), tls, ..sending(receiver.address) };
        let error = send(source("a", 0, 20), sending).await.unwrap_err();
        assert_eq!(code_of(&error), Code::Refused);
        let text = format!("{error:#}");
        assert!(text.contains(&format!("is `{}` the receiver's key?", other.display())), "{text}");
    }
    send(source("a", 0, 20), sending(receiver.address)).await.unwrap();
    assert!(matches!(receiver.ended().await.unwrap(), Outcome::Complete { samples: 20, .. }));
    assert_complete(dir.path(), 20);
}

/// What the man in the middle does to a message; `true` for one from the sender.
type Alter = fn(bool, Message) -> Message;

/// How he reaches the receiver, and what he shows the sender.
#[derive(Clone, Copy, PartialEq)]
enum Channel {
    Plain,
    Tls,
}

/// Passes messages on in both directions, altered, until one side is gone.
async fn relay(socket: TcpStream, receiver: SocketAddr, channels: (Channel, Channel), key: Key, alter: Alter) {
    let far = TcpStream::connect(receiver).await.unwrap();
    let near = match channels.0 {
        Channel::Plain => transport::split(socket),
        Channel::Tls => tls::Acceptor::new(&key).accept(socket).await.map(|(reader, writer, _)| (reader, writer)),
    };
    let Ok((near_reader, near_writer)) = near else { return };
    let (far_reader, far_writer) = match channels.1 {
        Channel::Plain => transport::split(far).unwrap(),
        Channel::Tls => {
            let (reader, writer, _) = tls::Connector::new(&right_key()).connect(far).await.unwrap();
            (reader, writer)
        }
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

/// A man in the middle who knows nothing that is secret, but for the key that he shows the sender over TLS.
async fn assert_seen_through(channels: (Channel, Channel), shown: Key, alter: Alter) {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let to = receiver.address;
    let (address, _listening) = every_connection(move |socket| relay(socket, to, channels, shown.clone(), alter)).await;
    let tls = channels.0 == Channel::Tls;
    assert_sender_ends(sender::Config { tls, ..sending(address) }).await;
    send(source("b", 0, 20), sending(receiver.address)).await.unwrap();
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 20);
}

/// The greeting with a wider range of versions, which both sides still accept.
fn wider(message: Message) -> Message {
    match message {
        Message::Hello(hello) => Message::Hello(Hello { max_version: 2, ..hello }),
        message => message,
    }
}

#[tokio::test]
async fn a_man_in_the_middle_cannot_change_the_versions_that_were_offered() {
    let plain = (Channel::Plain, Channel::Plain);
    let of_sender: Alter = |from_sender, message| if from_sender { wider(message) } else { message };
    let of_receiver: Alter = |from_sender, message| if from_sender { message } else { wider(message) };
    assert_seen_through(plain, Key::new([0; 32]), of_sender).await;
    assert_seen_through(plain, Key::new([0; 32]), of_receiver).await;
}

#[tokio::test]
async fn a_man_in_the_middle_cannot_pass_a_proof_from_one_channel_to_another() {
    let unaltered: Alter = |_, message| message;
    assert_seen_through((Channel::Plain, Channel::Tls), Key::new([0; 32]), unaltered).await;
    assert_seen_through((Channel::Tls, Channel::Plain), Key::new([0; 32]), unaltered).await;
    assert_seen_through((Channel::Tls, Channel::Tls), Key::new([0; 32]), unaltered).await;
    // Even if he could show the sender the right public key, each session proves something else.
    assert_seen_through((Channel::Tls, Channel::Plain), right_key(), unaltered).await;
    assert_seen_through((Channel::Tls, Channel::Tls), right_key(), unaltered).await;
}

#[tokio::test]
async fn a_handshake_that_the_network_damages_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), 1)).await;
    let (to, count) = (receiver.address, Arc::new(AtomicUsize::new(0)));
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
    assert_eq!(send(source("a", 0, 20), sending(address)).await.unwrap(), sender::Outcome::Complete);
    receiver.ended().await.unwrap();
    assert_complete(dir.path(), 20);
}
