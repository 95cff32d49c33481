//! What is said to a SOCKS5 proxy, and what it answers. Sources: RFC 1928; RFC 1929 for credentials.

use std::io;
use std::net::IpAddr;

use peerage_core::Interruption;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{Host, ProxyAnswer, ProxyProblem, Target};

const VERSION: u8 = 5;
/// The version of the negotiation of credentials. RFC 1929, section 2.
const CREDENTIALS_VERSION: u8 = 1;
/// Methods of authentication. RFC 1928, section 3.
const NONE: u8 = 0;
const CREDENTIALS: u8 = 2;
const NO_ACCEPTABLE: u8 = 0xff;
/// The command CONNECT. RFC 1928, section 4.
const CONNECT: u8 = 1;
/// Kinds of address. RFC 1928, section 5.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a proxy does not connect us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The proxy itself is of no use.
    Proxy(ProxyProblem),
    /// It cannot reach the target.
    Target(ProxyAnswer),
}

impl From<ProxyProblem> for Failed {
    fn from(problem: ProxyProblem) -> Self {
        Self::Proxy(problem)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Proxy(match Interruption::from_io(&error) {
            Interruption::Closed => ProxyProblem::Closed,
            Interruption::DeadlinePassed | Interruption::Cancelled => ProxyProblem::TimedOut,
            Interruption::Transport(kind) => ProxyProblem::Transport { kind },
        })
    }
}

/// Asks the proxy at the other end of `io` to connect us to `target`. Afterwards every byte is the
/// target's.
///
/// `user` and `password` are 1 to 255 bytes long.
pub(super) async fn connect<C: AsyncRead + AsyncWrite + Unpin>(
    io: &mut C,
    target: &Target,
    (user, password): (&str, &str),
) -> Result<(), Failed> {
    io.write_all(&[VERSION, 2, NONE, CREDENTIALS]).await?;
    match read(io).await? {
        [VERSION, NONE] => {}
        [VERSION, CREDENTIALS] => authenticate(io, user, password).await?,
        [VERSION, NO_ACCEPTABLE] => return Err(ProxyProblem::Authentication.into()),
        // A method that was not offered, or another protocol.
        _ => return Err(ProxyProblem::NotSocks5.into()),
    }
    io.write_all(&request(target)?).await?;
    let [version, answer, _, kind] = read(io).await?;
    if version != VERSION {
        return Err(ProxyProblem::NotSocks5.into());
    }
    if answer != 0 {
        return Err(refusal(answer));
    }
    // Where the proxy connects from. It is no concern of ours, but stands before the first byte that
    // is.
    let len = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [len] = read(io).await?;
            usize::from(len)
        }
        _ => return Err(ProxyProblem::NotSocks5.into()),
    };
    let mut from = [0; u8::MAX as usize + 2];
    io.read_exact(&mut from[..len + 2]).await?;
    Ok(())
}

async fn read<const N: usize, C: AsyncRead + Unpin>(io: &mut C) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn authenticate<C: AsyncRead + AsyncWrite + Unpin>(
    io: &mut C,
    user: &str,
    password: &str,
) -> Result<(), Failed> {
    let mut request = vec![CREDENTIALS_VERSION];
    for text in [user, password] {
        let len = u8::try_from(text.len()).map_err(|_| ProxyProblem::Credentials)?;
        request.push(len);
        request.extend_from_slice(text.as_bytes());
    }
    io.write_all(&request).await?;
    match read(io).await? {
        // RFC 1929 asks for version 1 here, and some proxies answer with that of SOCKS.
        [CREDENTIALS_VERSION | VERSION, 0] => Ok(()),
        [CREDENTIALS_VERSION | VERSION, _] => Err(ProxyProblem::Credentials.into()),
        _ => Err(ProxyProblem::NotSocks5.into()),
    }
}

