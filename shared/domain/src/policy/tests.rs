use super::*;

fn host(tags: &[&str]) -> Host {
    Host { native: "1".into(), tags: tags.iter().map(|t| Tag::parse(t)).collect(), ..Host::default() }
}

#[test]
fn lengths_of_time_carry_their_unit() {
    assert_eq!(Seconds::try_from("3600s".to_owned()), Ok(Seconds(3_600)));
    assert_eq!(Seconds::try_from("1d".to_owned()), Ok(Seconds(86_400)));
    for bad in ["60", "0s", "h", "1y", "-1s", "99999999999d"] {
        assert!(Seconds::try_from(bad.to_owned()).unwrap_err().contains("15m"), "{bad}");
    }
}

#[test]
fn tags_match_whatever_the_scanner_splits() {
    let rule = Match { tag: Some("team=Payments".into()), ..Match::default() };
    assert!(rule.matches(&host(&["team=payments"])));
    let whole = Host { tags: vec![Tag { key: "team=payments".into(), value: String::new() }], ..Host::default() };
    assert!(rule.matches(&whole));
    assert!(!rule.matches(&host(&["team=web"])));
    assert!(Match { tag: Some("team".into()), ..Match::default() }.matches(&host(&["team=web"])));
}

#[test]
fn the_first_rule_wins() {
    let rule = |tag: &str, owner: &str| OwnerRule {
        matching: Match { tag: Some(tag.into()), ..Match::default() },
        owner: owner.into(),
        service: None,
    };
    let rules = [rule("env=prod", "platform"), rule("team=web", "web")];
    assert_eq!(owner(&rules, &host(&["team=web", "env=prod"])).unwrap().owner, "platform");
    assert!(owner(&rules, &host(&[])).is_none());
}

#[test]
fn a_secret_in_clear_is_refused_with_its_place() {
    let config = Config {
        connectors: vec![Connector {
            name: "q".parse().unwrap(),
            scanner: Scanner::Qualys,
            base_url: "https://qualysapi.qualys.com".into(),
            auth: Auth::Basic { username: "u".into(), password: "hunter2".into() },
            data_streams: vec![],
            sync_interval: Seconds::hour(),
            full_interval: Seconds::week(),
            scope: default_scope(),
            max_concurrency: None,
            close_limit_percent: 30,
            page_size: None,
            allow_private_address: false,
        }],
        ..Config::default()
    };
    let error = config.validate().unwrap_err();
    assert_eq!(error.field, "connectors[0].auth.password");
    assert!(!error.to_string().contains("hunter2"), "an error must not repeat the secret");
}
