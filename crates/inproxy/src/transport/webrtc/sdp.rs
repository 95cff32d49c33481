//! Our session descriptions in the words that WebRTC wants them in. Nothing of this travels.

use std::fmt::Write as _;

use ring::hmac;

use super::session::LIBRARY_MESSAGE_LEN;
use crate::description::{Candidate, CandidateKind, CheckKey, Description, Fingerprint};
use crate::transport::Role;

/// ICE's name and password of one end (RFC 8445, section 5.3). Both come from its check key, which
/// only the two ends and the broker have.
pub(super) fn credentials(key: CheckKey) -> (String, String) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
    let text = |of: &str, len: usize| {
        let tag = hmac::sign(&key, of.as_bytes());
        // Of the characters that ICE allows; 4 bits each.
        let mut text = String::new();
        for byte in tag.as_ref().iter().take(len / 2) {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    };
    (
        text("peerage in-proxy ice ufrag", 16),
        text("peerage in-proxy ice pwd", 48),
    )
}

/// A candidate's line (RFC 8839, section 5.1), without the `a=`.
pub(super) fn candidate(number: usize, candidate: &Candidate) -> String {
    let (preference, kind) = match candidate.kind {
        CandidateKind::Host => (126_u32, "host"),
        CandidateKind::Reflexive => (100, "srflx raddr 0.0.0.0 rport 0"),
    };
    // RFC 8445, section 5.1.2.1. There are at most 16, the first the best.
    let local = 65_535 - u32::try_from(number).unwrap_or(65_535).min(65_535);
    let priority = (preference << 24) + (local << 8) + 255;
    let (ip, port) = (candidate.addr.ip(), candidate.addr.port());
    format!("candidate:{number} 1 udp {priority} {ip} {port} typ {kind}")
}

/// What the other end would say, had it to say it in SDP (RFC 8866, RFC 8841). The client offers,
/// and the volunteer answers as DTLS's client.
pub(super) fn remote(of: Role, description: &Description, dtls: Fingerprint) -> String {
    let (ufrag, pwd) = credentials(description.check_key);
    let setup = match of {
        Role::Client => "actpass",
        Role::Volunteer => "active",
    };
    let octets: Vec<String> = dtls.0.iter().map(|byte| format!("{byte:02X}")).collect();
    let fingerprint = octets.join(":");
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=sendrecv\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=sctp-port:5000\r\n\
         a=max-message-size:{LIBRARY_MESSAGE_LEN}\r\n"
    );
    let candidates = description.candidates.iter().enumerate();
    for (number, one) in candidates.take(Description::MAX_CANDIDATES) {
        text.push_str(&format!("a={}\r\n", candidate(number, one)));
    }
    text.push_str("a=end-of-candidates\r\n");
    text
}
