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
    let whole =
        Host { tags: vec![Tag { key: "team=payments".into(), value: String::new() }], ..Host::default() };
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
            auth: Auth::Basic { username: "u".into(), password: "hunter2".into(), token: None },
            data_streams: vec![],
            sync_interval: Seconds::hour(),
            full_interval: Seconds::week(),
            scan_cadence: Seconds::month(),
            scope: default_scope(),
            gateway_url: None,
            api_versions: std::collections::BTreeMap::new(),
            max_concurrency: None,
            close_limit_percent: 30,
            via: None,
            page_size: None,
            allow_private_address: false,
            tls: Tls::default(),
        }],
        ..Config::default()
    };
    let error = config.validate().unwrap_err();
    assert_eq!(error.field, "connectors[0].auth.password");
    assert!(!error.to_string().contains("hunter2"), "an error must not repeat the secret");
}

/// A document with one of everything.
fn document() -> serde_json::Value {
    serde_json::json!({
        "connectors": [
            {
                "name": "qualys-prod", "type": "qualys", "base_url": "https://qualysapi.qualys.com",
                "auth": { "method": "basic", "username": "${U}", "password": "${P}" },
                "data_streams": ["host_detections", "knowledge_base"], "sync_interval": "3600s"
            },
            {
                "name": "tenable-prod", "type": "tenable", "base_url": "https://cloud.tenable.com",
                "auth": { "method": "api_keys", "access_key": "${A}", "secret_key": "${S}" }
            },
            { "name": "aws", "type": "aws" }
        ],
        "ownership": [{ "match": { "tag": "team=web" }, "owner": "web", "service": "shop" }],
        "impact": [{ "match": {}, "criticality": 3, "exposure": "internal" }],
        "channels": [{ "name": "chat", "type": "slack", "webhook_url": "${HOOK}" }],
        "trackers": [{
            "name": "jira", "type": "jira", "base_url": "https://example.atlassian.net", "project": "SEC",
            "auth": { "method": "basic", "username": "bot", "password": "${JIRA}" }
        }],
        "webhooks": [
            { "name": "push", "connector": "tenable-prod", "secrets": ["${OLD}", "${NEW}"] },
            {
                "name": "relay", "connector": "qualys-prod", "verify": "static_header", "header": "x-token",
                "secrets": ["${TOKEN}"]
            },
            {
                "name": "topic", "connector": "qualys-prod", "verify": "sns",
                "topics": ["arn:aws:sns:eu-central-1:123456789012:scans"]
            }
        ],
        "exposure": { "accounts": [
            {
                "account": "123456789012", "regions": ["eu-west-1"],
                "role_arn": "arn:aws:iam::123456789012:role/vulnrelay-exposure", "external_id": "vulnrelay"
            },
            { "account": "210987654321", "regions": ["eu-west-1", "us-east-1"] }
        ] },
        "policies": { "tickets": ["critical", "high"], "ticket_min_score": 500 }
    })
}

fn parse(document: serde_json::Value) -> Config {
    serde_json::from_value(document).unwrap()
}

#[test]
fn a_whole_document_is_valid_and_reads_back() {
    let config = parse(document());
    assert_eq!(config.validate(), Ok(()));
    let stored = serde_json::to_value(&config).unwrap();
    assert_eq!(parse(stored), config);
    assert_eq!(Config::default().validate(), Ok(()), "nothing configured is no error");
    let connector = config.connector(&"qualys-prod".parse().unwrap()).unwrap();
    assert!(connector.pulls("host_detections") && !connector.pulls("asset_inventory"));
    assert_eq!((connector.full_interval, connector.close_limit_percent), (Seconds::week(), 30));
}

