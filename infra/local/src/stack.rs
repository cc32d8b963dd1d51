//! The whole system in one process: every function behind its queue, as AWS would call it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use futures::future::BoxFuture;
use platform::{ConfigError, Services, Settings, StartError, store_config};
use queue::{QueueName, SyncMessage, Trigger};
use store::{Store, StoreError, create_table};
use sync::{EngineOptions, HttpOptions};

use crate::aws::{
    EXECUTION_ID, EventSource, EventSources, Handler, LocalAws, LocalAwsConfig, LocalAwsError, QueueConfig,
    QueueError, ScheduleEntry, Scheduler, SecretSource, When,
};
use crate::clock::StackClock;
use crate::scanners;

/// Name of the table.
pub const TABLE: &str = "vulnrelay";
/// Beginning of the names of secrets.
pub const SECRET_PREFIX: &str = "vulnrelay/";
/// The queue through which the schedule reaches `sla`. On AWS the schedule calls it directly.
pub const SLA_QUEUE: &str = "sla";
/// How long a function may take; its queue's visibility timeout is six times that on AWS.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Receives after which a message goes to the dead letters.
const MAX_RECEIVES: u32 = 10;

/// What a stack is made of.
pub struct StackConfig {
    /// Directory for the state; in memory without it.
    pub data: Option<PathBuf>,
    /// The configuration: name and text.
    pub config: (String, String),
    /// Who stores it.
    pub author: String,
    /// Where secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// The time to go by.
    pub clock: Arc<StackClock>,
    /// Limits of the sync engine.
    pub engine: EngineOptions,
    /// Limits of the HTTP clients.
    pub http: HttpOptions,
    /// When failed messages come back.
    pub retry_delay: Duration,
    /// Wraps the SDK's way to the endpoints, for faults; plain HTTP without it.
    pub connector: Option<SharedHttpClient>,
    /// How the accounts are reached whose network is read; the stand-ins without it.
    pub cloud: Option<aws_config::SdkConfig>,
    /// Wraps each function, for faults.
    pub around: Option<Around>,
}

/// Wraps a function's handler. The name is that of its queue.
pub type Around = Arc<dyn Fn(&str, Handler) -> Handler + Send + Sync>;

