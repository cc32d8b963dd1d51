//! Runs that cannot be believed: nothing closes by them, and the next clean run catches up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};

use domain::intel::Feed;
use domain::{ConnectorName, FindingKind, Host, LastScan, Outcome, SightingId, Status, VulnId};
use jiff::SignedDuration;
use queue::{QueueName, SyncMessage, Trigger};
use store::{
    AuditAction, AuditLine, Entry, EntryState, RunRecord, RunStatus, StoreError, UnitState, Verdict,
};
use sync::{
    Built, EngineOptions, HttpOptions, Mode, Next, Proof, Run, Sink, SyncError, SyncFunction, UNREADABLE,
    Unit,
};
use vulnrelay::stack::INTEL_START;
use webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER, Webhook, sign};

use crate::site::lines::difference;
use crate::site::{Setup, Site};

/// What the demo's channel is told.
pub const TOLD: &str = "[first_sync, exploited, overdue, approaching]";

/// Small pages, so that an estate has several.
fn pages(size: usize) -> Setup {
    Setup::new(size).edit("page_size: 20", "page_size: 2").edit("page_size: 100", "page_size: 50")
}

fn event(body: &str) -> SqsEvent {
    let mut message = SqsMessage::default();
    message.message_id = Some("1".into());
    message.body = Some(body.to_owned());
    let mut event = SqsEvent::default();
    event.records.push(message);
    event
}

fn by_a_person(at: jiff::Timestamp) -> AuditLine {
    let (by, action, target) = ("a person".into(), AuditAction::ApprovedRun, "a run".into());
    AuditLine { at, by, subject: None, action, target, detail: String::new() }
}

async fn statuses(site: &Site) -> BTreeMap<VulnId, Status> {
    site.vulnerabilities().await.into_iter().map(|v| (v.id, v.status)).collect()
}

/// What was known stays as it was; only additions are allowed.
async fn nothing_closed(site: &Site, before: &BTreeMap<VulnId, Status>, what: &str) {
    let after = statuses(site).await;
    for (id, was) in before {
        let is = after[id];
        // Gone is what the scanner itself says of a deleted host, on whatever page it comes.
        let ended = |status: Status| matches!(status, Status::Fixed | Status::Stale);
        assert!(!ended(is) || ended(*was), "{what}: {id} was {was}, is {is}");
    }
}

/// A seed with which half of the pages fail, and not all of the two chunks that so few hosts fill.
fn seed_that_strikes_a_part(faults: &str) -> u64 {
    let part = |seed: &u64| {
        let dice = simulators::Faults::new(*seed);
        dice.set(faults).unwrap();
        let struck = |key: &str| dice.peek("tenable", "chunk", key).is_some();
        struck("vulns/1") && !struck("assets/1")
    };
    (1..1_000).find(part).unwrap()
}

async fn two_days(faults: Option<&str>, connector: &str, seed: u64) -> Site {
    let site = Site::start(Setup { seed, ..pages(8) }).await;
    site.sync().await;
    site.day(9);
    site.feeds().await;
    let before = statuses(&site).await;
    if let Some(faults) = faults {
        site.world.faults.set(faults).unwrap();
        site.pull(connector, Trigger::Full).await;
        let run = site.last_run(connector).await;
        assert_eq!(run.verdict, Some(Verdict::Partial), "{faults}: {:?}", run.reason);
        assert_eq!((run.status, run.counts.closed), (RunStatus::Done, 0), "{faults}");
        assert!(run.counts.received + run.counts.hosts > 0, "{faults}: everything failed, not a part");
        nothing_closed(&site, &before, faults).await;
        site.world.faults.set("").unwrap();
    }
    site.pull(connector, Trigger::Full).await;
    let run = site.last_run(connector).await;
    assert_eq!(run.verdict, Some(Verdict::Complete), "{:?}", run.reason);
    assert!(run.counts.closed > 0, "nothing was fixed in these days");
    site.sla().await;
    site.settle().await;
    site
}

