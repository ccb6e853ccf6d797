//! Ctrl-C while a statement runs: it ends the statement, not the process. Once this has listened, the process no longer ends
//! by itself at Ctrl-C, so only the prompt does.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Awaits `work`; each Ctrl-C meanwhile calls `cancel`, which is to bring `work` to its end.
pub(super) async fn cancelling<T>(work: impl Future<Output = T>, cancel: impl Fn()) -> T {
    // Listens anew: a Ctrl-C between two statements is none of this one's.
    let mut pressed = signal(SignalKind::interrupt()).ok();
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = press(&mut pressed) => cancel(),
        }
    }
}

/// Awaits `work`; none at Ctrl-C, which drops it.
pub(super) async fn unless_pressed<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut pressed = signal(SignalKind::interrupt()).ok();
    tokio::select! {
        biased;
        done = work => Some(done),
        () = press(&mut pressed) => None,
    }
}

async fn press(pressed: &mut Option<Signal>) {
    match pressed {
        Some(pressed) => {
            pressed.recv().await;
        }
        // The system lets nobody listen.
        None => std::future::pending().await,
    }
}
