//! From a request to the handler of its key. One row of [`apis!`] per served key says which versions are served, and drives
//! `ApiVersions` and dispatch alike.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::FutureExt as _;
use ringlog_net::conn::{Body, CloseReason, Request, Response};
use ringlog_net::header::{ServedApi, ServedApis};
use ringlog_net::messages::{self, ApiKey};
use ringlog_net::wire::{DecodeError, EncodeError, Reader, Writer};

use crate::connection::Connection;
use crate::handlers;
use crate::quota::Meter;
use crate::recorder::CourseId;

/// What a handler answers once the request has taken its place, so that the connection's next one may begin: appends
/// are in the log, calls to other shards are in line.
pub(crate) enum Handled {
    /// The response is there already.
    Now(Response),
    /// It comes later; responses keep the order of the requests all the same.
    Later(Pin<Box<dyn Future<Output = Response>>>),
}

impl Handled {
    /// The response, if it needs no wait, or else what waits for it: a task is worth having only then.
    // Inlined, the future is made in its box; else it is copied there.
    #[inline]
    pub(crate) fn later(response: impl Future<Output = Response> + 'static) -> Self {
        let mut response: Pin<Box<dyn Future<Output = Response>>> = Box::pin(response);
        // Whoever gets it polls it at least once more, so that no wake is missed.
        match (&mut response).now_or_never() {
            Some(response) => Self::Now(response),
            None => Self::Later(response),
        }
    }
}

/// A request that reached its handler.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) connection: &'a Rc<Connection>,
    pub(crate) request: &'a Request,
    /// Where its time goes.
    pub(crate) course: CourseId,
    /// If its client has quotas.
    pub(crate) meter: Option<&'a Rc<Meter>>,
}

impl Incoming<'_> {
    pub(crate) fn version(&self) -> i16 {
        self.request.header.api_version
    }

    /// The request's body as a message.
    pub(crate) fn decode<R: messages::Request>(&self) -> Result<R, CloseReason> {
        let mut reader = Reader::new(&self.request.body);
        R::decode(&mut reader, self.version()).map_err(|error| self.malformed(error))
    }

    /// The end of a connection whose client sends what cannot be read.
    pub(crate) fn malformed(&self, error: DecodeError) -> CloseReason {
        let header = &self.request.header;
        CloseReason::BodyMalformed {
            api_name: header.api_key.name(),
            api_version: header.api_version,
            client_id: header.client_id.to_string(),
            error,
        }
    }

    /// The response in the version of the request.
    pub(crate) fn respond(&self, message: &impl messages::Message) -> Response {
        respond(message, self.version())
    }
}

/// A response message in a given version.
pub(crate) fn respond(message: &impl messages::Message, version: i16) -> Response {
    let mut writer = Writer::default();
    match message.encode(&mut writer, version) {
        Err(error @ EncodeError::TooLong(_)) => Response::Close(CloseReason::ResponseUnwritable(error)),
        encoded => {
            encoded.expect("handlers set only fields that the version has, or that may be left out");
            Response::Send(Body::from(writer))
        }
    }
}

macro_rules! apis {
    ($($key:ident $min:literal..=$max:literal => $handler:ident,)*) => {
        /// What this broker serves.
        pub fn served_apis() -> ServedApis {
            ServedApis::new([$(ServedApi { api_key: ApiKey::$key, min: $min, max: $max },)*])
        }

        /// Begins a request.
        pub(crate) async fn dispatch(
            connection: &Rc<Connection>,
            request: &Request,
            course: CourseId,
            meter: Option<&Rc<Meter>>,
        ) -> Handled {
            let incoming = Incoming { connection, request, course, meter };
            let handled = match request.header.api_key {
                $(ApiKey::$key => handlers::$handler::handle(incoming).await,)*
                other => unreachable!("{} is in no row, and the connection lets nothing else pass", other.name()),
            };
            handled.unwrap_or_else(|reason| Handled::Now(Response::Close(reason)))
        }
    };
}

