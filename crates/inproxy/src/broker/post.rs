//! Records posted to a service over HTTP, for operators who collect them.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use peerage_core::{Failure, Kind, Stage};
use peerage_net::{Connector as _, Direct, Target};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::Report;
use crate::keys::SignerSecret;

/// Records in one request, at most.
const BATCH: usize = 64;
/// How long one try may take.
const TRY_TIME: Duration = Duration::from_secs(10);
/// The pauses between tries of one request; after the last it is given up.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
];

/// Where records are posted to: `http://host[:port]/path`. Plain HTTP: records are signed, and hold no
/// address of anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportsUrl {
    target: Target,
    host: Box<str>,
    path: Box<str>,
}

/// Text that is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "records are posted to http://host[:port]/path; for https put a proxy of your own in front"
)]
pub struct BadReportsUrl;

impl Failure for BadReportsUrl {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl FromStr for ReportsUrl {
    type Err = BadReportsUrl;

    fn from_str(text: &str) -> Result<Self, BadReportsUrl> {
        let rest = text.strip_prefix("http://").ok_or(BadReportsUrl)?;
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadReportsUrl);
        }
        Ok(Self {
            target: Target::parse(host, 80).map_err(|_| BadReportsUrl)?,
            host: host.into(),
            path: path.into(),
        })
    }
}

/// Why records were not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The service is not reached, or the connection broke.
    #[error("the service for records is not reached: {why}")]
    Unreached {
        /// How.
        why: Box<str>,
    },
    /// It did not answer in time.
    #[error("the service for records did not answer in time")]
    TimedOut,
    /// It answered, and did not take them.
    #[error("the service for records says {status}")]
    Status {
        /// The status.
        status: u16,
    },
}

impl PostError {
    /// Whether the same may be taken later.
    const fn is_passing(&self) -> bool {
        match self {
            Self::Unreached { .. } | Self::TimedOut => true,
            Self::Status { status } => *status >= 500 || matches!(*status, 408 | 429),
        }
    }
}

/// Posts records as lines of JSON, signed, up to 64 in a request, until there will be no more. A request
/// that fails is tried 4 times in all, within about a minute; then its records are lost, and `lost` is told
/// how many and why. Whoever writes reports waits for nothing: a full channel loses them at once.
///
/// # Cancellation
/// Records that are not delivered are lost.
pub async fn post(
    to: &ReportsUrl,
    signer: &SignerSecret,
    mut reports: mpsc::Receiver<Report>,
    mut lost: impl FnMut(usize, &PostError),
) {
    let mut batch = Vec::with_capacity(BATCH);
    while reports.recv_many(&mut batch, BATCH).await > 0 {
        let lines = batch.iter().map(|report| report.to_json(signer) + "\n");
        let body = Bytes::from(lines.collect::<String>());
        let mut pauses = PAUSES.iter();
        while let Err(error) = try_once(to, body.clone()).await {
            // At the end nobody waits for a service that is away.
            let pause = pauses.next().filter(|_| !reports.is_closed());
            match pause.filter(|_| error.is_passing()) {
                Some(pause) => sleep(*pause).await,
                None => {
                    lost(batch.len(), &error);
                    break;
                }
            }
        }
        batch.clear();
    }
}

async fn try_once(to: &ReportsUrl, body: Bytes) -> Result<(), PostError> {
    let deadline = Instant::now() + TRY_TIME;
    let posting = async {
        let connection = Direct
            .connect(&to.target, deadline)
            .await
            .map_err(unreached)?;
        let io = TokioIo::new(connection.io);
        let (mut sender, driver) = http1::handshake(io).await.map_err(unreached)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(&*to.path)
            .header(header::HOST, &*to.host)
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(unreached)?;
        let sending = async { sender.send_request(request).await.map_err(unreached) };
        let mut driver = std::pin::pin!(driver);
        let mut sending = std::pin::pin!(sending);
        tokio::select! {
            response = sending.as_mut() => response,
            // Its end shows in the response, too, which may lie there already.
            _ = driver.as_mut() => sending.await,
        }
    };
    let response = timeout_at(deadline, posting)
        .await
        .map_err(|_| PostError::TimedOut)??;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(refused(status)),
    }
}

fn refused(status: StatusCode) -> PostError {
    PostError::Status {
        status: status.as_u16(),
    }
}

fn unreached(error: impl std::fmt::Display) -> PostError {
    PostError::Unreached {
        why: error.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_plain_http() {
        let url: ReportsUrl = "http://collector.example:9000/in?x=1".parse().unwrap();
        assert_eq!(url.target.to_string(), "collector.example:9000");
        assert_eq!(
            (&*url.host, &*url.path),
            ("collector.example:9000", "/in?x=1")
        );
        let url: ReportsUrl = "http://192.0.2.1".parse().unwrap();
        assert_eq!(
            (url.target.to_string().as_str(), &*url.path),
            ("192.0.2.1:80", "/")
        );
        for bad in ["https://x/", "x/", "http://", "http:///a", "http://x/a b"] {
            assert_eq!(bad.parse::<ReportsUrl>(), Err(BadReportsUrl), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_for_good_is_not_tried_again() {
        let passing = |status| PostError::Status { status }.is_passing();
        assert!(passing(500) && passing(503) && passing(429) && passing(408));
        assert!(!passing(400) && !passing(404) && !passing(302));
        assert!(PostError::TimedOut.is_passing());
    }
}
