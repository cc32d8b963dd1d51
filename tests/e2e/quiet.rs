//! What logs and metrics of a whole flow say, and what they do not: they name connector, run and asset, and never a
//! secret, whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::intel::Feed;
use queue::{QueueName, Trigger};
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;
use vulnrelay::stack::INTEL_START;

use crate::site::{Setup, Site};

/// Our own crates tell everything, the others what a function on AWS would let them tell.
const FILTER: &str = "info,metrics=debug,sync=trace,store=trace,queue=trace,platform=trace,score=trace,sla=trace,\
                      notify=trace,ticket=trace,webhook=trace,sync_qualys=trace,sync_tenable=trace,sync_insightvm=trace,sync_intel=trace";

/// Every line of the log of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What was measured, line by line.
fn metrics(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| line.split_once("metrics: ")?.1.get(..));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sum of a metric of a connector.
fn sum(metrics: &[Value], connector: &str, name: &str) -> u64 {
    let of = metrics.iter().filter(|line| line["Connector"] == connector);
    of.filter_map(|line| line[name].as_u64()).sum()
}

#[tokio::test]
async fn logs_and_metrics_tell_what_happened_and_no_secret() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(FILTER))
        .with_writer(lines.clone())
        .with_ansi(false)
        .finish();
    let _guard = subscriber.set_default();
    let site = Site::start(Setup::new(8)).await;
    site.sync().await;
    let runs: BTreeMap<&str, _> = [
        ("qualys-demo", site.last_run("qualys-demo").await),
        ("tenable-demo", site.last_run("tenable-demo").await),
    ]
    .into();
    let measured = metrics(&lines.text());
    for (connector, run) in &runs {
        let counts = &run.counts;
        assert_eq!(
            (sum(&measured, connector, "Received"), sum(&measured, connector, "Written")),
            (counts.received, counts.written),
            "{connector}"
        );
        assert_eq!(sum(&measured, connector, "Opened"), counts.opened, "{connector}");
        let of_run = format!("connector={connector} run={}", run.id);
        assert!(lines.text().contains(&of_run), "no line names {of_run}");
    }

    // What goes wrong has the longest lines.
    site.day(2);
    site.world.faults.set("slack:error=500~2,jira:error=500~2,feeds:garbage").unwrap();
    site.stack.send(QueueName::Intel.as_str(), INTEL_START).unwrap();
    site.work().await;
    // Each feed is given up after its tries.
    assert_eq!(
        site.stack.aws().queues().purge("sync-intel-dead").unwrap(),
        Feed::ALL.len() - Feed::THREAT.len()
    );
    site.world.faults.set("").unwrap();
    site.sync().await;
    site.settle().await;
    site.day(9);
    site.world.faults.set("qualys.detection:garbage,tenable.chunk:truncate").unwrap();
    for connector in runs.keys() {
        site.pull(connector, Trigger::Full).await;
    }
    site.world.faults.set("").unwrap();
    let text = "sim-";
    site.rotate(text, "wrong-");
    for connector in runs.keys() {
        site.pull(connector, Trigger::Full).await;
    }
    site.settle().await;

    let log = lines.text();
    let names: BTreeSet<&str> =
        ["SyncLag", "Received", "Written", "Opened", "Closed", "Refused", "ScoreAge", "FeedAge"].into();
    let measured = metrics(&log);
    for name in names {
        assert!(measured.iter().any(|line| !line[name].is_null()), "{name} was never measured");
    }
    for line in &measured {
        let dimension = &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0][0];
        assert!(["Function", "Connector", "Feed"].iter().any(|known| dimension == known), "{line}");
    }
    assert!(measured.iter().any(|line| line["Feed"] == "kev" && line["Refused"] == 1));
    for fact in [" score{", "asset=a-", "effect{intent=", "unit failed", "feed not taken in"] {
        assert!(log.contains(fact), "no line has {fact}");
    }
    let basic = |user: &str, password: &str| STANDARD.encode(format!("{user}:{password}"));
    for secret in [
        simulators::qualys::PASSWORD,
        simulators::tenable::SECRET_KEY,
        simulators::tenable::ACCESS_KEY,
        simulators::jira::TOKEN,
        simulators::slack::SECRET,
        "simulated-webhook-secret",
        "wrong-pass",
        "wrong-secret",
        "wrong-access",
        "wrong-token",
        &basic(simulators::qualys::USER, simulators::qualys::PASSWORD),
        &basic("wrong-user", "wrong-pass"),
        &basic(simulators::jira::EMAIL, simulators::jira::TOKEN),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a line tells a secret");
    }
}
