//! Found, stale, gone, fixed, found again.

use super::*;

#[test]
fn a_new_finding_is_a_vulnerability_with_a_deadline() {
    let mut world = World::with_log4shell();
    assert_eq!(world.status(), Status::Identified);
    assert_eq!(world.only().due, Some(day(7)));
    assert_eq!(world.only().title, "tenable log4j");
    assert_eq!(world.only().cves, [cve(LOG4SHELL)]);
    assert_eq!(world.told(), [NotifyEvent::Opened]);
}

#[test]
fn the_order_of_statements_and_hosts_makes_no_difference() {
    let mut world = World::new();
    for (host, rules) in [(TENABLE, ["c", "a", "b"]), (QUALYS, ["z", "x", "y"])] {
        for rule in rules {
            world.define(scanner_of(host), rule, if rule > "b" { &[LOG4SHELL] } else { &[] });
            world.find(host, rule, Severity::High);
        }
    }
    let one = world.decide();
    for said in world.sightings.values_mut() {
        said.statements.reverse();
    }
    assert_eq!(world.decide(), one);
    assert_eq!(one.changed.len(), 3);
}

#[test]
fn an_old_finding_is_overdue_at_once_and_never_announced() {
    let mut world = World::new();
    world.introducing = ["tenable".parse().unwrap()].into();
    world.now = day(100);
    world.find(TENABLE, "old", Severity::Critical).first_found = Some(day(0));
    world.settle();
    assert!(world.only().is_overdue(world.now));
    assert!(world.asset.counted[&world.only().id].overdue);
    for _ in 0..40 {
        world.wait(1).settle();
    }
    assert_eq!(world.told(), []);
    assert_eq!(world.only().next_at, None);
}

#[test]
fn what_a_first_sync_finds_is_announced_when_it_crosses_later() {
    let mut world = World::new();
    world.introducing = ["tenable".parse().unwrap()].into();
    world.find(TENABLE, "r", Severity::Critical).first_found = Some(day(-6));
    world.settle();
    assert_eq!(world.told(), []);
    world.introducing.clear();
    world.wait(1).settle();
    assert_eq!(world.told(), [NotifyEvent::Overdue]);
}

#[test]
fn more_than_may_wait_at_once_is_announced_in_turns() {
    let mut world = World::new();
    world.config.channels = vec![channel("chat"), channel("mail")];
    let rules: Vec<String> = (0..3_200).map(|rule| format!("r{rule}")).collect();
    for (index, rule) in rules.iter().enumerate() {
        // The last hundred are worse, and their numbers say nothing of that.
        let severity = if index < 3_100 { Severity::Medium } else { Severity::Critical };
        world.find(TENABLE, rule, severity);
    }
    world.settle();
    let opened = world.sent.iter().filter(|sent| sent.channel == "mail").count();
    assert_eq!(opened, 3_000, "what is opened is told once or not at all");
    assert_eq!(world.sent.len(), 6_000);
    let told = |world: &World, id: &VulnId| world.sent.iter().any(|sent| sent.about.vulnerability == *id);
    let criticals = world.known.values().filter(|v| v.severity == Severity::Critical);
    assert!(criticals.clone().count() == 100 && criticals.clone().all(|v| told(&world, &v.id)));

    world.sent.clear();
    world.wait(200);
    for _ in 0..6 {
        let intents = world.attempt(Stop::Never).asset.intents;
        let bytes = serde_json::to_string(&intents).unwrap().len();
        assert!(bytes < 300_000, "an item of DynamoDB has room for it: {bytes}");
        world.deliver();
    }
    let mut overdue: Vec<&Announced> = world
        .sent
        .iter()
        .filter(|sent| sent.event == NotifyEvent::Overdue && sent.channel == "chat")
        .map(|sent| &sent.about)
        .collect();
    let count = overdue.len();
    overdue.sort();
    overdue.dedup();
    assert_eq!((count, overdue.len()), (3_200, 3_200), "each once");
    world.settle();
}

