//! Driving one peer connection over one socket.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use peerage_core::Endpoint;
use rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::setting_engine::{
    SctpMaxMessageSize, SettingEngine, SettingEngineBuilder,
};
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol as _;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::flow::{Over, WINDOW};
use super::{Certificate, Shared, held, sdp};
use crate::description::{Candidate, CandidateKind, Description, Fingerprint};
use crate::transport::check::{Checks, Heard};
use crate::transport::path::{self, FIRST_HEARD, for_family};
use crate::transport::udp::PreparedUdp;
use crate::transport::{Role, TransportError, set_up, socket_error};

/// Between two checks of one address. Every address is checked each time, so that short intervals cost
/// strangers' networks; and a check that is not lost is answered without any.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Checks of one address, at most: for as long as a volunteer waits for the first.
const MAX_CHECKS: u16 = 80;
/// How long DTLS and SCTP may take once a path is open.
const HANDSHAKE_TIME: Duration = Duration::from_secs(6);
/// Addresses that packets are taken from besides the described ones.
const MAX_LEARNT: usize = 8;
/// Packets of DTLS that are kept until there is a path for them.
const MAX_EARLY: usize = 4;
/// Datagrams taken from the socket before anything is answered: their acknowledgements become one.
const BURST: usize = 256;
/// The longest datagram that is taken. The library's own are below 1,300 bytes.
const MAX_DATAGRAM: usize = 2_048;
/// Unacknowledged bytes given to the library, at most. With a quarter of it the sender sleeps so often that
/// on a busy machine it carries a tenth.
const SEND_LIMIT: usize = 1 << 20;
/// The same where the system gives small buffers: more would overflow them, and SCTP waits long
/// before it repeats.
const SMALL_SEND_LIMIT: usize = 64 << 10;
const SMALL_BUFFER: usize = 1 << 20;
/// The longest message that the library hands over; it drops longer ones without a word. More than either
/// end may send, so that one that is too long is seen and refused.
pub(super) const LIBRARY_MESSAGE_LEN: u32 = 64 << 10;
/// How long the last words may take to be acknowledged.
const FAREWELL: Duration = Duration::from_millis(500);

/// A check that waits for its answer: STUN's transaction (RFC 8489, section 5), and when it was sent.
type Check = ([u8; 12], Instant);

pub(super) struct Session {
    connection: RTCPeerConnection,
    channel: RTCDataChannelId,
    socket: UdpSocket,
    v6: bool,
    /// Our addresses as ICE knows them, one of each family.
    bases: Vec<SocketAddr>,
    /// Whom packets are taken from.
    known: BTreeSet<SocketAddr>,
    learnt: usize,
    heard: usize,
    last_heard: Instant,
    silence: Duration,
    large_buffers: bool,
    /// Where the other end is, once there is a path.
    peer: Option<SocketAddr>,
    /// What came for DTLS before there was a path.
    early: Vec<(SocketAddr, BytesMut)>,
    checks: VecDeque<Check>,
    round_trip: Duration,
    /// Our own checks, for the word that a client goes another way.
    own: Checks,
    role: Role,
    opened: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// ICE has no path.
    Checking,
    /// DTLS and SCTP have still to finish.
    Path,
    Open,
    /// We have refused the other's certificate, or it ours.
    Refused,
    CalledOff,
    Lost,
}

fn settings(credentials: (String, String), silence: Duration) -> SettingEngine {
    let none = Some(Duration::ZERO);
    let (ufrag, pwd) = credentials;
    SettingEngineBuilder::new()
        .with_ice_credentials(ufrag, pwd)
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        // Silence is measured here, and by everything that is heard: ICE would go by its own packets.
        .with_ice_timeouts(none, none, Some(silence / 5))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
        .with_host_acceptance_min_wait(none)
        .with_srflx_acceptance_min_wait(none)
        .with_prflx_acceptance_min_wait(none)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(LIBRARY_MESSAGE_LEN))
        .with_sctp_max_receive_buffer_size(WINDOW)
        .build()
}

