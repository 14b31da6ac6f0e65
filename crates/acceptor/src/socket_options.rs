//! The options of clients' sockets.
//!
//! All of them are set on the listener, before it listens: Linux copies the listener's options to
//! each accepted socket, and this file's tests read each option back from such a socket. This file
//! never touches a connection, and no option costs a system call per connection.

use std::{fmt, io, os::fd::AsFd, time::Duration};

use nix::{errno::Errno, getsockopt_impl, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use socket2::{Socket, TcpKeepalive};

sockopt_impl!(
    /// TCP_DEFER_ACCEPT in seconds, which neither `socket2` nor `rustix` has.
    DeferAccept,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

/// Options of accepted sockets. `None` keeps the kernel's default.
///
/// ```
/// use ringway_acceptor::{Listener, SocketOptions};
/// let options = SocketOptions { send_buffer_bytes: Some(65_536), ..SocketOptions::default() };
/// let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, &options).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// TCP_NODELAY, tcp(7): a segment that is not full is sent although an earlier one has not
    /// been acknowledged. By the kernel's default it waits.
    pub nodelay: bool,
    /// TCP_DEFER_ACCEPT, tcp(7): a connection is accepted when its first bytes arrive, or after
    /// about this time. Whole seconds, rounded up. The kernel's default is to accept at once.
    pub defer_accept: Option<Duration>,
    /// TCP_NOTSENT_LOWAT, in bytes (ip-sysctl, `tcp_notsent_lowat`): the socket takes no more
    /// while it holds this many bytes that were never sent. By the kernel's default only the send
    /// buffer bounds them.
    pub notsent_lowat_bytes: Option<u32>,
    /// SO_KEEPALIVE, socket(7): off by default.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT, tcp(7): how long sent bytes may stay unacknowledged before the connection
    /// fails. Milliseconds count. The kernel's default is some 15 minutes of retransmissions
    /// (`tcp_retries2`).
    pub user_timeout: Option<Duration>,
    /// SO_RCVBUF, socket(7), in bytes of data; the kernel takes as much again for itself. Its
    /// default is a buffer that grows to `tcp_rmem[2]` as needed.
    pub receive_buffer_bytes: Option<u32>,
    /// SO_SNDBUF, socket(7), in bytes of data; the kernel takes as much again for itself. Its
    /// default is a buffer that grows to `tcp_wmem[2]` as needed.
    pub send_buffer_bytes: Option<u32>,
    /// SO_BUSY_POLL, socket(7): how long a receive polls the network card's queue before it waits.
    /// Microseconds count. The kernel's default is `net.core.busy_read`.
    pub busy_poll: Option<Duration>,
}

/// When the kernel probes a silent peer (tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE: silence before the first probe. Whole seconds.
    pub idle: Duration,
    /// TCP_KEEPINTVL: time between probes. Whole seconds; the kernel's default is 75 s.
    pub interval: Option<Duration>,
    /// TCP_KEEPCNT: unanswered probes that end the connection; the kernel's default is 9.
    pub probes: Option<u32>,
}

impl Default for SocketOptions {
    /// The kernel's defaults except NODELAY: a core gathers all bytes of a turn before it writes
    /// to a socket.
    fn default() -> Self {
        Self {
            nodelay: true,
            defer_accept: None,
            notsent_lowat_bytes: None,
            keepalive: None,
            user_timeout: None,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            busy_poll: None,
        }
    }
}

/// An option of [`SocketOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `SocketOptions`")]
pub enum SocketOption {
    NoDelay,
    DeferAccept,
    NotsentLowat,
    Keepalive,
    UserTimeout,
    ReceiveBuffer,
    SendBuffer,
    BusyPoll,
}

impl SocketOption {
    /// Its name in the manual: `TCP_NODELAY`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoDelay => "TCP_NODELAY",
            Self::DeferAccept => "TCP_DEFER_ACCEPT",
            Self::NotsentLowat => "TCP_NOTSENT_LOWAT",
            Self::Keepalive => "SO_KEEPALIVE",
            Self::UserTimeout => "TCP_USER_TIMEOUT",
            Self::ReceiveBuffer => "SO_RCVBUF",
            Self::SendBuffer => "SO_SNDBUF",
            Self::BusyPoll => "SO_BUSY_POLL",
        }
    }
}

/// An option that the kernel does not accept as given.
#[derive(Debug)]
pub struct RefusedOption {
    /// The option.
    pub option: SocketOption,
    /// How the kernel refuses it.
    pub refusal: Refusal,
}

