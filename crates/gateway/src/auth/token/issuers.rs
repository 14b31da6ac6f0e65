//! The keys with which tokens are verified: those of files and variables, which are replaced when they
//! are read again, and those that issuers publish at URLs, which are replaced each time they are fetched.
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

/// The keys as they were read last.
#[derive(Default)]
struct Latest {
    /// Those of files and variables.
    local: KeySet,
    /// Those of each source, once they were fetched.
    fetched: Vec<Option<Vec<Arc<Key>>>>,
}

/// All keys; shared by the cores and the control thread.
#[derive(Default)]
pub struct Issuers {
    sources: Vec<Arc<Source>>,
    latest: Mutex<Latest>,
    current: RwLock<Arc<KeySet>>,
    /// Whether a source was never fetched. Its keys may then have signed any token.
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
    pub fn new(local: KeySet, sources: Vec<Source>) -> Self {
        Self {
            current: RwLock::new(Arc::new(local.clone())),
            latest: Mutex::new(Latest { local, fetched: vec![None; sources.len()] }),
            is_incomplete: AtomicBool::new(!sources.is_empty()),
            sources: sources.into_iter().map(Arc::new).collect(),
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
        latest.fetched[source] = Some(keys.into_iter().map(Arc::new).collect());
        self.use_keys(&latest);
        let is_incomplete = latest.fetched.iter().any(Option::is_none);
        self.is_incomplete.store(is_incomplete, Ordering::Release);
    }

    /// The keys of files and variables were read again: they replace the earlier ones.
    pub fn replace_local(&self, keys: KeySet) {
        let mut latest = lock(&self.latest);
        latest.local = keys;
        self.use_keys(&latest);
    }

    fn use_keys(&self, latest: &Latest) {
        let all = latest.local.with(latest.fetched.iter().flatten().flatten().cloned());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
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
        lock(&self.latest).fetched.iter().flatten().map(Vec::len).sum()
    }

    /// Whether another fetch may bring the key of a token with this `kid`.
    pub fn may_bring(&self, kid: Option<&str>, known: &KeySet) -> bool {
        !self.sources.is_empty()
            && (self.is_incomplete.load(Ordering::Acquire)
                || kid.is_some_and(|kid| !known.names(kid)))
    }

    /// Asks for a fetch; `false`: the last one was so recent that there is none now.
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

    /// Sets whether [`Self::ask`] starts no fetch, because the last one was recent.
    pub fn set_cooling(&self, is_cooling: bool) {
        self.is_cooling.store(is_cooling, Ordering::Release);
    }

    /// Returns when a request has asked for a fetch or waits for one.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Keeps a request until a fetch has ended. If there are too many it is dropped, and its core ends
    /// it after `IDENTITY_TIMEOUT`.
    pub fn wait(&self, waiting: Waiting) {
        let mut all = lock(&self.waiting);
        if all.len() < JWKS_WAITING_MAX {
            all.push(waiting);
        }
        // The fetch that was asked for may have ended already.
        self.woken.notify_one();
    }

    /// Takes the requests that wait.
    pub fn take_waiting(&self) -> Vec<Waiting> {
        mem::take(&mut lock(&self.waiting))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
