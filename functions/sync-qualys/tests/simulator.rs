//! The scanner against the simulated Qualys: whole runs, with and without faults.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Finding, FindingState};
use simulators::{Options, World};
use support::*;
use sync::{Coverage, Mode, Next, Scanner, SyncError};
use sync_qualys::QualysScanner;

const HOSTS: usize = 40;

struct Simulated {
    world: Arc<World>,
    base: String,
}

impl Simulated {
    async fn start(faults: &str) -> Self {
        let world = World::new(Options { day: 40, ..Options::new(7, HOSTS, time("2026-10-01T00:00:00Z")) });
        world.faults.set(faults).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/qualys", listener.local_addr().unwrap());
        let serving = world.clone();
        tokio::spawn(async move { simulators::serve(serving, listener).await });
        Self { world, base }
    }

    fn scanner(&self, page_size: u32) -> QualysScanner {
        let http = http(&self.base).with_basic("sim-user", "sim-pass").unwrap();
        QualysScanner::new(&connector(&self.base, &[], page_size), http)
    }

    /// Works a run to its end. A unit that fails for the moment is worked again, as the queue would have it.
    async fn pull(&self, page_size: u32, mode: Mode, sink: &mut Recorder) -> Result<(), SyncError> {
        let (scanner, run) = (self.scanner(page_size), run(mode));
        let mut units = scanner.plan(&run).await?;
        let mut failures = 0;
        for _ in 0..1000 {
            let Some(unit) = units.pop() else { return Ok(()) };
            sink.now = self.world.clock.now();
            match scanner.pull(&run, &unit, sink).await {
                Ok(Next::Done(_)) => {}
                Ok(Next::More(more, _)) => units.extend(more),
                Ok(Next::Later(at, unit)) => {
                    self.world.clock.advance(at.duration_since(sink.now));
                    units.push(unit);
                }
                Err(error) if error.is_transient() && failures < 100 => {
                    failures += 1;
                    units.push(unit);
                }
                Err(error) => return Err(error),
            }
        }
        panic!("the run has no end");
    }
}

/// What was said of each host in the end; a page that was worked twice said it twice.
fn findings(sink: &Recorder) -> BTreeMap<String, BTreeMap<String, Finding>> {
    let said = |findings: &[Finding]| findings.iter().map(|f| (f.key.to_string(), f.clone())).collect();
    sink.reports.iter().map(|r| (r.host.native.clone(), said(&r.findings))).collect()
}

fn inventory(sink: &Recorder) -> BTreeSet<String> {
    sink.inventory.iter().map(|host| host.native.clone()).collect()
}

