//! How far the peer of a TCP socket has read, judged by its acknowledgements: tcp(7).
//!
//! A socket is reported writable only when a third of its buffer is free, which takes minutes with
//! a slow reader. Progress is measured when a deadline has expired, never when a message is sent.

use std::{
    mem::size_of_val,
    os::fd::{AsRawFd, BorrowedFd},
};

/// How many bytes the peer has acknowledged, and how many it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpProgress {
    pub(crate) acknowledged_bytes: u64,
    pub(crate) unacknowledged_bytes: usize,
}

/// Bytes of `struct tcp_info` up to the end of `tcpi_bytes_acked` (<linux/tcp.h>, Linux 4.1): eight
/// bytes, 24 numbers of four bytes, three of eight.
const TCP_INFO_BYTES: usize = 8 + 24 * 4 + 3 * 8;

impl TcpProgress {
    /// The progress of a socket for which the driver keeps `backlog_bytes` in addition to the
    /// kernel's queue. A number that the kernel does not report, as for a socket that is not TCP,
    /// is zero.
    pub(crate) fn of(socket: BorrowedFd<'_>, backlog_bytes: usize) -> Self {
        Self {
            acknowledged_bytes: acknowledged_bytes(socket).unwrap_or_default(),
            unacknowledged_bytes: queued_bytes(socket).unwrap_or_default() + backlog_bytes,
        }
    }
}

/// `tcpi_bytes_acked`.
fn acknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut info = [0u8; TCP_INFO_BYTES];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is of that length and lives
    // in this frame, and then their number to `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let is_whole = result == 0 && length as usize == TCP_INFO_BYTES;
    let field = info.last_chunk().filter(|_| is_whole)?;
    Some(u64::from_ne_bytes(*field))
}

/// SIOCOUTQ, which is TIOCOUTQ: bytes in the send queue, unsent ones included.
fn queued_bytes(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: this request writes one `int`, and `bytes` lives in this frame.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then_some(usize::try_from(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::{fd::AsFd, unix::net::UnixStream},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn bytes_that_were_read_are_acknowledged_and_others_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut writer, _) = listener.accept().unwrap();
        writer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(bytes) = writer.write(&[7; 1 << 16]) {
            sent += bytes;
        }
        let before = TcpProgress::of(writer.as_fd(), 5);
        let known = before.acknowledged_bytes as usize + before.unacknowledged_bytes;
        // Counting begins with the SYN.
        assert!((sent + 5..=sent + 6).contains(&known), "{before:?} of {sent}");
        assert!(before.unacknowledged_bytes > 5);
        let mut rest = vec![0; sent];
        reader.read_exact(&mut rest).unwrap();
        let give_up = Instant::now() + Duration::from_secs(20);
        while TcpProgress::of(writer.as_fd(), 0).unacknowledged_bytes > 0 {
            assert!(Instant::now() < give_up, "all was read");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(TcpProgress::of(writer.as_fd(), 0).acknowledged_bytes >= sent as u64);
    }

    #[test]
    fn another_kind_of_socket_reports_only_the_bytes_that_the_driver_keeps() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let nothing = TcpProgress { acknowledged_bytes: 0, unacknowledged_bytes: 3 };
        assert_eq!(TcpProgress::of(socket.as_fd(), 3), nothing);
    }
}
