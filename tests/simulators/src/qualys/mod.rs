//! Qualys VMDR, simulated: host list, host list detection, knowledge base, asset groups, the searches of asset management,
//! policy compliance, and the cheap check endpoint. The [gateway] is a host of its own, under `/qualys-gateway`.
//!
//! HTTP Basic with `sim-user` and `sim-pass`; every path under `/api` also demands the `X-Requested-With` header.
//! Limits are those of [`Limits`], per API, in a rolling window of real plus simulated time.
//!
//! | endpoint for faults | path | key | extra faults |
//! | --- | --- | --- | --- |
//! | `about` | `/msp/about.php` | `about` | |
//! | `hosts` | `/api/{2..5}.0/fo/asset/host/` | the page's `id_min` (0 for the first) | all below |
//! | `detection` | `/api/{2..5}.0/fo/asset/host/vm/detection/` | the page's `id_min` or its `ids` | all below, `control-chars` |
//! | `kb` | `/api/{2..4}.0/fo/knowledge_base/vuln/` | `ids`, `all` without | all below |
//! | `groups` | `/api/{2..5}.0/fo/asset/group/` | `0` | all below |
//! | `policies` | `/api/{2..5}.0/fo/compliance/policy/` | `0` | all below |
//! | `posture` | `/api/{2..4}.0/fo/compliance/posture/info/` | the page's `id_min` | all below |
//! | `host-assets`, `tags` | `/qps/rest/2.0/search/am/hostasset`, `…/tag` | the id behind which the page begins | |
//!
//! Extra faults: `concurrency` (code 1960), `account-expired` (code 2001 with status 200);
//! `control-chars` puts characters into results that XML does not allow.

mod detections;
pub mod gateway;
mod groups;
mod hosts;
mod kb;
mod limits;
mod params;
mod posture;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;

use crate::World;
use crate::faults::{Mode, apply_with};
pub use limits::Limits;
use limits::{Denied, Gate, Permit};
use params::Params;

/// The user that is accepted.
pub const USER: &str = "sim-user";
/// The password that is accepted.
pub const PASSWORD: &str = "sim-pass";

/// A query string longer than this is refused with 414.
const LONGEST_QUERY: usize = 6_000;

/// The world and the counters of the subscription.
pub(crate) struct Qualys {
    pub world: Arc<World>,
    pub gate: Gate,
}

type Shared = State<Arc<Qualys>>;

/// One of the APIs, each with limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Hosts,
    Detection,
    KnowledgeBase,
    Groups,
    Policies,
    Posture,
    HostAssets,
    Tags,
}

impl Api {
    /// Its newest version; those before are still there.
    fn newest(self) -> u8 {
        match self {
            Self::KnowledgeBase | Self::Posture => 4,
            _ => 5,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Detection => "detection",
            Self::KnowledgeBase => "kb",
            Self::Groups => "groups",
            Self::Policies => "policies",
            Self::Posture => "posture",
            Self::HostAssets => "host-assets",
            Self::Tags => "tags",
        }
    }
}

/// What a handler needs to write one answer.
pub(crate) struct Ask {
    pub world: Arc<World>,
    pub params: Params,
    /// Path without the prefix of the simulator, for absolute addresses.
    pub path: String,
    pub mode: Mode,
    #[expect(dead_code, reason = "held until the last byte is written, then its drop counts")]
    pub permit: Permit,
}

