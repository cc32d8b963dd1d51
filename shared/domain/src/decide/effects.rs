//! What has to happen outside: notifications and tickets, as intents under keys that are the same each time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Facts;
use crate::ids::VulnId;
use crate::policy::Config;
use crate::sla::{self, CrossingKey, CrossingKind, What};
use crate::vulnerability::{
    Announced, Asset, Effect, FindingRef, Intent, NotifyEvent, Status, TicketRef, TicketState, Vulnerability,
};

/// Announcements that may wait on one asset, of all channels together: 40 bytes each, of the 400 kB that an item of
/// DynamoDB may have.
const WAITING_LIMIT: usize = 6_000;

/// Plans notifications, one per channel and kind of event, and remembers on each vulnerability what was announced.
///
/// The asset is written before its vulnerabilities: what one of its pending intents announces is announced, even if
/// the function died before the vulnerability could remember it.
///
/// The worst come first. Where there are more than may wait, crossings are left for the decision after the delivery, and
/// what else there is to tell of the others is not told.
pub(super) fn announce(facts: &Facts<'_>, asset: &mut Asset, wanted: &mut BTreeMap<VulnId, Vulnerability>) {
    let policy = &facts.config.policies.sla;
    let mut news: BTreeMap<NotifyEvent, Vec<Announced>> = BTreeMap::new();
    let planned: BTreeSet<(NotifyEvent, Announced)> = asset
        .intents
        .values()
        .filter_map(|intent| {
            if let Effect::Notify { event, about, .. } = &intent.effect { Some((event, about)) } else { None }
        })
        .flat_map(|(event, about)| about.iter().map(|about| (*event, about.clone())))
        .collect();
    let waiting: usize = asset.intents.values().map(announcements).sum();
    let mut room = WAITING_LIMIT.saturating_sub(waiting) / facts.config.channels.len().max(1);
    let mut plan = |event: NotifyEvent, vulnerability: &VulnId, crossing: Option<CrossingKey>| {
        let about = Announced { vulnerability: vulnerability.clone(), crossing };
        if planned.contains(&(event, about.clone())) {
            return true;
        }
        let fits = room > 0;
        if fits {
            room -= 1;
            news.entry(event).or_default().push(about);
        }
        fits
    };
    let mut worst_first: Vec<&mut Vulnerability> = wanted.values_mut().collect();
    worst_first.sort_by_key(|vulnerability| std::cmp::Reverse(vulnerability.score.value));
    for vulnerability in worst_first {
        let active = vulnerability.status.is_open();
        if active {
            for event in told(facts, vulnerability) {
                plan(event, &vulnerability.id, None);
            }
            for crossing in sla::due_crossings(
                &vulnerability.events,
                policy,
                facts.now,
                &vulnerability.announced,
                vulnerability.known_since,
            ) {
                if plan(event_of(crossing.key), &vulnerability.id, Some(crossing.key)) {
                    vulnerability.announced.insert(crossing.key);
                }
            }
        }
        vulnerability.next_at = next_at(facts, vulnerability);
    }
    for (event, mut about) in news {
        about.sort_by_key(|a| {
            (std::cmp::Reverse(wanted[&a.vulnerability].score.value), a.vulnerability.clone())
        });
        for channel in &facts.config.channels {
            let about: Vec<Announced> = about
                .iter()
                .filter(|a| channel.wants(event, wanted[&a.vulnerability].severity, &asset.owner))
                .cloned()
                .collect();
            if about.is_empty() {
                continue;
            }
            // What is opened again is news again.
            let episodes: Vec<usize> = about.iter().map(|a| reopenings(&wanted[&a.vulnerability])).collect();
            let text = serde_json::to_string(&(&channel.name, event, &asset.id, &about, episodes))
                .unwrap_or_default();
            let key = format!("n-{:016x}", crate::digest(text.as_bytes()));
            let effect = Effect::Notify { channel: channel.name.to_string(), event, about };
            asset.intents.entry(key.clone()).or_insert(Intent::new(key, effect, facts.now));
        }
    }
}

/// How many announcements it makes.
fn announcements(intent: &Intent) -> usize {
    if let Effect::Notify { about, .. } = &intent.effect { about.len() } else { 0 }
}

/// When somebody has to look at a vulnerability next: for an open one at the next crossing, and at the deadline, from
/// which on it counts as overdue even where that was announced under an earlier deadline; for an accepted one at the
/// end of the acceptance. What it crossed before is announced when it is open again.
fn next_at(facts: &Facts<'_>, vulnerability: &Vulnerability) -> Option<Timestamp> {
    let ahead = |at: &Timestamp| *at > facts.now;
    if vulnerability.status == Status::RiskAccepted {
        return vulnerability.decision.as_ref()?.until.filter(ahead);
    }
    if !vulnerability.status.is_open() {
        return None;
    }
    let (events, policy) = (&vulnerability.events, &facts.config.policies.sla);
    let crossing = sla::next_at(events, policy, &vulnerability.announced, vulnerability.known_since);
    crossing.into_iter().chain(vulnerability.due.filter(ahead)).min()
}

fn reopenings(vulnerability: &Vulnerability) -> usize {
    vulnerability.events.iter().filter(|event| event.what == What::Reopened).count()
}

