//! Tenable Nessus Professional, simulated: scans with histories, exports, and what newer versions no longer allow.
//!
//! Accepted are the keys `accessKey=sim-access;secretKey=sim-secret` in the `X-ApiKeys` header, and sessions of the user
//! `sim-user` with the password `sim-pass`, which end half an hour of simulated time after they began.
//!
//! Each scan runs every night; a history of each night is kept for a week. An export is loading when its status is asked
//! for the first time and ready from then on. Its file is kept for an hour of simulated time.
//!
//! | endpoint for faults | key | extra faults |
//! | --- | --- | --- |
//! | `session`, `properties` | path | |
//! | `scans` | `scans` | |
//! | `details` | scan | |
//! | `export` | scan | |
//! | `status` | scan | `export-error`: ends as `error`; `expired`: the file is gone |
//! | `download` | scan | `expired`; `control-chars`: characters that XML forbids |

mod report;
mod scans;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::faults::{Mode, apply_with};
use crate::{World, dice};
use scans::Night;

/// The access key that is accepted.
pub const ACCESS_KEY: &str = "sim-access";
/// The secret key that is accepted.
pub const SECRET_KEY: &str = "sim-secret";
/// The user that may sign in.
pub const USER: &str = "sim-user";
/// Its password.
pub const PASSWORD: &str = "sim-pass";

const SESSION: SignedDuration = SignedDuration::from_mins(30);
const FILE: SignedDuration = SignedDuration::from_hours(1);
const NO_FILE: &str = "The requested file was not found.";

/// The world, the sessions and the exports.
struct Nessus {
    world: Arc<World>,
    state: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// Tokens, and when they were given.
    sessions: BTreeMap<String, Timestamp>,
    files: BTreeMap<u64, File>,
}

/// An export.
#[derive(Clone)]
struct File {
    token: String,
    scan: u64,
    night: Night,
    begun: Timestamp,
    asked: bool,
}

type Shared = State<Arc<Nessus>>;

/// The routes of this system.
pub fn router(world: Arc<World>) -> Router {
    let nessus = Arc::new(Nessus { world, state: Mutex::default() });
    let open = Router::new()
        .route("/server/properties", get(properties))
        .route("/server/status", get(ready))
        .route("/session", post(sign_in));
    Router::new()
        .route("/session", get(session).delete(sign_out))
        .route("/scans", get(list).post(not_available))
        .route("/scans/{scan}", get(details).put(not_available))
        .route("/scans/{scan}/export", post(export))
        .route("/scans/{scan}/export/{file}/status", get(status))
        .route("/scans/{scan}/export/{file}/download", get(download))
        .route("/tokens/{token}/status", get(status_of_token))
        .route("/tokens/{token}/download", get(download_of_token))
        .route("/scans/{scan}/launch", post(not_available))
        .route("/scans/{scan}/pause", post(not_available))
        .route("/scans/{scan}/resume", post(not_available))
        .route("/scans/{scan}/stop", post(not_available))
        .layer(from_fn_with_state(nessus.clone(), authenticate))
        .merge(open)
        .with_state(nessus)
}

/// What it says when it is asked for too much at once.
pub fn rate_limited() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "The server is busy.")
}

