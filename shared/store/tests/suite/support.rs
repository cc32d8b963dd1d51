//! A table for one test, and things to put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use domain::score::{Band, Contributions, Factors, Score};
use domain::sla::{Event, What};
use domain::vulnerability::{Effect, Intent, Statement};
use domain::{
    Asset, AssetId, ConnectorName, Finding, FindingKey, FindingState, Host, Rule, RuleId, RunId, Scanner,
    Severity, SightingId, Status, VulnId, Vulnerability,
};
use jiff::Timestamp;
use store::{AuditAction, AuditLine, Store, StoreError, create_table};

/// From this score on a vulnerability is in the list of high scores.
pub const HIGH: u16 = 700;

/// Whether the tests run against the embedded store, whose units are those of AWS in every operation.
pub fn is_embedded() -> bool {
    std::env::var_os("DYNAMODB_ENDPOINT").is_none()
}

/// A client of the endpoint.
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::standard())
            .endpoint_url(endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

async fn embedded() -> String {
    let database = dynoxide::Database::memory().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    format!("http://{address}")
}

/// An empty table.
pub async fn store() -> Store {
    table().await.2
}

/// The same, with the client and the name that reach behind the store.
pub async fn table() -> (Client, String, Store) {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let endpoint = match std::env::var("DYNAMODB_ENDPOINT") {
        Ok(endpoint) => endpoint,
        Err(_) => embedded().await,
    };
    let client = client(&endpoint);
    let table = format!("suite-{:08x}-{}", fastrand::u32(..), TABLES.fetch_add(1, Ordering::Relaxed));
    create_table(&client, &table).await.unwrap();
    create_table(&client, &table).await.expect("a table that exists is left alone");
    let store = Store::new(client.clone(), &table);
    (client, table, store)
}

/// Asserts that a write was refused because of somebody else's.
pub fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
}

/// How many succeeded; what did not has to be a conflict.
pub fn winners(outcomes: Vec<Result<(), StoreError>>) -> usize {
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    lost.into_iter().for_each(assert_conflict);
    won.len()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Noon of the day on which the tests play.
pub fn noon() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

pub fn connector() -> ConnectorName {
    "qualys-prod".parse().unwrap()
}

pub fn sighting(native: &str) -> SightingId {
    SightingId::new(connector(), native)
}

pub fn run_id(second: i64) -> RunId {
    RunId::new(noon() + jiff::SignedDuration::from_secs(second), 0)
}

pub fn host(name: &str) -> Host {
    Host {
        native: name.to_owned(),
        fqdns: vec![format!("{name}.example.org")],
        ips: vec!["10.1.2.3".into()],
        os: Some("Debian GNU/Linux 12".into()),
        last_scanned_at: Some(noon()),
        ..Host::default()
    }
}

pub fn finding(key: &str) -> Finding {
    Finding {
        key: FindingKey::new(key),
        rule: RuleId::new("38657"),
        severity: Severity::High,
        kind: domain::FindingKind::Vulnerability,
        source_severity: "4".into(),
        state: FindingState::Open,
        source_state: "Active".into(),
        cvss: None,
        epss: None,
        vendor_risk: Some(71.0),
        exploit_available: None,
        vendor_factors: BTreeMap::new(),
        first_found: Some(at("2026-10-01T08:00:00Z")),
        last_found: Some(noon()),
        fixed_at: None,
        reopened_at: None,
        port: Some(443),
        protocol: Some("tcp".into()),
        service: Some("https".into()),
        evidence: Some("TLSv1.0 is supported".into()),
    }
}

pub fn statement(key: &str) -> Statement {
    Statement { finding: finding(key), closing: None }
}

pub fn rule(id: &str, title: &str) -> Rule {
    Rule {
        scanner: Scanner::Qualys,
        id: RuleId::new(id),
        title: title.to_owned(),
        cves: vec!["CVE-2021-44228".parse().unwrap()],
        severity: Some(Severity::High),
        cvss: None,
        description: Some("What it is.".into()),
        solution: Some("What to do.".into()),
        patchable: Some(true),
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    }
}

pub fn asset(seed: &str) -> Asset {
    Asset { host: host(seed), ..Asset::new(AssetId::derive(seed)) }
}

/// An open vulnerability of high severity.
pub fn vulnerability(asset: &Asset, key: &str, score: u16) -> Vulnerability {
    let band = if score >= HIGH { Band::High } else { Band::Low };
    let detected = What::Detected { severity: Severity::High, criticality: None, awaiting_promotion: false };
    Vulnerability {
        id: VulnId::derive(&asset.id, key),
        asset: asset.id.clone(),
        title: format!("OpenSSL {key}"),
        cves: vec!["CVE-2021-44228".parse().unwrap()],
        findings: Vec::new(),
        scanners: vec![Scanner::Qualys],
        aliases: Vec::new(),
        severity: Severity::High,
        status: Status::Identified,
        score: Score { value: score, band, contributions: Contributions::default(), assumed: Vec::new() },
        factors: Factors::default(),
        leading_cve: None,
        epss_model: None,
        events: vec![Event { at: noon(), what: detected }],
        due: None,
        announced: BTreeSet::new(),
        policy_version: 1,
        known_since: noon(),
        next_at: None,
        decision: None,
        ticket: None,
        other_tickets: Vec::new(),
        kind: domain::FindingKind::Vulnerability,
        ticket_wishes: 0,
        intents: BTreeMap::new(),
    }
}

pub fn ticket_intent(key: &str) -> BTreeMap<String, Intent> {
    let effect = Effect::OpenTicket { tracker: "jira".into() };
    BTreeMap::from([(key.to_owned(), Intent::new(key, effect, noon()))])
}

/// A line of the audit, at noon.
pub fn line(by: &str) -> AuditLine {
    let action = AuditAction::Decided;
    AuditLine {
        at: noon(),
        by: by.into(),
        subject: None,
        action,
        target: "something".into(),
        detail: String::new(),
    }
}
