//! Tenable Vulnerability Management, simulated: exports of findings, of assets in both versions
//! and of compliance, the list of scans, and the cheap check endpoints.
//!
//! The only accepted keys are `accessKey=sim-access;secretKey=sim-secret` in the `X-ApiKeys` header.
//! An export makes progress when its status is asked for (queued, half of the chunks in no order, finished), and is
//! finished in any case an hour of simulated time after its start. Chunks live for 24 hours of simulated time.
//!
//! | endpoint for faults | key | extra faults |
//! | --- | --- | --- |
//! | `session` | path | |
//! | `export` | `vulns`, `assets` or `compliance` | |
//! | `status` | the same | `export-error`: ends as `ERROR` with half of the chunks usable |
//! | `chunk` | `vulns/N` or `assets/N` | `chunk-failed`: the chunk is listed as failed; `expired`: the chunk is gone |
//! | `cancel`, `jobs` | the same | |
//! | `scans` | `scans` | |

mod assets;
mod compliance;
mod findings;
mod jobs;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::faults::{Mode, apply_with};
use crate::{World, dice};
use jobs::{Export, Jobs};

/// The access key that is accepted.
pub const ACCESS_KEY: &str = "sim-access";
/// The secret key that is accepted.
pub const SECRET_KEY: &str = "sim-secret";

/// The world and the export jobs.
pub(crate) struct Tenable {
    pub world: Arc<World>,
    pub jobs: Jobs,
}

type Shared = State<Arc<Tenable>>;

/// The routes of this system.
pub fn router(world: Arc<World>) -> Router {
    let tenable = Arc::new(Tenable { jobs: Jobs::default(), world });
    Router::new()
        .route("/session", get(session))
        .route("/server/properties", get(properties))
        .route("/vulns/export", post(start_vulns))
        .route("/assets/export", post(start_assets))
        .route("/assets/v2/export", post(start_assets_v2))
        .route("/compliance/export", post(start_compliance))
        .route("/scans", get(scans))
        .route("/{kind}/export/status", get(list))
        .route("/{kind}/export/{uuid}/status", get(status))
        .route("/{kind}/export/{uuid}/chunks/{chunk}", get(chunk))
        .route("/{kind}/export/{uuid}/cancel", post(cancel))
        .layer(from_fn_with_state(tenable.clone(), authenticate))
        .with_state(tenable)
}

/// The answer to one request too many: HTML, with the seconds to wait.
pub fn rate_limited() -> Response {
    const PAGE: &str = "<html>\n<head><title>429 Too Many Requests</title></head>\n\
        <body><center><h1>429 Too Many Requests</h1></center></body>\n</html>\n";
    let headers = [("retry-after", "2"), ("content-type", "text/html")];
    (StatusCode::TOO_MANY_REQUESTS, headers, PAGE).into_response()
}

impl Tenable {
    /// An error answer that is remembered as refused.
    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.world.received.refuse(format!("tenable: {} {message}", status.as_u16()));
        problem(status, message)
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    let error = status.canonical_reason().unwrap_or("Error");
    (status, Json(json!({ "statusCode": status.as_u16(), "error": error, "message": message })))
        .into_response()
}

fn not_found(message: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "status": 404, "message": message }))).into_response()
}

async fn authenticate(State(tenable): Shared, request: Request, next: Next) -> Response {
    if !authorized(request.headers()) {
        return tenable.refuse(StatusCode::UNAUTHORIZED, "Invalid Credentials");
    }
    let id = format!("{:032x}", dice::hash(tenable.world.options.seed, &[request.uri().path()]));
    let mut answer = next.run(request).await;
    if let Ok(value) = id.parse() {
        answer.headers_mut().insert("x-request-uuid", value);
    }
    answer
}

fn authorized(headers: &HeaderMap) -> bool {
    let Some(keys) = headers.get("x-apikeys").and_then(|value| value.to_str().ok()) else { return false };
    let value = |name: &str| {
        keys.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
    };
    value("accessKey") == Some(ACCESS_KEY) && value("secretKey") == Some(SECRET_KEY)
}

async fn session(State(tenable): Shared) -> Response {
    apply_with(&tenable.world, "tenable", "session", "session", |_| {
        let user = json!({
            "uuid": "5e55105e-0000-4000-8000-000000000001",
            "id": 2,
            "username": "integration@example.com",
            "email": "integration@example.com",
            "name": "integration",
            "type": "local",
            "permissions": 16,
            "roles": ["BASIC"],
            "enabled": true,
            "container_uuid": "5e55105e-0000-4000-8000-0000000000c0",
        });
        Json(user).into_response()
    })
    .await
}

async fn properties(State(tenable): Shared) -> Response {
    apply_with(&tenable.world, "tenable", "session", "properties", |_| {
        Json(json!({
            "nessus_type": "Tenable Vulnerability Management",
            "server_version": "simulated",
            "region": "simulated",
            "capabilities": { "multi_scanner": true, "multi_user": true },
        }))
        .into_response()
    })
    .await
}

async fn start_vulns(State(tenable): Shared, body: Bytes) -> Response {
    start(&tenable, Export::Vulns, false, &body).await
}

async fn start_assets(State(tenable): Shared, body: Bytes) -> Response {
    start(&tenable, Export::Assets, false, &body).await
}

async fn start_assets_v2(State(tenable): Shared, body: Bytes) -> Response {
    start(&tenable, Export::Assets, true, &body).await
}

