//! A dashboard over an embedded table, a double of SQS, and an estate that is written through the table's own API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderName, HeaderValue, Method};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dashboard::{Dashboard, Door, TokenDoor};
use domain::intel::{Epss, Feed, Kev};
use domain::score::{Criticality, Cvss, Exposure, Factors, Share, score};
use domain::sla::{Event, What};
use domain::threat::{Evidence, Level, Tlp};
use domain::vulnerability::{Counted, Effect, EffectTarget, FindingRef, Join, NotifyEvent, Statement};
use domain::{
    Asset, AssetId, ConnectorName, Finding, FindingKey, FindingState, Host, Intel, Rule, RuleId, RunId,
    Scanner, Severity, SightingId, Status, VulnId, Vulnerability,
};
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, Secrets, Services};
use queue::{Queue, QueueName};
use serde_json::{Value, json};
use simulators::aws_client;
use store::{CounterDelta, DeliveryState, Reservation, RuleBook, Store};

pub const TOKEN: &str = "a-token-of-this-test";
pub const HOST: &str = "127.0.0.1:9000";
/// A title that would run if it were not escaped.
pub const HOSTILE: &str = "<script>alert('x')</script> & \"friends\"";
const CONFIG: &str = r#"
connectors:
  - name: qualys-prod
    type: qualys
    base_url: https://qualysapi.qualys.com
    auth: { method: basic, username: "${USER}", password: "${PASS}" }
  - name: tenable-prod
    type: tenable
    base_url: https://cloud.tenable.com
    auth: { method: api_keys, access_key: "${A}", secret_key: "${S}" }
feeds:
  misp:
    base_url: https://misp.example.com
    auth: { method: api_key, key: "${MISP}" }
"#;

/// A clock that stands still until it is moved.
pub struct StillClock(Mutex<Timestamp>);

