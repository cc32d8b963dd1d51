//! Simulated threat intelligence feeds in the shapes of the real ones, filled from [`crate::snapshot`].
//!
//! | path | shape of | fault endpoint |
//! | --- | --- | --- |
//! | `/kev.json` | CISA's `known_exploited_vulnerabilities.json` | `kev` |
//! | `/epss.csv.gz` | FIRST's `epss_scores-current.csv.gz` | `epss` |
//! | `/exploitdb.csv` | Exploit-DB's `files_exploits.csv` | `exploitdb` |
//! | `/metasploit.json` | Metasploit's `modules_metadata_base.json` | `metasploit` |
//! | `/nuclei.json` | nuclei's `cves.json` | `nuclei` |
//! | `/vulnrichment.tar.gz` | the archive of CISA's repository `vulnrichment` | `vulnrichment` |
//! | `/nvd` | NVD's `/rest/json/cves/2.0`, page by page; nothing changes after day 0 | `nvd` |
//!
//! Sources of threat intelligence lie beside them: [`threat`].
//!
//! Every file carries an `ETag`; a request with that tag in `If-None-Match` is answered 304. The key of a fault is
//! the simulated day. The world moves with that day: some EPSS scores change daily, [`LISTED`] enters the catalogue of
//! exploited vulnerabilities on day [`LISTED_ON_DAY`], and the row of [`FLIPPED`] turns to known ransomware use on day
//! [`FLIPPED_ON_DAY`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::{Compression, GzBuilder};
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::snapshot::{self, Entry, Epss};
use crate::{Mode, World, apply_with, dice};

/// The CVE that enters the catalogue of exploited vulnerabilities while the simulation runs.
pub const LISTED: &str = "CVE-2023-38408";
/// The day on which it does.
pub const LISTED_ON_DAY: u32 = 3;
/// The CVE whose row of the catalogue turns to known ransomware use.
pub const FLIPPED: &str = "CVE-2022-0847";
/// The day on which it does.
pub const FLIPPED_ON_DAY: u32 = 4;
/// The EPSS model that the scores are said to come from.
pub const MODEL_VERSION: &str = "v2026.06.15";

const LISTED_AS: [&str; 3] = ["OpenBSD", "OpenSSH", "OpenBSD OpenSSH Unquoted Search Path Vulnerability"];

/// CVEs on a page of NVD at most.
const NVD_PAGE: usize = 2_000;
/// The longest span of changes that NVD tells.
const NVD_SPAN: SignedDuration = SignedDuration::from_hours(120 * 24);

/// Malformed codes that the real feed holds, with the exploit they stand at.
pub const DIRTY_CODES: &[(u32, &str)] = &[
    (42042, "CVE-2017-5631#"),
    (44667, "CVE-2015- 5698"),
    (46540, "CVE-2018-1335 "),
    (48052, "CVE-/2019-1863"),
    (49116, "CVE-2018-9958)"),
    (50897, "CVE-cve 2021-4"),
];

/// The routes of the feeds.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/kev.json", get(kev))
        .route("/epss.csv.gz", get(epss))
        .route("/exploitdb.csv", get(exploitdb))
        .route("/metasploit.json", get(metasploit))
        .route("/nuclei.json", get(nuclei))
        .route("/vulnrichment.tar.gz", get(vulnrichment))
        .route("/nvd", get(nvd))
        .merge(threat::router())
        .with_state(world)
}

async fn kev(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "kev", "application/json", &headers, |records| {
        pretty(&catalogue(&world, world.clock.day(), records))
    })
    .await
}

async fn epss(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "epss", "application/gzip", &headers, |records| {
        gzip(scores(&world, world.clock.day(), records).as_bytes())
    })
    .await
}

async fn exploitdb(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "exploitdb", "text/csv; charset=utf-8", &headers, |records| exploits(records).into_bytes())
        .await
}

async fn metasploit(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "metasploit", "text/plain; charset=utf-8", &headers, |records| pretty(&modules(records)))
        .await
}

