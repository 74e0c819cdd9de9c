//! TLS 1.3 between a sender and a receiver that share a key. The receiver's key pair is derived from the shared key, so
//! the sender knows the public key to expect. The receiver shows the bare public key (RFC 7250) instead of a certificate,
//! whose names, dates and authorities would mean nothing here.
//!
//! TLS authenticates the receiver only. The sender authenticates itself inside, by its proof over [`Binding::Tls`].

use std::{io, sync::Arc};

use proto::{Binding, Key};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        self, CertificateError, ClientConfig, ConnectionCommon, DigitallySignedStruct, ServerConfig, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
        server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage},
        sign::{CertifiedKey, SigningKey},
        version::TLS13,
    },
};
use zeroize::Zeroizing;

use crate::{Reader, Writer, halves};

/// The first byte of a TLS connection. A frame begins with the high byte of its length, which is 0.
const HANDSHAKE: u8 = 0x16;

/// What the Ed25519 key pair is derived for.
const PURPOSE: &[u8] = b"tributary v1 tls ed25519";

/// What the secret is exported for (RFC 8446, section 7.5).
const EXPORTER: &[u8] = b"EXPORTER-tributary v1";

/// An Ed25519 seed as PKCS #8 (RFC 8410, section 7) is these bytes, and then the seed.
const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The receiver's side.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

/// The sender's side.
#[derive(Clone)]
pub struct Connector(TlsConnector);

/// Whether the peer begins with TLS. Waits for its first byte, and leaves it there.
///
/// # Errors
/// When the connection breaks.
pub async fn is_offered(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

impl Acceptor {
    /// Accepts as the receiver that holds this key.
    pub fn new(key: &Key) -> Acceptor {
        let pair = key_pair(key);
        let public_key = CertificateDer::from(public_key(&*pair).to_vec());
        let identity = AlwaysResolvesServerRawPublicKeys::new(Arc::new(CertifiedKey::new(vec![public_key], pair)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has the cipher suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(identity));
        // Every connection proves everything again, so nothing of one is kept for the next.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Acceptor(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes over a connected socket whose peer begins with TLS.
    ///
    /// # Errors
    /// When the connection breaks or the peer's TLS cannot be spoken.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Reader, Writer, Binding)> {
        stream.set_nodelay(true)?;
        let stream = self.0.accept(stream).await?;
        let binding = binding(stream.get_ref().1)?;
        Ok(split(stream, binding))
    }
}

impl Connector {
    /// Connects to the receiver that holds this key, and to no other.
    pub fn new(key: &Key) -> Connector {
        let provider = provider();
        let verifier = PinnedKey { public_key: public_key(&*key_pair(key)), provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has the cipher suites of TLS 1.3")
            .dangerous() // The danger is a verifier that accepts too much; ours accepts one key.
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Connector(TlsConnector::from(Arc::new(config)))
    }

    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When the connection breaks, or the peer is not the receiver that holds the key: see [`is_impostor`].
    pub async fn connect(&self, stream: TcpStream) -> io::Result<(Reader, Writer, Binding)> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("receiver").expect("a name that is valid, and never sent");
        let stream = self.0.connect(name, stream).await?;
        let binding = binding(stream.get_ref().1)?;
        Ok(split(stream, binding))
    }
}

/// Whether a connection failed because the peer did not show the receiver's public key, or could not sign with it.
pub fn is_impostor(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::PeerIncompatible(_)))
}

/// Accepts one public key, from a peer that signs with it.
#[derive(Debug)]
struct PinnedKey {
    public_key: SubjectPublicKeyInfoDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if shown.as_ref() == self.public_key.as_ref() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &self.public_key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn key_pair(key: &Key) -> Arc<dyn SigningKey> {
    let mut pkcs8 = Zeroizing::new([0; 48]);
    pkcs8[..16].copy_from_slice(&PKCS8);
    pkcs8[16..].copy_from_slice(&*key.derive(PURPOSE));
    ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8[..])).expect("any 32 bytes are a seed of Ed25519")
}

fn public_key(pair: &dyn SigningKey) -> SubjectPublicKeyInfoDer<'static> {
    pair.public_key().expect("an Ed25519 key pair has its public key").into_owned()
}

/// A secret that only the two ends of this session know.
fn binding<Side>(session: &ConnectionCommon<Side>) -> io::Result<Binding> {
    session.export_keying_material([0; 32], EXPORTER, None).map(Binding::Tls).map_err(io::Error::other)
}

