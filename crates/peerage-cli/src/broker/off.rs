//! A build without the in-proxy: no commands, and no way through volunteers.

use std::convert::Infallible;

use clap::{ArgMatches, Command, Error, FromArgMatches, Subcommand};
use peerage::Route;

use crate::output::{Exit, Failed, Out};

/// None.
#[derive(Debug)]
pub(super) struct What(Infallible);

impl What {
    pub(super) const fn is_daemon(&self) -> bool {
        match self.0 {}
    }
}

impl Subcommand for What {
    fn augment_subcommands(command: Command) -> Command {
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        command
    }

    fn has_subcommand(_: &str) -> bool {
        false
    }
}

impl FromArgMatches for What {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Err(Error::new(clap::error::ErrorKind::MissingSubcommand))
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        match self.0 {}
    }
}

#[expect(clippy::unused_async, reason = "as with the feature inproxy")]
pub(super) async fn run(what: What, _: &mut Out) -> Result<Exit, Failed> {
    match what.0 {}
}

/// No way.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Via {}

impl Via {
    pub(crate) const fn is_given(self) -> bool {
        false
    }

    #[expect(clippy::unnecessary_wraps, reason = "as with the feature inproxy")]
    pub(crate) const fn or(self, proxy: Route) -> Result<Route, Failed> {
        Ok(proxy)
    }
}
