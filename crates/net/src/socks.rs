//! Through a SOCKS5 proxy, which also resolves the names.

mod dialogue;

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use peerage_core::{ConnectedAddr, Failure, Kind};
use siphasher::sip128::{Hasher128, SipHasher24};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::dialogue::Failed;
use crate::{Connection, Connector, Direct, ProxyProblem, ReachError, Target, TargetError};

/// Connects through a SOCKS5 proxy.
///
/// # Security
/// It fails closed: no name of a target is resolved here, and no target is ever dialled directly.
/// Only the proxy's own name, if it has one, is resolved by the system. Without credentials of its
/// own it sends each peer's connection under different ones, so that Tor, and whatever else isolates
/// streams by credentials, carries no two peers over one circuit. They are the same again for the
/// same peer as long as the isolation key is.
#[derive(Clone, Debug)]
pub struct Socks5 {
    proxy: Target,
    login: Login,
}

#[derive(Clone)]
enum Login {
    /// Fixed credentials, as the proxy's owner gave them.
    Fixed { user: Box<str>, password: Box<str> },
    /// Credentials that differ from peer to peer, derived under this key.
    PerPeer { key: [u8; 16] },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed { .. } => "Fixed(secret)",
            Self::PerPeer { .. } => "PerPeer(secret)",
        })
    }
}

/// Why text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// Another scheme, or none.
    #[error(
        "a proxy is written socks5h://host:port or socks5h://user:password@host:port; the h says \
         that it resolves the names, which it always does here"
    )]
    Scheme,
    /// A user without a password, or one of more than 255 bytes.
    #[error("credentials are written user:password, each 1 to 255 bytes long")]
    Credentials,
    /// No sound host and port.
    #[error("the proxy's address: {0}")]
    Address(TargetError),
}

impl Socks5 {
    /// Reads `socks5h://[user:password@]host:port`. `isolation` are 16 random bytes, from which the
    /// credentials of each peer are derived when none are given.
    ///
    /// # Errors
    /// When it is not of that form. `socks5://` is refused, because elsewhere it means that names
    /// are resolved before the proxy.
    pub fn parse(url: &str, isolation: [u8; 16]) -> Result<Self, ProxyUrlError> {
        let rest = url
            .strip_prefix("socks5h://")
            .ok_or(ProxyUrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match rest.rsplit_once('@') {
            None => (Login::PerPeer { key: isolation }, rest),
            Some((credentials, address)) => {
                let (user, password) = credentials
                    .split_once(':')
                    .ok_or(ProxyUrlError::Credentials)?;
                let sound = |text: &str| (1..=255).contains(&text.len());
                if !sound(user) || !sound(password) {
                    return Err(ProxyUrlError::Credentials);
                }
                (
                    Login::Fixed {
                        user: user.into(),
                        password: password.into(),
                    },
                    address,
                )
            }
        };
        let proxy = Target::from_str(address).map_err(ProxyUrlError::Address)?;
        Ok(Self { proxy, login })
    }

    /// The proxy itself.
    pub const fn proxy(&self) -> &Target {
        &self.proxy
    }

    fn credentials(&self, target: &Target) -> (String, String) {
        match &self.login {
            Login::Fixed { user, password } => (user.to_string(), password.to_string()),
            Login::PerPeer { key } => {
                let mut hasher = SipHasher24::new_with_key(key);
                hasher.write(target.to_string().as_bytes());
                let hash = hasher.finish128();
                (format!("{:016x}", hash.h1), format!("{:016x}", hash.h2))
            }
        }
    }

    fn cannot_be_used(&self, problem: ProxyProblem) -> ReachError {
        ReachError::Proxy {
            proxy: self.proxy.clone(),
            problem,
        }
    }

    fn failed(&self, failed: Failed) -> ReachError {
        match failed {
            Failed::Proxy(problem) => self.cannot_be_used(problem),
            Failed::Target(answer) => ReachError::ByProxy {
                proxy: self.proxy.clone(),
                answer,
            },
        }
    }
}

impl Connector for Socks5 {
    type Io = TcpStream;

    async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection<TcpStream>, ReachError> {
        let start = Instant::now();
        let to_proxy = Direct
            .connect(&self.proxy, deadline)
            .await
            .map_err(|error| {
                let kind = error.kind();
                self.cannot_be_used(if kind == Kind::Timeout {
                    ProxyProblem::TimedOut
                } else {
                    ProxyProblem::Unreachable { kind }
                })
            })?;
        let broken = |error: std::io::Error| {
            self.cannot_be_used(ProxyProblem::Transport { kind: error.kind() })
        };
        let proxy = to_proxy.io.peer_addr().map_err(broken)?.into();
        let local = to_proxy.io.local_addr().map_err(broken)?.into();
        let (user, password) = self.credentials(target);
        let mut io = to_proxy.io;
        let dialogue = dialogue::connect(&mut io, target, (&user, &password));
        timeout_at(deadline, dialogue)
            .await
            .map_err(|_| self.cannot_be_used(ProxyProblem::TimedOut))?
            .map_err(|failed| self.failed(failed))?;
        Ok(Connection {
            io,
            addr: ConnectedAddr::OutboundProxy { proxy, local },
            resolved_in: None,
            reached_in: start.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_written_in_one_way_only() {
        let parse = |url| Socks5::parse(url, [7; 16]).map(|socks| socks.proxy.to_string());
        assert_eq!(
            parse("socks5h://127.0.0.1:9050"),
            Ok("127.0.0.1:9050".into())
        );
        assert_eq!(
            parse("socks5h://me:it@[::1]:9050/"),
            Ok("[::1]:9050".into())
        );
        assert_eq!(parse("socks5://127.0.0.1:9050"), Err(ProxyUrlError::Scheme));
        assert_eq!(parse("127.0.0.1:9050"), Err(ProxyUrlError::Scheme));
        assert_eq!(
            parse("socks5h://me@127.0.0.1:9050"),
            Err(ProxyUrlError::Credentials)
        );
        assert_eq!(
            parse("socks5h://:x@127.0.0.1:9050"),
            Err(ProxyUrlError::Credentials)
        );
        let no_port = ProxyUrlError::Address(TargetError::BadPort);
        assert_eq!(parse("socks5h://127.0.0.1"), Err(no_port));
    }

    #[test]
    fn each_peer_has_its_own_credentials_unless_they_are_given() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        let socks = Socks5::parse("socks5h://127.0.0.1:9050", [7; 16]).unwrap();
        let one = socks.credentials(&target("a.example:1"));
        assert_eq!(one, socks.credentials(&target("a.example:1")));
        assert_ne!(one, socks.credentials(&target("b.example:1")));
        assert_ne!(one, socks.credentials(&target("a.example:2")));
        let other = Socks5::parse("socks5h://127.0.0.1:9050", [8; 16]).unwrap();
        assert_ne!(one, other.credentials(&target("a.example:1")));
        let fixed = Socks5::parse("socks5h://me:it@127.0.0.1:9050", [7; 16]).unwrap();
        let given = ("me".to_owned(), "it".to_owned());
        assert_eq!(fixed.credentials(&target("a.example:1")), given);
        assert!(
            !format!("{fixed:?}").contains("it\""),
            "secrets are not shown"
        );
    }
}
