//! The small world: its citizens, whoever tells of them, and our own nodes.

use std::net::{Ipv4Addr, SocketAddr};

use peerage::networks::by_name;
use peerage::node::book::{Identity, Key};
use peerage::{Destination, Endpoint};

use super::cast::{FAULTY, Nature, REALMS, Realm};
use super::discovery::{Beacon, Neighbourhood};
use super::home::Home;
use super::ours::{Ours, Tell};
use super::seat::Seat;
use crate::output::Failed;
use crate::serve::api::Gate;

/// One inhabitant of the world.
#[derive(Debug)]
pub(super) struct Citizen {
    pub(super) name: String,
    /// Which of the realms, and of our nodes, is its own.
    pub(super) place: usize,
    pub(super) nature: Nature,
    pub(super) found_at: Destination,
    /// Whether it is in the part that is cut off.
    pub(super) is_remote: bool,
    pub(super) home: Home,
    #[expect(dead_code, reason = "holds its place in discovery")]
    pub(super) beacon: Option<Beacon>,
}

/// The whole world.
pub(super) struct World {
    pub(super) citizens: Vec<Citizen>,
    /// Our node of each realm.
    pub(super) ours: Vec<Box<dyn Ours>>,
    pub(super) seeders: Vec<Home>,
    pub(super) discovery: Vec<(Neighbourhood, Beacon)>,
}

impl Citizen {
    pub(super) fn realm(&self) -> &'static Realm {
        &REALMS[self.place]
    }

    /// Who it is to our node.
    pub(super) fn key(&self) -> Key {
        let identity = self.found_at.key.as_ref();
        match identity.and_then(|key| Identity::new(&key.0).ok()) {
            Some(identity) => identity.into(),
            None => self.endpoint().into(),
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.found_at.target.port)).into()
    }

    pub(super) const fn is_ourselves(&self) -> bool {
        matches!(self.nature, Nature::Ourselves)
    }

    /// How its address is written on its network.
    pub(super) fn address(&self) -> String {
        let target = || self.found_at.target.to_string();
        by_name(self.realm().network).map_or_else(target, |network| network.shown(&self.found_at))
    }
}

impl World {
    /// Where the citizens of such a nature are.
    pub(super) fn told_of(&self, place: usize, such: impl Fn(Nature) -> bool) -> Vec<Endpoint> {
        let here = self
            .citizens
            .iter()
            .filter(|citizen| citizen.place == place);
        let such = here.filter(|citizen| such(citizen.nature));
        such.map(Citizen::endpoint).collect()
    }

    /// Cuts the remote part off, or lets it come back.
    pub(super) fn cut_off(&self, is_cut: bool) {
        for citizen in self.citizens.iter().filter(|citizen| citizen.is_remote) {
            citizen.home.cut_off(is_cut);
        }
    }
}

/// Starts everybody, the healthy first, and our own nodes last.
pub(super) async fn start(tell: &Tell, gate: &mut Gate) -> Result<World, Failed> {
    let mut world = World {
        citizens: Vec::new(),
        ours: Vec::new(),
        seeders: Vec::new(),
        discovery: Vec::new(),
    };
    let mut seats = Vec::new();
    for (place, realm) in REALMS.iter().enumerate() {
        let seat = Seat::take(realm, place)?;
        for number in 0..realm.population {
            let healthy = &realm.healthy[number % realm.healthy.len()];
            let nature = Nature::Healthy(healthy);
            let name = format!("{}-{}", healthy.name, number / realm.healthy.len() + 1);
            let mut citizen = seat.settle(name, nature, &[])?;
            citizen.is_remote = number % 2 == 1;
            world.citizens.push(citizen);
        }
        seats.push(seat);
    }
    // Neighbours in fate, not in network.
    for (name, nature) in FAULTY {
        for seat in &seats {
            if seat.has(nature)? {
                let lies = world.told_of(seat.place, |nature| matches!(nature, Nature::Lie));
                let citizen = seat.settle(name.to_owned(), nature, &lies)?;
                world.citizens.push(citizen);
            }
        }
    }
    for seat in &seats {
        world.citizens.extend(seat.stranger());
    }
    for seat in seats {
        seat.sit_down(&mut world, (tell, gate)).await?;
    }
    Ok(world)
}
