//! Stories of one asset: what scanners, people and feeds say, and what follows. The [`World`] does around [`decide`]
//! what the function `score` does: it writes in the same order, may die at the same places, and delivers effects.

mod crashes;
mod decisions;
mod history;
mod lifecycle;
mod merging;
mod scoring;
mod tickets;

use jiff::SignedDuration;

use super::*;
use crate::finding::{Cvss, Finding, FindingState, Tenths};
use crate::host::Tag;
use crate::ids::{AssetId, FindingKey, RunId};
use crate::intel::{Epss, Kev};
use crate::policy::{Auth, Channel, ChannelKind, Match, OwnerRule, Seconds, Tracker, TrackerKind};
use crate::sla::CrossingKind;
use crate::vulnerability::{
    Announced, Closing, DecidedOn, Decision, Effect, Evidence, Intent, NotifyEvent, TicketRef, TicketState,
};

const TENABLE: &str = "tenable/1";
const QUALYS: &str = "qualys/7";
const LOG4SHELL: &str = "CVE-2021-44228";
const OTHER_CVE: &str = "CVE-2021-45046";

/// Where a write may be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Before anything is written.
    Start,
    /// After the intents of the asset.
    Intents,
    /// After so many vulnerabilities.
    Vulnerabilities(usize),
    /// After all vulnerabilities and aliases, before asset and counters.
    Aliases,
    /// After the counters, before anything is sent.
    Counters,
    /// Not at all.
    Never,
}

/// What a receiver got under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    channel: String,
    event: NotifyEvent,
    about: Announced,
}

type CounterKey = (String, Status, Severity, bool);
/// The status it leads to, the way there and the way back.
type Detour = (&'static str, fn(&mut World), fn(&mut World));

struct World {
    config: Config,
    asset: Asset,
    known: BTreeMap<VulnId, Vulnerability>,
    sightings: BTreeMap<SightingId, Said>,
    rules: BTreeMap<(Scanner, RuleId), Rule>,
    intel: BTreeMap<CveId, Intel>,
    /// Connectors whose first sync is under way.
    introducing: BTreeSet<ConnectorName>,
    /// Whether this is the weekly pass.
    weekly: bool,
    now: Timestamp,
    aliases: BTreeMap<VulnId, VulnId>,
    counters: BTreeMap<CounterKey, i64>,
    days_to_fix: Vec<i64>,
    /// Keys of effects whose message is under way.
    messages: BTreeSet<String>,
    /// Keys that were delivered: nothing is delivered twice under one key.
    delivered: BTreeSet<String>,
    sent: Vec<Sent>,
    /// Tickets in the tracker, and whether each is open.
    tickets: BTreeMap<String, bool>,
}

/// Midnight, so many days after the story begins.
fn day(days: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * days)
}

fn run(number: u32) -> RunId {
    RunId::stored(format!("run-{number:05}"))
}

fn cve(text: &str) -> CveId {
    text.parse().unwrap()
}

fn sighting_id(host: &str) -> SightingId {
    SightingId::try_from(host.to_owned()).unwrap()
}

fn scanner_of(host: &str) -> Scanner {
    if host.starts_with("qualys") { Scanner::Qualys } else { Scanner::Tenable }
}

fn channel(name: &str) -> Channel {
    use NotifyEvent as E;
    Channel {
        name: name.parse().unwrap(),
        kind: ChannelKind::Slack,
        webhook_url: "${HOOK}".into(),
        events: [E::Opened, E::Exploited, E::FollowUp, E::Approaching, E::Overdue].into(),
        min_severity: Severity::Info,
        owners: BTreeSet::new(),
        messages_per_hour: 20,
        allow_private_address: false,
    }
}

fn tracker() -> Tracker {
    Tracker {
        name: "jira".parse().unwrap(),
        kind: TrackerKind::Jira,
        base_url: "https://example.atlassian.net".into(),
        auth: Auth::Basic { username: "u".into(), password: "${JIRA}".into(), token: None },
        project: "SEC".into(),
        issue_type: "Task".into(),
        search_lag: Seconds(60),
        tickets_per_hour: 100,
        allow_private_address: false,
    }
}

