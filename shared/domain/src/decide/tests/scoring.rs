//! How much it matters.

use super::*;

#[test]
fn a_score_is_not_rewritten_for_less_than_ten_points() {
    let mut world = World::with_log4shell();
    world.epss(LOG4SHELL, 0.500, 0.9);
    world.settle();
    let before = world.only().score.clone();
    world.epss(LOG4SHELL, 0.550, 0.9);
    assert_eq!(world.settle().changed, []);
    // The drift of many days adds up all the same.
    world.epss(LOG4SHELL, 0.650, 0.9);
    world.settle();
    assert!(world.only().score.value >= before.value + score::REWRITE_POINTS);
    assert_eq!(world.only().epss_model.as_deref(), Some("v4"));
}

#[test]
fn a_score_in_another_band_is_rewritten_for_a_point() {
    assert!(rewrite_needed((249, score::Band::Medium), (250, score::Band::High)));
}

#[test]
fn a_small_move_waits_for_the_weekly_pass() {
    let mut world = World::with_log4shell();
    world.epss(LOG4SHELL, 0.5, 0.9);
    world.settle();
    let before = world.only().score.clone();
    world.epss(LOG4SHELL, 0.53, 0.9);
    world.settle();
    assert_eq!(world.only().score, before);
    world.weekly = true;
    world.settle();
    let after = world.only().score.value;
    assert!(after > before.value && after < before.value + score::REWRITE_POINTS, "{} {after}", before.value);
}

#[test]
fn an_exploit_may_be_known_of_a_finding_or_of_its_definition() {
    for by_definition in [true, false] {
        let mut world = World::new();
        world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
        world.find(TENABLE, "r", Severity::High);
        world.settle();
        let before = world.only().score.value;
        assert_eq!(world.only().factors.poc, None);
        match by_definition {
            true => {
                let rule = world.rules.get_mut(&(Scanner::Tenable, crate::RuleId::new("r"))).unwrap();
                rule.exploit_available = Some(true);
            }
            false => world.find(TENABLE, "r", Severity::High).exploit_available = Some(true),
        }
        world.settle();
        assert_eq!(world.only().factors.poc, Some(true), "{by_definition}");
        assert!(world.only().score.value > before, "{by_definition}");
    }
}

#[test]
fn the_leading_cve_is_the_one_that_scores_highest() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL, OTHER_CVE]);
    world.find(TENABLE, "r", Severity::High);
    world.intel.entry(cve(OTHER_CVE)).or_default().exploits.metasploit = vec!["exploit/x".into()];
    world.settle();
    assert_eq!(world.only().leading_cve, Some(cve(OTHER_CVE)), "it has the exploit");
    assert_eq!(world.only().factors.poc, None);
    world.epss(LOG4SHELL, 0.97, 0.9999);
    world.settle();
    assert_eq!(world.only().leading_cve, Some(cve(LOG4SHELL)));
    world.list_kev(OTHER_CVE, 14);
    world.settle();
    assert_eq!(world.only().leading_cve, Some(cve(OTHER_CVE)));
    assert_eq!(world.only().epss_model.as_deref(), Some("v4"), "the model of the EPSS that counts");
    // A rule that no longer names it cannot be led by it.
    world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
    world.settle();
    assert_eq!(world.only().leading_cve, Some(cve(LOG4SHELL)));
}

#[test]
fn a_leading_cve_that_is_no_longer_part_is_replaced_whatever_the_points() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
    world.find(TENABLE, "r", Severity::High);
    world.settle();
    world.define(Scanner::Tenable, "r", &[OTHER_CVE]);
    world.settle();
    assert_eq!(world.only().leading_cve, Some(cve(OTHER_CVE)));
}

#[test]
fn without_a_cve_nothing_leads() {
    let mut world = World::new();
    world.define(Scanner::Tenable, "tls", &[]);
    world.find(TENABLE, "tls", Severity::High);
    world.settle();
    assert_eq!(world.only().leading_cve, None);
    assert_eq!(world.only().factors.has_cve, Some(false));
}

#[test]
fn a_feed_that_was_not_read_leaves_unknown_what_it_would_tell() {
    let world = World::with_log4shell();
    assert_eq!(world.only().factors.kev, Some(false));
    let unread = Facts {
        asset: &world.asset,
        known: &BTreeMap::new(),
        sightings: &world.sightings,
        rules: &world.rules,
        intel: &world.intel,
        feeds: Feeds::default(),
        config: &world.config,
        policy_version: 1,
        introducing: &BTreeSet::new(),
        settle: false,
        now: world.now,
    };
    assert_eq!(decide(&unread).changed[0].factors.kev, None);
}

#[test]
fn criticality_and_exposure_follow_the_rules_of_impact() {
    let mut world = World::with_log4shell();
    let before = world.only().score.value;
    let rule = |criticality, exposure| crate::policy::ImpactRule {
        matching: Match::default(),
        criticality,
        exposure,
    };
    world.config.impact = vec![rule(Some(5), None), rule(Some(1), Some(score::Exposure::Internet))];
    world.settle();
    assert_eq!((world.asset.criticality, world.asset.exposure), (Some(5), Some(score::Exposure::Internet)));
    assert!(world.only().score.value > before);
    let changed = |e: &&Event| matches!(e.what, What::CriticalityChanged { .. });
    assert_eq!(world.only().events.iter().filter(changed).count(), 1);
}