#[test]
fn announcements_of_earlier_versions_are_read() {
    let id = VulnId::derive(&AssetId::derive("machine"), "a");
    for (crossing, old) in [(None, ""), (Some("0/warning/75"), r#","crossing":"0/warning/75""#)] {
        let about =
            Announced { vulnerability: id.clone(), crossing: crossing.map(|key| key.parse().unwrap()) };
        let text = format!("\"{id}{}\"", crossing.map(|key| format!(" {key}")).unwrap_or_default());
        assert_eq!(serde_json::to_string(&about).unwrap(), text);
        for stored in [text, format!(r#"{{"vulnerability":"{id}"{old}}}"#)] {
            assert_eq!(serde_json::from_str::<Announced>(&stored).unwrap(), about, "{stored}");
        }
    }
    for broken in [r#""v-1""#, r#""""#, "7", "{}"] {
        assert!(serde_json::from_str::<Announced>(broken).is_err(), "{broken}");
    }
    let crossing = format!("\"{id} soon\"");
    assert!(serde_json::from_str::<Announced>(&crossing).is_err());
}

#[test]
fn a_date_in_the_future_does_not_count() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::Critical).first_found = Some(day(30));
    world.settle();
    assert_eq!(world.only().due, Some(day(7)));
}

#[test]
fn informational_findings_make_no_record() {
    let mut world = World::new();
    world.find(TENABLE, "banner", Severity::Info);
    let decided = world.settle();
    assert_eq!((decided.changed.len(), decided.transitions.len()), (0, 0));
}

#[test]
fn what_was_closed_before_we_heard_of_it_makes_no_record() {
    let mut world = World::new();
    let finding = world.find(TENABLE, "r", Severity::High);
    (finding.state, finding.fixed_at) = (FindingState::Fixed, Some(day(-3)));
    world.settle();
    assert!(world.known.is_empty());
}

#[test]
fn a_rule_without_a_definition_is_named_by_its_number() {
    let mut world = World::new();
    world.find(QUALYS, "38173", Severity::High);
    world.settle();
    assert_eq!(world.only().title, "qualys rule 38173");
    world.define(Scanner::Qualys, "38173", &[]);
    world.settle();
    assert_eq!(world.only().title, "qualys 38173");
}

#[test]
fn the_title_is_that_of_the_worst_finding_that_is_seen() {
    let mut world = World::with_log4shell();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Medium);
    world.settle();
    assert_eq!(world.only().title, "tenable log4j");
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    assert_eq!(world.only().title, "qualys 376157");
}

#[test]
fn fixed_only_when_all_findings_are() {
    let mut world = World::with_log4shell();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.settle();
    world.wait(2);
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    world.wait(1);
    world.fix(QUALYS, "376157", 1);
    world.settle();
    assert_eq!(world.status(), Status::Fixed);
    assert_eq!(world.only().next_at, None);
    assert_eq!(world.days_to_fix, [3]);
}

#[test]
fn absence_counts_only_when_its_run_is_proven() {
    let mut world = World::with_log4shell();
    world.prove(TENABLE, 1);
    world.miss(TENABLE, "log4j", 2);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    world.prove(TENABLE, 2);
    world.settle();
    assert_eq!(world.status(), Status::Fixed);
}

#[test]
fn what_the_scanner_calls_fixed_waits_for_the_proof_too() {
    let mut world = World::with_log4shell();
    world.miss(TENABLE, "log4j", 2);
    world.statement(TENABLE, "log4j").finding.state = FindingState::Fixed;
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    world.prove(TENABLE, 3);
    world.settle();
    assert_eq!(world.status(), Status::Fixed);
}

#[test]
fn a_missing_host_is_stale_never_fixed() {
    let mut world = World::with_log4shell();
    world.told();
    world.host(TENABLE).sighting.missing_since = Some(run(2));
    for _ in 0..100 {
        world.wait(1).settle();
        assert_eq!(world.status(), Status::Stale);
    }
    assert_eq!(world.told(), []);
    world.host(TENABLE).sighting.missing_since = None;
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    use NotifyEvent as E;
    assert_eq!(
        world.told(),
        [E::FollowUp, E::Approaching, E::Overdue],
        "passed while nobody looked, and not told yet"
    );
}

