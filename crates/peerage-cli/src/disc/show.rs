//! How nodes and failures are shown.

use peerage::Reason;
use peerage::discv5::Record;
use peerage::find::{Metrics, Sockets};
use serde_json::{Value, json};

use crate::output::{Failed, Out, Tone, environment, reason_json, usage};
use crate::probe::why;

/// A node as JSON: where its record says it is, and the record.
pub(crate) fn node_json(record: &Record) -> Value {
    let shown = |at: Option<peerage::Endpoint>| at.map(|at| at.to_string());
    json!({
        "node_id": record.node_id().to_string(),
        "seq": record.seq(),
        "udp4": shown(record.udp4_endpoint()),
        "udp6": shown(record.udp6_endpoint()),
        "tcp4": shown(record.tcp4_endpoint()),
        "tcp6": shown(record.tcp6_endpoint()),
        "enr": record.to_string(),
    })
}

/// Where a record says its node is, over UDP.
pub(crate) fn place(record: &Record) -> String {
    let at = record.udp4_endpoint().or_else(|| record.udp6_endpoint());
    at.map_or_else(|| "no address".into(), |at| at.to_string())
}

/// Enough of an id for a line that people read.
pub(crate) fn short(id: &peerage::discv5::NodeId) -> String {
    let mut digits = id.to_string();
    digits.truncate(16);
    digits + "…"
}

/// Shows that a question has failed.
pub(crate) fn failed(
    out: &mut Out,
    json: bool,
    doing: &str,
    to: &Record,
    reason: &Reason,
) -> Result<(), Failed> {
    if json {
        let node = to.node_id().to_string();
        let body = json!({ "doing": doing, "node_id": node, "reason": reason_json(reason) });
        out.json("failed", body)?;
    } else {
        let mark = out.tone(Tone::Bad, "failed");
        let (node, place) = (short(&to.node_id()), place(to));
        out.line(format!("{mark}  {node}  {place}  {}", why(reason)))?;
    }
    Ok(())
}

/// Binds sockets. A wrong address is the caller's fault, a port in use the environment's.
pub(crate) fn bind(at: &peerage::find::Bind) -> Result<Sockets, Failed> {
    use peerage::find::BindError;
    Sockets::bind(at).map_err(|error| {
        if matches!(error, BindError::Nowhere) {
            usage(error)
        } else {
            environment(error, "cannot open a UDP socket")
        }
    })
}

/// The counters as JSON.
pub(crate) fn metrics_json(metrics: &Metrics) -> Value {
    let of = &metrics.discovery;
    json!({
        "datagrams_in": of.datagrams_in,
        "bytes_in": of.bytes_in,
        "datagrams_out": of.datagrams_out,
        "bytes_out": of.bytes_out,
        "foreign": of.foreign,
        "malformed": of.malformed,
        "not_admitted": of.not_admitted,
        "rate_limited": of.rate_limited,
        "requests_out": of.requests_out,
        "no_response": of.no_response,
        "invalid_response": of.invalid_response,
        "resent": of.resent,
        "requests_in": of.requests_in,
        "unimplemented_in": of.unimplemented_in,
        "unsolicited": of.unsolicited,
        "session_hits": of.session_hits,
        "session_misses": of.session_misses,
        "decrypt_failures": of.decrypt_failures,
        "handshakes": of.handshakes,
        "challenges_out": of.challenges_out,
        "stray_challenges": of.stray_challenges,
        "stray_handshakes": of.stray_handshakes,
        "failed_handshakes": of.failed_handshakes,
        "records_verified": of.records_verified,
        "records_known": of.records_known,
        "records_forged": of.records_forged,
        "auto_updates": of.auto_updates,
        "searches": of.searches,
        "table_total": of.table_total,
        "table_seen": of.table_seen,
        "sessions": of.sessions,
        "requests_open": of.requests_open,
        "send_failed": metrics.send_failed,
        "send_dropped": metrics.send_dropped,
        "receive_failed": metrics.receive_failed,
        "cut": metrics.cut,
        "talks_refused": metrics.talks_refused,
        "gossip_lost": metrics.gossip_lost,
        "foreign_lost": metrics.foreign_lost,
    })
}
