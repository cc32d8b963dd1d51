use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Day 0 of every test.
const EPOCH: &str = "2026-01-01T00:00:00Z";

fn hour(hours: i64) -> Timestamp {
    EPOCH.parse::<Timestamp>().expect("a time") + SignedDuration::from_hours(hours)
}

fn day(days: f64) -> Timestamp {
    hour((days * 24.0) as i64)
}

fn event(at: f64, what: What) -> Event {
    Event { at: day(at), what }
}

fn detected(at: f64, severity: Severity) -> Event {
    event(at, What::Detected { severity, criticality: None, awaiting_promotion: false })
}

fn policy(value: Value) -> SlaPolicy {
    serde_json::from_value(value).expect("a policy")
}

fn due(events: &[Event]) -> Option<Timestamp> {
    sla(events, &SlaPolicy::default()).due
}

fn keys(crossings: &[Crossing]) -> Vec<String> {
    crossings.iter().map(|crossing| crossing.key.to_string()).collect()
}

/// Each document of the golden file beside what it must come to.
#[test]
fn golden_file() {
    let mut seen = 0;
    for text in include_str!("../../testdata/sla_golden.jsonl").lines() {
        let case: Value = serde_json::from_str(text).expect("JSON");
        let name = &case["name"];
        let document: Document = serde_json::from_value(case["document"].clone()).expect("a document");
        let answer = run(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        let answer = serde_json::to_value(answer).expect("JSON");
        for (field, expected) in case["expect"].as_object().expect("fields") {
            let found = match field.as_str() {
                "rule" => &answer["source"]["rule"],
                field => &answer[field],
            };
            assert_eq!(found, expected, "{field} of {name}: {}", answer["arithmetic"]);
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen} cases");
}

#[test]
fn arithmetic_can_be_read() {
    let events = [
        detected(0.0, Severity::High),
        event(2.0, What::Accepted { until: Some(day(12.0)) }),
        event(20.0, What::SeverityChanged { severity: Severity::Critical }),
    ];
    let steps = sla(&events, &SlaPolicy::default()).arithmetic;
    let lines: Vec<String> = steps
        .iter()
        .map(|step| {
            format!("{} {}{}", step.at, step.text, step.due.map_or(String::new(), |due| format!(" -> {due}")))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "2026-01-01T00:00:00Z detected as high: the clock starts",
            "2026-01-01T00:00:00Z 30 days for high -> 2026-01-31T00:00:00Z",
            "2026-01-03T00:00:00Z risk accepted until 2026-01-13T00:00:00Z: the clock stands, 28 days left",
            "2026-01-13T00:00:00Z the acceptance ends on its date -> 2026-02-10T00:00:00Z",
            "2026-01-21T00:00:00Z severity is now critical: 7 days for critical from now on -> 2026-01-28T00:00:00Z",
        ]
    );
}

#[test]
fn states_along_the_way() {
    let events = [detected(0.0, Severity::Critical), event(9.0, What::Fixed)];
    let deadline = sla(&events, &SlaPolicy::default());
    let states = [-1.0, 0.0, 5.2, 5.25, 6.9, 7.0, 9.0].map(|at| deadline.state(day(at)));
    use State::*;
    assert_eq!(states, [NotTracked, OnTrack, OnTrack, Approaching, Approaching, Overdue, Overdue]);
    let in_time = sla(&[detected(0.0, Severity::Critical), event(7.0, What::Fixed)], &SlaPolicy::default());
    assert_eq!(in_time.state(day(100.0)), Met);
}

#[test]
fn what_was_passed_before_we_knew_is_history() {
    let events = [
        event(
            -400.0,
            What::Detected { severity: Severity::High, criticality: None, awaiting_promotion: true },
        ),
        event(0.0, What::Promoted),
    ];
    let policy = SlaPolicy::default();
    let nothing = BTreeSet::new();
    assert_eq!(due_crossings(&events, &policy, day(50.0), &nothing, day(0.0)), []);
    assert_eq!(next_at(&events, &policy, &nothing, day(0.0)), None);
    // The same, known from the beginning and promoted late: everything is due the moment it is promoted.
    let late = due_crossings(&events, &policy, day(0.0), &nothing, day(-401.0));
    assert_eq!(keys(&late), ["0/warning/75", "0/overdue", "0/follow_up/30"]);
    assert!(late.iter().all(|crossing| crossing.at == day(0.0)));
}

#[test]
fn an_end_that_nobody_recorded_is_something_to_do() {
    let accepted = [detected(0.0, Severity::Low), event(1.0, What::Accepted { until: Some(day(10.0)) })];
    let policy = SlaPolicy::default();
    let next = |events: &[Event]| next_at(events, &policy, &BTreeSet::new(), day(0.0));
    assert_eq!(next(&accepted), Some(day(10.0)));
    let recorded = [&accepted[..], &[event(11.0, What::Expired)]].concat();
    assert_eq!(next(&recorded), Some(day(90.0)), "the follow-up");
    assert_eq!(due(&recorded), due(&accepted), "recorded late or not at all, the clock went on at the date");
}

#[test]
fn a_new_policy_does_not_announce_again() {
    let events = [detected(0.0, Severity::High)];
    let announced: BTreeSet<_> =
        crossings(&events, &SlaPolicy::default()).iter().map(|one| one.key).collect();
    let stricter = policy(json!({"days": {"critical": 1, "high": 2, "medium": 3, "low": 4}}));
    assert_eq!(due_crossings(&events, &stricter, day(365.0), &announced, day(-1.0)), []);
}

#[test]
fn policies_are_checked() {
    assert_eq!(SlaPolicy::default().validate(), Ok(()));
    assert!(policy(json!({"days": {"high": 0}})).validate().is_err());
    assert!(policy(json!({"more_warnings": [50, 100]})).validate().is_err());
    assert!(policy(json!({"matrix": {"high": [1, 2, 3, 4, 5000]}})).validate().is_err());
    assert!(serde_json::from_value::<SlaPolicy>(json!({"warn": 3})).is_err());
}

#[test]
fn keys_are_text() {
    for text in ["0/warning/75", "12/overdue", "1/follow_up/30"] {
        assert_eq!(text.parse::<CrossingKey>().expect("a key").to_string(), text);
    }
    for text in ["", "overdue", "0/overdue/1", "0/warning", "0/warning/x", "x/overdue"] {
        assert!(text.parse::<CrossingKey>().is_err(), "{text}");
    }
}

fn severities() -> impl Strategy<Value = Severity> {
    prop::sample::select(&Severity::ALL[..])
}

fn anything() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => (severities(), any::<bool>()).prop_map(|(severity, awaiting_promotion)| What::Detected {
            severity, criticality: None, awaiting_promotion,
        }),
        2 => Just(What::Promoted),
        3 => severities().prop_map(|severity| What::SeverityChanged { severity }),
        1 => prop::option::of(1u8..=5).prop_map(|level| What::CriticalityChanged {
            criticality: level.and_then(Criticality::new),
        }),
        2 => (0i64..4000, prop::option::of(-500i64..4000)).prop_map(|(due, added)| What::KevListed {
            due: hour(due), date_added: added.map(hour),
        }),
        2 => (prop::option::of(1u16..90), any::<bool>())
            .prop_map(|(days, forensic)| What::Directed(directive::Timeline { days, forensic })),
        2 => prop::option::of(0i64..5000).prop_map(|until| What::Accepted { until: until.map(hour) }),
        2 => prop::option::of(0i64..5000).prop_map(|until| What::Paused { until: until.map(hour) }),
        2 => Just(What::Expired),
        2 => Just(What::Resumed),
        3 => Just(What::Fixed),
        3 => Just(What::Reopened),
        1 => Just(What::FalsePositive),
    ]
}

