//! A served estate with its scanner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::policy::Connector;
use domain::{FindingState, RunId};
use jiff::SignedDuration;
pub use recorder::{Recorder, time};
use serde_json::json;
use simulators::World;
use sync::{HostReport, HttpClient, HttpOptions, Mode, Next, Proof, Run, Scanner, SyncError, Unit};
use sync_insightvm::{API_KEY, InsightvmScanner};

pub const DAY: u32 = 20;

pub fn connector(url: &str, extra: serde_json::Value) -> Connector {
    let mut connector = json!({
        "name": "insightvm-sim", "type": "insightvm", "base_url": url, "auth": {"method": "api_key", "key": "${KEY}"},
        "allow_private_address": true,
    });
    connector.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(connector).unwrap()
}

pub fn http(url: &str, key: &str) -> HttpClient {
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: Duration::from_millis(1),
        ..HttpOptions::default()
    };
    HttpClient::new("insightvm-sim", url, &options).unwrap().with_secret_header(API_KEY, key).unwrap()
}

/// A simulated estate, served, with its scanner.
pub struct Estate {
    pub world: Arc<World>,
    pub scanner: InsightvmScanner,
    pub run: Run,
    pub sink: Recorder,
    pub failures: usize,
    /// Whether each unit that ends is worked once more.
    pub twice: bool,
}

pub async fn estate(extra: serde_json::Value, faults: &str) -> Estate {
    estate_with(extra, faults, simulators::insightvm::API_KEY).await
}

pub async fn estate_with(extra: serde_json::Value, faults: &str, key: &str) -> Estate {
    let start = time("2026-01-05T00:00:00Z");
    let world = World::new(simulators::Options { day: DAY, ..simulators::Options::new(7, 130, start) });
    world.faults.set(faults).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/insightvm", listener.local_addr().unwrap());
    tokio::spawn(simulators::serve(world.clone(), listener));
    let connector = connector(&url, extra);
    let now = world.clock.now();
    Estate {
        scanner: InsightvmScanner::new(&connector, http(&url, key)),
        run: Run::new(connector.name, RunId::new(now, 1), Mode::Full, now),
        sink: Recorder::new(now),
        world,
        failures: 0,
        twice: false,
    }
}

impl Estate {
    pub fn since_days(mut self, days: i64) -> Self {
        let since = self.run.started_at - SignedDuration::from_hours(24 * days);
        self.run.mode = Mode::Incremental { since };
        self
    }

    /// Works the plan to its end as the engine does: failures are tried again up to four times, each unit is stored and
    /// read back before each try.
    pub async fn run(&mut self) -> BTreeMap<String, Proof> {
        let planned = self.scanner.plan(&self.run).await.unwrap();
        let mut units: VecDeque<(Unit, usize)> = planned.into_iter().map(|unit| (unit, 0)).collect();
        let mut done = BTreeMap::new();
        for _ in 0..5_000 {
            let Some((unit, failed)) = units.pop_front() else { return done };
            let unit: Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
            assert!(!unit.work.to_string().contains("X-Amz-Signature"), "an address is remembered: {unit:?}");
            self.sink.now = self.world.clock.now();
            let mut outcome = self.scanner.pull(&self.run, &unit, &mut self.sink).await;
            if self.twice && !matches!(outcome, Ok(Next::Later(..)) | Err(_)) {
                let first = ids(&outcome);
                outcome = self.scanner.pull(&self.run, &unit, &mut self.sink).await;
                // The second time, definitions may be known that were not at the first.
                assert!(ids(&outcome).is_subset(&first), "{}", unit.id);
            }
            match outcome {
                Ok(Next::Done(proof)) => assert!(done.insert(unit.id, proof).is_none()),
                Ok(Next::More(more, proof)) => {
                    assert!(done.insert(unit.id, proof).is_none());
                    units.extend(more.into_iter().map(|unit| (unit, 0)));
                }
                Ok(Next::Later(at, again)) => {
                    if units.is_empty() {
                        let wait = at.duration_since(self.sink.now).max(SignedDuration::ZERO);
                        self.world.clock.advance(wait);
                    }
                    units.push_back((again, failed));
                }
                Err(error) => {
                    self.failures += 1;
                    if error.is_transient() && failed < 3 {
                        units.push_back((unit, failed + 1));
                    } else {
                        done.insert(unit.id, Proof { missing: Some(error.to_string()), ..Proof::default() });
                    }
                }
            }
        }
        panic!("the run has no end: {done:?}");
    }

    /// What arrived, repetitions aside: host, finding, whether it is there.
    pub fn findings(&self) -> BTreeSet<(String, String, bool)> {
        let mut all = BTreeSet::new();
        for HostReport { host, findings, .. } in &self.sink.reports {
            all.extend(findings.iter().map(|finding| {
                let there = finding.state != FindingState::Fixed;
                (host.native.clone(), finding.key.as_str().to_owned(), there)
            }));
        }
        all
    }

    /// How many findings InsightVM knows of now.
    pub fn expected(&self) -> usize {
        let now = self.world.clock.now();
        let view = self.world.estate.view(simulators::estate::Scanner::Insightvm, now);
        view.filter(|known| known.removed.is_none())
            .flat_map(|known| known.sightings())
            .filter(|s| s.state != simulators::estate::State::Fixed && !s.weakness.is_information())
            .count()
    }
}

fn ids(outcome: &Result<Next, SyncError>) -> BTreeSet<String> {
    match outcome {
        Ok(Next::More(units, _)) => units.iter().map(|unit| unit.id.clone()).collect(),
        _ => BTreeSet::new(),
    }
}

pub fn incomplete(done: &BTreeMap<String, Proof>) -> Vec<&str> {
    let short = |proof: &&Proof| proof.announced.is_some_and(|announced| announced != proof.received);
    let missing = done.values().filter_map(|proof| proof.missing.as_deref());
    missing.chain(done.values().filter(short).map(|_| "less came than was announced")).collect()
}
