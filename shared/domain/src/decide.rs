//! What follows from everything known about one asset: which vulnerabilities it has, where they stand, how much they
//! matter, until when, and what has to happen outside.
//!
//! A pure function. Called twice with the same facts it decides the same; called with what it decided, it changes
//! nothing.

mod effects;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::exposure;
use crate::finding::{FindingKind, Rule};
use crate::host::{Host, Tag};
use crate::ids::{ConnectorName, CveId, RuleId, SightingId, VulnId};
use crate::intel::{Feed, Intel};
use crate::merge::{Group, Mergeable, merge};
use crate::policy::{Config, criticality, owner};
use crate::scanner::Scanner;
use crate::score::{self, Criticality, Factors, Score, rewrite_needed};
use crate::sla::{self, Event, What};
use crate::vulnerability::{
    Asset, Counted, Decision, FindingRef, Severity, Sighting, Statement, Status, Vulnerability,
};

pub use effects::SWEEP_AFTER;

/// Tag of a host with the environment that the inventory says it is part of.
const ENVIRONMENT: &str = "env";
/// Owner of what no ownership rule matches.
pub const UNOWNED: &str = "unowned";

/// Everything that is known about one asset.
pub struct Facts<'a> {
    /// The asset with its sightings.
    pub asset: &'a Asset,
    /// The vulnerabilities it has so far.
    pub known: &'a BTreeMap<VulnId, Vulnerability>,
    /// What each of its sightings says.
    pub sightings: &'a BTreeMap<SightingId, Said>,
    /// Definitions of the rules.
    pub rules: &'a BTreeMap<(Scanner, RuleId), Rule>,
    /// What the world knows of the CVEs.
    pub intel: &'a BTreeMap<CveId, Intel>,
    /// Which feeds have been read: what they do not list is then known to be unlisted.
    pub feeds: Feeds,
    /// What the company wants, and the version of that document.
    pub config: &'a Config,
    /// Version of the policies.
    pub policy_version: u64,
    /// Connectors whose first sync is under way: what only they found is no news.
    pub introducing: &'a BTreeSet<ConnectorName>,
    /// The weekly pass: scores are written as they are, also where they moved by little.
    pub settle: bool,
    /// The current time.
    pub now: Timestamp,
}

/// Feeds that have been read at least once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Feeds {
    /// CISA KEV.
    pub kev: bool,
    /// EPSS.
    pub epss: bool,
    /// Exploit-DB.
    pub exploitdb: bool,
    /// Metasploit.
    pub metasploit: bool,
    /// nuclei.
    pub nuclei: bool,
    /// CVE records.
    pub vulnrichment: bool,
    /// NVD.
    pub nvd: bool,
    /// VulnCheck.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub vulncheck: bool,
    /// MISP.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub misp: bool,
    /// Mandiant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mandiant: bool,
    /// Recorded Future.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recordedfuture: bool,
}

impl Feeds {
    /// The same, and this feed too.
    #[must_use]
    pub fn with(mut self, feed: Feed) -> Self {
        *self.of(feed) = true;
        self
    }

    /// Whether this feed is among them.
    pub fn has(mut self, feed: Feed) -> bool {
        *self.of(feed)
    }

    fn of(&mut self, feed: Feed) -> &mut bool {
        match feed {
            Feed::Kev => &mut self.kev,
            Feed::Epss => &mut self.epss,
            Feed::Exploitdb => &mut self.exploitdb,
            Feed::Metasploit => &mut self.metasploit,
            Feed::Nuclei => &mut self.nuclei,
            Feed::Vulnrichment => &mut self.vulnrichment,
            Feed::Nvd => &mut self.nvd,
            Feed::Vulncheck => &mut self.vulncheck,
            Feed::Misp => &mut self.misp,
            Feed::Mandiant => &mut self.mandiant,
            Feed::RecordedFuture => &mut self.recordedfuture,
        }
    }
}