/// Up to a dozen events in half a year, most of them after a detection.
fn histories() -> impl Strategy<Value = Vec<Event>> {
    (severities(), prop::collection::vec((0i64..4000, anything()), 0..12)).prop_map(|(severity, events)| {
        let rest = events.into_iter().map(|(at, what)| Event { at: hour(at), what });
        let mut events: Vec<Event> = std::iter::once(detected(0.0, severity)).chain(rest).collect();
        events.sort_by_key(|event| event.at);
        events
    })
}

fn any_policy() -> impl Strategy<Value = SlaPolicy> {
    (1u16..60, prop::collection::vec(1u8..100, 0..3), 0u16..40, any::<bool>(), any::<bool>()).prop_map(
        |(days, more_warnings, reopen_window_days, promoted, kev)| SlaPolicy {
            days: DaysBySeverity::of(days, days * 2, days * 3, days * 4),
            matrix: [(Severity::High, [None, Some(40), Some(30), Some(20), Some(10)])].into(),
            more_warnings,
            reopen_window_days,
            start: if promoted { ClockStart::Promoted } else { ClockStart::Detected },
            kev,
            bod_26_04: kev != promoted,
            ..SlaPolicy::default()
        },
    )
}

/// What a poller announces that asks at these moments and knows at each what has happened by then.
fn announced(events: &[Event], policy: &SlaPolicy, moments: &[i64], known: Timestamp) -> Vec<CrossingKey> {
    let mut announced = BTreeSet::new();
    let mut in_order = Vec::new();
    for &moment in moments {
        let now = hour(moment);
        let so_far: Vec<Event> = events.iter().filter(|event| event.at <= now).cloned().collect();
        for crossing in due_crossings(&so_far, policy, now, &announced, known) {
            assert!(announced.insert(crossing.key), "announced twice");
            in_order.push(crossing.key);
        }
    }
    in_order.sort();
    in_order
}

