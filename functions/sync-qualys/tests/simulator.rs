//! The scanner against the simulated Qualys: whole runs, with and without faults.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Finding, FindingState};
use jiff::SignedDuration;
use simulators::{Options, World};
use support::*;
use sync::{Coverage, Mode, Next, Run, Scanner, SyncError};
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
        QualysScanner::new(&connector(&self.base, &[], page_size), http, None).unwrap()
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
    let since = simulated.world.clock.now() - SignedDuration::from_hours(30);
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
    let scanner = QualysScanner::new(&connector(&simulated.base, &[], 1), wrong, None).unwrap();
    assert!(matches!(scanner.check().await, Err(SyncError::Unauthorized { .. })));
}

/// Works a run with two units at a time, as the queue does, and counts how long the clock was moved on.
async fn pull_two_at_a_time(
    simulated: &Simulated,
    run: &Run,
    page_size: u32,
    streams: &[&str],
) -> SignedDuration {
    let http = http(&simulated.base).with_basic("sim-user", "sim-pass").unwrap();
    let scanner = QualysScanner::new(&connector(&simulated.base, streams, page_size), http, None).unwrap();
    let clock = &simulated.world.clock;
    let mut waiting: Vec<_> =
        scanner.plan(run).await.unwrap().into_iter().map(|unit| (clock.now(), unit)).collect();
    let began = clock.now();
    let mut sinks = [Recorder::default(), Recorder::default()];
    while !waiting.is_empty() {
        waiting.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let first = waiting.last().map_or(clock.now(), |(at, _)| *at);
        if first > clock.now() {
            clock.advance(first.duration_since(clock.now()));
        }
        let ready = waiting.iter().rev().take_while(|(at, _)| *at <= clock.now()).count().min(2);
        let units = waiting.split_off(waiting.len() - ready);
        sinks.iter_mut().for_each(|sink| sink.now = clock.now());
        let work = units.iter().zip(&mut sinks).map(|((_, unit), sink)| scanner.pull(run, unit, sink));
        for outcome in futures::future::join_all(work).await {
            match outcome.unwrap() {
                Next::Done(proof) => assert_eq!(proof.missing, None),
                Next::More(more, proof) => {
                    assert_eq!(proof.missing, None);
                    waiting.extend(more.into_iter().map(|unit| (clock.now(), unit)));
                }
                Next::Later(at, unit) => waiting.push((at, unit)),
            }
        }
    }
    assert!(sinks.iter().map(|sink| sink.reports.len()).sum::<usize>() > 0);
    clock.now().duration_since(began)
}

/// An account within the limits of a standard subscription.
async fn limited() -> Simulated {
    let options = Options { day: 3, ..Options::new(7, 340, time("2026-10-01T00:00:00Z")) };
    assert_eq!(
        (options.qualys_limits.calls, options.qualys_limits.window, options.qualys_limits.concurrency),
        (300, 3_600, 2)
    );
    let world = World::new(options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/qualys", listener.local_addr().unwrap());
    let serving = world.clone();
    tokio::spawn(async move { simulators::serve(serving, listener).await });
    Simulated { world, base }
}

#[tokio::test]
async fn a_whole_run_within_300_calls_an_hour_and_2_at_a_time_has_no_call_refused() {
    // A host a page: more pages of hosts and of detections than an hour allows.
    let all = ["asset_inventory", "tags", "knowledge_base", "host_detections", "compliance_posture"];
    // So many weeks of changes: more definitions to ask for than an hour allows.
    let long_ago = time("2026-10-01T00:00:00Z") - SignedDuration::from_hours(320 * 7 * 24);
    for (streams, page_size, changes_since) in
        [(&all[..], 1, None), (&["knowledge_base", "host_detections"], 1_000, Some(long_ago))]
    {
        let simulated = limited().await;
        let began = std::time::Instant::now();
        let run = Run { changes_since, ..run(Mode::Full) };
        let waited = pull_two_at_a_time(&simulated, &run, page_size, streams).await;
        assert_eq!(simulated.world.received.refused(), Vec::<String>::new());
        assert!(waited >= SignedDuration::from_hours(1), "the limit was reached: {waited:#}");
        let slept = began.elapsed();
        assert!(
            slept < std::time::Duration::from_secs(600),
            "an hour of waiting is not an hour of a function: {slept:?}"
        );
    }
}
