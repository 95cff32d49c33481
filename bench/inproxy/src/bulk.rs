//! Bytes poured one way.

use std::time::Duration;

use peerage_bench_kit::{Error, Meter};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Pieces in which bytes are written, as a relay would.
pub const PIECE: usize = 64 << 10;

/// Writes so many bytes at one end, and reads them at the other. From the first to the last.
pub async fn pour(
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    mut from: impl AsyncRead + Unpin,
    bytes: u64,
) -> Result<(Duration, Duration), Error> {
    let meter = Meter::start();
    let writing = tokio::spawn(async move {
        let piece = vec![0x5a; PIECE];
        let mut left = bytes;
        while left > 0 {
            let len = left.min(PIECE as u64) as usize;
            to.write_all(&piece[..len]).await?;
            left -= len as u64;
        }
        to.shutdown().await?;
        Ok::<_, std::io::Error>(to)
    });
    let mut buffer = vec![0; PIECE];
    let mut came = 0;
    loop {
        match from.read(&mut buffer).await? {
            0 => break,
            len => came += len as u64,
        }
    }
    if came != bytes {
        return Err(format!("{came} bytes of {bytes} came").into());
    }
    let spent = meter.finish_now();
    drop(writing.await??);
    Ok(spent)
}