#[test]
fn one_that_nobody_looks_at_keeps_it_from_being_fixed() {
    let mut world = World::with_log4shell();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.settle();
    world.host(QUALYS).sighting.missing_since = Some(run(1));
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    assert_eq!(world.status(), Status::Stale);
}

#[test]
fn a_deleted_host_is_gone_and_may_come_back() {
    let mut world = World::with_log4shell();
    world.gone(TENABLE, Some(day(1)));
    world.wait(2).settle();
    assert_eq!(world.status(), Status::Gone);
    assert_eq!(world.asset.gone_at, Some(day(1)));
    world.gone(TENABLE, None);
    world.settle();
    assert_eq!((world.status(), world.asset.gone_at), (Status::Identified, None));
}

#[test]
fn what_was_closed_on_a_host_before_it_went_proves_nothing_of_the_rest() {
    let mut world = World::with_log4shell();
    world.define(Scanner::Tenable, "log4j-8443", &[LOG4SHELL]);
    world.find(TENABLE, "log4j-8443", Severity::Critical);
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    world.gone(TENABLE, Some(day(1)));
    world.wait(2).settle();
    assert_eq!((world.status(), world.days_to_fix.len()), (Status::Gone, 0));
    // One that still looks at the machine may say so.
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    world.wait(1).fix(QUALYS, "376157", 1);
    world.settle();
    assert_eq!(world.status(), Status::Fixed);
}

#[test]
fn a_host_is_there_as_long_as_one_scanner_sees_it() {
    let mut world = World::with_log4shell();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.gone(TENABLE, Some(day(1)));
    world.wait(2).settle();
    assert_eq!((world.status(), world.asset.gone_at), (Status::Identified, None));
}

#[test]
fn what_no_sighting_states_any_more_is_stale() {
    let mut world = World::with_log4shell();
    let said = std::mem::take(&mut world.sightings);
    world.settle();
    assert_eq!((world.status(), world.only().next_at), (Status::Stale, None));
    world.sightings = said;
    world.settle();
    assert_eq!(world.status(), Status::Identified);
}

#[test]
fn suppressed_in_the_scanner_is_suppressed_here() {
    let mut world = World::with_log4shell();
    world.statement(TENABLE, "log4j").finding.state = FindingState::Suppressed;
    world.settle();
    assert_eq!(world.status(), Status::Suppressed);
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.settle();
    assert_eq!(world.status(), Status::Identified, "another scanner was not told to disregard it");
}

#[test]
fn reopened_is_the_same_record_and_news() {
    let mut world = World::with_log4shell();
    let id = world.only().id.clone();
    world.wait(1);
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.told();
    world.wait(1);
    world.find(TENABLE, "log4j", Severity::Critical);
    world.settle();
    assert_eq!((&world.only().id, world.status()), (&id, Status::Identified));
    assert_eq!(world.told(), [NotifyEvent::Opened]);
    assert_eq!(world.only().due, Some(day(8)), "the clock stood for a day");
}

#[test]
fn reopened_after_it_had_become_stale_has_a_clock() {
    let mut world = World::with_log4shell();
    world.fix(TENABLE, "log4j", 1);
    world.settle();
    world.define(Scanner::Qualys, "376157", &[LOG4SHELL]);
    world.find(QUALYS, "376157", Severity::Critical);
    world.host(QUALYS).sighting.missing_since = Some(run(1));
    world.settle();
    world.host(QUALYS).sighting.missing_since = None;
    world.wait(40).settle();
    assert_eq!((world.status(), world.only().due), (Status::Identified, Some(day(47))));
}