/// Why a stack cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The stand-ins for AWS.
    #[error(transparent)]
    Aws(#[from] LocalAwsError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A function.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The queues.
    #[error(transparent)]
    Queues(#[from] QueueError),
}

/// A running system.
pub struct Stack {
    aws: LocalAws,
    services: Services,
    observer: Store,
    clock: Arc<StackClock>,
    functions: Arc<Functions>,
    options: (Duration, Option<Around>),
}

/// The functions that are behind a queue.
struct Functions {
    scanners: Vec<scanners::Started>,
    intel: sync_intel::SyncIntel,
    exposure: sync_exposure::SyncExposure,
    score: score::Score,
    sla: sla::Sla,
    notify: notify::Notify,
    ticket: ticket::Ticket,
}

impl Stack {
    /// Opens the state, stores the configuration, starts the functions. Nothing runs before [`Stack::sources`] do.
    pub async fn start(config: StackConfig) -> Result<Self, StackError> {
        let (name, text) = &config.config;
        let access_key = format!("local{:016x}", fastrand::u64(..));
        let aws = LocalAws::start(LocalAwsConfig {
            data: config.data,
            secrets: config.secrets,
            clock: config.clock.clone(),
            access_key_id: Some(access_key.clone()),
            ..LocalAwsConfig::new(queues())
        })
        .await?;
        let settings = settings(&aws, &access_key, config.connector);
        create_table(&settings.dynamodb, TABLE).await?;
        let now = config.clock.now();
        let table = Store::new(settings.dynamodb.clone(), TABLE);
        store_config(&table, (name, text), &config.author, now).await?;
        let services =
            Services::connect(&settings, config.clock.clone(), Arc::new(platform::telemetry::Log)).await?;
        let functions = Functions {
            scanners: scanners::ROWS
                .iter()
                .map(|row| row.start(&services, &config.engine, &config.http))
                .collect(),
            intel: sync_intel::SyncIntel::new(&services),
            exposure: sync_exposure::SyncExposure::new(
                &services,
                config.cloud.unwrap_or_else(|| settings.aws.clone()),
            ),
            score: score::Score::new(&services),
            sla: sla::Sla::new(&services),
            notify: notify::Notify::new(&services),
            ticket: ticket::Ticket::new(&services),
        };
        Ok(Self {
            aws,
            services,
            observer: Store::new(settings.dynamodb.clone(), TABLE),
            clock: config.clock,
            functions: Arc::new(functions),
            options: (config.retry_delay, config.around),
        })
    }

    /// What the functions work with.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The table, for looking on: what it reads is not counted as the product's.
    pub fn observer(&self) -> &Store {
        &self.observer
    }

    /// The stand-ins for AWS.
    pub fn aws(&self) -> &LocalAws {
        &self.aws
    }

    /// The time it goes by.
    pub fn clock(&self) -> &Arc<StackClock> {
        &self.clock
    }

    /// The event sources of every function.
    pub fn sources(&self) -> Result<EventSources, StackError> {
        self.sources_with(None)
    }

    /// The same with another function for the queue of one kind of scanner.
    pub fn sources_with(&self, other: Option<&scanners::Started>) -> Result<EventSources, StackError> {
        let functions = &self.functions;
        let (retry_delay, around) = &self.options;
        let source = |queue: &str, concurrency: usize, handler: Handler| {
            let handler = match around {
                Some(around) => around(queue, handler),
                None => handler,
            };
            EventSource {
                max_concurrency: concurrency,
                timeout: FUNCTION_TIMEOUT,
                retry_delay: Some(*retry_delay),
                ..EventSource::new(queue, handler)
            }
        };
        // One message at a time for what may take long, so that a batch does not add up to a timeout.
        let single = |source: EventSource| EventSource { batch_size: 1, ..source };
        let mut sources: Vec<EventSource> = functions
            .scanners
            .iter()
            .map(|started| {
                let started = other.filter(|other| other.scanner == started.scanner).unwrap_or(started);
                let source = source(started.scanner.kind().queue, 2, started.handler());
                if started.scanner.pushes() { source } else { single(source) }
            })
            .collect();
        sources.extend([
            single(source("sync-intel", 2, handler!(functions, intel))),
            single(source("sync-exposure", 2, handler!(functions, exposure))),
            source("score", 2, handler!(functions, score)),
            source("notify", 1, handler!(functions, notify)),
            source("ticket", 1, handler!(functions, ticket)),
            single(source(SLA_QUEUE, 1, sla_handler(functions))),
        ]);
        Ok(EventSources::new(self.aws.queues().clone(), sources)?)
    }

    /// The schedules of the configuration.
    pub fn scheduler(&self) -> Result<Scheduler, StackError> {
        let every = |name: String, seconds: u32, queue: &str, body: String| ScheduleEntry {
            name,
            when: When::Every(Duration::from_secs(u64::from(seconds))),
            queue: queue.to_owned(),
            body,
        };
        let config = &self.services.config;
        let mut entries: Vec<ScheduleEntry> = config
            .pulled()
            .map(|connector| {
                let queue = QueueName::Sync(connector.scanner).as_str();
                every(
                    format!("sync-{}", connector.name),
                    connector.sync_interval.0,
                    queue,
                    start_message(&connector.name, Trigger::Scheduled, EXECUTION_ID),
                )
            })
            .collect();
        entries.push(every(
            "sync-intel".into(),
            config.feeds.interval.0,
            "sync-intel",
            INTEL_START.to_owned(),
        ));
        entries.push(every(
            "sync-exposure".into(),
            config.exposure.interval.0,
            "sync-exposure",
            EXPOSURE_START.to_owned(),
        ));
        entries.push(every("sla".into(), 300, SLA_QUEUE, "{}".to_owned()));
        Ok(Scheduler::new(self.aws.queues().clone(), entries)?)
    }

    /// Puts a message into a queue, as a schedule would.
    pub fn send(&self, queue: &str, body: &str) -> Result<(), StackError> {
        self.aws.queues().send(queue, body, Duration::ZERO)?;
        Ok(())
    }

    /// Tries a connector out. `None` where there is nobody to ask.
    pub async fn check(&self, connector: &domain::policy::Connector) -> Option<domain::Check> {
        let started = self.functions.scanners.iter().find(|started| started.scanner == connector.scanner)?;
        started.check(connector).await
    }

    /// Stops the stand-ins.
    pub async fn shutdown(self) {
        self.aws.shutdown().await;
    }
}

/// Starts all feeds.
pub const INTEL_START: &str = r#"{"start":"scheduled"}"#;
/// Looks at the network.
pub const EXPOSURE_START: &str = r#"{"start":"scheduled"}"#;

/// What starts a connector. `request` names the wish: the same one twice starts one run.
pub fn start_message(connector: &domain::ConnectorName, trigger: Trigger, request: &str) -> String {
    serde_json::to_string(&SyncMessage::start(connector.clone(), trigger, request)).unwrap_or_default()
}

/// The handler of one function.
macro_rules! handler {
    ($functions:expr, $function:ident) => {{
        let functions = $functions.clone();
        let handler: Handler =
            Arc::new(move |event: SqsEvent| -> BoxFuture<'static, Result<SqsBatchResponse, String>> {
                let functions = functions.clone();
                Box::pin(async move { Ok(functions.$function.handle(event).await) })
            });
        handler
    }};
}
use handler;

