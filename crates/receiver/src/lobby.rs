//! The lobby: places for connections that have not proved who they are. When it is full, whoever comes takes the place of
//! the one that waits longest. So strangers who only sit there cannot keep others out, however many they are: an honest
//! sender needs its place for a few milliseconds.

use std::{
    collections::BTreeMap,
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
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place in the lobby, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lobby: Lobby,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Lobby {
    /// Takes a place, if need be that of the stranger who waits longest.
    pub(crate) fn enter(&self) -> Place {
        let (sender, lost) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.places.len() == PLACES {
            waiting.places.pop_first();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, sender);
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

    #[test]
    fn the_one_who_waits_longest_makes_room() {
        let lobby = Lobby::default();
        let mut places: Vec<Place> = (0..PLACES).map(|_| lobby.enter()).collect();
        assert!(!places.iter_mut().any(is_lost));
        drop(places.remove(1));
        let mut last = lobby.enter();
        assert!(!places.iter_mut().any(is_lost), "there was a free place");
        let mut newest = lobby.enter();
        assert!(is_lost(&mut places[0]));
        assert!(!places[1..].iter_mut().chain([&mut last, &mut newest]).any(is_lost));
        drop(places);
        assert_eq!(lobby.waiting().places.len(), 2);
        lobby.clear();
        assert!(is_lost(&mut last) && is_lost(&mut newest));
    }
}