impl World {
    /// An asset that nothing is known of, one channel that wants to hear everything, and a tracker.
    fn new() -> Self {
        let config =
            Config { channels: vec![channel("chat")], trackers: vec![tracker()], ..Config::default() };
        let asset = Asset::new(AssetId::derive("machine"));
        Self {
            config,
            asset,
            known: BTreeMap::new(),
            sightings: BTreeMap::new(),
            rules: BTreeMap::new(),
            intel: BTreeMap::new(),
            introducing: BTreeSet::new(),
            weekly: false,
            now: day(0),
            aliases: BTreeMap::new(),
            counters: BTreeMap::new(),
            days_to_fix: Vec::new(),
            messages: BTreeSet::new(),
            delivered: BTreeSet::new(),
            sent: Vec::new(),
            tickets: BTreeMap::new(),
        }
    }

    /// One critical Log4Shell, found by Tenable today and settled.
    fn with_log4shell() -> Self {
        let mut world = Self::new();
        world.define(Scanner::Tenable, "log4j", &[LOG4SHELL]);
        world.find(TENABLE, "log4j", Severity::Critical);
        world.settle();
        world
    }

    /// Two critical weaknesses of the rules `a` and `b`, each with its own CVE, found a day apart.
    fn with_two() -> Self {
        let mut world = Self::new();
        for (rule, cve) in [("a", LOG4SHELL), ("b", OTHER_CVE)] {
            world.define(Scanner::Tenable, rule, &[cve]);
            world.find(TENABLE, rule, Severity::Critical);
            world.settle();
            world.wait(1);
        }
        world
    }

    fn define(&mut self, scanner: Scanner, rule: &str, cves: &[&str]) {
        let definition = Rule {
            scanner,
            id: RuleId::new(rule),
            title: format!("{scanner} {rule}"),
            cves: cves.iter().map(|text| cve(text)).collect(),
            severity: None,
            cvss: Some(Cvss { version: "3.1".into(), score: Tenths(98), vector: None }),
            description: None,
            solution: None,
            patchable: None,
            vendor_risk: None,
            exploit_available: None,
            modified: None,
        };
        self.rules.insert((scanner, RuleId::new(rule)), definition);
    }

    fn host(&mut self, host: &str) -> &mut Said {
        let id = sighting_id(host);
        self.sightings.entry(id.clone()).or_insert_with(|| {
            let scan = Host { native: id.native, hostnames: vec!["web-1".into()], ..Host::default() };
            let sighting = Sighting { scan: Some(scan), ..Sighting::default() };
            Said { scanner: scanner_of(host), sighting, statements: Vec::new() }
        })
    }

    /// The scanner sees the rule fire, first now; the key of the finding is the rule.
    fn find(&mut self, host: &str, rule: &str, severity: Severity) -> &mut Finding {
        let now = self.now;
        let said = self.host(host);
        if let Some(index) = said.statements.iter().position(|s| s.finding.key.as_str() == rule) {
            let statement = &mut said.statements[index];
            statement.closing = None;
            statement.finding.state = FindingState::Open;
            statement.finding.severity = severity;
            return &mut statement.finding;
        }
        let finding = Finding {
            key: FindingKey::new(rule),
            rule: RuleId::new(rule),
            severity,
            kind: crate::finding::FindingKind::Vulnerability,
            source_severity: severity.to_string(),
            state: FindingState::Open,
            source_state: "OPEN".into(),
            cvss: None,
            epss: None,
            vendor_risk: None,
            exploit_available: None,
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: Some(now),
            last_found: Some(now),
            fixed_at: None,
            reopened_at: None,
            port: None,
            protocol: None,
            service: None,
            evidence: None,
        };
        said.statements.push(Statement { finding, closing: None });
        &mut said.statements.last_mut().unwrap().finding
    }

