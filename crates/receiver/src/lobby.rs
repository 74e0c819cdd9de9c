//! The lobby: places for connections that have not proved who they are. When it is full, whoever comes takes the place of
//! the one that waits longest, of the network that holds the most places. So strangers who only sit there cannot keep
//! others out, however many they are: an honest sender needs its place for a few milliseconds. And whoever floods the lobby
//! from one network drives out his own.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Strangers at the same time. With [`crate::MAX_CONNECTIONS`] this stays well below the 1,024 descriptors that a process
/// usually may have.
pub(crate) const PLACES: usize = 256;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lobby(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By order of arrival. A place is lost when its sender is dropped.
    places: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
}

/// A place in the lobby, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lobby: Lobby,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Lobby {
    /// Takes a place for somebody from this address, if need be one that is taken.
    pub(crate) fn enter(&self, address: IpAddr) -> Place {
        let (sender, lost) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.places.len() == PLACES {
            waiting.evict();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, (network(address), sender));
        Place { lobby: self.clone(), number, lost }
    }

    /// Sends everybody away.
    pub(crate) fn clear(&self) {
        self.waiting().places.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // Nothing here can be left half done.
    }
}

impl Waiting {
    /// Frees the oldest place of the network that holds the most.
    fn evict(&mut self) {
        let mut held: BTreeMap<IpAddr, (usize, Reverse<u64>)> = BTreeMap::new();
        for (number, (network, _)) in &self.places {
            held.entry(*network).or_insert((0, Reverse(*number))).0 += 1;
        }
        if let Some((_, Reverse(oldest))) = held.into_values().max() {
            self.places.remove(&oldest);
        }
    }
}

/// What one subscriber usually has: an IPv4 address, or the 2^64 addresses of an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

impl Place {
    /// Waits until somebody else has the place.
    pub(crate) async fn lost(&mut self) {
        let _ = (&mut self.lost).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.waiting().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        matches!(place.lost.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_one_who_waits_longest_makes_room() {
        let lobby = Lobby::default();
        let mut places: Vec<Place> = (0..PLACES).map(|_| lobby.enter(HERE)).collect();
        assert!(!places.iter_mut().any(is_lost));
        drop(places.remove(1));
        let mut last = lobby.enter(HERE);
        assert!(!places.iter_mut().any(is_lost), "there was a free place");
        let mut newest = lobby.enter(HERE);
        assert!(is_lost(&mut places[0]));
        assert!(!places[1..].iter_mut().chain([&mut last, &mut newest]).any(is_lost));
        drop(places);
        assert_eq!(lobby.waiting().places.len(), 2);
        lobby.clear();
        assert!(is_lost(&mut last) && is_lost(&mut newest));
    }

    #[test]
    fn a_flood_drives_out_its_own() {
        let lobby = Lobby::default();
        let mut honest = lobby.enter("192.0.2.1".parse().unwrap());
        let mut other = lobby.enter("2001:db8:0:1::1".parse().unwrap());
        let mut flood = (0..4 * PLACES as u128)
            .map(|number| lobby.enter(Ipv6Addr::from_bits(0x2001_0db8_0000_0002 << 64 | number).into()));
        let mut first = flood.next().unwrap();
        let flood: Vec<Place> = flood.collect();
        assert!(is_lost(&mut first));
        assert!(!is_lost(&mut honest) && !is_lost(&mut other));
        assert_eq!(flood.into_iter().filter_map(|mut place| (!is_lost(&mut place)).then_some(())).count(), PLACES - 2);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
