//! Which engine to run: io_uring where the kernel passes the self-test, else epoll.
//!
//! It chooses once, at the start, and says why.

use std::fmt;

use crate::uring::probe;

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// io_uring, or epoll if the kernel refuses io_uring.
    Auto,
    /// io_uring; an error if the kernel refuses it.
    Uring,
    /// epoll.
    Epoll,
}

/// The engine that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// io_uring, with what the kernel offers.
    Uring(probe::Offer),
    /// epoll, and why io_uring was refused if it was wanted.
    Epoll {
        /// `None` when the operator asked for epoll.
        fallback_reason: Option<String>,
    },
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring(_) => "io_uring",
            Self::Epoll { .. } => "epoll",
        })
    }
}

/// Chooses the engine for this many cores by a self-test of this kernel.
///
/// # Errors
/// io_uring was demanded and is refused; the reason is worded for an operator.
pub fn choose(io: Io, cores: usize) -> Result<Engine, String> {
    match io {
        Io::Epoll => Ok(Engine::Epoll { fallback_reason: None }),
        Io::Uring => probe::check(cores).map(Engine::Uring),
        Io::Auto => Ok(match probe::check(cores) {
            Ok(offer) => Engine::Uring(offer),
            Err(reason) => Engine::Epoll { fallback_reason: Some(reason) },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_used_on_request() {
        assert_eq!(choose(Io::Epoll, 1), Ok(Engine::Epoll { fallback_reason: None }));
    }

    #[test]
    fn auto_never_fails() {
        let engine = choose(Io::Auto, 1).unwrap();
        assert!(matches!(engine, Engine::Uring(_) | Engine::Epoll { fallback_reason: Some(_) }));
    }
}