    fn statement(&mut self, host: &str, rule: &str) -> &mut Statement {
        let said = self.host(host);
        said.statements.iter_mut().find(|s| s.finding.key.as_str() == rule).unwrap()
    }

    /// A whole report came without it. Nothing is proven yet.
    fn miss(&mut self, host: &str, rule: &str, number: u32) {
        let at = self.now;
        self.statement(host, rule).closing =
            Some(Closing { run: run(number), at, evidence: Evidence::AbsentFromReport });
        let sighting = &mut self.host(host).sighting;
        sighting.closing_run = Some(run(number));
        sighting.pending_closings += 1;
    }

    /// A run was proven complete.
    fn prove(&mut self, host: &str, number: u32) {
        self.host(host).sighting.proven_run = Some(run(number));
    }

    fn fix(&mut self, host: &str, rule: &str, number: u32) {
        self.miss(host, rule, number);
        self.prove(host, number);
    }

    fn gone(&mut self, host: &str, at: Option<Timestamp>) {
        self.host(host).sighting.scan.as_mut().unwrap().gone_at = at;
    }

    fn list_kev(&mut self, text: &str, due_in_days: i64) {
        let date = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let due = date(self.now + SignedDuration::from_hours(24 * due_in_days));
        let kev = Kev { added: date(self.now), due, ransomware: false, name: String::new() };
        self.intel.entry(cve(text)).or_default().kev = Some(kev);
    }

    fn epss(&mut self, text: &str, score: f64, percentile: f64) {
        self.intel.entry(cve(text)).or_default().epss = Some(Epss { score, percentile, model: "v4".into() });
    }

    /// A person decides on every vulnerability there is, as the dashboard does: a moment before now.
    fn person(&mut self, status: Option<Status>, until: Option<Timestamp>) {
        let at = self.now - SignedDuration::from_secs(30);
        for vulnerability in self.known.values_mut() {
            vulnerability.decision = status.map(|status| Decision {
                status,
                by: "ann".into(),
                reason: "because".into(),
                at,
                until,
                about: Some(DecidedOn::of(vulnerability)),
            });
        }
    }

    fn own(&mut self, team: &str) {
        let rule = OwnerRule { matching: Match::default(), owner: team.into(), service: None };
        self.config.ownership = vec![rule];
    }

    fn wait(&mut self, days: i64) -> &mut Self {
        self.now += SignedDuration::from_hours(24 * days);
        self
    }

    fn decide(&self) -> Decided {
        decide(&Facts {
            asset: &self.asset,
            known: &self.known,
            sightings: &self.sightings,
            rules: &self.rules,
            intel: &self.intel,
            feeds: Feed::ALL.into_iter().fold(Feeds::default(), Feeds::with),
            config: &self.config,
            policy_version: 1,
            introducing: &self.introducing,
            settle: self.weekly,
            now: self.now,
        })
    }

    /// Decides and writes, up to a place.
    fn attempt(&mut self, stop: Stop) -> Decided {
        let decided = self.decide();
        self.write(&decided, stop);
        decided
    }

    /// Decides, writes and delivers; deciding on what was written changes nothing.
    fn settle(&mut self) -> Decided {
        let decided = self.attempt(Stop::Never);
        let again = self.decide();
        assert_eq!(again.changed, [], "decided again on what was decided");
        assert_eq!(again.transitions, []);
        assert_eq!(again.merged, BTreeMap::new());
        assert_eq!(again.asset, self.asset);
        self.deliver();
        decided
    }

