//! Configuration of any resource, as cases change it and look at it.

use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::session::{Session, settled};

pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
pub(crate) const SUBTRACT: i8 = 3;

/// A resource by type and name.
#[derive(Clone, Copy)]
pub(crate) struct Resource<'a> {
    pub(crate) kind: i8,
    pub(crate) name: &'a str,
}

/// The name of the broker that is asked.
pub(crate) fn node(session: &mut Session) -> String {
    session.ask(0, &DescribeClusterRequest::default()).brokers[0].broker_id.to_string()
}

impl Resource<'_> {
    /// Changes keys of the resource. Answers the code.
    pub(crate) fn alter(self, session: &mut Session, version: i16, changes: &[(&str, i8, Option<&str>)]) -> i16 {
        self.try_to_alter(session, version, changes, false)
    }

    pub(crate) fn try_to_alter(
        self,
        session: &mut Session,
        version: i16,
        changes: &[(&str, i8, Option<&str>)],
        validate_only: bool,
    ) -> i16 {
        let config = |(name, config_operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
            name: (*name).to_owned(),
            config_operation: *config_operation,
            value: value.map(str::to_owned),
        };
        let configs = changes.iter().map(config).collect();
        let resource = AlterConfigsResource { resource_type: self.kind, resource_name: self.name.to_owned(), configs };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let response = session.ask(version, &request).responses.remove(0);
        println!("{} {:?} {changes:?}: {:?}", self.kind, self.name, response.error_message);
        assert_eq!((response.resource_type, &*response.resource_name), (self.kind, self.name));
        assert!(response.error_code != 0 || response.error_message.is_none_or(|message| message.is_empty()));
        response.error_code
    }

    /// What the resource has, or those of its keys.
    pub(crate) fn describe(self, session: &mut Session, version: i16, keys: Option<&[&str]>) -> DescribeConfigsResult {
        let resource = DescribeConfigsResource {
            resource_type: self.kind,
            resource_name: self.name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        let request =
            DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: false };
        session.ask(version, &request).results.remove(0)
    }

    /// Waits until a key looks as expected; on Ringlog it must at once.
    #[track_caller]
    pub(crate) fn expect(self, session: &mut Session, key: &str, expected: &str) {
        let told = settled(|| line(&self.describe(session, 4, Some(&[key])).configs), |told| *told == expected);
        assert_eq!(told, expected);
    }
}

/// `name=value source type [source:name=value …]` of each.
pub(crate) fn line(configs: &[DescribeConfigsResourceResult]) -> String {
    let null = || "null".to_owned();
    let told = |config: &DescribeConfigsResourceResult| {
        let synonyms = config.synonyms.iter().map(|synonym| {
            format!("{}:{}={}", synonym.source, synonym.name, synonym.value.clone().unwrap_or_else(null))
        });
        let synonyms: Vec<_> = synonyms.collect();
        let value = config.value.clone().unwrap_or_else(null);
        format!("{}={value} {} {} [{}]", config.name, config.config_source, config.config_type, synonyms.join(" "))
    };
    configs.iter().map(told).collect::<Vec<_>>().join("; ")
}