#[tokio::test]
async fn half_of_the_pages_close_nothing_and_the_next_clean_run_catches_up() {
    let tenable = "tenable.chunk:error=500@0.5";
    for (connector, faults, seed) in [
        ("qualys-demo", "qualys.detection:error=500@0.5", Setup::new(8).seed),
        ("tenable-demo", tenable, seed_that_strikes_a_part(tenable)),
    ] {
        let (clean, caught_up) = (
            two_days(None, connector, seed).await.picture().await,
            two_days(Some(faults), connector, seed).await.picture().await,
        );
        for (name, a, b) in [
            ("export", &clean.export, &caught_up.export),
            ("tickets", &clean.tickets, &caught_up.tickets),
            ("messages", &clean.messages, &caught_up.messages),
            ("counters", &clean.counters, &caught_up.counters),
        ] {
            assert_eq!(difference(name, a, b), None, "{faults}");
        }
    }
}

#[tokio::test]
async fn empty_is_not_clean() {
    // Deadlines go on while a scanner is silent; here only what its answers change counts.
    let site = Site::start(pages(8).edit(TOLD, "[first_sync, exploited]")).await;
    site.sync().await;
    site.day(9);
    let before = site.export().await;
    for (connector, faults) in [
        ("qualys-demo", "qualys.hosts:empty,qualys.detection:empty"),
        ("qualys-demo", "qualys.detection:empty"),
        ("tenable-demo", "tenable.chunk:empty"),
    ] {
        site.world.faults.set(faults).unwrap();
        site.pull(connector, Trigger::Full).await;
        let run = site.last_run(connector).await;
        assert!(run.verdict.is_some_and(|verdict| verdict != Verdict::Complete), "{faults}: {run:?}");
        assert_eq!(run.counts.closed, 0, "{faults}");
        // Half of an answer may still tell of hosts; of findings nothing is known, so nothing has changed.
        let lines = |export: &[String]| {
            export.iter().filter(|l| !l.contains("\"type\":\"asset\"")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(difference("export", &lines(&before), &lines(&site.export().await)), None, "{faults}");
        site.world.faults.set("").unwrap();
        site.advance(SignedDuration::from_mins(10));
    }
    site.world.faults.set("qualys.hosts:empty,qualys.detection:empty").unwrap();
    site.pull("qualys-demo", Trigger::Full).await;
    assert_eq!(site.last_run("qualys-demo").await.verdict, Some(Verdict::Suspicious));
}

#[tokio::test]
async fn garbage_closes_nothing_and_changes_nothing() {
    let site = Site::start(pages(6)).await;
    site.sync().await;
    site.day(9);
    // A week has passed: what is due by that is done first.
    site.feeds().await;
    let before = site.export().await;
    for (connector, faults) in [
        ("qualys-demo", "qualys:garbage"),
        ("tenable-demo", "tenable:garbage"),
        ("tenable-demo", "tenable.chunk:garbage"),
    ] {
        site.world.faults.set("feeds:garbage").unwrap();
        site.stack.send(QueueName::Intel.as_str(), INTEL_START).unwrap();
        site.work().await;
        // Each feed is given up after its tries, where an alarm looks; the next schedule asks again.
        assert_eq!(
            site.stack.aws().queues().purge("sync-intel-dead").unwrap(),
            Feed::ALL.len() - Feed::THREAT.len()
        );
        site.world.faults.set(faults).unwrap();
        site.pull(connector, Trigger::Full).await;
        let run = site.last_run(connector).await;
        assert!(matches!(run.verdict, Some(Verdict::Failed | Verdict::Partial)), "{faults}: {run:?}");
        assert_eq!(difference("export", &before, &site.export().await), None, "{faults}");
        site.advance(SignedDuration::from_mins(10));
    }
}

#[tokio::test]
async fn a_wrong_secret_fails_the_run_by_name_and_changes_nothing() {
    let site = Site::start(pages(4)).await;
    site.sync().await;
    site.day(9);
    let before = site.export().await;
    site.rotate("sim-", "wrong-");
    for connector in site.stack.services().config.connectors.clone() {
        let check = site.stack.check(&connector).await.unwrap();
        let refused = check.lines.iter().find(|line| line.what == "credentials").unwrap();
        assert_eq!(refused.outcome, Outcome::Bad, "{refused:?}");
        assert!(refused.says.contains(connector.name.as_str()), "{refused:?}");
        assert!(!refused.says.contains("wrong-"), "{refused:?}");
        site.pull(connector.name.as_str(), Trigger::Full).await;
        let run = site.last_run(connector.name.as_str()).await;
        assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Failed), 0), "{run:?}");
    }
    assert_eq!(difference("export", &before, &site.export().await), None);
}

