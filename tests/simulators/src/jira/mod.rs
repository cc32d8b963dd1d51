//! Simulated Jira Cloud: the part of REST API v3 that a ticket writer uses.
//!
//! Basic authentication with [`EMAIL`] and [`TOKEN`]. Projects: [`PROJECTS`]; issue types: [`ISSUE_TYPES`]; the
//! workflow is To Do, In Progress, Done, each reachable from each.
//!
//! | path below `/rest/api/3` | fault endpoint | fault key |
//! | --- | --- | --- |
//! | `POST /issue` | `create` | the summary |
//! | `GET`, `PUT /issue/{key}` | `get`, `edit` | the issue as named in the path |
//! | `GET`, `POST /issue/{key}/comment` | `comments`, `comment` | the same |
//! | `GET`, `POST /issue/{key}/transitions` | `transitions`, `transition` | the same |
//! | `GET`, `PUT /issue/{key}/properties/{property}` | `property` | the same |
//! | `GET`, `POST /search/jql` | `search` | the JQL |
//! | `GET /myself`, `GET /project/{key}` | `myself`, `project` | the project |
//! | `GET /mypermissions?projectKey=KEY` | `permissions` | the project |
//! | `/search` | gone: 410 | |
//!
//! As with the real one, **search lags behind**: a write is found only after the index lag, by default
//! [`DEFAULT_LAG`] of real time, set by `POST /control/lag?ms=N`. `reconcileIssues` makes known ids current.
//! Under the faults `timeout` and `drop` the issue is created and the answer does not come.
//!
//! Whose credentials are wrong gets a 401, or with `POST /control/strangers?anonymous=true` what the real one answers to
//! an expired token: no issue exists, no search finds anything, and only `create` and `myself` are refused with a 401.
//! With `&told=true` each of these answers carries `x-seraph-loginreason`.
//!
//! With `POST /control/browsing?allowed=false` the account may create issues and no longer browse any project: to it, no
//! issue exists and no search finds anything.
//!
//! Each issue is a ticket in [`crate::Received`]: `id`, `key`, `project`, `issuetype`, `summary`, `labels`,
//! `description` (as text), `status`, `status_category`, `comments` (with `text`), `properties`, `created`,
//! `updated`, and `fields` (as they were written).

mod adf;
mod issue;
mod jql;
mod search;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Fault, Mode, World, apply_with};

/// The user of the simulated site.
pub const EMAIL: &str = "sim@example.com";
/// The user's API token.
pub const TOKEN: &str = "sim-token";
/// Keys and names of the projects.
pub const PROJECTS: [(&str, &str); 3] =
    [("VULN", "Vulnerabilities"), ("SEC", "Security"), ("OPS", "Operations")];
/// Issue types of every project, with their ids.
pub const ISSUE_TYPES: [(&str, &str); 4] =
    [("10001", "Task"), ("10002", "Bug"), ("10003", "Story"), ("10004", "Vulnerability")];
/// How long search lags behind, unless told otherwise.
pub const DEFAULT_LAG: Duration = Duration::from_millis(500);

const ACCOUNT: &str = "5b10a2844c20165700ede21g";
/// Says what became of the caller's credentials.
const LOGIN_REASON: &str = "x-seraph-loginreason";
const FAILED: &str = "AUTHENTICATED_FAILED";

/// The routes of Jira.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/rest/api/3/issue", post(create))
        .route("/rest/api/3/issue/{key}", get(read).put(edit))
        .route("/rest/api/3/issue/{key}/comment", get(comments).post(comment))
        .route("/rest/api/3/issue/{key}/transitions", get(transitions).post(transition))
        .route("/rest/api/3/issue/{key}/properties", get(property_keys))
        .route("/rest/api/3/issue/{key}/properties/{property}", get(property).put(set_property))
        .route("/rest/api/3/search/jql", get(search_by_query).post(search_by_body))
        .route("/rest/api/3/search", any(gone))
        .route("/rest/api/3/myself", get(myself))
        .route("/rest/api/3/mypermissions", get(permissions))
        .route("/rest/api/3/project/{key}", get(project))
        .route("/control/lag", get(lag).post(set_lag))
        .route("/control/strangers", post(set_strangers))
        .route("/control/browsing", post(set_browsing))
        .with_state(Arc::new(Jira::new(world)))
}

