//! Simulated sources of threat intelligence, which want to know who asks. All of them lie under the address of the
//! feeds, so that a source's `base_url` is `…/feeds`.
//!
//! | path | shape of | who asks | fault endpoint |
//! | --- | --- | --- | --- |
//! | `/v3/index/vulncheck-kev` | VulnCheck's index, by cursor | bearer [`KEY`] | `vulncheck` |
//! | `/attributes/restSearch` | MISP's search for attributes | [`KEY`] | `misp` |
//! | `/token`, `/v4/vulnerability` | Mandiant's API | basic [`USER`], [`KEY`]; then a bearer token | `mandiant` |
//! | `/v2/vulnerability/risklist` | Recorded Future's risk list | `x-rftoken` [`KEY`] | `recordedfuture` |
//!
//! All of them know what the catalogue lists, and [`LISTED`](super::LISTED) from the first day on: MISP's event about it
//! is under TLP:RED. Nothing changes after day 0.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{LISTED, gzip, serve};
use crate::snapshot::{self, Entry};
use crate::{Mode, World, apply_with};

/// The key that all of them know.
pub const KEY: &str = "simulated-threat-key";
/// The user that Mandiant's key belongs to.
pub const USER: &str = "simulated-threat-user";
/// What no text outside of MISP may hold.
pub const RED_WORDS: &str = "for named recipients only";
/// What Mandiant gives out for the key.
const TOKEN: &str = "simulated-threat-token";

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/v3/index/vulncheck-kev", get(vulncheck))
        .route("/attributes/restSearch", post(misp))
        .route("/token", post(token))
        .route("/v4/vulnerability", get(mandiant))
        .route("/v2/vulnerability/risklist", get(risk_list))
}

/// What is said to be exploited.
fn exploited(mode: Mode) -> Vec<&'static Entry> {
    let listed = |entry: &&Entry| entry.kev.is_some() || entry.cve == LISTED;
    snapshot::entries().iter().filter(listed).filter(|_| mode != Mode::Empty).collect()
}

fn knows(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()) == Some(wanted)
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": true, "errors": ["unauthorized"] }))).into_response()
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Indexed {
    limit: Option<usize>,
    start_cursor: Option<bool>,
    cursor: Option<String>,
    #[serde(rename = "lastModStartDate")]
    since: Option<jiff::civil::Date>,
}

async fn vulncheck(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(asked): Query<Indexed>,
) -> Response {
    let day = world.clock.day().to_string();
    apply_with(&world, "feeds", "vulncheck", &day, |mode| {
        if !knows(&headers, "authorization", &format!("Bearer {KEY}")) {
            return refused();
        }
        let limit = asked.limit.unwrap_or(100);
        let start = match (&asked.cursor, asked.start_cursor) {
            (Some(cursor), _) => cursor.strip_prefix("after-").and_then(|number| number.parse().ok()),
            (None, Some(true)) => Some(0),
            (None, _) => None,
        };
        let Some(start) = start.filter(|_| (1..=300).contains(&limit)) else {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": true }))).into_response();
        };
        let changed = asked.since.is_none_or(|since| since <= super::date(world.clock.at(0)));
        let all: Vec<&Entry> = exploited(mode).into_iter().filter(|_| changed).collect();
        let page: Vec<Value> = all.iter().skip(start).take(limit).map(|entry| indexed(&world, entry)).collect();
        let end = start + page.len();
        let next = (end < all.len()).then(|| format!("after-{end}"));
        Json(json!({
            "_benchmark": 0.01,
            "_meta": { "index": "vulncheck-kev", "limit": limit, "total_documents": all.len(), "next_cursor": next },
            "data": page,
        }))
        .into_response()
    })
    .await
}

fn indexed(world: &World, entry: &Entry) -> Value {
    let added =
        entry.kev.map_or_else(|| super::date(world.clock.at(0)).to_string(), |kev| kev.date_added.to_owned());
    let added = format!("{added}T00:00:00Z");
    let ransomware = entry.kev.is_some_and(|kev| kev.ransomware);
    json!({
        "vendorProject": "Vendor", "product": "Product", "vulnerabilityName": format!("Weakness {}", entry.cve),
        "shortDescription": "A weakness.", "required_action": "Apply mitigations.",
        "knownRansomwareCampaignUse": if ransomware { "Known" } else { "Unknown" },
        "cve": [entry.cve], "cwes": ["CWE-94"], "vulncheck_xdb": [],
        "vulncheck_reported_exploitation": [
            { "url": format!("https://reports.example/{}", entry.cve), "date_added": added },
        ],
        "reported_exploited_by_vulncheck_canaries": false, "date_added": added, "_timestamp": added,
    })
}

