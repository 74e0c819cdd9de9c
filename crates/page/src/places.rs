//! Places for connections. Those who have shown the token have places of their own, so strangers cannot keep them out: they
//! share fewer, and another one of them drops the oldest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

#[derive(Debug)]
pub(crate) struct Places {
    strangers: Mutex<Strangers>,
    most_strangers: usize,
    members: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Strangers {
    next: u64,
    /// By order of arrival.
    here: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A connection's place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    membership: OnceLock<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(members: usize, strangers: usize) -> Arc<Places> {
        let members = Arc::new(Semaphore::new(members));
        Arc::new(Places { strangers: Mutex::default(), most_strangers: strangers.max(1), members })
    }

    /// A stranger's place, and what is told to him when he must go.
    pub(crate) fn enter(self: &Arc<Self>) -> (Place, oneshot::Receiver<()>) {
        let (leave, must_leave) = oneshot::channel();
        let mut strangers = self.strangers();
        if strangers.here.len() >= self.most_strangers
            && let Some((_, oldest)) = strangers.here.pop_first()
        {
            let _ = oldest.send(()); // He may be about to go.
        }
        let number = strangers.next;
        strangers.next += 1;
        strangers.here.insert(number, leave);
        drop(strangers);
        (Place { places: Arc::clone(self), number, membership: OnceLock::new() }, must_leave)
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner) // Nothing here can be left half done.
    }
}

impl Place {
    /// Whether it is a member's.
    pub(crate) fn is_member(&self) -> bool {
        self.membership.get().is_some()
    }

    /// Makes it a member's, who showed the token. Whether there is a place for another member.
    pub(crate) fn admit(&self) -> bool {
        if self.is_member() {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.places.members).try_acquire_owned() else { return false };
        let _ = self.membership.set(permit); // A connection has one request at a time.
        self.places.strangers().here.remove(&self.number);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.strangers().here.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_strangers_drops_its_oldest_and_no_member() {
        let places = Places::new(1, 2);
        let (member, mut member_must_leave) = places.enter();
        assert!(member.admit() && member.admit());
        let (_first, mut first_must_leave) = places.enter();
        let (second, mut second_must_leave) = places.enter();
        let (_third, mut third_must_leave) = places.enter();
        assert_eq!(first_must_leave.try_recv(), Ok(()));
        drop(second);
        let (fourth, _) = places.enter();
        assert!(third_must_leave.try_recv().is_err() && second_must_leave.try_recv().is_err(), "there was room");
        assert!(!fourth.admit(), "there is one place for members");
        assert_ne!(member_must_leave.try_recv(), Ok(()));
        drop(member);
        assert!(fourth.admit());
    }
}
