//! One file per API key. A handler turns a request into questions to the state, and the answers into a response; it holds
//! no state of its own.

#![allow(clippy::unused_async, reason = "all handlers have one signature, and some answer at once")]

pub(crate) mod k00_produce;
pub(crate) mod k01_fetch;
pub(crate) mod k02_list_offsets;
pub(crate) mod k03_metadata;
pub(crate) mod k08_offset_commit;
pub(crate) mod k09_offset_fetch;
pub(crate) mod k10_find_coordinator;
pub(crate) mod k11_join_group;
pub(crate) mod k12_heartbeat;
pub(crate) mod k13_leave_group;
pub(crate) mod k14_sync_group;
pub(crate) mod k15_describe_groups;
pub(crate) mod k16_list_groups;
pub(crate) mod k18_api_versions;
pub(crate) mod k19_create_topics;
pub(crate) mod k20_delete_topics;
pub(crate) mod k21_delete_records;
pub(crate) mod k22_init_producer_id;
pub(crate) mod k23_offset_for_leader_epoch;
pub(crate) mod k29_describe_acls;
pub(crate) mod k30_create_acls;
pub(crate) mod k31_delete_acls;
pub(crate) mod k32_describe_configs;
pub(crate) mod k33_alter_configs;
pub(crate) mod k34_alter_replica_log_dirs;
pub(crate) mod k35_describe_log_dirs;
pub(crate) mod k37_create_partitions;
pub(crate) mod k38_create_delegation_token;
pub(crate) mod k39_renew_delegation_token;
pub(crate) mod k40_expire_delegation_token;
pub(crate) mod k41_describe_delegation_token;
pub(crate) mod k42_delete_groups;
pub(crate) mod k43_elect_leaders;
pub(crate) mod k44_incremental_alter_configs;
pub(crate) mod k45_alter_partition_reassignments;
pub(crate) mod k46_list_partition_reassignments;
pub(crate) mod k47_offset_delete;
pub(crate) mod k48_describe_client_quotas;
pub(crate) mod k49_alter_client_quotas;
pub(crate) mod k50_describe_user_scram_credentials;
pub(crate) mod k51_alter_user_scram_credentials;
pub(crate) mod k55_describe_quorum;
pub(crate) mod k57_update_features;
pub(crate) mod k60_describe_cluster;
pub(crate) mod k61_describe_producers;
pub(crate) mod k64_unregister_broker;
pub(crate) mod k65_describe_transactions;
pub(crate) mod k66_list_transactions;
pub(crate) mod k68_consumer_group_heartbeat;
pub(crate) mod k69_consumer_group_describe;
pub(crate) mod k71_get_telemetry_subscriptions;
pub(crate) mod k72_push_telemetry;
pub(crate) mod k74_list_config_resources;
pub(crate) mod k75_describe_topic_partitions;
pub(crate) mod k80_add_raft_voter;
pub(crate) mod k81_remove_raft_voter;
pub(crate) mod k94_unregister_controller;
#[cfg(test)]
mod sample_image;
