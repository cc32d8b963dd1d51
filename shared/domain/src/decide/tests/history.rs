//! Any history of one asset: the counters are what a recount would find, and deciding again changes nothing.

use proptest::prelude::*;

use super::*;

const HOSTS: [&str; 3] = [TENABLE, QUALYS, "tenable/2"];
const RULES: [&str; 4] = ["a", "b", "c", "d"];
const CVES: [&str; 3] = [LOG4SHELL, OTHER_CVE, "CVE-2024-3094"];

#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Find(usize, usize, Severity),
    Miss(usize, usize),
    Prove(usize),
    Suppress(usize, usize),
    Missing(usize, bool),
    Gone(usize, bool),
    Define(usize, usize, Vec<usize>),
    Kev(usize),
    Epss(usize, u16),
    Person(Option<Status>, i64),
    /// On the first vulnerability alone.
    PersonOnOne(Option<Status>, i64),
    Reachable(bool),
    Introduce(bool),
    Own(bool),
    Promote(Severity, bool),
    Forget(usize),
    Crash(Stop),
}

fn step() -> impl Strategy<Value = Step> {
    let severity = || prop::sample::select(Severity::ALL.to_vec());
    let decisions = [
        None,
        Some(Status::InProgress),
        Some(Status::AwaitingValidation),
        Some(Status::RiskAccepted),
        Some(Status::FalsePositive),
    ];
    let stops = [Stop::Start, Stop::Intents, Stop::Vulnerabilities(1), Stop::Aliases, Stop::Counters];
    prop_oneof![
        3 => (1i64..1000).prop_map(Step::Wait),
        4 => (0..HOSTS.len(), 0..RULES.len(), severity()).prop_map(|(h, r, s)| Step::Find(h, r, s)),
        2 => (0..HOSTS.len(), 0..RULES.len()).prop_map(|(h, r)| Step::Miss(h, r)),
        2 => (0..HOSTS.len()).prop_map(Step::Prove),
        1 => (0..HOSTS.len(), 0..RULES.len()).prop_map(|(h, r)| Step::Suppress(h, r)),
        1 => (0..HOSTS.len(), any::<bool>()).prop_map(|(h, yes)| Step::Missing(h, yes)),
        1 => (0..HOSTS.len(), any::<bool>()).prop_map(|(h, yes)| Step::Gone(h, yes)),
        2 => (0..2usize, 0..RULES.len(), prop::collection::vec(0..CVES.len(), 0..3))
            .prop_map(|(s, r, cves)| Step::Define(s, r, cves)),
        1 => (0..CVES.len()).prop_map(Step::Kev),
        1 => (0..CVES.len(), 0u16..=1000).prop_map(|(c, score)| Step::Epss(c, score)),
        2 => (prop::sample::select(decisions.to_vec()), 1i64..90).prop_map(|(d, days)| Step::Person(d, days)),
        2 => (prop::sample::select(decisions.to_vec()), 1i64..90)
            .prop_map(|(d, days)| Step::PersonOnOne(d, days)),
        1 => any::<bool>().prop_map(Step::Reachable),
        1 => any::<bool>().prop_map(Step::Introduce),
        1 => any::<bool>().prop_map(Step::Own),
        1 => (severity(), any::<bool>()).prop_map(|(s, yes)| Step::Promote(s, yes)),
        1 => (0..HOSTS.len()).prop_map(Step::Forget),
        2 => prop::sample::select(stops.to_vec()).prop_map(Step::Crash),
    ]
}

impl World {
    fn has(&mut self, host: usize, rule: usize) -> bool {
        self.host(HOSTS[host]).statements.iter().any(|s| s.finding.key.as_str() == RULES[rule])
    }

