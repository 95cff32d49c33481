//! How every command speaks: data on stdout, the rest on stderr, one exit code.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use peerage::core::reason::Value;
use peerage::{Reason, Retry};
use serde::Serialize;
use serde_json::{Map, json};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The answer is yes.
    Yes,
    /// It ran, and the answer is no.
    No,
    /// The command was used wrongly.
    Usage,
    /// The machine or the network around us is at fault.
    Environment,
    /// Somebody interrupted it.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command could not run.
#[derive(Debug)]
pub(crate) struct Failed {
    exit: Exit,
    error: anyhow::Error,
}

impl Failed {
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The same, with the place where it is wrong before it.
    #[must_use]
    pub(crate) fn within(self, place: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self {
            error: self.error.context(place),
            ..self
        }
    }

    /// The cause or the place of this type, where it has one.
    pub(crate) fn cause<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }

    /// Whether whoever read our output went away, which is no reason to complain.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let io = self.error.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Output that cannot be written is the environment's fault.
impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self {
            exit: Exit::Environment,
            error: error.into(),
        }
    }
}

/// The command was used wrongly.
pub(crate) fn usage(error: impl Error + Send + Sync + 'static) -> Failed {
    Failed {
        exit: Exit::Usage,
        error: error.into(),
    }
}

/// The command was used wrongly, in words.
pub(crate) fn misused(message: impl Into<String>) -> Failed {
    Failed {
        exit: Exit::Usage,
        error: anyhow::Error::msg(message.into()),
    }
}

/// It ends that way, in words.
#[cfg(feature = "api")]
pub(crate) fn failed(exit: Exit, message: impl Into<String>) -> Failed {
    let error = anyhow::Error::msg(message.into());
    Failed { exit, error }
}

/// The machine or the network around us is at fault.
pub(crate) fn environment(
    error: impl Error + Send + Sync + 'static,
    doing: impl Into<String>,
) -> Failed {
    let error = anyhow::Error::new(error).context(doing.into());
    Failed {
        exit: Exit::Environment,
        error,
    }
}

/// A line on stderr.
#[expect(clippy::print_stderr, reason = "the one place where stderr is written")]
pub(crate) fn complain(message: &str) {
    eprintln!("peerage: {message}");
}

/// A line of progress on stderr.
#[expect(
    clippy::print_stderr,
    reason = "the one place where progress is written"
)]
pub(crate) fn progress(message: &str) {
    eprintln!("{message}");
}

/// Where data goes.
pub(crate) struct Out {
    to: Box<dyn Write + Send>,
    terminal: bool,
    colour: bool,
}

/// How a word is to stand out, where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Quiet,
    Strong,
}

impl Out {
    /// The process's stdout; colours if it is a terminal and `NO_COLOR` is not set, or if
    /// `CLICOLOR_FORCE` is.
    pub(crate) fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour = !set("NO_COLOR") && (terminal || set("CLICOLOR_FORCE"));
        Self {
            to: Box::new(io::stdout()),
            terminal,
            colour,
        }
    }

    /// Whether somebody looks on: a terminal that can be redrawn.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.raw(text.as_ref())?;
        self.raw("\n")?;
        self.to.flush()
    }

    /// Text as it is, a control sequence for one.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())
    }

    /// Bytes as they are, all of them at once.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.flush()
    }

    /// One JSON object on a line of its own, with `"v"` and `"type"` in it.
    pub(crate) fn json(&mut self, kind: &str, body: impl Serialize) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("v".into(), json!(1));
        object.insert("type".into(), json!(kind));
        let body = serde_json::to_value(body).map_err(io::Error::other)?;
        if let serde_json::Value::Object(fields) = body {
            object.extend(fields);
        }
        self.line(serde_json::Value::Object(object).to_string())
    }

    /// `text` in a tone, where colours are wanted.
    pub(crate) fn tone(&self, tone: Tone, text: impl fmt::Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A reason as JSON: stage, kind, blame, retry, typed detail, message.
pub(crate) fn reason_json(reason: &Reason) -> serde_json::Value {
    let detail: Map<_, _> = reason
        .detail
        .iter()
        .map(|(name, value)| (name.to_owned(), value_json(value)))
        .collect();
    let (retry, retry_after_s) = match reason.retry {
        Retry::Never => ("never", None),
        Retry::Now => ("now", None),
        Retry::After(wait) => ("after", Some(wait.as_secs())),
    };
    json!({
        "stage": reason.stage.name(),
        "kind": reason.kind.name(),
        "blame": reason.blame.name(),
        "retry": retry,
        "retry_after_s": retry_after_s,
        "detail": detail,
        "message": reason.message,
    })
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Uint(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Name(value) => json!(value),
        Value::Span(value) => json!(value.as_secs_f64()),
        Value::Text(value) => json!(value.to_string()),
        // Whatever kind of value is added later has a shown form.
        _ => json!(value.to_string()),
    }
}

/// Milliseconds with two digits, for people.
pub(crate) fn millis(span: std::time::Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1e3)
}

/// Milliseconds as a number, microseconds kept.
pub(crate) fn millis_json(span: std::time::Duration) -> serde_json::Value {
    json!((span.as_secs_f64() * 1e6).round() / 1e3)
}