/// The routes of this system.
pub fn router(world: Arc<World>) -> Router {
    let qualys = Arc::new(Qualys { gate: Gate::new(world.options.qualys_limits), world });
    Router::new()
        .route("/msp/about.php", get(about))
        .route("/api/{version}/fo/asset/host/", get(host_list).post(host_list))
        .route("/api/{version}/fo/asset/host/vm/detection/", get(detection_list).post(detection_list))
        .route("/api/{version}/fo/knowledge_base/vuln/", get(knowledge_base).post(knowledge_base))
        .route("/api/{version}/fo/asset/group/", get(group_list).post(group_list))
        .route("/api/{version}/fo/compliance/policy/", get(policy_list).post(policy_list))
        .route("/api/{version}/fo/compliance/posture/info/", get(posture_list).post(posture_list))
        .route("/qps/rest/2.0/search/am/hostasset", post(search_host_assets))
        .route("/qps/rest/2.0/search/am/tag", post(search_tags))
        .layer(from_fn_with_state(qualys.clone(), authenticate))
        .with_state(qualys)
}

/// The answer to one request too many in an hour.
pub fn rate_limited(world: &World) -> Response {
    let limits = world.options.qualys_limits;
    let mut answer = simple_return(
        world,
        StatusCode::CONFLICT,
        1965,
        "The limit of calls in the window is reached.",
        &[("CALLS_TO_FINISH", "0".into()), ("SECONDS_TO_WAIT", "120".into())],
    );
    limits::add_headers(answer.headers_mut(), limits, 0, 0, 120);
    answer
}

/// The small XML document that carries every error.
fn simple_return(
    world: &World,
    status: StatusCode,
    code: u32,
    text: &str,
    items: &[(&str, String)],
) -> Response {
    let items: String = items
        .iter()
        .map(|(key, value)| format!("<ITEM><KEY>{key}</KEY><VALUE>{value}</VALUE></ITEM>"))
        .collect();
    let list = if items.is_empty() { String::new() } else { format!("<ITEM_LIST>{items}</ITEM_LIST>") };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE SIMPLE_RETURN SYSTEM \"{}/qualys/api/2.0/simple_return.dtd\">\n\
         <SIMPLE_RETURN>\n  <RESPONSE>\n    <DATETIME>{}</DATETIME>\n    <CODE>{code}</CODE>\n    \
         <TEXT>{text}</TEXT>\n{list}  </RESPONSE>\n</SIMPLE_RETURN>\n",
        world.base_url(),
        seconds(world)
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// The simulated time without fractions.
fn seconds(world: &World) -> String {
    crate::estate::iso(world.clock.now().as_second())
}

async fn authenticate(State(qualys): Shared, request: Request, next: Next) -> Response {
    let world = &qualys.world;
    if !authorized(request.headers()) {
        world.received.refuse("qualys: 401 wrong user or password");
        return simple_return(world, StatusCode::UNAUTHORIZED, 2000, "Bad Login/Password", &[]);
    }
    if request.uri().path().starts_with("/api/") && !request.headers().contains_key("x-requested-with") {
        world.received.refuse("qualys: 400 X-Requested-With is missing");
        let text = "The X-Requested-With header is required.";
        return simple_return(world, StatusCode::BAD_REQUEST, 1903, text, &[]);
    }
    next.run(request).await
}

fn authorized(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plain = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, token)| base64::engine::general_purpose::STANDARD.decode(token.trim()).ok());
    plain.as_deref() == Some(format!("{USER}:{PASSWORD}").as_bytes())
}

async fn about(State(qualys): Shared) -> Response {
    apply_with(&qualys.world, "qualys", "about", "about", |_| {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<ABOUT>\n  <API-VERSION MAJOR=\"1\" MINOR=\"4\" />\n  \
             <WEB-VERSION>10.38.0-1</WEB-VERSION>\n  <SCANNER-VERSION>14.2.1-1</SCANNER-VERSION>\n  \
             <VULNSIGS-VERSION>2.6.100-4</VULNSIGS-VERSION>\n</ABOUT>\n";
        let mut answer = ([(header::CONTENT_TYPE, "application/xml")], body).into_response();
        let limits = qualys.world.options.qualys_limits;
        limits::add_headers(answer.headers_mut(), limits, limits.calls, 0, 0);
        answer
    })
    .await
}

async fn host_list(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::Hosts, &version, &method, &uri, &body).await
}