/// What one sighting says.
#[derive(Debug, Clone)]
pub struct Said {
    /// The kind of scanner.
    pub scanner: Scanner,
    /// The host.
    pub sighting: Sighting,
    /// Its findings.
    pub statements: Vec<Statement>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The asset as it is to be.
    pub asset: Asset,
    /// Vulnerabilities that are new or different.
    pub changed: Vec<Vulnerability>,
    /// Vulnerabilities that became part of another.
    pub merged: BTreeMap<VulnId, VulnId>,
    /// What is to be counted, in the order of ids.
    pub transitions: Vec<Transition>,
}

/// A change of what one vulnerability contributes to the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Whose counters it leaves, and as what.
    pub from: Option<(String, Counted)>,
    /// Whose counters it enters, and as what.
    pub to: Option<(String, Counted)>,
    /// Days from detection to fix, when it was fixed now.
    pub days_to_fix: Option<i64>,
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Decided {
    let mut asset = describe(facts);
    let findings = findings_of(facts);
    let mergeable: Vec<Mergeable> = findings.iter().map(|f| f.mergeable.clone()).collect();
    let groups = merge(&asset.id, &mergeable, facts.known);
    let mut wanted: BTreeMap<VulnId, Vulnerability> = BTreeMap::new();
    let mut merged = BTreeMap::new();
    for group in &groups {
        let members: Vec<&Found<'_>> = group.members.iter().map(|&m| &findings[m]).collect();
        if let Some(vulnerability) = derive(facts, &asset, group, &members) {
            merged.extend(group.absorbed.iter().map(|old| (old.clone(), vulnerability.id.clone())));
            wanted.insert(vulnerability.id.clone(), vulnerability);
        }
    }
    // What nobody states any more is kept as it is, but nobody sees it either.
    for (id, orphan) in facts.known {
        if !wanted.contains_key(id) && !merged.contains_key(id) {
            wanted.insert(id.clone(), status::orphaned(facts, &asset, orphan));
        }
    }
    effects::announce(facts, &mut asset, &mut wanted);
    effects::tickets(facts, &mut wanted);
    effects::sweep(facts, &mut asset, &mut wanted);
    let transitions = count(facts, &mut asset, &wanted);
    let changed = wanted
        .into_values()
        .filter_map(|mut wanted| {
            let known = facts.known.get(&wanted.id);
            wanted.policy_version = known.map_or(facts.policy_version, |known| known.policy_version);
            if known == Some(&wanted) {
                return None;
            }
            wanted.policy_version = facts.policy_version;
            Some(wanted)
        })
        .collect();
    Decided { asset, changed, merged, transitions }
}

/// A statement with what its rule adds.
struct Found<'a> {
    said: &'a Said,
    statement: &'a Statement,
    rule: Option<&'a Rule>,
    mergeable: Mergeable,
}

impl Found<'_> {
    /// The finding's own, or, where the scanner tells it with the definition alone, that of its rule.
    fn severity(&self) -> Severity {
        let finding = &self.statement.finding;
        let by_rule = self.rule.and_then(|rule| rule.severity).filter(|_| finding.source_severity.is_empty());
        by_rule.unwrap_or(finding.severity)
    }
}

fn findings_of<'a>(facts: &'a Facts<'_>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for (sighting, said) in facts.sightings {
        for statement in &said.statements {
            let finding = &statement.finding;
            let rule = facts.rules.get(&(said.scanner, finding.rule.clone()));
            let reference = FindingRef {
                sighting: sighting.clone(),
                finding: finding.key.clone(),
                rule: finding.rule.clone(),
            };
            let cves = rule.map(|rule| rule.cves.clone()).unwrap_or_default();
            let mergeable = Mergeable { finding: reference, scanner: said.scanner, cves };
            found.push(Found { said, statement, rule, mergeable });
        }
    }
    found.sort_by(|a, b| a.mergeable.cmp(&b.mergeable));
    found
}