#[tokio::test]
async fn a_connector_is_tried_out_by_a_message_and_nothing_is_pulled() {
    let site = Site::start(Setup::new(2)).await;
    for connector in site.stack.services().config.connectors.clone() {
        let message = serde_json::to_string(&SyncMessage::check(connector.name.clone())).unwrap();
        site.stack.send(QueueName::Sync(connector.scanner).as_str(), &message).unwrap();
        site.drain().await;
        let store = &site.stack.services().store;
        let check = store.check(&connector.name).await.unwrap().unwrap();
        assert!(check.is_good(), "{check:?}");
        let looked_at: Vec<_> = check.lines.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(looked_at[..2], ["address", "credentials"], "{check:?}");
        assert!(store.runs(&connector.name, 5).await.unwrap().is_empty());
    }
}

/// Has a held run of Qualys go on.
async fn approve(site: &Site, run: &RunRecord) -> RunRecord {
    let connector = "qualys-demo".parse().unwrap();
    site.stack.services().store.approve_run(&connector, &run.id, &by_a_person(site.now())).await.unwrap();
    let finish = serde_json::to_string(&SyncMessage::finish(connector.clone(), run.id.clone())).unwrap();
    site.stack.send(QueueName::Sync(domain::Scanner::Qualys).as_str(), &finish).unwrap();
    site.drain().await;
    site.stack.observer().run(&connector, &run.id).await.unwrap().unwrap().0
}

#[tokio::test]
async fn hosts_that_vanish_from_the_scanners_list_wait_for_approval_too() {
    let site = Site::start(Setup::new(3)).await;
    site.pull("qualys-demo", Trigger::Full).await;
    site.advance(SignedDuration::from_mins(1));
    site.pull("qualys-demo", Trigger::Scheduled).await;
    let between = site.last_run("qualys-demo").await;
    assert!(between.mode.to_string().contains("incremental"), "{:?}", between.mode);
    // A host that no full run has seen, with more findings than a run may close.
    let connector: ConnectorName = "qualys-demo".parse().unwrap();
    let host = SightingId::new(connector.clone(), "99999999");
    let store = &site.stack.services().store;
    let mut state = store.sighting_state(&host, true).await.unwrap();
    let scan = Host { native: host.native.clone(), hostnames: vec!["short-lived".into()], ..Host::default() };
    state.sighting.scan = Some(scan);
    let open = Entry { digest: 1, state: EntryState::Open, kind: FindingKind::Vulnerability };
    state.manifest.entries.extend((1..=5_000).map(|hash| (hash, open)));
    store.put_sighting(&host, &state, false).await.unwrap();
    store.put_manifest(&host, &state).await.unwrap();
    let seen = [(host.native.clone(), LastScan::default())].into();
    store.put_hosts(&connector, &between.id, "more", &seen).await.unwrap();

    site.advance(SignedDuration::from_mins(1));
    site.pull("qualys-demo", Trigger::Full).await;
    let run = site.last_run("qualys-demo").await;
    assert_eq!((run.status, run.verdict), (RunStatus::Held, Some(Verdict::Complete)), "{:?}", run.reason);
    let reason = run.reason.clone().unwrap();
    assert!(reason.contains("5000 of them on hosts that the scanner does not have any more"), "{reason}");
    let purged_at = async || store.sighting_state(&host, true).await.unwrap().sighting.purged_at;
    assert_eq!(purged_at().await, None);
    assert_eq!(approve(&site, &run).await.status, RunStatus::Done);
    assert!(purged_at().await.is_some());
}

/// Works the runs of a scanner that is none of ours, message by message.
struct Runs<'a> {
    site: &'a Site,
    function: SyncFunction,
    connector: ConnectorName,
    /// Between two looks at a run.
    pause: SignedDuration,
}

impl<'a> Runs<'a> {
    fn new(site: &'a Site, build: sync::Build) -> Self {
        let options =
            EngineOptions { retry_pause: SignedDuration::ZERO, max_failures: 3, ..EngineOptions::default() };
        let (services, kind) = (site.stack.services(), domain::Scanner::Tenable);
        let function = SyncFunction::new(services, kind, options, HttpOptions::default(), build);
        Self { site, function, connector: "tenable-demo".parse().unwrap(), pause: SignedDuration::ZERO }
    }

    async fn work(&self, message: &SyncMessage) {
        let batch = event(&serde_json::to_string(message).unwrap());
        assert!(self.function.handle(batch).await.batch_item_failures.is_empty());
    }

