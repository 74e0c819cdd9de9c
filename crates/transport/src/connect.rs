//! Connecting by name. A name may stand for several addresses, and one that never answers must not delay the others: as
//! in RFC 8305, they are tried side by side.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};

/// How long an address has to answer before the next is tried beside it; RFC 8305 recommends it.
const HEAD_START: Duration = Duration::from_millis(250);

/// All addresses of `host:port`.
///
/// # Errors
/// When the name is not known.
pub async fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host(name).await?.collect())
}

/// Connects to the first of these addresses that answers. Each has `limit` to do so.
///
/// # Errors
/// When none answers; the error is the first one's.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            attempts.spawn(async move {
                let late = |_| Err(io::ErrorKind::TimedOut.into());
                timeout(limit, TcpStream::connect(address)).await.unwrap_or_else(late)
            });
        }
        let wait = if next.is_some() { HEAD_START } else { limit };
        match timeout(wait, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => drop(failure.get_or_insert(error)),
            Ok(Some(Err(error))) => return Err(io::Error::other(error)),
            // Each that was tried has failed.
            Ok(None) if next.is_none() => break,
            Ok(None) | Err(_) => {}
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);

    /// An address that never answers: nobody accepts there, and no more connections fit into the queue.
    async fn silent() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        (address, queue, listener)
    }

    #[tokio::test]
    async fn an_address_that_never_answers_does_not_take_the_time_of_the_others() {
        let (silent, _queue, _listener) = silent().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = live.local_addr().unwrap();
        for addresses in [&[silent, address][..], &[silent, silent, silent, address], &[address, silent]] {
            let stream = timeout(LONG / 2, connect(addresses, LONG)).await.expect("long before the limit").unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
        }
    }

    #[tokio::test]
    async fn every_address_has_its_own_time_and_the_first_error_is_told() {
        let (silent, _queue, _listener) = silent().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let kind = async |addresses: &[SocketAddr]| {
            connect(addresses, Duration::from_millis(300)).await.map(drop).map_err(|error| error.kind())
        };
        assert_eq!(kind(&[silent, silent]).await, Err(io::ErrorKind::TimedOut));
        assert_eq!(kind(&[closed, silent]).await, Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind(&[]).await, Err(io::ErrorKind::NotFound));
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_an_address_is_taken_as_it_is() {
        assert!(resolve("localhost:9").await.unwrap().iter().all(|address| address.ip().is_loopback()));
        assert_eq!(resolve("[::1]:9").await.unwrap(), ["[::1]:9".parse().unwrap()]);
    }
}
