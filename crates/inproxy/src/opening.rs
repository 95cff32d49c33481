//! The first words in a channel: the client asks, the volunteer says whether the destination answers.

use std::io;

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_core::{Blame, Detail, Failure, Kind, PeerText, Retry, Stage};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::message::MAX_TEXT_LEN;
use crate::wire::{bad, read_text};

/// What a client begins with.
const VERSION: u8 = 1;

/// What a volunteer says of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// It is connected; what follows are its bytes.
    Connected = 0,
    /// The volunteer's own list does not allow it.
    Forbidden = 1,
    /// Its name has no address.
    Unresolved = 2,
    /// Nothing listens there.
    ConnectionRefused = 3,
    /// No packet gets there.
    Unreachable = 4,
    /// It does not answer in time.
    TimedOut = 5,
}

impl Verdict {
    const ALL: [Self; 6] = [
        Self::Connected,
        Self::Forbidden,
        Self::Unresolved,
        Self::ConnectionRefused,
        Self::Unreachable,
        Self::TimedOut,
    ];

    /// Stable snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Forbidden => "forbidden",
            Self::Unresolved => "unresolved",
            Self::ConnectionRefused => "connection_refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether another volunteer would most likely say the same.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::ConnectionRefused)
    }
}

/// Why there is no destination at the other end of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// The volunteer says so.
    #[error("the volunteer says: {text}")]
    NotConnected {
        /// What became of it.
        verdict: Verdict,
        /// In words, printable ASCII.
        text: String,
    },
    /// The volunteer says something else.
    #[error("the volunteer's first words cannot be read: {0}")]
    Malformed(#[from] ReadError),
    /// The channel broke before.
    #[error("the connection to the volunteer broke: {0}")]
    Broken(io::ErrorKind),
}

impl From<io::Error> for OpeningError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.kind())
    }
}

impl Failure for OpeningError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotConnected { verdict, .. } => match verdict {
                Verdict::Connected => Kind::Violation,
                Verdict::Forbidden => Kind::Refused,
                Verdict::Unresolved => Kind::Unresolved,
                Verdict::ConnectionRefused => Kind::ConnectionRefused,
                Verdict::Unreachable => Kind::Unreachable,
                Verdict::TimedOut => Kind::Timeout,
            },
            Self::Malformed(_) => Kind::Malformed,
            Self::Broken(_) => Kind::Closed,
        }
    }

    fn blame(&self) -> Blame {
        self.kind().blame()
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NotConnected { verdict, .. } if verdict.is_final() => self.kind().retry(),
            Self::NotConnected { .. } | Self::Malformed(_) | Self::Broken(_) => Retry::Now,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::NotConnected { text, .. } => {
                Detail::none().with("text", PeerText::from(text.as_str()))
            }
            Self::Malformed(_) | Self::Broken(_) => Detail::none(),
        }
    }
}

/// The client's side: asks, and waits for the verdict.
///
/// # Errors
/// When the destination is not connected.
pub async fn ask<C: AsyncRead + AsyncWrite + Unpin>(channel: &mut C) -> Result<(), OpeningError> {
    channel.write_u8(VERSION).await?;
    channel.flush().await?;
    let mut head = [0; 3];
    channel.read_exact(&mut head).await?;
    let mut bytes = vec![0; usize::from(head[2])];
    channel.read_exact(&mut bytes).await?;
    let all = [&head[..], &bytes].concat();
    let mut reader = Reader::new(&all);
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(bad("version", 0, version).into());
    }
    let number = reader.u8("verdict")?;
    let verdict = Verdict::ALL
        .into_iter()
        .find(|verdict| *verdict as u8 == number);
    let verdict = verdict.ok_or_else(|| bad("verdict", 1, number))?;
    let text = read_text(&mut reader, "text", MAX_TEXT_LEN)?;
    reader.finish()?;
    if verdict == Verdict::Connected {
        Ok(())
    } else {
        Err(OpeningError::NotConnected { verdict, text })
    }
}

/// The volunteer's side: waits to be asked.
///
/// # Errors
/// When the client says something else, or is gone.
pub async fn listen<C: AsyncRead + Unpin>(channel: &mut C) -> Result<(), OpeningError> {
    match channel.read_u8().await? {
        VERSION => Ok(()),
        got => Err(bad("version", 0, got).into()),
    }
}

/// The volunteer's side: says what became of the destination. The text is cut at 200 bytes.
///
/// # Errors
/// When the client is gone.
pub async fn tell<C: AsyncWrite + Unpin>(
    channel: &mut C,
    verdict: Verdict,
    text: &str,
) -> Result<(), OpeningError> {
    let text: String = text
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .take(MAX_TEXT_LEN)
        .collect();
    let mut writer = Writer::new(3 + MAX_TEXT_LEN);
    writer
        .u8(VERSION)
        .u8(verdict as u8)
        .var_text(text.as_bytes());
    // It fits: the text was cut.
    let bytes = writer.finish().unwrap_or_default();
    channel.write_all(&bytes).await?;
    channel.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(verdict: Verdict, text: &str) -> Result<(), OpeningError> {
        let (mut client, mut volunteer) = tokio::io::duplex(1000);
        let serve = async {
            listen(&mut volunteer).await.unwrap();
            tell(&mut volunteer, verdict, text).await.unwrap();
            volunteer.write_all(b"first bytes").await.unwrap();
        };
        let (asked, ()) = tokio::join!(ask(&mut client), serve);
        drop(volunteer);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(
            rest, b"first bytes",
            "nothing of the destination's is taken"
        );
        asked
    }

    #[tokio::test]
    async fn the_verdict_arrives_in_words() {
        assert_eq!(exchange(Verdict::Connected, "").await, Ok(()));
        let verdict = Verdict::Forbidden;
        let long = "x".repeat(300);
        let text = "x".repeat(MAX_TEXT_LEN);
        let told = exchange(verdict, &long).await;
        assert_eq!(told, Err(OpeningError::NotConnected { verdict, text }));
    }
}
