//! Answers that still count, by question. Their number and size are bounded; the time is an argument.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    hooks::Answer,
    limits::{HOOK_CACHE_BYTES_MAX, HOOK_CACHE_ENTRIES_MAX},
};

/// The answers.
#[derive(Debug, Default)]
pub struct AnswerCache {
    entries: HashMap<Box<[u8]>, Entry>,
    /// The questions in the order of their answers, with the number of each answer.
    order: VecDeque<(Box<[u8]>, u64)>,
    answers: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    until: Duration,
    number: u64,
}

impl AnswerCache {
    /// The answer to a question, if it still counts.
    pub fn find(&self, question: &[u8], now: Duration) -> Option<Answer> {
        let entry = self.entries.get(question)?;
        (now < entry.until).then(|| entry.answer.clone())
    }

    /// Remembers an answer; the oldest one makes room for it.
    pub fn remember(&mut self, question: &[u8], answer: &Answer, until: Duration) {
        if question.len() > HOOK_CACHE_BYTES_MAX {
            return;
        }
        self.answers += 1;
        let number = self.answers;
        let entry = Entry { answer: answer.clone(), until, number };
        self.entries.insert(question.into(), entry);
        self.order.push_back((question.into(), number));
        while self.order.len() > HOOK_CACHE_ENTRIES_MAX {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Failure;

    const ANSWER: Answer = Answer::Failed(Failure::Full);

    #[test]
    fn an_answer_counts_for_its_time() {
        let mut cache = AnswerCache::default();
        cache.remember(b"a", &ANSWER, Duration::from_secs(2));
        assert_eq!(cache.find(b"a", Duration::from_secs(1)), Some(ANSWER));
        assert_eq!(cache.find(b"a", Duration::from_secs(2)), None);
        assert_eq!(cache.find(b"b", Duration::ZERO), None);
    }

    #[test]
    fn the_oldest_answer_makes_room_and_long_questions_have_none() {
        let (mut cache, until) = (AnswerCache::default(), Duration::from_secs(1));
        let question = |number: usize| number.to_be_bytes();
        cache.remember(&question(0), &ANSWER, until);
        for number in 1..HOOK_CACHE_ENTRIES_MAX {
            cache.remember(&question(number), &ANSWER, until);
        }
        assert!(cache.find(&question(0), Duration::ZERO).is_some());
        // Answered again, so another one is the oldest.
        cache.remember(&question(0), &ANSWER, until);
        cache.remember(&question(HOOK_CACHE_ENTRIES_MAX), &ANSWER, until);
        assert!(cache.find(&question(0), Duration::ZERO).is_some());
        assert!(cache.find(&question(1), Duration::ZERO).is_none());
        assert!(cache.entries.len() <= HOOK_CACHE_ENTRIES_MAX);
        let long = vec![0; HOOK_CACHE_BYTES_MAX + 1];
        cache.remember(&long, &ANSWER, until);
        assert_eq!(cache.find(&long, Duration::ZERO), None);
    }
}
