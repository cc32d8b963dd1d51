//! The Bulk Export: GraphQL questions, and files that are written when they are asked for.
//!
//! The data of an export are those of the beginning of its day. It makes progress when it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use axum::body::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::assets::{present, proof, tag_list};
use super::definitions;
use super::table::{Cell, Table};
use crate::estate::{Known, Scanner, Sighting, iso};
use crate::{World, dice};

const DAY: i64 = 86_400;
/// Seconds that an address is good for.
const VALID: i64 = 900;
/// Hosts whose rows are in one file.
const HOSTS_PER_FILE: usize = 60;
/// Hosts whose rows are in one row group.
const HOSTS_PER_GROUP: usize = 20;
/// Longest span of a remediation export, in days.
const LONGEST: i32 = 31;

/// A question.
pub enum Ask {
    Vulnerabilities,
    Remediation { from: Date, to: Date },
    Status(String),
}

impl Ask {
    /// Reads a question.
    pub fn parse(question: &Value) -> Result<Self, String> {
        let query = question.get("query").and_then(Value::as_str).unwrap_or_default();
        let variable = |pointer: &str| {
            let value = question.pointer(&format!("/variables/{pointer}"));
            value
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("variable {pointer} is missing"))
        };
        if query.contains("createVulnerabilityRemediationExport") {
            let day = |name: &str| {
                let text = variable(&format!("input/{name}"))?;
                text.parse::<Date>().map_err(|_| format!("{name} is not a date: {text}"))
            };
            let (from, to) = (day("startDate")?, day("endDate")?);
            let days = (to - from).get_days();
            if days <= 0 || days > LONGEST {
                return Err(format!("the date range must be 1 to {LONGEST} days, it is {days}"));
            }
            return Ok(Self::Remediation { from, to });
        }
        if query.contains("createVulnerabilityExport") {
            return Ok(Self::Vulnerabilities);
        }
        if query.contains("export(") {
            return Ok(Self::Status(variable("id")?));
        }
        Err("the question is not known".into())
    }
}

struct Job {
    dataset: &'static str,
    span: Option<(i64, i64)>,
    at: i64,
    begun: i64,
    polls: usize,
}

/// The exports that were begun.
#[derive(Default)]
pub struct Exports {
    jobs: Mutex<BTreeMap<String, Job>>,
    files: Mutex<HashMap<String, Bytes>>,
}

/// A GraphQL error. HTTP says 200 to it.
pub fn error(code: &str, message: &str) -> Value {
    json!({ "data": null, "errors": [{ "message": message, "extensions": { "code": code } }] })
}

impl Exports {
    /// Endpoint and key for faults.
    pub fn place(&self, ask: &Ask) -> (&'static str, &'static str) {
        match ask {
            Ask::Vulnerabilities => ("export", "vulnerabilities"),
            Ask::Remediation { .. } => ("export", "remediation"),
            Ask::Status(id) => {
                ("status", if id.starts_with("cmVt") { "remediation" } else { "vulnerabilities" })
            }
        }
    }

    /// Answers a question.
    pub fn answer(&self, world: &World, ask: &Ask, broken: bool) -> Value {
        let now = world.clock.now().as_second();
        match ask {
            Ask::Vulnerabilities => {
                let id = self.begin(world, "vulnerability", None, now);
                id.map_or_else(
                    |error| error,
                    |id| json!({ "data": { "createVulnerabilityExport": { "id": id } } }),
                )
            }
            Ask::Remediation { from, to } => {
                let second = |day: &Date| {
                    day.to_zoned(jiff::tz::TimeZone::UTC)
                        .map(|z| z.timestamp().as_second())
                        .unwrap_or_default()
                };
                let id =
                    self.begin(world, "vulnerability_remediation", Some((second(from), second(to))), now);
                let answer = |id| json!({ "data": { "createVulnerabilityRemediationExport": { "id": id } } });
                id.map_or_else(|error| error, answer)
            }
            Ask::Status(id) => self.status(world, id, broken, now),
        }
    }

