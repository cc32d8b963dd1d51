//! People own the decisions.

use super::*;
use crate::policy::ImpactRule;

/// When a decision ends: only an acceptance does.
fn end(decision: Status, at: Timestamp) -> Option<Timestamp> {
    (decision == Status::RiskAccepted).then_some(at)
}

#[test]
fn an_accepted_risk_is_not_reverted_by_scans() {
    let mut world = World::with_log4shell();
    world.told();
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(60)));
    for turn in 1..20 {
        world.wait(1).settle();
        assert_eq!(world.status(), Status::RiskAccepted);
        if turn % 5 == 0 {
            world.fix(TENABLE, "log4j", turn);
            world.settle();
            assert_eq!(world.status(), Status::Fixed, "proven gone is gone");
            world.find(TENABLE, "log4j", Severity::Critical);
        }
    }
    assert_eq!(world.told(), [], "nobody is expected to act");
}

#[test]
fn an_acceptance_ends_on_its_date_and_the_clock_goes_on() {
    let mut world = World::with_log4shell();
    world.wait(2).person(Some(Status::RiskAccepted), Some(day(30)));
    world.settle();
    assert_eq!(world.only().next_at, Some(day(30)));
    assert!(world.only().due.is_some_and(|due| due > day(34)));
    world.now = day(30);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    let expiries: Vec<_> =
        world.only().events.iter().filter(|e| e.what == What::Expired).map(|e| e.at).collect();
    assert_eq!(expiries, [day(30)]);
    assert_eq!(
        world.only().due,
        Some(day(35) + SignedDuration::from_secs(30)),
        "five days and a moment were left"
    );
}

#[test]
fn an_acceptance_without_announced_crossings_leaves_no_timer_behind() {
    let mut world = World::with_log4shell();
    // Nobody looked for a while; the person decides after the deadline.
    world.wait(9).person(Some(Status::RiskAccepted), Some(day(30)));
    world.settle();
    assert_eq!(world.only().next_at, Some(day(30)));
    world.told();
    world.now = day(30);
    world.settle();
    use NotifyEvent as E;
    assert_eq!(world.told(), [E::FollowUp, E::Approaching, E::Overdue], "nothing is lost by the acceptance");
}

#[test]
fn an_acceptance_ends_when_the_risk_is_another_one() {
    let mut world = World::with_log4shell();
    world.person(Some(Status::RiskAccepted), Some(day(300)));
    world.wait(1).settle();
    assert_eq!(world.status(), Status::RiskAccepted);
    world.told();
    world.list_kev(LOG4SHELL, 14);
    world.wait(1).settle();
    assert_eq!(world.status(), Status::Identified);
    assert_eq!(world.told(), [NotifyEvent::Exploited]);
    // Accepted again, knowing that, it stays accepted.
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(300)));
    world.wait(1).settle();
    assert_eq!(world.status(), Status::RiskAccepted);
    assert_eq!(world.only().next_at, Some(day(300)));
}

#[test]
fn what_was_listed_before_does_not_end_the_acceptance() {
    let mut world = World::with_log4shell();
    world.list_kev(LOG4SHELL, 14);
    world.settle();
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(300)));
    world.wait(1).settle();
    assert_eq!(world.status(), Status::RiskAccepted);
}

#[test]
fn an_acceptance_that_is_replaced_or_taken_back_ends() {
    for next in [None, Some(Status::InProgress)] {
        let mut world = World::with_log4shell();
        world.person(Some(Status::RiskAccepted), Some(day(60)));
        world.settle();
        world.wait(10).person(next, None);
        world.settle();
        assert_eq!(world.status(), next.unwrap_or(Status::Identified));
        let due = world.only().due.expect("the clock runs");
        assert!(due >= day(17) && due <= day(17) + SignedDuration::from_mins(1), "{due}");
    }
}

#[test]
fn an_acceptance_taken_back_while_fixed_does_not_stop_the_next_clock() {
    let mut world = World::with_log4shell();
    world.person(Some(Status::RiskAccepted), Some(day(60)));
    world.settle();
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.wait(1).person(None, None);
    world.settle();
    world.wait(1);
    world.find(TENABLE, "log4j", Severity::Critical);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    assert!(world.only().next_at.is_some_and(|at| at < day(10)), "{:?}", world.only().next_at);
}

#[test]
fn a_kev_entry_that_comes_while_it_is_fixed_ends_the_acceptance_on_reopening() {
    let mut world = World::with_log4shell();
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(60)));
    world.settle();
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.wait(1).list_kev(LOG4SHELL, 14);
    world.settle();
    world.wait(1);
    world.find(TENABLE, "log4j", Severity::Critical);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    assert!(world.only().due.is_some_and(|due| due < day(20)), "{:?}", world.only().due);
}

