use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{FindingKind, FindingState, ScanOutcome, Severity};
use secrecy::SecretString;
use simulators::{Options, World};
use sync::{Coverage, Mode};
use sync_nessus::{Client, NessusScanner};

use crate::support::*;

const HOSTS: usize = 60;
const BOTH: &[&str] = &["scans", "compliance"];

struct Simulated {
    world: Arc<World>,
    base: String,
}

impl Simulated {
    async fn start(day: u32, faults: &str) -> Self {
        let world = World::new(Options { day, ..Options::new(7, HOSTS, time("2026-10-01T00:00:00Z")) });
        world.faults.set(faults).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/nessus", listener.local_addr().unwrap());
        let serving = world.clone();
        tokio::spawn(async move { simulators::serve(serving, listener).await });
        Self { world, base }
    }

    async fn pull(&self, scanner: &NessusScanner, mode: Mode) -> (Recorder, Vec<String>) {
        let mut sink = Recorder { now: self.world.clock.now(), ..Recorder::default() };
        let done = drive(scanner, mode, &mut sink, |passed| self.world.clock.advance(passed)).await.unwrap();
        (sink, done.into_iter().filter_map(|(_, proof)| proof.missing).collect())
    }

    async fn full(&self) -> Recorder {
        let (sink, missing) = self.pull(&scanner(&self.base, BOTH), Mode::Full).await;
        assert_eq!(missing, Vec::<String>::new());
        sink
    }
}

#[tokio::test]
async fn a_run_reads_every_host_of_the_newest_completed_night() {
    let simulated = Simulated::start(20, "").await;
    let sink = simulated.full().await;
    let hosts = said(&sink);
    assert!(hosts.len() > 20, "{}", hosts.len());
    assert_eq!(hosts.len(), sink.reports.len(), "no host came twice");
    assert!(hosts.values().all(|(_, coverage, _)| matches!(coverage, Coverage::Within(_))));
    let scans: BTreeSet<&str> = hosts.keys().filter_map(|native| native.split('/').next()).collect();
    assert_eq!(scans, BTreeSet::from(["11", "14", "17"]), "neither the draft nor the trash");
    let blind = |scan: &str| {
        hosts
            .iter()
            .filter(|(native, _)| native.starts_with(scan))
            .all(|(_, (host, ..))| host.credentialed == Some(false))
    };
    assert!(blind("14/") && !blind("11/"));
    let names: Vec<&str> = sink.scans.iter().map(|scan| scan.name.as_str()).collect();
    assert_eq!(names, ["Servers", "Network & perimeter", "Laptops with audit", "Draft"], "not the trash");
    assert!(sink.scans.iter().all(|scan| (scan.outcome == ScanOutcome::Never) == (scan.name == "Draft")));
    let findings = findings(&sink);
    assert!(
        findings
            .iter()
            .any(|finding| finding.kind == FindingKind::Compliance && finding.state == FindingState::Fixed)
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.first_found.is_some() && finding.last_found >= finding.first_found)
    );
    assert!(
        findings
            .iter()
            .any(|f| f.severity == Severity::Critical && f.epss.is_some() && f.vendor_risk.is_some())
    );
    let rules: BTreeSet<_> = sink.rules.iter().map(|rule| rule.id.clone()).collect();
    assert!(findings.iter().all(|finding| rules.contains(&finding.rule)), "each brings its definition");
    assert!(sink.rules.iter().any(|rule| !rule.cves.is_empty() && rule.solution.is_some()));
    assert!(sink.refused.is_empty());
    assert_eq!(simulated.world.received.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn faults_that_pass_leave_the_same_statements() {
    let expected = Simulated::start(20, "").await.full().await;
    for fault in [
        "truncate",
        "drop",
        "garbage",
        "error=500",
        "error=503",
        "ratelimit",
        "expired",
        "export-error",
        "empty",
    ] {
        let endpoints = match fault {
            "expired" => vec!["status", "download"],
            "export-error" => vec!["status"],
            // A server that has no scans is believed; only an empty file of a scan with hosts is not.
            "empty" => vec!["download"],
            _ => vec!["scans", "details", "export", "status", "download"],
        };
        let faults: Vec<_> =
            endpoints.iter().map(|endpoint| format!("nessus.{endpoint}:{fault}~1")).collect();
        let simulated = Simulated::start(20, &faults.join(",")).await;
        let sink = simulated.full().await;
        assert_eq!(said(&sink), said(&expected), "{fault}");
    }
}

#[tokio::test]
async fn control_characters_do_not_cost_a_finding() {
    let expected = Simulated::start(20, "").await.full().await;
    let sink = Simulated::start(20, "nessus.download:control-chars").await.full().await;
    assert_eq!((said(&sink), sink.refused), (said(&expected), vec![]));
}

#[tokio::test]
async fn a_session_sees_what_keys_see() {
    let simulated = Simulated::start(20, "").await;
    let expected = simulated.full().await;
    let secret = |text: &str| SecretString::from(text.to_owned());
    let client = Client::with_session(http(&simulated.base), secret("sim-user"), secret("sim-pass"));
    let (sink, missing) =
        simulated.pull(&NessusScanner::new(&connector(&simulated.base, BOTH), client), Mode::Full).await;
    assert_eq!((said(&sink), missing), (said(&expected), vec![]));
    assert_eq!(simulated.world.received.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn an_incremental_run_reads_the_nights_since_the_last() {
    let simulated = Simulated::start(19, "").await;
    let before = simulated.full().await;
    let since = simulated.world.clock.now();
    simulated.world.clock.set_day(20);
    let scanner = scanner(&simulated.base, BOTH);
    let (night, _) = simulated.pull(&scanner, Mode::Incremental { since }).await;
    assert_eq!(said(&night), said(&simulated.full().await), "every scan ran in that night");
    assert_ne!(said(&night), said(&before));
    let since = simulated.world.clock.now();
    let (nothing, _) = simulated.pull(&scanner, Mode::Incremental { since }).await;
    assert!(nothing.reports.is_empty(), "and none since");
}

#[tokio::test]
async fn a_night_that_was_aborted_changes_nothing() {
    // Day 26 is one on which scan 14 is aborted: the night before counts.
    let simulated = Simulated::start(25, "").await;
    let of_14 = |sink: &Recorder| {
        let mut hosts = said(sink);
        hosts.retain(|native, _| native.starts_with("14/"));
        hosts
    };
    let before = of_14(&simulated.full().await);
    simulated.world.clock.set_day(26);
    assert!(!before.is_empty());
    assert_eq!(of_14(&simulated.full().await), before);
}