fn event_of(crossing: CrossingKey) -> NotifyEvent {
    match crossing.kind {
        CrossingKind::Warning { .. } => NotifyEvent::Approaching,
        CrossingKind::Overdue => NotifyEvent::Overdue,
        CrossingKind::FollowUp { .. } => NotifyEvent::FollowUp,
    }
}

/// News that are no crossings: it was opened, or it became known to be exploited. The state before tells, so each is
/// told once; what only a first sync found is no news.
fn told(facts: &Facts<'_>, vulnerability: &Vulnerability) -> Vec<NotifyEvent> {
    let mut events = Vec::new();
    let before = facts.known.get(&vulnerability.id);
    let was_open = before.is_some_and(|v| v.status.is_open());
    let was_known = before.is_some_and(|v| v.status != Status::Created && v.status != Status::Fixed);
    let introduces = |finding: &FindingRef| facts.introducing.contains(&finding.sighting.connector);
    let is_first_sync = !vulnerability.findings.is_empty() && vulnerability.findings.iter().all(introduces);
    if !was_open && !was_known && !is_first_sync {
        events.push(NotifyEvent::Opened);
    }
    let listed = |v: &Vulnerability| v.events.iter().any(|e| matches!(e.what, What::KevListed { .. }));
    if !is_first_sync && before.is_some_and(|before| !listed(before)) && listed(vulnerability) {
        events.push(NotifyEvent::Exploited);
    }
    events
}

/// Plans tickets: one per vulnerability that the policy wants one for, closed and reopened with it.
///
/// A wish keeps its key until it is fulfilled or withdrawn. The next one has another: what was delivered under a key
/// is not delivered again.
pub(super) fn tickets(facts: &Facts<'_>, wanted: &mut BTreeMap<VulnId, Vulnerability>) {
    for vulnerability in wanted.values_mut() {
        next_ticket(facts.config, vulnerability);
        let effect = ticket_effect(facts.config, vulnerability);
        vulnerability.intents.retain(|_, intent| Some(&intent.effect) == effect.as_ref());
        let Some(effect) = effect.filter(|_| vulnerability.intents.is_empty()) else { continue };
        let verb = if matches!(effect, Effect::OpenTicket { .. }) { "open" } else { "close" };
        let key = format!("t-{verb}-{}-{}", vulnerability.id, vulnerability.ticket_wishes);
        vulnerability.ticket_wishes += 1;
        vulnerability.intents.insert(key.clone(), Intent::new(key, effect, facts.now));
    }
}

/// Of several tickets, those that stand beside the first are closed when nothing is to be done about that one.
fn next_ticket(config: &Config, vulnerability: &mut Vulnerability) {
    if vulnerability.status.is_open() || ticket_effect(config, vulnerability).is_some() {
        return;
    }
    let status = vulnerability.status;
    let waits = |other: &TicketRef| effect_on(config, other, status).is_some();
    let waiting = vulnerability.other_tickets.iter().position(waits);
    let Some((at, first)) = waiting.zip(vulnerability.ticket.clone()) else { return };
    vulnerability.ticket = Some(std::mem::replace(&mut vulnerability.other_tickets[at], first));
}

/// What is to be done about the ticket of a vulnerability now.
fn ticket_effect(config: &Config, vulnerability: &Vulnerability) -> Option<Effect> {
    if let Some(ticket) = &vulnerability.ticket {
        return effect_on(config, ticket, vulnerability.status);
    }
    let wants = vulnerability.status.is_open()
        && config.policies.tickets.contains(&vulnerability.severity)
        && vulnerability.score.value >= config.policies.ticket_min_score;
    let tracker = config.trackers.first().filter(|_| wants)?;
    Some(Effect::OpenTicket { tracker: tracker.name.to_string() })
}

/// What is to be done about a ticket that exists. That of a stale vulnerability is left alone: nobody knows.
fn effect_on(config: &Config, ticket: &TicketRef, status: Status) -> Option<Effect> {
    let over = matches!(
        status,
        Status::Fixed | Status::Gone | Status::RiskAccepted | Status::FalsePositive | Status::Suppressed
    );
    // A ticket stays where it is, also when another tracker is used by now.
    let tracker =
        config.trackers.iter().find(|tracker| tracker.name.as_str() == ticket.tracker)?.name.to_string();
    match ticket.state {
        TicketState::Closed if status.is_open() => Some(Effect::OpenTicket { tracker }),
        TicketState::Open if over => Some(Effect::CloseTicket { tracker }),
        TicketState::Open | TicketState::Closed => None,
    }
}

/// Effects that nobody confirmed within this time are asked for again: the message may be lost, or the receiver's
/// budget was used up. One whose delivery has failed is put off for longer: [`Intent::again_at`].
pub const SWEEP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// Asks again for effects that were not confirmed in time. Trying twice under one key has the effect once.
pub(super) fn sweep(facts: &Facts<'_>, asset: &mut Asset, wanted: &mut BTreeMap<VulnId, Vulnerability>) {
    let intents = asset.intents.values_mut().chain(wanted.values_mut().flat_map(|v| v.intents.values_mut()));
    for intent in intents.filter(|intent| intent.sweep_at() <= facts.now) {
        intent.ask(facts.now);
    }
}
