//! Export jobs: which are running, how far they are, what their chunks hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{assets, compliance, findings};
use crate::estate::Scanner;
use crate::faults::Fault;
use crate::{World, dice};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// Findings.
    Vulns,
    /// Assets.
    Assets,
    /// Results of checks.
    Compliance,
}

impl Export {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "vulns" => Some(Self::Vulns),
            "assets" => Some(Self::Assets),
            "compliance" => Some(Self::Compliance),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Vulns => "vulns",
            Self::Assets => "assets",
            Self::Compliance => "compliance",
        }
    }
}

/// Why no export was started.
pub enum Refusal {
    Invalid(String),
    Duplicate(String),
    TooMany,
}

/// Why there is no chunk.
pub enum NoChunk {
    Unknown(&'static str),
    NotReady,
}

/// What one chunk holds: hosts of the estate, seen at a moment through filters.
#[derive(Clone)]
pub struct Slice {
    pub hosts: Vec<u32>,
    pub at: Timestamp,
    pub filters: Arc<Filters>,
    pub form: Form,
}

/// How assets are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    /// With the fields of version 2.
    pub second: bool,
    /// With open ports.
    pub open_ports: bool,
}

/// Filters of any kind.
pub enum Filters {
    Vulns(findings::Filters),
    Assets(assets::Filters),
    Compliance(compliance::Filters),
}

struct Job {
    uuid: String,
    kind: Export,
    fingerprint: String,
    filters: Arc<Filters>,
    echo: Value,
    hosts: Arc<Vec<u32>>,
    per_chunk: usize,
    created: Timestamp,
    polls: u32,
    cancelled: bool,
    broken: bool,
    form: Form,
}

#[derive(Default)]
pub struct Jobs {
    inner: Mutex<(u64, Vec<Job>)>,
}

/// Polls after which an export is finished.
const POLLS: u32 = 3;
const ACTIVE: usize = 10;

impl Job {
    fn total(&self) -> usize {
        self.hosts.len().div_ceil(self.per_chunk)
    }

    fn finished(&self, now: Timestamp) -> bool {
        self.polls >= POLLS || self.broken || age(self.created, now) > SignedDuration::from_hours(1)
    }

    fn running(&self, now: Timestamp) -> bool {
        !self.cancelled && !self.finished(now)
    }

    fn expired(&self, now: Timestamp) -> bool {
        age(self.created, now) > SignedDuration::from_hours(24)
    }

    fn status(&self, now: Timestamp) -> &'static str {
        match () {
            () if self.broken => "ERROR",
            () if self.cancelled => "CANCELLED",
            () if self.finished(now) => "FINISHED",
            () if self.polls <= 1 => "QUEUED",
            () => "PROCESSING",
        }
    }

    /// Chunk numbers in the order in which they become available, those that fail apart.
    fn order(&self, world: &World) -> (Vec<usize>, Vec<usize>) {
        let mut all: Vec<usize> = (1..=self.total()).collect();
        all.sort_by_key(|chunk| dice::hash(world.options.seed, &[&self.uuid, &chunk.to_string()]));
        let failed = Fault::Named("chunk-failed".to_owned());
        all.into_iter().partition(|chunk| {
            let key = format!("{}/{chunk}", self.kind.name());
            world.faults.peek("tenable", "chunk", &key) != Some(failed.clone())
        })
    }

    fn available(&self, world: &World, now: Timestamp) -> Vec<usize> {
        let (mut good, _) = self.order(world);
        let half = self.total() / 2;
        match self.status(now) {
            "QUEUED" => good.clear(),
            "PROCESSING" | "CANCELLED" => good.truncate(half),
            "ERROR" => good.truncate(half.max(1)),
            _ => {}
        }
        good
    }

    fn report(&self, world: &World) -> Value {
        let now = world.clock.now();
        let status = self.status(now);
        let available = self.available(world, now);
        let ended = !matches!(status, "QUEUED" | "PROCESSING");
        let failed = if status == "FINISHED" { self.order(world).1 } else { Vec::new() };
        let cancelled: Vec<usize> = if matches!(status, "ERROR" | "CANCELLED") {
            (1..=self.total()).filter(|chunk| !available.contains(chunk)).collect()
        } else {
            Vec::new()
        };
        if self.kind == Export::Assets {
            return json!({
                "status": status,
                "chunks_available": available,
                "chunks_failed": failed,
                "chunks_cancelled": cancelled,
            });
        }
        let mut report = json!({
            "uuid": self.uuid,
            "status": status,
            "chunks_available": available,
            "chunks_failed": failed,
            "chunks_cancelled": cancelled,
            "total_chunks": self.total(),
            "chunks_available_count": available.len(),
            "empty_chunks_count": 0,
            "finished_chunks": if ended { available.len() + failed.len() } else { available.len() },
            "filters": self.echo,
            "num_assets_per_chunk": self.per_chunk,
            "created": self.created.as_millisecond(),
        });
        if status == "ERROR" {
            report["reason"] = json!("internal error while the export was written");
        }
        report
    }
}