/// How the kernel refuses an option.
#[derive(Debug)]
pub enum Refusal {
    /// setsockopt(2) fails.
    Fails(io::Error),
    /// It would silently use fewer bytes: `net.core.rmem_max` and `wmem_max` in socket(7).
    Lowers {
        /// The bytes requested.
        wanted: u32,
        /// The bytes that it allows.
        allowed: u32,
    },
}

impl fmt::Display for RefusedOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.option.name();
        match &self.refusal {
            Refusal::Fails(error) => write!(formatter, "the kernel refuses {name}: {error}"),
            Refusal::Lowers { wanted, allowed } => {
                write!(formatter, "the kernel lowers {name} from {wanted} to {allowed} bytes")
            }
        }
    }
}

impl std::error::Error for RefusedOption {}

impl SocketOptions {
    /// Sets them all on a socket that does not listen yet: the answer of a listener to a client's
    /// first packet depends on its buffers.
    pub(crate) fn set_on(&self, socket: &Socket) -> Result<(), RefusedOption> {
        set(SocketOption::NoDelay, socket.set_tcp_nodelay(self.nodelay))?;
        if let Some(time) = self.defer_accept {
            let result = setsockopt(socket, DeferAccept, &whole_seconds(time));
            set(SocketOption::DeferAccept, result.map_err(|errno: Errno| errno.into()))?;
        }
        if let Some(bytes) = self.notsent_lowat_bytes {
            set(SocketOption::NotsentLowat, socket.set_tcp_notsent_lowat(bytes))?;
        }
        if let Some(keepalive) = &self.keepalive {
            set(SocketOption::Keepalive, socket.set_tcp_keepalive(&keepalive.parameters()))?;
        }
        if let Some(time) = self.user_timeout {
            set(SocketOption::UserTimeout, socket.set_tcp_user_timeout(Some(time)))?;
        }
        if let Some(bytes) = self.receive_buffer_bytes {
            set(SocketOption::ReceiveBuffer, socket.set_recv_buffer_size(bytes as usize))?;
            is_kept(SocketOption::ReceiveBuffer, bytes, socket.recv_buffer_size())?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            set(SocketOption::SendBuffer, socket.set_send_buffer_size(bytes as usize))?;
            is_kept(SocketOption::SendBuffer, bytes, socket.send_buffer_size())?;
        }
        if let Some(time) = self.busy_poll {
            let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
            set(SocketOption::BusyPoll, socket.set_busy_poll(microseconds))?;
        }
        Ok(())
    }
}

impl Keepalive {
    fn parameters(&self) -> TcpKeepalive {
        let mut parameters = TcpKeepalive::new().with_time(self.idle);
        if let Some(interval) = self.interval {
            parameters = parameters.with_interval(interval);
        }
        if let Some(probes) = self.probes {
            parameters = parameters.with_retries(probes);
        }
        parameters
    }
}

/// Makes the close of a socket a reset that drops the kernel's unsent bytes (SO_LINGER with a
/// time-out of zero, socket(7)).
pub(crate) fn reset_at_close(socket: impl AsFd) {
    // This cannot fail on a TCP socket; if it did, the close would be an ordinary one.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn set(option: SocketOption, result: io::Result<()>) -> Result<(), RefusedOption> {
    result.map_err(|error| RefusedOption { option, refusal: Refusal::Fails(error) })
}

/// Whether a buffer is as large as requested; the kernel reports twice the size that it allows
/// (socket(7)), and more than that for a very small request.
fn is_kept(
    option: SocketOption,
    wanted: u32,
    told: io::Result<usize>,
) -> Result<(), RefusedOption> {
    let told = told.map_err(|error| RefusedOption { option, refusal: Refusal::Fails(error) })?;
    let allowed = u32::try_from(told / 2).unwrap_or(u32::MAX);
    if allowed < wanted {
        return Err(RefusedOption { option, refusal: Refusal::Lowers { wanted, allowed } });
    }
    Ok(())
}

