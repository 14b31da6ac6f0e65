//! The keys of session tickets: one seals new tickets, older ones still open theirs.
//!
//! A ticket has the whole state of a session, so nothing is kept for it. Processes and nodes that
//! read the same key file accept each other's tickets. Nothing here reads a clock or watches a
//! file: the caller says when, and how late it is.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use rustls::server::ProducesTickets;

use crate::TlsError;

const NAME_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// Keys in a file, at most: more than rotation ever keeps.
const KEYS_MAX: usize = 16;

const FILE_HEAD: &str = "\
# Keys of TLS session tickets, the newest first: when each was made (seconds since 1970), and the
# key. A key is enough to read the sessions that were resumed by it: keep this file secret.
";

/// Seals and opens the tickets of a server, and rotates the keys.
pub struct Tickets {
    keys: RwLock<Vec<Key>>,
    lifetime: Duration,
    file: Option<PathBuf>,
    random: SystemRandom,
}

#[derive(Clone)]
struct Key {
    /// Seconds since 1970.
    made: u64,
    name: [u8; NAME_BYTES],
    secret: [u8; SECRET_BYTES],
    sealing: LessSafeKey,
}

impl Key {
    fn new(made: u64, bytes: &[u8; NAME_BYTES + SECRET_BYTES]) -> Self {
        let (name, secret) = bytes.split_first_chunk().expect("it is long enough");
        let secret: [u8; SECRET_BYTES] = secret.try_into().expect("the rest is a secret");
        let unbound = UnboundKey::new(&AES_256_GCM, &secret).expect("its length is right");
        Self { made, name: *name, secret, sealing: LessSafeKey::new(unbound) }
    }

    fn random(made: u64, random: &SystemRandom) -> Result<Self, TlsError> {
        let mut bytes = [0; NAME_BYTES + SECRET_BYTES];
        random.fill(&mut bytes).map_err(|_| TlsError::new("the kernel gives no random bytes"))?;
        Ok(Self::new(made, &bytes))
    }
}

impl Tickets {
    /// Keys of this process alone.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn in_memory(lifetime: Duration, now: SystemTime) -> Result<Arc<Self>, TlsError> {
        Self::new(lifetime, None, now)
    }

    /// Keys in a file, which is created if it does not exist.
    ///
    /// # Errors
    /// The file cannot be read or created, is readable for others, or is damaged.
    pub fn in_file(
        file: PathBuf,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Arc<Self>, TlsError> {
        Self::new(lifetime, Some(file), now)
    }

    fn new(
        lifetime: Duration,
        file: Option<PathBuf>,
        now: SystemTime,
    ) -> Result<Arc<Self>, TlsError> {
        let (keys, random) = (RwLock::default(), SystemRandom::new());
        let tickets = Self { keys, lifetime, file, random };
        tickets.rotate(now)?;
        Ok(Arc::new(tickets))
    }

    /// Reads the file again, makes a new key if the newest is older than the lifetime of a ticket,
    /// and forgets keys that no valid ticket can need. To be called every few seconds.
    ///
    /// # Errors
    /// The file cannot be read or written; then the known keys stay in use.
    pub fn rotate(&self, now: SystemTime) -> Result<(), TlsError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(path) = &self.file else {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            return self.renew(&mut keys, now).map(|_| ());
        };
        let mut keys = read(path)?;
        if self.is_due(&keys, now) {
            // Another process may be at it: only one makes the new key.
            let _lock = lock(path)?;
            keys = read(path)?;
            if self.renew(&mut keys, now)? {
                write(path, &keys)?;
            }
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn is_due(&self, keys: &[Key], now: u64) -> bool {
        let age = keys.iter().map(|key| now.saturating_sub(key.made)).min();
        age.is_none_or(|age| age >= self.lifetime.as_secs())
    }

    /// Returns whether there is a new key.
    fn renew(&self, keys: &mut Vec<Key>, now: u64) -> Result<bool, TlsError> {
        if !self.is_due(keys, now) {
            return Ok(false);
        }
        keys.insert(0, Key::random(now, &self.random)?);
        // A key seals for one lifetime, and its last tickets are valid for another.
        let age_max = 2 * self.lifetime.as_secs();
        keys.retain(|key| now.saturating_sub(key.made) < age_max);
        keys.truncate(KEYS_MAX);
        Ok(true)
    }
}

/// The keys in the file, the newest first; none if there is no file.
fn read(path: &Path) -> Result<Vec<Key>, TlsError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TlsError::in_file(path, format!("cannot be read: {error}"))),
    };
    let metadata = fs::metadata(path)
        .map_err(|error| TlsError::in_file(path, format!("cannot be examined: {error}")))?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(TlsError::in_file(
            path,
            format!(
                "other users may use the ticket keys (mode {:03o}); run chmod 600 on it",
                mode & 0o777
            ),
        ));
    }
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse(line).ok_or_else(|| {
            let what = format!(
                "line {} is not a ticket key; delete the file, and the gateway makes a new one",
                number + 1
            );
            TlsError::in_file(path, what)
        })?;
        keys.push(key);
    }
    keys.sort_by_key(|key| std::cmp::Reverse(key.made));
    keys.truncate(KEYS_MAX);
    Ok(keys)
}

fn parse(line: &str) -> Option<Key> {
    let (made, bytes) = line.split_once(' ')?;
    let bytes = STANDARD.decode(bytes.trim()).ok()?;
    Some(Key::new(made.parse().ok()?, bytes.as_slice().try_into().ok()?))
}