impl Session {
    pub(super) fn new(
        prepared: PreparedUdp,
        certificate: Certificate,
        role: Role,
        (remote, dtls): (&Description, Fingerprint),
    ) -> Result<Self, TransportError> {
        let now = Instant::now();
        let own_key = prepared.description.check_key;
        let local = prepared.socket.local_addr().map_err(socket_error)?;
        let bases = path::bases(local);
        let config = RTCConfigurationBuilder::new()
            .with_certificates(vec![certificate.certificate])
            .build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(config)
            .with_setting_engine(settings(sdp::credentials(own_key), prepared.silence))
            .build(now.into_std())
            .map_err(set_up)?;
        let init = RTCDataChannelInit {
            // Both ends know it, so that nothing has to be said to open it.
            negotiated: Some(0),
            ..RTCDataChannelInit::default()
        };
        let channel = connection
            .create_data_channel("", Some(init))
            .map_err(set_up)?
            .id();
        for (number, base) in bases.iter().enumerate() {
            let candidate = Candidate {
                kind: CandidateKind::Host,
                addr: (*base).into(),
            };
            let candidate = RTCIceCandidateInit {
                candidate: sdp::candidate(number, &candidate),
                ..RTCIceCandidateInit::default()
            };
            connection.add_local_candidate(candidate).map_err(set_up)?;
        }
        negotiate(&mut connection, role, remote, dtls, now)?;
        let known = remote.candidates.iter().take(Description::MAX_CANDIDATES);
        let seed = u64::from_be_bytes(prepared.outside.bytes());
        let large_buffers = path::enlarge(&prepared.socket) >= SMALL_BUFFER;
        Ok(Self {
            connection,
            channel,
            socket: prepared.socket,
            v6: local.is_ipv6(),
            bases,
            known: known.map(|one| one.addr.socket_addr()).collect(),
            learnt: 0,
            heard: 0,
            last_heard: now,
            silence: prepared.silence,
            large_buffers,
            peer: None,
            early: Vec::new(),
            checks: VecDeque::new(),
            round_trip: Duration::ZERO,
            own: Checks::new(role, own_key, remote, seed, now.into_std()),
            role,
            opened: false,
            state: State::Checking,
        })
    }

    pub(super) const fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Runs until the channel is open. Gives both ends' addresses.
    pub(super) async fn open(
        &mut self,
        deadline: Instant,
    ) -> Result<(Endpoint, Endpoint), TransportError> {
        let hear_by = match self.role {
            Role::Client => deadline,
            Role::Volunteer => deadline.min(Instant::now() + FIRST_HEARD),
        };
        let mut end = hear_by;
        let mut path_at = None;
        loop {
            self.flush().await;
            self.take_events();
            match self.state {
                State::Open => break,
                State::Refused => return Err(TransportError::Fingerprint),
                State::CalledOff => return Err(TransportError::CalledOff),
                State::Lost => {
                    let why = "it ended before it was open".into();
                    return Err(TransportError::Broken { why });
                }
                State::Checking | State::Path => {}
            }
            let now = Instant::now();
            if self.heard > 0 {
                end = deadline;
            }
            if self.state == State::Path {
                let at = *path_at.get_or_insert(now);
                end = deadline.min(at + HANDSHAKE_TIME);
            }
            if now >= end {
                if self.state == State::Path {
                    return Err(TransportError::TimedOut);
                }
                return Err(TransportError::NoPath {
                    tried: self.known.len(),
                    heard: self.heard,
                });
            }
            self.wait(end).await;
        }
        self.opened = true;
        let remote = self.peer.ok_or(TransportError::NoCandidate)?;
        let local = self.base_for(remote);
        Ok((local.into(), remote.into()))
    }

    /// Runs it as long as it lasts.
    pub(super) async fn drive(mut self, shared: Arc<Shared>) {
        let mut farewell: Option<Instant> = None;
        loop {
            let moved = self.exchange(&shared);
            self.flush().await;
            self.take_events();
            if moved {
                continue;
            }
            let now = Instant::now();
            let closed = shared.flow().is_closed();
            if closed {
                let by = *farewell.get_or_insert(now + FAREWELL);
                if self.outstanding() == 0 || now >= by {
                    break;
                }
            }
            if shared.flow().over().is_some() || self.state != State::Open {
                break;
            }
            if now >= self.last_heard + self.silence {
                // It may be we who slept: what came meanwhile counts.
                self.receive();
                if now >= self.last_heard + self.silence {
                    break;
                }
                continue;
            }
            let mut end = self.last_heard + self.silence;
            end = farewell.map_or(end, |by| by.min(end));
            tokio::select! {
                () = self.wait(end) => {}
                () = shared.driver.notified() => {}
            }
        }
        let over = if shared.flow().is_closed() {
            Over::Ours
        } else {
            Over::Theirs
        };
        shared.finish(over);
        // It says farewell in its own words too: SCTP's abort, and DTLS's close. A failure here has
        // nobody left to be told.
        let _ = self.connection.close();
        self.flush().await;
    }