async fn detection_list(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::Detection, &version, &method, &uri, &body).await
}

async fn knowledge_base(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::KnowledgeBase, &version, &method, &uri, &body).await
}

async fn group_list(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::Groups, &version, &method, &uri, &body).await
}

async fn policy_list(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::Policies, &version, &method, &uri, &body).await
}

async fn posture_list(
    State(qualys): Shared,
    Path(version): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    answer(&qualys, Api::Posture, &version, &method, &uri, &body).await
}

async fn search_host_assets(State(qualys): Shared, body: Bytes) -> Response {
    search(&qualys, Api::HostAssets, &body).await
}

async fn search_tags(State(qualys): Shared, body: Bytes) -> Response {
    search(&qualys, Api::Tags, &body).await
}

async fn search(qualys: &Qualys, api: Api, body: &[u8]) -> Response {
    let world = &qualys.world;
    let permit = match qualys.gate.enter(world, api.name()) {
        Ok(permit) => permit,
        Err(denied) => return deny(world, api, &denied),
    };
    let wanted = match search::Wanted::parse(body) {
        Ok(wanted) => wanted,
        Err(problem) => return search::invalid(world, &problem),
    };
    let key = wanted.after().to_string();
    let mut answer = apply_with(world, "qualys", api.name(), &key, |mode| match api {
        Api::Tags => search::tags(world, &wanted, &mode),
        _ => search::host_assets(world, &wanted, &mode),
    })
    .await;
    permit.counters().add_to(answer.headers_mut());
    answer
}