fn write(path: &Path, keys: &[Key]) -> Result<(), TlsError> {
    let mut text = FILE_HEAD.to_owned();
    for key in keys {
        let bytes = [&key.name[..], &key.secret].concat();
        text += &format!("{} {}\n", key.made, STANDARD.encode(bytes));
    }
    let next = beside(path, ".new");
    let write = || {
        let mut file = private(&next, true)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Readers see the old keys or the new ones, never a part.
        fs::rename(&next, path)
    };
    write().map_err(|error| {
        TlsError::in_file(
            path,
            format!(
                "the ticket keys cannot be renewed: {error}; let the user of the gateway write to \
                 its directory, or renew the file before the keys are too old"
            ),
        )
    })
}

fn lock(path: &Path) -> Result<File, TlsError> {
    let lock = beside(path, ".lock");
    let locked = private(&lock, false).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| TlsError::in_file(&lock, format!("cannot be locked: {error}")))
}

fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(truncate).mode(0o600).open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What the clients of a server had to prove. A ticket stands for that proof, so it opens only for
/// the same demand: otherwise a client could resume without the certificate that is required now.
pub(crate) type Demand = [u8; 32];

/// The tickets of a server with one demand.
#[derive(Debug)]
pub(crate) struct DemandTickets {
    pub tickets: Arc<Tickets>,
    pub demand: Demand,
}

impl ProducesTickets for DemandTickets {
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(plain, &self.demand)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.tickets.open(ticket, &self.demand)
    }

    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446 §4.6.1: at most seven days.
        u32::try_from(self.tickets.lifetime.as_secs()).unwrap_or(u32::MAX).min(7 * 86_400)
    }
}

impl Tickets {
    /// The name of the key, a random nonce, and the sealed state (RFC 5077 §4).
    fn seal(&self, plain: &[u8], demand: &Demand) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.first()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + plain.len() + 16);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        let start = ticket.len();
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.sealing.seal_in_place_separate_tag(
            nonce,
            Aad::from(associated(key, demand)),
            &mut ticket[start..],
        );
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], demand: &Demand) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let associated = Aad::from(associated(key, demand));
        let bytes = key.sealing.open_in_place(nonce, associated, &mut plain).ok()?.len();
        plain.truncate(bytes);
        Some(plain)
    }
}

fn associated(key: &Key, demand: &Demand) -> [u8; NAME_BYTES + 32] {
    let mut bytes = [0; NAME_BYTES + 32];
    bytes[..NAME_BYTES].copy_from_slice(&key.name);
    bytes[NAME_BYTES..].copy_from_slice(demand);
    bytes
}

/// Without the keys.
impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lifetime, file, .. } = self;
        formatter.debug_struct("Tickets").field("lifetime", lifetime).field("file", file).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(100);

    const ANY: &Demand = &[0; 32];

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_ticket_opens_for_one_lifetime_after_its_key_was_replaced() {
        let tickets = Tickets::in_memory(LIFETIME, at(0)).unwrap();
        let first = tickets.seal(b"state", ANY).unwrap();
        assert!(!first.windows(5).any(|window| window == b"state"));
        for (seconds, opens) in [(99, true), (100, true), (199, true), (200, false)] {
            tickets.rotate(at(seconds)).unwrap();
            assert_eq!(tickets.open(&first, ANY).is_some(), opens, "after {seconds} s");
        }
        assert!(tickets.open(&tickets.seal(b"state", &[1; 32]).unwrap(), ANY).is_none());
        let mut forged = tickets.seal(b"state", ANY).unwrap();
        assert_eq!(tickets.open(&forged, ANY).unwrap(), b"state");
        *forged.last_mut().unwrap() ^= 1;
        assert!(tickets.open(&forged, ANY).is_none() && tickets.open(b"short", ANY).is_none());
    }

    #[test]
    fn processes_with_one_file_open_each_others_tickets() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("tickets");
        let one = Tickets::in_file(path.clone(), LIFETIME, at(0)).unwrap();
        let other = Tickets::in_file(path.clone(), LIFETIME, at(5)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let ticket = one.seal(b"state", ANY).unwrap();
        assert_eq!(other.open(&ticket, ANY).as_deref(), Some(&b"state"[..]));
        // One rotates, the other reads the new key.
        one.rotate(at(100)).unwrap();
        let ticket = one.seal(b"newer", ANY).unwrap();
        assert!(other.open(&ticket, ANY).is_none());
        other.rotate(at(101)).unwrap();
        assert_eq!(other.open(&ticket, ANY).as_deref(), Some(&b"newer"[..]));
        assert_eq!(read(&path).unwrap().len(), 2, "the older key is kept");
        assert!(!format!("{one:?}").contains(&STANDARD.encode(read(&path).unwrap()[0].secret)));
    }

    #[test]
    fn a_file_that_is_damaged_or_open_to_others_is_refused_and_changes_nothing() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("tickets");
        let tickets = Tickets::in_file(path.clone(), LIFETIME, at(0)).unwrap();
        let ticket = tickets.seal(b"state", ANY).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = tickets.rotate(at(1)).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains("mode 640"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "# a comment\n12 nonsense\n").unwrap();
        let error = tickets.rotate(at(1)).unwrap_err().to_string();
        assert!(error.contains("line 2 is not a ticket key"), "{error}");
        assert!(tickets.open(&ticket, ANY).is_some(), "the known keys stay in use");
    }
}
