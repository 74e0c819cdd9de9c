//! Proof that the peer holds the same key, in both directions, before anything else is said. Each side proves it with an
//! HMAC-SHA256 over all that makes this conversation different from every other: who speaks, the versions that both
//! offered, a fresh number from each side, and the channel. So a proof cannot be replayed, reflected, carried over to
//! another connection, or saved by a man in the middle who changes the greeting.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    codec,
    message::{Hello, Nonce},
};

/// The secret that a receiver shares with its senders. Nothing prints it, and its memory is overwritten in the end.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// The channel that carries the conversation, so that a proof is worth nothing on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Plain TCP, as on loopback.
    Plain,
    /// TLS: a secret of this very session, which both of its ends know and nobody between them (RFC 9266).
    Tls([u8; 32]),
}

/// What one side brings to one connection.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The shared key.
    pub key: Key,
    /// A fresh number of this side.
    pub nonce: Nonce,
    /// The channel, as this side sees it.
    pub binding: Binding,
}

/// Who proves something. A proof of one role is no proof of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Sender,
    Receiver,
}

/// All that a proof covers. Every field has a fixed size, so no two transcripts have the same bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transcript {
    pub(crate) sender_hello: Hello,
    pub(crate) receiver_hello: Hello,
    pub(crate) receiver_nonce: Nonce,
    pub(crate) sender_nonce: Nonce,
    pub(crate) binding: Binding,
}

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// Another secret, for another purpose, from which this one cannot be told (HKDF-SHA256, RFC 5869).
    pub fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.0).expand(purpose, &mut *secret).expect("32 bytes are within HKDF's limit");
        secret
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Role::Sender => b"tributary v1 sender",
            Role::Receiver => b"tributary v1 receiver",
        }
    }
}

impl Transcript {
    /// What `role` sends to prove that it holds the key.
    pub(crate) fn prove(&self, key: &Key, role: Role) -> [u8; 32] {
        self.mac(key, role).finalize().into_bytes().into()
    }

    /// Whether this proves that `role` holds the key. It takes the same time wherever the proof is wrong.
    pub(crate) fn is_proved(&self, key: &Key, role: Role, proof: &[u8; 32]) -> bool {
        self.mac(key, role).verify_slice(proof).is_ok()
    }

    fn mac(&self, key: &Key, role: Role) -> Hmac<Sha256> {
        let (tag, secret) = match self.binding {
            Binding::Plain => (0, [0; 32]),
            Binding::Tls(secret) => (1, secret),
        };
        Hmac::new_from_slice(&key.0)
            .expect("HMAC takes keys of any length")
            .chain_update(role.label())
            .chain_update(codec::encode(&self.sender_hello))
            .chain_update(codec::encode(&self.receiver_hello))
            .chain_update(self.receiver_nonce)
            .chain_update(self.sender_nonce)
            .chain_update([tag])
            .chain_update(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MAGIC;

    fn key() -> Key {
        Key::new(std::array::from_fn(|i| i as u8))
    }

    fn transcript() -> Transcript {
        Transcript {
            sender_hello: Hello { magic: MAGIC, min_version: 1, max_version: 3 },
            receiver_hello: Hello { magic: MAGIC, min_version: 1, max_version: 1 },
            receiver_nonce: [0xaa; 32],
            sender_nonce: [0xbb; 32],
            binding: Binding::Plain,
        }
    }

    /// The numbers come from Python's `hmac`, over the bytes that the page above promises.
    #[test]
    fn proofs_and_derived_secrets_are_these_bytes() {
        let sender = transcript().prove(&key(), Role::Sender);
        assert_eq!(hex::encode(sender), "0d22c832806fbd428052e593180fb2926f3186a57e54a11edc6548bf311c87ed");
        let tls = Transcript { binding: Binding::Tls([0xcc; 32]), ..transcript() };
        let receiver = tls.prove(&key(), Role::Receiver);
        assert_eq!(hex::encode(receiver), "dc7f781a4fd21f0b022954276e013d2fa325a185e41aca421b79f78a63593140");
        let derived = key().derive(b"purpose");
        assert_eq!(hex::encode(*derived), "c938f7c9c926b1456b39fd3811e7b2d8beccd709fed368d133553b438fb89d0b");
    }

    #[test]
    fn a_proof_holds_for_one_transcript_role_and_key_only() {
        let proof = transcript().prove(&key(), Role::Sender);
        assert!(transcript().is_proved(&key(), Role::Sender, &proof));
        assert!(!transcript().is_proved(&key(), Role::Receiver, &proof));
        assert!(!transcript().is_proved(&Key::new([0; 32]), Role::Sender, &proof));
        let hello = Hello { magic: MAGIC, min_version: 1, max_version: 2 };
        for (what, other) in [
            ("the sender's versions", Transcript { sender_hello: hello, ..transcript() }),
            ("the receiver's versions", Transcript { receiver_hello: hello, ..transcript() }),
            ("the receiver's nonce", Transcript { receiver_nonce: [0xab; 32], ..transcript() }),
            ("the sender's nonce", Transcript { sender_nonce: [0xab; 32], ..transcript() }),
            ("the channel", Transcript { binding: Binding::Tls([0; 32]), ..transcript() }),
        ] {
            assert!(!other.is_proved(&key(), Role::Sender, &proof), "{what}");
        }
        let tls = |secret| Transcript { binding: Binding::Tls(secret), ..transcript() };
        let proof = tls([1; 32]).prove(&key(), Role::Sender);
        assert!(!tls([2; 32]).is_proved(&key(), Role::Sender, &proof), "the TLS session");
    }

    #[test]
    fn no_bit_of_a_proof_and_of_the_number_that_comes_with_it_may_be_wrong() {
        for role in [Role::Sender, Role::Receiver] {
            let proof = transcript().prove(&key(), role);
            for bit in 0..256 {
                let flipped = |mut bytes: [u8; 32]| {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    bytes
                };
                assert!(!transcript().is_proved(&key(), role, &flipped(proof)), "bit {bit}");
                let other = Transcript { sender_nonce: flipped(transcript().sender_nonce), ..transcript() };
                assert!(!other.is_proved(&key(), role, &proof), "bit {bit} of the number");
            }
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let credentials = Credentials { key: Key::new([0x5a; 32]), nonce: [0; 32], binding: Binding::Plain };
        let text = format!("{credentials:?} {:?}", credentials.key);
        assert!(!text.contains("90") && !text.to_lowercase().contains("5a"), "{text}");
    }
}