async fn answer(
    qualys: &Qualys,
    api: Api,
    version: &str,
    method: &Method,
    uri: &Uri,
    body: &[u8],
) -> Response {
    let world = &qualys.world;
    let newest = api.newest();
    let known = version.strip_suffix(".0").and_then(|n| n.parse::<u8>().ok());
    if !known.is_some_and(|version| (2..=newest).contains(&version)) {
        world.received.refuse(format!("qualys: 404 API version {version}"));
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    if uri.query().is_some_and(|query| query.len() > LONGEST_QUERY) {
        world.received.refuse(format!("qualys: 414 query string too long ({})", api.name()));
        return (StatusCode::URI_TOO_LONG, "Request-URI Too Long").into_response();
    }
    let permit = match qualys.gate.enter(world, api.name()) {
        Ok(permit) => permit,
        Err(denied) => return deny(world, api, &denied),
    };
    let counters = permit.counters();
    let form = if method == Method::POST { body } else { &[] };
    let params = match Params::parse(uri.query().unwrap_or_default(), form, allowed(api)) {
        Ok(params) => params,
        Err(wrong) => {
            world.received.refuse(format!("qualys: 400 {} {}", wrong.code, wrong.text));
            let mut answer = simple_return(world, StatusCode::BAD_REQUEST, wrong.code, &wrong.text, &[]);
            counters.add_to(answer.headers_mut());
            return answer;
        }
    };
    let key = key(api, &params);
    let path = uri.path().to_owned();
    let mut answer = apply_with(world, "qualys", api.name(), &key, |mode| match mode {
        Mode::Named(name) if name == "account-expired" => {
            simple_return(world, StatusCode::OK, 2001, "Your account has expired.", &[])
        }
        Mode::Named(name) if name == "concurrency" => deny(world, api, &Denied::Concurrency { to_finish: 1 }),
        mode => {
            let ask = Ask { world: world.clone(), params, path, mode, permit };
            let body = match api {
                Api::Hosts => hosts::stream(ask),
                Api::Detection => detections::stream(ask),
                Api::KnowledgeBase => kb::stream(ask),
                Api::Groups => groups::answer(&ask),
                Api::Policies => posture::policies(&ask),
                Api::Posture | Api::HostAssets | Api::Tags => posture::posture(&ask),
            };
            xml(body)
        }
    })
    .await;
    counters.add_to(answer.headers_mut());
    answer
}

fn xml(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

fn deny(world: &World, api: Api, denied: &Denied) -> Response {
    let limits = world.options.qualys_limits;
    let (mut answer, running, wait) = match denied {
        Denied::Concurrency { to_finish } => {
            world.received.refuse(format!("qualys: 409 1960 too many calls at once ({})", api.name()));
            let text = "Too many calls to this API are running.";
            let items = [("CALLS_TO_FINISH", to_finish.to_string())];
            (simple_return(world, StatusCode::CONFLICT, 1960, text, &items), limits.concurrency, 0)
        }
        Denied::Rate { seconds } => {
            world.received.refuse(format!("qualys: 409 1965 too many calls in the window ({})", api.name()));
            let text = "The limit of calls in the window is reached.";
            let items = [("SECONDS_TO_WAIT", seconds.to_string())];
            (simple_return(world, StatusCode::CONFLICT, 1965, text, &items), 0, *seconds)
        }
    };
    limits::add_headers(answer.headers_mut(), limits, 0, running, wait);
    answer
}

/// The parameters of an API; those without an effect here are accepted all the same.
fn allowed(api: Api) -> &'static [&'static str] {
    const HOSTS: &[&str] = &[
        "action",
        "echo_request",
        "details",
        "ids",
        "id_min",
        "id_max",
        "truncation_limit",
        "vm_processed_after",
        "vm_scan_since",
        "no_vm_scan_since",
        "show_asset_id",
        "show_tags",
        "show_trurisk",
        "show_ars",
        "show_trurisk_factors",
        "host_metadata",
        "show_cloud_tags",
        "use_tags",
        "output_format",
    ];
    const DETECTION: &[&str] = &[
        "action",
        "echo_request",
        "output_format",
        "ids",
        "id_min",
        "id_max",
        "truncation_limit",
        "status",
        "severities",
        "qids",
        "include_vuln_type",
        "vm_processed_after",
        "vm_scan_since",
        "detection_updated_since",
        "detection_processed_after",
        "show_asset_id",
        "show_tags",
        "show_qds",
        "show_qds_factors",
        "show_results",
        "show_reopened_info",
        "show_igs",
        "host_metadata",
        "show_cloud_tags",
        "include_ignored",
        "include_disabled",
        "arf_kernel_filter",
        "active_kernels_only",
        "filter_superseded_qids",
    ];
    const KB: &[&str] = &[
        "action",
        "echo_request",
        "details",
        "ids",
        "id_min",
        "id_max",
        "is_patchable",
        "last_modified_after",
        "last_modified_before",
        "last_modified_by_service_after",
        "published_after",
        "published_before",
    ];
    const GROUPS: &[&str] =
        &["action", "echo_request", "output_format", "ids", "id_min", "truncation_limit", "show_attributes"];
    const POLICIES: &[&str] = &["action", "echo_request", "details", "ids", "id_min", "id_max"];
    const POSTURE: &[&str] = &[
        "action",
        "echo_request",
        "output_format",
        "policy_id",
        "details",
        "truncation_limit",
        "id_min",
        "host_ids",
        "status_changes_since",
    ];
    match api {
        Api::Hosts => HOSTS,
        Api::Detection => DETECTION,
        Api::KnowledgeBase => KB,
        Api::Groups => GROUPS,
        Api::Policies => POLICIES,
        Api::Posture => POSTURE,
        Api::HostAssets | Api::Tags => &[],
    }
}

/// The identity of a page, the same on every try.
fn key(api: Api, params: &Params) -> String {
    let ids = params.text("ids");
    match (api, ids) {
        (_, Some(ids)) => format!("{:016x}", crate::dice::hash(0, &[ids])),
        (Api::KnowledgeBase, None) => "all".to_owned(),
        (_, None) => params.text("id_min").unwrap_or("0").to_owned(),
    }
}
