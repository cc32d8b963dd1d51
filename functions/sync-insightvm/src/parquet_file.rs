//! A Parquet file at another host, read in parts: the Parquet reader runs on a thread of its own and asks for bytes, we
//! fetch them and take its records. Neither the file nor a row group of it is ever in memory as a whole.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use sync::http::RemoteFile;
use sync::{BadRecord, SyncError};
use tokio::sync::mpsc;

use crate::normalize::bulk::{FileError, ParquetFile, Record, Table};

/// Bytes asked for at once, at least. The reader goes through some twenty columns side by side, each somewhere else.
const BLOCK: u64 = 512 * 1024;
/// Blocks that are kept, and how many bytes of them.
const KEPT_BYTES: usize = 24 << 20;
/// A page of a column is some megabytes at most; what is longer is not worth the memory.
const PART_LIMIT: u64 = 32 << 20;
/// Records handed over at once.
const BATCH: usize = 64;

/// What the reader's thread wants.
enum Event {
    /// Bytes of the file.
    Ask { from: u64, length: u64, answer: std_mpsc::SyncSender<Bytes> },
    /// To hand over records.
    Records(Vec<Result<Record, BadRecord>>),
    /// To say that it has opened the file.
    Opened(Opened),
}

/// What the footer of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Number of row groups.
    pub groups: usize,
    /// Number of rows.
    pub rows: u64,
}

/// Takes records as they come.
#[async_trait]
pub trait Take: Send {
    /// Takes one; an error ends the reading.
    async fn take(&mut self, record: Result<Record, BadRecord>) -> Result<(), SyncError>;
}

struct Nobody;

#[async_trait]
impl Take for Nobody {
    async fn take(&mut self, _: Result<Record, BadRecord>) -> Result<(), SyncError> {
        Ok(())
    }
}

/// Opens a file.
pub async fn open(file: &RemoteFile, table: Table) -> Result<Opened, SyncError> {
    let mut opened = Opened { groups: 0, rows: 0 };
    drive(file, table, None, &mut opened, &mut Nobody).await?;
    Ok(opened)
}

/// Reads one row group and answers how many rows it has, and what the file has.
pub async fn read(
    file: &RemoteFile,
    table: Table,
    group: usize,
    take: &mut dyn Take,
) -> Result<(u64, Opened), SyncError> {
    let mut opened = Opened { groups: 0, rows: 0 };
    let rows = drive(file, table, Some(group), &mut opened, take).await?;
    Ok((rows, opened))
}

async fn drive(
    file: &RemoteFile,
    table: Table,
    group: Option<usize>,
    opened: &mut Opened,
    take: &mut dyn Take,
) -> Result<u64, SyncError> {
    let (tail, length) = file.read_end(BLOCK).await?;
    let (events, mut wanted) = mpsc::channel(2);
    let remote = Remote {
        events: events.clone(),
        length,
        kept: Arc::new(Mutex::new(VecDeque::from([(length - tail.len() as u64, tail)]))),
    };
    let reader = tokio::task::spawn_blocking(move || work(remote, table, group, &events));
    let mut failed = None;
    while let Some(event) = wanted.recv().await {
        let outcome = match event {
            Event::Ask { from, length, answer } => match file.read(from, length).await {
                // It may have given up meanwhile.
                Ok((bytes, _)) => answer.send(bytes).or(Ok(())),
                Err(error) => Err(error),
            },
            Event::Records(records) => {
                let mut outcome = Ok(());
                for record in records {
                    outcome = take.take(record).await;
                    if outcome.is_err() {
                        break;
                    }
                }
                outcome
            }
            Event::Opened(footer) => {
                *opened = footer;
                Ok(())
            }
        };
        if let Err(error) = outcome {
            failed = Some(error);
            break;
        }
    }
    // Whoever waits for us on the other side gives up now.
    drop(wanted);
    let ended = reader.await;
    match (failed, ended) {
        (Some(error), _) => Err(error),
        (None, Ok(Ok(rows))) => Ok(rows),
        (None, Ok(Err(error))) => Err(file.malformed(&error.to_string())),
        (None, Err(_)) => Err(file.malformed("its reader died")),
    }
}