impl Nessus {
    fn state(&self) -> MutexGuard<'_, Shelf> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error answer that is remembered as refused.
    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.world.received.refuse(format!("nessus: {} {message}", status.as_u16()));
        problem(status, message)
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// Whether the request may be answered.
    fn authorized(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(keys) = text("x-apikeys") {
            let value = |name: &str| {
                keys.split(';')
                    .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                    .map(str::trim)
            };
            return value("accessKey") == Some(ACCESS_KEY) && value("secretKey") == Some(SECRET_KEY);
        }
        let token = text("x-cookie").and_then(|cookie| cookie.trim().strip_prefix("token="));
        let given = token.and_then(|token| self.state().sessions.get(token).copied());
        given.is_some_and(|given| self.now().duration_since(given) < SESSION)
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

async fn authenticate(State(nessus): Shared, request: Request, next: Next) -> Response {
    if !nessus.authorized(request.headers()) {
        return nessus.refuse(StatusCode::UNAUTHORIZED, "Invalid Credentials");
    }
    next.run(request).await
}

async fn sign_in(State(nessus): Shared, body: Bytes) -> Response {
    apply_with(&nessus.world, "nessus", "session", "session", |_| {
        let wish: Value = serde_json::from_slice(&body).unwrap_or_default();
        if wish["username"] != USER || wish["password"] != PASSWORD {
            return nessus.refuse(StatusCode::UNAUTHORIZED, "Invalid Credentials");
        }
        let (now, mut state) = (nessus.now(), nessus.state());
        let token = format!("{:016x}{:016x}", dice::hash(1, &[&now.to_string()]), state.sessions.len());
        state.sessions.insert(token.clone(), now);
        Json(json!({ "md5sum_wizard_templates": "0", "token": token, "md5sum_tenable_links": "0" }))
            .into_response()
    })
    .await
}

async fn sign_out(State(nessus): Shared, headers: HeaderMap) -> Response {
    let token = headers.get("x-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    nessus.state().sessions.remove(token.trim_start_matches("token="));
    Json(json!({})).into_response()
}

async fn session(State(nessus): Shared) -> Response {
    apply_with(&nessus.world, "nessus", "session", "session", |_| {
        Json(json!({ "id": 2, "username": USER, "name": USER, "type": "local", "permissions": 64, "lockout": 0 }))
            .into_response()
    })
    .await
}

async fn properties(State(nessus): Shared) -> Response {
    apply_with(&nessus.world, "nessus", "properties", "properties", |_| {
        Json(json!({
            "nessus_type": "Nessus Professional",
            "nessus_ui_version": "10.8.3",
            "server_version": "10.8.3",
            "platform": "LINUX",
            "loaded_plugin_set": "202601050000",
            "features": { "api": true, "scan_api": false, "report": true },
        }))
        .into_response()
    })
    .await
}

async fn ready() -> Response {
    Json(json!({ "code": 200, "progress": null, "status": "ready" })).into_response()
}

/// Since version 7, scans are created and started by hand.
async fn not_available(State(nessus): Shared) -> Response {
    nessus.refuse(StatusCode::PRECONDITION_FAILED, "API is not available")
}

async fn list(State(nessus): Shared, Query(query): Query<BTreeMap<String, String>>) -> Response {
    apply_with(&nessus.world, "nessus", "scans", "scans", |mode| {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let mut scans = scans::list(&nessus.world);
        if let Some(since) = number("last_modification_date") {
            scans.retain(|scan| scan["last_modification_date"].as_i64() > Some(since));
        }
        if let Some(folder) = number("folder_id") {
            scans.retain(|scan| scan["folder_id"].as_i64() == Some(folder));
        }
        // Never an empty list.
        let scans = if scans.is_empty() || mode == Mode::Empty { Value::Null } else { json!(scans) };
        Json(json!({ "folders": scans::folders(), "scans": scans, "timestamp": nessus.now().as_second() }))
            .into_response()
    })
    .await
}

async fn details(
    State(nessus): Shared,
    Path(scan): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    apply_with(&nessus.world, "nessus", "details", &scan, |mode| {
        let history = query.get("history_id").and_then(|text| text.parse().ok());
        match scan.parse().ok().and_then(|scan| scans::details(&nessus.world, scan, history)) {
            Some(_) if mode == Mode::Empty => {
                Json(json!({ "info": { "status": "empty", "hostcount": 0 }, "hosts": [], "history": null }))
                    .into_response()
            }
            Some(details) => Json(details).into_response(),
            None => nessus.refuse(StatusCode::NOT_FOUND, "The requested scan was not found."),
        }
    })
    .await
}

async fn export(
    State(nessus): Shared,
    Path(scan): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    apply_with(&nessus.world, "nessus", "export", &scan, |_| {
        let wish: Value = serde_json::from_slice(&body).unwrap_or_default();
        match wish["format"].as_str() {
            Some("nessus") => {}
            Some("html" | "pdf" | "csv" | "db") => {
                return nessus.refuse(StatusCode::BAD_REQUEST, "this format is not simulated");
            }
            _ => return nessus.refuse(StatusCode::BAD_REQUEST, "Invalid 'format' field"),
        }
        let history = query.get("history_id").map(|text| text.parse::<u64>().unwrap_or(0));
        let found =
            scan.parse::<u64>().ok().and_then(|id| Some((id, scans::night(&nessus.world, id, history)?)));
        let Some((id, night)) = found else {
            return nessus.refuse(StatusCode::NOT_FOUND, "The requested scan was not found.");
        };
        let (begun, mut state) = (nessus.now(), nessus.state());
        let file = 1_000_000_000 + u64::try_from(state.files.len()).unwrap_or(0) * 7_919;
        let token = format!("{:016x}{file:016x}", dice::hash(2, &[&begun.to_string()]));
        state.files.insert(file, File { token: token.clone(), scan: id, night, begun, asked: false });
        Json(json!({ "token": token, "file": file })).into_response()
    })
    .await
}

impl Nessus {
    /// A file that is not too old, by its number.
    fn file(&self, scan: Option<u64>, number: &str) -> Option<(u64, File)> {
        let number = number.parse().ok()?;
        let file = self.state().files.get(&number).cloned()?;
        let fresh = self.now().duration_since(file.begun) < FILE;
        (fresh && scan.is_none_or(|scan| scan == file.scan)).then_some((number, file))
    }

    fn number_of(&self, token: &str) -> String {
        let state = self.state();
        let found = state.files.iter().find(|(_, file)| file.token == token);
        found.map(|(number, _)| number.to_string()).unwrap_or_default()
    }

    async fn answer_status(&self, scan: Option<u64>, number: &str) -> Response {
        let key = self.file(scan, number).map(|(_, file)| file.scan.to_string()).unwrap_or_default();
        apply_with(&self.world, "nessus", "status", &key, |mode| match (mode, self.file(scan, number)) {
            (Mode::Named(fault), Some(_)) if fault == "export-error" => {
                Json(json!({ "status": "error" })).into_response()
            }
            (Mode::Named(fault), _) if fault == "expired" => self.refuse(StatusCode::NOT_FOUND, NO_FILE),
            (_, Some((number, file))) => {
                if let Some(file) = self.state().files.get_mut(&number) {
                    file.asked = true;
                }
                Json(json!({ "status": if file.asked { "ready" } else { "loading" } })).into_response()
            }
            (_, None) => self.refuse(StatusCode::NOT_FOUND, NO_FILE),
        })
        .await
    }

    async fn answer_download(&self, scan: Option<u64>, number: &str) -> Response {
        let key = self.file(scan, number).map(|(_, file)| file.scan.to_string()).unwrap_or_default();
        apply_with(&self.world, "nessus", "download", &key, |mode| match self.file(scan, number) {
            Some(_) if mode == Mode::Named("expired".to_owned()) => {
                self.refuse(StatusCode::NOT_FOUND, NO_FILE)
            }
            Some((_, file)) if file.asked => {
                let name = format!("attachment; filename=\"scan_{}.nessus\"", file.scan);
                let headers = [
                    (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                    (header::CONTENT_DISPOSITION, name),
                ];
                (headers, report::stream(self.world.clone(), file.scan, file.night, mode)).into_response()
            }
            Some(_) => self.refuse(StatusCode::CONFLICT, "The file is not ready."),
            None => self.refuse(StatusCode::NOT_FOUND, NO_FILE),
        })
        .await
    }
}

async fn status(State(nessus): Shared, Path((scan, file)): Path<(u64, String)>) -> Response {
    nessus.answer_status(Some(scan), &file).await
}

async fn download(State(nessus): Shared, Path((scan, file)): Path<(u64, String)>) -> Response {
    nessus.answer_download(Some(scan), &file).await
}

async fn status_of_token(State(nessus): Shared, Path(token): Path<String>) -> Response {
    nessus.answer_status(None, &nessus.number_of(&token)).await
}

async fn download_of_token(State(nessus): Shared, Path(token): Path<String>) -> Response {
    nessus.answer_download(None, &nessus.number_of(&token)).await
}