/// The simulated site. The issues themselves are the tickets in [`crate::Received`].
struct Jira {
    world: Arc<World>,
    lag_millis: AtomicU64,
    strangers: Mutex<Strangers>,
    /// The account may create issues, and see none.
    blind: AtomicBool,
    numbers: Mutex<Numbers>,
    index: Mutex<Index>,
}

/// What somebody with wrong credentials is answered.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Strangers {
    /// What anybody is answered, in place of a 401.
    anonymous: bool,
    /// With the header that says why.
    #[serde(default)]
    told: bool,
}

/// Last used numbers. Keys are never used twice, also not after a reset.
#[derive(Default)]
struct Numbers {
    issue: u64,
    comment: u64,
    keys: HashMap<String, u64>,
}

/// Per issue id, what search knows from when on; the last state in force and those to come.
type Index = HashMap<String, Vec<(Instant, Value)>>;

/// Why a request is not done.
struct Refusal {
    status: StatusCode,
    messages: Vec<String>,
    errors: Map<String, Value>,
}

type Done = Result<Response, Refusal>;

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages: vec![message.into()], errors: Map::new() }
    }

    fn fields(errors: Map<String, Value>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages: Vec::new(), errors }
    }

    fn not_found(message: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, messages: vec![message.to_owned()], errors: Map::new() }
    }

    fn no_issue() -> Self {
        Self::not_found("Issue does not exist or you do not have permission to see it.")
    }

    fn no_project(key: &str) -> Self {
        Self::not_found(&format!("No project could be found with key '{key}'."))
    }

    fn body(&self) -> Value {
        json!({ "errorMessages": self.messages, "errors": self.errors })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}

impl Jira {
    fn new(world: Arc<World>) -> Self {
        Self {
            world,
            lag_millis: AtomicU64::new(DEFAULT_LAG.as_millis() as u64),
            strangers: Mutex::default(),
            blind: AtomicBool::new(false),
            numbers: Mutex::default(),
            index: Mutex::default(),
        }
    }

    /// Checks the caller, lets the faults in, and turns a refusal into Jira's answer.
    async fn answer(
        &self,
        headers: &HeaderMap,
        (endpoint, key): (&str, &str),
        work: impl FnOnce(Mode) -> Done,
    ) -> Response {
        let world = &self.world;
        if !authorized(headers) {
            return self.answer_stranger(endpoint, key);
        }
        if world.faults.peek("jira", endpoint, key) == Some(Fault::RateLimit) {
            world.faults.next("jira", endpoint, key);
            world.received.refuse(format!("jira.{endpoint} {key}: 429"));
            return rate_limited();
        }
        apply_with(world, "jira", endpoint, key, |mode| {
            let done = self.hidden(endpoint, key).map_or_else(|| work(mode), Ok);
            done.unwrap_or_else(|refusal| {
                // Asking for what is not there is no fault of the caller.
                if refusal.status != StatusCode::NOT_FOUND {
                    let (status, body) = (refusal.status.as_u16(), refusal.body());
                    world.received.refuse(format!("jira.{endpoint} {key}: {status} {body}"));
                }
                refusal.into_response()
            })
        })
        .await
    }

    /// What an account gets that may not browse the project.
    fn hidden(&self, endpoint: &str, key: &str) -> Option<Response> {
        if !self.blind.load(Ordering::Relaxed) {
            return None;
        }
        match endpoint {
            "create" | "myself" | "permissions" => None,
            _ => Some(unseen(endpoint, key)),
        }
    }

