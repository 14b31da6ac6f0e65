//! Repeated requests are performed once: `draft-ietf-httpapi-idempotency-key-header`.
//!
//! A limited number of keys is kept, for a limited time. An invalid submission is not kept: its key
//! may be used again with a valid one.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderMap;
use ringway_hub::{DedupCache, First, OnceError};

use crate::{
    auth::Caller,
    control::api::{
        awaited::{self, Answer, Awaited},
        problem::{Kind, Problem},
        submission::Submission,
    },
    limits::{IDEMPOTENCY_AGE_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX},
};

/// The request's header field.
pub const FIELD: &str = "idempotency-key";

/// The header field of a repeated answer.
pub const REPLAYED: &str = "idempotency-replayed";

/// The name that an application gives to a request.
///
/// Invariant: 1 to 255 characters of visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Box<str>);

impl Key {
    /// A key with this text.
    ///
    /// # Errors
    /// The text is not a valid key.
    pub fn new(text: &str) -> Result<Self, Problem> {
        let is_key = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key { Ok(Self(text.into())) } else { Err(not_a_key()) }
    }

    /// The key in a request's header, if there is one. It may be quoted, as the draft requires
    /// (RFC 9651 §3.3.3), or bare, as many clients send it.
    ///
    /// # Errors
    /// The field is not a valid key, or there are two.
    pub fn of_header(fields: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = fields.get_all(FIELD).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Problem::new(Kind::BadIdempotencyKey, "a request has one key at most"));
        }
        let text = value.to_str().map_err(|_| not_a_key())?;
        let text = match text.strip_prefix('"') {
            None => text.to_owned(),
            Some(quoted) => unquote(quoted).ok_or_else(not_a_key)?,
        };
        Self::new(&text).map(Some)
    }

    /// The key of a request that may have it in its header and in its body.
    ///
    /// # Errors
    /// The two keys differ.
    pub fn agree(one: Option<Self>, other: Option<Self>) -> Result<Option<Self>, Problem> {
        match (one, other) {
            (Some(one), Some(other)) if one != other => {
                let detail = "the header and the body give different keys";
                Err(Problem::new(Kind::BadIdempotencyKey, detail))
            }
            (one, other) => Ok(one.or(other)),
        }
    }
}

fn not_a_key() -> Problem {
    let detail = format!("a key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters of visible ASCII");
    Problem::new(Kind::BadIdempotencyKey, detail)
}

/// Removes the quotes of a text whose first quote is already removed.
fn unquote(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(plain),
            '\\' => plain.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            character => plain.push(character),
        }
    }
}

/// Recent idempotency keys, with the outcome of their requests.
#[derive(Debug)]
pub struct IdempotencyStore {
    receipts: DedupCache<Arc<Receipt>>,
    hasher: RandomState,
}

/// The outcome of a request.
#[derive(Debug)]
pub struct Receipt {
    /// A hash of the submission, with the store's secret.
    fingerprint: u64,
    /// The outcome.
    pub answer: Answer,
}

impl Receipt {
    fn check(&self, fingerprint: u64) -> Result<(), Problem> {
        if self.fingerprint != fingerprint {
            let detail = "a repeated request must be the same as the first one";
            return Err(Problem::new(Kind::IdempotencyKeyReused, detail));
        }
        Ok(())
    }
}

impl Default for IdempotencyStore {
    fn default() -> Self {
        let receipts = DedupCache::new(IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_AGE_MAX);
        Self { receipts, hasher: RandomState::new() }
    }
}

impl IdempotencyStore {
    /// The outcome of the request with this key; `perform` performs it if the key is new. When the store
    /// is full, the oldest outcome of the caller with the most is forgotten. A key is that of the
    /// application, whoever sends it: a request may come again with another bearer key.
    ///
    /// # Errors
    /// The key was used for another submission, or the error of `perform`, which is not kept.
    pub fn once(
        &self,
        caller: Caller,
        key: &Key,
        submission: &Submission<'_>,
        now: Duration,
        perform: impl FnOnce() -> Result<Answer, Problem>,
    ) -> Result<(Arc<Receipt>, First), Problem> {
        let fingerprint = self.hasher.hash_one(submission);
        let receipt = || Ok::<_, Problem>(Arc::new(Receipt { fingerprint, answer: perform()? }));
        let once = self.receipts.try_once(u32::from(caller.number()), "", &key.0, now, receipt);
        let (receipt, first) = once.map_err(|error| match error {
            OnceError::Failed(problem) => problem,
            OnceError::Full(_) => awaited::unavailable(),
        })?;
        receipt.check(fingerprint)?;
        Ok((receipt, first))
    }

    /// The outcome of an earlier request with this key.
    ///
    /// # Errors
    /// The key was used for another submission.
    pub fn earlier(
        &self,
        key: &Key,
        submission: &Submission<'_>,
        now: Duration,
    ) -> Result<Option<Arc<Receipt>>, Problem> {
        let Some(receipt) = self.receipts.earlier("", &key.0, now) else { return Ok(None) };
        receipt.check(self.hasher.hash_one(submission))?;
        Ok(Some(receipt))
    }