async fn nuclei(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "nuclei", "text/plain; charset=utf-8", &headers, |records| templates(records).into_bytes())
        .await
}

async fn vulnrichment(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    serve(&world, "vulnrichment", "application/x-gzip", &headers, |records| {
        gzip(&archive(&world, world.clock.day(), records))
    })
    .await
}

/// What may be asked of NVD.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    results_per_page: Option<usize>,
    start_index: usize,
    last_mod_start_date: Option<Timestamp>,
    last_mod_end_date: Option<Timestamp>,
}

async fn nvd(State(world): State<Arc<World>>, Query(asked): Query<Asked>) -> Response {
    let day = world.clock.day().to_string();
    apply_with(&world, "feeds", "nvd", &day, |mode| {
        let per_page = asked.results_per_page.unwrap_or(NVD_PAGE);
        let span = (asked.last_mod_start_date, asked.last_mod_end_date);
        let is_wrong = match span {
            (Some(from), Some(to)) => from > to || to.duration_since(from) > NVD_SPAN,
            (None, None) => false,
            // One is told with the other or not at all.
            _ => true,
        };
        if per_page == 0 || per_page > NVD_PAGE || is_wrong {
            // NVD says what is wrong in a header.
            return (StatusCode::NOT_FOUND, [("message", "Invalid parameter")]).into_response();
        }
        let changed = |_: &&Entry| span.0.is_none_or(|from| from <= world.clock.at(0));
        let all: Vec<&Entry> =
            snapshot::entries().iter().filter(|_| mode != Mode::Empty).filter(changed).collect();
        let page: Vec<Value> =
            all.iter().skip(asked.start_index).take(per_page).map(|entry| scored(entry)).collect();
        let body = pretty(&json!({
            "resultsPerPage": page.len(), "startIndex": asked.start_index, "totalResults": all.len(),
            "format": "NVD_CVE", "version": "2.0",
            "timestamp": world.clock.at(world.clock.day()).strftime("%Y-%m-%dT%H:%M:%S.000").to_string(),
            "vulnerabilities": page,
        }));
        (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    })
    .await
}

/// A CVE as NVD has it. It scores what is exploited, and since 2026 little else.
fn scored(entry: &Entry) -> Value {
    let cvss = json!({ "version": "3.1", "baseScore": 8.1, "baseSeverity": "HIGH",
        "vectorString": "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H" });
    let own = json!({ "source": "nvd@nist.gov", "type": "Primary", "cvssData": cvss });
    let other = json!({ "source": "cve@example.com", "type": "Secondary", "cvssData": cvss });
    let metrics: Vec<Value> = [entry.kev.as_ref().map(|_| own), Some(other)].into_iter().flatten().collect();
    json!({ "cve": {
        "id": entry.cve, "sourceIdentifier": "cve@example.com", "published": "2021-12-10T10:15:09.143",
        "lastModified": "2026-02-20T12:00:00.000",
        "vulnStatus": if entry.kev.is_some() { "Analyzed" } else { "Deferred" },
        "descriptions": [{ "lang": "en", "value": "A weakness." }],
        "metrics": { "cvssMetricV31": metrics },
    } })
}

/// Answers with what `build` makes of "with records" or not, or 304 when the caller has it.
async fn serve(
    world: &World,
    endpoint: &str,
    content_type: &'static str,
    headers: &HeaderMap,
    build: impl FnOnce(bool) -> Vec<u8>,
) -> Response {
    let day = world.clock.day().to_string();
    apply_with(world, "feeds", endpoint, &day, |mode| {
        let body = build(mode != Mode::Empty);
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..16]));
        if known(headers, &tag) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
        }
        let content_type = (header::CONTENT_TYPE, content_type.to_owned());
        (StatusCode::OK, [content_type, (header::ETAG, tag)], body).into_response()
    })
    .await
}

/// Whether the caller's `If-None-Match` names this tag; the comparison is the weak one, as RFC 9110 asks.
fn known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == tag || candidate == "*")
}