/// The merged description of the asset, its owner and what is at stake.
fn describe(facts: &Facts<'_>) -> Asset {
    let mut asset = Asset { look_at: None, ..facts.asset.clone() };
    let hosts: Vec<Host> = facts.sightings.values().map(|said| said.sighting.host()).collect();
    if let Some(host) = unite(&hosts) {
        asset.host = host;
    }
    let gone: Option<Vec<Timestamp>> = hosts.iter().map(|host| host.gone_at).collect();
    asset.gone_at = if hosts.is_empty() && asset.superseded_by.is_some() {
        asset.gone_at.or(Some(facts.now))
    } else {
        gone.and_then(|times| times.into_iter().max())
    };
    let sees = |said: &Said| said.sighting.missing_since.is_none() && said.sighting.host().gone_at.is_none();
    asset.seen_by =
        facts.sightings.iter().filter(|(_, said)| sees(said)).map(|(id, _)| id.connector.clone()).collect();
    let inventory = asset.inventory.clone().unwrap_or_default();
    if let Some(environment) = inventory.environment {
        // What people say replaces what scanners say.
        asset.host.tags.retain(|tag| tag.key != ENVIRONMENT);
        asset.host.tags.push(Tag { key: ENVIRONMENT.to_owned(), value: environment });
    }
    let rule = owner(&facts.config.ownership, &asset.host);
    let by_rule = || rule.map_or_else(|| UNOWNED.to_owned(), |rule| rule.owner.clone());
    asset.owner = inventory.owner.unwrap_or_else(by_rule);
    asset.service =
        inventory.services.into_iter().next().or_else(|| rule.and_then(|rule| rule.service.clone()));
    let criticality = criticality(&facts.config.impact, &asset.host);
    asset.criticality = inventory.criticality.or(criticality);
    asset.exposure = exposure::told(&asset, facts.config).first().map(exposure::Told::exposure);
    asset
}

/// One description out of several: the first that knows something says it, lists are united.
fn unite(hosts: &[Host]) -> Option<Host> {
    fn add<T: Clone + Ord>(mine: &mut Vec<T>, theirs: &[T]) {
        let known: BTreeSet<T> = mine.iter().cloned().collect();
        mine.extend(theirs.iter().filter(|t| !known.contains(t)).cloned());
    }
    let mut hosts = hosts.iter();
    let mut all = hosts.next()?.clone();
    for host in hosts {
        let mut united = all.clone().completed_with(host);
        for (mine, theirs) in [
            (&mut united.hostnames, &host.hostnames),
            (&mut united.fqdns, &host.fqdns),
            (&mut united.netbios, &host.netbios),
            (&mut united.ips, &host.ips),
            (&mut united.macs, &host.macs),
            (&mut united.agent_ids, &host.agent_ids),
        ] {
            add(mine, theirs);
        }
        add(&mut united.cloud, &host.cloud);
        add(&mut united.tags, &host.tags);
        united.criticality = all.criticality.max(host.criticality);
        // Still there as long as anybody sees it.
        united.gone_at = all.gone_at.and(host.gone_at);
        all = united;
    }
    Some(all)
}

