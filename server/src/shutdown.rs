//! The end of a server: a signal that everything may wait for, and the process's signals that give it.

use tokio::sync::watch;

/// Gives the signal to shut down; dropping it gives it too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears the signal.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A signal and who hears it.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Gives the signal.
    pub fn fire(&self) {
        // Nobody who hears it: nothing to end.
        let _ = self.0.send(true);
    }
}

impl Shutdown {
    /// Whether the signal was given.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the signal.
    pub async fn begun(&self) {
        let mut receiver = self.0.clone();
        // An error: the trigger is gone.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The system's, where signals cannot be heard.
pub async fn next_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