apis! {
    Produce 3..=13 => k00_produce,
    Fetch 4..=18 => k01_fetch,
    ListOffsets 1..=11 => k02_list_offsets,
    Metadata 0..=13 => k03_metadata,
    OffsetCommit 2..=10 => k08_offset_commit,
    OffsetFetch 1..=10 => k09_offset_fetch,
    FindCoordinator 0..=6 => k10_find_coordinator,
    JoinGroup 0..=9 => k11_join_group,
    Heartbeat 0..=4 => k12_heartbeat,
    LeaveGroup 0..=5 => k13_leave_group,
    SyncGroup 0..=5 => k14_sync_group,
    DescribeGroups 0..=6 => k15_describe_groups,
    ListGroups 0..=5 => k16_list_groups,
    ApiVersions 0..=5 => k18_api_versions,
    CreateTopics 2..=7 => k19_create_topics,
    DeleteTopics 1..=6 => k20_delete_topics,
    DeleteRecords 0..=2 => k21_delete_records,
    InitProducerId 0..=5 => k22_init_producer_id,
    OffsetForLeaderEpoch 2..=4 => k23_offset_for_leader_epoch,
    DescribeAcls 1..=3 => k29_describe_acls,
    CreateAcls 1..=3 => k30_create_acls,
    DeleteAcls 1..=3 => k31_delete_acls,
    DescribeConfigs 1..=4 => k32_describe_configs,
    AlterConfigs 0..=2 => k33_alter_configs,
    AlterReplicaLogDirs 1..=2 => k34_alter_replica_log_dirs,
    DescribeLogDirs 1..=5 => k35_describe_log_dirs,
    CreatePartitions 0..=3 => k37_create_partitions,
    CreateDelegationToken 1..=3 => k38_create_delegation_token,
    RenewDelegationToken 1..=2 => k39_renew_delegation_token,
    ExpireDelegationToken 1..=2 => k40_expire_delegation_token,
    DescribeDelegationToken 1..=3 => k41_describe_delegation_token,
    DeleteGroups 0..=3 => k42_delete_groups,
    ElectLeaders 0..=2 => k43_elect_leaders,
    IncrementalAlterConfigs 0..=1 => k44_incremental_alter_configs,
    AlterPartitionReassignments 0..=1 => k45_alter_partition_reassignments,
    ListPartitionReassignments 0..=0 => k46_list_partition_reassignments,
    OffsetDelete 0..=0 => k47_offset_delete,
    DescribeClientQuotas 0..=1 => k48_describe_client_quotas,
    AlterClientQuotas 0..=1 => k49_alter_client_quotas,
    DescribeUserScramCredentials 0..=0 => k50_describe_user_scram_credentials,
    AlterUserScramCredentials 0..=0 => k51_alter_user_scram_credentials,
    DescribeQuorum 0..=2 => k55_describe_quorum,
    UpdateFeatures 0..=2 => k57_update_features,
    DescribeCluster 0..=2 => k60_describe_cluster,
    DescribeProducers 0..=0 => k61_describe_producers,
    UnregisterBroker 0..=0 => k64_unregister_broker,
    DescribeTransactions 0..=0 => k65_describe_transactions,
    ListTransactions 0..=2 => k66_list_transactions,
    ConsumerGroupHeartbeat 0..=1 => k68_consumer_group_heartbeat,
    ConsumerGroupDescribe 0..=1 => k69_consumer_group_describe,
    GetTelemetrySubscriptions 0..=0 => k71_get_telemetry_subscriptions,
    PushTelemetry 0..=0 => k72_push_telemetry,
    ListConfigResources 0..=1 => k74_list_config_resources,
    DescribeTopicPartitions 0..=0 => k75_describe_topic_partitions,
    AddRaftVoter 0..=1 => k80_add_raft_voter,
    RemoveRaftVoter 0..=0 => k81_remove_raft_voter,
    UnregisterController 0..=0 => k94_unregister_controller,
}
