//! The signals of the process: which ones end it, and which ones are only logged.
//!
//! None keeps its default action, which for most signals kills the process and so cuts off its
//! clients (signal(7)). This module does not decide how the gateway ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
    flag,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tracing::{info, warn};

/// Signals that arrive before the control thread listens to them.
#[derive(Debug)]
pub struct EarlySignals {
    is_to_end: Arc<AtomicBool>,
}

impl EarlySignals {
    /// Catches the signals; none of them kills the process after this.
    ///
    /// # Errors
    /// `sigaction(2)`.
    pub fn catch() -> io::Result<Self> {
        let is_to_end = Arc::new(AtomicBool::new(false));
        for number in [SIGHUP, SIGUSR1, SIGUSR2] {
            // Nothing reads this flag: the handler only replaces the default action.
            flag::register(number, Arc::default())?;
        }
        for number in [SIGINT, SIGTERM] {
            flag::register(number, Arc::clone(&is_to_end))?;
        }
        Ok(Self { is_to_end })
    }

    /// Whether one of these signals asked the gateway to end.
    pub fn is_to_end(&self) -> bool {
        self.is_to_end.load(Ordering::Relaxed)
    }
}

/// Signals once the control thread listens.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Notified at SIGHUP; empty if there is nothing to read again.
    reloads: Vec<Arc<Notify>>,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Begins to listen to the signals.
    ///
    /// # Errors
    /// `sigaction(2)`.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reloads: Vec::new(),
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Listens to no real signal, so that a test does not change the signals of its process.
    #[cfg(test)]
    pub fn unheard() -> Self {
        // signal(7): urgent data on a socket, which nothing here sends.
        let none = || signal(SignalKind::from_raw(signal_hook::consts::SIGURG)).unwrap();
        let (terminate, interrupt, hang_up) = (none(), none(), none());
        Self { terminate, interrupt, hang_up, reloads: Vec::new(), user1: none(), user2: none() }
    }

    /// Notified when files are to be read again. Each task needs its own.
    pub fn reload(&mut self) -> Arc<Notify> {
        let reload = Arc::<Notify>::default();
        self.reloads.push(Arc::clone(&reload));
        reload
    }

    fn hung_up(&self) {
        if self.reloads.is_empty() {
            warn!(
                signal = "SIGHUP",
                "ignored: this version reads its configuration only at the start; restart it to \
                 apply a change"
            );
        } else {
            info!(
                signal = "SIGHUP",
                "the files of certificates and keys are read again; the configuration is not"
            );
            self.reloads.iter().for_each(|reload| reload.notify_one());
        }
    }

    /// The next signal that ends the gateway.
    pub async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => self.hung_up(),
                _ = self.user1.recv() => warn!(signal = "SIGUSR1", "ignored: it has no function"),
                _ = self.user2.recv() => warn!(signal = "SIGUSR2", "ignored: it has no function"),
            }
        }
    }
}
