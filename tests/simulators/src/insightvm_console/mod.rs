//! A Rapid7 InsightVM console, simulated: version 3 of its API, and SQL reports over its reporting data model.
//!
//! The only accepted credentials are those of HTTP Basic below. Lists have pages of 1 to 500 resources in the order of
//! their ids. What a user may not see, and what does not exist, is answered with 404 alike.
//!
//! A report runs when it is generated, and is complete at the second look at it. Its query is read: tables and columns
//! that the data model does not have make it fail, and the answer has the columns that were asked for, in their order.
//! What is computed is not SQL, though: the rows are those of one of two shapes, told by the first table of the last
//! `SELECT` (one row for each instance on an asset, or one for each definition). Every other output is packed with gzip.
//!
//! | endpoint for faults | key | extra faults |
//! | --- | --- | --- |
//! | `info`, `sites`, `scans`, `tags` | path | |
//! | `assets` | `N`, the page | |
//! | `findings` | the asset | |
//! | `definition` | the definition | |
//! | `report` | what is done: `create`, `generate`, `list`, `delete` | |
//! | `history` | the report | `export-error`: it has failed; `expired`: it is gone |
//! | `output` | the report | `expired`: it is gone; `login-failed`: as if no login of the last scans had worked |

mod assets;
mod findings;
mod model;
mod reports;
mod rules;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router};
use base64::Engine;
use serde_json::{Value, json};

use crate::World;
use crate::estate::{Known, Scanner};
use crate::faults::{Mode, apply_with};
use reports::{Reports, Shown};

/// The user that is accepted.
pub const USER: &str = "sim-console";
/// The password that is accepted.
pub const PASSWORD: &str = "sim-pass";
/// The system's name in paths and faults.
pub const SYSTEM: &str = "insightvm-console";

pub(crate) struct Console {
    world: Arc<World>,
    reports: Reports,
}

type Shared = State<Arc<Console>>;
type Params = Query<HashMap<String, String>>;

/// The routes of this system.
pub fn router(world: Arc<World>) -> Router {
    let console = Arc::new(Console { world, reports: Reports::default() });
    let api = Router::new()
        .route("/administration/info", get(info))
        .route("/assets", get(list_assets))
        .route("/assets/search", post(search_assets))
        .route("/assets/{id}", get(one_asset))
        .route("/assets/{id}/vulnerabilities", get(list_findings))
        .route("/assets/{id}/tags", get(tags_of_asset))
        .route("/sites", get(list_sites))
        .route("/scans", get(list_scans))
        .route("/tags", get(list_tags))
        .route("/tags/{id}/assets", get(tagged_assets))
        .route("/vulnerabilities", get(list_definitions))
        .route("/vulnerabilities/{id}", get(definition))
        .route("/vulnerabilities/{id}/solutions", get(solutions))
        .route("/solutions/{id}", get(solution))
        .route("/reports", get(list_reports).post(create_report))
        .route("/reports/{id}", delete(delete_report))
        .route("/reports/{id}/generate", post(generate))
        .route("/reports/{id}/history/{instance}", get(history))
        .route("/reports/{id}/history/{instance}/output", get(output))
        .route("/{*rest}", any(async || not_found()))
        .layer(from_fn_with_state(console.clone(), authenticate))
        .with_state(console);
    Router::new().nest("/api/3", api)
}

/// The answer of the console's web server to one request too many.
pub fn rate_limited() -> Response {
    let body = json!({ "status": "503", "message": "The service is temporarily unavailable.", "links": [] });
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")], Json(body)).into_response()
}

impl Console {
    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.world.received.refuse(format!("{SYSTEM}: {} {message}", status.as_u16()));
        problem(status, message)
    }

    /// An address at this console.
    fn link(&self, path: &str, rel: &str) -> Value {
        json!({ "href": format!("{}/{SYSTEM}/api/3/{path}", self.world.base_url()), "rel": rel })
    }

    /// The assets that the console shows now, in the order of their ids.
    fn assets(&self) -> Vec<Known> {
        let now = self.world.clock.now();
        let view = self.world.estate.view(Scanner::InsightvmConsole, now);
        view.filter(|known| known.removed.is_none()).collect()
    }

    fn asset(&self, id: &str) -> Option<Known> {
        let index = id.parse::<u32>().ok()?.checked_sub(1)?;
        let now = self.world.clock.now();
        let known = self.world.estate.known(index, Scanner::InsightvmConsole, now)?;
        (index < self.world.estate.hosts_until(now) && known.removed.is_none()).then_some(known)
    }

    /// A page of `all`, or what is wrong with the wish for it.
    fn page<T>(&self, params: &HashMap<String, String>, all: &[T], show: impl Fn(&T) -> Value) -> Response {
        let number = |name: &str, default: usize| match params.get(name) {
            None => Some(default),
            Some(text) => text.parse::<usize>().ok(),
        };
        let (Some(page), Some(size)) = (number("page", 0), number("size", 10)) else {
            return self.refuse(StatusCode::BAD_REQUEST, "page and size are whole numbers");
        };
        if !(1..=500).contains(&size) {
            return self.refuse(StatusCode::BAD_REQUEST, "size is 1 to 500");
        }
        if params.get("sort").is_some_and(|sort| !sort.to_ascii_lowercase().starts_with("id")) {
            return self.refuse(StatusCode::BAD_REQUEST, "this sort is not simulated");
        }
        let pages = all.len().div_ceil(size);
        let resources: Vec<Value> = all.iter().skip(page * size).take(size).map(show).collect();
        Json(json!({
            "resources": resources,
            "page": { "number": page, "size": size, "totalResources": all.len(), "totalPages": pages },
            "links": [],
        }))
        .into_response()
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    let body = json!({ "status": status.as_u16().to_string(), "message": message, "links": [] });
    (status, Json(body)).into_response()
}

