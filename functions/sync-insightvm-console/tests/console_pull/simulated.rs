//! Whole runs against the simulated console, with and without faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Finding, FindingState, Host, Rule, ScanOutcome};
use serde_json::{Value, json};
use simulators::insightvm_console::{PASSWORD, USER};
use simulators::{Options, World};
use sync::{Coverage, Mode, Next, Scanner, SyncError, Unit};
use sync_insightvm_console::ConsoleScanner;

use crate::support::*;

const HOSTS: usize = 30;

struct Simulated {
    world: Arc<World>,
    base: String,
}

impl Simulated {
    async fn start(faults: &str) -> Self {
        let world = World::new(Options { day: 40, ..Options::new(7, HOSTS, time("2026-10-01T00:00:00Z")) });
        world.faults.set(faults).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/insightvm-console", listener.local_addr().unwrap());
        let serving = world.clone();
        tokio::spawn(async move { simulators::serve(serving, listener).await });
        Self { world, base }
    }

    fn scanner(&self, more: Value) -> ConsoleScanner {
        ConsoleScanner::new(&connector(&self.base, more), http(&self.base, USER, PASSWORD))
    }

    /// Works a run to its end. A unit that fails for the moment is worked again, as the queue would have it; every unit is
    /// worked twice where `twice` says so, as a queue may have it.
    async fn pull(
        &self,
        more: Value,
        mode: Mode,
        sink: &mut Recorder,
        twice: bool,
    ) -> Result<Vec<String>, SyncError> {
        let (scanner, run) = (self.scanner(more), run(mode));
        let mut units = scanner.plan(&run).await?;
        let (mut failures, mut missing, mut ended) = (0, Vec::new(), BTreeSet::new());
        for _ in 0..2000 {
            let Some(unit) = units.pop() else { return Ok(missing) };
            if ended.contains(&unit.id) {
                continue;
            }
            sink.now = self.world.clock.now();
            if twice {
                let _ = scanner.pull(&run, &unit, sink).await;
            }
            match scanner.pull(&run, &unit, sink).await {
                Ok(Next::Done(proof)) => {
                    missing.extend(proof.missing);
                    ended.insert(unit.id);
                }
                Ok(Next::More(more, proof)) => {
                    missing.extend(proof.missing);
                    ended.insert(unit.id);
                    units.extend(more);
                }
                Ok(Next::Later(at, unit)) => {
                    self.world.clock.advance(at.duration_since(sink.now));
                    units.push(unit);
                }
                Err(error) if error.is_transient() && failures < 200 => {
                    failures += 1;
                    units.push(unit);
                }
                Err(error) => return Err(error),
            }
        }
        panic!("the run has no end");
    }
}

/// Key, state in both words, evidence.
type Said = (String, FindingState, String, Option<String>);

/// What must not depend on the way: the state of each finding and what was seen.
fn said(sink: &Recorder) -> BTreeMap<String, Vec<Said>> {
    let short = |f: Finding| (f.key.to_string(), f.state, f.source_state, f.evidence);
    let open = |f: &Finding| f.state != FindingState::Fixed;
    sink.findings()
        .into_iter()
        .map(|(host, all)| (host, all.into_iter().filter(open).map(short).collect()))
        .collect()
}