    async fn full(&self, request: &str) -> RunRecord {
        self.run(Trigger::Full, request).await
    }

    /// Begins a run, works it to its end, and gives what is left of it.
    async fn run(&self, trigger: Trigger, request: &str) -> RunRecord {
        self.site.advance(SignedDuration::from_mins(1));
        let store = &self.site.stack.services().store;
        self.work(&SyncMessage::start(self.connector.clone(), trigger, request)).await;
        let run = self.site.last_run("tenable-demo").await.id;
        for _ in 0..1_000 {
            let pending = store.units(&self.connector, &run, Some(UnitState::Pending)).await.unwrap();
            for unit in &pending {
                let (connector, run) = (self.connector.clone(), run.clone());
                self.work(&SyncMessage::unit(connector, run, unit.id.clone(), unit.rev)).await;
            }
            // As a queue may have it.
            for _ in 0..2 {
                self.work(&SyncMessage::finish(self.connector.clone(), run.clone())).await;
            }
            let (record, _) = store.run(&self.connector, &run).await.unwrap().unwrap();
            if record.status == RunStatus::Done {
                return record;
            }
            self.site.advance(self.pause);
        }
        panic!("the run has no end");
    }
}

/// A scanner that does with its units what a test says.
struct Scripted {
    units: &'static [&'static str],
    pull: fn(&str) -> Result<Next, SyncError>,
}

/// How often a unit of it was worked, and the run that was planned last.
static TRIED: AtomicUsize = AtomicUsize::new(0);
static PLANNED: Mutex<Option<Run>> = Mutex::new(None);
/// Whether it answers which definitions changed.
static KNOWS_CHANGES: AtomicBool = AtomicBool::new(false);
/// One test at a time.
static SCRIPT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[async_trait::async_trait]
impl sync::Scanner for Scripted {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Tenable
    }

    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError> {
        *PLANNED.lock().unwrap() = Some(run.clone());
        Ok(self.units.iter().map(|id| Unit::new(*id, &())).collect())
    }

    async fn pull(&self, _: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        TRIED.fetch_add(1, Ordering::Relaxed);
        let next = (self.pull)(&unit.id)?;
        sink.inventory(Host { native: "a".into(), ..Host::default() }).await?;
        Ok(next)
    }

    async fn check(&self) -> Result<String, SyncError> {
        Ok(String::new())
    }
}

fn scripted(
    units: &'static [&'static str],
    pull: fn(&str) -> Result<Next, SyncError>,
) -> Result<Built, SyncError> {
    Ok(Built { scanner: Box::new(Scripted { units, pull }), http: None })
}

#[tokio::test]
async fn a_unit_that_is_out_of_time_again_and_again_fails_in_the_end() {
    let _one = SCRIPT.lock().await;
    let site = Site::start(Setup::new(3)).await;
    TRIED.store(0, Ordering::Relaxed);
    let run =
        Runs::new(&site, |_, _, _| scripted(&["all"], |_| Err(SyncError::OutOfTime))).full("endless").await;
    let unit = site.stack.services().store.unit(&"tenable-demo".parse().unwrap(), &run.id, "all").await;
    let unit = unit.unwrap().unwrap();
    assert_eq!((unit.state, unit.missing.as_deref()), (UnitState::Failed, Some("out of time")));
    assert!(TRIED.load(Ordering::Relaxed) > 20, "a large answer is given time");
}

/// A unit that no item holds.
fn large(id: &str) -> Unit {
    Unit::new(id, &"x".repeat(500_000))
}

/// What a scan found may be told hours after it was seen.
#[tokio::test]
async fn pitfall_01_what_is_late_is_asked_for_from_before_the_last_complete_run() {
    let _one = SCRIPT.lock().await;
    let site = Site::start(Setup::new(3)).await;
    let runs = Runs::new(&site, |_, _, _| scripted(&["all"], |_| Ok(Next::Done(Proof::default()))));
    let full = runs.full("first").await;
    site.advance(SignedDuration::from_hours(5));
    runs.run(Trigger::Scheduled, "second").await;
    let since = full.started_at - SignedDuration::from_hours(1);
    assert_eq!(PLANNED.lock().unwrap().as_ref().unwrap().mode, Mode::Incremental { since });
}

