//! Requests of every version of every API key that is served, byte by byte over a socket, against a real process.
#![forbid(unsafe_code)]

mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
mod k10_find_coordinator;
mod k18_api_versions;
mod k19_create_topics;
mod k20_delete_topics;
mod k21_delete_records;
mod k22_init_producer_id;
mod k23_offset_for_leader_epoch;
mod k29_describe_acls;
mod k30_create_acls;
mod k31_delete_acls;
mod k32_describe_configs;
mod k33_alter_configs;
mod k34_alter_replica_log_dirs;
mod k35_describe_log_dirs;
mod k37_create_partitions;
mod k38_create_delegation_token;
mod k39_renew_delegation_token;
mod k40_expire_delegation_token;
mod k41_describe_delegation_token;
mod k43_elect_leaders;
mod k44_incremental_alter_configs;
mod k45_alter_partition_reassignments;
mod k46_list_partition_reassignments;
mod k55_describe_quorum;
mod k60_describe_cluster;
mod k61_describe_producers;
mod k74_list_config_resources;
mod k75_describe_topic_partitions;
mod session;
mod topic;
