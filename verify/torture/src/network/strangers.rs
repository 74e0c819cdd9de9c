//! Strangers: others who connect to the receiver while an honest sender works. None of them may disturb it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::{Message, message::Hello};
use sample::random::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::log::Log;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strangers {
    Silent,       // Many connect and say nothing.
    TooMany,      // More than the receiver has places for.
    Garbage,      // They send what is no frame, and frames that make no sense.
    Deaf,         // They greet, and never read an answer.
    ReplayBroken, // They say again what a sender said on a connection that broke.
    ReplayEnded,  // They say again what a sender said on a connection that ended well.
}

/// How many come, where the receiver has places for them all, and where it has not.
const SOME: u64 = 48;
const TOO_MANY: u64 = 300;

impl Strangers {
    /// Lets them loose on the receiver, as tasks of `network`. They are all connected when this returns, except those that
    /// replay what `log` comes to hold.
    pub(crate) async fn arrive(self, receiver: SocketAddr, seed: u64, log: &Arc<Log>, network: &mut JoinSet<()>) {
        let crowd = match self {
            Strangers::ReplayBroken | Strangers::ReplayEnded => {
                network.spawn(replay(receiver, Arc::clone(log)));
                return;
            }
            Strangers::TooMany => TOO_MANY,
            _ => SOME,
        };
        for number in 0..crowd {
            let Ok(mut socket) = TcpStream::connect(receiver).await else { continue };
            log.strike();
            let said = self.says(&mut Stream::keyed("tributary strangers", &[seed, number]));
            network.spawn(async move {
                let _ = socket.write_all(&said).await;
                if self != Strangers::Deaf {
                    hear(&mut socket).await;
                }
                std::future::pending().await
            });
        }
    }

    fn says(self, random: &mut Stream) -> Vec<u8> {
        let greeting = Message::Hello(Hello::OURS).frame();
        let noise = |random: &mut Stream| -> Vec<u8> {
            let length = 1 + random.below(4096);
            (0..length).map(|_| random.next_u64() as u8).collect()
        };
        match (self, random.below(6)) {
            (Strangers::Garbage, 0) => noise(random),
            (Strangers::Garbage, 1) => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            (Strangers::Garbage, 2) => [greeting, noise(random)].concat(),
            (Strangers::Garbage, 3) => [&[0xff; 4][..], &greeting[4..]].concat(),
            (Strangers::Garbage, 4) => Message::EndAck.frame(),
            (Strangers::Garbage, _) => [greeting.clone(), greeting].concat(),
            (Strangers::Deaf, _) => greeting,
            _ => Vec::new(),
        }
    }
}

/// Says again, on a new connection each, what was said on all connections but the newest.
async fn replay(receiver: SocketAddr, log: Arc<Log>) {
    for next in 0.. {
        let said = loop {
            match log.session(next) {
                Some(session) if session.is_over => break session.bytes[0].clone(),
                _ => sleep(Duration::from_millis(2)).await,
            }
        };
        for _ in 0..TIMES {
            let Ok(mut socket) = TcpStream::connect(receiver).await else { return };
            log.strike();
            let _ = socket.write_all(&said).await;
            let _ = timeout(Duration::from_millis(20), hear(&mut socket)).await;
        }
    }
}

const TIMES: u32 = 3;

async fn hear(socket: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(socket.read(&mut buffer).await, Ok(1..)) {}
}
