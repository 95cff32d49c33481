//! One question by HTTP and its whole answer, in bounded memory.

use std::io;

use peerage_net::Conn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// How many fields the head of an answer may have.
const MAX_FIELDS: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the connection broke")]
    Transport(#[source] io::Error),
    #[error("the server closed the connection in the middle of its answer's head")]
    Closed,
    #[error("the head of the answer is longer than {MAX_HEAD} bytes")]
    LongHead,
    #[error("the answer is no HTTP: {0}")]
    NotHttp(httparse::Error),
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("the answer comes in an encoding that was not asked for")]
    Encoded,
}

/// Asks for `path` of `host` and returns the body of the answer, cut after `max` bytes. It asks by
/// HTTP/1.0, so that the body is what comes until the end.
///
/// # Cancellation
/// Dropping the future leaves the connection in the middle of a sentence.
pub(crate) async fn get<C: Conn>(
    io: &mut C,
    host: &str,
    path: &str,
    max: usize,
) -> Result<Vec<u8>, HttpError> {
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    let sent = async {
        io.write_all(request.as_bytes()).await?;
        io.flush().await
    };
    sent.await.map_err(HttpError::Transport)?;

    let mut heard = Vec::new();
    let body_at = loop {
        if let Some(end) = body_of(&heard)? {
            break end;
        }
        if heard.len() >= MAX_HEAD {
            return Err(HttpError::LongHead);
        }
        if read_some(io, &mut heard).await? == 0 {
            return Err(HttpError::Closed);
        }
    };
    while heard.len() < body_at + max && read_some(io, &mut heard).await? > 0 {}
    heard.truncate(body_at + max);
    heard.drain(..body_at);
    Ok(heard)
}

/// Reads what is there, and returns how much; nothing at the end.
async fn read_some<C: Conn>(io: &mut C, into: &mut Vec<u8>) -> Result<usize, HttpError> {
    let mut piece = [0; 1024];
    match io.read(&mut piece).await {
        Ok(len) => {
            into.extend_from_slice(&piece[..len]);
            Ok(len)
        }
        // Some servers end a TLS connection without saying so. What is read is bounded and parsed
        // value by value, so a cut answer is no danger.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(HttpError::Transport(error)),
    }
}

/// Where the body begins, once the head is there and promises one.
fn body_of(heard: &[u8]) -> Result<Option<usize>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = answer.parse(heard).map_err(HttpError::NotHttp)? else {
        return Ok(None);
    };
    let status = answer.code.unwrap_or_default();
    if status != 200 {
        return Err(HttpError::Status(status));
    }
    let is_encoded = answer.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("transfer-encoding")
            || field.name.eq_ignore_ascii_case("content-encoding")
    });
    if is_encoded {
        return Err(HttpError::Encoded);
    }
    Ok(Some(end))
}