impl StillClock {
    pub fn advance(&self, by: SignedDuration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What was sent to queues, and whether they fail.
#[derive(Default)]
pub struct Queues {
    sent: Mutex<Vec<(String, Value)>>,
    pub fail: AtomicBool,
}

impl Queues {
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.sent.lock().unwrap().clone()
    }

    fn answer(&self, body: &[u8]) -> Response {
        if self.fail.load(Ordering::SeqCst) {
            return (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        let queue = body["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let entries = body["Entries"].as_array().unwrap();
        let message = |entry: &Value| serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        self.sent.lock().unwrap().extend(entries.iter().map(|e| (queue.clone(), message(e))));
        let done = |e: &Value| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "0" });
        let done: Vec<Value> = entries.iter().map(done).collect();
        let body = json!({ "Successful": done, "Failed": [] }).to_string();
        ([("content-type", "application/x-amz-json-1.0")], body).into_response()
    }
}

pub struct Setting {
    pub dashboard: Dashboard,
    pub store: Store,
    pub queues: Arc<Queues>,
    pub clock: Arc<StillClock>,
}

pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub fn connector(name: &str) -> ConnectorName {
    name.parse().unwrap()
}

impl Setting {
    pub async fn new() -> Self {
        Self::with_config(CONFIG).await
    }

    pub async fn with_config(config: &str) -> Self {
        Self::with_door(config, Door::Token(TokenDoor::new(TOKEN, "ada"))).await
    }

    /// A dashboard behind another door.
    pub async fn behind(door: Door) -> Self {
        Self::with_door(CONFIG, door).await
    }

    async fn with_door(config: &str, door: Door) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let table = format!("http://{}", listener.local_addr().unwrap());
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let client = aws_client!(aws_sdk_dynamodb, table);
        store::create_table(&client, "test").await.unwrap();
        let store = Store::new(client, "test");

        let queues = Arc::new(Queues::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = queues.clone();
        let app = Router::new().fallback(move |body: Bytes| {
            let state = state.clone();
            async move { state.answer(&body) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let addresses: BTreeMap<_, _> =
            QueueName::all().into_iter().map(|q| (q, format!("{endpoint}/queue/{}", q.as_str()))).collect();
        let still = Arc::new(StillClock(Mutex::new(now())));
        let clock: Arc<dyn Clock> = still.clone();
        let services = Services {
            store: store.clone(),
            queue: Queue::new(aws_client!(aws_sdk_sqs, endpoint.clone()), addresses),
            secrets: Secrets::new(aws_client!(aws_sdk_secretsmanager, endpoint), "vulnrelay/", clock.clone()),
            metrics: platform::Metrics::new(Arc::new(platform::telemetry::Log), clock.clone()),
            clock,
            config: Arc::new(platform::parse_config("connectors.yaml", config).unwrap()),
            config_version: 7,
        };
        let dashboard = Dashboard::new(&services, door);
        Self { dashboard, store, queues, clock: still }
    }

    /// Asks with the token.
    pub async fn get(&self, address: &str) -> Answer {
        self.send(request(Method::GET, address, &[("authorization", &format!("Bearer {TOKEN}"))], "")).await
    }

    /// Asks for data with the token.
    pub async fn json(&self, address: &str) -> Value {
        let answer = self.get(address).await;
        assert_eq!(answer.status, 200, "{address}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Sends JSON with the token, as a program does.
    pub async fn post(&self, address: &str, body: &Value) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        self.send(request(Method::POST, address, &headers, &body.to_string())).await
    }

    pub async fn send(&self, request: ApiGatewayV2httpRequest) -> Answer {
        Answer::from(self.dashboard.handle(request).await)
    }

    /// An asset of `owner` with vulnerabilities, each given by its title, its severity and what is known of it.
    pub async fn asset(&self, name: &str, owner: &str, kinds: &[Kind<'_>]) -> (AssetId, Vec<VulnId>) {
        let id = AssetId::derive(name);
        let sighting = SightingId::new(connector("qualys-prod"), name);
        let host = Host { native: name.into(), fqdns: vec![format!("{name}.example")], ..Host::default() };
        let mut asset = Asset {
            host,
            sightings: [(sighting.clone(), Join { rule: "fqdn".into(), confidence: 90, ..Join::default() })]
                .into(),
            owner: owner.into(),
            service: Some("checkout".into()),
            criticality: Some(4),
            exposure: Some(Exposure::Internet),
            seen_by: [sighting.connector.clone()].into(),
            ..Asset::new(id.clone())
        };
        let mut delta = CounterDelta::default();
        delta.add_open(owner, "assets", 1);
        delta.add_open(owner, store::seen_by(&sighting.connector), 1);
        let mut ids = Vec::new();
        for kind in kinds {
            let v = vulnerability(&id, &sighting, kind);
            let counted = Counted { status: v.status, severity: v.severity, overdue: v.is_overdue(now()) };
            if v.status.is_open() {
                delta.add_open(owner, v.severity.as_str(), 1);
                delta.add_open(owner, "overdue", i64::from(counted.overdue));
                delta.add_day(now().to_zoned(jiff::tz::TimeZone::UTC).date(), owner, "opened", 1);
            }
            asset.counted.insert(v.id.clone(), counted);
            self.store.put_vulnerability(&asset, &v, None, 250).await.unwrap();
            self.store.write_statements(&sighting, &[statement(kind)]).await.unwrap();
            let uses: Vec<_> = v.cves.iter().map(|cve| (cve.clone(), v.id.clone())).collect();
            self.store.write_cve_uses(&id, &uses, &[]).await.unwrap();
            ids.push(v.id);
        }
        self.store.commit_asset(&asset, None, &delta).await.unwrap();
        (id, ids)
    }

    /// Definitions and intelligence for what [`Kind::log4shell`] is about.
    pub async fn knowledge(&self) {
        let rule = Rule {
            scanner: Scanner::Qualys,
            id: RuleId::new("376157"),
            title: "Apache Log4j Remote Code Execution".into(),
            cves: vec!["CVE-2021-44228".parse().unwrap()],
            severity: Some(Severity::Critical),
            cvss: None,
            description: Some("A lookup loads code.".into()),
            solution: Some("Update to 2.17.1 <b>now</b>".into()),
            patchable: Some(true),
            vendor_risk: None,
            exploit_available: None,
            modified: None,
        };
        RuleBook::new(Scanner::Qualys).write(&self.store, &[rule], &[]).await.unwrap();
        let seen = Evidence::sighted("57c4445b", Level::Active, Some(now()));
        let intel = Intel {
            kev: Some(Kev {
                added: "2021-12-10".parse().unwrap(),
                due: "2021-12-24".parse().unwrap(),
                ransomware: true,
                name: "Apache Log4j2".into(),
            }),
            epss: Some(Epss { score: 0.94, percentile: 0.999, model: "v2025".into() }),
            threat: [
                (Feed::Misp, vec![seen.told(Some(Tlp::Amber), "event 7: a campaign")]),
                (Feed::Mandiant, vec![Evidence::stated("vulnerability--1", Level::Active, None)]),
            ]
            .into(),
            ..Intel::default()
        };
        self.store.write_intel(&[("CVE-2021-44228".parse().unwrap(), intel)].into()).await.unwrap();
    }

    /// A message to `chat` about this asset, whose delivery stands so.
    pub async fn ended(&self, key: &str, state: DeliveryState, asset: &AssetId) {
        let (receiver, lease) = (connector("chat"), SignedDuration::from_mins(1));
        let subject = format!("News of {key}");
        let reserved = self.store.reserve_delivery(&receiver, key, &subject, now(), lease, 55).await.unwrap();
        let Reservation::Yours(mut delivery, rev) = reserved else { panic!("{reserved:?}") };
        let event = NotifyEvent::Opened;
        (delivery.state, delivery.target) = (state, Some(EffectTarget::Asset { asset: asset.clone() }));
        delivery.effect = Some(Effect::Notify { channel: "chat".into(), event, about: Vec::new() });
        self.store.end_delivery(&delivery, rev).await.unwrap();
    }

    /// A run of `qualys-prod` with two units; held if `held`.
    pub async fn run(&self, held: bool) -> RunId {
        let name = connector("qualys-prod");
        let run = RunId::new(now() - SignedDuration::from_mins(5), 1);
        let (state, rev) = self.store.connector_state(&name).await.unwrap();
        let mode = json!({ "mode": "full" });
        self.store
            .begin_run(&name, (&state, rev), &run, &mode, now() - SignedDuration::from_mins(5))
            .await
            .unwrap();
        let units = ["a", "b"].map(|unit| (unit.to_owned(), json!({})));
        self.store.add_units(&name, &run, &units).await.unwrap();
        if held {
            let reason = Some("it would close 80 % of what is open");
            let verdict = store::Verdict::Complete;
            self.store.judge_run(&name, &run, verdict, store::RunStatus::Held, reason, 400).await.unwrap();
        }
        run
    }
}

/// A vulnerability to be made.
#[derive(Clone)]
pub struct Kind<'a> {
    pub key: &'a str,
    pub title: &'a str,
    pub severity: Severity,
    pub status: Status,
    pub cve: Option<&'a str>,
    pub kev: bool,
    pub age_days: i64,
}

impl<'a> Kind<'a> {
    pub fn plain(key: &'a str) -> Self {
        Self {
            key,
            title: "An old library",
            severity: Severity::Medium,
            status: Status::Identified,
            cve: None,
            kev: false,
            age_days: 1,
        }
    }

    pub fn log4shell() -> Self {
        Self {
            key: "376157",
            title: "Apache Log4j Remote Code Execution",
            severity: Severity::Critical,
            status: Status::Identified,
            cve: Some("CVE-2021-44228"),
            kev: true,
            age_days: 20,
        }
    }
}

fn vulnerability(asset: &AssetId, sighting: &SightingId, kind: &Kind<'_>) -> Vulnerability {
    let factors = Factors {
        cvss: Cvss::from_tenths(if kind.kev { 100 } else { 55 }),
        severity: Some(kind.severity),
        kev: kind.cve.map(|_| kind.kev),
        ransomware: kind.cve.map(|_| kind.kev),
        epss: kind.cve.and_then(|_| Share::new(0.94)),
        percentile: kind.cve.and_then(|_| Share::new(0.999)),
        criticality: Criticality::new(4),
        exposure: Some(Exposure::Internet),
        has_cve: Some(kind.cve.is_some()),
        ..Factors::default()
    };
    let policies = domain::policy::Policies::default();
    let found = now() - SignedDuration::from_hours(24 * kind.age_days);
    let what = What::Detected { severity: kind.severity, criticality: None, awaiting_promotion: false };
    let events = vec![Event { at: found, what }];
    Vulnerability {
        id: VulnId::derive(asset, kind.key),
        asset: asset.clone(),
        title: kind.title.into(),
        cves: kind.cve.iter().map(|cve| cve.parse().unwrap()).collect(),
        findings: vec![FindingRef {
            sighting: sighting.clone(),
            finding: FindingKey::new(kind.key),
            rule: RuleId::new(kind.key),
        }],
        scanners: vec![Scanner::Qualys],
        aliases: vec![],
        severity: kind.severity,
        status: kind.status,
        score: score(&factors, &policies.score),
        factors,
        leading_cve: kind.cve.map(|cve| cve.parse().unwrap()),
        epss_model: None,
        due: domain::sla::sla(&events, &policies.sla).due,
        events,
        announced: BTreeSet::new(),
        policy_version: 5,
        known_since: found,
        next_at: None,
        decision: None,
        kind: domain::FindingKind::Vulnerability,
        ticket_wishes: 0,
        ticket: None,
        other_tickets: Vec::new(),
        intents: BTreeMap::new(),
    }
}

fn statement(kind: &Kind<'_>) -> Statement {
    let finding = Finding {
        key: FindingKey::new(kind.key),
        rule: RuleId::new(kind.key),
        severity: kind.severity,
        kind: domain::FindingKind::Vulnerability,
        source_severity: "5".into(),
        state: FindingState::Open,
        source_state: "Active".into(),
        cvss: None,
        epss: None,
        vendor_risk: Some(95.0),
        exploit_available: None,
        vendor_factors: BTreeMap::new(),
        first_found: Some(now()),
        last_found: Some(now()),
        fixed_at: None,
        reopened_at: None,
        port: Some(8080),
        protocol: Some("tcp".into()),
        service: Some("http".into()),
        evidence: Some("jar at </pre><img src=x onerror=alert(1)>".into()),
    };
    Statement { finding, closing: None }
}

/// What came back.
pub struct Answer {
    pub status: i64,
    pub text: String,
    pub whole: ApiGatewayV2httpResponse,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.whole.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl From<ApiGatewayV2httpResponse> for Answer {
    fn from(whole: ApiGatewayV2httpResponse) -> Self {
        let text = match &whole.body {
            Some(Body::Text(text)) => text.clone(),
            _ => String::new(),
        };
        Self { status: whole.status_code, text, whole }
    }
}

/// A request as API Gateway sends it.
pub fn request(
    method: Method,
    address: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> ApiGatewayV2httpRequest {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(path.to_owned());
    request.raw_query_string = Some(query.to_owned());
    request.request_context.http.method = method;
    request.headers.insert("host", HeaderValue::from_static(HOST));
    for (name, value) in headers {
        if *name == "cookie" {
            request.cookies = Some(vec![(*value).to_owned()]);
        } else {
            request
                .headers
                .insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
    }
    request.body = (!body.is_empty()).then(|| body.to_owned());
    request
}
