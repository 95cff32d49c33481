//! A build without the interface: whoever wants it is told.

use std::marker::PhantomData;

use peerage::Greeter;
use peerage::node::{Event, HandleOf, Wired};

use super::{Places, Shown, Wanted};
use crate::output::{Failed, misused};

/// Nothing.
pub(crate) struct Gate;

/// Nowhere.
pub(crate) struct Feed<N>(PhantomData<fn() -> N>);

impl<N: Wired> Feed<N> {
    pub(crate) fn tell(&self, _: &Event<N>) -> bool {
        false
    }
}

impl Gate {
    #[expect(clippy::unused_async, reason = "as the other one is")]
    pub(crate) async fn open(wanted: &Wanted) -> Result<Self, Failed> {
        let is_wanted = wanted.grpc.is_some() || wanted.http.is_some() || wanted.tls.is_some();
        if is_wanted || wanted.token_file.is_some() {
            return Err(misused("this peerage was built without the feature `api`"));
        }
        Ok(Self)
    }

    pub(crate) fn add<N: Wired>(&mut self, _: HandleOf<N>, _: Greeter<N>, _: Shown) -> Feed<N> {
        Feed(PhantomData)
    }

    pub(crate) fn serve(self) -> Served {
        Served { at: None }
    }
}

/// Nothing.
pub(crate) struct Served {
    pub(crate) at: Option<Places>,
}

impl Served {
    #[expect(clippy::unused_async, reason = "as the other one is")]
    pub(crate) async fn stop(self) {}
}