/// A weakness, unless all that is said of it is about compliance.
fn kind(members: &[&Found<'_>]) -> FindingKind {
    let compliance = |found: &&Found<'_>| found.statement.finding.kind == FindingKind::Compliance;
    if !members.is_empty() && members.iter().all(compliance) {
        FindingKind::Compliance
    } else {
        FindingKind::Vulnerability
    }
}

/// The vulnerability that a group of findings is. `None`: not worth a record.
fn derive(facts: &Facts<'_>, asset: &Asset, group: &Group, members: &[&Found<'_>]) -> Option<Vulnerability> {
    let known = facts.known.get(&group.id);
    let seen = status::seen(facts, members);
    let severity = members
        .iter()
        .filter(|m| status::is_seen(m))
        .map(|m| m.severity())
        .max()
        .or(known.map(|known| known.severity))
        .or(members.iter().map(|m| m.severity()).max())?;
    let kind = kind(members);
    if known.is_none() {
        // Closed before we heard of it, or a mere observation: the statement is record enough.
        let worth = match seen {
            status::Seen::Open | status::Seen::Suppressed => true,
            status::Seen::Stale | status::Seen::Closed(_) | status::Seen::Gone(_) => false,
        };
        let informational =
            severity == Severity::Info && !facts.config.policies.promotes(kind, Severity::Info);
        if !worth || informational {
            return None;
        }
    }
    let Weighed { factors, leading_cve, epss_model } = factors(facts, asset, &group.cves, members, severity);
    let score = score::score(&factors, &facts.config.policies.score);
    let detected = detected(members, facts.now);
    let mut vulnerability = match known {
        Some(known) => known.clone(),
        None => Vulnerability {
            id: group.id.clone(),
            asset: asset.id.clone(),
            title: String::new(),
            cves: Vec::new(),
            findings: Vec::new(),
            scanners: Vec::new(),
            aliases: Vec::new(),
            severity,
            status: Status::Created,
            score: score.clone(),
            factors: factors.clone(),
            leading_cve: leading_cve.clone(),
            epss_model: epss_model.clone(),
            events: vec![Event {
                at: detected,
                what: What::Detected {
                    severity,
                    criticality: asset.criticality.and_then(Criticality::new),
                    awaiting_promotion: !facts.config.policies.promotes(kind, severity),
                },
            }],
            due: None,
            announced: BTreeSet::new(),
            policy_version: facts.policy_version,
            known_since: facts.now,
            next_at: None,
            decision: None,
            ticket: None,
            other_tickets: Vec::new(),
            kind,
            ticket_wishes: 0,
            intents: BTreeMap::new(),
        },
    };
    for absorbed in &group.absorbed {
        absorb(&mut vulnerability, facts.known.get(absorbed));
    }
    vulnerability.title = title(members).unwrap_or_else(|| vulnerability.title.clone());
    vulnerability.kind = kind;
    vulnerability.cves.clone_from(&group.cves);
    vulnerability.findings = members.iter().map(|m| m.mergeable.finding.clone()).collect();
    vulnerability.scanners =
        members.iter().map(|m| m.said.scanner).collect::<BTreeSet<_>>().into_iter().collect();
    take_score(&mut vulnerability, score, factors, (leading_cve, epss_model), severity, facts);
    status::advance(facts, asset, &mut vulnerability, &seen, severity);
    let policy = &facts.config.policies.sla;
    vulnerability.due = sla::sla(&vulnerability.events, policy).due;
    Some(vulnerability)
}

/// A score that moves by little within its band is not taken over before the weekly pass: EPSS moves a little every day.
fn take_score(
    vulnerability: &mut Vulnerability,
    score: Score,
    factors: Factors,
    (leading_cve, epss_model): (Option<CveId>, Option<String>),
    severity: Severity,
    facts: &Facts<'_>,
) {
    let likely_from = facts.config.policies.acceptance_ends_at_epss;
    let is_likely = |factors: &Factors| status::is_likely(factors.epss, likely_from);
    let old = (vulnerability.score.value, vulnerability.score.band);
    let news = rewrite_needed(old, (score.value, score.band))
        || (facts.settle && score != vulnerability.score)
        || severity != vulnerability.severity
        || factors.kev != vulnerability.factors.kev
        || factors.criticality != vulnerability.factors.criticality
        || factors.exposure != vulnerability.factors.exposure
        // A directive's deadline follows from them, whatever they are worth.
        || factors.automatable != vulnerability.factors.automatable
        || factors.total_impact != vulnerability.factors.total_impact
        // An acceptance may end by it.
        || is_likely(&factors) != is_likely(&vulnerability.factors)
        || vulnerability.leading_cve.as_ref().is_some_and(|cve| !vulnerability.cves.contains(cve));
    if news {
        vulnerability.score = score;
        vulnerability.factors = factors;
        vulnerability.leading_cve = leading_cve;
        vulnerability.epss_model = epss_model;
    }
}