    fn begin(
        &self,
        world: &World,
        dataset: &'static str,
        span: Option<(i64, i64)>,
        now: i64,
    ) -> Result<String, Value> {
        let mut jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let running =
            jobs.iter().find(|(_, job)| job.dataset == dataset && job.span == span && job.polls < 2);
        if let Some((id, _)) = running {
            let message = format!("An export is already in-progress for this organization, exportId: {id}");
            return Err(error("FAILED_PRECONDITION", &message));
        }
        // The ids of remediation exports begin alike, as base64 of a name would.
        let name = if span.is_some() { "cmVt" } else { "dnVs" };
        let number = jobs.len() as u64;
        let id = format!("{name}{:016x}==", dice::hash_numbers(world.options.seed, &[42, number]));
        // The day begins where the estate's does.
        let at = now - (now - world.options.start.as_second()).rem_euclid(DAY);
        jobs.insert(id.clone(), Job { dataset, span, at, begun: now, polls: 0 });
        Ok(id)
    }

    fn status(&self, world: &World, id: &str, broken: bool, now: i64) -> Value {
        let mut jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(job) = jobs.get_mut(id) else { return error("NOT_FOUND", "Export not found") };
        job.polls += 1;
        let ready = job.polls > 2 || now - job.begun > 300;
        let (status, result) = match (broken, ready, job.polls) {
            (true, ..) => ("FAILED", json!([])),
            (_, true, _) => ("COMPLETE", json!(result(world, id, job, now))),
            (_, _, 1) => ("PENDING", Value::Null),
            _ => ("PROCESSING", Value::Null),
        };
        let export = json!({
            "id": id, "status": status, "dataset": job.dataset, "timestamp": iso(job.begun), "result": result,
        });
        json!({ "data": { "export": export } })
    }

    /// A file of an export.
    pub fn file(&self, world: &World, id: &str, name: &str) -> Option<Bytes> {
        let place = format!("{id}/{name}");
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = files.get(&place) {
            return Some(known.clone());
        }
        let jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let job = jobs.get(id)?;
        let number: usize = name.split(['-', '.']).nth(1)?.parse().ok()?;
        let hosts = hosts(world, job);
        let part = hosts.get(number * HOSTS_PER_FILE..).filter(|part| !part.is_empty() || number == 0)?;
        let part = &part[..part.len().min(HOSTS_PER_FILE)];
        let table = match name.split('-').next()? {
            "asset" => Table::new(ASSET),
            "vulnerability" => Table::new(VULNERABILITY),
            "remediation" => Table::new(REMEDIATION),
            _ => return None,
        };
        let groups: Vec<Vec<Vec<Cell>>> = part
            .chunks(HOSTS_PER_GROUP)
            .map(|hosts| hosts.iter().flat_map(|known| rows(world, job, name, known)).collect())
            .filter(|rows: &Vec<Vec<Cell>>| !rows.is_empty())
            .collect();
        let file = Bytes::from(table.write(&groups));
        files.insert(place, file.clone());
        Some(file)
    }
}

fn hosts(world: &World, job: &Job) -> Vec<Known> {
    let at = Timestamp::from_second(job.at).unwrap_or_default();
    world.estate.view(Scanner::Insightvm, at).filter(|known| known.removed.is_none()).collect()
}

