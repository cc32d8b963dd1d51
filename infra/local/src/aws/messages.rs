//! The queue file: its schema, and the SQL that moves one message.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::queues::{Message, QueueError};

/// `seq` keeps the order of sending; `receipt` is set from a receive until the message is settled; `origin` is the
/// queue that a dead letter comes from. Times are milliseconds since 1970.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        seq INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        receive_count INTEGER NOT NULL DEFAULT 0,
        first_received_at INTEGER,
        receipt TEXT,
        origin TEXT
    );
    CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible_at, seq);
    CREATE UNIQUE INDEX IF NOT EXISTS messages_by_receipt ON messages (receipt) WHERE receipt IS NOT NULL;
    CREATE TABLE IF NOT EXISTS schedules (name TEXT PRIMARY KEY, fired_at INTEGER NOT NULL);
    PRAGMA user_version = 1;
";
pub(super) const SCHEMA_VERSION: i64 = 1;

pub(super) fn connect(file: Option<&Path>, now: i64) -> Result<Connection, QueueError> {
    let connection = match file {
        Some(file) => Connection::open(file)?,
        None => Connection::open_in_memory()?,
    };
    connection.busy_timeout(Duration::from_secs(5))?;
    // With the write-ahead log, NORMAL loses nothing when the process is killed. A power cut may undo the last few
    // commits, here and in the table independently: a deleted message may come again, a sent one may be gone.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        return Err(QueueError::NewerFile(version));
    }
    connection.execute_batch(SCHEMA)?;
    let returned = connection.execute(
        "UPDATE messages SET receipt = NULL, receive_count = max(receive_count - 1, 0), visible_at = ?1
         WHERE receipt IS NOT NULL",
        [now],
    )?;
    if returned > 0 {
        tracing::info!(returned, "messages that were in flight are visible again");
    }
    Ok(connection)
}

/// A random UUID.
pub(super) fn random_id() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Milliseconds since 1970.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

pub(super) fn add(millis: i64, duration: Duration) -> i64 {
    millis.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// A message that may be received now.
pub(super) struct Due {
    pub seq: i64,
    id: String,
    pub body: String,
    sent_at: i64,
    pub receive_count: u32,
    first_received_at: Option<i64>,
    origin: Option<String>,
}

impl Due {
    /// Receives it.
    pub fn take(self, tx: &Transaction<'_>, now: i64, hidden_until: i64) -> rusqlite::Result<Message> {
        let receipt = random_id();
        let first_received_at = self.first_received_at.unwrap_or(now);
        let receive_count = self.receive_count + 1;
        tx.prepare_cached(
            "UPDATE messages SET receipt = ?1, visible_at = ?2, receive_count = ?3, first_received_at = ?4
             WHERE seq = ?5",
        )?
        .execute(params![receipt, hidden_until, receive_count, first_received_at, self.seq])?;
        Ok(Message {
            id: self.id,
            receipt,
            body: self.body,
            sent_at: timestamp(self.sent_at),
            first_received_at: timestamp(first_received_at),
            receive_count,
            origin: self.origin,
        })
    }
}

pub(super) fn next_due(tx: &Transaction<'_>, queue: &str, now: i64) -> rusqlite::Result<Option<Due>> {
    tx.prepare_cached(
        "SELECT seq, id, body, sent_at, receive_count, first_received_at, origin FROM messages
         WHERE queue = ?1 AND visible_at <= ?2 ORDER BY visible_at, seq LIMIT 1",
    )?
    .query_row(params![queue, now], |row| {
        Ok(Due {
            seq: row.get(0)?,
            id: row.get(1)?,
            body: row.get(2)?,
            sent_at: row.get(3)?,
            receive_count: row.get(4)?,
            first_received_at: row.get(5)?,
            origin: row.get(6)?,
        })
    })
    .optional()
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    queue: &str,
    body: &str,
    now: i64,
    delay: Duration,
) -> rusqlite::Result<String> {
    let id = random_id();
    tx.prepare_cached(
        "INSERT INTO messages (queue, id, body, sent_at, visible_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![queue, id, body, now, add(now, delay)])?;
    Ok(id)
}

pub(super) fn delete(tx: &Transaction<'_>, queue: &str, receipts: &[&str]) -> rusqlite::Result<usize> {
    let mut statement = tx.prepare_cached("DELETE FROM messages WHERE queue = ?1 AND receipt = ?2")?;
    receipts.iter().try_fold(0, |sum, receipt| Ok(sum + statement.execute(params![queue, receipt])?))
}

/// Moves a message to the dead-letter queue. As on AWS it keeps the time of its sending.
pub(super) fn bury(tx: &Transaction<'_>, seq: i64, dead_letters: &str, now: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE messages SET origin = queue, queue = ?1, receipt = NULL, visible_at = ?2 WHERE seq = ?3",
    )?
    .execute(params![dead_letters, now, seq])?;
    Ok(())
}