#[tokio::test]
async fn small_pages_big_pages_and_the_api_say_the_same() {
    let simulated = Simulated::start("").await;
    let (mut small, mut big, mut api) = (Recorder::default(), Recorder::default(), Recorder::default());
    for (sink, more) in [
        (&mut small, json!({ "page_size": 4 })),
        (&mut big, json!({})),
        (&mut api, json!({ "via": "api", "page_size": 7 })),
    ] {
        let missing = simulated.pull(more, Mode::Full, sink, false).await.unwrap();
        assert_eq!(missing, Vec::<String>::new());
        assert!(sink.refused.is_empty(), "{:?}", sink.refused);
        assert!(sink.reports.iter().all(|report| report.coverage == Coverage::Whole));
        let scans: Vec<_> = sink.scans.iter().map(|scan| (scan.id.as_str(), scan.outcome)).collect();
        let told = [("1", ScanOutcome::Completed), ("2", ScanOutcome::Unfinished), ("3", ScanOutcome::Never)];
        assert_eq!(scans, told, "not the site of the agents");
    }
    assert!(small.hosts().len() > HOSTS / 2, "{}", small.hosts().len());
    assert_eq!(small.hosts(), big.hosts());
    assert_eq!(small.hosts(), api.hosts());
    assert_eq!(small.inventory.len(), small.hosts().len(), "no host came twice");
    assert_eq!(small.findings(), big.findings());
    assert_eq!(said(&small), said(&api), "the keys do not depend on the way");
    let described = |sink: &Recorder| -> BTreeMap<_, _> {
        let tags =
            |host: &Host| host.tags.iter().filter(|tag| tag.key != "site").cloned().collect::<Vec<_>>();
        sink.reports.iter().map(|r| (r.host.native.clone(), (tags(&r.host), r.host.criticality))).collect()
    };
    let exploited = |sink: &Recorder| -> Vec<_> {
        let told = sink.rules.iter().filter(|rule| rule.exploit_available == Some(true));
        told.map(|rule| rule.id.clone()).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    };
    assert_eq!(exploited(&small), exploited(&api));
    assert!(!exploited(&api).is_empty());
    assert_eq!(described(&small), described(&api), "nor do the tags, but for the sites");
    assert_eq!(small.known, api.known);
    for by_report in &small.rules {
        let by_api = api.rules.iter().find(|rule| rule.id == by_report.id).unwrap();
        assert_eq!(
            (&by_report.title, by_report.severity, &by_report.cves, &by_report.cvss),
            (&by_api.title, by_api.severity, &by_api.cves, &by_api.cvss)
        );
        assert_eq!((&by_report.solution, by_report.patchable), (&by_api.solution, by_api.patchable));
        assert_eq!((by_report.vendor_risk, by_report.vendor_risk.is_some()), (by_api.vendor_risk, true));
    }
    let solutions = |rule: &Rule| rule.solution.as_deref().unwrap_or_default().split("\n\n").count();
    let counts: BTreeSet<usize> = small.rules.iter().map(solutions).collect();
    assert_eq!(counts, [1, 3].into(), "some for each platform, and no more than three");
    let all: Vec<_> = small.findings().into_values().flatten().collect();
    for state in [FindingState::Open, FindingState::Suppressed] {
        assert!(all.iter().any(|f| f.state == state), "{state:?}");
    }
    assert!(all.iter().any(|f| f.reopened_at.is_some()) && all.iter().all(|f| f.first_found.is_some()));
    assert_eq!(simulated.world.received.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_report_tells_the_sites_of_a_host() {
    let simulated = Simulated::start("").await;
    let mut sink = Recorder::default();
    simulated.pull(json!({}), Mode::Full, &mut sink, false).await.unwrap();
    let sites = |host: &Host| {
        let sites = host.tags.iter().filter(|tag| tag.key == "site");
        sites.map(|tag| tag.value.clone()).collect::<Vec<_>>()
    };
    let told: BTreeSet<_> = sink.reports.iter().map(|report| sites(&report.host)).collect();
    let (scanned, agents) = ("Offices, data centres".to_owned(), "Rapid7 Insight Agents".to_owned());
    assert_eq!(told, [vec![scanned.clone()], vec![scanned, agents]].into());
}

/// The status of a report is that of the last scan, which is not the last look where an agent reports.
#[tokio::test]
async fn a_report_tells_of_failed_logins_but_not_where_an_agent_looked_last() {
    let simulated = Simulated::start("").await;
    let (mut before, mut after) = (Recorder::default(), Recorder::default());
    simulated.pull(json!({}), Mode::Full, &mut before, false).await.unwrap();
    simulated.world.faults.set("insightvm-console.output:login-failed").unwrap();
    simulated.pull(json!({}), Mode::Full, &mut after, false).await.unwrap();
    let told = |sink: &Recorder| -> BTreeMap<_, _> {
        sink.reports
            .iter()
            .map(|r| (r.host.native.clone(), (r.host.credentialed, r.findings.len())))
            .collect()
    };
    let (before, after) = (told(&before), told(&after));
    let agents: BTreeSet<_> = before.keys().filter(|host| after[*host].0 == Some(true)).collect();
    assert!(agents.len() > 2 && agents.len() + 2 < before.len(), "{} of {}", agents.len(), before.len());
    for (host, (logged_in, count)) in &before {
        let (after, left) = after[host];
        match agents.contains(host) {
            true => assert_eq!((*logged_in, *count), (Some(true), left), "{host}"),
            false => assert!(after == Some(false) && left <= *count, "{host}: {after:?}, {left} of {count}"),
        }
    }
    assert!(
        before.iter().any(|(host, (logged_in, count))| *logged_in == Some(true) && after[host].1 < *count)
    );
}

#[tokio::test]
async fn every_report_is_gone_after_the_run() {
    let simulated = Simulated::start("").await;
    simulated.pull(json!({ "page_size": 5 }), Mode::Full, &mut Recorder::default(), false).await.unwrap();
    let left = http(&simulated.base, USER, PASSWORD)
        .request(sync::http::Method::GET, "api/3/reports")
        .send()
        .await
        .unwrap();
    let left: Value = left.json(10_000).await.unwrap();
    assert_eq!(left["page"]["totalResources"], 0);
}

#[tokio::test]
async fn faults_that_pass_leave_the_same_statements() {
    let calm = Simulated::start("").await;
    let mut expected = Recorder::default();
    calm.pull(json!({ "page_size": 6 }), Mode::Full, &mut expected, false).await.unwrap();
    for fault in ["truncate", "garbage", "error=500", "error=503", "ratelimit", "drop"] {
        let spec = "insightvm-console.report:FAULT~1,insightvm-console.assets:FAULT~1,insightvm-console.history:FAULT~1,\
             insightvm-console.output:FAULT~1,insightvm-console.definition:FAULT~1";
        let simulated = Simulated::start(&spec.replace("FAULT", fault)).await;
        let mut sink = Recorder::default();
        simulated.pull(json!({ "page_size": 6 }), Mode::Full, &mut sink, false).await.unwrap();
        assert_eq!(sink.hosts(), expected.hosts(), "{fault}");
        assert_eq!(said(&sink), said(&expected), "{fault}");
        let rules = |sink: &Recorder| sink.known.clone();
        assert_eq!(rules(&sink), rules(&expected), "{fault}");
    }
}

#[tokio::test]
async fn units_that_are_worked_twice_leave_the_same_statements() {
    let simulated = Simulated::start("").await;
    let (mut once, mut twice) = (Recorder::default(), Recorder::default());
    simulated.pull(json!({ "via": "api", "page_size": 6 }), Mode::Full, &mut once, false).await.unwrap();
    simulated.pull(json!({ "via": "api", "page_size": 6 }), Mode::Full, &mut twice, true).await.unwrap();
    assert_eq!(once.hosts(), twice.hosts());
    assert_eq!(once.findings(), twice.findings());
}

#[tokio::test]
async fn faults_that_stay_are_errors_or_named_never_an_end() {
    for fault in ["truncate", "garbage", "error=500"] {
        let simulated = Simulated::start(&format!("insightvm-console.output:{fault}")).await;
        let error = simulated.pull(json!({}), Mode::Full, &mut Recorder::default(), false).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    for (fault, words) in [("export-error", "failed"), ("expired", "does not know it")] {
        let simulated = Simulated::start(&format!("insightvm-console.history:{fault}")).await;
        let mut sink = Recorder::default();
        let missing = simulated.pull(json!({}), Mode::Full, &mut sink, false).await.unwrap();
        assert!(missing.len() > 1 && missing.iter().all(|m| m.contains(words)), "{missing:?}");
        assert!(sink.reports.is_empty() && !sink.inventory.is_empty());
    }
    let simulated = Simulated::start("insightvm-console.output:empty").await;
    let mut sink = Recorder::default();
    let missing = simulated.pull(json!({}), Mode::Full, &mut sink, false).await.unwrap();
    assert!(
        missing.iter().any(|m| m.contains("not in the report")),
        "an empty report is not clean: {missing:?}"
    );
    assert!(sink.reports.is_empty());
}

#[tokio::test]
async fn an_incremental_run_brings_a_part_of_the_whole() {
    let simulated = Simulated::start("").await;
    for way in ["report", "api"] {
        let (mut all, mut part) = (Recorder::default(), Recorder::default());
        simulated.pull(json!({ "via": way }), Mode::Full, &mut all, false).await.unwrap();
        let since = simulated.world.clock.now() - jiff::SignedDuration::from_hours(20);
        simulated.pull(json!({ "via": way }), Mode::Incremental { since }, &mut part, false).await.unwrap();
        let (all, part) = (all.findings(), part.findings());
        assert!(!part.is_empty() && part.len() < all.len(), "{way}: {} of {}", part.len(), all.len());
        assert!(part.iter().all(|(host, said)| all.get(host) == Some(said)), "{way}");
    }
}

#[tokio::test]
async fn a_run_goes_on_from_every_stored_unit() {
    let simulated = Simulated::start("").await;
    let scanner = simulated.scanner(json!({ "page_size": 9 }));
    let run = run(Mode::Full);
    let mut sink = Recorder::default();
    let mut units = scanner.plan(&run).await.unwrap();
    let mut steps = 0;
    while let Some(unit) = units.pop() {
        steps += 1;
        // Another process, which knows only what was stored.
        let stored = serde_json::to_string(&unit).unwrap();
        let unit: Unit = serde_json::from_str(&stored).unwrap();
        sink.now = simulated.world.clock.now();
        match simulated.scanner(json!({ "page_size": 9 })).pull(&run, &unit, &mut sink).await.unwrap() {
            Next::Done(_) => {}
            Next::More(more, _) => units.extend(more),
            Next::Later(at, unit) => {
                simulated.world.clock.advance(at.duration_since(sink.now));
                units.push(unit);
            }
        }
    }
    assert!(steps > 20, "{steps}");
    let mut whole = Recorder::default();
    simulated.pull(json!({}), Mode::Full, &mut whole, false).await.unwrap();
    assert_eq!(sink.findings(), whole.findings());
}

#[tokio::test]
async fn the_check_needs_right_credentials() {
    let simulated = Simulated::start("").await;
    assert!(simulated.scanner(json!({})).check().await.unwrap().starts_with("signed in, "));
    let wrong = http(&simulated.base, USER, "wrong");
    let error = ConsoleScanner::new(&connector(&simulated.base, json!({})), wrong).check().await.unwrap_err();
    assert!(matches!(error, SyncError::Unauthorized { .. }));
    assert_eq!(
        simulated.world.received.refused().len(),
        1,
        "a wrong password is not tried again: accounts get locked"
    );
}