fn request(target: &Target) -> Result<Vec<u8>, ProxyProblem> {
    let mut request = vec![VERSION, CONNECT, 0];
    match &target.host {
        Host::Ip(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
        Host::Name(name) => {
            // A target's name has at most 253 bytes.
            let len = u8::try_from(name.len()).map_err(|_| ProxyProblem::NotSocks5)?;
            request.extend_from_slice(&[NAME, len]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&target.port.to_be_bytes());
    Ok(request)
}

/// RFC 1928, section 6.
const fn refusal(answer: u8) -> Failed {
    Failed::Target(match answer {
        1 => ProxyAnswer::GeneralFailure,
        2 => ProxyAnswer::NotAllowed,
        3 => ProxyAnswer::NetworkUnreachable,
        4 => ProxyAnswer::HostUnreachable,
        5 => ProxyAnswer::ConnectionRefused,
        6 => ProxyAnswer::TtlExpired,
        7 | 8 => ProxyAnswer::NotSupported,
        _ => return Failed::Proxy(ProxyProblem::NotSocks5),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A proxy that says these words, and what it heard until the end.
    async fn dialogue(target: &str, says: &[u8]) -> (Result<(), Failed>, Vec<u8>, Vec<u8>) {
        let (mut ours, mut theirs) = duplex(4096);
        theirs.write_all(says).await.unwrap();
        let target = target.parse().unwrap();
        let result = connect(&mut ours, &target, ("me", "it")).await;
        theirs.shutdown().await.unwrap();
        let mut left = Vec::new();
        ours.read_to_end(&mut left).await.unwrap();
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        (result, heard, left)
    }

    #[tokio::test]
    async fn every_kind_of_address_is_asked_for_and_answered_with() {
        for (target, asked, bound) in [
            (
                "192.0.2.1:258",
                &[1, 192, 0, 2, 1, 1, 2][..],
                &[1, 9, 9, 9, 9, 0, 7][..],
            ),
            (
                "[2001:db8::1]:258",
                &[
                    4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2,
                ],
                &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "a.b:258",
                &[3, 3, b'a', b'.', b'b', 1, 2],
                &[3, 2, b'x', b'y', 0, 0],
            ),
        ] {
            let says = [&[5, 2, 1, 0, 5, 0, 0][..], bound, b"hello"].concat();
            let (result, heard, left) = dialogue(target, &says).await;
            assert_eq!(result, Ok(()));
            let words = [
                &[5, 2, 0, 2, 1, 2, b'm', b'e', 2, b'i', b't', 5, 1, 0][..],
                asked,
            ];
            assert_eq!(heard, words.concat());
            assert_eq!(left, b"hello", "what follows is the target's");
        }
    }

    #[tokio::test]
    async fn whatever_a_proxy_says_has_a_name() {
        use Failed::{Proxy, Target};

        let open = [5, 0, 5];
        for (says, failed) in [
            (&[5, 0xff][..], Proxy(ProxyProblem::Authentication)),
            (&[5, 1], Proxy(ProxyProblem::NotSocks5)),
            (&[4, 0], Proxy(ProxyProblem::NotSocks5)),
            (b"HTTP/1.1 400", Proxy(ProxyProblem::NotSocks5)),
            (&[5, 2, 1, 1], Proxy(ProxyProblem::Credentials)),
            (&[5, 2, 7, 0], Proxy(ProxyProblem::NotSocks5)),
            (
                &[open[0], open[1], 4, 0, 0, 1],
                Proxy(ProxyProblem::NotSocks5),
            ),
            (&[5, 0, 5, 0, 0, 2, 0], Proxy(ProxyProblem::NotSocks5)),
            (&[5, 0, 5, 1, 0, 1], Target(ProxyAnswer::GeneralFailure)),
            (&[5, 0, 5, 2, 0, 1], Target(ProxyAnswer::NotAllowed)),
            (&[5, 0, 5, 5, 0, 1], Target(ProxyAnswer::ConnectionRefused)),
            (&[5, 0, 5, 8, 0, 1], Target(ProxyAnswer::NotSupported)),
            (&[5, 0, 5, 9, 0, 1], Proxy(ProxyProblem::NotSocks5)),
        ] {
            let (result, ..) = dialogue("192.0.2.1:1", says).await;
            assert_eq!(result, Err(failed), "{says:?}");
        }
    }

    #[tokio::test]
    async fn an_end_anywhere_is_an_end() {
        let whole = [5, 2, 1, 0, 5, 0, 0, 3, 2, b'x', b'y', 0, 0];
        for len in 0..whole.len() {
            let (mut ours, mut theirs) = duplex(4096);
            theirs.write_all(&whole[..len]).await.unwrap();
            theirs.shutdown().await.unwrap();
            let target = "192.0.2.1:1".parse().unwrap();
            let result = connect(&mut ours, &target, ("me", "it")).await;
            assert_eq!(result, Err(Failed::Proxy(ProxyProblem::Closed)), "{len}");
        }
    }
}
