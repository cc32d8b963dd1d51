use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn factors(value: Value) -> Factors {
    serde_json::from_value(value).expect("valid factors")
}

fn error(value: Value) -> String {
    serde_json::from_value::<Factors>(value).expect_err("refused").to_string()
}

fn value_of(factors: &Factors) -> u16 {
    score(factors, &ScoreConfig::default()).value
}

/// Each line of the golden file holds an input and what it must come to, computed by hand from the formula.
#[test]
fn golden_file() {
    let lines = include_str!("../../testdata/score_golden.jsonl").lines();
    let mut seen = 0;
    for text in lines {
        let line: ScoreLine = serde_json::from_str(text).expect("a line");
        let expected = serde_json::from_str::<Value>(text).expect("JSON")["expect"].clone();
        let explained = explain(&line.factors, &ScoreConfig::default());
        let answer = serde_json::to_value(line.answer(&ScoreConfig::default())).expect("JSON");
        for field in ["score", "band", "contributions"] {
            assert_eq!(answer[field], expected[field], "{field} of {}", answer["id"]);
        }
        let points: u16 = explained.iter().map(|part| part.points).sum();
        assert_eq!(json!(points), expected["score"], "explanation of {}", answer["id"]);
        seen += 1;
    }
    assert!(seen >= 15);
}

#[test]
fn percentiles_of_whole_nines_are_exact() {
    let nines = |percentile| epss(&factors(json!({"percentile": percentile})));
    assert_eq!(nines(0.0), 0);
    assert_eq!(nines(0.9), 166); // a third of 1000, halved
    assert_eq!(nines(0.99), 333);
    assert_eq!(nines(0.999), 500);
    assert_eq!(nines(0.99999), 500);
    assert_eq!(nines(1.0), 500);
    assert_eq!(epss(&factors(json!({"percentile": 1.0, "epss": 1.0}))), 1000);
}

#[test]
fn one_unknown_ssvc_point_lies_between_its_answers() {
    let of = |automatable: Option<bool>| {
        severity(&Factors { automatable, ..factors(json!({"cvss": 1.0, "total_impact": true})) })
    };
    assert_eq!((of(Some(false)), of(None), of(Some(true))), (260, 280, 460));
}

