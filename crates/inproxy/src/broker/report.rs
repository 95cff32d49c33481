//! One record for each introduction, signed: what a destination's operator may be shown.

use std::fmt::Write as _;

use peerage_core::UnixTime;
use peerage_core::wire::Hex;
use peerage_matcher::{ConnectionId, Country};

use crate::keys::SignerSecret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// That a client was introduced to a volunteer for a destination. What became of it the broker does not
/// know, and neither address is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which connection.
    pub connection: ConnectionId,
    /// When, rounded down to a minute.
    pub at: UnixTime,
    /// Where to, `host:port`.
    pub destination: String,
    /// The tag of the entry that allowed it.
    pub tag: String,
    /// Where the client was, if known.
    pub client: Option<Country>,
    /// Where the volunteer was, if known.
    pub volunteer: Option<Country>,
}

fn quoted(text: &str) -> String {
    // Both texts are printable ASCII.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Report {
    const CONTEXT: &'static [u8] = b"peerage in-proxy session report\0";

    fn record(&self) -> String {
        let country = |country: Option<Country>| match country {
            Some(country) => format!("\"{country}\""),
            None => "null".into(),
        };
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            r#"{{"connection":"{}","at":{},"destination":{},"tag":{},"client":{},"volunteer":{}}}"#,
            Hex(&self.connection.0),
            self.at.0,
            quoted(&self.destination),
            quoted(&self.tag),
            country(self.client),
            country(self.volunteer),
        );
        text
    }

    /// The record as one line of JSON. The signature is over `peerage in-proxy session report\0` and the
    /// bytes of `record` as they stand in the line.
    pub fn to_json(&self, signer: &SignerSecret) -> String {
        let record = self.record();
        let signature = signer.sign(&[Self::CONTEXT, record.as_bytes()].concat());
        format!(
            r#"{{"v":1,"type":"session_report","record":{record},"signer":"{}","signature":"{}"}}"#,
            signer.public(),
            URL_SAFE_NO_PAD.encode(signature),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_the_record_as_it_stands() {
        let report = Report {
            connection: ConnectionId([0xab; 32]),
            at: UnixTime(60),
            destination: "9.9.9.9:8233".into(),
            tag: r#"a"b\c"#.into(),
            client: Country::new(*b"DE"),
            volunteer: None,
        };
        let secret = SignerSecret::new(&[1; 32]);
        let line = report.to_json(&secret);
        assert!(
            line.contains(r#""tag":"a\"b\\c","client":"DE","volunteer":null}"#),
            "{line}"
        );
        let record = line.split(r#""record":"#).nth(1).unwrap();
        let record = record.split(r#","signer""#).next().unwrap();
        let signature = line
            .split(r#""signature":""#)
            .nth(1)
            .unwrap()
            .trim_end_matches("\"}");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signed = [Report::CONTEXT, record.as_bytes()].concat();
        assert!(secret.public().has_signed(&signed, &signature));
    }
}