fn work(
    remote: Remote,
    table: Table,
    group: Option<usize>,
    events: &mpsc::Sender<Event>,
) -> Result<u64, FileError> {
    let file = ParquetFile::open(remote, table)?;
    let opened = Opened { groups: file.groups(), rows: file.rows() };
    let mut listens = events.blocking_send(Event::Opened(opened)).is_ok();
    let Some(group) = group else { return Ok(0) };
    // A file without rows has no row groups.
    if opened.groups == 0 {
        return Ok(0);
    }
    if group >= opened.groups {
        return Err(FileError::Broken(format!("it has no row group {group} any more")));
    }
    let mut batch = Vec::with_capacity(BATCH);
    let rows = file.read(group, &mut |record| {
        batch.push(record);
        if batch.len() >= BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            listens = listens && events.blocking_send(Event::Records(full)).is_ok();
        }
        listens
    })?;
    if listens && !batch.is_empty() {
        let _ = events.blocking_send(Event::Records(batch));
    }
    Ok(rows)
}

/// The file as the Parquet reader sees it.
#[derive(Clone)]
struct Remote {
    events: mpsc::Sender<Event>,
    length: u64,
    /// Parts that were fetched, by where they begin; the latest last.
    kept: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

impl Remote {
    /// What there is from `from` on: at least `least` bytes, or all until the end.
    fn part(&self, from: u64, least: u64) -> ParquetResult<Bytes> {
        let least = least.min(self.length.saturating_sub(from));
        if least > PART_LIMIT {
            return Err(ParquetError::General(format!("a part of {least} bytes is too long")));
        }
        if let Some(bytes) = self.known(from, least) {
            return Ok(bytes);
        }
        let length = least.max(BLOCK).min(self.length.saturating_sub(from));
        let (answer, answered) = std_mpsc::sync_channel(1);
        let gone = |_| ParquetError::General("nobody fetches it any more".into());
        self.events.blocking_send(Event::Ask { from, length, answer }).map_err(|e| gone(e.to_string()))?;
        let bytes = answered.recv().map_err(|e| gone(e.to_string()))?;
        if (bytes.len() as u64) < least {
            return Err(ParquetError::EOF(format!("{least} bytes wanted at {from}, {} there", bytes.len())));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((from, bytes.clone()));
        while kept.iter().map(|(_, part)| part.len()).sum::<usize>() > KEPT_BYTES && kept.len() > 1 {
            kept.pop_front();
        }
        Ok(bytes)
    }

    fn known(&self, from: u64, least: u64) -> Option<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept
            .iter()
            .position(|(begin, part)| *begin <= from && from + least.max(1) <= *begin + part.len() as u64)?;
        let (begin, part) = kept.remove(at)?;
        let bytes = part.slice(usize::try_from(from - begin).ok()?..);
        kept.push_back((begin, part));
        Some(bytes)
    }
}

impl Length for Remote {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Remote {
    type T = RemoteRead;

    fn get_read(&self, start: u64) -> ParquetResult<RemoteRead> {
        Ok(RemoteRead { remote: self.clone(), at: start, part: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.part(start, length as u64)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!(
                "{length} bytes wanted at {start}, {} there",
                bytes.len()
            )));
        }
        Ok(bytes.slice(..length))
    }
}

/// The file from some place on.
struct RemoteRead {
    remote: Remote,
    at: u64,
    part: Bytes,
}

impl Read for RemoteRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.part.is_empty() && self.at < self.remote.length {
            self.part = self.remote.part(self.at, 1).map_err(std::io::Error::other)?;
        }
        let length = buffer.len().min(self.part.len());
        self.part.copy_to_slice(&mut buffer[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
