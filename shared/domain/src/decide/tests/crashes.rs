//! The function may die between any two writes: no announcement is lost, none is made twice.

use proptest::prelude::*;

use super::*;

const STOPS: [Stop; 7] = [
    Stop::Start,
    Stop::Intents,
    Stop::Vulnerabilities(0),
    Stop::Vulnerabilities(1),
    Stop::Aliases,
    Stop::Counters,
    Stop::Never,
];

fn stop() -> impl Strategy<Value = Stop> {
    prop::sample::select(STOPS.to_vec())
}

/// An asset with weaknesses of each severity and two channels.
fn world() -> World {
    let mut world = World::new();
    world.config.channels.push(channel("pager"));
    for (rule, severity) in [("a", Severity::Critical), ("b", Severity::High), ("c", Severity::Medium)] {
        world.find(TENABLE, rule, severity).first_found = Some(day(-3));
    }
    world
}

/// Ends what is left unfinished: decides until the sweep has asked for everything again.
fn finish(world: &mut World) {
    world.settle();
    world.now += SWEEP_AFTER;
    world.settle();
}

/// Each crossing that the ledger has and that is news, for each channel; and that it was opened.
fn expected(world: &World) -> Vec<(String, NotifyEvent, Announced)> {
    let mut expected = Vec::new();
    for v in world.known.values() {
        let crossings = sla::crossings(&v.events, &world.config.policies.sla);
        let news = crossings.into_iter().filter(|c| c.at <= world.now && c.passed > v.known_since);
        let about = news.map(|crossing| {
            let event = match crossing.key.kind {
                CrossingKind::Warning { .. } => NotifyEvent::Approaching,
                CrossingKind::Overdue => NotifyEvent::Overdue,
                CrossingKind::FollowUp { .. } => NotifyEvent::FollowUp,
            };
            (event, Announced { vulnerability: v.id.clone(), crossing: Some(crossing.key) })
        });
        let opened = (NotifyEvent::Opened, Announced { vulnerability: v.id.clone(), crossing: None });
        for (event, about) in about.chain([opened]) {
            expected.extend(["chat", "pager"].map(|name| (name.to_owned(), event, about.clone())));
        }
    }
    expected.sort();
    expected
}

fn sent(world: &World) -> Vec<(String, NotifyEvent, Announced)> {
    let mut sent: Vec<_> =
        world.sent.iter().map(|sent| (sent.channel.clone(), sent.event, sent.about.clone())).collect();
    sent.sort();
    sent
}

#[test]
fn a_crash_at_each_place_loses_and_doubles_nothing() {
    for stop in STOPS {
        for days in [0, 2, 5, 30, 200] {
            let mut world = world();
            if days > 0 {
                world.settle();
            }
            world.wait(days).attempt(stop);
            finish(&mut world);
            assert_eq!(sent(&world), expected(&world), "{stop:?} on day {days}");
            assert_eq!(world.counted(), world.recount(), "{stop:?} on day {days}");
            assert_eq!(world.tickets.len(), 1, "{stop:?} on day {days}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn announced_once_whenever_it_is_polled_and_wherever_it_dies(
        polls in prop::collection::vec((0i64..900, stop(), any::<bool>()), 1..25),
    ) {
        let mut world = world();
        for (hours, stop, delivers) in polls {
            world.now += SignedDuration::from_hours(hours);
            world.attempt(stop);
            if delivers {
                world.deliver();
            }
        }
        finish(&mut world);
        prop_assert_eq!(sent(&world), expected(&world));
        prop_assert_eq!(world.counted(), world.recount());
        prop_assert!(world.asset.intents.is_empty());
        prop_assert_eq!(world.tickets.len(), 1);
    }

    #[test]
    fn waking_only_at_the_next_moment_announces_the_same(seed_days in 0i64..40) {
        let mut world = world();
        world.settle();
        world.wait(seed_days).settle();
        let end = day(200);
        while let Some(next) = world.known.values().filter_map(|v| v.next_at).min().filter(|next| *next <= end) {
            prop_assert!(next > world.now, "a timer that lies behind never ends");
            world.now = next;
            world.settle();
        }
        world.now = end;
        finish(&mut world);
        prop_assert_eq!(sent(&world), expected(&world));
    }
}