fn sla_handler(functions: &Arc<Functions>) -> Handler {
    let functions = functions.clone();
    Arc::new(move |_event| {
        let functions = functions.clone();
        Box::pin(async move {
            functions
                .sla
                .handle()
                .await
                .map(|_| SqsBatchResponse::default())
                .map_err(|error| error.to_string())
        })
    })
}

/// The table behind the stand-ins, for commands that only read it.
pub fn table_of(aws: &LocalAws, table: &str) -> Store {
    Store::new(settings(aws, "local", None).dynamodb, table)
}

/// Every queue with its dead letters.
fn queues() -> Vec<QueueConfig> {
    let names: Vec<&str> = QueueName::all().into_iter().map(QueueName::as_str).chain([SLA_QUEUE]).collect();
    names
        .into_iter()
        .flat_map(|name| {
            let dead = format!("{name}-dead");
            [
                QueueConfig::new(name)
                    .visibility_timeout(FUNCTION_TIMEOUT * 6)
                    .dead_letters(&dead, MAX_RECEIVES),
                QueueConfig::new(dead),
            ]
        })
        .collect()
}

fn settings(aws: &LocalAws, access_key: &str, connector: Option<SharedHttpClient>) -> Settings {
    let http = connector.unwrap_or_else(|| aws_smithy_http_client::Builder::new().build_http());
    let config = |endpoint: &str| {
        aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(crate::aws::REGION))
            .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
                access_key, "local", None, None, "local",
            )))
            .http_client(http.clone())
            .endpoint_url(endpoint)
            .build()
    };
    let other = config(aws.endpoint_url());
    let addresses: BTreeMap<QueueName, String> =
        QueueName::all().into_iter().map(|name| (name, aws.queue_url(name.as_str()))).collect();
    Settings {
        dynamodb: aws_sdk_dynamodb::Client::new(&config(aws.dynamo_endpoint_url())),
        aws: other,
        table: TABLE.to_owned(),
        queues: addresses,
        secret_prefix: SECRET_PREFIX.to_owned(),
    }
}