/// The one answer to what is not there and to what may not be seen.
fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "The resource does not exist or access is prohibited.")
}

async fn authenticate(State(console): Shared, request: Request, next: Next) -> Response {
    if !authorized(request.headers()) {
        return console.refuse(StatusCode::UNAUTHORIZED, "Authentication failed.");
    }
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(header::SERVER, header::HeaderValue::from_static("Security Console"));
    answer
}

fn authorized(headers: &HeaderMap) -> bool {
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Basic ")) == Some(expected.as_str())
}

/// A page without resources.
fn empty_page() -> Response {
    let page = json!({ "number": 0, "size": 500, "totalResources": 0, "totalPages": 0 });
    Json(json!({ "resources": [], "page": page, "links": [] })).into_response()
}

async fn info(State(console): Shared) -> Response {
    apply_with(&console.world, SYSTEM, "info", "info", |_| {
        let version = json!({ "semantic": "6.6.300", "platform": "Linux64", "build": "1" });
        Json(json!({
            "version": version, "serial": "0", "superuser": true, "user": "root", "links": [],
            "operatingSystem": "Ubuntu Linux 22.04", "host": "console", "fqdn": "console.example.com",
        }))
        .into_response()
    })
    .await
}

async fn list_assets(State(console): Shared, Query(params): Params) -> Response {
    let key = params.get("page").cloned().unwrap_or_else(|| "0".into());
    apply_with(&console.world, SYSTEM, "assets", &key, |mode| match mode {
        Mode::Empty => empty_page(),
        _ => console.page(&params, &console.assets(), |known| assets::asset(&console, known)),
    })
    .await
}

async fn search_assets(State(console): Shared, Query(params): Params, body: Bytes) -> Response {
    let key = params.get("page").cloned().unwrap_or_else(|| "0".into());
    apply_with(&console.world, SYSTEM, "assets", &key, |mode| {
        let since = match assets::search(&body) {
            Ok(since) => since,
            Err(reason) => return console.refuse(StatusCode::BAD_REQUEST, &reason),
        };
        let mut found = console.assets();
        found.retain(|known| since.is_none_or(|since| known.last_scan() >= since));
        match mode {
            Mode::Empty => empty_page(),
            _ => console.page(&params, &found, |known| assets::asset(&console, known)),
        }
    })
    .await
}

async fn one_asset(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "assets", &id, |_| match console.asset(&id) {
        Some(known) => Json(assets::asset(&console, &known)).into_response(),
        None => not_found(),
    })
    .await
}

async fn list_findings(State(console): Shared, Path(id): Path<String>, Query(params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "findings", &id, |mode| match (mode, console.asset(&id)) {
        (Mode::Empty, Some(_)) => empty_page(),
        (_, Some(known)) => {
            let found = findings::of(&console.world, &known);
            console
                .page(&params, &findings::grouped(&found), |group| findings::resource(&console, &id, group))
        }
        (_, None) => not_found(),
    })
    .await
}

async fn list_sites(State(console): Shared, Query(params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "sites", "sites", |mode| match mode {
        Mode::Empty => empty_page(),
        _ => console.page(&params, &assets::sites(&console), Value::clone),
    })
    .await
}

/// Scans of all sites, newest first: those that run, or those that have ended.
async fn list_scans(State(console): Shared, Query(mut params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "scans", "scans", |mode| {
        let active = params.get("active").is_some_and(|active| active == "true");
        let sort = params.remove("sort");
        if !matches!(sort.as_deref(), Some("endTime,DESC" | "startTime,DESC")) {
            return console.refuse(StatusCode::BAD_REQUEST, "this sort is not simulated");
        }
        match mode {
            Mode::Empty => empty_page(),
            _ => console.page(&params, &assets::scans(&console, active), Value::clone),
        }
    })
    .await
}

