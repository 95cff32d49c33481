//! The calls of the service, as HTTP has them.

use std::sync::Arc;

use peerage::networks::BoxFuture;
use serde_json::Value;

use super::Face;
use crate::fault::Fault;
use crate::v1;

/// A call of the service under a path.
pub(crate) struct Call {
    /// Where.
    pub(crate) path: &'static str,
    /// Whether it only reads: GET with a query, else POST with an object.
    pub(crate) reads: bool,
    /// The call of the service.
    pub(crate) name: &'static str,
    pub(super) run: Run,
}

pub(super) type Run = for<'a> fn(&'a Arc<Face>, Value) -> BoxFuture<'a, Result<Value, Fault>>;

macro_rules! calls {
    ($($path:literal $reads:literal $name:ident $call:ident($request:ident);)+) => {
        /// Every call that is no stream, but `Info`, which takes nothing, below.
        pub(crate) const CALLS: &[Call] = &[
            Call {
                path: "/v1/info",
                reads: true,
                name: "Info",
                run: |face, asked| Box::pin(async move {
                    let _: v1::InfoRequest = face.described.read(&asked)?;
                    face.described.show(&face.daemon.info())
                }),
            },
            $(Call {
                path: $path,
                reads: $reads,
                name: stringify!($name),
                run: |face, asked| Box::pin(async move {
                    let request: v1::$request = face.described.read(&asked)?;
                    face.described.show(&face.daemon.$call(request).await?)
                }),
            }),+
        ];
    };
}

calls! {
    "/v1/status" true Status status(StatusRequest);
    "/v1/peers" true ListPeers list_peers(ListPeersRequest);
    "/v1/peer" true GetPeer get_peer(GetPeerRequest);
    "/v1/bans" true ListBans list_bans(ListBansRequest);
    "/v1/book" true QueryBook query_book(QueryBookRequest);
    "/v1/why" true Why why(WhyRequest);
    "/v1/peers/add" false AddPeer add_peer(AddPeerRequest);
    "/v1/peers/trust" false TrustPeer trust_peer(TrustPeerRequest);
    "/v1/peers/remove" false RemovePeer remove_peer(RemovePeerRequest);
    "/v1/peers/disconnect" false Disconnect disconnect(DisconnectRequest);
    "/v1/peers/report" false Report report(ReportRequest);
    "/v1/peers/penalise" false Penalise penalise(PenaliseRequest);
    "/v1/bans/add" false Ban ban(BanRequest);
    "/v1/bans/lift" false Unban unban(UnbanRequest);
    "/v1/book/import" false ImportBook import_book(ImportBookRequest);
    "/v1/send" false Send send(SendRequest);
    "/v1/send/best" false SendBest send_best(SendBestRequest);
    "/v1/broadcast" false Broadcast broadcast(BroadcastRequest);
    "/v1/request" false Request request(RequestRequest);
    "/v1/respond" false Respond respond(RespondRequest);
}
