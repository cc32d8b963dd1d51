//! The simulated InsightVM console on the whole system, and Rapid7's own Python client against the same console.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use domain::Severity;
use jiff::SignedDuration;
use queue::Trigger;
use serde_json::Value;
use store::Verdict;

use crate::pytenable::{done, python};
use crate::site::{Setup, Site};

/// The demo with a console.
pub fn with_console(setup: Setup, via: &str) -> Setup {
    let connector = format!(
        "\n  - name: console-demo\n    type: insightvm-console\n    base_url: http://127.0.0.1:PORT/insightvm-console\n    \
         auth: {{ method: basic, username: \"${{SIMULATED_INSIGHTVM_CONSOLE_USER}}\", \
         password: \"${{SIMULATED_INSIGHTVM_CONSOLE_PASSWORD}}\" }}\n    \
         sync_interval: 1h\n    full_interval: 1d\n    page_size: 3\n    via: {via}\n    \
         allow_private_address: true\n\nfeeds:\n"
    );
    setup.edit("\n\nfeeds:\n", connector)
}

#[tokio::test]
async fn both_ways_lead_to_complete_runs_and_the_same_vulnerabilities() {
    let mut seen = Vec::new();
    for way in ["report", "api"] {
        let site = Site::start(with_console(Setup::new(6), way)).await;
        site.day(5);
        site.pull("console-demo", Trigger::Full).await;
        let run = site.last_run("console-demo").await;
        assert_eq!((run.verdict, run.counts.refused), (Some(Verdict::Complete), 0), "{way}: {run:?}");
        let mut all: Vec<_> = site
            .vulnerabilities()
            .await
            .into_iter()
            .map(|v| (v.title.clone(), v.severity, v.status, v.cves.clone()))
            .collect();
        all.sort();
        assert!(
            all.iter().any(|(_, severity, ..)| *severity == Severity::Critical),
            "{way}: severities come from definitions"
        );
        assert!(all.iter().any(|(_, severity, ..)| *severity == Severity::Low), "{way}");
        // An unchanged estate costs no write. Runs of one second have no order.
        site.advance(SignedDuration::from_mins(1));
        site.pull("console-demo", Trigger::Full).await;
        let again = site.last_run("console-demo").await;
        assert_eq!(
            (again.verdict, again.counts.written),
            (Some(Verdict::Complete), 0),
            "{way}: {:?} after {:?}",
            again.counts,
            run.counts
        );
        assert_eq!(again.counts.unchanged, run.counts.received, "{way}");
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn days_bring_fixes_that_are_proven() {
    let site = Site::start(with_console(Setup::new(12), "report")).await;
    site.day(2);
    site.pull("console-demo", Trigger::Full).await;
    site.day(30);
    site.pull("console-demo", Trigger::Full).await;
    let run = site.last_run("console-demo").await;
    assert!(run.counts.closed > 0 && run.counts.opened > 0, "{run:?}");
    assert_eq!(run.verdict, Some(Verdict::Complete), "{run:?}");
}

/// What only a login finds does not count as fixed because a password was changed.
#[tokio::test]
async fn a_scan_whose_logins_failed_closes_nothing_that_a_login_has_found() {
    // The same estate, once with the fault and once without: what is open there has to be open here.
    let mut open = Vec::new();
    for fault in ["", "insightvm-console.output:login-failed"] {
        // Without the limit on closings, which would hold a run that closes too much.
        let setup = with_console(Setup::new(16), "report");
        let site = Site::start(setup.edit("via: report", "via: report\n    close_limit_percent: 100")).await;
        let mut runs = Vec::new();
        for (day, fault) in [(5, ""), (9, fault), (13, "")] {
            site.day(day);
            site.world.faults.set(fault).unwrap();
            site.pull("console-demo", Trigger::Full).await;
            let run = site.last_run("console-demo").await;
            assert_eq!(run.verdict, Some(Verdict::Complete), "{fault}: {run:?}");
            let mut still: BTreeMap<(String, String), usize> = BTreeMap::new();
            for v in site.vulnerabilities().await.into_iter().filter(|v| v.status.is_open()) {
                *still.entry((v.asset.to_string(), v.title)).or_default() += 1;
            }
            runs.push((run.counts, still));
        }
        open.push(runs);
    }
    let [clear, failed] = [&open[0], &open[1]];
    assert_eq!(clear[0].1, failed[0].1, "the same assets under the same ids");
    assert!(failed[1].0.received < clear[1].0.received, "what only a login finds was not told");
    let lost: Vec<_> = clear[1].1.iter().filter(|(key, n)| failed[1].1.get(key) < Some(n)).collect();
    let found_before = |(key, _): &&(&(String, String), &usize)| clear[0].1.contains_key(*key);
    assert_eq!(lost.iter().filter(found_before).count(), 0, "{lost:?}");
    assert!(clear[1].0.closed > failed[1].0.closed, "it closes less: what has really gone, it cannot know");
    assert_eq!(clear[2].1, failed[2].1, "by a scan that could log in again");
}

#[tokio::test]
async fn rapid7s_client_sees_what_our_client_sees() {
    let site = Site::start(with_console(Setup::new(6), "report")).await;
    site.day(5);
    site.pull("console-demo", Trigger::Full).await;
    let run = site.last_run("console-demo").await;

    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let url = format!("http://127.0.0.1:{}/insightvm-console", site.port);
    let output = tokio::task::spawn_blocking(move || {
        let script = tests.join("python/console_client.py");
        done("console_client.py", Command::new(python(tests)).arg(script).arg(url).output())
    })
    .await
    .unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["assets"].as_u64(), Some(run.counts.hosts), "{seen}");
    assert_eq!(seen["instances"].as_u64(), Some(run.counts.received), "{seen}");
    assert_eq!(seen["rows"].as_u64(), Some(run.counts.received), "{seen}");
    assert!(seen["exceptions"].as_u64() > Some(0) && seen["tags"].as_u64() > Some(10), "{seen}");
}