#[tokio::test]
async fn small_pages_say_the_same_as_one_big_page() {
    let simulated = Simulated::start("").await;
    let (mut small, mut big) = (Recorder::default(), Recorder::default());
    simulated.pull(7, Mode::Full, &mut small).await.unwrap();
    simulated.pull(100_000, Mode::Full, &mut big).await.unwrap();
    assert!(inventory(&small).len() > HOSTS / 2, "{}", inventory(&small).len());
    assert_eq!(inventory(&small), inventory(&big));
    assert_eq!(findings(&small), findings(&big));
    assert_eq!(small.inventory.len(), inventory(&small).len(), "no host came twice");
    assert!(small.refused.is_empty() && big.refused.is_empty());
    assert!(small.reports.iter().all(|r| r.coverage == Coverage::Whole));
    let all: Vec<_> = small.reports.iter().flat_map(|r| &r.findings).collect();
    for state in [FindingState::Open, FindingState::Fixed] {
        assert!(all.iter().any(|f| f.state == state), "{state:?}");
    }
    let used: BTreeSet<_> = all.iter().map(|f| f.rule.clone()).collect();
    assert!(used.iter().all(|rule| small.known.contains(rule) || small.undefined.contains(rule)));
    assert!(small.rules.iter().any(|rule| !rule.cves.is_empty() && rule.solution.is_some()));
    assert!(
        all.iter().all(|f| f.first_found.is_some() && f.last_found.is_some() && !f.source_state.is_empty())
    );
    assert!(
        small
            .inventory
            .iter()
            .any(|host| host.cloud.iter().any(|id| id.account.is_some() && id.region.is_some()))
    );
    assert_eq!(simulated.world.received.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn faults_that_pass_leave_the_same_statements() {
    let calm = Simulated::start("").await;
    let mut expected = Recorder::default();
    calm.pull(7, Mode::Full, &mut expected).await.unwrap();
    for fault in ["truncate", "drop", "garbage", "error=500", "error=503", "ratelimit", "concurrency"] {
        let simulated = Simulated::start(&format!(
            "qualys.hosts:{fault}~1,qualys.detection:{fault}~1,qualys.kb:{fault}~1"
        ))
        .await;
        let mut sink = Recorder::default();
        simulated.pull(7, Mode::Full, &mut sink).await.unwrap();
        assert_eq!(inventory(&sink), inventory(&expected), "{fault}");
        let said = |sink: &Recorder| {
            findings(sink)
                .into_iter()
                .map(|(host, all)| (host, all.into_keys().collect()))
                .collect::<Vec<(_, Vec<_>)>>()
        };
        assert_eq!(said(&sink), said(&expected), "{fault}");
        assert_eq!(sink.known, expected.known, "{fault}");
    }
}

#[tokio::test]
async fn faults_that_stay_are_errors_never_an_end() {
    for (fault, unauthorized) in
        [("truncate", false), ("garbage", false), ("error=500", false), ("account-expired", true)]
    {
        let simulated = Simulated::start(&format!("qualys.detection:{fault}")).await;
        let error = simulated.pull(7, Mode::Full, &mut Recorder::default()).await.unwrap_err();
        assert_eq!(matches!(error, SyncError::Unauthorized { .. }), unauthorized, "{fault}: {error}");
    }
}

#[tokio::test]
async fn control_characters_and_empty_answers_are_read() {
    let calm = Simulated::start("").await;
    let (mut expected, mut sink) = (Recorder::default(), Recorder::default());
    calm.pull(50, Mode::Full, &mut expected).await.unwrap();
    let simulated = Simulated::start("qualys.detection:control-chars").await;
    simulated.pull(50, Mode::Full, &mut sink).await.unwrap();
    assert!(sink.refused.is_empty());
    assert_eq!(findings(&sink).len(), findings(&expected).len());

    let simulated = Simulated::start("qualys:empty").await;
    let mut sink = Recorder::default();
    simulated.pull(50, Mode::Full, &mut sink).await.unwrap();
    assert!(sink.reports.is_empty() && sink.inventory.is_empty());
}

#[tokio::test]
async fn an_incremental_run_brings_a_part_of_the_whole() {
    let simulated = Simulated::start("").await;
    let (mut all, mut part) = (Recorder::default(), Recorder::default());
    simulated.pull(50, Mode::Full, &mut all).await.unwrap();
    part.known.clone_from(&all.known);
    let since = simulated.world.clock.now() - jiff::SignedDuration::from_hours(30);
    simulated.pull(50, Mode::Incremental { since }, &mut part).await.unwrap();
    let (all, part) = (findings(&all), findings(&part));
    assert!(!part.is_empty() && part.len() < all.len(), "{} of {}", part.len(), all.len());
    assert!(
        part.iter().all(|(host, said)| all.get(host) == Some(said)),
        "a host in an incremental run is whole"
    );
}

#[tokio::test]
async fn the_check_needs_right_credentials() {
    let simulated = Simulated::start("").await;
    assert!(simulated.scanner(1).check().await.unwrap().contains("10.38"));
    let wrong = http(&simulated.base).with_basic("sim-user", "wrong").unwrap();
    let scanner = QualysScanner::new(&connector(&simulated.base, &[], 1), wrong);
    assert!(matches!(scanner.check().await, Err(SyncError::Unauthorized { .. })));
}