fn result(world: &World, id: &str, job: &Job, now: i64) -> Vec<Value> {
    let files = hosts(world, job).len().div_ceil(HOSTS_PER_FILE).max(1);
    let urls = |kind: &str| -> Vec<String> {
        (0..files)
            .map(|number| {
                let name = format!("{kind}-{number}.snappy.parquet");
                let path = id.replace('=', "%3D");
                let signature = signature(world, id, &name, now);
                let base = world.base_url();
                format!("{base}/insightvm/files/{path}/{name}?X-Amz-Date={now}&X-Amz-Expires={VALID}&X-Amz-Signature={signature}")
            })
            .collect()
    };
    match job.span {
        None => vec![
            json!({ "prefix": "asset", "urls": urls("asset") }),
            json!({ "prefix": "asset_vulnerability", "urls": urls("vulnerability") }),
        ],
        Some(_) => vec![json!({ "prefix": "vulnerability_remediation/ivm", "urls": urls("remediation") })],
    }
}

fn signature(world: &World, id: &str, name: &str, date: i64) -> String {
    format!("{:016x}", dice::hash(world.options.seed, &[id, name, &date.to_string()]))
}

/// Whether an address was signed by us and is not too old.
pub fn is_valid(world: &World, id: &str, name: &str, params: &BTreeMap<String, String>) -> bool {
    let date = params.get("X-Amz-Date").and_then(|date| date.parse::<i64>().ok()).unwrap_or_default();
    let fresh = world.clock.now().as_second() - date <= VALID;
    fresh && params.get("X-Amz-Signature") == Some(&signature(world, id, name, date))
}

const ASSET: &str = "
    optional binary orgId (STRING); optional binary assetId (STRING); optional binary agentId (STRING);
    optional binary awsInstanceId (STRING); optional binary azureResourceId (STRING); optional binary gcpObjectId (STRING);
    optional binary mac (STRING); optional binary ip (STRING); optional binary hostName (STRING);
    optional binary osDescription (STRING); optional double riskScore;
    optional group sites (LIST) { repeated group list { optional binary element (STRING); } }
    optional group tags (LIST) { repeated group list { optional group element {
        optional binary name (STRING); optional binary tagType (STRING); } } }";

const VULNERABILITY: &str = "
    optional binary orgId (STRING); optional binary assetId (STRING); optional binary vulnId (STRING);
    optional binary checkId (STRING); optional int32 port; optional binary protocol (STRING); optional binary nic (STRING);
    optional binary proof (STRING); optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true));
    optional int64 reintroducedTimestamp (TIMESTAMP(MICROS,true));
    optional group cves (LIST) { repeated group list { optional binary element (STRING); } }
    optional double cvssScore; optional double cvssV3Score; optional binary description (STRING);
    optional boolean hasExploits; optional double riskScore; optional int32 riskScoreV2_0;
    optional binary severity (STRING); optional int32 severityScore; optional binary title (STRING);
    optional int64 dateModified (TIMESTAMP(MICROS,true)); optional int64 epssscore (DECIMAL(10,9));
    optional binary bestSolutionType (STRING); optional binary bestSolutionSummary (STRING);
    optional binary bestSolutionFix (STRING);";

const REMEDIATION: &str = "
    optional binary orgId (STRING); optional binary assetId (STRING);
    optional group cves (LIST) { repeated group list { optional binary element (STRING); } }
    optional binary vulnId (STRING); optional binary proof (STRING);
    optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true));
    optional int64 reintroducedTimestamp (TIMESTAMP(MICROS,true));
    optional int64 lastDetected (TIMESTAMP(MICROS,true)); optional int64 lastRemoved (TIMESTAMP(MICROS,true));
    optional int64 remediationCount;";

/// The id of an asset in exports, which is another one than that of the integration API.
pub fn bulk_id(world: &World, index: u32) -> String {
    dice::uuid(world.options.seed, &[43, u64::from(index)])
}

fn rows(world: &World, job: &Job, name: &str, known: &Known) -> Vec<Vec<Cell>> {
    match (name.starts_with("asset"), job.span) {
        (true, _) => vec![asset(world, known)],
        (false, None) => {
            present(known).iter().map(|sighting| vulnerability(world, known, sighting)).collect()
        }
        (false, Some((from, to))) => known
            .sightings()
            .iter()
            .filter(|s| !s.weakness.is_information())
            .filter(|s| s.last_fixed.is_some_and(|fixed| (from..to).contains(&fixed)))
            .map(|sighting| remediation(world, known, sighting))
            .collect(),
    }
}

