//! Strangers who connect to a receiver: whatever they say, they hear "refused", in the same bytes, and nothing of theirs
//! is kept.

mod helper;

use std::{net::SocketAddr, time::Duration};

use helper::{
    ByHand, LIMIT, Running, config, open, right_key, samples, send, send_fails, sending, source, start, started,
};
use process::exit::Code;
use proto::{
    Batch, Binding, Credentials, ErrorCode, Message, SenderEvent, SenderSession,
    message::{End, Hello, MAGIC, Proof},
};
use receiver::{Config, TimeLimits};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// `Error(Refused, "refused")`, byte by byte.
const REFUSED: &[u8] = b"\0\0\0\x13\x0b\0\0\0\x82\x83\x31\x3f\0\0\0\x09\0\0\0\0\0\0\0\x07refused";
/// `Hello(TRBT, 2, 2)`.
const HELLO: &[u8] = b"\0\0\0\x08\x01\0\0\0\x5a\x17\x73\xbbTRBT\0\x02\0\x02";
/// How this program names its own version.
const OURS: &str = "this program speaks version 2";
/// `Challenge`: twelve bytes of header and a nonce.
const CHALLENGE: usize = 12 + 32;

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// All that the receiver says until it hangs up.
async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = timeout(LIMIT, socket.read_to_end(&mut said)).await.expect("the receiver hangs up");
    read.unwrap();
    said
}

/// What the receiver answers to these bytes, and to nothing more.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address).await;
    socket.write_all(bytes).await.unwrap();
    rest(&mut socket).await
}

/// Greets, and returns the socket and the receiver's nonce.
async fn greeted(address: SocketAddr) -> (TcpStream, [u8; 32]) {
    let mut socket = connect(address).await;
    socket.write_all(HELLO).await.unwrap();
    let mut greeting = [0; HELLO.len() + CHALLENGE];
    socket.read_exact(&mut greeting).await.unwrap();
    (socket, greeting[greeting.len() - 32..].try_into().unwrap())
}

/// What a holder of the key answers to the challenge.
fn proof(challenge: [u8; 32]) -> Message {
    let credentials = Credentials { key: right_key(), nonce: [1; 32], binding: Binding::Plain };
    let (mut client, _) = SenderSession::new(open("a", 20), credentials);
    client.receive(Message::Hello(Hello::OURS)).unwrap();
    match client.receive(Message::Challenge(challenge)) {
        Ok(SenderEvent::Send(proof)) => proof,
        other => panic!("{other:?}"),
    }
}

/// After all that, the one expected stream is still to come, and the directory holds an honest sender's samples.
async fn assert_untouched(receiver: Running, dir: &TempDir) {
    send(source("honest", 0, 20), sending(receiver.address)).await;
    receiver.completes(dir, 20).await;
}