#[test]
fn descriptions_of_several_scanners_are_united() {
    let mut world = World::with_log4shell();
    let host = world.host(QUALYS).sighting.scan.as_mut().unwrap();
    host.hostnames = vec!["db-1".into()];
    host.tags = vec![Tag::parse("team=web")];
    host.criticality = Some(4);
    world.config.ownership = vec![OwnerRule {
        matching: Match { tag: Some("team=web".into()), ..Match::default() },
        owner: "web".into(),
        service: Some("shop".into()),
    }];
    world.settle();
    assert_eq!(world.asset.host.hostnames, ["db-1", "web-1"]);
    assert_eq!((world.asset.owner.as_str(), world.asset.service.as_deref()), ("web", Some("shop")));
    assert_eq!(world.asset.criticality, Some(4));
}

#[test]
fn the_cve_record_fills_what_the_scanner_does_not_tell() {
    use crate::intel::{CvssSource, Exploitation, Record};
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
    world.find(TENABLE, "r", Severity::High);
    world.rules.values_mut().for_each(|rule| rule.cvss = None);
    world.settle();
    let before = world.only().clone();
    assert!(before.factors.cvss.is_none() && before.factors.automatable.is_none());
    let told = |exploitation, tenths| Record {
        exploitation: Some(exploitation),
        automatable: Some(true),
        total_impact: Some(true),
        assessed: None,
        cvss: Some((CvssSource::Cna, Cvss { version: "3.1".into(), score: Tenths(tenths), vector: None })),
    };
    world.intel.entry(cve(LOG4SHELL)).or_default().record = Some(told(Exploitation::Poc, 98));
    world.settle();
    let factors = world.only().factors.clone();
    assert_eq!(factors.cvss.map(score::Cvss::tenths), Some(98));
    assert_eq!(
        (factors.automatable, factors.total_impact, factors.poc),
        (Some(true), Some(true), Some(true))
    );
    assert_eq!(
        (factors.threat.map(score::Share::per_mille), factors.threat_confirmed),
        (Some(0), Some(false))
    );

    // Exploited by CISA's word, it is so without being listed.
    world.intel.entry(cve(LOG4SHELL)).or_default().record = Some(told(Exploitation::Active, 98));
    world.settle();
    let (factors, score) = (&world.only().factors, &world.only().score);
    assert_eq!((factors.kev, factors.threat_confirmed), (Some(false), Some(true)));
    assert!(score.contributions.threat > 0 && score.contributions.active_exploitation > 0);
}

#[test]
fn threat_intelligence_counts_as_far_as_its_source_is_wanted_and_trusted() {
    use crate::intel::Feed;
    use crate::policy::{Auth, ThreatSource, Tls};
    use crate::threat::{Evidence, Level};
    let mut world = World::new();
    world.define(Scanner::Tenable, "r", &[LOG4SHELL]);
    world.find(TENABLE, "r", Severity::High);
    let sighted = Evidence::sighted("57c4445b", Level::Active, Some(world.now));
    world.intel.entry(cve(LOG4SHELL)).or_default().threat = [(Feed::Misp, vec![sighted])].into();
    world.settle();
    let threat = |world: &World| {
        let factors = &world.only().factors;
        (factors.threat.map(score::Share::per_mille), factors.threat_confirmed)
    };
    assert_eq!(threat(&world), (None, None), "nobody is wanted, and nothing is known");
    let source = |trust_percent| ThreatSource {
        base_url: "https://misp.example.com".into(),
        auth: Auth::ApiKey { key: "${KEY}".into() },
        trust_percent,
        allow_private_address: false,
        tls: Tls::default(),
    };
    world.config.feeds.misp = Some(source(None));
    world.settle();
    assert_eq!(threat(&world), (Some(700), Some(true)));
    assert!(world.only().score.contributions.active_exploitation > 0);
    world.config.feeds.misp = Some(source(Some(40)));
    world.settle();
    assert_eq!(threat(&world), (Some(400), Some(false)));
    assert_eq!(world.only().score.contributions.active_exploitation, 0);
}

#[test]
fn a_source_that_was_asked_and_says_nothing_is_known_to_say_nothing() {
    use crate::intel::Feed;
    let intel = Intel::default();
    let mut wanted = crate::policy::Feeds::default();
    let asked = Feeds::default().with(Feed::Vulncheck);
    let threat = |wanted: &crate::policy::Feeds, read: &Feeds| {
        let factors = intel.factors(read, wanted, "2026-11-22T12:00:00Z".parse().unwrap());
        (factors.threat.map(score::Share::per_mille), factors.threat_confirmed)
    };
    assert_eq!(threat(&wanted, &asked), (None, None));
    let source: crate::policy::ThreatSource =
        serde_json::from_str(r#"{"auth":{"method":"api_key","key":"${KEY}"}}"#).unwrap();
    wanted.vulncheck = Some(source);
    assert_eq!(threat(&wanted, &asked), (Some(0), Some(false)));
    assert_eq!(threat(&wanted, &Feeds::default()), (None, None));
}
