//! Where a vulnerability stands: scanners own found and fixed, people own the decisions.

use jiff::civil::Time;
use jiff::{Timestamp, tz::TimeZone};

use super::{Facts, Found};
use crate::finding::FindingState;
use crate::score::{Criticality, Exposure, Factors, Share};
use crate::sla::directive::Case;
use crate::sla::{self, Event, What};
use crate::vulnerability::{Asset, DecidedOn, Decision, Severity, Status, Vulnerability};

/// What all findings of a vulnerability say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A scanner sees it.
    Open,
    /// Scanners see it and were told to disregard it.
    Suppressed,
    /// Nobody looked lately.
    Stale,
    /// All findings are closed, the last at that time.
    Closed(Timestamp),
    /// The host is gone, since then.
    Gone(Timestamp),
}

/// Whether the scanner sees the finding now, as far as is proven.
pub(super) fn is_seen(found: &Found<'_>) -> bool {
    one(found) == Seen::Open || one(found) == Seen::Suppressed
}

fn one(found: &Found<'_>) -> Seen {
    let (sighting, statement) = (&found.said.sighting, found.statement);
    let closed = statement.closing.as_ref().filter(|_| statement.is_closed(sighting));
    if let Some(closing) = closed {
        return Seen::Closed(closing.at);
    }
    if let Some(at) = sighting.host().gone_at {
        return Seen::Gone(at);
    }
    match statement.finding.state {
        // Fixed before we ever saw it open: no closing waits for a run.
        FindingState::Fixed if statement.closing.is_none() => {
            Seen::Closed(statement.finding.fixed_at.unwrap_or(Timestamp::UNIX_EPOCH))
        }
        FindingState::Suppressed => Seen::Suppressed,
        _ if sighting.missing_since.is_some() => Seen::Stale,
        FindingState::Open | FindingState::Reopened | FindingState::Fixed => Seen::Open,
    }
}

/// It is fixed when all its findings are; one that nobody looked at lately keeps it from being fixed.
pub(super) fn seen(_facts: &Facts<'_>, members: &[&Found<'_>]) -> Seen {
    let all: Vec<Seen> = members.iter().map(|m| one(m)).collect();
    for wanted in [Seen::Open, Seen::Suppressed, Seen::Stale] {
        if all.contains(&wanted) {
            return wanted;
        }
    }
    // Where a finding went with its host, others of that host do not prove it fixed; another scanner's host does.
    let gone = all.iter().filter_map(|seen| if let Seen::Gone(at) = seen { Some(*at) } else { None }).max();
    let is_proof = |member: &&Found<'_>| gone.is_none() || member.said.sighting.host().gone_at.is_none();
    let closed = members.iter().zip(&all).filter(|(member, _)| is_proof(member));
    let closed = closed.filter_map(|(_, seen)| if let Seen::Closed(at) = seen { Some(*at) } else { None });
    match (closed.max(), gone) {
        (Some(at), _) => Seen::Closed(at),
        (None, Some(at)) => Seen::Gone(at),
        (None, None) => Seen::Stale,
    }
}

/// A vulnerability that no statement supports any more: its sightings were moved or removed. Nobody proved it fixed.
pub(super) fn orphaned(facts: &Facts<'_>, asset: &Asset, known: &Vulnerability) -> Vulnerability {
    let mut orphan = known.clone();
    if !matches!(orphan.status, Status::Fixed | Status::Gone) {
        let seen = asset.gone_at.map_or(Seen::Stale, Seen::Gone);
        let severity = orphan.severity;
        advance(facts, asset, &mut orphan, &seen, severity);
    }
    orphan
}

/// Adds to the ledger what has happened since, and derives the status.
pub(super) fn advance(
    facts: &Facts<'_>,
    asset: &Asset,
    vulnerability: &mut Vulnerability,
    seen: &Seen,
    severity: Severity,
) {
    let now = facts.now;
    let is_new = !facts.known.contains_key(&vulnerability.id);
    judge_falseness(vulnerability, now);
    record_scans(vulnerability, seen, now);
    if is_new || !matches!(seen, Seen::Stale | Seen::Suppressed) {
        list_kev(facts, vulnerability, is_new);
    }
    follow_directive(facts, vulnerability, is_new);
    record_acceptance(facts, vulnerability);
    if severity != vulnerability.severity {
        vulnerability.events.push(Event { at: now, what: What::SeverityChanged { severity } });
        vulnerability.severity = severity;
    }
    let criticality = asset.criticality.and_then(Criticality::new);
    if criticality != last_criticality(&vulnerability.events) {
        vulnerability.events.push(Event { at: now, what: What::CriticalityChanged { criticality } });
    }
    if *seen == Seen::Open && awaits_promotion(&vulnerability.events) {
        let works = matches!(decided(vulnerability), Some(Status::InProgress | Status::AwaitingValidation));
        if works || facts.config.policies.promotes(vulnerability.kind, severity) {
            vulnerability.events.push(Event { at: now, what: What::Promoted });
        }
    }
    vulnerability.status = status(vulnerability, seen, now);
    let policy = &facts.config.policies.sla;
    // Acceptances and pauses that ended on their date become part of the ledger.
    let ended = sla::sla(&vulnerability.events, policy).unrecorded;
    vulnerability.events.extend(ended.into_iter().filter(|event| event.at <= now));
}

