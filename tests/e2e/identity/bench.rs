//! A table to which scanners have said what a test says, and the whole system on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::http::{HeaderValue, Method};
use dashboard::{Dashboard, Door, TokenDoor};
use domain::vulnerability::Statement;
use domain::{Asset, AssetId, Host, Rule, RuleId, Scanner, Severity, SightingId};
use jiff::SignedDuration;
use queue::ScoreMessage;
use serde_json::Value;
use store::{ExportItem, OpenCounts, RuleBook, Store};

use crate::faults::plan::Plan;
use crate::site::{Setup, Site};

pub const TENABLE: &str = "tenable-demo";
pub const QUALYS: &str = "qualys-demo";
pub const LOG4SHELL: &str = "CVE-2021-44228";
pub const OTHER: &str = "CVE-2021-45046";
const TOKEN: &str = "a-token-of-the-test";

pub struct Bench {
    pub site: Site,
    dashboard: Dashboard,
}

/// A machine of which a scanner knows its agent alone.
pub fn agent() -> Host {
    Host { agent_ids: vec!["agent-1".into()], ..Host::default() }
}

/// A machine of which a scanner knows its hardware alone.
pub fn hardware() -> Host {
    Host { bios_uuid: Some("4c4c4544-0051-3410-8052-b7c04f4d3132".into()), ..Host::default() }
}

/// The machine that is both.
pub fn both() -> Host {
    Host { agent_ids: agent().agent_ids, ..hardware() }
}