async fn misp(State(world): State<Arc<World>>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let day = world.clock.day().to_string();
    apply_with(&world, "feeds", "misp", &day, |mode| {
        if !knows(&headers, "authorization", KEY) {
            let problem =
                "Authentication failed. Please make sure you pass the API key of an API enabled user.";
            return (StatusCode::FORBIDDEN, Json(json!({ "message": problem }))).into_response();
        }
        let number = |name: &str| asked[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (limit, page) = (number("limit").unwrap_or(60), number("page").unwrap_or(1).max(1));
        let changed =
            |_: &&Entry| asked["timestamp"].as_i64().is_none_or(|at| at <= world.clock.at(0).as_second());
        let all = exploited(mode).into_iter().filter(changed).enumerate();
        let rows: Vec<Value> = all
            .skip((page - 1) * limit)
            .take(limit)
            .map(|(id, entry)| attribute(&world, id, entry))
            .collect();
        Json(json!({ "response": { "Attribute": rows } })).into_response()
    })
    .await
}

/// MISP writes numbers as texts.
fn attribute(world: &World, id: usize, entry: &Entry) -> Value {
    let red = entry.cve == LISTED;
    let at = world.clock.at(0).as_second().to_string();
    let tags = [if red { "tlp:red" } else { "tlp:amber" }, "exploited-in-the-wild"];
    let tags: Vec<Value> =
        tags.iter().map(|name| json!({ "id": "1", "name": name, "colour": "#ffffff" })).collect();
    let info = if red { format!("A campaign, {RED_WORDS}") } else { "A campaign".to_owned() };
    json!({
        "id": id.to_string(), "event_id": "7", "object_id": "0", "object_relation": null,
        "category": "External analysis", "type": "vulnerability", "to_ids": false,
        "uuid": format!("57c4445b-c548-4654-af0b-{id:012}"), "timestamp": at, "distribution": "5",
        "sharing_group_id": "0", "comment": "", "deleted": false, "disable_correlation": false, "value": entry.cve,
        "Event": { "id": "7", "info": info, "uuid": "57c4445b-c548-4654-af0b-4be3950d210f", "published": true },
        "Tag": tags,
        "Sighting": [{ "id": "1", "attribute_id": id.to_string(), "date_sighting": at, "type": "0", "source": "" }],
    })
}

async fn token(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let day = world.clock.day().to_string();
    apply_with(&world, "feeds", "mandiant", &day, |_| {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{KEY}"));
        if !knows(&headers, "authorization", &format!("Basic {basic}")) {
            return refused();
        }
        Json(json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 1799 })).into_response()
    })
    .await
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Searched {
    start_epoch: Option<i64>,
    end_epoch: Option<i64>,
    limit: Option<usize>,
    offset: usize,
}

async fn mandiant(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(asked): Query<Searched>,
) -> Response {
    let day = world.clock.day().to_string();
    apply_with(&world, "feeds", "mandiant", &day, |mode| {
        if !knows(&headers, "authorization", &format!("Bearer {TOKEN}")) {
            return refused();
        }
        let limit = asked.limit.unwrap_or(10);
        if limit > 1_000 || asked.offset + limit > 10_000 {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": "too many" }))).into_response();
        }
        let told = world.clock.at(0);
        let is_asked = |_: &&Entry| {
            let second = told.as_second();
            asked.start_epoch.is_none_or(|from| from <= second)
                && asked.end_epoch.is_none_or(|to| second <= to)
        };
        let all: Vec<&Entry> =
            snapshot::entries().iter().filter(|_| mode != Mode::Empty).filter(is_asked).collect();
        let page: Vec<Value> =
            all.iter().skip(asked.offset).take(limit).map(|entry| reported(told, entry)).collect();
        Json(json!({ "total_count": all.len().min(10_000), "vulnerability": page })).into_response()
    })
    .await
}

fn reported(at: Timestamp, entry: &Entry) -> Value {
    let wild = entry.kev.is_some() || entry.cve == LISTED;
    let state = match (wild, entry.exploits.is_empty()) {
        (true, _) => "Confirmed",
        (false, false) => "Available",
        (false, true) => "No Known",
    };
    json!({
        "id": format!("vulnerability--{}", entry.cve.to_lowercase()), "type": "vulnerability", "cve_id": entry.cve,
        "risk_rating": "HIGH", "exploitation_state": state, "observed_in_the_wild": wild, "was_zero_day": false,
        "exploitation_consequence": "Code Execution", "exploitation_vectors": ["General Network Connectivity"],
        "description": "<p>A weakness.</p>", "last_modified_date": at.to_string(), "sources": [],
    })
}

async fn risk_list(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    if !knows(&headers, "x-rftoken", KEY) {
        return (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "text/plain")], "Unauthorized")
            .into_response();
    }
    serve(&world, "recordedfuture", "application/gzip", &headers, |records| {
        let mode = if records { Mode::Normal } else { Mode::Empty };
        let mut text = "\"Name\",\"Risk\",\"RiskString\",\"EvidenceDetails\"\n".to_owned();
        for entry in exploited(mode) {
            let rule = |rule: &str, criticality: f64| {
                json!({ "Rule": rule, "CriticalityLabel": "High", "Criticality": criticality, "MitigationString": "",
                    "Name": "rule", "Timestamp": world.clock.at(0).to_string(), "EvidenceString": "1 sighting on 1 source." })
            };
            let rules = [
                rule("NIST Severity: Critical", 4.0),
                rule("Exploited in the Wild by Recently Active Malware", 5.0),
            ];
            let details = json!({ "EvidenceDetails": rules }).to_string().replace('"', "\"\"");
            text.push_str(&format!("\"{}\",\"99\",\"2/22\",\"{details}\"\n", entry.cve));
        }
        gzip(text.as_bytes())
    })
    .await
}