fn org(world: &World) -> Cell {
    Cell::text(&dice::uuid(world.options.seed, &[40]))
}

fn asset(world: &World, known: &Known) -> Vec<Cell> {
    let host = &known.host;
    let mac = host.mac.as_ref().map(|mac| mac.replace(':', "").to_uppercase());
    let agent = host.agent.as_ref().map(|agent| agent.replace('-', ""));
    let risk: f64 = present(known).iter().map(|s| definitions::risk(s.weakness)).sum();
    vec![
        org(world),
        Cell::text(&bulk_id(world, host.index)),
        Cell::Text(agent),
        Cell::Text(host.cloud.as_ref().map(|cloud| cloud.instance.clone())),
        Cell::text(""),
        Cell::Text(None),
        Cell::Text(mac),
        Cell::text(&host.ip),
        Cell::text(host.fqdn.as_ref().unwrap_or(&host.hostname)),
        Cell::text(host.os),
        Cell::Double(Some(risk)),
        Cell::List(vec!["Head office".into()]),
        Cell::Tags(tag_list(known).into_iter().map(|(name, kind)| (name, kind.to_owned())).collect()),
    ]
}

fn vulnerability(world: &World, known: &Known, sighting: &Sighting) -> Vec<Cell> {
    let Sighting { weakness, .. } = sighting;
    let (word, score) = definitions::severity(weakness);
    let word = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    let real = weakness.cvss > 0.0;
    let port = (sighting.port > 0).then(|| i32::from(sighting.port));
    vec![
        org(world),
        Cell::text(&bulk_id(world, known.host.index)),
        Cell::text(&definitions::id(weakness)),
        Cell::text(&definitions::id(weakness)),
        Cell::Int(port),
        Cell::Text(port.map(|_| weakness.product.info().protocol.to_owned())),
        Cell::Text(None),
        Cell::text(&proof(sighting)),
        Cell::time(sighting.first_found),
        Cell::Time(sighting.resurfaced.map(|time| time * 1_000_000)),
        Cell::List(weakness.cves.iter().map(ToString::to_string).collect()),
        Cell::Double(real.then_some(weakness.cvss)),
        Cell::Double(real.then_some(weakness.cvss)),
        Cell::text(&definitions::description(weakness)),
        Cell::Bool(Some(weakness.exploited)),
        Cell::Double(Some(definitions::risk(weakness))),
        Cell::Int(Some(definitions::active_risk(weakness))),
        Cell::text(&word),
        Cell::Int(i32::try_from(score).ok()),
        Cell::text(&weakness.title()),
        Cell::Time(definitions::modified(weakness).parse::<Timestamp>().ok().map(Timestamp::as_microsecond)),
        Cell::Time(Some((weakness.epss * 1e9) as i64)),
        Cell::text(if weakness.cves.is_empty() { "workaround" } else { "patch" }),
        Cell::text(&format!("Upgrade {}", weakness.product.info().name)),
        Cell::text(&definitions::fix(weakness)),
    ]
}

fn remediation(world: &World, known: &Known, sighting: &Sighting) -> Vec<Cell> {
    let Sighting { weakness, .. } = sighting;
    vec![
        org(world),
        Cell::text(&bulk_id(world, known.host.index)),
        Cell::List(weakness.cves.iter().map(ToString::to_string).collect()),
        Cell::text(&definitions::id(weakness)),
        Cell::text(&proof(sighting)),
        Cell::time(sighting.first_found),
        Cell::Time(sighting.resurfaced.map(|time| time * 1_000_000)),
        Cell::time(sighting.last_found),
        Cell::Time(sighting.last_fixed.map(|time| time * 1_000_000)),
        Cell::Time(Some(1)),
    ]
}