proptest! {
    #[test]
    fn announced_once_whenever_somebody_asks_and_however_long_nobody_did(
        events in histories(),
        policy in any_policy(),
        mut moments in prop::collection::vec(0i64..6000, 0..40),
        known in -10i64..1000,
    ) {
        moments.sort_unstable();
        moments.push(6000);
        let often = announced(&events, &policy, &moments, hour(known));
        let after_the_outage = announced(&events, &policy, &[6000], hour(known));
        prop_assert_eq!(often, after_the_outage);
    }

    #[test]
    fn waking_only_at_the_next_moment_misses_nothing(events in histories(), policy in any_policy()) {
        let known = hour(-1);
        // Woken by every event, as the record is then written, and by the timer; by nothing else.
        let mut wake: BTreeSet<Timestamp> = events.iter().map(|event| event.at).collect();
        let mut seen = BTreeSet::new();
        let mut recorded: Vec<Event> = Vec::new();
        while let Some(now) = wake.pop_first() {
            let happened = |recorded: &[Event]| -> Vec<Event> {
                events.iter().filter(|event| event.at <= now).chain(recorded).cloned().collect()
            };
            let unrecorded = sla(&happened(&recorded), &policy).unrecorded;
            recorded.extend(unrecorded.into_iter().filter(|end| end.at <= now));
            let so_far = happened(&recorded);
            let found = due_crossings(&so_far, &policy, now, &seen, known);
            prop_assert!(found.iter().all(|crossing| crossing.at == now), "late: {:?} at {}", found, now);
            seen.extend(found.iter().map(|crossing| crossing.key));
            wake.extend(next_at(&so_far, &policy, &seen, known).filter(|next| *next > now && *next <= hour(9000)));
        }
        let all = announced(&events, &policy, &[9000], known);
        prop_assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_pause_adds_exactly_the_pause(
        severity in severities(), from in 1i64..300, length in 1i64..5000, accepted in any::<bool>(), dated in any::<bool>(),
    ) {
        let until = dated.then(|| hour(from + length));
        let (begin, end) = match accepted {
            true => (What::Accepted { until }, What::Expired),
            false => (What::Paused { until }, What::Resumed),
        };
        let plain = vec![detected(0.0, severity)];
        let mut paused = plain.clone();
        paused.push(Event { at: hour(from), what: begin });
        if !dated {
            paused.push(Event { at: hour(from + length), what: end });
        }
        prop_assert_eq!(due(&paused), due(&plain).map(|due| due + SignedDuration::from_hours(length)));
    }

    #[test]
    fn being_fixed_for_a_while_adds_exactly_that(severity in severities(), from in 1i64..300, length in 1i64..=720) {
        let plain = vec![detected(0.0, severity)];
        let back = [
            &plain[..],
            &[Event { at: hour(from), what: What::Fixed }, Event { at: hour(from + length), what: What::Reopened }],
        ].concat();
        prop_assert_eq!(due(&back), due(&plain).map(|due| due + SignedDuration::from_hours(length)));
    }

    #[test]
    fn another_severity_never_makes_it_later(
        events in histories(), policy in any_policy(), at in 0i64..4000, severity in severities(),
    ) {
        // Only up to the change: what comes after may start another clock.
        let mut events: Vec<Event> = events.into_iter().filter(|event| event.at <= hour(at)).collect();
        let before = sla(&events, &policy);
        events.push(Event { at: hour(at), what: What::SeverityChanged { severity } });
        let after = sla(&events, &policy);
        if let (Some(before), Some(after)) = (before.due, after.due) {
            prop_assert!(after <= before);
        }
        prop_assert!(before.due.is_none() || after.due.is_some(), "a deadline never goes away");
    }

    #[test]
    fn same_input_same_output_and_consistent(
        events in histories(), policy in any_policy(), keys in prop::collection::vec(any::<u32>(), 13),
    ) {
        let one = sla(&events, &policy);
        prop_assert_eq!(&one, &sla(&events, &policy));
        // The order in which events of different moments are handed over does not matter.
        let mut distinct = events.clone();
        distinct.dedup_by_key(|event| event.at);
        let mut shuffled: Vec<_> = distinct.iter().cloned().zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<Event> = shuffled.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(sla(&shuffled, &policy), sla(&distinct, &policy));
        // An overdue that is announced is one that the state shows.
        for crossing in crossings(&events, &policy) {
            let expected = match crossing.key.kind {
                CrossingKind::Overdue => &[State::Overdue][..],
                CrossingKind::Warning { .. } => &[State::OnTrack, State::Approaching, State::Overdue],
                CrossingKind::FollowUp { .. } => continue,
            };
            prop_assert!(expected.contains(&one.state(crossing.at)), "{:?}", crossing);
        }
    }

    #[test]
    fn events_survive_storage(events in histories()) {
        let text = serde_json::to_string(&events).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Vec<Event>>(&text).expect("events"), events);
    }
}

#[test]
fn the_directive_shortens_and_is_named_only_where_the_policy_follows_it() {
    let directed = |on: f64, days| Event {
        at: day(on),
        what: What::Directed(directive::Timeline { days, forensic: days == Some(3) }),
    };
    let follows = SlaPolicy { bod_26_04: true, ..SlaPolicy::default() };
    let events = [detected(0.0, Severity::High), directed(0.0, Some(14))];
    assert_eq!(sla(&events, &SlaPolicy::default()).due, Some(day(30.0)));
    let deadline = sla(&events, &follows);
    assert_eq!((deadline.due, deadline.source), (Some(day(14.0)), Some(Source::Directive { days: 14 })));

    // Into the catalogue on the fifth day: three days from then on, with traces secured.
    let listed = [&events[..], &[directed(5.0, Some(3))]].concat();
    let deadline = sla(&listed, &follows);
    assert_eq!(deadline.due, Some(day(8.0)));
    assert!(deadline.arithmetic.iter().any(|step| step.text.contains("traces")), "{:?}", deadline.arithmetic);

    // No longer reachable: what was due stays due.
    let relaxed = [&listed[..], &[directed(6.0, None)]].concat();
    assert_eq!(sla(&relaxed, &follows).due, Some(day(8.0)));
}
