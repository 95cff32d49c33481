//! What an operator gives out.

use clap::Subcommand;
use peerage::UnixTime;
use peerage::inproxy::compartments::{State as CompartmentState, parse_id};
use peerage::inproxy::destination::Hosts;
use peerage::inproxy::invitation::qr_code;
use peerage::inproxy::matcher::{CompartmentId, NetworkProtocol};
use peerage::inproxy::policy::Rule;
use peerage::inproxy::{
    BrokerAddress, EncodedEntry, Entry, Invitation, OUTSIDE, Pairing, SignedEntry,
};
use peerage::net::{Host, Target};
use serde_json::json;

use super::StateArgs;
use super::state::State;
use super::through::read_link;
use crate::args::span;
use crate::output::{Exit, Failed, Out, misused, usage};

#[derive(Debug, clap::Args)]
pub(in crate::broker) struct CompartmentsArgs {
    #[command(subcommand)]
    what: CompartmentsWhat,
}

#[derive(Debug, Subcommand)]
enum CompartmentsWhat {
    /// Every compartment, a line each.
    List {
        #[command(flatten)]
        state: StateArgs,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Add one. A running broker takes it up when it is started again.
    Add {
        #[command(flatten)]
        state: StateArgs,
    },
    /// Retire one: volunteers leave it, and clients who have it are told to ask for a new invitation.
    Retire {
        #[command(flatten)]
        state: StateArgs,
        /// The compartment, as `list` shows it.
        #[arg(value_name = "ID", value_parser = compartment)]
        id: CompartmentId,
    },
}

fn compartment(text: &str) -> Result<CompartmentId, String> {
    parse_id(text).ok_or_else(|| "a compartment is 64 hexadecimal digits".into())
}

pub(super) fn compartments(args: &CompartmentsArgs, out: &mut Out) -> Result<Exit, Failed> {
    match &args.what {
        CompartmentsWhat::List { state, json } => {
            let state = State::open(&state.dir)?;
            for (id, is) in state.compartments.iter() {
                let is = match is {
                    CompartmentState::Active => "active",
                    CompartmentState::Retired => "retired",
                };
                let id = hex::encode(id.0);
                if *json {
                    out.json("compartment", json!({"id": id, "state": is}))?;
                } else {
                    out.line(format!("{is:<7} {id}"))?;
                }
            }
        }
        CompartmentsWhat::Add { state } => {
            let mut state = State::open(&state.dir)?;
            let id = CompartmentId(OUTSIDE.bytes());
            state.compartments.add(id).map_err(usage)?;
            state.save()?;
            out.line(hex::encode(id.0))?;
        }
        CompartmentsWhat::Retire { state, id } => {
            let mut state = State::open(&state.dir)?;
            state.compartments.retire(*id).map_err(usage)?;
            state.save()?;
        }
    }
    Ok(Exit::Yes)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  peerage broker invite --dir op --at broker.example:8080 --allow 0.0.0.0/0:8233 --tag zcash")]
pub(in crate::broker) struct InviteArgs {
    #[command(flatten)]
    state: StateArgs,

    /// Where clients reach the broker; may be given up to 4 times.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    at: Vec<Target>,

    /// Destinations to allow, PREFIX:PORT or PREFIX:FIRST-LAST; may be given up to 8 times.
    #[arg(long, value_name = "RULE", required_unless_present = "allow_name")]
    allow: Vec<Rule>,

    /// A destination to allow by its name, which the volunteer resolves; counts as a rule.
    #[arg(long, value_name = "HOST:PORT")]
    allow_name: Vec<Target>,

    /// What the destinations belong to; the broker has to serve this tag.
    #[arg(long, value_name = "TAG", default_value = "default")]
    tag: String,

    /// For how long it holds.
    #[arg(long, value_name = "TIME", default_value = "720h", value_parser = span)]
    lasts: std::time::Duration,

    /// Show it as a QR code as well, if it fits one.
    #[arg(long)]
    qr: bool,
}

/// The most entries and brokers a link holds.
const MAX_ENTRIES: usize = 8;
const MAX_BROKERS: usize = 4;

pub(super) fn invite(args: &InviteArgs, out: &mut Out) -> Result<Exit, Failed> {
    if args.allow.len() + args.allow_name.len() > MAX_ENTRIES || args.at.len() > MAX_BROKERS {
        return Err(misused("an invitation holds at most 8 rules and 4 brokers"));
    }
    if args.tag.is_empty() || !args.tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(misused("a tag is printable ASCII without spaces"));
    }
    let state = State::open(&args.state.dir)?;
    let lasts = i64::try_from(args.lasts.as_secs()).unwrap_or(i64::MAX);
    let expires = UnixTime(OUTSIDE.now().0.saturating_add(lasts));
    let rules = args
        .allow
        .iter()
        .map(|rule| (Hosts::Net(rule.net), rule.ports));
    let names = args.allow_name.iter().map(|target| {
        let hosts = match &target.host {
            Host::Name(name) => Hosts::Name(name.to_string()),
            Host::Ip(ip) => Hosts::Net((*ip).into()),
        };
        (hosts, (target.port, target.port))
    });
    let mut entries = Vec::new();
    for (hosts, ports) in rules.chain(names) {
        let entry = Entry {
            hosts,
            ports,
            protocol: NetworkProtocol::Tcp,
            expires,
            tag: args.tag.clone(),
        };
        let signed = SignedEntry::sign(entry, &state.operator).map_err(usage)?;
        entries.push(signed.encode().map_err(usage)?);
    }
    let key = state.broker.public();
    let broker = |target: &Target| BrokerAddress {
        target: target.clone(),
        key,
    };
    let invitation = Invitation {
        brokers: args.at.iter().map(broker).collect(),
        compartments: state.compartments.active().take(1).collect(),
        entries,
        expires,
    };
    if invitation.compartments.is_empty() {
        return Err(misused("every compartment is retired: add one first"));
    }
    let link = invitation.to_link(&state.operator).map_err(usage)?;
    show(out, &link, args.qr)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  peerage broker pair --invitation invitation.txt --qr > pairing.txt
  peerage broker volunteer --pairing pairing.txt --key volunteer.key --allow 0.0.0.0/0:8233")]
pub(in crate::broker) struct PairArgs {
    /// An invitation to the broker where the pair will meet, or a file that holds it.
    #[arg(long, value_name = "LINK|FILE")]
    invitation: String,

    /// Show it as a QR code as well, if it fits one.
    #[arg(long)]
    qr: bool,
}

pub(super) fn pair(args: &PairArgs, out: &mut Out) -> Result<Exit, Failed> {
    let linked = read_link(&args.invitation, None)?;
    let entries: Vec<EncodedEntry> = linked.entries;
    let pairing = Pairing {
        broker: linked.broker,
        compartment: CompartmentId(OUTSIDE.bytes()),
        entries,
    };
    let link = pairing.to_link().map_err(usage)?;
    show(out, &link, args.qr)
}

fn show(out: &mut Out, link: &str, as_code: bool) -> Result<Exit, Failed> {
    out.line(link)?;
    if as_code {
        match qr_code(link) {
            Some(code) => out.line(code.trim_end())?,
            None => return Err(misused("the link is too long for a QR code")),
        }
    }
    Ok(Exit::Yes)
}