    /// What somebody with wrong credentials gets.
    fn answer_stranger(&self, endpoint: &str, key: &str) -> Response {
        let Strangers { anonymous, told } = *lock(&self.strangers);
        let answer = match endpoint {
            _ if !anonymous => unauthorized(),
            "create" | "myself" => unauthorized(),
            _ => unseen(endpoint, key),
        };
        let status = answer.status().as_u16();
        self.world.received.refuse(format!("jira.{endpoint} {key}: {status} for a stranger"));
        if told { ([(LOGIN_REASON, FAILED)], answer).into_response() } else { answer }
    }

    /// The issue with this key or id.
    fn find(&self, name: &str) -> Result<Value, Refusal> {
        self.world
            .received
            .with_tickets(|tickets| tickets.iter().find(|ticket| is_named(ticket, name)).cloned())
            .ok_or_else(Refusal::no_issue)
    }

    /// Changes an issue, and what search will know of it.
    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
        let mut after = Value::Null;
        let found = self.world.received.update_ticket(
            |ticket| is_named(ticket, name),
            |ticket| {
                change(ticket);
                ticket["updated"] = json!(self.now());
                after = ticket.clone();
            },
        );
        if !found {
            return Err(Refusal::no_issue());
        }
        self.index(after);
        Ok(())
    }

    /// Lets search know this state of an issue, after the lag.
    fn index(&self, ticket: Value) {
        let now = Instant::now();
        let from = now + Duration::from_millis(self.lag_millis.load(Ordering::Relaxed));
        let id = ticket["id"].as_str().unwrap_or_default().to_owned();
        let mut index = lock(&self.index);
        let states = index.entry(id).or_default();
        let in_force = states.iter().rposition(|(from, _)| *from <= now).unwrap_or(0);
        states.drain(..in_force);
        states.push((from, ticket));
    }

    fn next_comment(&self) -> u64 {
        let mut numbers = lock(&self.numbers);
        numbers.comment += 1;
        10_000 + numbers.comment
    }

    /// The simulated time as Jira writes it.
    fn now(&self) -> String {
        self.world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/jira/rest/api/3/{path}", self.world.base_url())
    }

    fn user(&self) -> Value {
        json!({
            "self": self.url(&format!("user?accountId={ACCOUNT}")),
            "accountId": ACCOUNT,
            "accountType": "atlassian",
            "emailAddress": EMAIL,
            "displayName": "Simulated User",
            "active": true,
            "timeZone": "Etc/UTC",
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_named(ticket: &Value, name: &str) -> bool {
    ticket["id"].as_str() == Some(name)
        || ticket["key"].as_str().is_some_and(|key| key.eq_ignore_ascii_case(name))
}

fn authorized(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let encoded = value.and_then(|value| value.strip_prefix("Basic "));
    encoded.and_then(|encoded| STANDARD.decode(encoded.trim()).ok()).as_deref()
        == Some(format!("{EMAIL}:{TOKEN}").as_bytes())
}

fn unauthorized() -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [
            (header::WWW_AUTHENTICATE, "OAuth realm=\"http%3A%2F%2Fsimulated.example.com\""),
            (HeaderName::from_static(LOGIN_REASON), FAILED),
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        ],
        "Client must be authenticated to access this resource.",
    )
        .into_response()
}

/// The answer to one request too many.
pub fn rate_limited() -> Response {
    let name = HeaderName::from_static;
    (
        StatusCode::TOO_MANY_REQUESTS,
        [
            (header::RETRY_AFTER, "2"),
            (name("ratelimit-reason"), "jira-burst-based"),
            (name("x-ratelimit-limit"), "100"),
            (name("x-ratelimit-remaining"), "0"),
        ],
        Json(json!({ "errorMessages": ["Rate limit exceeded."], "errors": {} })),
    )
        .into_response()
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let value: Result<Value, _> = serde_json::from_slice(body);
    value.ok().filter(Value::is_object).ok_or_else(|| {
        Refusal::bad("There was an error parsing JSON. Check that your request body is valid.")
    })
}

type Site = State<Arc<Jira>>;

async fn create(State(jira): Site, headers: HeaderMap, body: Bytes) -> Response {
    let parsed = parse(&body);
    let summary = parsed.as_ref().ok().and_then(|body| body["fields"]["summary"].as_str());
    let key = summary.unwrap_or_default().to_owned();
    jira.answer(&headers, ("create", &key), |_| jira.create(&parsed?)).await
}

async fn read(
    State(jira): Site,
    headers: HeaderMap,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    jira.answer(&headers, ("get", &name), |_| {
        let ticket = jira.find(&name)?;
        let (fields, properties) = search::asked(&query.unwrap_or_default());
        let fields = if fields.is_empty() { vec!["*all".to_owned()] } else { fields };
        Ok(Json(jira.render(&ticket, &fields, &properties)).into_response())
    })
    .await
}

async fn edit(State(jira): Site, headers: HeaderMap, Path(name): Path<String>, body: Bytes) -> Response {
    jira.answer(&headers, ("edit", &name), |_| jira.edit(&name, &parse(&body)?)).await
}

async fn comments(State(jira): Site, headers: HeaderMap, Path(name): Path<String>) -> Response {
    jira.answer(&headers, ("comments", &name), |_| {
        let ticket = jira.find(&name)?;
        Ok(Json(jira.comment_page(&ticket)).into_response())
    })
    .await
}

async fn comment(State(jira): Site, headers: HeaderMap, Path(name): Path<String>, body: Bytes) -> Response {
    jira.answer(&headers, ("comment", &name), |_| {
        jira.find(&name)?;
        let body = parse(&body)?;
        let comment = jira.new_comment(&body["body"])?;
        jira.change(&name, |ticket| issue::push_comment(ticket, comment.clone()))?;
        let ticket = jira.find(&name)?;
        Ok((StatusCode::CREATED, Json(jira.render_comment(&ticket, &comment))).into_response())
    })
    .await
}

async fn transitions(State(jira): Site, headers: HeaderMap, Path(name): Path<String>) -> Response {
    jira.answer(&headers, ("transitions", &name), |_| {
        jira.find(&name)?;
        Ok(Json(jira.transitions()).into_response())
    })
    .await
}

async fn transition(
    State(jira): Site,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    jira.answer(&headers, ("transition", &name), |_| jira.transition(&name, &parse(&body)?)).await
}

async fn property_keys(State(jira): Site, headers: HeaderMap, Path(name): Path<String>) -> Response {
    jira.answer(&headers, ("property", &name), |_| {
        let ticket = jira.find(&name)?;
        let properties = ticket["properties"].as_object().into_iter().flatten();
        let keys: Vec<Value> = properties
            .map(
                |(key, _)| json!({ "key": key, "self": jira.url(&format!("issue/{name}/properties/{key}")) }),
            )
            .collect();
        Ok(Json(json!({ "keys": keys })).into_response())
    })
    .await
}

async fn property(
    State(jira): Site,
    headers: HeaderMap,
    Path((name, key)): Path<(String, String)>,
) -> Response {
    jira.answer(&headers, ("property", &name), |_| {
        let ticket = jira.find(&name)?;
        let value = ticket["properties"].get(&key);
        let value = value
            .ok_or_else(|| Refusal::not_found(&format!("The property with key '{key}' does not exist.")))?;
        Ok(Json(json!({ "key": key, "value": value })).into_response())
    })
    .await
}

async fn set_property(
    State(jira): Site,
    headers: HeaderMap,
    Path((name, key)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    jira.answer(&headers, ("property", &name), |_| {
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        issue::check_property(&key, &value)?;
        let before = jira.find(&name)?["properties"].get(&key).is_some();
        jira.change(&name, |ticket| ticket["properties"][&key] = value)?;
        let status = if before { StatusCode::OK } else { StatusCode::CREATED };
        Ok((status, Json(json!({}))).into_response())
    })
    .await
}

async fn search_by_query(State(jira): Site, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let request = search::Search::from_query(&query.unwrap_or_default());
    jira.answer_search(&headers, request).await
}

async fn search_by_body(State(jira): Site, headers: HeaderMap, body: Bytes) -> Response {
    jira.answer_search(&headers, parse(&body).and_then(|body| search::Search::from_body(&body))).await
}

async fn gone(State(jira): Site, headers: HeaderMap) -> Response {
    jira.answer(&headers, ("search", ""), |_| {
        Err(Refusal {
            status: StatusCode::GONE,
            messages: vec![
                "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
                    .to_owned(),
            ],
            errors: Map::new(),
        })
    })
    .await
}

async fn myself(State(jira): Site, headers: HeaderMap) -> Response {
    jira.answer(&headers, ("myself", ""), |_| Ok(Json(jira.user()).into_response())).await
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "projectKey")]
    project: String,
    permissions: String,
}