#[tokio::test]
async fn a_unit_that_is_put_off_again_and_again_is_given_up_after_days() {
    let _one = SCRIPT.lock().await;
    let late: sync::Build =
        |_, _, _| scripted(&["all"], |_| Ok(Next::Later(jiff::Timestamp::UNIX_EPOCH, Unit::new("all", &()))));
    let throttled: sync::Build = |_, _, _| {
        scripted(&["all"], |_| {
            Err(SyncError::Throttled { system: "s".into(), until: jiff::Timestamp::UNIX_EPOCH })
        })
    };
    for build in [late, throttled] {
        let site = Site::start(Setup::new(3)).await;
        TRIED.store(0, Ordering::Relaxed);
        let run = Runs { pause: SignedDuration::from_hours(5), ..Runs::new(&site, build) }.full("away").await;
        assert_eq!(TRIED.load(Ordering::Relaxed), 16, "three days and some hours");
        let why = run.reason.unwrap_or_default();
        assert!(why.contains("asks to wait until") && why.contains("put off for the first time"), "{why}");
    }
}

fn refused_password() -> SyncError {
    SyncError::Unauthorized { system: "s".into(), detail: "401 no".into() }
}

#[tokio::test]
async fn a_refused_password_is_tried_once_and_what_the_table_does_not_take_fails_its_unit() {
    const TWO: &[&str] = &["one", "two"];
    let _one = SCRIPT.lock().await;
    let refused: sync::Build = |_, _, _| scripted(TWO, |_| Err(refused_password()));
    let untaken: sync::Build = |_, _, _| {
        scripted(TWO, |_| Err(StoreError::Refused { operation: "PutItem", cause: "too large".into() }.into()))
    };
    // Also where it is a question that finds no answer.
    let asked: sync::Build = |_, _, _| scripted(&["changed/0", "one", "two"], |_| Err(refused_password()));
    let unanswered: sync::Build = |_, _, _| {
        scripted(&["changed/0", "one", "two"], |unit| match unit {
            "changed/0" => Err(SyncError::NotFound { system: "s".into(), what: "definitions".into() }),
            _ => Err(refused_password()),
        })
    };
    // The units that it finds, and what it has to remember.
    let found: sync::Build =
        |_, _, _| scripted(TWO, |_| Ok(Next::More(vec![large("large")], Proof::default())));
    let remembered: sync::Build =
        |_, _, _| scripted(&["one"], |_| Ok(Next::Later(jiff::Timestamp::UNIX_EPOCH, large("one"))));
    // It was taken for another unit: it is not the password.
    let right: sync::Build = |_, _, _| {
        scripted(&["a", "b", "c"], |unit| match unit {
            "a" => Ok(Next::Done(Proof::default())),
            _ => Err(refused_password()),
        })
    };
    for (build, tries, verdict, why) in [
        (refused, 1, Verdict::Failed, "401 no"),
        (asked, 1, Verdict::Failed, "401 no"),
        (unanswered, 2, Verdict::Failed, "401 no"),
        (untaken, 6, Verdict::Failed, "does not take what PutItem writes"),
        (found, 6, Verdict::Partial, "does not take what"),
        (remembered, 3, Verdict::Failed, "does not take what"),
        (right, 3, Verdict::Partial, "401 no"),
    ] {
        let site = Site::start(Setup::new(3)).await;
        TRIED.store(0, Ordering::Relaxed);
        let run = Runs::new(&site, build).full("once").await;
        assert_eq!((TRIED.load(Ordering::Relaxed), run.verdict), (tries, Some(verdict)), "{why}: {run:?}");
        assert!(run.reason.as_ref().is_some_and(|reason| reason.contains(why)), "{:?}", run.reason);
    }
}

#[tokio::test]
async fn a_question_for_changed_definitions_that_fails_costs_nothing_and_is_asked_again() {
    let _one = SCRIPT.lock().await;
    let site = Site::start(Setup::new(3)).await;
    let build: sync::Build = |_, _, _| {
        scripted(&["list", "changed/0"], |unit| match unit {
            "changed/0" if !KNOWS_CHANGES.load(Ordering::Relaxed) => Err(SyncError::Refused {
                system: "s".into(),
                status: 500,
                what: "definitions".into(),
                detail: "no".into(),
            }),
            _ => Ok(Next::Done(Proof::default())),
        })
    };
    let runs = Runs::new(&site, build);
    let since = async |request: &str| {
        let run = runs.full(request).await;
        assert_eq!(run.verdict, Some(Verdict::Complete), "{:?}", run.reason);
        let is_told = run.reason.is_some_and(|why| why.contains("which definitions were changed"));
        assert_eq!(is_told, !KNOWS_CHANGES.load(Ordering::Relaxed), "{request}");
        PLANNED.lock().unwrap().as_ref().unwrap().changes_since
    };
    KNOWS_CHANGES.store(true, Ordering::Relaxed);
    assert_eq!(since("first").await, None);
    let second = since("second").await;
    KNOWS_CHANGES.store(false, Ordering::Relaxed);
    let third = since("third").await;
    assert!(second.is_some() && third > second);
    assert_eq!(since("fourth").await, third, "the third run has not heard of it");
    KNOWS_CHANGES.store(true, Ordering::Relaxed);
    assert_eq!(since("fifth").await, third);
    assert!(since("sixth").await > third);
}