/// CISA's catalogue as it stands on a day.
fn catalogue(world: &World, day: u32, records: bool) -> Value {
    let mut rows = Vec::new();
    for entry in snapshot::entries().iter().filter(|_| records) {
        if let Some(kev) = &entry.kev {
            let ransomware = kev.ransomware || (entry.cve == FLIPPED && day >= FLIPPED_ON_DAY);
            let names = [kev.vendor, kev.product, kev.name];
            rows.push(row(entry.cve, names, kev.date_added, kev.due_date, ransomware));
        }
    }
    if records && day >= LISTED_ON_DAY {
        let added = date(world.clock.at(LISTED_ON_DAY));
        let due = added.saturating_add(14.days());
        rows.push(row(LISTED, LISTED_AS, &added.to_string(), &due.to_string(), false));
    }
    // Newest first, as the real file is.
    rows.sort_by(|a, b| b["dateAdded"].as_str().cmp(&a["dateAdded"].as_str()));
    let changed = [FLIPPED_ON_DAY, LISTED_ON_DAY].into_iter().find(|change| day >= *change).unwrap_or(0);
    let released = date(world.clock.at(changed));
    json!({
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": released.strftime("%Y.%m.%d").to_string(),
        "dateReleased": format!("{released}T17:00:04.9796Z"),
        "count": rows.len(),
        "vulnerabilities": rows,
    })
}

fn row(cve: &str, [vendor, product, name]: [&str; 3], added: &str, due: &str, ransomware: bool) -> Value {
    json!({
        "cveID": cve,
        "vendorProject": vendor,
        "product": product,
        "vulnerabilityName": name,
        "dateAdded": added,
        "shortDescription": format!("{vendor} {product} contains a vulnerability known as {name}."),
        "requiredAction": "Apply mitigations per vendor instructions, follow applicable guidance for cloud services, \
            or discontinue use of the product if mitigations are unavailable.",
        "dueDate": due,
        "knownRansomwareCampaignUse": if ransomware { "Known" } else { "Unknown" },
        "notes": format!("https://nvd.nist.gov/vuln/detail/{cve}"),
        "cwes": [],
    })
}

/// The EPSS file of a day, before compression.
fn scores(world: &World, day: u32, records: bool) -> String {
    let mut text = format!(
        "#model_version:{MODEL_VERSION},score_date:{}T12:55:00Z\ncve,epss,percentile\n",
        date(world.clock.at(day))
    );
    let ranking = ranking();
    for entry in snapshot::entries().iter().filter(|_| records) {
        if let Some(base) = entry.epss {
            let Epss { score, percentile } = moved(world.options.seed, entry.cve, base, day, &ranking);
            let _ = writeln!(text, "{},{},{}", entry.cve, decimal(score), decimal(percentile));
        }
    }
    text
}

/// The score on a day. In an ordinary week about one score in fourteen moves; here one in fourteen does each day,
/// by up to 5 % of itself. It moves around the snapshot's score and does not drift away from it.
fn moved(seed: u64, cve: &str, base: Epss, day: u32, ranking: &[Epss]) -> Epss {
    let throw = |day: u32| dice::hash(seed, &["epss", cve, &day.to_string()]);
    let Some(changed) = (1..=day).rev().take(400).find(|day| throw(*day).is_multiple_of(14)) else {
        return base;
    };
    let share = (dice::share(throw(changed)) - 0.5) / 10.0;
    let score = (f64::from(base.score) * (1.0 + share)).round().clamp(1.0, 99_999.0) as u32;
    Epss { score, percentile: percentile(score, ranking) }
}

/// The scored entries by rising score, one for each score.
fn ranking() -> Vec<Epss> {
    let mut ranking: Vec<Epss> = snapshot::entries().iter().filter_map(|entry| entry.epss).collect();
    ranking.sort_unstable();
    ranking.dedup_by_key(|epss| epss.score);
    ranking
}