/// What a person decided on it, whether or not it is over.
fn decided(vulnerability: &Vulnerability) -> Option<Status> {
    vulnerability.standing_decision().map(|decision| decision.status)
}

/// The last event of some kinds.
fn last(events: &[Event], of: impl Fn(&What) -> bool) -> Option<&Event> {
    events.iter().rev().find(|event| of(&event.what))
}

/// Whether it is a finding that was never promoted. What was promoted once stays promoted.
fn awaits_promotion(events: &[Event]) -> bool {
    let awaited = |what: &What| matches!(what, What::Promoted | What::Detected { .. });
    last(events, awaited).is_some_and(|e| matches!(e.what, What::Detected { awaiting_promotion: true, .. }))
}

/// Notes that it was fixed, or that it is back. A false positive was never there, so that it can be neither.
fn record_scans(vulnerability: &mut Vulnerability, seen: &Seen, now: Timestamp) {
    if decided(vulnerability) == Some(Status::FalsePositive) {
        return;
    }
    let events = &mut vulnerability.events;
    let turned = last(events, |what| matches!(what, What::Fixed | What::Reopened));
    let is_fixed = turned.is_some_and(|event| event.what == What::Fixed);
    match seen {
        Seen::Closed(at) if !is_fixed => {
            // Scanners have their own dates; the fix does not come before what the ledger already has.
            let latest = events.iter().map(|event| event.at).max().unwrap_or(now);
            events.push(Event { at: (*at).clamp(latest.min(now), now), what: What::Fixed });
        }
        Seen::Open if is_fixed => events.push(Event { at: now, what: What::Reopened }),
        _ => {}
    }
}

fn last_criticality(events: &[Event]) -> Option<Criticality> {
    events.iter().rev().find_map(|event| match event.what {
        What::Detected { criticality, .. } | What::CriticalityChanged { criticality } => Some(criticality),
        _ => None,
    })?
}