#[test]
fn unpromoted_severities_wait_as_created() {
    let mut world = World::new();
    world.config.policies.promote = [Severity::Critical].into();
    world.find(TENABLE, "r", Severity::High);
    world.wait(200).settle();
    assert_eq!(world.status(), Status::Created);
    assert!(!world.only().is_overdue(world.now));
    assert_eq!(world.told(), []);
    world.config.policies.promote.insert(Severity::High);
    world.settle();
    assert_eq!(world.status(), Status::Identified);
    assert_eq!(world.told(), [NotifyEvent::Opened]);
    world.config.policies.promote.remove(&Severity::High);
    world.settle();
    assert_eq!(world.status(), Status::Identified, "what was promoted once stays promoted");
}

#[test]
fn no_detour_promotes() {
    let detours: [Detour; 4] = [
        ("fixed", |w| w.fix(TENABLE, "r", 1), |w| drop(w.find(TENABLE, "r", Severity::Low).clone())),
        ("gone", |w| w.gone(TENABLE, Some(day(0))), |w| w.gone(TENABLE, None)),
        (
            "stale",
            |w| w.host(TENABLE).sighting.missing_since = Some(run(1)),
            |w| w.host(TENABLE).sighting.missing_since = None,
        ),
        (
            "suppressed",
            |w| w.statement(TENABLE, "r").finding.state = FindingState::Suppressed,
            |w| w.statement(TENABLE, "r").finding.state = FindingState::Open,
        ),
    ];
    for (name, away, back) in detours {
        let mut world = World::new();
        world.config.policies.promote = [Severity::Critical].into();
        world.find(TENABLE, "r", Severity::Low);
        world.settle();
        away(&mut world);
        world.settle();
        assert_eq!(world.status().as_str(), name);
        back(&mut world);
        world.settle();
        assert_eq!(world.status(), Status::Created, "{name}");
        // Promoted while it was away, it is tracked all the same.
        away(&mut world);
        world.settle();
        world.config.policies.promote.insert(Severity::Low);
        world.settle();
        back(&mut world);
        world.settle();
        assert_eq!(world.status(), Status::Identified, "{name}");
        assert!(world.only().next_at.is_some(), "{name}");
    }
}

#[test]
fn severity_follows_the_scanners_and_escalation_shortens() {
    let mut world = World::new();
    world.find(TENABLE, "r", Severity::Medium);
    world.settle();
    assert_eq!(world.only().due, Some(day(90)));
    world.wait(10);
    world.find(TENABLE, "r", Severity::Critical);
    world.settle();
    assert_eq!(world.only().due, Some(day(17)));
    world.find(TENABLE, "r", Severity::Low);
    world.settle();
    assert_eq!((world.only().severity, world.only().due), (Severity::Low, Some(day(17))));
    let changes = |v: &Vulnerability| {
        v.events.iter().filter(|e| matches!(e.what, What::SeverityChanged { .. })).count()
    };
    assert_eq!(changes(world.only()), 2);
    world.fix(TENABLE, "r", 1);
    world.settle();
    assert_eq!(world.only().severity, Severity::Low, "it is not forgotten with the fix");
}

#[test]
fn a_kev_entry_shortens_and_is_news_once() {
    let mut world = World::with_log4shell();
    world.config.policies.sla.days.critical = Some(60);
    world.settle();
    world.told();
    let before = world.only().score.value;
    world.wait(2);
    world.list_kev(LOG4SHELL, 14);
    world.settle();
    assert!(world.only().score.value > before);
    assert_eq!(world.only().due, Some(day(17) - SignedDuration::from_secs(1)), "to the end of the due date");
    assert_eq!(world.told(), [NotifyEvent::Exploited]);
    for _ in 0..3 {
        world.settle();
    }
    assert_eq!(world.told(), []);
}

#[test]
fn of_several_cves_the_earliest_kev_date_counts() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL, OTHER_CVE]);
    world.find(TENABLE, "r", Severity::High);
    world.list_kev(LOG4SHELL, 20);
    world.list_kev(OTHER_CVE, 10);
    world.settle();
    assert_eq!(world.only().due, Some(day(11) - SignedDuration::from_secs(1)));
}

#[test]
fn exploited_is_told_while_opened_still_waits() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
    world.find(TENABLE, "r", Severity::High);
    world.attempt(Stop::Never);
    world.list_kev(LOG4SHELL, 14);
    world.settle();
    assert_eq!(world.told(), [NotifyEvent::Opened, NotifyEvent::Exploited]);
}