#[tokio::test]
async fn a_full_run_asks_for_definitions_that_were_changed_too() {
    let site = Site::start(Setup::new(3)).await;
    let connector: ConnectorName = "qualys-demo".parse().unwrap();
    let asks = async || {
        site.pull("qualys-demo", Trigger::Full).await;
        let run = site.last_run("qualys-demo").await;
        assert_eq!(run.verdict, Some(Verdict::Complete), "{:?}", run.reason);
        site.advance(SignedDuration::from_mins(1));
        site.stack.services().store.unit(&connector, &run.id, "changed/0").await.unwrap().is_some()
    };
    assert!(!asks().await, "nothing is known that could have changed");
    assert!(asks().await);
}

/// A scanner whose list, read in pages, need not have every host that there is.
struct Slippery;

/// What it says.
static HOSTS: Mutex<Hosts> = Mutex::new(Hosts {
    listed: vec![],
    there: vec![],
    asked: vec![],
    trouble: None,
    all: vec![],
    sites: vec![],
});

struct Hosts {
    listed: Vec<&'static str>,
    /// Those that are there when they are asked for.
    there: Vec<&'static str>,
    /// Those that were asked for.
    asked: Vec<String>,
    /// How it answers instead, if it does not say whether there is one.
    trouble: Option<u16>,
    /// Its list of all hosts, if it has one.
    all: Vec<&'static str>,
    /// What its account may see.
    sites: Vec<&'static str>,
}

#[async_trait::async_trait]
impl sync::Scanner for Slippery {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Tenable
    }

    async fn plan(&self, _: &Run) -> Result<Vec<Unit>, SyncError> {
        Ok(vec![Unit::new("list", &Vec::<String>::new())])
    }

    fn ask_for(&self, natives: &[String]) -> Vec<Unit> {
        vec![Unit::new("missing/0", &natives)]
    }

    async fn pull(&self, _: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let (listed, all, sites) = {
            let hosts = HOSTS.lock().unwrap();
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            (hosts.listed.clone(), owned(&hosts.all), owned(&hosts.sites))
        };
        if unit.id == "list" {
            sink.exist(all).await?;
            for native in listed {
                sink.inventory(Host { native: native.into(), ..Host::default() }).await?;
            }
        }
        sink.may_see(sites).await?;
        if unit.id != "list" && HOSTS.lock().unwrap().trouble == Some(0) {
            return Err(SyncError::Config { field: "questions".into(), problem: "none are taken".into() });
        }
        let ask = async |native: String| {
            let mut hosts = HOSTS.lock().unwrap();
            hosts.asked.push(native.clone());
            match hosts.trouble {
                Some(429) if hosts.asked.len() > 1 => {
                    hosts.trouble = None;
                    let until = jiff::Timestamp::UNIX_EPOCH;
                    Err(SyncError::Throttled { system: "s".into(), until })
                }
                None | Some(429) => Ok(hosts.there.contains(&native.as_str())),
                Some(status) => {
                    Err(SyncError::Refused { system: "s".into(), status, what: native, detail: "no".into() })
                }
            }
        };
        let rest = sync::confirm_each(unit.work()?, ask, sink).await?;
        if !rest.is_empty() {
            return Ok(Next::More(
                vec![Unit::new(format!("missing/{}", rest.len()), &rest)],
                Proof::default(),
            ));
        }
        Ok(Next::Done(Proof::default()))
    }

    async fn check(&self) -> Result<String, SyncError> {
        Ok(String::new())
    }
}

