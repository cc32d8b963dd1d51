//! One ticket for one vulnerability, open as long as it is.

use super::*;

fn wish(world: &World) -> Option<(String, bool)> {
    let intents = &world.only().intents;
    assert!(intents.len() <= 1, "{intents:?}");
    intents.values().next().map(|i| (i.key.clone(), matches!(i.effect, Effect::OpenTicket { .. })))
}

#[test]
fn opened_once() {
    let mut world = World::with_log4shell();
    for _ in 0..5 {
        world.wait(1).settle();
    }
    assert_eq!(world.tickets, BTreeMap::from([("SEC-1".to_owned(), true)]));
    assert_eq!(world.only().ticket.as_ref().unwrap().key, "SEC-1");
}

#[test]
fn only_for_what_the_policy_wants_one() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::High);
    world.settle();
    assert_eq!(wish(&world), None);
    world.config.policies.tickets.insert(Severity::High);
    world.config.policies.ticket_min_score = 1000;
    world.settle();
    assert_eq!(wish(&world), None);
    world.config.policies.ticket_min_score = 0;
    world.attempt(Stop::Never);
    assert!(wish(&world).is_some());
}

#[test]
fn withdrawn_when_it_is_fixed_before_it_was_created() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::Critical);
    world.attempt(Stop::Never);
    let (first, _) = wish(&world).unwrap();
    world.fix(TENABLE, "r", 1);
    world.attempt(Stop::Never);
    assert_eq!(wish(&world), None);
    assert!(world.only().ticket.is_none());
    // Whatever became of the first wish, the next is another.
    world.wait(1);
    world.find(TENABLE, "r", Severity::Critical);
    world.attempt(Stop::Never);
    let (second, opens) = wish(&world).unwrap();
    assert!(opens && second != first);
}

#[test]
fn an_unconfirmed_wish_keeps_its_key_and_is_repeated() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::Critical);
    world.attempt(Stop::Never);
    let first = wish(&world);
    world.messages.clear();
    world.now += SWEEP_AFTER;
    world.attempt(Stop::Never);
    assert_eq!(wish(&world), first);
    assert!(
        world.only().intents.values().all(|intent| intent.is_asked(world.now) && intent.since < world.now)
    );
    world.deliver();
    assert_eq!(world.tickets.len(), 1);
}

#[test]
fn a_wish_that_was_put_off_is_not_repeated_before() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::Critical);
    world.attempt(Stop::Never);
    let first = wish(&world);
    let later = world.now + SWEEP_AFTER * 96;
    for intent in world.known.values_mut().flat_map(|v| v.intents.values_mut()) {
        intent.again_at = Some(later);
    }
    for (now, repeated) in [(world.now + SWEEP_AFTER, false), (later, true), (later + SWEEP_AFTER, true)] {
        world.now = now;
        world.attempt(Stop::Never);
        let asked = world.only().intents.values().any(|intent| intent.is_asked(now));
        assert_eq!((asked, wish(&world)), (repeated, first.clone()), "{now}");
    }
}

/// Puts a vulnerability out of the way, and back: each closes the ticket and opens the same one again.
#[test]
fn closed_and_reopened_with_the_vulnerability_however_it_ends() {
    let ways: [Detour; 5] = [
        (
            "fixed",
            |w| w.fix(TENABLE, "log4j", 1),
            |w| drop(w.find(TENABLE, "log4j", Severity::Critical).clone()),
        ),
        ("gone", |w| w.gone(TENABLE, Some(w.now)), |w| w.gone(TENABLE, None)),
        ("risk_accepted", |w| w.person(Some(Status::RiskAccepted), Some(day(900))), |w| w.person(None, None)),
        ("false_positive", |w| w.person(Some(Status::FalsePositive), None), |w| w.person(None, None)),
        (
            "suppressed",
            |w| w.statement(TENABLE, "log4j").finding.state = FindingState::Suppressed,
            |w| w.statement(TENABLE, "log4j").finding.state = FindingState::Open,
        ),
    ];
    for (name, away, back) in ways {
        let mut world = World::with_log4shell();
        for turn in 0..3 {
            away(world.wait(1));
            world.settle();
            assert_eq!(world.status().as_str(), name);
            assert_eq!(world.tickets, BTreeMap::from([("SEC-1".to_owned(), false)]), "{name}, {turn}");
            back(world.wait(1));
            world.settle();
            assert_eq!(world.status(), Status::Identified);
            assert_eq!(world.tickets, BTreeMap::from([("SEC-1".to_owned(), true)]), "{name}, {turn}");
        }
    }
}

#[test]
fn left_alone_when_nobody_knows() {
    let mut world = World::with_log4shell();
    world.host(TENABLE).sighting.missing_since = Some(run(1));
    world.wait(30).settle();
    assert_eq!(world.status(), Status::Stale);
    assert_eq!(wish(&world), None);
    assert!(world.tickets["SEC-1"]);
}

#[test]
fn work_leaves_it_open() {
    let mut world = World::with_log4shell();
    world.wait(1).person(Some(Status::InProgress), None);
    world.settle();
    assert_eq!((wish(&world), world.tickets["SEC-1"]), (None, true));
}

#[test]
fn a_lesser_severity_does_not_close_what_is_open() {
    let mut world = World::with_log4shell();
    world.find(TENABLE, "log4j", Severity::Low);
    world.settle();
    assert!(world.tickets["SEC-1"]);
}

#[test]
fn a_ticket_stays_in_its_tracker() {
    let mut world = World::with_log4shell();
    let other = Tracker { name: "other".parse().unwrap(), ..tracker() };
    world.config.trackers.insert(0, other);
    world.fix(TENABLE, "log4j", 1);
    world.attempt(Stop::Never);
    let closes = Effect::CloseTicket { tracker: "jira".into() };
    assert_eq!(world.only().intents.values().next().unwrap().effect, closes);
    // Without any tracker nothing is wanted any more.
    world.config.trackers.clear();
    world.attempt(Stop::Never);
    assert_eq!(wish(&world), None);
}