/// The percentile of a score, interpolated between its neighbours in the snapshot.
fn percentile(score: u32, ranking: &[Epss]) -> u32 {
    let above = ranking.partition_point(|epss| epss.score < score);
    let low = above.checked_sub(1).map_or(Epss { score: 0, percentile: 0 }, |index| ranking[index]);
    let high = ranking.get(above).copied().unwrap_or(Epss { score: 100_000, percentile: 100_000 });
    if high.score == low.score {
        return high.percentile;
    }
    let way = f64::from(score - low.score) / f64::from(high.score - low.score);
    let rise = f64::from(high.percentile.saturating_sub(low.percentile));
    (f64::from(low.percentile) + way * rise).round() as u32
}

/// 18126 as `0.18126`.
fn decimal(hundred_thousandths: u32) -> String {
    format!("{}.{:05}", hundred_thousandths / 100_000, hundred_thousandths % 100_000)
}

const EXPLOIT_COLUMNS: &str = "id,file,description,date_published,author,type,platform,port,date_added,date_updated,\
    verified,codes,tags,aliases,screenshot_url,application_url,source_url\n";

/// Exploit-DB's table: one line an exploit, its codes joined, some of them malformed.
fn exploits(records: bool) -> String {
    let mut lines: BTreeMap<u32, (&str, Vec<&str>)> = BTreeMap::new();
    for entry in snapshot::entries() {
        for exploit in &entry.exploits {
            lines.entry(exploit.id).or_insert((exploit.date, Vec::new())).1.push(entry.cve);
        }
    }
    for (id, code) in DIRTY_CODES {
        lines.entry(*id).or_insert(("2019-03-14", Vec::new())).1.push(code);
    }
    let mut text = EXPLOIT_COLUMNS.to_owned();
    for (id, (date, codes)) in lines.iter().filter(|_| records) {
        // Whether an exploit is verified is not part of the snapshot; two in three are, by their number.
        let verified = u8::from(id % 3 != 0);
        let codes = codes.join(";");
        let _ = writeln!(
            text,
            "{id},exploits/multiple/remote/{id}.txt,\"Exploit {id}, for {codes}\",{date},\"Simulated, Author\",\
             remote,multiple,,{date},{date},{verified},{codes},,,,,"
        );
    }
    text
}

/// Metasploit's map of modules. The last one stands for the many that exploit nothing with a CVE.
fn modules(records: bool) -> Value {
    let mut cves: BTreeMap<&str, (Option<u16>, Vec<&Entry>)> = BTreeMap::new();
    for entry in snapshot::entries() {
        for module in &entry.modules {
            let known = cves.entry(module.name).or_insert((module.rank, Vec::new()));
            known.1.push(entry);
        }
    }
    cves.insert("auxiliary_scanner/portscan/tcp", (Some(300), Vec::new()));
    let modules = cves.into_iter().filter(|_| records);
    Value::Object(
        modules
            .map(|(name, (rank, users))| (name.to_owned(), module(name, rank, &users)))
            .collect::<Map<_, _>>(),
    )
}

fn module(name: &str, rank: Option<u16>, users: &[&Entry]) -> Value {
    let (kind, reference) = name.split_once('_').unwrap_or(("exploit", name));
    let platform = if kind == "exploit" { reference.split('/').next().unwrap_or_default() } else { "" };
    let folder = if kind == "exploit" { "exploits" } else { kind };
    let title = reference.rsplit('/').next().unwrap_or(reference).replace('_', " ");
    let mut references: Vec<String> = users.iter().map(|entry| entry.cve.to_owned()).collect();
    let exploits = users.iter().flat_map(|entry| entry.exploits.iter().take(1));
    references.extend(exploits.map(|exploit| format!("EDB-{}", exploit.id)));
    references
        .extend(users.iter().map(|entry| format!("URL-https://nvd.nist.gov/vuln/detail/{}", entry.cve)));
    json!({
        "name": title,
        "fullname": format!("{kind}/{reference}"),
        "aliases": [],
        "rank": rank.unwrap_or(300),
        "disclosure_date": null,
        "type": kind,
        "author": ["Simulated Author <author@example.com>"],
        "description": format!("This module is about {title}."),
        "references": references,
        "platform": platform,
        "arch": "",
        "rport": null,
        "autofilter_ports": [],
        "autofilter_services": [],
        "targets": null,
        "mod_time": "2026-05-21 08:32:40 +0000",
        "path": format!("/modules/{folder}/{reference}.rb"),
        "is_install_path": true,
        "ref_name": reference,
        "check": kind == "exploit",
        "post_auth": false,
        "default_credential": false,
        "notes": { "Stability": [], "SideEffects": [], "Reliability": [] },
        "session_types": false,
        "needs_cleanup": null,
        "actions": [],
    })
}

