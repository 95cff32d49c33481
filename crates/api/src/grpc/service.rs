//! The service: each call handed to the daemon.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::board::Subscription;
use crate::daemon::Daemon;
use crate::v1;
use crate::v1::daemon_server::Daemon as Calls;

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Service(pub(super) Arc<Daemon>);

macro_rules! calls {
    ($($name:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl Calls for Service {
            $(async fn $name(
                &self,
                request: Request<v1::$request>,
            ) -> Result<Response<v1::$response>, Status> {
                let answered = self.0.$name(request.into_inner()).await;
                Ok(Response::new(answered?))
            })+

            async fn info(
                &self,
                _: Request<v1::InfoRequest>,
            ) -> Result<Response<v1::InfoResponse>, Status> {
                Ok(Response::new(self.0.info()))
            }

            type SubscribeStream = Subscription;

            async fn subscribe(
                &self,
                request: Request<v1::SubscribeRequest>,
            ) -> Result<Response<Subscription>, Status> {
                Ok(Response::new(self.0.subscribe(request.into_inner())?))
            }

            async fn unsubscribe(
                &self,
                request: Request<v1::UnsubscribeRequest>,
            ) -> Result<Response<v1::UnsubscribeResponse>, Status> {
                Ok(Response::new(self.0.unsubscribe(request.get_ref())?))
            }
        }
    };
}

calls! {
    status(StatusRequest) -> StatusResponse;
    list_peers(ListPeersRequest) -> ListPeersResponse;
    get_peer(GetPeerRequest) -> GetPeerResponse;
    add_peer(AddPeerRequest) -> AddPeerResponse;
    trust_peer(TrustPeerRequest) -> TrustPeerResponse;
    remove_peer(RemovePeerRequest) -> RemovePeerResponse;
    disconnect(DisconnectRequest) -> DisconnectResponse;
    list_bans(ListBansRequest) -> ListBansResponse;
    ban(BanRequest) -> BanResponse;
    unban(UnbanRequest) -> UnbanResponse;
    report(ReportRequest) -> ReportResponse;
    penalise(PenaliseRequest) -> PenaliseResponse;
    send(SendRequest) -> SendResponse;
    send_best(SendBestRequest) -> SendBestResponse;
    broadcast(BroadcastRequest) -> BroadcastResponse;
    request(RequestRequest) -> RequestResponse;
    respond(RespondRequest) -> RespondResponse;
    query_book(QueryBookRequest) -> QueryBookResponse;
    import_book(ImportBookRequest) -> ImportBookResponse;
    why(WhyRequest) -> WhyResponse;
}
