//! The applications of a configuration: for each one a bounded queue from the cores to the control
//! thread, the answers that still count, and counters. A core that asks never waits.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    config::{Hook, HookEvent},
    hooks::{Answer, Asked, Failure, HookSource, Question, cache::AnswerCache},
    limits::HOOK_QUESTIONS_MAX,
};

/// All applications.
#[derive(Debug)]
pub struct Applications {
    applications: Vec<Application>,
}

/// One application.
#[derive(Debug)]
pub struct Application {
    /// Its table in the configuration.
    pub hook: Hook,
    questions: Sender<Pending>,
    /// Taken by the control thread.
    receiver: Mutex<Option<Receiver<Pending>>>,
    cache: Mutex<AnswerCache>,
    counts: [[AtomicU64; WORDS.len()]; HookEvent::ALL.len()],
    start: Instant,
}

/// A question on its way.
#[derive(Debug)]
pub struct Pending {
    /// The question.
    pub question: Question,
    /// Until when an answer counts.
    pub deadline: Instant,
}

/// What became of questions, as words in metrics.
const WORDS: [&str; 11] = [
    "allowed",
    "refused",
    "answered",
    "remembered",
    "timeout",
    "connect",
    "broken",
    "status",
    "too_large",
    "invalid",
    "full",
];

const REMEMBERED: &str = "remembered";

impl Applications {
    /// The applications of these tables.
    pub fn new(hooks: &[Hook]) -> Self {
        let start = Instant::now();
        let application = |hook: &Hook| {
            let (questions, receiver) = channel(HOOK_QUESTIONS_MAX);
            Application {
                hook: hook.clone(),
                questions,
                receiver: Mutex::new(Some(receiver)),
                cache: Mutex::default(),
                counts: Default::default(),
                start,
            }
        };
        Self { applications: hooks.iter().map(application).collect() }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Application> {
        self.applications.iter()
    }

    /// The application in this place of the configuration.
    pub fn get(&self, place: usize) -> &Application {
        &self.applications[place]
    }

    /// The counters of all applications: the event, the word, the number.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        HookEvent::ASKED.into_iter().flat_map(move |event| {
            let found = self.find(event);
            WORDS.iter().enumerate().filter_map(move |(place, word)| {
                let count = &found?.counts[event as usize][place];
                Some((event.as_str(), *word, count.load(Ordering::Relaxed)))
            })
        })
    }

    fn find(&self, event: HookEvent) -> Option<&Application> {
        self.applications.iter().find(|application| application.hook.is_asked(event))
    }
}

impl Application {
    /// The questions of the cores, for the one task that serves them.
    pub fn take_questions(&self) -> Option<Receiver<Pending>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Counts an answer, and remembers it for as long as it counts.
    pub fn note(&self, question: &Question, answer: &Answer, time: Option<Duration>) {
        self.count(question.event, answer.as_str());
        let time = time.unwrap_or(self.hook.cache_time);
        let may_count = !matches!(answer, Answer::Failed(_) | Answer::Answered(_));
        if may_count && !time.is_zero() {
            let until = self.start.elapsed() + time;
            self.cache().remember(question.common(), answer, until);
        }
    }

    fn count(&self, event: HookEvent, word: &str) {
        if let Some(place) = WORDS.iter().position(|known| *known == word) {
            self.counts[event as usize][place].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, AnswerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, question: Question) -> Asked {
        let event = question.event;
        let now = self.start.elapsed();
        if event != HookEvent::Request
            && let Some(answer) = self.cache().find(question.common(), now)
        {
            self.count(event, REMEMBERED);
            return Asked::Now(answer);
        }
        let deadline = Instant::now() + self.hook.timeout;
        match self.questions.try_send(Pending { question, deadline }) {
            Ok(()) => Asked::Later,
            Err(_) => {
                self.count(event, Failure::Full.as_str());
                Asked::Now(Answer::Failed(Failure::Full))
            }
        }
    }
}

impl HookSource for Applications {
    fn ask(&self, question: Question) -> Asked {
        match self.find(question.event) {
            Some(application) => application.ask(question),
            None => Asked::Now(Answer::Failed(Failure::Connect)),
        }
    }
}
