use super::*;
use crate::inventory::Inventory;
use crate::policy::{AwsAccount, ImpactRule, Match};
use crate::vulnerability::Exposure::{Internal, Internet, Isolated, Partner};

fn reach(source: ReachSource, exposure: Exposure) -> Reach {
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    Reach { source, exposure, path: "so".into(), ports: vec![], left_out: 0, seen_at: at }
}

fn aws() -> ReachSource {
    ReachSource::Aws { account: "123456789012".into(), region: "eu-west-1".into() }
}

fn firewall() -> ReachSource {
    ReachSource::Firewall { scope: "default".into() }
}

fn config() -> Config {
    let connector = serde_json::json!({ "name": "aws", "type": "aws" });
    let mut config =
        Config { connectors: vec![serde_json::from_value(connector).unwrap()], ..Config::default() };
    config.exposure.accounts.push(AwsAccount {
        account: "123456789012".into(),
        regions: vec!["eu-west-1".into()],
        role_arn: None,
        external_id: None,
    });
    config
}

#[test]
fn people_come_before_rules_rules_before_aws_and_aws_before_firewalls() {
    let mut asset = Asset::new("a-0123456789abcdef".parse().unwrap());
    let mut config = config();
    let first = |asset: &Asset, config: &Config| told(asset, config).first().map(Told::exposure);
    assert_eq!(first(&asset, &config), None);
    assert!(replace(&mut asset.reach, &firewall(), Some(reach(firewall(), Internal))));
    assert_eq!(first(&asset, &config), Some(Internal));
    assert!(replace(&mut asset.reach, &aws(), Some(reach(aws(), Partner))));
    assert_eq!(first(&asset, &config), Some(Partner));
    config.impact.push(ImpactRule {
        matching: Match::default(),
        criticality: None,
        exposure: Some(Isolated),
    });
    assert_eq!(first(&asset, &config), Some(Isolated));
    asset.inventory = Some(Inventory { exposure: Some(Internet), ..Inventory::default() });
    assert_eq!(first(&asset, &config), Some(Internet));
    assert_eq!(told(&asset, &config).len(), 4, "the others are still told");
}

#[test]
fn a_source_that_is_not_configured_any_more_does_not_count() {
    let mut asset = Asset::new("a-0123456789abcdef".parse().unwrap());
    asset.reach = vec![reach(aws(), Partner)];
    assert_eq!(told(&asset, &config()).len(), 1);
    assert_eq!(told(&asset, &Config::default()), []);
}

#[test]
fn only_what_changed_is_a_change() {
    let mut known = vec![reach(aws(), Partner)];
    let later = Reach { seen_at: "2026-04-01T00:00:00Z".parse().unwrap(), ..reach(aws(), Partner) };
    assert!(!replace(&mut known, &aws(), Some(later)));
    assert_eq!(known[0].seen_at.to_string(), "2026-03-01T00:00:00Z", "since when it is so");
    assert!(replace(&mut known, &aws(), Some(reach(aws(), Internet))));
    assert!(!replace(&mut known, &firewall(), None));
    assert!(replace(&mut known, &aws(), None) && known.is_empty());
}