async fn start_compliance(State(tenable): Shared, body: Bytes) -> Response {
    if body.is_empty() {
        return tenable.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "there is no body, not even {}");
    }
    start(&tenable, Export::Compliance, false, &body).await
}

/// The scans of the account: they run every day, but one that somebody stopped.
async fn scans(State(tenable): Shared) -> Response {
    apply_with(&tenable.world, "tenable", "scans", "scans", |_| {
        let now = tenable.world.clock.now().as_second();
        let scan = |id: u32, name: &str, status: &str, age: i64| {
            json!({
                "id": id, "name": name, "status": status, "uuid": dice::uuid(tenable.world.options.seed, &[17, u64::from(id)]),
                "creation_date": now - age - 86_400, "last_modification_date": now - age, "enabled": true, "type": "remote",
                "owner": "integration@example.com", "progress": 100, "total_targets": 200, "legacy": false,
            })
        };
        let all = [
            scan(14, "Data centre, with credentials", "completed", 7_200),
            scan(29, "Laptops, by agents", "completed", 10_800),
            scan(32, "Branch offices", "aborted", 90_000),
        ];
        Json(json!({ "scans": all, "folders": [], "timestamp": now })).into_response()
    })
    .await
}

async fn start(tenable: &Tenable, kind: Export, second: bool, body: &[u8]) -> Response {
    apply_with(&tenable.world, "tenable", "export", kind.name(), |_| {
        let Ok(Value::Object(request)) = serde_json::from_slice::<Value>(body) else {
            return tenable.refuse(StatusCode::BAD_REQUEST, "the body is not a JSON object");
        };
        match tenable.jobs.start(&tenable.world, kind, second, &request) {
            Ok(uuid) => Json(json!({ "export_uuid": uuid })).into_response(),
            Err(jobs::Refusal::Invalid(reason)) => tenable.refuse(StatusCode::BAD_REQUEST, &reason),
            Err(jobs::Refusal::Duplicate(uuid)) => {
                let reason = "an identical export is in progress";
                tenable.world.received.refuse(format!("tenable: 409 {reason} ({uuid})"));
                let body = json!({ "active_job_id": uuid, "failure_reason": reason });
                (StatusCode::CONFLICT, Json(body)).into_response()
            }
            Err(jobs::Refusal::TooMany) => {
                tenable.world.received.refuse("tenable: 429 more than 10 exports in progress");
                rate_limited()
            }
        }
    })
    .await
}

async fn list(State(tenable): Shared, Path(kind): Path<String>) -> Response {
    let Some(kind) = Export::parse(&kind) else { return not_found("no such export type") };
    apply_with(&tenable.world, "tenable", "jobs", kind.name(), |mode| {
        let exports = if mode == Mode::Empty { Vec::new() } else { tenable.jobs.list(&tenable.world, kind) };
        Json(json!({ "exports": exports })).into_response()
    })
    .await
}

async fn status(State(tenable): Shared, Path((kind, uuid)): Path<(String, String)>) -> Response {
    let Some(kind) = Export::parse(&kind) else { return not_found("no such export type") };
    apply_with(&tenable.world, "tenable", "status", kind.name(), |mode| {
        let broken = mode == Mode::Named("export-error".to_owned());
        match tenable.jobs.poll(&tenable.world, kind, &uuid, broken) {
            Some(status) => Json(status).into_response(),
            None => {
                tenable.world.received.refuse(format!("tenable: 404 status of unknown export {uuid}"));
                not_found("Export expired or not found")
            }
        }
    })
    .await
}

async fn cancel(State(tenable): Shared, Path((kind, uuid)): Path<(String, String)>) -> Response {
    let Some(kind) = Export::parse(&kind) else { return not_found("no such export type") };
    apply_with(&tenable.world, "tenable", "cancel", kind.name(), |_| {
        if tenable.jobs.cancel(&tenable.world, kind, &uuid) {
            return Json(json!({ "status": "CANCELLED" })).into_response();
        }
        not_found("Export expired or not found")
    })
    .await
}

async fn chunk(
    State(tenable): Shared,
    Path((kind, uuid, chunk)): Path<(String, String, String)>,
) -> Response {
    let Some(kind) = Export::parse(&kind) else { return not_found("no such export type") };
    let key = format!("{}/{chunk}", kind.name());
    let world = tenable.world.clone();
    apply_with(&world, "tenable", "chunk", &key, |mode| {
        if let Mode::Named(_) = mode {
            return not_found("Export expired or not found");
        }
        match tenable.jobs.chunk(&tenable.world, kind, &uuid, &chunk) {
            Ok(_) if mode == Mode::Empty => octets("[]".into()),
            Ok(slice) => match kind {
                Export::Vulns => octets(findings::stream(tenable.world.clone(), slice)),
                Export::Assets => octets(assets::stream(tenable.world.clone(), slice)),
                Export::Compliance => octets(compliance::stream(tenable.world.clone(), slice)),
            },
            Err(jobs::NoChunk::Unknown(reason)) => {
                tenable.world.received.refuse(format!("tenable: 404 {reason}: {kind:?} {uuid} {chunk}"));
                not_found(reason)
            }
            Err(jobs::NoChunk::NotReady) => {
                tenable.refuse(StatusCode::BAD_REQUEST, &format!("chunk {chunk} is not ready for download"))
            }
        }
    })
    .await
}

fn octets(body: axum::body::Body) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}