#[test]
fn a_false_positive_stays_whatever_scanners_say() {
    let mut world = World::with_log4shell();
    world.person(Some(Status::FalsePositive), None);
    world.settle();
    world.told();
    for number in 1..4 {
        world.wait(20).settle();
        assert_eq!(world.status(), Status::FalsePositive);
        world.fix(TENABLE, "log4j", number);
        world.settle();
        assert_eq!(world.status(), Status::FalsePositive, "it was never there, so it cannot be fixed");
        world.find(TENABLE, "log4j", Severity::Critical);
        world.settle();
        assert_eq!(world.status(), Status::FalsePositive);
    }
    assert_eq!(world.told(), []);
    assert!(world.days_to_fix.is_empty());
    assert_eq!(world.only().next_at, None);
}

#[test]
fn a_false_positive_taken_back_is_open_again() {
    for next in [None, Some(Status::InProgress), Some(Status::RiskAccepted)] {
        let mut world = World::with_log4shell();
        world.person(Some(Status::FalsePositive), None);
        world.settle();
        world.wait(3).person(next, next.map(|_| day(50)));
        world.settle();
        assert_eq!(world.status(), next.unwrap_or(Status::Identified));
        assert!(world.only().next_at.is_some(), "{next:?}");
        assert!(world.only().due.is_some(), "{next:?}");
    }
}

#[test]
fn a_false_positive_taken_back_after_the_finding_was_closed_is_fixed() {
    let mut world = World::with_log4shell();
    world.person(Some(Status::FalsePositive), None);
    world.settle();
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.wait(1).person(None, None);
    world.settle();
    assert_eq!(world.status(), Status::Fixed);
}

#[test]
fn work_ends_with_the_fix_and_does_not_come_back() {
    for work in [Status::InProgress, Status::AwaitingValidation] {
        let mut world = World::with_log4shell();
        world.wait(1).person(Some(work), None);
        world.settle();
        assert_eq!(world.status(), work);
        world.wait(1);
        world.fix(TENABLE, "log4j", 1);
        world.settle();
        assert_eq!(world.status(), Status::Fixed);
        world.wait(1);
        world.find(TENABLE, "log4j", Severity::Critical);
        world.settle();
        assert_eq!(world.status(), Status::Identified);
        world.wait(1).person(Some(work), None);
        world.settle();
        assert_eq!(world.status(), work, "decided anew, it counts");
    }
}

#[test]
fn work_on_a_mere_finding_promotes_it() {
    let mut world = World::new();
    world.config.policies.promote = BTreeSet::new();
    world.find(TENABLE, "r", Severity::Low);
    world.settle();
    world.wait(1).person(Some(Status::InProgress), None);
    world.settle();
    assert_eq!(world.status(), Status::InProgress);
    assert!(world.only().next_at.is_some(), "it is tracked");
}

#[test]
fn decisions_outlast_a_host_that_is_not_seen() {
    for (decision, missing) in [
        (Status::RiskAccepted, Status::RiskAccepted),
        (Status::FalsePositive, Status::FalsePositive),
        (Status::InProgress, Status::Stale),
    ] {
        let mut world = World::with_log4shell();
        world.person(Some(decision), end(decision, day(50)));
        world.settle();
        world.host(TENABLE).sighting.missing_since = Some(run(1));
        world.settle();
        assert_eq!(world.status(), missing);
        let said = std::mem::take(&mut world.sightings);
        world.settle();
        assert_eq!(world.status(), missing, "no sighting at all");
        world.sightings = said;
        world.host(TENABLE).sighting.missing_since = None;
        world.settle();
        assert_eq!(world.status(), decision);
    }
}

#[test]
fn an_acceptance_ends_also_where_no_sighting_is_left() {
    let mut world = World::with_log4shell();
    world.person(Some(Status::RiskAccepted), Some(day(50)));
    world.settle();
    world.sightings.clear();
    world.settle();
    world.now = world.only().next_at.unwrap();
    world.settle();
    assert_eq!((world.status(), world.only().next_at), (Status::Stale, None));
}

