//! The keys with which tokens are verified: those of files, which stay, and those that issuers
//! publish at URLs, which are replaced when they were fetched again.
//!
//! A request whose token names an unknown key waits here for the next fetch. Nothing here fetches,
//! and no lock is held for longer than a look-up.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{
    auth::{
        Secret, Ticket,
        token::{
            fetch::Source,
            keys::{Key, KeySet},
        },
    },
    limits::JWKS_WAITING_MAX,
};

/// A request that waits for the key of its token.
pub struct Waiting {
    /// The request.
    pub ticket: Ticket,
    /// Its token.
    pub token: Secret,
    /// The name that its client gives itself.
    pub client: Option<Box<str>>,
}

/// All keys; shared by the cores and the control thread.
#[derive(Default)]
pub struct Issuers {
    fixed: KeySet,
    sources: Vec<Arc<Source>>,
    /// The keys of each source, once they were fetched.
    latest: Mutex<Vec<Option<Vec<Arc<Key>>>>>,
    current: RwLock<Arc<KeySet>>,
    /// Whether a source was never fetched, so that any token may be one of its.
    is_incomplete: AtomicBool,
    waiting: Mutex<Vec<Waiting>>,
    is_asked: AtomicBool,
    woken: Notify,
    is_cooling: AtomicBool,
    fetched: AtomicU64,
    failed: AtomicU64,
}

impl Issuers {
    /// These keys, and those of these sources once they are fetched.
    pub fn new(fixed: KeySet, sources: Vec<Source>) -> Self {
        Self {
            current: RwLock::new(Arc::new(fixed.clone())),
            latest: Mutex::new(vec![None; sources.len()]),
            is_incomplete: AtomicBool::new(!sources.is_empty()),
            sources: sources.into_iter().map(Arc::new).collect(),
            fixed,
            ..Self::default()
        }
    }

    /// The URLs with keys.
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// The keys to use now.
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys of a source were fetched: they replace its earlier ones.
    pub fn replace(&self, source: usize, keys: Vec<Key>) {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let mut latest = lock(&self.latest);
        latest[source] = Some(keys.into_iter().map(Arc::new).collect());
        let all = self.fixed.with(latest.iter().flatten().flatten().cloned());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        let is_incomplete = latest.iter().any(Option::is_none);
        self.is_incomplete.store(is_incomplete, Ordering::Release);
    }

    /// The keys of a source could not be fetched: the earlier ones stay.
    pub fn note_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many fetches have succeeded, and how many have failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.fetched.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// How many keys come from URLs.
    pub fn fetched_keys(&self) -> usize {
        lock(&self.latest).iter().flatten().map(Vec::len).sum()
    }

    /// Whether another fetch may bring the key of a token with this `kid`.
    pub fn may_bring(&self, kid: Option<&str>, known: &KeySet) -> bool {
        !self.sources.is_empty()
            && (self.is_incomplete.load(Ordering::Acquire)
                || kid.is_some_and(|kid| !known.names(kid)))
    }

    /// Asks for a fetch; `false`: there was one a moment ago.
    pub fn ask(&self) -> bool {
        let is_allowed = !self.is_cooling.load(Ordering::Acquire);
        if is_allowed {
            self.is_asked.store(true, Ordering::Release);
            self.woken.notify_one();
        }
        is_allowed
    }

    /// Whether somebody has asked for a fetch since this was last called.
    pub fn take_ask(&self) -> bool {
        self.is_asked.swap(false, Ordering::AcqRel)
    }

    /// Whether requests for a fetch are refused for now.
    pub fn cool(&self, is_cooling: bool) {
        self.is_cooling.store(is_cooling, Ordering::Release);
    }

    /// Waits until somebody asks for a fetch, or waits for one.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Keeps a request until a fetch has ended. One too many is forgotten: its core gives it up.
    pub fn wait(&self, waiting: Waiting) {
        let mut all = lock(&self.waiting);
        if all.len() < JWKS_WAITING_MAX {
            all.push(waiting);
        }
        // The fetch that was asked for may have ended before.
        self.woken.notify_one();
    }

    /// The requests that wait.
    pub fn take_waiting(&self) -> Vec<Waiting> {
        mem::take(&mut lock(&self.waiting))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