impl Jobs {
    /// Starts an export.
    pub fn start(
        &self,
        world: &World,
        kind: Export,
        second: bool,
        request: &Map<String, Value>,
    ) -> Result<String, Refusal> {
        let now = world.clock.now();
        let empty = Map::new();
        let wanted = match request.get("filters") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(filters)) => filters,
            Some(_) => return Err(Refusal::Invalid("filters is not an object".into())),
        };
        let per_chunk = per_chunk(kind, request).map_err(Refusal::Invalid)?;
        let filters = match kind {
            Export::Vulns => findings::Filters::parse(wanted, now).map(Filters::Vulns),
            Export::Assets => assets::Filters::parse(wanted, second).map(Filters::Assets),
            Export::Compliance => compliance::Filters::parse(wanted).map(Filters::Compliance),
        }
        .map_err(Refusal::Invalid)?;
        let fingerprint = format!("{kind:?} {second} {per_chunk} {}", Value::Object(wanted.clone()));

        let mut inner = self.lock();
        let (count, jobs) = &mut *inner;
        jobs.retain(|job| age(job.created, now) < SignedDuration::from_hours(72));
        let running = |job: &&Job| job.kind == kind && job.running(now);
        if let Some(job) = jobs.iter().filter(running).find(|job| job.fingerprint == fingerprint) {
            return Err(Refusal::Duplicate(job.uuid.clone()));
        }
        if jobs.iter().filter(running).count() >= ACTIVE {
            return Err(Refusal::TooMany);
        }
        *count += 1;
        let uuid = dice::uuid(world.options.seed, &[8, *count]);
        let candidate = |known: &crate::estate::Known| match &filters {
            Filters::Vulns(filters) => filters.host_matters(known),
            Filters::Assets(filters) => filters.keep(known),
            Filters::Compliance(filters) => filters.host_matters(known),
        };
        let hosts = world
            .estate
            .view(Scanner::Tenable, now)
            .filter(candidate)
            .map(|known| known.host.index)
            .collect();
        jobs.push(Job {
            uuid: uuid.clone(),
            kind,
            fingerprint,
            echo: match &filters {
                Filters::Vulns(filters) => filters.echo(),
                Filters::Assets(_) | Filters::Compliance(_) => Value::Object(wanted.clone()),
            },
            filters: Arc::new(filters),
            hosts: Arc::new(hosts),
            per_chunk,
            created: now,
            polls: 0,
            cancelled: false,
            broken: false,
            form: Form {
                second,
                open_ports: request.get("include_open_ports").and_then(Value::as_bool).unwrap_or(false),
            },
        });
        Ok(uuid)
    }

    /// Makes one step of progress and says how far the export is.
    pub fn poll(&self, world: &World, kind: Export, uuid: &str, broken: bool) -> Option<Value> {
        let mut inner = self.lock();
        let job = inner.1.iter_mut().find(|job| job.kind == kind && job.uuid == uuid)?;
        if job.expired(world.clock.now()) {
            return None;
        }
        job.polls += 1;
        job.broken |= broken && job.polls >= POLLS;
        Some(job.report(world))
    }

    /// Cancels an export that is running; one that has ended stays as it is.
    pub fn cancel(&self, world: &World, kind: Export, uuid: &str) -> bool {
        let mut inner = self.lock();
        let Some(job) = inner.1.iter_mut().find(|job| job.kind == kind && job.uuid == uuid) else {
            return false;
        };
        job.cancelled |= job.running(world.clock.now());
        true
    }

    /// The recent exports, newest first.
    pub fn list(&self, world: &World, kind: Export) -> Vec<Value> {
        let inner = self.lock();
        let report = |job: &Job| {
            json!({
                "uuid": job.uuid,
                "status": job.status(world.clock.now()),
                "total_chunks": job.total(),
                "chunks_available_count": job.available(world, world.clock.now()).len(),
                "empty_chunks_count": 0,
                "finished_chunks": job.available(world, world.clock.now()).len(),
                // An object for findings, text for assets.
                "filters": if kind != Export::Assets { job.echo.clone() } else { json!(job.echo.to_string()) },
                "num_assets_per_chunk": job.per_chunk,
                "created": job.created.as_millisecond(),
            })
        };
        inner.1.iter().rev().filter(|job| job.kind == kind).take(1000).map(report).collect()
    }

    /// What a chunk holds.
    pub fn chunk(&self, world: &World, kind: Export, uuid: &str, chunk: &str) -> Result<Slice, NoChunk> {
        let inner = self.lock();
        let now = world.clock.now();
        let job = inner
            .1
            .iter()
            .find(|job| job.kind == kind && job.uuid == uuid && !job.expired(now))
            .ok_or(NoChunk::Unknown("Export expired or not found"))?;
        let number = chunk.parse::<usize>().ok().filter(|number| (1..=job.total()).contains(number));
        let number = number.ok_or(NoChunk::Unknown("Chunk does not exist"))?;
        if !job.available(world, now).contains(&number) {
            return Err(if job.running(now) {
                NoChunk::NotReady
            } else {
                NoChunk::Unknown("Chunk does not exist")
            });
        }
        let hosts = job.hosts.chunks(job.per_chunk).nth(number - 1).unwrap_or_default().to_vec();
        Ok(Slice { hosts, at: job.created, filters: job.filters.clone(), form: job.form })
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Job>)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Assets per chunk. Findings: 50 unless told, forced into 50 to 5000. Assets: 100 to 10,000, all else is an error.
fn per_chunk(kind: Export, request: &Map<String, Value>) -> Result<usize, String> {
    let number = |name: &str| match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| format!("{name} is not a whole number")),
    };
    match kind {
        Export::Vulns => Ok(number("num_assets")?.unwrap_or(50).clamp(50, 5000) as usize),
        // Chunks are cut by hosts; each of them has a result for every control.
        Export::Compliance => {
            let findings = number("num_findings")?.unwrap_or(5_000).clamp(50, 10_000) as usize;
            Ok((findings / crate::estate::compliance::CONTROLS.len()).max(1))
        }
        Export::Assets => match number("chunk_size")? {
            Some(size @ 100..=10_000) => Ok(size as usize),
            _ => Err("chunk_size must be from 100 to 10000".into()),
        },
    }
}

fn age(created: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(created)
}

/// A time filter; 0 and absent are none.
pub fn time(filters: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    match filters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(0) => Ok(None),
            Some(seconds @ 1_000_000_000..=9_999_999_999) => Ok(Some(seconds)),
            _ => Err(format!("{name} is not a Unix time of 10 digits")),
        },
    }
}

/// A list filter of text or numbers.
pub fn list(filters: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match filters.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| text(item).ok_or_else(|| format!("{name} holds a wrong value"))).collect()
        }
        Some(value) => text(value).map(|one| vec![one]).ok_or_else(|| format!("{name} is not a list")),
    }
}

/// Tag filters, `tag.CATEGORY`: every category must match one of its values.
pub fn tags(filters: &Map<String, Value>) -> Result<Vec<(String, Vec<String>)>, String> {
    filters
        .keys()
        .filter_map(|name| Some((name, name.strip_prefix("tag.")?)))
        .map(|(name, category)| Ok((category.to_lowercase(), list(filters, name)?)))
        .collect()
}
