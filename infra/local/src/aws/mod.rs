//! AWS on one machine: what stands in for DynamoDB, SQS, Lambda event sources, Secrets Manager and the Scheduler.
//!
//! Product code reaches AWS through the SDK alone; [`LocalAws`] gives the SDK two loopback endpoints to talk to.
//! One serves SQS and Secrets Manager, told apart by `X-Amz-Target`; the other serves DynamoDB. State lives in two
//! SQLite files of one data directory and survives a killed process; without a directory it lives in memory.

mod clock;
mod dynamo;
mod events;
mod http;
mod messages;
mod queues;
mod schedule;
mod secrets;
mod sqs;

#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod event_source_tests;
#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod test_support;

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use clock::{ManualClock, QueueClock, SystemClock};
pub use dynamo::LocalDynamo;
pub use events::{DrainStats, EventSource, EventSources, Handler, Idle, Running, Tally};
pub use queues::{Message, NewMessage, QueueConfig, QueueError, QueueStats, Queues, Received};
pub use schedule::{EXECUTION_ID, ScheduleEntry, ScheduleStatus, Scheduler, When};
pub use secrets::{NoSecrets, SecretSource};

/// The region the endpoints claim to be in; signatures are not checked, so a client may use any other.
pub const REGION: &str = "us-east-1";
/// The account the endpoints claim to belong to.
pub const ACCOUNT: &str = "000000000000";

/// How long a clean shutdown waits for requests that are being answered.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Why the one-machine AWS could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalAwsError {
    /// Another process has the data directory open.
    #[error("{} is in use by another vulnrelay process; stop that one or choose another --data directory", .0.display())]
    InUse(PathBuf),
    /// A file or directory could not be used.
    #[error("cannot {what} {}", .path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A port could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was tried.
        address: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// The queue file could not be opened or read.
    #[error("queue storage failed")]
    Queues(#[from] QueueError),
    /// The table file could not be opened.
    #[error("table storage failed: {0}")]
    Table(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Queues, event sources or schedules contradict each other.
    #[error("{0}")]
    Config(String),
}

/// What [`LocalAws::start`] needs to know.
pub struct LocalAwsConfig {
    /// Directory for the table and the queues; nothing is kept without it.
    pub data: Option<PathBuf>,
    /// Every queue there is, dead-letter queues included.
    pub queues: Vec<QueueConfig>,
    /// Where the values of secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// The time that queues and schedules go by.
    pub clock: Arc<dyn QueueClock>,
    /// Port for SQS and Secrets Manager; 0 takes any free one.
    pub port: u16,
    /// Port for DynamoDB; 0 takes any free one.
    pub dynamo_port: u16,
    /// When set, SQS and Secrets Manager answer only to this access key id. Loopback is open to every user of the
    /// machine, so a process that serves real secrets should choose a random one.
    pub access_key_id: Option<String>,
}

impl LocalAwsConfig {
    /// These queues in memory, on free ports, without secrets, by the system clock.
    #[must_use]
    pub fn new(queues: Vec<QueueConfig>) -> Self {
        Self {
            data: None,
            queues,
            secrets: Arc::new(NoSecrets),
            clock: Arc::new(SystemClock),
            port: 0,
            dynamo_port: 0,
            access_key_id: None,
        }
    }
}

/// The running endpoints. Dropping it stops them without waiting; nothing is lost by that.
pub struct LocalAws {
    queues: Arc<Queues>,
    dynamo: LocalDynamo,
    endpoint: String,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    // Held for as long as the files are ours; the system releases it however the process ends.
    _lock: Option<File>,
}

impl LocalAws {
    /// Opens the data directory and both endpoints, on 127.0.0.1 only.
    ///
    /// # Errors
    /// When another process holds the directory, a port is taken, or the queues contradict each other.
    pub async fn start(config: LocalAwsConfig) -> Result<Self, LocalAwsError> {
        let LocalAwsConfig { data, queues, secrets, clock, port, dynamo_port, access_key_id } = config;
        let lock = data.as_deref().map(lock_directory).transpose()?;
        let queue_file = data.as_deref().map(|dir| dir.join("queues.db"));
        let table_file = data.as_deref().map(|dir| dir.join("table.db"));

        let queues = Arc::new(Queues::open(queue_file.as_deref(), queues, clock)?);
        let dynamo = LocalDynamo::start(table_file.as_deref(), dynamo_port).await?;
        let (listener, address) = listen(port).await?;
        let endpoint = format!("http://{address}");

        let (stop, stopped) = watch::channel(false);
        let state = http::Endpoint {
            queues: Arc::clone(&queues),
            secrets,
            base_url: endpoint.clone(),
            access_key_id,
            stopped: stopped.clone(),
        };
        let server = tokio::spawn(http::serve(listener, state, stopped));
        Ok(Self { queues, dynamo, endpoint, stop, server, _lock: lock })
    }

    /// Endpoint URL for the SDK's SQS and Secrets Manager clients.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.endpoint
    }

    /// Endpoint URL for the SDK's DynamoDB client.
    #[must_use]
    pub fn dynamo_endpoint_url(&self) -> &str {
        self.dynamo.endpoint_url()
    }

    /// URL of a queue, as functions get it in their configuration.
    #[must_use]
    pub fn queue_url(&self, queue: &str) -> String {
        sqs::queue_url(&self.endpoint, queue)
    }

    /// The queues themselves, for event sources, schedules and status.
    #[must_use]
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// The table service.
    #[must_use]
    pub fn dynamo(&self) -> &LocalDynamo {
        &self.dynamo
    }

    /// Stops accepting, lets running requests finish, closes the files. Stop event sources before.
    pub async fn shutdown(self) {
        let Self { dynamo, stop, mut server, .. } = self;
        stop.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut server).await.is_err() {
            server.abort();
        }
        dynamo.shutdown().await;
    }
}

/// Resolves when the owner asks for a stop or is gone.
async fn stop_requested(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender was dropped: the owner went away without a shutdown.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), LocalAwsError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| LocalAwsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Creates the directory if need be and takes its lock file.
fn lock_directory(dir: &Path) -> Result<File, LocalAwsError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| LocalAwsError::File { what, path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LocalAwsError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}