async fn list_tags(State(console): Shared, Query(params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "tags", "tags", |mode| match mode {
        Mode::Empty => empty_page(),
        _ => console.page(&params, &assets::all_tags(), |tag| assets::tag(&console, tag)),
    })
    .await
}

async fn tagged_assets(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "tags", &id, |_| {
        let Some(tag) = assets::all_tags().into_iter().find(|tag| tag.id.to_string() == id) else {
            return not_found();
        };
        let has = |known: &Known| assets::tags_of(&known.host).contains(&tag);
        let resources: Vec<Value> = console
            .assets()
            .iter()
            .filter(|known| has(known))
            .map(|known| json!({ "id": known.host.index + 1, "sources": ["tag"] }))
            .collect();
        Json(json!({ "resources": resources, "links": [] })).into_response()
    })
    .await
}

async fn tags_of_asset(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "tags", &id, |_| {
        let Some(known) = console.assets().into_iter().find(|known| (known.host.index + 1).to_string() == id)
        else {
            return not_found();
        };
        let tags = assets::tags_of(&known.host);
        let resources: Vec<Value> = tags.iter().map(|tag| assets::tag(&console, tag)).collect();
        Json(json!({ "resources": resources, "links": [] })).into_response()
    })
    .await
}

/// All definitions, those that were changed last first.
async fn list_definitions(State(console): Shared, Query(mut params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "definition", "definitions", |mode| {
        if params.remove("sort").as_deref() != Some("modified,DESC") {
            return console.refuse(StatusCode::BAD_REQUEST, "this sort is not simulated");
        }
        match mode {
            Mode::Empty => empty_page(),
            _ => console.page(&params, &rules::newest(), |weakness| rules::definition(&console, weakness)),
        }
    })
    .await
}

async fn definition(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "definition", &id, |_| match rules::by_id(&id) {
        Some(weakness) => Json(rules::definition(&console, weakness)).into_response(),
        None => not_found(),
    })
    .await
}

async fn solutions(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "definition", &id, |_| match rules::by_id(&id) {
        Some(weakness) => {
            let ids: Vec<String> =
                rules::solutions(weakness).into_iter().map(|solution| solution.id).collect();
            Json(json!({ "resources": ids, "links": [] })).into_response()
        }
        None => not_found(),
    })
    .await
}

async fn solution(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "definition", &id, |_| match rules::solution(&console, &id) {
        Some(solution) => Json(solution).into_response(),
        None => not_found(),
    })
    .await
}

async fn list_reports(State(console): Shared, Query(params): Params) -> Response {
    apply_with(&console.world, SYSTEM, "report", "list", |mode| match mode {
        Mode::Empty => empty_page(),
        _ => console.page(&params, &console.reports.list(), Clone::clone),
    })
    .await
}

async fn create_report(State(console): Shared, body: Bytes) -> Response {
    apply_with(&console.world, SYSTEM, "report", "create", |_| match console.reports.create(&body) {
        Ok(id) => created(&console, &format!("reports/{id}"), id),
        Err(reason) => console.refuse(StatusCode::BAD_REQUEST, &reason),
    })
    .await
}

fn created(console: &Console, path: &str, id: u64) -> Response {
    Json(json!({ "id": id, "links": [console.link(path, "self")] })).into_response()
}

async fn delete_report(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "report", "delete", |_| match console.reports.delete(&id) {
        true => Json(json!({ "links": [] })).into_response(),
        false => not_found(),
    })
    .await
}

async fn generate(State(console): Shared, Path(id): Path<String>) -> Response {
    apply_with(&console.world, SYSTEM, "report", "generate", |_| match console.reports.generate(&id) {
        Some(instance) => created(&console, &format!("reports/{id}/history/{instance}"), instance),
        None => not_found(),
    })
    .await
}

async fn history(State(console): Shared, Path((id, instance)): Path<(String, String)>) -> Response {
    apply_with(&console.world, SYSTEM, "history", &id, |mode| {
        if mode == Mode::Named("expired".to_owned()) {
            console.reports.delete(&id);
        }
        let failed = mode == Mode::Named("export-error".to_owned());
        match console.reports.look(&console.world, &id, &instance, failed) {
            Some(status) => Json(status).into_response(),
            None => not_found(),
        }
    })
    .await
}

async fn output(State(console): Shared, Path((id, instance)): Path<(String, String)>) -> Response {
    apply_with(&console.world, SYSTEM, "output", &id, |mode| {
        if mode == Mode::Named("expired".to_owned()) {
            console.reports.delete(&id);
        }
        let shown = match &mode {
            Mode::Empty => Shown::Nothing,
            Mode::Named(name) if name == "login-failed" => Shown::FromOutside,
            _ => Shown::All,
        };
        match console.reports.output(&console, &id, &instance, shown) {
            Some(bytes) => ([(header::CONTENT_TYPE, "text/csv;charset=UTF-8")], bytes).into_response(),
            None => not_found(),
        }
    })
    .await
}