/// Notes an entry in CISA's catalogue, or a change of its due date, when we learn of it; of what nobody sees at the moment,
/// when it is seen again. Of several CVEs, the earliest deadline counts.
fn list_kev(facts: &Facts<'_>, vulnerability: &mut Vulnerability, is_new: bool) {
    let utc = |date: jiff::civil::Date, time: Time| {
        date.to_datetime(time).to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let listed = |cve| {
        let kev = facts.intel.get(cve)?.kev.as_ref()?;
        let due = utc(kev.due, jiff::civil::time(23, 59, 59, 0))?;
        Some((due, utc(kev.added, Time::midnight())))
    };
    let entries: Vec<_> = vulnerability.cves.iter().filter_map(listed).collect();
    if entries.is_empty() {
        return;
    }
    let opened = sla::opened(&vulnerability.events, &facts.config.policies.sla).unwrap_or(facts.now);
    let earliest = entries.into_iter().min_by_key(|&(due, added)| {
        let deadline = sla::kev_deadline(opened, due, added).map(|(_, deadline)| deadline);
        (deadline.is_none(), deadline, due, added)
    });
    let Some((due, date_added)) = earliest else { return };
    let listed = What::KevListed { due, date_added };
    let latest = vulnerability.events.iter().rev().find(|event| matches!(event.what, What::KevListed { .. }));
    if latest.is_none_or(|event| event.what != listed) {
        let at = if is_new { vulnerability.known_since } else { facts.now };
        vulnerability.events.push(Event { at, what: listed });
    }
}

/// Notes the row of CISA's directive that applies, where the policy follows it.
fn follow_directive(facts: &Facts<'_>, vulnerability: &mut Vulnerability, is_new: bool) {
    if !facts.config.policies.sla.bod_26_04 {
        return;
    }
    let Some(case) = Case::of(&vulnerability.factors) else { return };
    let directed = What::Directed(case.timeline());
    let latest = last(&vulnerability.events, |what| matches!(what, What::Directed(_)));
    if latest.is_none_or(|event| event.what != directed) {
        let at = if is_new { vulnerability.known_since } else { facts.now };
        vulnerability.events.push(Event { at, what: directed });
    }
}

/// From when on a decision counts: one that was taken over from another vulnerability may be older than this one.
fn begun(vulnerability: &Vulnerability, decision: &Decision) -> Timestamp {
    vulnerability.events.first().map_or(decision.at, |detected| decision.at.max(detected.at))
}

/// Brings into the ledger that a person judged it a false positive, or no longer does.
fn judge_falseness(vulnerability: &mut Vulnerability, now: Timestamp) {
    let turned = last(&vulnerability.events, |what| matches!(what, What::FalsePositive | What::Reopened));
    let is_false = turned.is_some_and(|event| event.what == What::FalsePositive);
    let decision = vulnerability.standing_decision();
    let judged = decision.filter(|decision| decision.status == Status::FalsePositive);
    let event = match (judged, is_false) {
        (Some(decision), false) => {
            let begun = begun(vulnerability, decision);
            let at = turned.map_or(begun, |event| begun.max(event.at));
            Event { at, what: What::FalsePositive }
        }
        (None, true) => Event { at: decision.map_or(now, |decision| decision.at), what: What::Reopened },
        _ => return,
    };
    vulnerability.events.push(event);
}

/// Brings into the ledger that a person accepted the risk, or that the acceptance ended before its date.
fn record_acceptance(facts: &Facts<'_>, vulnerability: &mut Vulnerability) {
    let now = facts.now;
    let standing = vulnerability.standing_decision();
    let accepted = standing.filter(|decision| decision.status == Status::RiskAccepted).cloned();
    let begun = accepted.as_ref().map(|decision| begun(vulnerability, decision));
    let Factors { exposure, epss, .. } = vulnerability.factors;
    let bound = facts.config.policies.acceptance_ends_at_epss;
    let events = &mut vulnerability.events;
    // While it is closed there is no acceptance that could end; it ends on reopening.
    let closes = |what: &What| matches!(what, What::Fixed | What::FalsePositive | What::Reopened);
    let is_closed = last(events, closes).is_some_and(|event| event.what != What::Reopened);
    if let (Some(decision), Some(at)) = (accepted, begun) {
        let accepted = Event { at, what: What::Accepted { until: decision.until } };
        if !events.contains(&accepted) {
            events.push(accepted);
        }
        // The risk that was accepted was another one.
        let listed = events.iter().any(|e| e.at > decision.at && matches!(e.what, What::KevListed { .. }));
        let is_other = |about: &DecidedOn| {
            (is_reachable(exposure) && !is_reachable(about.exposure))
                || (is_likely(epss, bound) && !is_likely(about.epss, bound))
        };
        let worse = now > decision.at && (listed || decision.about.as_ref().is_some_and(is_other));
        let over = events.iter().any(|e| e.at > decision.at && matches!(e.what, What::Expired));
        if worse && !over && !is_closed {
            events.push(Event { at: now, what: What::Expired });
        }
        return;
    }
    // The decision was taken back or replaced.
    let is_accepted = last(events, |what| matches!(what, What::Accepted { .. } | What::Expired))
        .is_some_and(|event| event.what != What::Expired);
    if is_accepted && !is_closed {
        events.push(Event { at: now, what: What::Expired });
    }
}

fn is_reachable(exposure: Option<Exposure>) -> bool {
    exposure == Some(Exposure::Internet)
}

/// Whether EPSS is at so many per cent or above.
pub(super) fn is_likely(epss: Option<Share>, percent: u8) -> bool {
    epss.is_some_and(|epss| epss.billionths() >= u32::from(percent) * 10_000_000)
}

fn status(vulnerability: &Vulnerability, seen: &Seen, now: Timestamp) -> Status {
    let events = &vulnerability.events;
    let decision = vulnerability.standing_decision();
    if decided(vulnerability) == Some(Status::FalsePositive) {
        return Status::FalsePositive;
    }
    match seen {
        Seen::Closed(_) => return Status::Fixed,
        Seen::Gone(_) => return Status::Gone,
        Seen::Open | Seen::Suppressed | Seen::Stale => {}
    }
    if let Some(decision) = decision {
        let expired = events.iter().any(|e| e.at > decision.at && matches!(e.what, What::Expired));
        let over = expired || decision.until.is_some_and(|until| until <= now);
        let reopened = last(events, |what| matches!(what, What::Reopened)).map(|event| event.at);
        match decision.status {
            Status::RiskAccepted if !over => return Status::RiskAccepted,
            // Work on an earlier episode says nothing of this one.
            Status::InProgress | Status::AwaitingValidation
                if *seen == Seen::Open && reopened.is_none_or(|at| at <= decision.at) =>
            {
                return decision.status;
            }
            _ => {}
        }
    }
    match seen {
        Seen::Suppressed => Status::Suppressed,
        Seen::Stale => Status::Stale,
        _ if awaits_promotion(events) => Status::Created,
        _ => Status::Identified,
    }
}