    fn write(&mut self, decided: &Decided, stop: Stop) {
        if stop == Stop::Start {
            return;
        }
        if decided.asset.intents.keys().any(|key| !self.asset.intents.contains_key(key)) {
            self.asset.intents = decided.asset.intents.clone();
        }
        let count = match stop {
            Stop::Intents => return,
            Stop::Vulnerabilities(count) => count,
            _ => usize::MAX,
        };
        for vulnerability in decided.changed.iter().take(count) {
            self.known.insert(vulnerability.id.clone(), vulnerability.clone());
        }
        if matches!(stop, Stop::Vulnerabilities(_)) {
            return;
        }
        for (absorbed, target) in &decided.merged {
            self.known.remove(absorbed);
            self.aliases.insert(absorbed.clone(), target.clone());
        }
        if stop == Stop::Aliases {
            return;
        }
        self.asset = decided.asset.clone();
        for transition in &decided.transitions {
            for (side, change) in [(&transition.from, -1), (&transition.to, 1)] {
                let Some((owner, counted)) = side else { continue };
                let key = (owner.clone(), counted.status, counted.severity, counted.overdue);
                *self.counters.entry(key).or_default() += change;
            }
            self.days_to_fix.extend(transition.days_to_fix);
        }
        if stop == Stop::Never {
            let now = self.now;
            let tickets = decided.changed.iter().flat_map(|v| v.intents.values());
            let fresh = decided.asset.intents.values().chain(tickets).filter(|intent| intent.is_asked(now));
            self.messages.extend(fresh.map(|intent| intent.key.clone()));
        }
    }

    /// Receivers take what was sent to them, once for each key, and the intents are confirmed.
    fn deliver(&mut self) {
        for key in std::mem::take(&mut self.messages) {
            let is_first = self.delivered.insert(key.clone());
            if let Some(Intent { effect: Effect::Notify { channel, event, about }, .. }) =
                self.asset.intents.remove(&key)
                && is_first
            {
                self.sent.extend(about.into_iter().map(|about| Sent {
                    channel: channel.clone(),
                    event,
                    about,
                }));
            }
            let holder = self.known.values_mut().find(|v| v.intents.contains_key(&key));
            let Some(vulnerability) = holder else { continue };
            let intent = vulnerability.intents.remove(&key).unwrap();
            let next = format!("SEC-{}", self.tickets.len() + 1);
            let (tracker, state) = match intent.effect {
                Effect::OpenTicket { tracker } => (tracker, TicketState::Open),
                Effect::CloseTicket { tracker } => (tracker, TicketState::Closed),
                Effect::Notify { .. } => panic!("a notification on a vulnerability"),
            };
            let key = vulnerability.ticket.as_ref().map_or(next, |ticket| ticket.key.clone());
            if is_first {
                self.tickets.insert(key.clone(), state == TicketState::Open);
            }
            vulnerability.ticket =
                Some(TicketRef { tracker, url: format!("https://example/{key}"), key, state });
        }
    }

    fn only(&self) -> &Vulnerability {
        assert_eq!(self.known.len(), 1, "{:?}", self.known.keys());
        self.known.values().next().unwrap()
    }

    /// The vulnerability with this CVE, or with this rule among its findings.
    fn of(&self, name: &str) -> &Vulnerability {
        let is = |v: &&Vulnerability| {
            v.cves.iter().any(|cve| cve.as_str() == name)
                || v.findings.iter().any(|f| f.rule.as_str() == name)
        };
        self.known.values().find(is).unwrap()
    }

    fn status(&self) -> Status {
        self.only().status
    }

    /// How often each event was told since the last time somebody asked.
    fn told(&mut self) -> Vec<NotifyEvent> {
        let mut events: Vec<_> = std::mem::take(&mut self.sent).into_iter().map(|sent| sent.event).collect();
        events.sort_unstable();
        events
    }

    /// The counters, as they follow from what is stored.
    fn recount(&self) -> BTreeMap<CounterKey, i64> {
        let mut counters = BTreeMap::new();
        for vulnerability in self.known.values() {
            let overdue = self.asset.counted[&vulnerability.id].overdue;
            let key = (self.asset.owner.clone(), vulnerability.status, vulnerability.severity, overdue);
            *counters.entry(key).or_default() += 1;
        }
        counters
    }

    fn counted(&self) -> BTreeMap<CounterKey, i64> {
        self.counters
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(key, count)| (key.clone(), *count))
            .collect()
    }
}
