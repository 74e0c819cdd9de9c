//! Where senders connect: the bound socket, and the key that they must hold.

use std::{io, net::SocketAddr, path::Path};

use process::exit::{Code, failure};
use proto::Key;
use tokio::net::TcpListener;
use transport::key_file;

/// Where senders connect, and the key that they must hold.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) key: Key,
}

impl Listener {
    /// The address; its port is the real one, also when port 0 was asked for.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Binds the address, `host:port`, for senders that hold the key in this file. On loopback the file is made if there is
/// none. A host name is loopback if all its addresses are.
///
/// # Errors
/// With exit code 78 for an address that other machines can reach without a key that was made on purpose, and for a key
/// that others can read; 65 for a file that holds no key; 69 for a port that is in use and for a name that is not known.
pub async fn bind(address: impl ToString, key: &Path) -> anyhow::Result<Listener> {
    let address = address.to_string();
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; is another receiver running? --listen 127.0.0.1:0 takes a free port",
            _ => "",
        };
        failure(Code::Unavailable, anyhow::anyhow!("failed to listen on {address}: {error}{hint}"))
    };
    let addresses = transport::resolve(&address).await.map_err(failed)?;
    let loopback = addresses.iter().all(|address| transport::is_loopback(address.ip()));
    let key = read_key(&address, loopback, key)?;
    let socket = TcpListener::bind(&addresses[..]).await.map_err(failed)?;
    Ok(Listener { socket, key })
}

/// The key for a receiver that listens on this address. Where only this machine can connect, it is made if there is none;
/// where others can, somebody must have made it on purpose.
fn read_key(address: &str, loopback: bool, path: &Path) -> anyhow::Result<Key> {
    let key = match key_file::read(path) {
        Err(key_file::Error::Missing(_)) if loopback => match key_file::create(path) {
            Err(key_file::Error::Exists(_)) => key_file::read(path), // Another receiver was faster.
            created => created.inspect(|_| tracing::info!("made the key file `{}`", path.display())),
        },
        Err(error @ key_file::Error::Missing(_)) => {
            let advice = "make one with `receiver keygen`, and copy it to the senders' machines";
            let text = anyhow::anyhow!("--listen {address} is open to other machines, and {error}; {advice}");
            return Err(failure(Code::Unsafe, text));
        }
        read => read,
    };
    key.map_err(|error| failure(error.exit_code(), error))
}
