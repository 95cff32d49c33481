//! Where a volunteer connects to: its own list, whatever a broker says.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use peerage_core::{Detail, Failure, Kind, Stage};

use crate::address::{Reach, reach};

/// One rule: these addresses on these ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The addresses.
    pub net: IpNet,
    /// The first and the last port.
    pub ports: (u16, u16),
}

/// What a volunteer lets its clients reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// An address that no rule allows is refused.
    pub rules: Vec<Rule>,
    /// Whether rules can allow addresses that are not public. Only for tests, and for those who
    /// open their own network to people they know.
    ///
    /// # Security
    /// A rule as wide as `0.0.0.0/0` then opens the volunteer's router, printer and cloud metadata.
    pub private: bool,
}

/// Why a volunteer does not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// The address is not public.
    #[error("{addr} is no public address")]
    NotPublic {
        /// The address.
        addr: SocketAddr,
    },
    /// No rule allows it.
    #[error("no rule of this volunteer allows {addr}")]
    NotAllowed {
        /// The address.
        addr: SocketAddr,
    },
}

impl Failure for Forbidden {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        Kind::Rejected
    }

    fn detail(&self) -> Detail {
        Detail::none()
    }
}

impl AllowList {
    /// Every public address on these ports.
    pub fn public(first_port: u16, last_port: u16) -> Self {
        let ports = (first_port, last_port);
        let rule = |net: IpNet| Rule { net, ports };
        let rules = ["0.0.0.0/0", "::/0"]
            .iter()
            .filter_map(|net| net.parse().ok());
        Self {
            rules: rules.map(rule).collect(),
            private: false,
        }
    }

    /// Whether this address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, addr: SocketAddr) -> Result<(), Forbidden> {
        let ip: IpAddr = addr.ip().to_canonical();
        match reach(ip) {
            Reach::Public => {}
            Reach::Private | Reach::Loopback if self.private => {}
            Reach::Private | Reach::Loopback | Reach::Bogus => {
                return Err(Forbidden::NotPublic { addr });
            }
        }
        let allows = |rule: &Rule| {
            rule.net.contains(&ip) && (rule.ports.0..=rule.ports.1).contains(&addr.port())
        };
        if self.rules.iter().any(allows) {
            Ok(())
        } else {
            Err(Forbidden::NotAllowed { addr })
        }
    }
}

/// Text that is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule is `prefix:port` or `prefix:first-last`, as in 0.0.0.0/0:8233 or [::/0]:1-1023")]
pub struct BadRule;

impl Failure for BadRule {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let (net, ports) = text.rsplit_once(':').ok_or(BadRule)?;
        let net = net
            .strip_prefix('[')
            .and_then(|net| net.strip_suffix(']'))
            .unwrap_or(net);
        let net = net
            .parse::<IpNet>()
            .or_else(|_| net.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| BadRule)?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().map_err(|_| BadRule);
        let ports = (port(first)?, port(last)?);
        if ports.0 == 0 || ports.0 > ports.1 {
            return Err(BadRule);
        }
        Ok(Self { net, ports })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.ports;
        match self.net {
            IpNet::V4(net) => write!(f, "{net}:{first}")?,
            IpNet::V6(net) => write!(f, "[{net}]:{first}")?,
        }
        if last == first {
            Ok(())
        } else {
            write!(f, "-{last}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ranges_stay_shut_whatever_the_rules_say() {
        let list = AllowList::public(1, 65_535);
        for addr in [
            "127.0.0.1:80",
            "10.0.0.1:80",
            "169.254.169.254:80",
            "[::1]:80",
            "[::ffff:192.168.0.1]:80",
        ] {
            let addr = addr.parse().unwrap();
            assert_eq!(list.check(addr), Err(Forbidden::NotPublic { addr }));
        }
        assert_eq!(list.check("9.9.9.9:80".parse().unwrap()), Ok(()));
        let open = AllowList {
            private: true,
            ..list
        };
        assert_eq!(open.check("127.0.0.1:80".parse().unwrap()), Ok(()));
        assert!(
            open.check("0.0.0.0:80".parse().unwrap()).is_err(),
            "no host is there"
        );
    }

    #[test]
    fn rules_are_written_and_read() {
        for text in [
            "0.0.0.0/0:8233",
            "192.0.2.0/24:1-1023",
            "[2001:db8::/32]:9108",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!(
            "9.9.9.9:53".parse::<Rule>().unwrap().to_string(),
            "9.9.9.9/32:53"
        );
        for text in [
            "",
            "0.0.0.0/0",
            "0.0.0.0/33:1",
            "0.0.0.0/0:0",
            "0.0.0.0/0:5-4",
            "x:1",
        ] {
            assert_eq!(text.parse::<Rule>(), Err(BadRule), "{text}");
        }
    }

    #[test]
    fn only_what_a_rule_names_is_allowed() {
        let list = AllowList {
            rules: vec!["9.9.9.0/24:8233-8235".parse().unwrap()],
            private: false,
        };
        let allowed = |addr: &str| list.check(addr.parse().unwrap()).is_ok();
        assert!(allowed("9.9.9.1:8233") && allowed("9.9.9.255:8235"));
        assert!(!allowed("9.9.9.1:8236") && !allowed("9.9.8.1:8233"));
    }
}