    fn apply(&mut self, step: &Step, number: u32) {
        match step {
            Step::Wait(hours) => self.now += SignedDuration::from_hours(*hours),
            Step::Find(host, rule, severity) => {
                drop(self.find(HOSTS[*host], RULES[*rule], *severity).clone())
            }
            Step::Miss(host, rule) if self.has(*host, *rule) => self.miss(HOSTS[*host], RULES[*rule], number),
            Step::Suppress(host, rule) if self.has(*host, *rule) => {
                self.statement(HOSTS[*host], RULES[*rule]).finding.state = FindingState::Suppressed;
            }
            Step::Miss(..) | Step::Suppress(..) => {}
            Step::Prove(host) => self.prove(HOSTS[*host], number),
            Step::Missing(host, yes) => {
                self.host(HOSTS[*host]).sighting.missing_since = yes.then(|| run(number))
            }
            Step::Gone(host, yes) => {
                let at = yes.then_some(self.now);
                self.host(HOSTS[*host]);
                self.gone(HOSTS[*host], at);
            }
            Step::Define(scanner, rule, cves) => {
                let mut cves: Vec<_> = cves.iter().map(|c| CVES[*c]).collect();
                cves.sort_unstable();
                cves.dedup();
                self.define(crate::scanner::KINDS[*scanner].scanner, RULES[*rule], &cves);
            }
            Step::Kev(index) => self.list_kev(CVES[*index], 14),
            Step::Epss(index, score) => {
                let score = f64::from(*score) / 1000.0;
                self.epss(CVES[*index], score, score);
            }
            Step::Person(status, days) => self.decide_until(*status, *days),
            Step::PersonOnOne(status, days) => {
                let before: Vec<_> = self.known.values().map(|v| v.decision.clone()).collect();
                self.decide_until(*status, *days);
                for (vulnerability, decision) in self.known.values_mut().zip(before).skip(1) {
                    vulnerability.decision = decision;
                }
            }
            Step::Reachable(yes) => {
                let exposure = yes.then_some(score::Exposure::Internet);
                let matching = Match::default();
                self.config.impact =
                    vec![crate::policy::ImpactRule { matching, criticality: None, exposure }];
            }
            Step::Introduce(true) => self.introducing = ["tenable".parse().unwrap()].into(),
            Step::Introduce(false) => self.introducing.clear(),
            Step::Own(payments) => self.own(if *payments { "payments" } else { "web" }),
            Step::Promote(severity, true) => drop(self.config.policies.promote.insert(*severity)),
            Step::Promote(severity, false) => drop(self.config.policies.promote.remove(severity)),
            Step::Forget(host) => drop(self.sightings.remove(&sighting_id(HOSTS[*host]))),
            Step::Crash(stop) => drop(self.attempt(*stop)),
        }
    }

    /// A person decides a minute later; an acceptance is for so many days.
    fn decide_until(&mut self, status: Option<Status>, days: i64) {
        self.now += SignedDuration::from_mins(1);
        let until = self.now + SignedDuration::from_hours(24 * days);
        self.person(status, (status == Some(Status::RiskAccepted)).then_some(until));
    }

    /// What holds after every decision.
    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.counted(), self.recount());
        prop_assert!(self.counters.values().all(|count| *count >= 0));
        prop_assert!(self.days_to_fix.iter().all(|days| *days >= 0));
        let mut findings = BTreeSet::new();
        for v in self.known.values() {
            // A timer that lies behind never ends, and an open vulnerability with a deadline ahead has one.
            prop_assert!(v.next_at.is_none_or(|at| at > self.now), "{:?} {:?}", v.status, v.next_at);
            prop_assert!(
                !(v.status.is_open() && v.due.is_some_and(|due| due > self.now) && v.next_at.is_none())
            );
            prop_assert!(v.intents.len() <= 1);
            let ticket_open = v.ticket.as_ref().map(|t| t.state == TicketState::Open);
            if let (Some(open), false) =
                (ticket_open, v.status == Status::Stale || v.status == Status::Created)
            {
                prop_assert_eq!(open, v.status.is_open(), "ticket of a {} one", v.status);
            }
            if v.status == Status::Identified {
                let state = sla::sla(&v.events, &self.config.policies.sla).state(self.now);
                let tracked = v.severity == Severity::Info || state != sla::State::NotTracked;
                prop_assert!(
                    tracked && state != sla::State::Met,
                    "open, but the ledger says {:?}: {:?}",
                    state,
                    v.events
                );
            }
            for finding in &v.findings {
                if self.sightings.contains_key(&finding.sighting)
                    && !matches!(v.status, Status::Stale | Status::Gone)
                {
                    prop_assert!(findings.insert(finding.clone()), "a finding of two vulnerabilities");
                }
            }
            for alias in &v.aliases {
                prop_assert!(!self.known.contains_key(alias));
                prop_assert!(self.aliases.contains_key(alias));
            }
        }
        let mut crossings = BTreeSet::new();
        for sent in self.sent.iter().filter(|sent| sent.about.crossing.is_some()) {
            prop_assert!(
                crossings.insert((sent.channel.clone(), sent.about.clone())),
                "told twice: {:?}",
                sent
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_happens_the_books_balance(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for (step, number) in steps.iter().zip(1..) {
            world.apply(step, number);
            world.settle();
            // Confirmed tickets may be wrong by now: that is decided on the next pass.
            world.settle();
            world.check()?;
        }
    }

    #[test]
    fn over_a_whole_life_everything_that_came_in_went_out(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for (step, number) in steps.iter().zip(1..) {
            world.apply(step, number);
            world.attempt(Stop::Never);
        }
        world.settle();
        let open = |world: &World| -> i64 {
            world.counters.iter().filter(|((_, status, ..), _)| status.is_open()).map(|(_, count)| count).sum()
        };
        prop_assert_eq!(open(&world), world.known.values().filter(|v| v.status.is_open()).count() as i64);
        for host in HOSTS {
            world.host(host);
            world.gone(host, Some(world.now));
        }
        world.settle();
        prop_assert_eq!(open(&world), 0);
    }
}
