//! What the tests of these modules share: a small set of queues and the real SDK clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};

use super::*;

/// An arbitrary day.
pub(super) const START: &str = "2026-11-22T12:00:00Z";

/// `work` with dead letters in `work-dlq` after three receives, and `other`.
pub(super) fn queues() -> Vec<QueueConfig> {
    vec![
        QueueConfig::new("work").dead_letters("work-dlq", 3),
        QueueConfig::new("work-dlq"),
        QueueConfig::new("other"),
    ]
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START.parse().unwrap()))
}

pub(super) async fn start() -> LocalAws {
    LocalAws::start(LocalAwsConfig::new(queues())).await.unwrap()
}

pub(super) async fn start_at(clock: &Arc<ManualClock>) -> LocalAws {
    let config = LocalAwsConfig { clock: clock.clone(), ..LocalAwsConfig::new(queues()) };
    LocalAws::start(config).await.unwrap()
}

pub(super) async fn start_in(dir: &Path) -> Result<LocalAws, LocalAwsError> {
    LocalAws::start(LocalAwsConfig { data: Some(dir.to_owned()), ..LocalAwsConfig::new(queues()) }).await
}

macro_rules! client {
    ($sdk:ident, $endpoint:expr, $key:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .credentials_provider(Credentials::new($key, "test", None, None, "test"))
                .endpoint_url($endpoint)
                .retry_config(RetryConfig::disabled())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        )
    };
}

pub(super) fn sqs(aws: &LocalAws) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, aws.endpoint_url(), "test")
}

pub(super) fn secrets_manager(aws: &LocalAws, key: &str) -> aws_sdk_secretsmanager::Client {
    client!(aws_sdk_secretsmanager, aws.endpoint_url(), key)
}

pub(super) fn dynamodb(aws: &LocalAws) -> aws_sdk_dynamodb::Client {
    client!(aws_sdk_dynamodb, aws.dynamo_endpoint_url(), "test")
}

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A directory that goes away with the test.
pub(super) struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("vulnrelay-test-{}", messages::random_id())))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