#[tokio::test]
async fn whatever_a_stranger_says_the_answer_is_the_same() {
    let (dir, receiver) = started(1).await;
    let samples = samples(0, 20);
    let forged = Message::Proof(Proof { nonce: [0; 32], mac: [0; 32] });
    let mut damaged = HELLO.to_vec();
    damaged[15] ^= 1;
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for (what, bytes) in [
        ("another protocol", http),
        ("a damaged greeting", damaged),
        ("another magic", Message::Hello(Hello { magic: *b"EVIL", ..Hello::OURS }).frame()),
        ("a long frame", vec![0, 0, 0, 65, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("reserved bits", vec![0, 0, 0, 8, 1, 1, 0, 0, 0, 0, 0, 0]),
        ("an unknown type", vec![0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0]),
        ("an error", Message::error(ErrorCode::Stopping, "stop").frame()),
        ("the refusal itself", REFUSED.to_vec()),
        ("a ping", Message::Ping(1).frame()),
        ("a proof at once", forged.frame()),
        ("an end", Message::End(End { count: 0, digest: [0; 32] }).frame()),
    ] {
        assert_eq!(answer(receiver.address, &bytes).await, REFUSED, "{what}");
    }
    for (what, message) in [
        ("an unproved stream", Message::Open(open("a", 20)).frame()),
        ("samples", Batch::frame(0, samples.as_slice())),
        ("a second greeting", HELLO.to_vec()),
        ("a forged proof", forged.frame()),
        ("the receiver's own part", Message::Counterproof([0; 32]).frame()),
        ("a challenge in return", Message::Challenge([0; 32]).frame()),
        ("an error", Message::error(ErrorCode::Refused, "refused").frame()),
        ("a forged proof, and a stream", [forged.frame(), Message::Open(open("a", 20)).frame()].concat()),
    ] {
        let said = answer(receiver.address, &[HELLO, &message].concat()).await;
        assert!(said.starts_with(HELLO), "{what}: {said:?}");
        assert_eq!(said.get(HELLO.len() + CHALLENGE..), Some(REFUSED), "{what}");
    }
    assert_untouched(receiver, &dir).await;
}

#[tokio::test]
async fn half_a_handshake_leads_nowhere_wherever_it_ends() {
    let (dir, receiver) = started(1).await;
    let whole = HELLO.len() + 12 + 64;
    for cut in 0..whole {
        let mut socket = if cut < HELLO.len() {
            let mut socket = connect(receiver.address).await;
            socket.write_all(&HELLO[..cut]).await.unwrap();
            socket
        } else {
            let (mut socket, challenge) = greeted(receiver.address).await;
            socket.write_all(&proof(challenge).frame()[..cut - HELLO.len()]).await.unwrap();
            socket
        };
        socket.shutdown().await.unwrap();
        let said = rest(&mut socket).await;
        let between_messages = cut == 0 || cut == HELLO.len();
        assert_eq!(said, if between_messages { b"" } else { REFUSED }, "cut at {cut}");
    }
    assert_untouched(receiver, &dir).await;
}

#[tokio::test]
async fn a_peer_of_another_version_is_told_so_since_versions_are_no_secret() {
    let (_dir, receiver) = started(1).await;
    for (min_version, max_version, named) in [(1, 1, "version 1 "), (3, 4, "versions 3 to 4 ")] {
        let mut client = ByHand::connect(receiver.address).await;
        client.send(Message::Hello(Hello { magic: MAGIC, min_version, max_version })).await;
        // From which a sender of any version reads which this one is.
        assert_eq!(client.receive().await, Some(Message::Hello(Hello::OURS)));
        let refusal = client.refusal().await;
        assert!(refusal.contains(named) && refusal.contains(OURS), "{refusal}");
        assert_eq!(client.receive().await, None);
    }
}

#[tokio::test]
async fn a_receiver_of_another_version_is_named_to_the_user_of_the_sender() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // What a receiver of version 1 says, which does not greet one that it does not understand.
    let first =
        "the sender broke the protocol: the peer speaks versions 2 to 2 of the protocol, and this program speaks 1";
    let first = vec![Message::error(ErrorCode::Version, first)];
    let third = Hello { min_version: 3, max_version: 3, ..Hello::OURS };
    for (answer, named) in [(first, "speaks version 1 of"), (vec![Message::Hello(third)], "speaks version 3 of")] {
        let answering = async {
            let (mut reader, mut writer) = transport::split(listener.accept().await.unwrap().0).unwrap();
            assert_eq!(reader.read(64).await.unwrap(), Some(Message::Hello(Hello::OURS)));
            for message in &answer {
                writer.send(message).await.unwrap();
            }
        };
        let words = [named, OURS];
        tokio::join!(send_fails(source("a", 0, 20), sending(address), Code::Refused, &words), answering);
    }
}

fn opening_within(opening: Duration) -> TimeLimits {
    TimeLimits { opening, ..TimeLimits::default() }
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { time_limits: opening_within(Duration::from_secs(1)), ..config(dir.path(), 1) }).await;
    let mut silent = connect(receiver.address).await;
    let (mut greeted, _) = greeted(receiver.address).await;
    let mut half_tls = connect(receiver.address).await;
    half_tls.write_all(&[0x16, 3, 1, 0, 200]).await.unwrap();
    let (mut streamless, _) = ByHand::prove(receiver.address, open("a", 20)).await;
    assert_eq!(rest(&mut silent).await, b"", "no channel, no words");
    assert_eq!(rest(&mut half_tls).await, b"", "nor here");
    assert_eq!(rest(&mut greeted).await, REFUSED);
    assert_eq!(streamless.refusal().await, "the sender said nothing for too long", "who holds the key may know");
    assert_eq!(streamless.receive().await, None);
}

#[tokio::test]
async fn a_crowd_of_strangers_keeps_no_sender_out() {
    let dir = TempDir::new().unwrap();
    let receiver = start(Config { time_limits: opening_within(LIMIT), ..config(dir.path(), 1) }).await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let (socket, _) = greeted(receiver.address).await;
        crowd.push(socket);
    }
    for (i, stranger) in crowd[..300 - 256].iter_mut().enumerate() {
        assert_eq!(rest(stranger).await, b"", "stranger {i} is evicted");
    }
    assert_eq!(crowd[299].try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the last one waits");
    assert_untouched(receiver, &dir).await;
}
