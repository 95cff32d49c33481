//! Reading that keeps no room while nothing comes.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The most bytes of one read while no message is half there, in bytes. They pass over the stack of
/// the poll, so that a connection that waits holds no buffer.
pub(crate) const SHORT_READ_LEN: usize = 4 * 1024;

/// The most bytes of one read in the middle of a message, in bytes. They go straight into the
/// input.
pub(crate) const LONG_READ_LEN: usize = 16 * 1024;

/// Reads some bytes to the end of `input`, at most 4 KiB when it is empty, and says how many; 0 is
/// the end of the stream.
///
/// # Cancellation
/// Dropping the future loses nothing.
pub(crate) async fn read_some(
    conn: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
) -> io::Result<usize> {
    poll_fn(|cx| {
        if input.is_empty() {
            // What it held for the last message is given back.
            *input = BytesMut::new();
            poll_short_read(conn, cx, input)
        } else {
            input.reserve(LONG_READ_LEN);
            pin!(conn.read_buf(input)).poll(cx)
        }
    })
    .await
}

/// One read over the stack.
pub(crate) fn poll_short_read(
    conn: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    input: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    // Not zeroed: most polls find nothing to read.
    let mut space = [const { MaybeUninit::uninit() }; SHORT_READ_LEN];
    let mut chunk = ReadBuf::uninit(&mut space);
    ready!(Pin::new(conn).poll_read(cx, &mut chunk))?;
    input.extend_from_slice(chunk.filled());
    Poll::Ready(Ok(chunk.filled().len()))
}
