//! Requests as a broker sees them: everyone with a key, an address and a place of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_core::Endpoint;
use peerage_matcher::{
    AllowMatch, Announcement, Area, Asn, CompartmentId, Config, ConnectionId, Country, Geography,
    Limits, LoadLimit, NatRule, NatType, NetworkProtocol, Offer, PollHints, Preference, Properties,
    QualityRule, Rate, Versions, VolunteerId,
};

/// SplitMix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn id(&mut self) -> [u8; 32] {
        let mut id = [0; 32];
        for part in id.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        id
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// As many networks as the figures measured before had.
const NETWORKS: u64 = 500;

fn country(number: u64) -> Country {
    let letter = |n: u64| b'A' + (n % 26) as u8;
    Country::new([letter(number / 26), letter(number)]).expect("two letters")
}

/// One of the networks where volunteers are.
pub fn elsewhere(random: &mut Random) -> Geography {
    let number = random.below(NETWORKS);
    Geography::known(country(number % 60), Asn(1_000 + number as u32))
}

/// Where all clients are, and no volunteer unless it is told so.
pub fn home() -> Geography {
    Geography::known(country(600), Asn(9))
}

pub fn common(number: u8) -> CompartmentId {
    CompartmentId([number; 32])
}

fn versions(random: &mut Random) -> Versions {
    let both = random.below(2) == 0;
    let one = Versions::NONE.with(1);
    if both { one.with(2) } else { one }
}

fn nat(random: &mut Random) -> NatType {
    match random.below(4) {
        0 => NatType::OPEN,
        1 => NatType::PORT_RESTRICTED,
        _ => NatType::SYMMETRIC,
    }
}

/// How long volunteers wait, as the reference's do.
pub const WAIT: Duration = Duration::from_secs(120);

/// Comes in at `now`.
pub fn announcement(random: &mut Random, now: Instant, geography: Geography) -> Announcement {
    Announcement {
        volunteer: VolunteerId(random.id()),
        connection: ConnectionId(random.id()),
        properties: Properties {
            nat: nat(random),
            geography,
            versions: versions(random),
            ..Properties::default()
        },
        address: Endpoint::new(address(random), 40_000),
        priority: random.below(10) == 0,
        newcomer: random.below(10) == 0,
        load: random.below(64) as u16,
        deadline: Some(now + WAIT),
    }
}

pub fn offer(random: &mut Random, now: Instant) -> Offer {
    Offer {
        properties: Properties {
            nat: NatType::PORT_RESTRICTED,
            geography: home(),
            versions: Versions::NONE.with(1),
            ..Properties::default()
        },
        address: address(random),
        sponsor: None,
        network: NetworkProtocol::Tcp,
        destination: "example.org:443".into(),
        destination_entry: Bytes::from_static(&[1; 200]),
        secret: Bytes::from_static(&[2; 32]),
        description: Bytes::from_static(&[3; 1_000]),
        deadline: Some(now + Duration::from_millis(10_000 + random.below(1_000))),
    }
}

fn address(random: &mut Random) -> IpAddr {
    Ipv4Addr::from_bits(random.next() as u32).into()
}

/// Every way of running it: extras off, each one on, and the reference's order.
pub const VARIANTS: &[&str] = &[
    "off",
    "reference_order",
    "limits",
    "least_offer_time",
    "load_limit",
    "versions",
    "allow_match",
    "refused_countries",
    "personal_exempt",
    "nat_require",
    "priority",
    "quality",
    "load_step",
    "newcomer_turn",
    "poll_hints",
];

pub fn config(variant: &str) -> Option<Config> {
    let mut config = Config::default();
    config.caps.announcements = 2_000_000;
    config.caps.offers = 2_000_000;
    let extras = &mut config.extras;
    match variant {
        "off" => {}
        "reference_order" => config.preference = Preference::Reference,
        "limits" => {
            let limits = Limits {
                rate: Some(Rate {
                    per_minute: 60,
                    burst: 60,
                }),
                ..Limits::entries(100)
            };
            extras.announcement_limits = Some(limits);
            extras.offer_limits = Some(limits);
        }
        "least_offer_time" => extras.least_offer_time = Duration::from_secs(2),
        // Never reached, so that the same work is done.
        "load_limit" => {
            extras.load_limit = Some(LoadLimit {
                entries: 10_000_000,
            })
        }
        "versions" => extras.versions = Some(Versions::NONE.with(1).with(2)),
        "allow_match" => extras.allow_match = allow_match(),
        "refused_countries" => extras.refused_countries = (700..720).map(letters).collect(),
        "personal_exempt" => extras.personal_exempt = true,
        "nat_require" => extras.nat = NatRule::Require,
        "priority" => extras.priority = true,
        "quality" => extras.quality = Some(QualityRule::default()),
        "load_step" => extras.load_step = NonZeroU16::new(8),
        "newcomer_turn" => extras.newcomer_turn = NonZeroU32::new(10),
        "poll_hints" => {
            extras.poll_hints = Some(PollHints {
                least: Duration::from_secs(1),
                most: Duration::from_secs(60),
                full_at: 10_000,
            });
        }
        _ => return None,
    }
    Some(config)
}

/// Of countries that nobody is in.
fn letters(number: u64) -> Country {
    let letter = |n: u64| b'A' + (n % 26) as u8;
    Country::new([letter(number / 26 + 3), letter(number)]).expect("two letters")
}

/// Clients never meet volunteers of five of the sixty countries, and of three networks.
fn allow_match() -> AllowMatch {
    let mut rules = AllowMatch::default();
    let client = home();
    let never = (0..5).map(|number| Area::Country(country(number)));
    rules
        .never
        .extend(client.country.map(|c| (Area::Country(c), never.collect())));
    let never = (1_010..1_013).map(|asn| Area::Asn(Asn(asn)));
    rules
        .never
        .extend(client.asn.map(|asn| (Area::Asn(asn), never.collect())));
    rules
}
