//! Pending connections: those whose peer has not proved that it holds the key. Their number is limited. When the limit is
//! reached, a new one evicts the oldest of the network that has the most. So silent strangers cannot keep others out,
//! however many they are: an honest sender is pending for a few milliseconds. And a flood from one network evicts its own.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Pending connections at the same time. With [`crate::MAX_CONNECTIONS`] this stays well below the 1,024 descriptors that
/// a process usually may have.
pub(crate) const MAX_PENDING: usize = 256;

/// All pending connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingConnections(Arc<Mutex<Slots>>);

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    /// By order of arrival. A connection is evicted by dropping its sender.
    taken: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
}

/// One pending connection's slot, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: PendingConnections,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl PendingConnections {
    /// Takes a slot for a connection from this address. If none is free, evicts another connection.
    pub(crate) fn enter(&self, address: IpAddr) -> Slot {
        let (sender, evicted) = oneshot::channel();
        let mut slots = self.slots();
        if slots.taken.len() == MAX_PENDING {
            slots.evict();
        }
        let number = slots.next;
        slots.next += 1;
        slots.taken.insert(number, (network(address), sender));
        Slot { connections: self.clone(), number, evicted }
    }

    /// Evicts all.
    pub(crate) fn clear(&self) {
        self.slots().taken.clear();
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // Nothing here can be left half done.
    }
}

impl Slots {
    /// Frees the oldest slot of the network that holds the most.
    fn evict(&mut self) {
        let mut held: BTreeMap<IpAddr, (usize, Reverse<u64>)> = BTreeMap::new();
        for (number, (network, _)) in &self.taken {
            held.entry(*network).or_insert((0, Reverse(*number))).0 += 1;
        }
        if let Some((_, Reverse(oldest))) = held.into_values().max() {
            self.taken.remove(&oldest);
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

impl Slot {
    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&mut self) {
        let _ = (&mut self.evicted).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.slots().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &mut Slot) -> bool {
        matches!(slot.evicted.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_oldest_is_evicted_when_no_slot_is_free() {
        let pending = PendingConnections::default();
        let mut slots: Vec<Slot> = (0..MAX_PENDING).map(|_| pending.enter(HERE)).collect();
        assert!(!slots.iter_mut().any(is_evicted));
        drop(slots.remove(1));
        let mut last = pending.enter(HERE);
        assert!(!slots.iter_mut().any(is_evicted), "there was a free slot");
        let mut newest = pending.enter(HERE);
        assert!(is_evicted(&mut slots[0]));
        assert!(!slots[1..].iter_mut().chain([&mut last, &mut newest]).any(is_evicted));
        drop(slots);
        assert_eq!(pending.slots().taken.len(), 2);
        pending.clear();
        assert!(is_evicted(&mut last) && is_evicted(&mut newest));
    }

    #[test]
    fn a_flood_evicts_its_own() {
        let pending = PendingConnections::default();
        let mut honest = pending.enter("192.0.2.1".parse().unwrap());
        let mut other = pending.enter("2001:db8:0:1::1".parse().unwrap());
        let mut flood = (0..4 * MAX_PENDING as u128)
            .map(|number| pending.enter(Ipv6Addr::from_bits(0x2001_0db8_0000_0002 << 64 | number).into()));
        let mut first = flood.next().unwrap();
        let flood: Vec<Slot> = flood.collect();
        assert!(is_evicted(&mut first));
        assert!(!is_evicted(&mut honest) && !is_evicted(&mut other));
        assert_eq!(
            flood.into_iter().filter_map(|mut slot| (!is_evicted(&mut slot)).then_some(())).count(),
            MAX_PENDING - 2
        );
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