#[test]
fn errors_name_the_field() {
    assert_eq!(error(json!({"cvss": 10.1})), "cvss: 10.1 is out of range, expected 0 to 10");
    assert_eq!(error(json!({"epss": -0.1})), "epss: -0.1 is out of range, expected 0 to 1");
    assert_eq!(error(json!({"percentile": 97})), "percentile: 97 is out of range, expected 0 to 1");
    assert_eq!(error(json!({"kev": "yes"})), r#"kev: found "yes", expected true or false"#);
    assert_eq!(error(json!({"cvss": "9.8"})), r#"cvss: found "9.8", expected a number"#);
    assert_eq!(
        error(json!({"criticality": 0})),
        "criticality: 0 is out of range, expected a whole number from 1 to 5"
    );
    assert_eq!(
        error(json!({"criticality": 2.5})),
        "criticality: 2.5 is out of range, expected a whole number from 1 to 5"
    );
    assert!(error(json!({"exposure": "dmz"})).starts_with("exposure: found \"dmz\""));
}

#[test]
fn null_is_unknown_and_unknown_is_named() {
    let line: ScoreLine =
        serde_json::from_value(json!({"id": 7, "cvss": null, "kev": false})).expect("a line");
    let answer = serde_json::to_value(line.answer(&ScoreConfig::default())).expect("JSON");
    assert_eq!(answer["id"], 7);
    let assumed = answer["assumed"].as_array().expect("a list");
    assert!(assumed.contains(&json!("cvss")) && assumed.contains(&json!("total_impact")));
    assert!(!assumed.contains(&json!("kev")));
    assert!(!assumed.contains(&json!("metasploit_good_rank")), "there is no module to have a rank");
}

#[test]
fn small_moves_within_the_band_are_not_rewritten() {
    assert!(!rewrite_needed((300, Band::High), (309, Band::High)));
    assert!(rewrite_needed((300, Band::High), (310, Band::High)));
    assert!(rewrite_needed((310, Band::High), (300, Band::High)));
    assert!(rewrite_needed((249, Band::Medium), (250, Band::High)));
}

#[test]
fn configuration_is_checked() {
    let read = |value| serde_json::from_value::<ScoreConfig>(value).expect("a configuration").validate();
    assert_eq!(read(json!({})), Ok(()));
    assert_eq!(read(json!({"weights": {"severity": 150}})), Err(ScoreConfigError::WeightSum { sum: 1050 }));
    assert_eq!(read(json!({"weights": {"severity": 150, "threat": 150}})), Ok(()));
    assert!(matches!(read(json!({"bands": {"high": 800}})), Err(ScoreConfigError::BandOrder { .. })));
}

#[test]
fn of_several_cves_each_factor_names_its_origin() {
    let old = factors(json!({"cvss": 9.8, "epss": 0.01, "percentile": 0.7, "metasploit": true}));
    let hot = factors(json!({"cvss": 5.0, "epss": 0.9, "percentile": 0.99, "kev": true, "threat": 0.4}));
    let highest = Factors::highest([("CVE-2020-1", &old), ("CVE-2024-2", &hot)]).expect("two CVEs");
    assert_eq!(highest.from.severity, "CVE-2020-1");
    assert_eq!(highest.from.exploit, "CVE-2020-1");
    assert_eq!(highest.from.epss, "CVE-2024-2");
    assert_eq!(highest.from.active_exploitation, Some("CVE-2024-2"));
    assert!(value_of(&highest.factors) >= value_of(&old).max(value_of(&hot)));
    assert_eq!(Factors::highest(std::iter::empty::<(&str, &Factors)>()), None);
}

fn flags() -> impl Strategy<Value = Option<bool>> {
    option::of(any::<bool>())
}

fn shares() -> impl Strategy<Value = Option<Share>> {
    // Near 1 is where the percentile matters.
    let near_one = (0u32..2_000_000).prop_map(|below| 1_000_000_000 - below);
    option::of(
        prop_oneof![0u32..=1_000_000_000, near_one]
            .prop_map(|parts| Share::from_billionths(parts).expect("in range")),
    )
}

prop_compose! {
    fn any_factors()(
        (cvss, severity) in (
            option::of((0u8..=100).prop_map(|tenths| Cvss::from_tenths(tenths).expect("in range"))),
            option::of(proptest::sample::select(&Severity::ALL[..])),
        ),
        (automatable, total_impact, kev, ransomware) in (flags(), flags(), flags(), flags()),
        (metasploit, metasploit_good_rank, exploitdb, exploitdb_verified) in (flags(), flags(), flags(), flags()),
        (nuclei, poc, threat_confirmed, has_cve) in (flags(), flags(), flags(), prop_oneof![4 => Just(None), 1 => flags()]),
        (epss, percentile, threat) in (shares(), shares(), shares()),
        criticality in option::of((1u8..=5).prop_map(|level| Criticality::new(level).expect("in range"))),
        exposure in option::of(proptest::sample::select(
            &[Exposure::Isolated, Exposure::Internal, Exposure::Partner, Exposure::Internet][..],
        )),
    ) -> Factors {
        Factors {
            cvss, severity, automatable, total_impact, kev, ransomware, metasploit, metasploit_good_rank, exploitdb,
            exploitdb_verified, nuclei, poc, epss, percentile, threat, threat_confirmed, criticality, exposure, has_cve,
        }
    }
}

prop_compose! {
    fn any_config()(parts in prop::array::uniform7(1u32..1000)) -> ScoreConfig {
        let sum: u32 = parts.iter().sum();
        let mut weights = parts.map(|part| (part * 1000 / sum) as u16);
        weights[0] += 1000 - weights.iter().sum::<u16>();
        let [severity, exploit, epss, threat, criticality, exposure, convergence] = weights;
        let weights = Weights { severity, exploit, epss, threat, criticality, exposure, convergence };
        ScoreConfig { weights, ..ScoreConfig::default() }
    }
}

/// The inputs one by one: `set(f, false)` gives the least an input can be, `set(f, true)` the most.
fn ends(input: usize, factors: &Factors, most: bool) -> Factors {
    let mut f = factors.clone();
    let flag = Some(most);
    let share = Share::new(if most { 1.0 } else { 0.0 });
    match input {
        0 => f.cvss = Cvss::new(if most { 10.0 } else { 0.0 }),
        1 => f.automatable = flag,
        2 => f.total_impact = flag,
        3 => f.kev = flag,
        4 => f.ransomware = flag,
        5 => f.metasploit = flag,
        6 => f.metasploit_good_rank = flag,
        7 => f.exploitdb = flag,
        8 => f.exploitdb_verified = flag,
        9 => f.nuclei = flag,
        10 => f.poc = flag,
        11 => f.epss = share,
        12 => f.percentile = share,
        13 => f.threat = share,
        14 => f.threat_confirmed = flag,
        15 => f.criticality = Criticality::new(if most { 5 } else { 1 }),
        _ => f.exposure = Some(if most { Exposure::Internet } else { Exposure::Isolated }),
    }
    f
}

/// `a` with each input replaced by the worse of both, where both are known.
fn dominating(a: &Factors, b: &Factors) -> Factors {
    fn worse<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
        if a.is_some() && b.is_some() { a.max(b) } else { a }
    }
    let (f, b) = (a.clone(), b.clone());
    Factors {
        cvss: worse(f.cvss, b.cvss),
        automatable: worse(f.automatable, b.automatable),
        total_impact: worse(f.total_impact, b.total_impact),
        kev: worse(f.kev, b.kev),
        ransomware: worse(f.ransomware, b.ransomware),
        metasploit: worse(f.metasploit, b.metasploit),
        metasploit_good_rank: worse(f.metasploit_good_rank, b.metasploit_good_rank),
        exploitdb: worse(f.exploitdb, b.exploitdb),
        exploitdb_verified: worse(f.exploitdb_verified, b.exploitdb_verified),
        nuclei: worse(f.nuclei, b.nuclei),
        poc: worse(f.poc, b.poc),
        epss: worse(f.epss, b.epss),
        percentile: worse(f.percentile, b.percentile),
        threat: worse(f.threat, b.threat),
        threat_confirmed: worse(f.threat_confirmed, b.threat_confirmed),
        criticality: worse(f.criticality, b.criticality),
        exposure: worse(f.exposure, b.exposure),
        severity: f.severity,
        has_cve: f.has_cve,
    }
}

proptest! {
    #[test]
    fn within_bounds_and_adding_up(f in any_factors(), config in any_config()) {
        let scored = score(&f, &config);
        prop_assert!(scored.value <= 1000);
        prop_assert_eq!(scored.contributions.sum(), scored.value);
        prop_assert_eq!(scored.band, config.band(scored.value));
        let explained = explain(&f, &config);
        prop_assert_eq!(explained.iter().map(|part| part.points).sum::<u16>(), scored.value);
        if f.is_cve() {
            for part in explained.iter().filter(|part| part.factor != Factor::Convergence) {
                prop_assert_eq!(points(part.normalised, part.weight), part.points);
            }
        }
    }

    #[test]
    fn worse_in_every_input_is_never_lower(a in any_factors(), b in any_factors(), config in any_config()) {
        prop_assert!(score(&dominating(&a, &b), &config).value >= score(&a, &config).value);
    }

    #[test]
    fn unknown_lies_between_the_least_and_the_most(f in any_factors(), config in any_config(), input in 0usize..17) {
        let value = score(&f, &config).value;
        prop_assert!(score(&ends(input, &f, false), &config).value <= value);
        prop_assert!(score(&ends(input, &f, true), &config).value >= value);
    }

    #[test]
    fn kev_is_critical_and_reversible(f in any_factors(), config in any_config()) {
        let of = |kev| score(&Factors { kev: Some(kev), has_cve: None, ..f.clone() }, &config);
        let (before, listed, after) = (of(false), of(true), of(false));
        prop_assert!(listed.value >= 700);
        prop_assert!(listed.value >= before.value);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn ransomware_is_never_lower(f in any_factors(), config in any_config()) {
        let of = |ransomware| score(&Factors { ransomware: Some(ransomware), ..f.clone() }, &config).value;
        prop_assert!(of(true) >= of(false));
    }

    #[test]
    fn without_a_cve_never_above_the_cap(f in any_factors(), config in any_config()) {
        let f = Factors { has_cve: Some(false), ..f };
        prop_assert!(score(&f, &config).value <= CAP_WITHOUT_CVE);
    }

    #[test]
    fn cves_in_any_order_are_the_same(
        cves in prop::collection::vec((0u8..4, any_factors()), 1..6),
        keys in prop::collection::vec(any::<u32>(), 6),
    ) {
        let mut shuffled: Vec<_> = cves.iter().zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let one = Factors::highest(cves.iter().map(|(label, f)| (*label, f)));
        let other = Factors::highest(shuffled.iter().map(|((label, f), _)| (*label, f)));
        prop_assert_eq!(&one, &other);
    }

    #[test]
    fn several_cves_score_at_least_as_high_as_each(cves in prop::collection::vec(any_factors(), 1..5)) {
        let same_asset = |f: &Factors| Factors {
            criticality: cves[0].criticality, exposure: cves[0].exposure, has_cve: None, ..f.clone()
        };
        let cves: Vec<Factors> = cves.iter().map(same_asset).collect();
        let highest = Factors::highest(cves.iter().enumerate()).expect("at least one").factors;
        for one in &cves {
            prop_assert!(value_of(&highest) >= value_of(one));
        }
    }

    #[test]
    fn stored_factors_read_back_the_same(f in any_factors(), config in any_config()) {
        let text = serde_json::to_string(&f).expect("JSON");
        let back: Factors = serde_json::from_str(&text).expect("factors");
        prop_assert_eq!(&back, &f);
        // The fields in the opposite order.
        let Value::Object(fields) = serde_json::to_value(&f).expect("JSON") else { unreachable!() };
        let reversed: Vec<String> =
            fields.iter().rev().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        let reversed: Factors = serde_json::from_str(&format!("{{{}}}", reversed.join(","))).expect("factors");
        prop_assert_eq!(inputs_digest(&reversed, &config), inputs_digest(&f, &config));
    }

    #[test]
    fn another_input_is_another_digest(a in any_factors(), b in any_factors()) {
        let digest = |f| inputs_digest(f, &ScoreConfig::default());
        prop_assert_eq!(a == b, digest(&a) == digest(&b));
    }
}