fn whole_seconds(time: Duration) -> u32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        net::TcpStream,
        os::fd::{AsFd, OwnedFd},
        thread,
        time::Instant,
    };

    use rustix::net::{SocketFlags, accept_with};

    use super::*;
    use crate::Listener;

    /// A client, and the socket that was accepted for it.
    fn accepted(options: &SocketOptions) -> (TcpStream, Socket) {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, options).unwrap();
        let client = TcpStream::connect(listener.address()).unwrap();
        let socket = accept(&listener).expect("it is in the backlog when connect(2) is done");
        (client, Socket::from(socket))
    }

    fn accept(listener: &Listener) -> io::Result<OwnedFd> {
        Ok(accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
    }

    #[test]
    fn nodelay_is_inherited_both_ways() {
        for nodelay in [true, false] {
            let (_client, socket) =
                accepted(&SocketOptions { nodelay, ..SocketOptions::default() });
            assert_eq!(socket.tcp_nodelay().unwrap(), nodelay);
        }
    }

    #[test]
    fn the_low_water_mark_is_inherited() {
        let options =
            SocketOptions { notsent_lowat_bytes: Some(12_345), ..SocketOptions::default() };
        assert_eq!(accepted(&options).1.tcp_notsent_lowat().unwrap(), 12_345);
        // The option reads 0 where the sysctl decides.
        assert_eq!(accepted(&SocketOptions::default()).1.tcp_notsent_lowat().unwrap(), 0);
    }

    #[test]
    fn keepalive_is_inherited_with_its_times() {
        let keepalive = Keepalive {
            idle: Duration::from_secs(41),
            interval: Some(Duration::from_secs(7)),
            probes: Some(3),
        };
        let options = SocketOptions { keepalive: Some(keepalive), ..SocketOptions::default() };
        let (_client, socket) = accepted(&options);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(41));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert!(!accepted(&SocketOptions::default()).1.keepalive().unwrap());
    }

    #[test]
    fn keepalive_leaves_unset_times_to_the_kernel() {
        let (_client, plain) = accepted(&SocketOptions::default());
        let keepalive = Keepalive { idle: Duration::from_secs(9), interval: None, probes: None };
        let options = SocketOptions { keepalive: Some(keepalive), ..SocketOptions::default() };
        let (_client, socket) = accepted(&options);
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            plain.tcp_keepalive_interval().unwrap()
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), plain.tcp_keepalive_retries().unwrap());
    }

    #[test]
    fn the_user_timeout_is_inherited() {
        let time = Some(Duration::from_millis(12_345));
        let options = SocketOptions { user_timeout: time, ..SocketOptions::default() };
        assert_eq!(accepted(&options).1.tcp_user_timeout().unwrap(), time);
        assert_eq!(accepted(&SocketOptions::default()).1.tcp_user_timeout().unwrap(), None);
    }

    #[test]
    fn buffers_are_inherited_doubled() {
        let options = SocketOptions {
            receive_buffer_bytes: Some(20_000),
            send_buffer_bytes: Some(30_000),
            ..SocketOptions::default()
        };
        let (_client, socket) = accepted(&options);
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
    }

    #[test]
    fn busy_polling_is_inherited_if_it_may_be_set() {
        let options = SocketOptions {
            busy_poll: Some(Duration::from_micros(37)),
            ..SocketOptions::default()
        };
        match Listener::bind("127.0.0.1:0".parse().unwrap(), 16, &options) {
            Ok(_) => assert_eq!(accepted(&options).1.busy_poll().unwrap(), 37),
            // Without CAP_NET_ADMIN, and in a kernel built without it.
            Err(error) => assert!(error.to_string().contains("SO_BUSY_POLL"), "{error}"),
        }
    }

    #[test]
    fn a_deferred_client_is_accepted_when_it_sends_data() {
        let options = SocketOptions {
            defer_accept: Some(Duration::from_secs(60)),
            ..SocketOptions::default()
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, &options).unwrap();
        let mut client = TcpStream::connect(listener.address()).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(accept(&listener).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.write_all(b"GET").unwrap();
        let give_up = Instant::now() + Duration::from_secs(5);
        while accept(&listener).is_err() {
            assert!(Instant::now() < give_up, "a client that speaks is accepted");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_buffer_that_the_kernel_would_lower_is_refused() {
        let options =
            SocketOptions { send_buffer_bytes: Some(1 << 30), ..SocketOptions::default() };
        let error = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, &options).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the kernel lowers SO_SNDBUF from 1073741824 to "), "{text}");
    }

    #[test]
    fn siblings_have_the_options_too() {
        let options =
            SocketOptions { notsent_lowat_bytes: Some(4_321), ..SocketOptions::default() };
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, &options).unwrap();
        let sibling = first.sibling().unwrap();
        drop(first);
        let _client = TcpStream::connect(sibling.address()).unwrap();
        let socket = Socket::from(accept(&sibling).unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 4_321);
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::from_millis(2_001)), 3);
    }
}
