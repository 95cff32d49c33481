//! What the measuring programs share, so that every peer is measured by the same code.
//!
//! - [`Meter`] takes wall time and the processor time of this process; [`Report`] is the one line
//!   of JSON that each run prints.
//! - [`raw`] is a peer made of bare sockets: it sends canned frames and understands nothing but
//!   frame lengths and one command. It dials every measured acceptor, and talks to itself for the floor.
//! - [`Counted`] counts what its owner really reads from a connection.

pub mod canned;
pub mod raw;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};

use nix::sys::resource::{getrlimit, getrusage, setrlimit, Resource, UsageWho};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What any part of a run can fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The longest any run may take. Ends a run that hangs, and every process with it.
pub const RUN_LIMIT: Duration = Duration::from_secs(120);

/// How long background work that follows the last handshake is given before its processor time
/// is read: a peer that leaves tasks behind pays for them too.
const SETTLE: Duration = Duration::from_millis(100);

/// How long idle connections rest before memory is read. Well below every keepalive interval.
pub const REST: Duration = Duration::from_secs(1);

/// The runtime of every measuring program: two workers, as many as the machine has cores. Zebra
/// needs more than a current-thread runtime.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts with default limits")
}

/// Lets this process open as many files as it may; says what to do when that is less than `need`.
pub fn open_files(need: u64) -> Result<(), Error> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < need {
        return Err(format!(
            "{need} open files are needed and {hard} are allowed: raise the hard limit, as root with \
             `ulimit -Hn {need}`, or `nofile` in /etc/security/limits.conf, and come again"
        )
        .into());
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Time since it was started.
pub struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// Wall time up to now, and processor time up to a little later.
    pub async fn finish(self) -> (Duration, Duration) {
        let wall = self.started.elapsed();
        tokio::time::sleep(SETTLE).await;
        (wall, cpu_time() - self.cpu)
    }

    /// Both up to now, where no work can be left behind.
    pub fn finish_now(self) -> (Duration, Duration) {
        (self.started.elapsed(), cpu_time() - self.cpu)
    }
}

/// User and system time of this process so far.
pub fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask about itself");
    let of = |time: nix::sys::time::TimeVal| {
        let (seconds, micros) = (time.tv_sec(), time.tv_usec());
        Duration::from_secs(seconds as u64) + Duration::from_micros(micros as u64)
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// Resident memory of this process, in bytes.
pub fn resident() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse::<u64>()? * 1024)
}

/// The outcome of one run.
pub struct Report<'a> {
    /// What was run.
    pub name: &'a str,
    /// How many handshakes, connections or messages.
    pub count: u64,
    /// How many were under way at once.
    pub at_once: u64,
    /// Wall time.
    pub wall: Duration,
    /// Processor time of this process, user and system.
    pub cpu: Duration,
    /// Bytes read by the measured peer, where that is the question.
    pub bytes: u64,
    /// Resident memory: the growth where that is the question, else the whole at the end.
    pub rss: u64,
}

impl Report<'_> {
    /// Prints it as one line of JSON.
    pub fn print(&self) {
        let Self {
            name,
            count,
            at_once,
            bytes,
            rss,
            ..
        } = self;
        let (wall, cpu) = (self.wall.as_secs_f64(), self.cpu.as_secs_f64());
        println!(
            "{{\"name\":\"{name}\",\"count\":{count},\"at_once\":{at_once},\"wall_s\":{wall:.6},\
             \"cpu_s\":{cpu:.6},\"bytes\":{bytes},\"rss\":{rss}}}"
        );
    }
}

/// Tells the script where to dial.
pub fn say_listening(addr: impl std::fmt::Display) {
    println!("{{\"listening\":\"{addr}\"}}");
}

/// Counts what finished, and waits until enough has.
#[derive(Clone, Default)]
pub struct Tally(Arc<(AtomicU64, Notify)>);

impl Tally {
    /// One more.
    pub fn add(&self) {
        self.0 .0.fetch_add(1, Ordering::Relaxed);
        self.0 .1.notify_one();
    }

    /// Waits for `count` of them. One waiter at a time.
    pub async fn reach(&self, count: u64) -> Result<(), Error> {
        within(RUN_LIMIT, async {
            while self.0 .0.load(Ordering::Relaxed) < count {
                self.0 .1.notified().await;
            }
            Ok(())
        })
        .await
    }
}

/// `work`, or an error when it takes longer than `limit`.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("not done within {} s", limit.as_secs()).into()),
    }
}

/// Runs `one` `count` times, `at_once` of them under way at any time, each chain in its own task.
pub async fn repeat<F, W>(count: u64, at_once: u64, one: F) -> Result<(), Error>
where
    F: Fn() -> W + Clone + Send + 'static,
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..at_once {
        let share = count / at_once + u64::from(task < count % at_once);
        let one = one.clone();
        tasks.spawn(async move {
            for _ in 0..share {
                one().await?;
            }
            Ok::<_, Error>(())
        });
    }
    within(RUN_LIMIT, async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    })
    .await
}

/// A tenth of the run, unmeasured, then the run itself between the two readings of a meter.
pub async fn measured<F, W>(
    name: &str,
    count: u64,
    at_once: u64,
    done: Option<&Tally>,
    one: F,
) -> Result<(), Error>
where
    F: Fn() -> W + Clone + Send + 'static,
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let warm_up = (count / 10).max(at_once);
    repeat(warm_up, at_once, one.clone()).await?;
    if let Some(done) = done {
        done.reach(warm_up).await?;
    }
    let meter = Meter::start();
    repeat(count, at_once, one).await?;
    if let Some(done) = done {
        done.reach(warm_up + count).await?;
    }
    let (wall, cpu) = meter.finish().await;
    let (bytes, rss) = (0, resident()?);
    Report {
        name,
        count,
        at_once,
        wall,
        cpu,
        bytes,
        rss,
    }
    .print();
    Ok(())
}

/// A connection that counts the bytes its owner reads.
pub struct Counted<C> {
    conn: C,
    read: Arc<AtomicU64>,
}

impl<C> Counted<C> {
    /// Counts on `conn`; the second value is the count.
    pub fn new(conn: C) -> (Self, Arc<AtomicU64>) {
        let read = Arc::<AtomicU64>::default();
        (
            Self {
                conn,
                read: read.clone(),
            },
            read,
        )
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.conn).poll_read(cx, buf))?;
        let len = buf.filled().len() - before;
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.conn).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}

/// The words of the command line: a mode, `--name value` pairs, and at most one other word.
pub struct Words(Vec<String>);

impl Words {
    /// This process's own.
    pub fn take() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The first word.
    pub fn mode(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The second word, where the first says whose.
    pub fn second(&self) -> &str {
        self.0.get(1).map_or("", String::as_str)
    }

    /// The value of `--name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| word == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// The number that follows `--name`.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, Error> {
        let Some(text) = self.value(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| format!("{name} needs a number, not {text:?}").into())
    }

    /// The last word, as an address on this machine; nothing else is ever dialled.
    pub fn target(&self) -> Result<std::net::SocketAddr, Error> {
        let addr: std::net::SocketAddr = self.0.last().ok_or("an address is needed")?.parse()?;
        if addr.ip().is_loopback() {
            Ok(addr)
        } else {
            Err(format!("{addr} is not on this machine").into())
        }
    }
}