#[test]
fn a_lengthened_deadline_still_counts_when_it_passes() {
    let mut world = World::with_log4shell();
    world.wait(8).settle();
    assert!(world.asset.counted[&world.only().id].overdue);
    world.config.policies.sla.days.critical = Some(20);
    world.settle();
    assert!(!world.asset.counted[&world.only().id].overdue);
    assert_eq!(
        world.only().next_at,
        Some(day(20)),
        "announced under the old deadline, but not yet overdue again"
    );
    world.now = day(20);
    world.settle();
    assert!(world.asset.counted[&world.only().id].overdue);
}

#[test]
fn a_change_of_owner_moves_the_counters() {
    let mut world = World::with_log4shell();
    world.own("payments");
    world.settle();
    assert_eq!(world.asset.owner, "payments");
    let key = |owner: &str| (owner.to_owned(), Status::Identified, Severity::Critical, false);
    assert_eq!(world.counted(), BTreeMap::from([(key("payments"), 1)]));
    assert_eq!(world.counters[&key(UNOWNED)], 0);
}

#[test]
fn an_unchanged_vulnerability_is_not_written_for_a_new_policy_version() {
    let world = World::with_log4shell();
    let facts = Facts {
        asset: &world.asset,
        known: &world.known,
        sightings: &world.sightings,
        rules: &world.rules,
        intel: &world.intel,
        feeds: Feed::ALL.into_iter().fold(Feeds::default(), Feeds::with),
        config: &world.config,
        policy_version: 2,
        introducing: &BTreeSet::new(),
        settle: false,
        now: world.now,
    };
    assert_eq!(decide(&facts).changed, []);
}

#[test]
fn what_a_known_scanner_finds_is_news_while_another_one_is_introduced() {
    let mut world = World::new();
    world.introducing = ["qualys".parse().unwrap()].into();
    world.define(Scanner::Qualys, "376157", &[OTHER_CVE]);
    world.find(QUALYS, "376157", Severity::High);
    world.settle();
    assert_eq!(world.told(), [], "the summary tells");
    world.define(Scanner::Tenable, "log4j", &[LOG4SHELL]);
    world.find(TENABLE, "log4j", Severity::Critical);
    world.settle();
    assert_eq!(world.told(), [NotifyEvent::Opened]);
    world.list_kev(LOG4SHELL, 14);
    world.list_kev(OTHER_CVE, 14);
    world.settle();
    assert_eq!(world.told(), [NotifyEvent::Exploited], "that of the known one");
}

#[test]
fn that_it_is_exploited_is_told_when_the_host_is_seen_again() {
    let mut world = World::with_log4shell();
    world.host(TENABLE).sighting.missing_since = Some(run(1));
    world.settle();
    world.told();
    world.wait(1).list_kev(LOG4SHELL, 3);
    world.settle();
    assert_eq!((world.status(), world.told()), (Status::Stale, vec![]));
    assert_eq!(world.only().factors.kev, Some(true), "the score knows");
    world.wait(1).host(TENABLE).sighting.missing_since = None;
    world.settle();
    assert!(world.told().contains(&NotifyEvent::Exploited));
    assert_eq!(
        world.only().due.map(|due| due.duration_since(day(4)).as_hours()),
        Some(23),
        "CISA's due date"
    );
}

#[test]
fn of_several_kev_entries_the_earliest_deadline_counts() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "a", &[LOG4SHELL, OTHER_CVE]);
    // One was due long ago: what CISA gave, 60 days, counts from the first sight. The other is due in 20 days.
    world.now = day(-100);
    world.list_kev(LOG4SHELL, 60);
    world.now = day(0);
    world.list_kev(OTHER_CVE, 20);
    world.find(TENABLE, "a", Severity::Low);
    world.settle();
    assert_eq!(world.only().due.map(|due| due.duration_since(day(20)).as_hours()), Some(23));
}
