//! What happens with an estate: from the first sync over weeks to overdue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use domain::vulnerability::TicketState;
use domain::{Severity, Status, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use queue::Trigger;
use serde_json::Value;
use simulators::estate::{Estate, Scanner};
use store::Units;
use vulnrelay::stack::Around;

use crate::site::lines::reference;
use crate::site::{DAY_ZERO, HOUR, Setup, Site};

/// Runs, units, notes: what a sync writes although nothing changed, however many findings there are.
const BOOKKEEPING: f64 = 130.0;

fn used(site: &Site) -> Units {
    site.stack.services().store.capacity().total()
}

fn since(before: Units, now: Units) -> Units {
    Units {
        read_units: now.read_units - before.read_units,
        write_units: now.write_units - before.write_units,
    }
}

fn texts(site: &Site) -> Vec<String> {
    let messages = site.world.received.messages();
    messages.iter().map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The label that names the vulnerability of a ticket.
fn marker(ticket: &Value) -> String {
    let mut labels = ticket["labels"].as_array().into_iter().flatten().filter_map(Value::as_str);
    labels.find(|label| label.starts_with("vulnrelay-")).unwrap_or_default().to_owned()
}

fn by_marker(site: &Site) -> BTreeMap<String, Value> {
    let tickets = site.world.received.tickets();
    let found: BTreeMap<_, _> = tickets.iter().map(|ticket| (marker(ticket), ticket.clone())).collect();
    assert_eq!(found.len(), tickets.len(), "two tickets for one vulnerability");
    found
}

#[tokio::test]
async fn a_first_sync_finds_merges_tickets_and_tells_once() {
    let site = Site::start(Setup::new(8)).await;
    let summary = site.sync().await;
    for part in &summary.connectors {
        assert_eq!((part.verdict, part.runs, part.closed, part.refused), ("complete", 1, 0, 0), "{part:?}");
        assert!(part.opened > 0 && part.written >= part.opened && part.received >= part.written, "{part:?}");
    }
    let vulnerabilities = site.vulnerabilities().await;
    assert!(vulnerabilities.iter().any(|v| v.scanners.len() == 2), "no vulnerability is seen by both");
    assert!(
        vulnerabilities.iter().any(|v| v.factors.kev.is_some_and(|listed| listed)),
        "nothing is exploited"
    );

    let policies = &site.stack.services().config.policies;
    let wanted: Vec<&Vulnerability> = vulnerabilities
        .iter()
        .filter(|v| {
            v.status.is_open()
                && v.severity == Severity::Critical
                && v.score.value >= policies.ticket_min_score
        })
        .collect();
    let tickets = by_marker(&site);
    assert!(!wanted.is_empty());
    assert_eq!(wanted.len(), tickets.len());
    assert_eq!(summary.tickets, tickets.len());
    for v in wanted {
        let (ticket, known) = (&tickets[&format!("vulnrelay-{}", v.id)], v.ticket.as_ref().unwrap());
        assert_eq!((ticket["key"].as_str(), known.state), (Some(known.key.as_str()), TicketState::Open));
    }

    let mut told = texts(&site);
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("First sync summary: qualys-demo")
            && told[1].starts_with("First sync summary: tenable-demo")
    );
    assert_eq!((summary.notifications, summary.held), (2, 0));
    assert_eq!(site.world.received.refused(), Vec::<String>::new());

    assert_eq!(site.stack.observer().open_counts().await.unwrap(), site.recount(&vulnerabilities).await);
    let opened = site.stack.observer().day_counts(DAY_ZERO[..10].parse().unwrap()).await.unwrap().opened;
    assert_eq!(opened, vulnerabilities.iter().filter(|v| v.status.is_open()).count().cast_signed() as i64);
    for (operation, units) in site.stack.services().store.capacity().by_operation() {
        println!("  {operation}: {units:?}");
    }
    let (units, findings) = (used(&site), summary.connectors.iter().map(|c| c.written).sum::<u64>());
    println!(
        "first import: {:.2} write units a finding ({findings} findings)",
        units.write_units / findings as f64
    );
}

#[tokio::test]
async fn the_same_again_costs_nothing_and_tells_nobody() {
    // Deadlines go on by themselves; here only what the scanners say counts.
    let site = Site::start(Setup::new(8).edit(crate::doubt::TOLD, "[first_sync, exploited]")).await;
    site.sync().await;
    let (before, tickets, messages) =
        (site.export().await, site.world.received.tickets().len(), site.world.received.messages().len());
    for trigger in [Trigger::Scheduled, Trigger::Full] {
        site.advance(SignedDuration::from_mins(70));
        let (start, by_operation) = (used(&site), site.stack.services().store.capacity().by_operation());
        let summary = site.sync_by(trigger).await;
        let units = since(start, used(&site));
        for part in &summary.connectors {
            assert_eq!(
                (part.verdict, part.opened, part.reopened, part.closed, part.written),
                ("complete", 0, 0, 0, 0),
                "{part:?}"
            );
            assert_eq!(part.unchanged, part.received, "{part:?}");
        }
        assert_eq!((summary.tickets, summary.notifications), (0, 0));
        assert!(units.write_units < BOOKKEEPING, "{units:?}");
        let received: u64 = summary.connectors.iter().map(|c| c.received).sum();
        println!("{trigger:?} again: {units:?} for {received} unchanged findings");
        let operations = site.stack.services().store.capacity().by_operation();
        for (operation, units) in &operations {
            println!(
                "  {operation}: {:?}",
                since(by_operation.get(operation).copied().unwrap_or_default(), *units)
            );
        }
        if trigger == Trigger::Full {
            assert!(received > 500);
            println!("read units per unchanged finding: {:.4}", units.read_units / received as f64);
        }
        assert_eq!(site.export().await, before);
    }
    assert_eq!(
        (site.world.received.tickets().len(), site.world.received.messages().len()),
        (tickets, messages)
    );
}

#[tokio::test]
async fn what_was_delivered_is_not_decided_on_again() {
    // Deadlines go on by themselves; here only what was opened counts.
    let setup = Setup::new(3)
        .edit("ticket_min_score: 700", "ticket_min_score: 0")
        .edit(crate::doubt::TOLD, "[first_sync, exploited]");
    let site = Site::start(setup).await;
    let summary = site.sync().await;
    assert!(summary.tickets > 0);
    site.settle().await;
    let before = used(&site);
    for _ in 0..3 {
        let pass = sla::Sla::new(site.stack.services()).handle().await.unwrap();
        assert_eq!((pass.assets, pass.runs), (0, 0));
        site.advance(SignedDuration::from_mins(5));
    }
    assert!(since(before, used(&site)).write_units < 1.0, "a pass that finds nothing writes nothing");
}

#[tokio::test]
async fn over_days_what_is_fixed_closes_and_what_is_back_reopens_its_ticket() {
    let setup = Setup::new(8)
        .edit("tickets: [critical]", "tickets: [critical, high]")
        .edit("min_score: 700", "min_score: 0");
    let site = Site::start(setup).await;
    let (mut fixed_tickets, mut reopened_tickets) = (BTreeSet::new(), BTreeSet::new());
    for day in (0..=40).step_by(4) {
        site.day(day);
        let summary = site.sync().await;
        assert!(summary.connectors.iter().all(|part| part.verdict == "complete"), "{summary:?}");
        site.settle().await;
        let vulnerabilities = site.vulnerabilities().await;
        let tickets = by_marker(&site);
        for v in vulnerabilities.iter().filter(|v| v.ticket.is_some()) {
            let ticket = &tickets[&format!("vulnrelay-{}", v.id)];
            assert_eq!(ticket["key"], v.ticket.as_ref().unwrap().key, "the ticket of {} was replaced", v.id);
            let closed = ticket["status"] == "Done";
            if v.status == Status::Fixed {
                assert!(closed, "day {day}: {} is fixed, its ticket is {}", v.id, ticket["status"]);
                fixed_tickets.insert(v.id.clone());
            }
            if v.status.is_open() {
                assert!(!closed, "day {day}: {} is open, its ticket is done", v.id);
                if fixed_tickets.contains(&v.id) {
                    reopened_tickets.insert(v.id.clone());
                }
            }
        }
        assert_eq!(
            site.stack.observer().open_counts().await.unwrap(),
            site.recount(&vulnerabilities).await,
            "day {day}"
        );
    }
    println!("{} tickets closed, {} of them opened again", fixed_tickets.len(), reopened_tickets.len());
    assert!(fixed_tickets.len() > 5 && !reopened_tickets.is_empty());
}

/// Names of hosts that have been removed by a day and that only this scanner knew.
fn removed(estate: &Estate, scanner: Scanner, day: u32) -> Vec<String> {
    let start = DAY_ZERO.parse::<Timestamp>().unwrap();
    estate
        .view(scanner, start + SignedDuration::from_hours(24 * i64::from(day)))
        .filter(|known| known.removed.is_some_and(|(when, _)| when > start.as_second()))
        .filter(|known| known.host.in_tenable != known.host.in_qualys)
        .map(|known| known.host.hostname.clone())
        .collect()
}

#[tokio::test]
async fn a_deleted_host_is_gone_and_not_fixed_whether_its_scanner_says_so_or_merely_lacks_it() {
    // The smallest seed of an estate from which both scanners lose a host that only they know.
    let (size, day) = (6, 8);
    let estate = |seed| Estate::new(seed, size, DAY_ZERO.parse().unwrap());
    // Tenable marks it as deleted; Qualys' own list of all hosts has it no more.
    for scanner in [Scanner::Tenable, Scanner::Qualys] {
        let seed =
            (1..5_000).find(|seed| removed(&estate(*seed), scanner, day).len() == 1).expect("no such estate");
        let site = Site::start(Setup { seed, ..Setup::new(size) }).await;
        site.sync().await;
        let name = removed(&estate(seed), scanner, day).remove(0);
        let mut hit = Vec::new();
        for v in site.vulnerabilities().await.into_iter().filter(|v| v.status.is_open()) {
            let asset = site.stack.observer().asset(&v.asset).await.unwrap().unwrap().value;
            if format!("{:?}", asset.host).to_lowercase().contains(&name.to_lowercase()) {
                hit.push(v.id);
            }
        }
        assert!(!hit.is_empty(), "seed {seed}: the host had nothing");
        site.day(day);
        let summary = site.sync_by(Trigger::Full).await;
        assert!(summary.connectors.iter().all(|part| part.verdict == "complete"), "{summary:?}");
        site.settle().await;
        let after: BTreeMap<_, _> =
            site.vulnerabilities().await.into_iter().map(|v| (v.id.clone(), v)).collect();
        for id in &hit {
            assert_eq!(after[id].status, Status::Gone, "{scanner:?}, seed {seed}: {id}");
        }
    }
}

/// Announced crossings as `vulnerability crossing`.
async fn announced(site: &Site) -> BTreeSet<String> {
    let vulnerabilities = site.vulnerabilities().await;
    vulnerabilities
        .iter()
        .flat_map(|v| v.announced.iter().map(move |crossing| format!("{} {crossing:?}", v.id)))
        .collect()
}

/// How many vulnerabilities the messages name under titles that begin like this.
fn named(site: &Site, title: &str) -> usize {
    texts(site)
        .iter()
        .filter_map(|text| {
            text.strip_prefix(title)?.trim_start_matches(": ").split(' ').next()?.parse::<usize>().ok()
        })
        .sum()
}

/// Syncs once, then only time goes by: `days` on which the timers are looked at.
async fn wait(days: impl Iterator<Item = u32>) -> Site {
    let setup = Setup::new(3)
        .edit("min_severity: high", "min_severity: info")
        .edit("messages_per_hour: 30", "messages_per_hour: 1000");
    let site = Site::start(setup).await;
    site.sync().await;
    for day in days {
        site.stack.clock().hold(site.world.clock.at(day).max(site.now()) + HOUR);
        site.sla().await;
    }
    site
}

#[tokio::test]
async fn warnings_and_deadlines_are_announced_once_each_and_an_outage_loses_none() {
    let site = wait(1..60).await;
    let told = announced(&site).await;
    let vulnerabilities = site.vulnerabilities().await;
    assert!(
        told.iter().any(|t| t.contains("Overdue")) && told.iter().any(|t| t.contains("Warning")),
        "{told:?}"
    );
    for v in vulnerabilities.iter().filter(|v| v.is_overdue(site.now()) && v.due > Some(v.known_since)) {
        assert!(
            v.announced.iter().any(|crossing| format!("{crossing:?}").contains("Overdue")),
            "{} was not told",
            v.id
        );
    }
    let messages = site.world.received.messages();
    let references: BTreeSet<String> = messages.iter().map(reference).collect();
    assert_eq!(references.len(), messages.len(), "a message came twice");
    let crossings = |kind: &str| told.iter().filter(|t| t.contains(kind)).count();
    println!(
        "{} overdue, {} approaching, {} messages",
        crossings("Overdue"),
        crossings("Warning"),
        messages.len()
    );
    assert!(named(&site, "Overdue") > 0);
    assert!(named(&site, "Overdue") <= crossings("Overdue"));
    assert!(named(&site, "Approaching deadline") <= crossings("Warning"));
    assert_eq!(site.stack.observer().open_counts().await.unwrap(), site.recount(&vulnerabilities).await);

    let after_outage = wait((1..20).chain(30..60)).await;
    assert_eq!(announced(&after_outage).await, told);
    assert_eq!(named(&after_outage, "Overdue"), named(&site, "Overdue"));
}

/// Has every asset decided on after each unit of a pull, as functions that work at the same time do.
fn deciding_all_the_time(services: Arc<OnceLock<platform::Services>>) -> Around {
    Arc::new(move |queue, handler| {
        let (services, of_scanner) = (services.clone(), queue.starts_with("sync-qualys"));
        Arc::new(move |event| {
            let (services, handler) = (services.clone(), handler.clone());
            Box::pin(async move {
                let outcome = handler(event).await;
                if let (true, Some(services)) = (of_scanner, services.get()) {
                    let page = services.store.export_page(None).await.unwrap();
                    let assets = page.items.into_iter().filter_map(|item| match item {
                        store::ExportItem::Asset(asset) => Some(asset.id),
                        _ => None,
                    });
                    let message = queue::ScoreMessage { assets: assets.collect(), ..Default::default() };
                    let message = queue::Outgoing::now(&message).unwrap();
                    services.queue.send(queue::QueueName::Score, message).await.unwrap();
                }
                outcome
            })
        })
    })
}

#[tokio::test]
async fn findings_wait_for_their_definitions() {
    let undisturbed = Site::start(Setup::new(6)).await;
    undisturbed.sync().await;

    let services = Arc::new(OnceLock::new());
    let around = Some(deciding_all_the_time(services.clone()));
    let site = Site::start(Setup { around, ..Setup::new(6) }).await;
    assert!(services.set(site.stack.services().clone()).is_ok());
    site.sync().await;

    let picture = site.picture().await;
    assert_eq!(undisturbed.picture().await.difference(&picture), None);
    assert!(picture.messages.iter().all(|message| message.contains("First sync")), "{:?}", picture.messages);
    let (once, often) = (used(&undisturbed).write_units, used(&site).write_units);
    assert!(
        often <= once * 1.02,
        "decided on before their CVEs were known: {once} write units became {often}"
    );
}