#[test]
fn a_misspelt_field_is_refused() {
    for (place, field) in
        [("", "conectors"), ("/policies", "tickts"), ("/channels/0", "evnets"), ("/webhooks/0", "secret")]
    {
        let mut document = document();
        document.pointer_mut(place).unwrap()[field] = serde_json::json!([]);
        let error = serde_json::from_value::<Config>(document).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let cases = [
        ("/connectors/1/name", serde_json::json!("qualys-prod"), "connectors[1].name"),
        ("/channels/0/name", serde_json::json!("qualys-prod"), "channels[0].name"),
        ("/trackers/0/name", serde_json::json!("chat"), "trackers[0].name"),
        ("/connectors/0/base_url", serde_json::json!("qualysapi.qualys.com"), "connectors[0].base_url"),
        ("/connectors/0/base_url", serde_json::json!("https://"), "connectors[0].base_url"),
        ("/connectors/0/base_url", serde_json::json!("https:///path"), "connectors[0].base_url"),
        ("/connectors/0/close_limit_percent", serde_json::json!(0), "connectors[0].close_limit_percent"),
        ("/connectors/0/max_concurrency", serde_json::json!(0), "connectors[0].max_concurrency"),
        ("/connectors/0/page_size", serde_json::json!(0), "connectors[0].page_size"),
        ("/connectors/0/data_streams/0", serde_json::json!("tickets"), "connectors[0].data_streams"),
        ("/connectors/0/type", serde_json::json!("tenable"), "connectors[0].auth.method"),
        ("/connectors/1/auth/secret_key", serde_json::json!("abc"), "connectors[1].auth.secret_key"),
        ("/trackers/0/auth/password", serde_json::json!("abc"), "trackers[0].auth.password"),
        ("/trackers/0/base_url", serde_json::json!("ftp://jira"), "trackers[0].base_url"),
        (
            "/channels/0/webhook_url",
            serde_json::json!("https://hooks.example/T1/B2"),
            "channels[0].webhook_url",
        ),
        ("/ownership/0/owner", serde_json::json!(" "), "ownership[0].owner"),
        ("/impact/0/criticality", serde_json::json!(6), "impact[0].criticality"),
        ("/webhooks/0/connector", serde_json::json!("nessus"), "webhooks[0].connector"),
        ("/webhooks/0/secrets", serde_json::json!([]), "webhooks[0].secrets"),
        ("/webhooks/0/secrets/1", serde_json::json!("abc"), "webhooks[0].secrets"),
        ("/webhooks/0/connector", serde_json::json!("aws"), "webhooks[0].connector"),
        ("/webhooks/0/header", serde_json::json!("x-token"), "webhooks[0].header"),
        ("/webhooks/0/remember", serde_json::json!("1h"), "webhooks[0].remember"),
        ("/webhooks/0/verify", serde_json::json!("static_header"), "webhooks[0].header"),
        ("/webhooks/0/verify", serde_json::json!("sns"), "webhooks[0].secrets"),
        ("/webhooks/1/tolerance", serde_json::json!("5m"), "webhooks[1].tolerance"),
        ("/webhooks/1/header", serde_json::json!("x token"), "webhooks[1].header"),
        ("/webhooks/2/topics", serde_json::json!([]), "webhooks[2].topics"),
        (
            "/connectors/2/base_url",
            serde_json::json!("https://inspector2.amazonaws.com"),
            "connectors[2].base_url",
        ),
        (
            "/connectors/2/auth",
            serde_json::json!({ "method": "basic", "username": "u", "password": "${P}" }),
            "connectors[2].auth.method",
        ),
        ("/connectors/2/data_streams", serde_json::json!(["assets"]), "connectors[2].data_streams"),
        ("/connectors/0/auth", serde_json::json!({ "method": "none" }), "connectors[0].auth.method"),
        ("/trackers/0/auth", serde_json::json!({ "method": "none" }), "trackers[0].auth.method"),
        ("/exposure/accounts/0/account", serde_json::json!("1234"), "exposure.accounts[0].account"),
        ("/exposure/accounts/1/account", serde_json::json!("123456789012"), "exposure.accounts[1].account"),
        ("/exposure/accounts/0/regions", serde_json::json!([]), "exposure.accounts[0].regions"),
        ("/exposure/accounts/0/regions/0", serde_json::json!("EU (Ireland)"), "exposure.accounts[0].regions"),
        (
            "/exposure/accounts/0/role_arn",
            serde_json::json!("arn:aws:iam::210987654321:role/vulnrelay-exposure"),
            "exposure.accounts[0].role_arn",
        ),
        (
            "/exposure/accounts/0/role_arn",
            serde_json::json!("arn:aws:iam::123456789012:role/*"),
            "exposure.accounts[0].role_arn",
        ),
        ("/exposure/accounts/0/role_arn", serde_json::Value::Null, "exposure.accounts[0].external_id"),
        ("/policies/ticket_min_score", serde_json::json!(1001), "policies.ticket_min_score"),
        ("/policies/acceptance_ends_at_epss", serde_json::json!(0), "policies.acceptance_ends_at_epss"),
    ];
    for (place, value, field) in cases {
        let mut document = document();
        match document.pointer_mut(place) {
            Some(found) => *found = value,
            None => {
                let (parent, name) = place.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[name] = value;
            }
        }
        let error = parse(document).validate().unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
}

#[test]
fn only_one_account_is_the_one_that_is_deployed_to() {
    let mut config = parse(document());
    let first = &mut config.exposure.accounts[0];
    (first.role_arn, first.external_id) = (None, None);
    assert_eq!(config.validate().unwrap_err().field, "exposure.accounts[1].role_arn");
}

#[test]
fn two_webhooks_of_one_path_are_refused() {
    let mut config = parse(document());
    config.webhooks.push(config.webhooks[0].clone());
    assert_eq!(config.validate().unwrap_err().field, "webhooks[3].name");
}

#[test]
fn a_push_without_a_kind_is_the_signed_one_with_a_time() {
    let config = parse(document());
    let times = |i: usize| (config.webhooks[i].tolerance(), config.webhooks[i].remember());
    assert_eq!(config.webhooks[0].verify, Verification::Hmac);
    assert_eq!(times(0).0, Seconds(300));
    assert_eq!(times(1).1, Seconds(60));
    assert_eq!(times(2).0, Seconds(7_200), "SNS delivers for an hour what it signed once");
    let stored = serde_json::to_value(&config.webhooks[0]).unwrap();
    let fields: Vec<_> = stored.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["connector", "name", "secrets"], "documents of before are written as before");
}

#[test]
fn a_topic_says_which_host_speaks_for_it() {
    let host = |text: &str| TopicArn::try_from(text.to_owned()).map(|topic| topic.host());
    assert_eq!(
        host("arn:aws:sns:eu-central-1:123456789012:scans").unwrap(),
        "sns.eu-central-1.amazonaws.com"
    );
    assert_eq!(
        host("arn:aws-cn:sns:cn-north-1:123456789012:a.fifo").unwrap(),
        "sns.cn-north-1.amazonaws.com.cn"
    );
    assert_eq!(
        host("arn:aws-us-gov:sns:us-gov-west-1:123456789012:a").unwrap(),
        "sns.us-gov-west-1.amazonaws.com"
    );
    for bad in [
        "",
        "scans",
        "arn:aws:sqs:eu-central-1:123456789012:scans",
        "arn:evil:sns:eu-central-1:123456789012:scans",
        "arn:aws:sns:evil.example/:123456789012:scans",
        "arn:aws:sns:eu-central-1:1234:scans",
        "arn:aws:sns:eu-central-1:123456789012:",
        "arn:aws:sns:eu-central-1:123456789012:scans:0d1b5b5e-0000-0000-0000-000000000000",
    ] {
        assert!(host(bad).is_err(), "{bad}");
    }
}

#[test]
fn events_of_aws_have_one_connector() {
    let mut config = parse(document());
    assert_eq!(config.pulled().count(), 2);
    assert_eq!(config.pushed_to(Scanner::Aws).unwrap().name.as_str(), "aws");
    assert!(config.pushed_to(Scanner::Qualys).is_none());
    let second = Connector { name: "aws-too".parse().unwrap(), ..config.connectors[2].clone() };
    config.connectors.push(second);
    assert_eq!(config.validate().unwrap_err().field, "connectors[3].type");
}

#[test]
fn feeds_and_the_policies_of_score_and_sla_are_checked_too() {
    let mut config = Config::default();
    config.feeds.epss = "epss.csv".into();
    assert_eq!(config.validate().unwrap_err().field, "feeds.epss");
    let mut config = Config::default();
    config.policies.sla.days.critical = Some(0);
    assert_eq!(config.validate().unwrap_err().field, "policies.sla");
    let mut config = Config::default();
    config.policies.score.weights.epss = 1;
    assert_eq!(config.validate().unwrap_err().field, "policies.score");
}

#[test]
fn sources_of_threat_intelligence_are_wanted_by_who_names_them() {
    let source = |auth: &str| -> ThreatSource {
        let auth: Auth = serde_json::from_str(auth).unwrap();
        serde_json::from_value(serde_json::json!({ "auth": auth })).unwrap()
    };
    let key = || source(r#"{"method":"api_key","key":"${KEY}"}"#);
    let field = |change: fn(&mut Feeds, ThreatSource), source: ThreatSource| {
        let mut config = Config::default();
        change(&mut config.feeds, source);
        config.validate().err().map(|error| error.field)
    };
    let wanted = |feeds: &Feeds| feeds.wanted().filter(|feed| Feed::THREAT.contains(feed)).count();
    assert_eq!(wanted(&Feeds::default()), 0);
    let mut feeds = Feeds { vulncheck: Some(key()), ..Feeds::default() };
    assert_eq!((wanted(&feeds), feeds.address(Feed::Vulncheck)), (1, "https://api.vulncheck.com"));
    assert_eq!((feeds.trust(Feed::Vulncheck), feeds.trust(Feed::Misp)), (Some(100), None));
    feeds.nvd_key = Some("${NVD}".into());
    assert_eq!(feeds.texts(), ["${NVD}", "${KEY}"]);

    assert_eq!(field(|feeds, source| feeds.vulncheck = Some(source), key()), None);
    assert_eq!(field(|feeds, source| feeds.misp = Some(source), key()).unwrap(), "feeds.misp.base_url");
    assert_eq!(
        field(|feeds, source| feeds.mandiant = Some(source), key()).unwrap(),
        "feeds.mandiant.auth.method"
    );
    let clear = source(r#"{"method":"api_key","key":"hunter2"}"#);
    let refused = field(|feeds, source| feeds.recordedfuture = Some(source), clear);
    assert_eq!(refused.unwrap(), "feeds.recordedfuture.auth.key");
    let unsure = ThreatSource { trust_percent: Some(101), ..key() };
    assert_eq!(
        field(|feeds, source| feeds.vulncheck = Some(source), unsure).unwrap(),
        "feeds.vulncheck.trust_percent"
    );
    let mut config = Config::default();
    config.feeds.nvd_key = Some("in clear".into());
    assert_eq!(config.validate().unwrap_err().field, "feeds.nvd_key");
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    let mut config = parse(document());
    config.connectors[0].base_url = "https://u:hunter2@qualysapi.qualys.com".into();
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("connectors[0].base_url") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_secret_name_is_the_whole_text() {
    assert_eq!(secret_name("${A}"), Some("A"));
    for text in ["${}", "A", "x${A}", "${A", "$A"] {
        assert_eq!(secret_name(text), None, "{text}");
    }
}

#[test]
fn a_channel_hears_what_it_asked_for() {
    let mut channel = parse(document()).channels.remove(0);
    use NotifyEvent as E;
    assert!(channel.wants(E::Overdue, Severity::High, "web"));
    assert!(!channel.wants(E::Overdue, Severity::Medium, "web"), "high and worse unless it says otherwise");
    assert!(!channel.wants(E::Opened, Severity::Critical, "web"), "no flood unless it asks for it");
    channel.events = [E::Opened].into();
    assert!(channel.wants(E::Opened, Severity::Critical, "web"));
    assert!(!channel.wants(E::Overdue, Severity::Critical, "web"));
    channel.owners = ["payments".to_owned()].into();
    assert!(!channel.wants(E::Opened, Severity::Critical, "web"));
}

#[test]
fn names_match_by_their_beginning() {
    let rule = Match { name_prefix: Some("DB-".into()), ..Match::default() };
    let named = |name: &str| Host { fqdns: vec![name.into()], ..Host::default() };
    assert!(rule.matches(&named("db-1.example.com")));
    assert!(!rule.matches(&named("web-db-1.example.com")));
    let both = Match { tag: Some("env=prod".into()), ..rule };
    assert!(!both.matches(&named("db-1.example.com")), "all conditions must hold");
}

#[test]
fn owners_match_by_name_group_network_and_account() {
    let host = Host {
        fqdns: vec!["Web-07.Paris.example.com".into()],
        ips: vec!["10.1.2.3".into(), "fe80::1".into()],
        tags: vec![Tag { key: "asset_group".into(), value: "Storefront".into() }],
        cloud: vec![crate::host::CloudId {
            provider: "aws".into(),
            account: Some("111122223333".into()),
            region: None,
            id: "i-1".into(),
        }],
        ..Host::default()
    };
    let matches = |json: serde_json::Value| serde_json::from_value::<Match>(json).unwrap().matches(&host);
    for (field, yes, no) in [
        ("name", "web-??.*.example.com", "web-?.*.example.com"),
        ("name", "*.EXAMPLE.com", "paris"),
        ("name", "*", "web*07"),
        ("name", "web*7*.com", "*web-08*"),
        ("group", "storefront", "store"),
        ("cidr", "10.1.0.0/16", "10.2.0.0/16"),
        ("account", "111122223333", "444455556666"),
    ] {
        assert!(matches(serde_json::json!({ field: yes })), "{field}: {yes}");
        assert!(!matches(serde_json::json!({ field: no })), "{field}: {no}");
    }
    assert!(!matches(serde_json::json!({ "cidr": "10.1.0.0/16", "group": "other" })), "all must hold");
    let wrong = serde_json::from_value::<Match>(serde_json::json!({ "cidr": "10.1" })).unwrap_err();
    assert!(wrong.to_string().contains("write 10.1.0.0/16"), "{wrong}");
}

#[test]
fn an_identifier_cannot_be_shared_and_never_shared() {
    let config = |shared: &str| -> Config {
        serde_json::from_value(serde_json::json!({
            "identity": { "shared": [shared], "never_shared": ["mac|paris|00e04c000001"] }
        }))
        .unwrap()
    };
    config("mac|paris|00e04c000002").validate().unwrap();
    let wrong = config("mac|paris|00e04c000001").validate().unwrap_err();
    assert_eq!(wrong.field, "identity.never_shared");
}

#[test]
fn criticality_comes_from_the_scanner_where_no_rule_has_one() {
    let host = Host { criticality: Some(2), ..Host::default() };
    assert_eq!(criticality(&[], &host), Some(2));
    let rule = ImpactRule { matching: Match::default(), criticality: Some(5), exposure: None };
    assert_eq!(criticality(&[rule], &host), Some(5));
}

#[test]
fn versions_and_gateways_are_for_scanners_that_have_them() {
    let error = |kind: &str, more: serde_json::Value| {
        let auth = if kind == "qualys" {
            serde_json::json!({ "method": "basic", "username": "u", "password": "${P}" })
        } else {
            serde_json::json!({ "method": "api_keys", "access_key": "a", "secret_key": "${S}" })
        };
        let mut connector =
            serde_json::json!({ "name": "c", "type": kind, "base_url": "https://s.example", "auth": auth });
        connector.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config: Config =
            serde_json::from_value(serde_json::json!({ "connectors": [connector] })).unwrap();
        config.validate().err().map(|error| format!("{}: {}", error.field, error.problem))
    };
    let versions = |api: &str, version: &str| serde_json::json!({ "api_versions": { api: version } });
    let gateway = |url: &str| serde_json::json!({ "gateway_url": url });
    assert_eq!(error("qualys", versions("host_detections", "4.0")), None);
    assert_eq!(error("qualys", gateway("https://gateway.q.example")), None);
    assert_eq!(error("tenable", versions("assets", "2")), None);
    let unknown = error("qualys", versions("hosts", "4.0")).unwrap();
    assert!(
        unknown.starts_with("connectors[0].api_versions.hosts") && unknown.contains("host_list"),
        "{unknown}"
    );
    for odd in ["five", "5.0/../..", "", "123", "5."] {
        let problem = error("qualys", versions("host_list", odd)).unwrap();
        assert!(problem.contains("is no version"), "{odd}: {problem}");
    }
    assert!(error("tenable", gateway("https://g.example")).unwrap().contains("leave it out"));
    assert!(error("qualys", gateway("gateway")).unwrap().contains("gateway_url"));
}