fn sighting(connector: &str, native: &str) -> SightingId {
    SightingId::new(connector.parse().unwrap(), native)
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// Every critical vulnerability gets a ticket.
    pub async fn with(plan: Option<Arc<Plan>>) -> Self {
        let setup = Setup::new(1).edit("ticket_min_score: 700", "ticket_min_score: 0");
        let site = Site::start(Setup { plan, ..setup }).await;
        for scanner in [Scanner::Tenable, Scanner::Qualys] {
            let rules: Vec<Rule> = [LOG4SHELL, OTHER].iter().map(|cve| rule(scanner, cve)).collect();
            RuleBook::new(scanner).write(site.stack.observer(), &rules, &[]).await.unwrap();
        }
        let door = Door::Token(TokenDoor::new(TOKEN, "ann"));
        let dashboard = Dashboard::new(site.stack.services(), door);
        Self { site, dashboard }
    }

    /// A store whose calls nothing befalls.
    pub fn store(&self) -> &Store {
        self.site.stack.observer()
    }

    pub async fn later(&self) {
        self.site.advance(SignedDuration::from_hours(24));
    }

    /// Writes what a scanner says of a host, as its function does.
    pub async fn write(&self, connector: &str, native: &str, host: &Host, cves: &[&str]) {
        let id = sighting(connector, native);
        let mut state = self.store().sighting_state(&id, true).await.unwrap();
        // The scanner's own time: not that of a repeat.
        let at = self.site.now() - SignedDuration::from_secs(self.site.now().as_second() % 3_600);
        let host = Host { native: native.into(), last_scanned_at: Some(at), ..host.clone() };
        state.sighting.scan = Some(host);
        let said: Vec<Statement> = cves.iter().map(|cve| statement(cve, at)).collect();
        self.store().write_statements(&id, &said).await.unwrap();
        self.store().put_sighting(&id, &state, true).await.unwrap();
    }

    pub fn message(&self, connector: &str, native: &str) -> ScoreMessage {
        ScoreMessage { sightings: vec![sighting(connector, native)], ..ScoreMessage::default() }
    }

    /// A scanner says something of a host, and everything follows.
    pub async fn see(&self, connector: &str, native: &str, host: &Host, cves: &[&str]) {
        self.write(connector, native, host, cves).await;
        self.send(connector, native);
        self.site.drain().await;
    }

    /// Tells that a sighting has changed.
    pub fn send(&self, connector: &str, native: &str) {
        let message = serde_json::to_string(&self.message(connector, native)).unwrap();
        self.site.stack.send("score", &message).unwrap();
    }

    pub async fn asset_of(&self, connector: &str, native: &str) -> AssetId {
        let link = self.store().link(&sighting(connector, native)).await.unwrap().unwrap();
        let asset = self.store().resolved_asset(&link.asset).await.unwrap().unwrap().value;
        assert_eq!(link.asset, asset.id, "the link leads to where the sighting is");
        assert!(asset.sightings.contains_key(&sighting(connector, native)));
        asset.id
    }

    pub fn tickets(&self) -> usize {
        self.site.world.received.tickets().len()
    }

    pub fn writes(&self) -> f64 {
        self.store().capacity().total().write_units
            + self.site.stack.services().store.capacity().total().write_units
    }

    pub async fn assets(&self) -> Vec<Asset> {
        let (mut all, mut start) = (Vec::new(), None);
        loop {
            let page = self.store().export_page(start).await.unwrap();
            all.extend(page.items.into_iter().filter_map(|item| match item {
                ExportItem::Asset(asset) => Some(*asset),
                _ => None,
            }));
            start = page.next;
            if start.is_none() {
                return all;
            }
        }
    }

    /// The counters of what is open are what a count of everything gives, and who uses a CVE has it.
    pub async fn counts_are_right(&self) {
        let assets = self.assets().await;
        let mut wanted: BTreeMap<String, OpenCounts> = BTreeMap::new();
        let owner_of: BTreeMap<&AssetId, &str> =
            assets.iter().map(|asset| (&asset.id, asset.owner.as_str())).collect();
        for asset in assets.iter().filter(|asset| asset.gone_at.is_none()) {
            wanted.entry(asset.owner.clone()).or_default().assets += 1;
        }
        let vulnerabilities = self.site.vulnerabilities().await;
        for v in vulnerabilities.iter().filter(|v| v.status.is_open()) {
            let counts = wanted.entry(owner_of[&v.asset].to_owned()).or_default();
            assert_eq!(v.severity, Severity::Critical);
            counts.critical += 1;
            counts.overdue += i64::from(v.is_overdue(self.site.now()));
        }
        let counted = self.store().open_counts().await.unwrap();
        for (owner, wanted) in &wanted {
            assert_eq!(counted.get(owner), Some(wanted), "counters of {owner}");
        }
        for cve in [LOG4SHELL, OTHER] {
            let cve = cve.parse().unwrap();
            let open = vulnerabilities.iter().filter(|v| !matches!(v.status, domain::Status::Gone));
            let wanted: std::collections::BTreeSet<_> =
                open.filter(|v| v.cves.contains(&cve)).map(|v| v.asset.clone()).collect();
            assert_eq!(self.store().cve_users(&cve).await.unwrap(), wanted, "users of {cve}");
        }
    }

    /// A person's call of the API, and what follows.
    pub async fn act(&self, path: &str, body: Value) -> i64 {
        let answer = self.dashboard.handle(request(Method::POST, path, Some(body.to_string()))).await;
        self.site.drain().await;
        answer.status_code
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.dashboard.handle(request(Method::GET, path, None)).await;
        assert_eq!(answer.status_code, 200, "{path}");
        json(answer)
    }

    /// The same as [`Self::act`], with the answer.
    pub async fn post(&self, path: &str, body: Value) -> (i64, Value) {
        let answer = self.dashboard.handle(request(Method::POST, path, Some(body.to_string()))).await;
        self.site.drain().await;
        (answer.status_code, json(answer))
    }
}

fn json(answer: ApiGatewayV2httpResponse) -> Value {
    match answer.body.unwrap() {
        aws_lambda_events::encodings::Body::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn request(method: Method, path: &str, body: Option<String>) -> ApiGatewayV2httpRequest {
    let mut request = ApiGatewayV2httpRequest::default();
    request.request_context.http.method = method;
    request.raw_path = Some(path.to_owned());
    request.headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap());
    request.headers.insert("content-type", HeaderValue::from_static("application/json"));
    request.body = body;
    request
}

fn rule(scanner: Scanner, cve: &str) -> Rule {
    Rule {
        scanner,
        id: RuleId::new(cve),
        title: format!("The weakness {cve}"),
        cves: vec![cve.parse().unwrap()],
        severity: Some(Severity::Critical),
        cvss: None,
        description: None,
        solution: None,
        patchable: Some(true),
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    }
}

fn statement(cve: &str, at: jiff::Timestamp) -> Statement {
    let finding = tests::open_finding(cve, cve, Severity::Critical, at);
    Statement { finding, closing: None }
}
