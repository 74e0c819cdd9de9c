//! Panics, counted wherever they happen. A task or a thread that panics takes nobody with it, so a program may look well
//! after one; that it did not happen must be seen by other means.

use std::{
    panic,
    sync::{Mutex, Once},
};

use crate::locked;

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Begins to watch this process. Panics are still printed.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            locked(&SEEN).push(panic.to_string());
            print(panic);
        }));
    });
}

/// The panics since the last call, in any thread.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut *locked(&SEEN))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_in_another_thread_is_seen() {
        super::watch();
        std::thread::spawn(|| panic!("on purpose")).join().unwrap_err();
        assert!(super::take().iter().any(|panic| panic.contains("on purpose")));
    }
}