    /// Moves messages between the connection and the flow. Gives whether any moved.
    fn exchange(&mut self, shared: &Shared) -> bool {
        let mut moved = false;
        while let Some(message) = self.connection.poll_read() {
            let RTCMessage::DataChannelMessage(channel, message) = message.message else {
                continue;
            };
            if channel != self.channel {
                continue;
            }
            moved = true;
            // Either is a reason to end: what comes then would have holes.
            if message.is_string || shared.flow().handle_message(message.data).is_err() {
                shared.flow().close(true);
            }
        }
        let limit = self.send_limit();
        while self.outstanding() < limit {
            let Some(message) = shared.flow().poll_message() else {
                break;
            };
            moved = true;
            let now = Instant::now().into_std();
            let sent = match self.connection.data_channel(self.channel) {
                Some(mut channel) => channel.send(now, message).is_ok(),
                None => false,
            };
            if !sent {
                self.state = State::Lost;
                break;
            }
        }
        if self.outstanding() == 0 {
            shared.flow().on_settled();
        }
        if shared.flow().has_arrived() {
            shared.over.notify_waiters();
        }
        *held(&shared.round_trip) = self.round_trip;
        moved
    }

    /// What was given to the library and has not been acknowledged.
    fn outstanding(&mut self) -> usize {
        let channel = self.connection.data_channel(self.channel);
        channel.map_or(0, |channel| channel.outstanding_bytes())
    }

    const fn send_limit(&self) -> usize {
        if self.large_buffers {
            SEND_LIMIT
        } else {
            SMALL_SEND_LIMIT
        }
    }

    /// Sends what there is to send.
    async fn flush(&mut self) {
        let mut packets = Vec::new();
        while let Some(packet) = self.connection.poll_write() {
            packets.push(packet);
        }
        if !self.opened {
            // The answer that makes a path before what is to go over it.
            packets.sort_by_key(|packet| is_dtls(&packet.message));
        }
        for packet in packets {
            let (bytes, to) = (packet.message, packet.transport.peer_addr);
            if is_dtls(&bytes) {
                self.peer = Some(to);
            } else {
                self.on_check_sent(&bytes);
            }
            if is_refusal(&bytes) && self.state != State::Open {
                self.state = State::Refused;
            }
            if let Some(to) = for_family(to.into(), self.v6) {
                // What cannot be sent is lost, as anything in a network may be.
                let _ = self.socket.send_to(&bytes, to).await;
                if !self.opened && is_dtls(&bytes) {
                    // The library does not repeat every flight that is lost, and waits long before it
                    // repeats others. What comes twice is taken once.
                    let _ = self.socket.send_to(&bytes, to).await;
                }
            }
        }
    }

    fn on_check_sent(&mut self, bytes: &[u8]) {
        if bytes.starts_with(&[0, 1])
            && let Some(id) = transaction(bytes)
        {
            self.checks.truncate(15);
            self.checks.push_front((id, Instant::now()));
        }
    }

    fn take_events(&mut self) {
        use RTCPeerConnectionEvent as Event;
        while let Some(event) = self.connection.poll_event() {
            let is_path = matches!(
                event,
                Event::OnIceConnectionStateChangeEvent(
                    RTCIceConnectionState::Connected | RTCIceConnectionState::Completed
                )
            );
            let is_open = matches!(
                event,
                Event::OnDataChannel(RTCDataChannelEvent::OnOpen(channel)) if channel == self.channel
            );
            let is_lost = matches!(
                event,
                Event::OnConnectionStateChangeEvent(
                    RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed
                )
            ) || matches!(
                event,
                Event::OnDataChannel(RTCDataChannelEvent::OnClose(channel)) if channel == self.channel
            );
            self.state = match self.state {
                State::Checking | State::Path if is_open => State::Open,
                State::Checking if is_path => State::Path,
                State::Checking | State::Path | State::Open if is_lost => State::Lost,
                State::Checking
                | State::Path
                | State::Open
                | State::Refused
                | State::CalledOff
                | State::Lost => self.state,
            };
        }
    }