/// Takes over what an absorbed vulnerability has and this one lacks. Of two deadlines the earlier one counts, with the
/// history that it follows from; of two tickets both are kept, and the second is closed with the first.
fn absorb(vulnerability: &mut Vulnerability, absorbed: Option<&Vulnerability>) {
    let Some(absorbed) = absorbed else { return };
    if !vulnerability.aliases.contains(&absorbed.id) {
        vulnerability.aliases.push(absorbed.id.clone());
        vulnerability.aliases.extend(absorbed.aliases.iter().cloned());
    }
    let decision = decision_of_both(vulnerability, absorbed);
    let urgent = |v: &Vulnerability| (!v.status.is_open(), v.due.is_none(), v.due);
    if urgent(absorbed) < urgent(vulnerability) {
        vulnerability.events.clone_from(&absorbed.events);
        // The events speak of that severity and that state.
        vulnerability.severity = absorbed.severity;
        vulnerability.status = absorbed.status;
    }
    vulnerability.announced.extend(absorbed.announced.iter().copied());
    for theirs in absorbed.ticket.iter().chain(&absorbed.other_tickets) {
        let known = vulnerability.ticket.iter().chain(&vulnerability.other_tickets);
        if vulnerability.ticket.is_none() {
            vulnerability.ticket = Some(theirs.clone());
        } else if known.into_iter().all(|ours| (&ours.tracker, &ours.key) != (&theirs.tracker, &theirs.key)) {
            vulnerability.other_tickets.push(theirs.clone());
        }
    }
    vulnerability.decision = decision;
    vulnerability.ticket_wishes = vulnerability.ticket_wishes.max(absorbed.ticket_wishes);
}

/// Where both are accepted, or false, so is what they become: until the first of the decisions ends. Otherwise the own
/// decision stays, if there is one; either is about its own CVEs alone.
fn decision_of_both(own: &Vulnerability, absorbed: &Vulnerability) -> Option<Decision> {
    let decisions = own.decision.as_ref().zip(absorbed.decision.as_ref());
    let both = decisions.filter(|(ours, theirs)| {
        ours.status == theirs.status && own.status == ours.status && absorbed.status == theirs.status
    });
    let Some((ours, theirs)) = both else {
        return own.decision.clone().or_else(|| absorbed.decision.clone());
    };
    let end = |decision: &Decision| decision.until.unwrap_or(Timestamp::MAX);
    let mut first = if end(theirs) < end(ours) { theirs.clone() } else { ours.clone() };
    if let (Some(about), Some(ours), Some(theirs)) = (&mut first.about, &ours.about, &theirs.about) {
        about.cves = ours.cves.union(&theirs.cves).cloned().collect();
    } else {
        // One does not say what it is on.
        first.about = None;
    }
    Some(first)
}

