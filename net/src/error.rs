//! Kafka's error codes: one closed enum, from which a handler picks what it answers.
//!
//! Codes, names and the quality of being retriable are those of Apache Kafka 4.4; the sentences are our own.

use std::fmt;

/// Whether a client should send the same request again after this error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// The same request may succeed later, without anybody's help.
    Retriable,
    /// Sending the same request again does not help.
    Final,
}

macro_rules! error_codes {
    ($($code:literal $variant:ident $name:literal $retry:ident $message:literal;)*) => {
        /// An error code as it travels in responses.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $message] $variant = $code,)*
        }

        impl ErrorCode {
            /// All codes, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number on the wire.
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The error of a number, if Kafka 4.4 defines one.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name of the error, such as `OFFSET_OUT_OF_RANGE`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether clients retry after it.
            pub const fn retry(self) -> Retry {
                match self {
                    $(Self::$variant => Retry::$retry,)*
                }
            }

            /// One short clause for people, without a full stop.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }
    };
}

impl ErrorCode {
    /// Whether the same request may succeed when it is sent again.
    pub const fn is_retriable(self) -> bool {
        matches!(self.retry(), Retry::Retriable)
    }

    /// The error of a number that a broker sent; numbers of newer brokers count as unknown server errors.
    pub fn from_wire(code: i16) -> Self {
        Self::from_code(code).unwrap_or(Self::UnknownServerError)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for ErrorCode {}

error_codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR" Final "the broker met an error that it has no code for";
    0 None "NONE" Final "no error";
    1 OffsetOutOfRange "OFFSET_OUT_OF_RANGE" Final "the offset lies outside the partition's log";
    2 CorruptMessage "CORRUPT_MESSAGE" Retriable "the record batch is damaged, too short, or breaks its format";
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION" Retriable "the broker knows no such topic or partition";
    4 InvalidFetchSize "INVALID_FETCH_SIZE" Final "the fetch size is not valid";
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE" Retriable "the partition has no leader at the moment";
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER" Retriable "the broker does not lead or replicate this partition";
    7 RequestTimedOut "REQUEST_TIMED_OUT" Retriable "the request was not finished within its timeout";
    8 BrokerNotAvailable "BROKER_NOT_AVAILABLE" Final "the broker is not available";
    9 ReplicaNotAvailable "REPLICA_NOT_AVAILABLE" Retriable "the replica is not available for this partition";
    10 MessageTooLarge "MESSAGE_TOO_LARGE" Final "the record batch is larger than the topic allows";
    11 StaleControllerEpoch "STALE_CONTROLLER_EPOCH" Final "a newer controller has taken over";
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE" Final "the metadata of a committed offset is too large";
    13 NetworkException "NETWORK_EXCEPTION" Retriable "the connection ended before the response arrived";
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS" Retriable "the coordinator is still reading its log";
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE" Retriable "no coordinator is available";
    16 NotCoordinator "NOT_COORDINATOR" Retriable "this broker is not the coordinator that was asked for";
    17 InvalidTopicException "INVALID_TOPIC_EXCEPTION" Final "the topic name is not valid, or the topic may not be used in this way";
    18 RecordListTooLarge "RECORD_LIST_TOO_LARGE" Final "the record batch is larger than a segment";
    19 NotEnoughReplicas "NOT_ENOUGH_REPLICAS" Retriable "too few replicas are in sync; nothing was appended";
    20 NotEnoughReplicasAfterAppend "NOT_ENOUGH_REPLICAS_AFTER_APPEND" Retriable "the records were appended, but too few replicas are in sync";
    21 InvalidRequiredAcks "INVALID_REQUIRED_ACKS" Final "acks is none of -1, 0 and 1";
    22 IllegalGeneration "ILLEGAL_GENERATION" Final "the generation is not the group's current one";
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL" Final "the member's protocols do not fit those of the group";
    24 InvalidGroupId "INVALID_GROUP_ID" Final "the group id is not valid";
    25 UnknownMemberId "UNKNOWN_MEMBER_ID" Final "the group has no such member";
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT" Final "the session timeout is outside the range that the broker allows";
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS" Final "the group is rebalancing; the member must join again";
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE" Final "the committed offset is too large to be stored";
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED" Final "not allowed on this topic";
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED" Final "not allowed on this group";
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED" Final "not allowed on the cluster";
    32 InvalidTimestamp "INVALID_TIMESTAMP" Final "a record's timestamp is too far from the broker's clock";
    33 UnsupportedSaslMechanism "UNSUPPORTED_SASL_MECHANISM" Final "the SASL mechanism is not enabled";
    34 IllegalSaslState "ILLEGAL_SASL_STATE" Final "the request does not fit the state of the SASL exchange";
    35 UnsupportedVersion "UNSUPPORTED_VERSION" Final "the broker does not support this version of the request";
    36 TopicAlreadyExists "TOPIC_ALREADY_EXISTS" Final "a topic of this name exists";
    37 InvalidPartitions "INVALID_PARTITIONS" Final "the number of partitions is not valid";
    38 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR" Final "the replication factor is below 1 or above the number of brokers";
    39 InvalidReplicaAssignment "INVALID_REPLICA_ASSIGNMENT" Final "the replica assignment is not valid";
    40 InvalidConfig "INVALID_CONFIG" Final "a configuration value is not valid";
    41 NotController "NOT_CONTROLLER" Retriable "this broker is not the active controller";
    42 InvalidRequest "INVALID_REQUEST" Final "the request contradicts the protocol";
    43 UnsupportedForMessageFormat "UNSUPPORTED_FOR_MESSAGE_FORMAT" Final "the topic's message format does not support the request";
    44 PolicyViolation "POLICY_VIOLATION" Final "the request does not satisfy the configured policy";
    45 OutOfOrderSequenceNumber "OUT_OF_ORDER_SEQUENCE_NUMBER" Final "the batch's sequence number does not follow the producer's last one";
    46 DuplicateSequenceNumber "DUPLICATE_SEQUENCE_NUMBER" Final "the batch's sequence number was seen before";
    47 InvalidProducerEpoch "INVALID_PRODUCER_EPOCH" Final "the producer's epoch is older than the one on the broker";
    48 InvalidTxnState "INVALID_TXN_STATE" Final "the operation does not fit the state of the transaction";
    49 InvalidProducerIdMapping "INVALID_PRODUCER_ID_MAPPING" Final "the producer id does not belong to the transactional id";
    50 InvalidTransactionTimeout "INVALID_TRANSACTION_TIMEOUT" Final "the transaction timeout is above the broker's maximum";
    51 ConcurrentTransactions "CONCURRENT_TRANSACTIONS" Retriable "another operation on the same transaction is under way";
    52 TransactionCoordinatorFenced "TRANSACTION_COORDINATOR_FENCED" Final "a newer transaction coordinator has taken over";
    53 TransactionalIdAuthorizationFailed "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" Final "not allowed on this transactional id";
    54 SecurityDisabled "SECURITY_DISABLED" Final "the broker runs without an authorizer";
    55 OperationNotAttempted "OPERATION_NOT_ATTEMPTED" Final "the operation was not tried, because another one of the same request failed";
    56 KafkaStorageError "KAFKA_STORAGE_ERROR" Retriable "the log directory of this partition cannot be used";
    57 LogDirNotFound "LOG_DIR_NOT_FOUND" Final "the broker has no such log directory";
    58 SaslAuthenticationFailed "SASL_AUTHENTICATION_FAILED" Final "the credentials were not accepted";
    59 UnknownProducerId "UNKNOWN_PRODUCER_ID" Final "the partition remembers nothing about this producer id";
    60 ReassignmentInProgress "REASSIGNMENT_IN_PROGRESS" Final "a reassignment of the partition is under way";
    61 DelegationTokenAuthDisabled "DELEGATION_TOKEN_AUTH_DISABLED" Final "delegation tokens are not enabled";
    62 DelegationTokenNotFound "DELEGATION_TOKEN_NOT_FOUND" Final "the delegation token does not exist";
    63 DelegationTokenOwnerMismatch "DELEGATION_TOKEN_OWNER_MISMATCH" Final "the principal neither owns nor may renew the delegation token";
    64 DelegationTokenRequestNotAllowed "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED" Final "delegation tokens cannot be asked for on this kind of connection";
    65 DelegationTokenAuthorizationFailed "DELEGATION_TOKEN_AUTHORIZATION_FAILED" Final "not allowed on this delegation token";
    66 DelegationTokenExpired "DELEGATION_TOKEN_EXPIRED" Final "the delegation token has expired";
    67 InvalidPrincipalType "INVALID_PRINCIPAL_TYPE" Final "the principal's type is not supported";
    68 NonEmptyGroup "NON_EMPTY_GROUP" Final "the group has members";
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND" Final "no group of this id and kind exists";
    70 FetchSessionIdNotFound "FETCH_SESSION_ID_NOT_FOUND" Retriable "the fetch session does not exist any more";
    71 InvalidFetchSessionEpoch "INVALID_FETCH_SESSION_EPOCH" Retriable "the fetch session is at another epoch";
    72 ListenerNotFound "LISTENER_NOT_FOUND" Retriable "the leader has no listener of the name that was asked";
    73 TopicDeletionDisabled "TOPIC_DELETION_DISABLED" Final "deleting topics is switched off";
    74 FencedLeaderEpoch "FENCED_LEADER_EPOCH" Retriable "the request names an older leader epoch than the broker's";
    75 UnknownLeaderEpoch "UNKNOWN_LEADER_EPOCH" Retriable "the request names a newer leader epoch than the broker's";
    76 UnsupportedCompressionType "UNSUPPORTED_COMPRESSION_TYPE" Final "this version of the request cannot carry the compression type";
    77 StaleBrokerEpoch "STALE_BROKER_EPOCH" Final "the broker has registered again since";
    78 OffsetNotAvailable "OFFSET_NOT_AVAILABLE" Retriable "the new leader does not know its high watermark yet";
    79 MemberIdRequired "MEMBER_ID_REQUIRED" Final "join again with the member id that the coordinator gave";
    80 PreferredLeaderNotAvailable "PREFERRED_LEADER_NOT_AVAILABLE" Retriable "the preferred leader is not available";
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED" Final "the group has as many members as it may have";
    82 FencedInstanceId "FENCED_INSTANCE_ID" Final "another member uses the same group instance id";
    83 EligibleLeadersNotAvailable "ELIGIBLE_LEADERS_NOT_AVAILABLE" Retriable "no replica that may lead is available";
    84 ElectionNotNeeded "ELECTION_NOT_NEEDED" Retriable "the partition already has the leader that was asked for";
    85 NoReassignmentInProgress "NO_REASSIGNMENT_IN_PROGRESS" Final "no reassignment of the partition is under way";
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC" Final "the group still subscribes to the topic";
    87 InvalidRecord "INVALID_RECORD" Final "a record was refused by the broker's checks";
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT" Retriable "an open transaction may still change these offsets";
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED" Retriable "the quota for such requests is used up for now";
    90 ProducerFenced "PRODUCER_FENCED" Final "a newer producer uses the same transactional id";
    91 ResourceNotFound "RESOURCE_NOT_FOUND" Final "the resource does not exist";
    92 DuplicateResource "DUPLICATE_RESOURCE" Final "the request names the same resource twice";
    93 UnacceptableCredential "UNACCEPTABLE_CREDENTIAL" Final "the credential does not meet the rules";
    94 InconsistentVoterSet "INCONSISTENT_VOTER_SET" Final "the sender or the receiver is not one of the expected voters";
    95 InvalidUpdateVersion "INVALID_UPDATE_VERSION" Final "the version of the update is not valid";
    96 FeatureUpdateFailed "FEATURE_UPDATE_FAILED" Final "the feature levels could not be changed";
    97 PrincipalDeserializationFailure "PRINCIPAL_DESERIALIZATION_FAILURE" Final "the forwarded principal cannot be read";
    98 SnapshotNotFound "SNAPSHOT_NOT_FOUND" Final "the snapshot does not exist";
    99 PositionOutOfRange "POSITION_OUT_OF_RANGE" Final "the position lies outside the snapshot";
    100 UnknownTopicId "UNKNOWN_TOPIC_ID" Retriable "the broker knows no topic of this id";
    101 DuplicateBrokerRegistration "DUPLICATE_BROKER_REGISTRATION" Final "another broker uses the same id";
    102 BrokerIdNotRegistered "BROKER_ID_NOT_REGISTERED" Final "no broker of this id is registered";
    103 InconsistentTopicId "INCONSISTENT_TOPIC_ID" Retriable "the topic id is not the one of the partition's log";
    104 InconsistentClusterId "INCONSISTENT_CLUSTER_ID" Final "the request names another cluster";
    105 TransactionalIdNotFound "TRANSACTIONAL_ID_NOT_FOUND" Final "the transactional id is not known";
    106 FetchSessionTopicIdError "FETCH_SESSION_TOPIC_ID_ERROR" Retriable "the fetch session began with another use of topic ids";
    107 IneligibleReplica "INELIGIBLE_REPLICA" Final "a replica of the new in-sync set may not be in it";
    108 NewLeaderElected "NEW_LEADER_ELECTED" Final "the change was made, and the leader has changed with it";
    109 OffsetMovedToTieredStorage "OFFSET_MOVED_TO_TIERED_STORAGE" Final "the offset is in tiered storage";
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH" Final "the member was fenced; it must give up its partitions and join again";
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID" Final "the member that holds this instance id has not left yet";
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR" Final "the group does not support the assignor";
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH" Final "the member epoch is not the current one; retry after the next heartbeat";
    114 MismatchedEndpointType "MISMATCHED_ENDPOINT_TYPE" Final "the request is meant for the other kind of endpoint";
    115 UnsupportedEndpointType "UNSUPPORTED_ENDPOINT_TYPE" Final "this kind of endpoint is not supported";
    116 UnknownControllerId "UNKNOWN_CONTROLLER_ID" Final "no controller of this id is known";
    117 UnknownSubscriptionId "UNKNOWN_SUBSCRIPTION_ID" Final "the telemetry subscription is unknown or out of date";
    118 TelemetryTooLarge "TELEMETRY_TOO_LARGE" Final "the pushed telemetry is larger than the broker accepts";
    119 InvalidRegistration "INVALID_REGISTRATION" Final "the controller refused the broker's registration";
    120 TransactionAbortable "TRANSACTION_ABORTABLE" Final "the transaction failed; it can be aborted, and the transactional id used on";
    121 InvalidRecordState "INVALID_RECORD_STATE" Final "the record cannot be acknowledged in its present state";
    122 ShareSessionNotFound "SHARE_SESSION_NOT_FOUND" Retriable "the share session does not exist any more";
    123 InvalidShareSessionEpoch "INVALID_SHARE_SESSION_EPOCH" Retriable "the share session is at another epoch";
    124 FencedStateEpoch "FENCED_STATE_EPOCH" Final "the share state is at another epoch";
    125 InvalidVoterKey "INVALID_VOTER_KEY" Final "the voter key is not the receiver's";
    126 DuplicateVoter "DUPLICATE_VOTER" Final "the voter is in the set already";
    127 VoterNotFound "VOTER_NOT_FOUND" Final "the voter is not in the set";
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION" Final "the regular expression is not valid";
    129 RebootstrapRequired "REBOOTSTRAP_REQUIRED" Final "the client must start again from its bootstrap servers";
    130 StreamsInvalidTopology "STREAMS_INVALID_TOPOLOGY" Final "the topology is not valid";
    131 StreamsInvalidTopologyEpoch "STREAMS_INVALID_TOPOLOGY_EPOCH" Final "the topology epoch is not valid";
    132 StreamsTopologyFenced "STREAMS_TOPOLOGY_FENCED" Final "the group has a newer topology";
    133 ShareSessionLimitReached "SHARE_SESSION_LIMIT_REACHED" Retriable "the broker holds as many share sessions as it may";
    134 GroupDeletionFailed "GROUP_DELETION_FAILED" Final "the group could not be deleted";
    135 StreamsTopologyDescriptionUpdateFailed "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED" Final "the description of the topology could not be stored";
    136 ControllerIdNotRegistered "CONTROLLER_ID_NOT_REGISTERED" Final "no controller of this id is registered";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_find_their_way_back() {
        for (expected, error) in (-1_i16..).zip(ErrorCode::ALL) {
            assert_eq!(error.code(), expected, "{error:?}");
            assert_eq!(ErrorCode::from_code(expected), Some(*error));
            let spelled = error.name().split('_').map(|word| {
                let (first, rest) = word.split_at(1);
                format!("{first}{}", rest.to_lowercase())
            });
            assert_eq!(spelled.collect::<String>(), format!("{error:?}"));
            assert!(!error.message().ends_with('.'), "{error:?}");
        }
        assert_eq!(ErrorCode::ALL.len(), 138);
        assert_eq!(ErrorCode::from_code(137), None);
        assert_eq!(ErrorCode::from_wire(32_000), ErrorCode::UnknownServerError);
    }

    #[test]
    fn retriable_ones_are_those_of_kafka() {
        let retriable: Vec<i16> = ErrorCode::ALL.iter().filter(|e| e.is_retriable()).map(|e| e.code()).collect();
        let kafka: &[i16] = &[
            2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103,
            106, 122, 123, 133,
        ];
        assert_eq!(retriable, kafka);
    }
}
