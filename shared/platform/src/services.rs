//! Start-up of a function: everything it works with, from its environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::SdkConfig;
use domain::policy::Config;
use queue::{Queue, QueueName};
use store::{Document, Store, StoreError};

use crate::aws::{MissingVariable, TlsError, required_variable};
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, compile, parse_config, read_compiled};
use crate::secrets::Secrets;
use crate::telemetry::{self, MetricSink, Metrics};

/// Kind of the stored document that holds the configuration.
pub const CONFIG_DOCUMENT: &str = "config";

/// Checks a configuration, its name and its text, and makes it the current one.
pub async fn store_config(
    store: &Store,
    (name, text): (&str, &str),
    author: &str,
    at: jiff::Timestamp,
) -> Result<Document, StartError> {
    let compiled = compile(&parse_config(name, text)?);
    Ok(store.put_compiled_document(CONFIG_DOCUMENT, text, compiled, author, at).await?)
}

/// Where a function finds what it works with.
#[derive(Clone)]
pub struct Settings {
    /// The client of the table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Where the queues and Secrets Manager are. Their clients are made when first used: each reads the SDK's table of
    /// endpoints, a tenth of a start.
    pub aws: SdkConfig,
    /// Name of the table.
    pub table: String,
    /// Addresses of the queues.
    pub queues: BTreeMap<QueueName, String>,
    /// Beginning of the names of secrets.
    pub secret_prefix: String,
}

/// Why a function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The deployment lacks a variable.
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    /// AWS cannot be reached safely.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The table cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody stored a configuration yet.
    #[error("the table holds no configuration: deploy connectors.yaml first")]
    NoConfig,
}

impl Settings {
    /// From the function's environment: `TABLE`, `SECRET_PREFIX` and a `QUEUE_…` for each queue it may send to.
    pub async fn from_environment() -> Result<Self, StartError> {
        let queues = QueueName::all()
            .into_iter()
            .filter_map(|name| Some((name, std::env::var(name.variable()).ok()?)))
            .collect();
        let aws = crate::aws::sdk_config().await?;
        Ok(Self {
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
            aws,
            table: required_variable("TABLE")?,
            queues,
            secret_prefix: std::env::var("SECRET_PREFIX").unwrap_or_else(|_| "vulnrelay/".to_owned()),
        })
    }
}

/// What a function works with. Each takes what it needs.
#[derive(Clone)]
pub struct Services {
    /// The table.
    pub store: Store,
    /// The queues.
    pub queue: Queue,
    /// Secrets.
    pub secrets: Secrets,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is measured.
    pub metrics: Metrics,
    /// What the company wants.
    pub config: Arc<Config>,
    /// The version of that.
    pub config_version: u64,
}

impl Services {
    /// Starts a function on AWS: logs, clients, the stored configuration.
    pub async fn start() -> Result<Self, StartError> {
        Ok(Self::start_with_aws().await?.0)
    }

    /// The same for a function that calls AWS itself, with how AWS is reached.
    pub async fn start_with_aws() -> Result<(Self, SdkConfig), StartError> {
        crate::telemetry::init();
        let settings = Settings::from_environment().await?;
        let services = Self::connect(&settings, Arc::new(SystemClock), Arc::new(telemetry::Stdout)).await?;
        Ok((services, settings.aws))
    }

    /// Connects to what `settings` name and reads the stored configuration.
    pub async fn connect(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn MetricSink>,
    ) -> Result<Self, StartError> {
        let store = Store::new(settings.dynamodb.clone(), &settings.table);
        let document = store.current_document(CONFIG_DOCUMENT).await?.ok_or(StartError::NoConfig)?;
        let config = match document.compiled.as_deref().and_then(read_compiled) {
            Some(config) => config,
            None => parse_config("the stored configuration", &document.text)?,
        };
        let (for_sqs, for_secrets) = (settings.aws.clone(), settings.aws.clone());
        let sqs = move || aws_sdk_sqs::Client::new(&for_sqs);
        let secrets_manager = move || aws_sdk_secretsmanager::Client::new(&for_secrets);
        Ok(Self {
            store,
            queue: Queue::with(sqs, settings.queues.clone()),
            secrets: Secrets::with(secrets_manager, &settings.secret_prefix, clock.clone()),
            metrics: Metrics::new(metrics, clock.clone()),
            clock,
            config: Arc::new(config),
            config_version: document.version,
        })
    }
}