/// The title of the worst finding whose rule is defined; else the rule's number.
fn title(members: &[&Found<'_>]) -> Option<String> {
    let best = members
        .iter()
        .filter(|m| m.rule.is_some())
        .max_by_key(|m| (status::is_seen(m), m.severity(), std::cmp::Reverse(m.mergeable.finding.clone())));
    match best.and_then(|m| m.rule) {
        Some(rule) => Some(rule.title.clone()),
        None => members.first().map(|m| format!("{} rule {}", m.mergeable.scanner, m.mergeable.finding.rule)),
    }
}

/// When the oldest finding that the scanner still sees was first found; never in the future.
fn detected(members: &[&Found<'_>], now: Timestamp) -> Timestamp {
    let seen = members.iter().filter(|m| status::is_seen(m)).filter_map(|m| m.statement.finding.first_found);
    seen.min().map_or(now, |at| at.min(now))
}

/// What the score is computed from.
struct Weighed {
    factors: Factors,
    /// The CVE that would score highest alone.
    leading_cve: Option<CveId>,
    /// The model behind the EPSS that counts.
    epss_model: Option<String>,
}

/// Gathers what the score is computed from.
fn factors(
    facts: &Facts<'_>,
    asset: &Asset,
    cves: &[CveId],
    members: &[&Found<'_>],
    severity: Severity,
) -> Weighed {
    let base = Factors {
        severity: Some(severity),
        criticality: asset.criticality.and_then(Criticality::new),
        exposure: asset.exposure,
        ..Factors::default()
    };
    // The best CVSS of the findings that name this CVE; a finding's own before its rule's.
    let cvss = |wanted: Option<&CveId>| {
        members
            .iter()
            .filter(|m| wanted.is_none_or(|cve| m.mergeable.cves.contains(cve)))
            .filter_map(|m| m.statement.finding.cvss.as_ref().or(m.rule.and_then(|rule| rule.cvss.as_ref())))
            .map(|cvss| cvss.score.0)
            .max()
            .and_then(score::Cvss::from_tenths)
    };
    // A scanner that knows of no exploit has not looked everywhere: only a yes counts.
    let exploit = |cve: &CveId| {
        let says = |m: &&&Found<'_>| {
            m.statement.finding.exploit_available == Some(true)
                || m.rule.is_some_and(|rule| rule.exploit_available == Some(true))
        };
        members.iter().filter(says).any(|m| m.mergeable.cves.contains(cve)).then_some(true)
    };
    if cves.is_empty() {
        let factors = Factors { cvss: cvss(None), has_cve: Some(false), ..base };
        return Weighed { factors, leading_cve: None, epss_model: None };
    }
    let nothing = Intel::default();
    let each: Vec<(CveId, Factors)> = cves
        .iter()
        .map(|cve| {
            let known = facts.intel.get(cve).unwrap_or(&nothing);
            let by_feeds = known.factors(&facts.feeds, &facts.config.feeds, facts.now);
            let factors = Factors {
                // The scanner looked at this very host; the record knows of none.
                cvss: cvss(Some(cve)).or(by_feeds.cvss),
                poc: exploit(cve).or(by_feeds.poc),
                severity: base.severity,
                criticality: base.criticality,
                exposure: base.exposure,
                ..by_feeds
            };
            (cve.clone(), factors)
        })
        .collect();
    let alone = |factors: &Factors| score::score(factors, &facts.config.policies.score).value;
    let leading = each.iter().max_by_key(|(cve, factors)| (alone(factors), std::cmp::Reverse(cve)));
    let leading_cve = leading.map(|(cve, _)| cve.clone());
    match Factors::highest(each.iter().map(|(cve, factors)| (cve.clone(), factors))) {
        Some(highest) => {
            let epss = facts.intel.get(&highest.from.epss).and_then(|intel| intel.epss.as_ref());
            Weighed { factors: highest.factors, leading_cve, epss_model: epss.map(|epss| epss.model.clone()) }
        }
        None => Weighed { factors: base, leading_cve, epss_model: None },
    }
}

/// Compares what the asset has contributed to the counters with what it should.
fn count(facts: &Facts<'_>, asset: &mut Asset, wanted: &BTreeMap<VulnId, Vulnerability>) -> Vec<Transition> {
    let before = facts.asset;
    let now: BTreeMap<VulnId, Counted> = wanted
        .values()
        .map(|v| {
            let counted =
                Counted { status: v.status, severity: v.severity, overdue: v.is_overdue(facts.now) };
            (v.id.clone(), counted)
        })
        .collect();
    let ids: BTreeSet<&VulnId> = before.counted.keys().chain(now.keys()).collect();
    let mut transitions = Vec::new();
    for id in ids {
        let (from, to) = (before.counted.get(id), now.get(id));
        if from == to && before.owner == asset.owner {
            continue;
        }
        let fixed_now = to.is_some_and(|to| to.status == Status::Fixed)
            && from.is_some_and(|from| from.status != Status::Fixed);
        transitions.push(Transition {
            from: from.map(|counted| (before.owner.clone(), *counted)),
            to: to.map(|counted| (asset.owner.clone(), *counted)),
            days_to_fix: if fixed_now { wanted.get(id).and_then(days_to_fix) } else { None },
        });
    }
    asset.counted = now;
    transitions
}

fn days_to_fix(vulnerability: &Vulnerability) -> Option<i64> {
    let last =
        |wanted: fn(&What) -> bool| vulnerability.events.iter().rev().find(|e| wanted(&e.what)).map(|e| e.at);
    let fixed = last(|what| matches!(what, What::Fixed))?;
    let since =
        last(|what| matches!(what, What::Reopened)).or(last(|what| matches!(what, What::Detected { .. })))?;
    Some(fixed.duration_since(since).as_hours() / 24)
}