/// nuclei's index: a template for one in three of the weaknesses that have a public exploit, as their numbers fall.
fn templates(records: bool) -> String {
    let scanned = |entry: &&Entry| {
        let public = entry.kev.is_some() || !entry.exploits.is_empty();
        public && dice::hash(0, &["nuclei", entry.cve]).is_multiple_of(3)
    };
    let mut text = String::new();
    for Entry { cve, .. } in snapshot::entries().iter().filter(|_| records).filter(scanned) {
        let year = &cve[4..8];
        let info = json!({ "Name": format!("{cve} - detection"), "Severity": "high", "Description": "A weakness.\n",
            "Classification": { "CVSSScore": "8.1" } });
        let line = json!({ "ID": cve, "Info": info, "file_path": format!("http/cves/{year}/{cve}.yaml") });
        let _ = writeln!(text, "{line}");
    }
    text
}

/// CISA's archive: every weakness is assessed. What is in the catalogue is exploited; what has an exploit has one.
fn archive(world: &World, day: u32, records: bool) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let assessed = format!("{}T12:00:00.000000Z", date(world.clock.at(0)));
    let mut add = |path: &str, body: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        // Writing into memory cannot fail.
        let _ = archive.append_data(&mut header, path, body);
    };
    add("vulnrichment-develop/README.md", b"# Vulnrichment\n");
    for entry in snapshot::entries().iter().filter(|_| records) {
        let cve = entry.cve;
        let listed = entry.kev.is_some() || (cve == LISTED && day >= LISTED_ON_DAY);
        let one_in = |n: u64, what: &str| dice::hash(0, &[what, cve]).is_multiple_of(n);
        // The real words come in any case.
        let exploitation = match (listed, entry.exploits.is_empty()) {
            (true, _) => "Active",
            (false, false) => "poc",
            (false, true) => "none",
        };
        let automatable = if listed || one_in(4, "automatable") { "Yes" } else { "no" };
        let impact = if one_in(3, "impact") { "total" } else { "Partial" };
        let options = json!([{ "Exploitation": exploitation }, { "Automatable": automatable },
            { "Technical Impact": impact }]);
        let ssvc = json!({ "id": cve, "role": "CISA Coordinator", "version": "2.0.3", "timestamp": assessed,
            "options": options });
        let cvss = json!({ "version": "3.1", "baseScore": 7.5, "baseSeverity": "HIGH",
            "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N" });
        let body = pretty(&json!({
            "dataType": "CVE_RECORD",
            "dataVersion": "5.1",
            "cveMetadata": { "cveId": cve, "state": "PUBLISHED" },
            "containers": {
                "cna": { "providerMetadata": { "shortName": "example" }, "metrics": [{ "cvssV3_1": cvss }] },
                "adp": [{ "title": "CISA ADP Vulnrichment", "metrics": [{ "other": { "type": "ssvc", "content": ssvc } }],
                    "providerMetadata": { "shortName": "CISA-ADP", "dateUpdated": assessed } }],
            },
        }));
        let (year, number) = (&cve[4..8], &cve[9..]);
        let thousand = &number[..number.len().saturating_sub(3)];
        add(&format!("vulnrichment-develop/{year}/{thousand}xxx/{cve}.json"), &body);
    }
    // Writing into memory cannot fail.
    archive.into_inner().unwrap_or_default()
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}").into_bytes()
}

/// Gzip with a fixed header, so that the same scores have the same tag.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    let _ = packer.write_all(bytes);
    packer.finish().unwrap_or_default()
}

pub mod threat;

#[cfg(test)]
mod tests;
