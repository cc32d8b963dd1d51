//! Records that split and unite as the scanners' rules change.

use super::*;

/// Two weaknesses of two rules, each with its own CVE; the first is older and has a ticket.
fn two() -> (World, VulnId, VulnId) {
    let mut world = World::new();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL]);
    world.find(TENABLE, "a", Severity::High);
    world.settle();
    world.wait(1);
    world.define(Scanner::Qualys, "b", &[OTHER_CVE]);
    world.find(QUALYS, "b", Severity::Critical);
    world.settle();
    let (a, b) = (world.of(LOG4SHELL).id.clone(), world.of(OTHER_CVE).id.clone());
    assert_ne!(a, b);
    (world, a, b)
}

#[test]
fn a_cve_added_to_a_rule_unites_and_nothing_is_lost() {
    let (mut world, a, b) = two();
    world.wait(8).settle();
    let announced = world.known[&b].announced.clone();
    assert!(!announced.is_empty());
    let ticket = world.known[&b].ticket.clone().unwrap();
    world.known.get_mut(&b).unwrap().decision = Some(Decision {
        status: Status::InProgress,
        by: "ann".into(),
        reason: String::new(),
        at: world.now,
        until: None,
        about: Some(DecidedOn::of(&world.known[&b])),
    });
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.told();
    world.wait(1);
    let decided = world.settle();
    assert_eq!(decided.merged, BTreeMap::from([(b.clone(), a.clone())]));
    let one = world.only();
    assert_eq!((&one.id, &one.aliases), (&a, &vec![b]));
    assert_eq!(
        (one.ticket.as_ref(), one.status, one.severity),
        (Some(&ticket), Status::InProgress, Severity::Critical)
    );
    assert!(announced.is_subset(&one.announced));
    assert_eq!(one.findings.len(), 2);
    assert_eq!(world.counted(), world.recount());
}

#[test]
fn a_crash_before_the_alias_is_repaired() {
    let (mut world, a, b) = two();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.attempt(Stop::Vulnerabilities(9));
    assert!(world.known.contains_key(&b));
    world.settle();
    assert_eq!((world.only().aliases.clone(), &world.only().id), (vec![b], &a));
    assert_eq!(world.counted(), world.recount());
}

#[test]
fn an_id_that_became_an_alias_is_not_given_again() {
    let (mut world, a, b) = two();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.settle();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL]);
    world.settle();
    assert_eq!(world.known.len(), 2);
    assert!(world.known.contains_key(&a));
    assert!(!world.known.contains_key(&b), "the alias still leads to {a}");
}

#[test]
fn a_rule_that_is_split_keeps_the_record_with_most_of_its_findings() {
    let mut world = World::new();
    for rule in ["a", "b", "c"] {
        world.define(Scanner::Tenable, rule, &[LOG4SHELL]);
        world.find(TENABLE, rule, Severity::Critical);
    }
    world.settle();
    let id = world.only().id.clone();
    world.define(Scanner::Tenable, "a", &[OTHER_CVE]);
    world.wait(1).settle();
    assert_eq!(world.known.len(), 2);
    assert_eq!(world.of("b").id, id);
    assert_eq!(world.of("c").id, id);
    assert_ne!(world.of("a").id, id);
    assert_eq!(world.counted(), world.recount());
}

#[test]
fn a_new_finding_of_another_scanner_joins_the_record() {
    let mut world = World::with_log4shell();
    let id = world.only().id.clone();
    world.told();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::High);
    world.settle();
    assert_eq!(world.only().id, id);
    assert_eq!(world.only().scanners, [Scanner::Qualys, Scanner::Tenable]);
    assert_eq!(world.told(), [], "no news");
}

#[test]
fn a_host_that_registers_anew_keeps_its_records() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "cve", &[LOG4SHELL]);
    world.define(Scanner::Tenable, "tls", &[]);
    world.find(TENABLE, "cve", Severity::Critical);
    world.find(TENABLE, "tls", Severity::Medium);
    world.settle();
    let ids: BTreeSet<_> = world.known.keys().cloned().collect();
    world.sightings.clear();
    world.settle();
    world.find("tenable/2", "cve", Severity::Critical);
    world.find("tenable/2", "tls", Severity::Medium);
    world.settle();
    assert_eq!(world.known.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(world.known.values().all(|v| v.status == Status::Identified));
    assert_eq!(world.tickets.len(), 1);
}

#[test]
fn the_score_of_a_new_member_counts() {
    let (mut world, a, _) = two();
    let before = world.known[&a].score.value;
    world.list_kev(OTHER_CVE, 14);
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.settle();
    assert!(world.only().score.value > before);
}

#[test]
fn of_two_tickets_both_are_kept_and_both_are_closed_in_the_end() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL]);
    world.find(TENABLE, "a", Severity::Critical);
    world.settle();
    world.wait(1);
    world.define(Scanner::Qualys, "b", &[OTHER_CVE]);
    world.find(QUALYS, "b", Severity::Critical);
    world.settle();
    let key = |world: &World, cve: &str| world.of(cve).ticket.clone().unwrap().key;
    let (first, second) = (key(&world, LOG4SHELL), key(&world, OTHER_CVE));
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.attempt(Stop::Vulnerabilities(9));
    world.settle();
    let one = world.only();
    let others: Vec<_> = one.other_tickets.iter().map(|ticket| ticket.key.clone()).collect();
    assert_eq!((&one.ticket.as_ref().unwrap().key, others), (&first, vec![second]));
    world.fix(TENABLE, "a", 1);
    world.fix(QUALYS, "b", 1);
    world.settle();
    world.wait(1).settle();
    assert_eq!(world.only().status, Status::Fixed);
    assert_eq!(world.tickets.values().collect::<Vec<_>>(), [&false, &false], "{:?}", world.tickets);
}

#[test]
fn of_two_deadlines_the_earlier_one_counts() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL]);
    world.find(TENABLE, "a", Severity::Medium);
    world.settle();
    world.wait(1);
    world.define(Scanner::Qualys, "b", &[OTHER_CVE]);
    world.find(QUALYS, "b", Severity::Critical);
    world.settle();
    let due = |world: &World, cve: &str| world.of(cve).due.unwrap();
    let (later, earlier) = (due(&world, LOG4SHELL), due(&world, OTHER_CVE));
    assert!(earlier < later);
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    world.wait(2).settle();
    assert_eq!(world.only().due, Some(earlier));
}

#[test]
fn two_open_tickets_rest_while_nobody_sees_what_they_are_about() {
    let mut world = World::with_two();
    assert_eq!(world.tickets.len(), 2);
    world.host(TENABLE).sighting.missing_since = Some(run(1));
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    // Deciding again changes nothing: that is checked here.
    world.settle();
    assert_eq!((world.status(), world.only().other_tickets.len()), (Status::Stale, 1));
    assert!(world.tickets.values().all(|open| *open), "nobody knows whether they are done");
}
