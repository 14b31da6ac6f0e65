//! The socket of the private API: on an address, inherited, or a unix socket with its file.
//!
//! It never accepts a connection.

use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use tracing::info;

use crate::{
    config::{Config, Server},
    process::sockets,
};

/// A socket that applications connect to.
#[derive(Debug)]
pub enum PrivateSocket {
    /// On an address.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixSocket),
}

/// A unix socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    /// The socket.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: another gateway may have replaced it.
    identity: (u64, u64),
}

/// The configured socket, or the inherited one.
///
/// # Errors
/// The operator can fix each: an address or a path in use, rights, a socket that other machines can
/// reach without a key.
pub fn open(config: &Config, inherited: Option<TcpListener>) -> anyhow::Result<PrivateSocket> {
    let server = &config.server;
    if let Some(socket) = inherited {
        let address = socket.local_addr()?;
        if let Some(fault) =
            config.api_exposure(&format!("the inherited socket on {address}"), address)
        {
            bail!(fault);
        }
        info!(
            inherited = %address,
            unused = %server.api_listen,
            "the private API's socket was inherited, so server.api_listen is not used",
        );
        return Ok(PrivateSocket::Tcp(socket));
    }
    if server.api_socket.is_empty() {
        let address = server.api_listen;
        let socket = sockets::bind_patiently(address)
            .with_context(|| format!("server.api_listen: cannot listen on {address}"))?;
        return Ok(PrivateSocket::Tcp(socket));
    }
    let socket = UnixSocket::bind(server)
        .with_context(|| format!("server.api_socket: cannot listen on {}", server.api_socket))?;
    Ok(PrivateSocket::Unix(socket))
}

impl PrivateSocket {
    /// As it is displayed, with the scheme of TLS if that is spoken.
    pub fn url(&self, speaks_tls: bool) -> String {
        let plain = self.to_string();
        if speaks_tls { plain.replacen("http:", "https:", 1) } else { plain }
    }

    /// Its address, unless it is a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// `http://127.0.0.1:8081` or `unix:/run/ringway/api.sock`
impl fmt::Display for PrivateSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(formatter, "http://{address}"),
                Err(error) => write!(formatter, "http: {error}"),
            },
            Self::Unix(socket) => write!(formatter, "unix:{}", socket.path.display()),
        }
    }
}

impl UnixSocket {
    /// Binds it under another name and renames it when its mode and owner are right: so nobody else
    /// connects before, and a file that an ended gateway has left is replaced in one step.
    fn bind(server: &Server) -> anyhow::Result<Self> {
        let path = PathBuf::from(&server.api_socket);
        check_unused(&path)?;
        let directory = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
        // Left by a process of the same number, which has ended.
        clear(&directory);
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let bound = bind_in(&directory, server).and_then(|(listener, identity)| {
            fs::rename(directory.join(NAME), &path)?;
            Ok((listener, identity))
        });
        clear(&directory);
        let (listener, identity) = bound?;
        Ok(Self { listener, path, identity })
    }
}

/// The name of a socket that is not ready; short, since a path has at most 107 bytes (unix(7)).
const NAME: &str = "s";

/// Removes the directory, if it is there.
fn clear(directory: &Path) {
    let _ = fs::remove_file(directory.join(NAME));
    let _ = fs::remove_dir(directory);
}

fn bind_in(directory: &Path, server: &Server) -> anyhow::Result<(UnixListener, (u64, u64))> {
    let path = directory.join(NAME);
    let listener = UnixListener::bind(&path)?;
    let (user, group) = owner(&server.api_socket_owner)?;
    if (user, group) != (None, None) {
        chown(&path, user, group).context("server.api_socket_owner: changing the owner")?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(server.api_socket_mode.bits()))?;
    let file = fs::metadata(&path)?;
    Ok((listener, (file.dev(), file.ino())))
}

/// Whether the path may be taken: nothing is there, or a socket on which nobody listens.
fn check_unused(path: &Path) -> anyhow::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        bail!("a file is there that is not a socket; remove it, or choose another path");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another process listens there; stop it, or choose another path"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("whether another process listens there is unknown"),
    }
}

/// The numbers of an owner as chown(1) takes it.
fn owner(text: &str) -> anyhow::Result<(Option<u32>, Option<u32>)> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    Ok((number(user, "/etc/passwd")?, number(group, "/etc/group")?))
}

/// passwd(5), group(5): the number is the third field.
fn number(name: &str, file: &str) -> anyhow::Result<Option<u32>> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    found.map(Some).ok_or_else(|| anyhow!("server.api_socket_owner: {name} is not in {file}"))
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            // If it stays, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path) -> Config {
        let mut config = Config::default();
        config.server.api_socket = path.to_str().unwrap().to_owned();
        config
    }

    #[test]
    fn an_owner_is_a_number_or_a_name() {
        assert_eq!(owner("").unwrap(), (None, None));
        assert_eq!(owner("7").unwrap(), (Some(7), None));
        assert_eq!(owner("7:8").unwrap(), (Some(7), Some(8)));
        assert_eq!(owner("root:root").unwrap(), (Some(0), Some(0)));
        assert_eq!(owner(":root").unwrap(), (None, Some(0)));
        let error = owner("nobody-of-this-name").unwrap_err().to_string();
        assert!(error.contains("server.api_socket_owner: nobody-of-this-name"), "{error}");
    }

    #[test]
    fn a_socket_replaces_one_that_was_left_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        // std leaves the file when a listener is dropped.
        drop(UnixListener::bind(&path).unwrap());
        let socket = open(&config(&path), None).unwrap();
        assert_eq!(socket.to_string(), format!("unix:{}", path.display()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        let error = format!("{:#}", open(&config(&path), None).unwrap_err());
        assert!(error.contains("another process listens there"), "{error}");
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing is left");
        fs::write(&path, "precious").unwrap();
        let error = format!("{:#}", open(&config(&path), None).unwrap_err());
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_file_of_another_gateway_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let socket = open(&config(&path), None).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
    }
}
