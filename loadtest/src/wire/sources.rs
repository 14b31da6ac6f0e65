//! Source addresses: one address has some 28,000 ports to one target, so more connections need
//! several.
//!
//! It chooses the address for a connection, and binds an address only to check that this is
//! possible.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    str::FromStr,
};

use anyhow::{Result, bail, ensure};

/// A range of addresses, used in rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    first: IpAddr,
    count: u32,
}

/// In a larger range, only the first and the last address are checked.
const TRIED_MAX: u32 = 256;

/// With more addresses, not each would find a port for even one connection.
const ADDRESSES_MAX: u128 = 65_536;

impl Sources {
    /// The address for the connection with this number.
    ///
    /// ```
    /// let sources: ringway_loadtest::wire::sources::Sources =
    ///     "127.0.0.1-127.0.0.8".parse().unwrap();
    /// assert_eq!(sources.of(9).to_string(), "127.0.0.2");
    /// ```
    pub fn of(&self, connection: u32) -> IpAddr {
        let step = connection % self.count;
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + step).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + u128::from(step)).into(),
        }
    }

    /// Checks that connections to `target` can use these addresses.
    ///
    /// # Errors
    /// The target belongs to the other address family, or this host does not have an address.
    pub fn check(&self, target: SocketAddr) -> Result<()> {
        ensure!(
            self.first.is_ipv4() == target.is_ipv4(),
            "--source {self}: no connection leads from there to {}, one is IPv4 and the other IPv6",
            target.ip()
        );
        let step = if self.count <= TRIED_MAX { 1 } else { self.count - 1 };
        for connection in (0..self.count).step_by(step as usize) {
            let address = self.of(connection);
            // If all ports of an address are in use, this host still has the address.
            if let Err(error) = TcpListener::bind((address, 0))
                && error.kind() != io::ErrorKind::AddrInUse
            {
                bail!(
                    "--source: {address} is not an address of this host ({error}); `ip address` \
                     lists them"
                );
            }
        }
        Ok(())
    }

    /// The number of addresses.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| -> Result<IpAddr, String> {
            text.trim().parse().map_err(|_| format!("`{text}` is not an IP address"))
        };
        let (first, last) = (parse(first)?, parse(last)?);
        let span = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                last.to_bits().checked_sub(first.to_bits()).map(u128::from)
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits().checked_sub(first.to_bits()),
            _ => return Err(format!("`{text}` mixes IPv4 and IPv6")),
        };
        match span {
            None => Err(format!("`{text}` ends before it starts")),
            Some(span) if span >= ADDRESSES_MAX => {
                Err(format!("`{text}` has more than {ADDRESSES_MAX} addresses"))
            }
            Some(span) => Ok(Self { first, count: span as u32 + 1 }),
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.of(0), self.of(self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_walked_in_rotation() {
        let sources: Sources = "127.0.0.254-127.0.1.1".parse().unwrap();
        let walked: Vec<String> =
            (0..5).map(|connection| sources.of(connection).to_string()).collect();
        assert_eq!(walked, ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1", "127.0.0.254"]);
        assert_eq!("::1".parse::<Sources>().unwrap().count(), 1);
    }

    #[test]
    fn addresses_of_other_hosts_are_refused() {
        let target = "127.0.0.1:80".parse().unwrap();
        let check = |text: &str| text.parse::<Sources>().unwrap().check(target);
        check("127.0.0.1-127.0.0.8").unwrap();
        check("127.0.0.1-127.1.0.0").unwrap();
        for (text, why) in [
            ("192.0.2.1", "192.0.2.1 is not an address of this host"),
            ("126.255.255.255-127.0.0.3", "126.255.255.255 is not"),
            ("127.255.255.250-128.0.0.0", "is not an address"),
            ("127.255.128.0-128.0.0.1", "128.0.0.1 is not"),
            ("::1", "IPv6"),
        ] {
            let said = check(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn an_invalid_range_is_explained() {
        for (text, why) in [
            ("", "not an IP address"),
            ("127.0.0.1-", "not an IP address"),
            ("127.0.0.2-127.0.0.1", "ends before it starts"),
            ("127.0.0.1-::1", "mixes"),
            ("0.0.0.0-255.255.255.255", "more than 65536"),
            ("::-ffff::", "more than 65536"),
        ] {
            let said = text.parse::<Sources>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
