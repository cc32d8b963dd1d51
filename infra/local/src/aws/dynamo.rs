//! DynamoDB on one machine: an embedded, SQLite-backed engine behind a loopback port.

use std::path::Path;

use dynoxide::Database;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{LocalAwsError, SHUTDOWN_GRACE, listen, stop_requested};

/// A running DynamoDB endpoint.
pub struct LocalDynamo {
    database: Database,
    endpoint: String,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl LocalDynamo {
    /// Serves the tables of `file`, or of memory, on a port of 127.0.0.1 (0 takes any free one).
    ///
    /// # Errors
    /// When the file cannot be opened or the port is taken.
    pub async fn start(file: Option<&Path>, port: u16) -> Result<Self, LocalAwsError> {
        let database = open(file)?;
        let (listener, address) = listen(port).await?;
        let (stop, stopped) = watch::channel(false);
        let serving =
            dynoxide::server::serve_with_shutdown(listener, database.clone(), stop_requested(stopped));
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the table endpoint stopped");
            }
        });
        Ok(Self { database, endpoint: format!("http://{address}"), stop, server })
    }

    /// Endpoint URL for the SDK's DynamoDB client.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.endpoint
    }

    /// Bytes the tables take, for status.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn size_bytes(&self) -> Result<u64, LocalAwsError> {
        self.database.db_size_bytes().map_err(table_error)
    }

    /// Deletes items whose time to live has passed by the machine's clock, as AWS does within days; returns how many.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sweep_expired(&self) -> Result<usize, LocalAwsError> {
        self.database.sweep_ttl().map_err(table_error)
    }

    /// Stops accepting, lets running requests finish, closes the file.
    pub async fn shutdown(self) {
        let Self { database, stop, mut server, .. } = self;
        stop.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut server).await.is_err() {
            server.abort();
        }
        drop(database);
    }
}

fn open(file: Option<&Path>) -> Result<Database, LocalAwsError> {
    let Some(file) = file else {
        return Database::memory().map_err(table_error);
    };
    let path = file.to_str().ok_or_else(|| {
        LocalAwsError::Config(format!("the data directory must be valid UTF-8: {}", file.display()))
    })?;
    let database = Database::new(path).map_err(table_error)?;
    // The engine syncs every write to the disk, which costs two thirds of the speed. Leaving its bulk mode sets
    // `synchronous=NORMAL`, for which it has no switch of its own. With the write-ahead log that loses nothing when
    // the process is killed: a committed write is in the system's page cache. A power cut may take the last few
    // commits, never the file's consistency.
    database.enable_bulk_loading().map_err(table_error)?;
    database.disable_bulk_loading().map_err(table_error)?;
    Ok(database)
}

fn table_error(error: impl std::error::Error + Send + Sync + 'static) -> LocalAwsError {
    LocalAwsError::Table(Box::new(error))
}