fn split(stream: impl AsyncRead + AsyncWrite + Send + 'static, binding: Binding) -> (Reader, Writer, Binding) {
    let (read, write) = tokio::io::split(stream);
    let (reader, writer) = halves(read, write);
    (reader, writer, binding)
}

#[cfg(test)]
mod tests {
    use proto::{MAX_BODY, Message};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    type Connected = io::Result<(Reader, Writer, Binding)>;

    async fn connected(sender: &Connector, receiver: &Acceptor) -> (Connected, Connected) {
        let (near, far) = sockets().await;
        tokio::join!(sender.connect(near), receiver.accept(far))
    }

    /// The number comes from Python: HKDF by hand, and the reference code of RFC 8032.
    #[test]
    fn the_public_key_follows_from_the_key() {
        let key = Key::new(std::array::from_fn(|i| i as u8));
        let spki = public_key(&*key_pair(&key));
        assert_eq!(
            hex::encode(spki),
            "302a300506032b6570032100b5d17f7e0867ae2fd42efe495fd0c36918f02685140fb702726260951ba8decc"
        );
    }

    #[tokio::test]
    async fn two_that_share_a_key_talk_over_a_session_of_their_own() {
        let (sender, receiver) = (Connector::new(&key(1)), Acceptor::new(&key(1)));
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (near, far) = connected(&sender, &receiver).await;
            let ((mut reader, mut writer, near), (mut far_reader, mut far_writer, far)) = (near.unwrap(), far.unwrap());
            assert_eq!(near, far);
            assert!(near != Binding::Plain && !seen.contains(&near), "each session is bound to itself");
            seen.push(near);
            let frame = proto::Batch::frame(0, sample::SampleSlice { labels: &[1; 1335], images: &[2; 1335 * 784] }); // Many records of TLS.
            let (sent, got) = tokio::join!(writer.write(&frame), far_reader.read(MAX_BODY));
            sent.unwrap();
            assert!(got.unwrap().unwrap().frame() == frame);
            far_writer.send(&Message::EndAck).await.unwrap();
            tokio::join!(crate::close(far_reader, far_writer), async {
                assert_eq!(reader.read(MAX_BODY).await.unwrap(), Some(Message::EndAck));
                assert_eq!(reader.read(MAX_BODY).await.unwrap(), None, "a clean end");
                drop((reader, writer));
            });
        }
    }

    #[tokio::test]
    async fn a_connection_cut_by_somebody_else_is_no_clean_end() {
        let (near, far) = sockets().await;
        let raw = far.into_std().unwrap();
        let cut = raw.try_clone().unwrap();
        let (sender, receiver) = (Connector::new(&key(1)), Acceptor::new(&key(1)));
        let (near, far) = tokio::join!(sender.connect(near), receiver.accept(TcpStream::from_std(raw).unwrap()));
        let (mut reader, _writer, _) = near.unwrap();
        cut.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(reader.read(MAX_BODY).await.is_err());
        drop(far);
    }

    #[tokio::test]
    async fn a_receiver_of_another_key_is_an_impostor() {
        let (near, far) = connected(&Connector::new(&key(1)), &Acceptor::new(&key(2))).await;
        assert!(is_impostor(&near.err().unwrap()));
        assert!(far.is_err());
    }

    #[tokio::test]
    async fn a_copied_public_key_is_worth_nothing_without_its_secret() {
        let public_key = CertificateDer::from(public_key(&*key_pair(&key(1))).to_vec());
        let stolen = CertifiedKey::new(vec![public_key], key_pair(&key(2)));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(stolen))));
        let impostor = Acceptor(TlsAcceptor::from(Arc::new(config)));
        let (near, _far) = connected(&Connector::new(&key(1)), &impostor).await;
        assert!(is_impostor(&near.err().unwrap()));
    }

    #[tokio::test]
    async fn a_broken_connection_is_no_impostor() {
        let (near, mut far) = sockets().await;
        let connector = Connector::new(&key(1));
        let (near, ()) = tokio::join!(connector.connect(near), async {
            far.read_u8().await.unwrap();
            far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            drop(far);
        });
        assert!(!is_impostor(&near.err().unwrap()));
    }

    #[tokio::test]
    async fn tls_is_told_from_a_frame_by_its_first_byte() {
        for (first, tls) in [(&Message::EndAck.frame()[..1], false), (b"\x16", true), (b"", false)] {
            let (mut near, mut far) = sockets().await;
            near.write_all(first).await.unwrap();
            drop(near);
            assert_eq!(is_offered(&far).await.unwrap(), tls);
            let mut rest = Vec::new();
            far.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, first, "nothing was taken");
        }
    }
}