async fn permissions(State(jira): Site, headers: HeaderMap, Query(wanted): Query<Wanted>) -> Response {
    let Wanted { project, permissions } = wanted;
    jira.answer(&headers, ("permissions", &project), |_| {
        if !PROJECTS.iter().any(|(key, _)| *key == project) {
            return Err(Refusal::no_project(&project));
        }
        let is_blind = jira.blind.load(Ordering::Relaxed);
        let granted = permissions.split(',').map(|name| {
            (
                name.to_owned(),
                json!({ "key": name, "havePermission": name != "BROWSE_PROJECTS" || !is_blind }),
            )
        });
        Ok(Json(json!({ "permissions": granted.collect::<Map<_, _>>() })).into_response())
    })
    .await
}

async fn project(State(jira): Site, headers: HeaderMap, Path(name): Path<String>) -> Response {
    jira.answer(&headers, ("project", &name), |_| {
        let index = PROJECTS.iter().position(|(key, _)| *key == name);
        let index = index.ok_or_else(|| Refusal::no_project(&name))?;
        let mut project = jira.project(index);
        project["lead"] = jira.user();
        project["issueTypes"] = ISSUE_TYPES.iter().map(|kind| jira.issue_type(*kind)).collect();
        Ok(Json(project).into_response())
    })
    .await
}