#[test]
fn a_decision_says_nothing_of_a_cve_that_joins_later() {
    for (decision, then) in [
        (Status::FalsePositive, Status::Identified),
        (Status::RiskAccepted, Status::Identified),
        (Status::InProgress, Status::InProgress),
    ] {
        let mut world = World::with_log4shell();
        world.wait(1).person(Some(decision), end(decision, day(300)));
        world.settle();
        assert_eq!(world.status(), decision);
        world.wait(1).define(Scanner::Qualys, "376157", &[LOG4SHELL]);
        world.find(QUALYS, "376157", Severity::Critical);
        world.settle();
        assert_eq!(world.status(), decision, "another scanner sees the same");
        world.wait(1).define(Scanner::Qualys, "376157", &[LOG4SHELL, OTHER_CVE]);
        world.settle();
        assert_eq!(world.status(), then, "nobody decided on {OTHER_CVE}");
        assert!(world.only().due.is_some() && world.only().next_at.is_some(), "its clock runs");
        world.wait(1).person(Some(decision), end(decision, day(300)));
        world.settle();
        assert_eq!(world.status(), decision, "decided on both");
        world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
        world.settle();
        assert_eq!(world.status(), decision, "one less to decide on");
    }
}

#[test]
fn a_decision_says_nothing_of_what_it_becomes_part_of() {
    for (decided, other) in [("a", "b"), ("b", "a")] {
        for decision in [Status::FalsePositive, Status::RiskAccepted] {
            let mut world = World::with_two();
            let until = end(decision, day(300));
            let about = world.of(decided).id.clone();
            world.person(Some(decision), until);
            let other = world.of(other).id.clone();
            world.known.get_mut(&other).unwrap().decision = None;
            world.settle();
            assert_eq!(
                (world.known[&about].status, world.known[&other].status),
                (decision, Status::Identified)
            );
            world.wait(1).define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
            world.settle();
            assert_eq!(world.status(), Status::Identified, "{decided} was {decision}");
            assert_eq!(world.only().ticket.as_ref().map(|ticket| ticket.state), Some(TicketState::Open));
        }
    }
}

#[test]
fn what_was_decided_on_both_parts_is_decided() {
    for decision in [Status::FalsePositive, Status::RiskAccepted] {
        let mut world = World::with_two();
        world.person(Some(decision), end(decision, day(100)));
        let (a, is_accepted) = (world.of("a").id.clone(), decision == Status::RiskAccepted);
        world.known.get_mut(&a).unwrap().decision.as_mut().unwrap().until = is_accepted.then(|| day(90));
        world.settle();
        world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
        world.settle();
        assert_eq!(world.status(), decision);
        assert_eq!(world.only().next_at, is_accepted.then(|| day(90)), "the sooner end counts");
    }
}

#[test]
fn an_acceptance_ends_when_the_asset_is_reachable_or_exploitation_likely() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 2] = [
        ("reachable", |world| {
            world.config.impact = vec![ImpactRule {
                matching: Match::default(),
                criticality: None,
                exposure: Some(score::Exposure::Internet),
            }];
        }),
        ("likely", |world| world.epss(LOG4SHELL, 0.1, 0.95)),
    ];
    for (name, change) in changes {
        let mut world = World::with_log4shell();
        world.epss(LOG4SHELL, 0.099, 0.94);
        world.settle();
        world.wait(1).person(Some(Status::RiskAccepted), Some(day(300)));
        world.settle();
        world.wait(1).settle();
        assert_eq!(world.status(), Status::RiskAccepted);
        change(&mut world);
        world.settle();
        assert_eq!(world.status(), Status::Identified, "{name}");
        // Accepted again, knowing that, it stays accepted.
        world.wait(1).person(Some(Status::RiskAccepted), Some(day(300)));
        world.wait(1).settle();
        assert_eq!(world.status(), Status::RiskAccepted, "{name}");
    }
}

#[test]
fn a_decision_is_read_as_it_was_written() {
    let mut world = World::with_log4shell();
    world.epss(LOG4SHELL, 0.97556, 0.99);
    world.settle();
    world.person(Some(Status::FalsePositive), None);
    let decision = world.only().decision.clone().unwrap();
    assert!(decision.about.as_ref().is_some_and(|about| about.epss.is_some() && !about.cves.is_empty()));
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    // One of an earlier version stays as it was.
    let mut old = serde_json::to_value(&decision).unwrap();
    old.as_object_mut().unwrap().remove("about");
    world.known.values_mut().for_each(|v| v.decision = Some(serde_json::from_value(old.clone()).unwrap()));
    world.settle();
    assert_eq!(world.status(), Status::FalsePositive);
}

#[test]
fn an_acceptance_that_is_replaced_while_fixed_counts_when_it_is_back() {
    let mut world = World::with_log4shell();
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(3)));
    world.settle();
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.wait(1).person(Some(Status::RiskAccepted), Some(day(20)));
    world.settle();
    world.find(TENABLE, "log4j", Severity::Critical);
    world.settle();
    for _ in 3..=20 {
        assert_eq!(world.status(), Status::RiskAccepted);
        world.wait(1).settle();
    }
    assert_eq!(world.status(), Status::Identified);
    assert!(world.only().due.is_some_and(|due| due > day(20)), "the clock stood");
}
