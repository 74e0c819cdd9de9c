//! The key file, and what depends on where the receiver listens.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod helper;

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

use helper::{
    ByHand, Process, assert_complete, assert_ends, config, key, send, send_fails, sending, source, start_at, started,
};
use process::{exit::Code, shutdown::Shutdown};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use transport::key_file;

/// Every address of the machine.
const EVERYWHERE: &str = "0.0.0.0:0";

#[test]
fn receivers_that_start_at_the_same_time_share_the_key_that_one_of_them_makes() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("data/tributary.key");
    let receivers = [(); 4].map(|()| {
        let chunks = TempDir::new().unwrap();
        let receiver = Command::new(env!("CARGO_BIN_EXE_receiver"));
        (Process::spawn(receiver, &key, chunks.path(), &[]), chunks)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (mut receiver, _chunks) in receivers {
        let sending = sender::Config { key: key.clone(), ..sending(receiver.listening()) };
        runtime.block_on(send(source("a", 0, 20), sending));
        assert_eq!(receiver.code(), Some(0));
    }
}

#[tokio::test]
async fn a_sender_started_before_the_first_receiver_waits_for_the_key() {
    let (dir, keys) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let key = keys.path().join("tributary.key");
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    let sending = sender::Config { key: key.clone(), ..sending(address) };
    let sender = tokio::spawn(send(source("a", 0, 20), sending));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), reserved.accept()).await.is_err(),
        "no key, no connection"
    );
    drop(reserved);
    let listener = receiver::bind(address, &key).await.unwrap();
    let (_trigger, shutdown) = Shutdown::manual();
    let receiving = tokio::spawn(receiver::run(listener, config(dir.path(), 1), shutdown, |_| {}));
    sender.await.unwrap();
    receiving.await.unwrap().unwrap();
    assert_complete(dir.path(), 20);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_no_key_or_that_others_can_read_is_refused_on_both_sides() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let [no_key, open_key] = ["no.key", "open.key"].map(|name| dir.path().join(name));
    fs::write(&no_key, "tributary-key-1 0123\n").unwrap();
    fs::set_permissions(&no_key, fs::Permissions::from_mode(0o600)).unwrap();
    key_file::create(&open_key).unwrap();
    fs::set_permissions(&open_key, fs::Permissions::from_mode(0o640)).unwrap();
    let chmod = format!("run `chmod 600 {}`", open_key.display());
    for (key, code, words) in [
        (&no_key, Code::Data, &[no_key.to_str().unwrap(), "holds no key", "receiver keygen"][..]),
        (&open_key, Code::Unsafe, &[&*chmod]),
    ] {
        assert_ends(&receiver::bind("127.0.0.1:0", key).await.unwrap_err(), code, words);
        let sending = sender::Config { key: key.clone(), ..sending("127.0.0.1:9".parse().unwrap()) };
        send_fails(source("a", 0, 20), sending, code, words).await;
    }
}

#[tokio::test]
async fn other_machines_are_listened_to_only_with_a_key_made_on_purpose() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("tributary.key");
    for address in [EVERYWHERE, "[::]:0", "192.0.2.1:9999"] {
        let error = receiver::bind(address, &key).await.unwrap_err();
        assert_ends(&error, Code::Unsafe, &[address, key.to_str().unwrap(), "receiver keygen"]);
    }
    assert!(!key.exists());
    // Loopback by whatever name.
    let listener = receiver::bind("localhost:0", &dir.path().join("other.key")).await.unwrap();
    assert!(listener.local_addr().unwrap().ip().is_loopback());
    key_file::create(&key).unwrap();
    assert!(receiver::bind(EVERYWHERE, &key).await.is_ok());
}

#[tokio::test]
async fn tls_is_taken_on_loopback_too() {
    let (dir, receiver) = started(2).await;
    send(source("a", 0, 20), sender::Config { tls: true, ..sending(receiver.address) }).await;
    send(source("b", 20, 40), sending(receiver.address)).await;
    receiver.completes(&dir, 40).await;
}

#[tokio::test]
async fn a_receiver_that_others_can_reach_takes_nothing_but_tls() {
    let dir = TempDir::new().unwrap();
    key(); // Made on purpose.
    let receiver = start_at(EVERYWHERE.parse().unwrap(), config(dir.path(), 1)).await;
    let local = SocketAddr::new([127, 0, 0, 1].into(), receiver.address.port());
    let mut plain = ByHand::connect(local).await;
    plain.send(proto::Message::Hello(proto::message::Hello::OURS)).await;
    assert_eq!(plain.receive().await, Some(proto::Message::refused()));
    send_fails(source("a", 0, 20), sending(local), Code::Refused, &["does it want --tls?"]).await;
    send(source("a", 0, 20), sender::Config { tls: true, ..sending(local) }).await;
    receiver.completes(&dir, 20).await;
}

#[tokio::test]
async fn a_sender_to_another_address_uses_tls_by_itself_and_shows_no_sample() {
    let Some(own) = own_address() else {
        eprintln!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let dir = TempDir::new().unwrap();
    key(); // Made on purpose.
    let receiver = start_at(SocketAddr::new(own, 0), config(dir.path(), 1)).await;
    let (to, listener) = (receiver.address, TcpListener::bind((own, 0)).await.unwrap());
    let address = listener.local_addr().unwrap();
    let tap = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        recorded(near, TcpStream::connect(to).await.unwrap()).await
    });
    send(source("a", 0, 20), sending(address)).await;
    receiver.completes(&dir, 20).await;
    let seen = tap.await.unwrap();
    let shows = |secret: &[u8]| seen.windows(secret.len()).any(|window| window == secret);
    assert!(seen.len() > 20 * 784 && seen[0] == 0x16);
    assert!(!shows(b"TRBT") && !shows(b"tiny") && !shows(&helper::image(3)[..16]));
}

/// Passes everything on, and returns what the near side sent.
async fn recorded(near: TcpStream, far: TcpStream) -> Vec<u8> {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 4096]);
    let answers = tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
    while let Ok(count @ 1..) = near_read.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..count]);
        far_write.write_all(&buffer[..count]).await.unwrap();
    }
    drop(far_write);
    let _ = answers.await;
    seen
}

/// An address of this machine that is not loopback. Nothing is sent: a datagram socket has a peer in name only.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(EVERYWHERE).ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

#[test]
fn keygen_makes_a_key_once_and_says_where() {
    let dir = TempDir::new().unwrap();
    let keygen = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
        command.arg("keygen").args(arguments).current_dir(dir.path()).output().unwrap()
    };
    let made = keygen(&[]);
    assert_eq!((made.status.code(), made.stdout.as_slice()), (Some(0), &b"data/tributary.key\n"[..]));
    let first = fs::read(dir.path().join("data/tributary.key")).unwrap();
    let again = keygen(&[]);
    assert_eq!(again.status.code(), Some(73));
    assert!(String::from_utf8_lossy(&again.stderr).contains("`data/tributary.key` exists already"));
    assert_eq!(fs::read(dir.path().join("data/tributary.key")).unwrap(), first);
    assert_eq!(keygen(&["--key", "other"]).status.code(), Some(0));
    assert!(key_file::read(Path::new(&dir.path().join("other"))).is_ok());
}
