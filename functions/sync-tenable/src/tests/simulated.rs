//! The scanner against the simulated Tenable: everything that it knows arrives, under every fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use simulators::World;

use super::*;

const DAY: u32 = 20;

/// A simulated estate, served, with its scanner.
struct Estate {
    world: Arc<World>,
    scanner: TenableScanner,
    run: Run,
    sink: Recorder,
    failures: usize,
}

async fn estate(page_size: Option<u32>, faults: &str) -> Estate {
    let world =
        World::new(simulators::Options { day: DAY, ..simulators::Options::new(7, 130, start_time()) });
    world.faults.set(faults).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tenable", listener.local_addr().unwrap());
    tokio::spawn(simulators::serve(world.clone(), listener));
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: std::time::Duration::from_millis(1),
        ..HttpOptions::default()
    };
    let http = HttpClient::new("tenable-sim", &url, &options).unwrap();
    let http = with_keys(http, simulators::tenable::ACCESS_KEY, simulators::tenable::SECRET_KEY).unwrap();
    let connector: Connector = serde_json::from_value(json!({
        "name": "tenable-sim", "type": "tenable", "base_url": url, "page_size": page_size,
        "auth": {"method": "api_keys", "access_key": "${A}", "secret_key": "${S}"},
    }))
    .unwrap();
    let now = world.clock.now();
    Estate {
        scanner: TenableScanner::new(&connector, http),
        run: Run::new(connector.name, domain::RunId::new(now, 1), Mode::Full, now),
        sink: Recorder::new(now),
        world,
        failures: 0,
    }
}

impl Estate {
    /// Works the plan to its end as the engine does: failures are tried again up to four times, each unit is stored
    /// and read back before each try.
    async fn run(&mut self) -> BTreeMap<String, Proof> {
        let mut units: VecDeque<(Unit, usize)> =
            self.scanner.plan(&self.run).await.unwrap().into_iter().map(|unit| (unit, 0)).collect();
        let mut done = BTreeMap::new();
        while let Some((unit, failed)) = units.pop_front() {
            let unit: Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
            self.sink.now = self.world.clock.now();
            match self.scanner.pull(&self.run, &unit, &mut self.sink).await {
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
                    assert!(error.is_transient(), "{error}");
                    self.failures += 1;
                    if failed < 3 {
                        units.push_back((unit, failed + 1));
                    } else {
                        done.insert(unit.id, Proof { missing: Some(error.to_string()), ..Proof::default() });
                    }
                }
            }
        }
        assert!(prove_no_absence(&self.sink));
        done
    }

    /// What arrived, repetitions aside.
    fn findings(&self) -> BTreeSet<(&str, &str)> {
        let mut all = BTreeSet::new();
        for HostReport { host, findings, .. } in &self.sink.reports {
            assert!(!findings.is_empty());
            all.extend(findings.iter().map(|finding| (host.native.as_str(), finding.key.as_str())));
        }
        all
    }

    /// How many findings a full pass of today has to bring.
    fn expected(&self) -> usize {
        let since = work::later(self.run.started_at, -365 * 86_400).as_second();
        self.world
            .estate
            .tenable_view(DAY)
            .filter(|(known, _)| known.removed.is_none())
            .flat_map(|(_, sightings)| sightings)
            .filter(|sighting| {
                sighting.last_fixed.unwrap_or(sighting.last_found).max(sighting.last_found) >= since
            })
            .count()
    }
}

fn incomplete(done: &BTreeMap<String, Proof>) -> Vec<&str> {
    done.values().filter_map(|proof| proof.missing.as_deref()).collect()
}

#[tokio::test]
async fn a_full_pass_brings_everything() {
    let mut estate = estate(Some(50), "").await;
    let done = estate.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert_eq!((estate.sink.refused.len(), estate.failures), (0, 0));
    assert!(estate.world.received.refused().is_empty(), "{:?}", estate.world.received.refused());
    assert_eq!(estate.findings().len(), estate.expected());
    let received: u64 =
        done.iter().filter(|(id, _)| id.starts_with("vulns/")).map(|(_, proof)| proof.received).sum();
    assert_eq!(received as usize, estate.expected());
    assert!(
        done.keys().filter(|id| id.starts_with("vulns/chunk/")).count() >= 2,
        "more than one chunk: {done:?}"
    );
    assert!(done.keys().filter(|id| id.starts_with("assets/wait/")).count() >= 3, "{done:?}");

    let inventory: BTreeSet<&str> = estate.sink.inventory.iter().map(|host| host.native.as_str()).collect();
    assert!(estate.sink.reports.iter().all(|report| inventory.contains(report.host.native.as_str())));
    let states =
        |state| estate.sink.reports.iter().flat_map(|r| &r.findings).filter(|f| f.state == state).count();
    assert!(states(FindingState::Open) > 0 && states(FindingState::Fixed) > 0);
    assert!(estate.sink.rules.iter().any(|rule| !rule.cves.is_empty() && rule.solution.is_some()));
    assert!(estate.sink.inventory.iter().any(|host| !host.cloud.is_empty()));
    assert_eq!(estate.sink.scans.len(), 3);
}

#[tokio::test]
async fn an_incremental_pass_brings_less_and_nothing_else() {
    let mut full = estate(Some(50), "").await;
    full.run().await;
    let mut part = estate(Some(50), "").await;
    part.run.mode = Mode::Incremental { since: work::later(part.run.started_at, -86_400) };
    let done = part.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert!(part.findings().is_subset(&full.findings()));
    assert!(!part.findings().is_empty() && part.findings().len() < full.findings().len());
}

#[tokio::test]
async fn faults_that_pass_change_nothing() {
    let mut clean = estate(Some(50), "").await;
    clean.run().await;
    for faults in [
        "tenable.chunk:truncate~1",
        "tenable.chunk:garbage~1",
        "tenable.chunk:empty~1",
        "tenable:ratelimit~1",
        "tenable:drop~1",
        "tenable.export:error=504~1,tenable.status:error=503~2,tenable.chunk:error=500~1",
    ] {
        let mut troubled = estate(Some(50), faults).await;
        let done = troubled.run().await;
        assert!(incomplete(&done).is_empty(), "{faults}: {done:?}");
        assert_eq!(troubled.findings(), clean.findings(), "{faults}");
        assert_eq!(troubled.sink.refused.len(), 0, "{faults}");
    }
}

#[tokio::test]
async fn faults_that_stay_are_never_complete() {
    for faults in [
        "tenable.chunk:truncate",
        "tenable.chunk:garbage",
        "tenable.chunk:empty",
        "tenable.chunk:expired",
        "tenable.chunk:chunk-failed@0.5",
        "tenable.status:export-error",
        "tenable.export:ratelimit",
        "tenable.export:error=500",
    ] {
        let mut troubled = estate(Some(50), faults).await;
        let done = troubled.run().await;
        assert!(!incomplete(&done).is_empty(), "{faults}: {done:?}");
    }
}

#[tokio::test]
async fn check_knows_the_user() {
    let estate = estate(None, "").await;
    assert!(estate.scanner.check().await.unwrap().contains("integration@example.com"));
}