#[tokio::test]
async fn a_host_that_slips_through_a_list_is_not_gone_and_one_that_is_not_there_is() {
    let site = Site::start(Setup::new(3)).await;
    let runs = Runs::new(&site, |_, _, _| Ok(Built { scanner: Box::new(Slippery), http: None }));
    let pull = async |request: &str, listed: &[&'static str], there: &[&'static str]| {
        {
            let mut hosts = HOSTS.lock().unwrap();
            (hosts.listed, hosts.there) = (listed.to_vec(), there.to_vec());
            hosts.asked.clear();
        }
        let run = runs.full(request).await;
        assert_eq!(run.verdict, Some(Verdict::Complete), "{:?}", run.reason);
        HOSTS.lock().unwrap().asked.clone()
    };
    let marks = async |native: &str| {
        let sighting = SightingId::new(runs.connector.clone(), native);
        let sighting = site.stack.services().store.sighting_state(&sighting, false).await.unwrap().sighting;
        (sighting.purged_at.is_some(), sighting.missing_since.is_some())
    };
    let (here, missing, gone) = ((false, false), (false, true), (true, false));
    let all = ["a", "b", "c", "d"];
    assert_eq!(pull("1", &all, &all).await, Vec::<String>::new(), "nobody is missing");
    assert_eq!(pull("2", &["a", "d"], &["a", "b", "d"]).await, ["b", "c"]);
    assert_eq!((marks("b").await, marks("c").await), (here, gone));
    // The one that had slipped through is remembered; what is gone is not asked for again.
    assert_eq!(pull("3", &["a", "d"], &["a", "d"]).await, ["b"]);
    assert_eq!((marks("b").await, marks("a").await), (gone, here));
    // What a scanner does not say costs the run nothing: the host is missing, and asked for again.
    HOSTS.lock().unwrap().trouble = Some(500);
    assert_eq!(pull("4", &["a"], &["a"]).await, ["d"]);
    assert_eq!(marks("d").await, missing);
    HOSTS.lock().unwrap().trouble = None;
    assert_eq!(pull("4a", &["a"], &["a", "d"]).await, ["d"]);
    assert_eq!(marks("d").await, missing, "it is there, and nobody has looked at it");
    // Nor does it cost anything if nobody can be asked at all.
    HOSTS.lock().unwrap().trouble = Some(0);
    assert_eq!(pull("4aa", &["a"], &["a"]).await, Vec::<String>::new());
    HOSTS.lock().unwrap().trouble = None;
    assert_eq!(pull("4ab", &["a"], &["a", "d"]).await, ["d"], "the next one asks again");
    // A limit in the middle: what is left is asked for later, and nothing twice.
    assert_eq!(pull("4b", &all, &all).await, Vec::<String>::new());
    HOSTS.lock().unwrap().trouble = Some(429);
    assert_eq!(pull("4c", &["a"], &all).await, ["b", "c", "c", "d"]);
    // Whoever sees less of the scanner than before cannot tell what is gone.
    HOSTS.lock().unwrap().sites = vec!["1", "2"];
    assert_eq!(pull("4d", &all, &all).await, Vec::<String>::new());
    HOSTS.lock().unwrap().sites = vec!["1"];
    assert_eq!(pull("4e", &["a", "b", "c"], &[]).await, Vec::<String>::new());
    assert_eq!(marks("d").await, missing);
    // Nor does who is not told what there is to see.
    assert_eq!(pull("4f", &all, &all).await, Vec::<String>::new());
    HOSTS.lock().unwrap().sites = vec!["1", UNREADABLE];
    assert_eq!(pull("4g", &["a", "b", "c"], &[]).await, Vec::<String>::new());
    assert_eq!(marks("d").await, missing);
    HOSTS.lock().unwrap().sites = vec!["1"];
    assert_eq!(pull("5", &all, &all).await, Vec::<String>::new());
    for host in all {
        assert_eq!(marks(host).await, here, "{host} is back");
    }
    // A list of all hosts is believed unless one of it could not be read.
    HOSTS.lock().unwrap().trouble = Some(400);
    HOSTS.lock().unwrap().all = vec!["a", "b", UNREADABLE];
    assert_eq!(pull("6", &["a"], &[]).await, ["c", "d"], "and \"?\" is no host");
    HOSTS.lock().unwrap().trouble = Some(504);
    assert_eq!(pull("6a", &["a"], &[]).await, ["c"], "who does not answer is not asked for another one");
    assert_eq!((marks("b").await, marks("c").await), (here, missing));
    HOSTS.lock().unwrap().all = vec!["a", "b", "c", "d"];
    assert_eq!(pull("7", &["a", "b"], &[]).await, Vec::<String>::new());
    HOSTS.lock().unwrap().all = vec!["a", "b", "c"];
    assert_eq!(pull("8", &["a"], &[]).await, Vec::<String>::new());
    assert_eq!((marks("b").await, marks("d").await), (here, (true, true)), "missing before, and gone now");
}