/// What is answered of things that the caller may not see.
fn unseen(endpoint: &str, key: &str) -> Response {
    match endpoint {
        "search" => Json(json!({ "issues": [], "isLast": true })).into_response(),
        "project" | "permissions" => Refusal::no_project(key).into_response(),
        _ => Refusal::no_issue().into_response(),
    }
}

#[derive(Deserialize)]
struct Browsing {
    allowed: bool,
}

async fn set_browsing(State(jira): Site, Query(browsing): Query<Browsing>) -> Json<Value> {
    jira.blind.store(!browsing.allowed, Ordering::Relaxed);
    Json(json!({ "allowed": browsing.allowed }))
}

#[derive(Deserialize)]
struct Lag {
    ms: u64,
}

async fn lag(State(jira): Site) -> Json<Value> {
    Json(json!({ "ms": jira.lag_millis.load(Ordering::Relaxed) }))
}

async fn set_lag(State(jira): Site, Query(lag): Query<Lag>) -> Json<Value> {
    jira.lag_millis.store(lag.ms, Ordering::Relaxed);
    Json(json!({ "ms": lag.ms }))
}

async fn set_strangers(State(jira): Site, Query(strangers): Query<Strangers>) -> Json<Value> {
    *lock(&jira.strangers) = strangers;
    Json(json!({ "anonymous": strangers.anonymous, "told": strangers.told }))
}

#[cfg(test)]
mod tests;