    /// Removes a submission whose event got no place in the log.
    pub fn forget(&self, key: &Key, awaited: &Arc<Awaited>) {
        self.receipts.forget_if(
            "",
            &key.0,
            |receipt| matches!(&receipt.answer, Answer::Awaited(one) if Arc::ptr_eq(one, awaited)),
        );
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.receipts.bytes(|receipt| size_of::<Receipt>() + receipt.answer.bytes())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use ringway_hub::{Cursor, Epoch};

    use super::{
        super::{done::Done, submission::Verb},
        *,
    };

    impl Receipt {
        fn done(&self) -> &Done {
            match &self.answer {
                Answer::Done(done) => done,
                Answer::Awaited(_) => unreachable!("it was done at once"),
            }
        }
    }

    fn of_header(values: &[&[u8]]) -> Result<Option<Key>, Kind> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(FIELD, HeaderValue::from_bytes(value).unwrap());
        }
        Key::of_header(&fields).map_err(|problem| problem.kind)
    }

    #[test]
    fn keys_are_visible_ascii_bare_or_quoted() {
        assert_eq!(of_header(&[]), Ok(None));
        let longest = "k".repeat(255);
        for (value, key) in [
            ("a", "a"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            (r#""a""#, "a"),
            (r#""a\"\\b""#, r#"a"\b"#),
            (r#"a"b\"#, r#"a"b\"#),
            (&longest, &longest),
        ] {
            assert_eq!(of_header(&[value.as_bytes()]), Ok(Some(Key(key.into()))), "{value}");
        }
        let too_long = "k".repeat(256);
        for value in
            ["", "a b", r#""""#, r#"""#, r#""a"#, r#""a"b"#, r#""a\b""#, "\u{e9}", &too_long]
        {
            assert_eq!(of_header(&[value.as_bytes()]), Err(Kind::BadIdempotencyKey), "{value}");
        }
        assert_eq!(of_header(&[b"a", b"a"]), Err(Kind::BadIdempotencyKey));
    }

    #[test]
    fn a_key_is_performed_once_and_for_one_submission() {
        let (ledger, key, now) =
            (IdempotencyStore::default(), Key::new("k").unwrap(), Duration::ZERO);
        let read = |text: &'static str| Submission::read(Verb::Publish, text.as_bytes(), 1);
        let (one, _) = read(r#"{"topic":"a","data":[1]}"#).unwrap();
        let (same, _) = read(r#"{ "data" : [1], "topic" : "\u0061", "event": null }"#).unwrap();
        let (other, _) = read(r#"{"topic":"a","data":[ 1]}"#).unwrap();
        let published = |sequence| Done::published(Cursor { epoch: Epoch::new(1), sequence });
        let done = |sequence| Answer::Done(published(sequence));
        let no_memory = || Err(Problem::new(Kind::OutOfMemory, "none"));
        let problem = ledger.once(Caller::default(), &key, &one, now, no_memory).unwrap_err();
        assert_eq!(problem.kind, Kind::OutOfMemory, "and it may come again");
        let (receipt, first) =
            ledger.once(Caller::default(), &key, &one, now, || Ok(done(1))).unwrap();
        assert_eq!((receipt.done(), first), (&published(1), First::Yes));
        let (receipt, first) =
            ledger.once(Caller::default(), &key, &same, now, || unreachable!()).unwrap();
        assert_eq!((receipt.done(), first), (&published(1), First::No));
        let problem =
            ledger.once(Caller::default(), &key, &other, now, || unreachable!()).unwrap_err();
        assert_eq!(problem.kind, Kind::IdempotencyKeyReused);
        let later = IDEMPOTENCY_AGE_MAX;
        assert_eq!(
            ledger.once(Caller::default(), &key, &other, later, || Ok(done(2))).unwrap().1,
            First::Yes
        );
    }
    #[test]
    fn a_flood_of_one_caller_displaces_no_outcome_of_another() {
        let (store, now) = (IdempotencyStore::default(), Duration::ZERO);
        let (submission, _) =
            Submission::read(Verb::Publish, br#"{"topic":"a","data":1}"#, 1).unwrap();
        let [shop, flooder] = [1, 2].map(Caller::of_key);
        let once = |caller, key: &str| {
            let cursor = Cursor { epoch: Epoch::new(1), sequence: 1 };
            let done = || Ok(Answer::Done(Done::published(cursor)));
            store.once(caller, &Key::new(key).unwrap(), &submission, now, done).unwrap().1
        };
        for number in 0..100 {
            assert_eq!(once(shop, &format!("order-{number}")), First::Yes);
        }
        for number in 0..2 * IDEMPOTENCY_KEYS_MAX {
            once(flooder, &number.to_string());
        }
        assert_eq!(once(flooder, "0"), First::Yes, "its own oldest ones are forgotten");
        for number in 0..100 {
            assert_eq!(once(shop, &format!("order-{number}")), First::No);
            // The key is the same with another bearer key.
            assert_eq!(once(flooder, &format!("order-{number}")), First::No);
        }
    }
}