#[tokio::test]
async fn a_run_that_would_close_too_much_waits_for_one_approval() {
    let setup = Setup::new(10).edit("page_size: 20", "page_size: 20\n    close_limit_percent: 1");
    let site = Site::start(setup).await;
    site.sync().await;
    site.day(120);
    let before = statuses(&site).await;
    site.pull("qualys-demo", Trigger::Full).await;
    let run = site.last_run("qualys-demo").await;
    assert_eq!((run.status, run.verdict), (RunStatus::Held, Some(Verdict::Complete)), "{:?}", run.reason);
    assert!(run.reason.as_ref().is_some_and(|reason| reason.contains("approve")), "{:?}", run.reason);
    nothing_closed(&site, &before, "held").await;
    // Another start does not get around it.
    site.pull("qualys-demo", Trigger::Scheduled).await;
    assert_eq!(site.last_run("qualys-demo").await.id, run.id);

    let approved = approve(&site, &run).await;
    assert_eq!((approved.status, approved.approved_by.as_deref()), (RunStatus::Done, Some("a person")));
    let fixed = |all: &BTreeMap<VulnId, Status>| all.values().filter(|s| **s == Status::Fixed).count();
    let after = statuses(&site).await;
    assert!(fixed(&after) > fixed(&before), "{} of {} closed", fixed(&after), approved.counts.closed);
    site.sla().await;
    let vulnerabilities = site.vulnerabilities().await;
    assert_eq!(site.stack.observer().open_counts().await.unwrap(), site.recount(&vulnerabilities).await);
}

#[tokio::test]
async fn a_signed_push_starts_an_incremental_run_and_its_replay_none() {
    let site = Site::start(Setup::new(3)).await;
    site.sync().await;
    site.advance(SignedDuration::from_mins(90));
    let webhook = Webhook::new(site.stack.services());
    let push = |secret: &str, body: &str| {
        let at = site.now();
        let mut event = ApiGatewayV2httpRequest::default();
        event.raw_path = Some("/webhooks/tenable-push".into());
        event.request_context.http.method = "POST".parse().unwrap();
        event.headers.insert(TIMESTAMP_HEADER, at.as_second().to_string().parse().unwrap());
        let signature = sign(secret, at.as_second(), body.as_bytes());
        event.headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
        event.body = Some(body.to_owned());
        event
    };
    let runs = async || site.stack.observer().runs(&"tenable-demo".parse().unwrap(), 10).await.unwrap().len();
    assert_eq!(runs().await, 1);
    assert_eq!(webhook.handle(push("not the secret", "{}")).await.status_code, 401);
    site.drain().await;
    assert_eq!(runs().await, 1);

    let signed = push("simulated-webhook-secret", r#"{"scan":"done"}"#);
    assert_eq!(webhook.handle(signed.clone()).await.status_code, 202);
    site.drain().await;
    let run = site.last_run("tenable-demo").await;
    assert_eq!((runs().await, run.verdict), (2, Some(Verdict::Complete)));
    assert_eq!(run.mode["mode"], "incremental", "{}", run.mode);

    assert_eq!(webhook.handle(signed).await.status_code, 202);
    site.drain().await;
    assert_eq!(runs().await, 2, "a replay started a run");
}

#[tokio::test]
async fn findings_of_a_host_that_fails_alone_are_kept() {
    // A page that was read halfway closes nothing on the hosts that it did tell of.
    let site = Site::start(pages(6)).await;
    site.sync().await;
    site.day(9);
    let before = statuses(&site).await;
    site.world.faults.set("qualys.detection:truncate,tenable.chunk:truncate").unwrap();
    for connector in ["qualys-demo", "tenable-demo"] {
        site.pull(connector, Trigger::Full).await;
        let run = site.last_run(connector).await;
        assert_ne!(run.verdict, Some(Verdict::Complete), "{connector}");
        assert_eq!(run.counts.closed, 0);
        nothing_closed(&site, &before, connector).await;
    }
}