    /// Waits for packets or for a time that the library wants to hear of, at most until `end`.
    async fn wait(&mut self, end: Instant) {
        let next = self.connection.poll_timeout().map(Instant::from_std);
        let until = next.map_or(end, |next| next.min(end));
        tokio::select! {
            _ = self.socket.readable() => self.receive(),
            () = sleep_until(until) => {}
        }
        let now = Instant::now();
        // Until the channel is open the library has more to say than it asks to be woken for: a refusal,
        // and what follows one of its stages, would wait for the next of its timers.
        if !self.opened || next.is_some_and(|next| next <= now) {
            // It fails only for what has ended, which shows as an event.
            let _ = self.connection.handle_timeout(now.into_std());
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..BURST {
            // Nothing more, or a port that is shut somewhere, which some systems tell here.
            let Ok((len, from)) = self.socket.try_recv_from(&mut buffer) else {
                return;
            };
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            self.on_datagram(from, &buffer[..len]);
        }
    }

    fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        // Neither STUN nor DTLS: one of our own checks, of which the last word matters here.
        if matches!(bytes.first(), Some(4..=19)) {
            let trying = matches!(self.state, State::Checking | State::Path);
            let heard = self.own.handle(now.into_std(), from.into(), bytes);
            if trying && heard == Heard::CalledOff {
                self.state = State::CalledOff;
            }
            return;
        }
        if !self.known.contains(&from) {
            // A mapping that its STUN server did not see. Whether it is the other end, ICE finds out.
            if self.opened || self.learnt >= MAX_LEARNT || !matches!(bytes.first(), Some(0..=3)) {
                return;
            }
            self.learnt += 1;
            self.known.insert(from);
        }
        self.heard = self.heard.saturating_add(1);
        self.last_heard = now;
        if bytes.starts_with(&[1, 1])
            && let Some(id) = transaction(bytes)
            && let Some(at) = self.checks.iter().position(|(sent, _)| *sent == id)
            && let Some((_, sent)) = self.checks.remove(at)
        {
            self.round_trip = now.saturating_duration_since(sent);
        }
        if is_refusal(bytes) && !self.opened {
            self.state = State::Refused;
            return;
        }
        if self.state == State::Checking && is_dtls(bytes) {
            // It overtook the answer that makes the path, before which the library would drop it.
            if self.early.len() < MAX_EARLY {
                self.early.push((from, BytesMut::from(bytes)));
            }
            return;
        }
        self.read(from, BytesMut::from(bytes));
        if !self.opened {
            // The library knows no channel until its events are taken, and drops what comes for one
            // that it does not know.
            self.take_events();
            if self.state == State::Path {
                for (from, bytes) in std::mem::take(&mut self.early) {
                    self.read(from, bytes);
                    self.take_events();
                }
            }
        }
    }

    fn read(&mut self, from: SocketAddr, message: BytesMut) {
        let transport = TransportContext {
            local_addr: self.base_for(from),
            peer_addr: from,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        let now = Instant::now().into_std();
        // A packet that cannot be read is one that did not come.
        let _ = self.connection.handle_read(TaggedBytesMut {
            now,
            transport,
            message,
        });
    }

    fn base_for(&self, remote: SocketAddr) -> SocketAddr {
        let mut bases = self.bases.iter();
        let same = bases.find(|base| base.is_ipv4() == remote.is_ipv4());
        let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        same.copied().unwrap_or(any)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only one that was still trying.
        if self.opened || !matches!(self.state, State::Checking | State::Path) {
            return;
        }
        for (to, bytes) in self.own.call_off() {
            if let Some(to) = for_family(to, self.v6) {
                // As far as that goes without waiting.
                let _ = self.socket.try_send_to(&bytes, to);
            }
        }
    }
}

/// Tells the library what both ends know of each other.
fn negotiate(
    connection: &mut RTCPeerConnection,
    role: Role,
    remote: &Description,
    dtls: Fingerprint,
    now: Instant,
) -> Result<(), TransportError> {
    let now = now.into_std();
    match role {
        Role::Client => {
            let ours = connection.create_offer(None).map_err(set_up)?;
            connection
                .set_local_description(now, ours)
                .map_err(set_up)?;
            let theirs = sdp::remote(Role::Volunteer, remote, dtls);
            let theirs = RTCSessionDescription::answer(theirs).map_err(set_up)?;
            connection
                .set_remote_description(now, theirs)
                .map_err(set_up)
        }
        Role::Volunteer => {
            let theirs = sdp::remote(Role::Client, remote, dtls);
            let theirs = RTCSessionDescription::offer(theirs).map_err(set_up)?;
            connection
                .set_remote_description(now, theirs)
                .map_err(set_up)?;
            let ours = connection.create_answer(None).map_err(set_up)?;
            connection.set_local_description(now, ours).map_err(set_up)
        }
    }
}

/// Whether it is neither a check nor an answer to one (RFC 7983).
fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}

fn transaction(bytes: &[u8]) -> Option<[u8; 12]> {
    bytes.get(8..20)?.try_into().ok()
}

/// Whether this is DTLS refusing a certificate (RFC 6347, section 4.1, and RFC 5246, section 7.2): an
/// alert in the clear, fatal, `bad_certificate` or `certificate_unknown`.
fn is_refusal(bytes: &[u8]) -> bool {
    let clear = bytes.first() == Some(&21) && bytes.get(3..5) == Some(&[0, 0]);
    clear && bytes.get(13) == Some(&2) && matches!(bytes.get(14), Some(42 | 46))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
