use serde_json::json;

use super::*;
use Exposure::{Internal, Internet, Isolated, Partner};

fn list(rows: &[Value]) -> RuleList {
    let (rules, refused) = RuleList::read((1..).zip(rows.iter().cloned().map(Ok)).collect()).unwrap();
    assert_eq!(refused, []);
    rules
}

fn reach(rows: &[Value], address: &str) -> Option<Reach> {
    let partner = [Network::try_from("203.0.113.0/24".to_owned()).unwrap()];
    let networks = Networks { partner: &partner, internal: &[] };
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    list(rows).reach("default", [address.parse().unwrap()], networks, at)
}

fn exposure(rows: &[Value]) -> Option<Exposure> {
    reach(rows, "10.0.0.5").map(|reach| reach.exposure)
}

fn allow(from: &str, to: &str, ports: &str) -> Value {
    json!({ "source": from, "destination": to, "protocol": "tcp", "ports": ports, "action": "allow" })
}

fn deny(from: &str, to: &str) -> Value {
    json!({ "source": from, "destination": to, "action": "deny" })
}

#[test]
fn a_rule_opens_the_addresses_it_leads_to() {
    let rows = [json!({
        "order": "20", "name": "web", "source": "internet", "destination": "10.0.0.0/24;10.0.1.5",
        "protocol": "tcp", "ports": "443;8000-8100", "action": "allow"
    })];
    let web = reach(&rows, "10.0.0.5").unwrap();
    assert_eq!(web.exposure, Internet);
    assert_eq!(web.path, "internet -> 10.0.0.5, tcp 443; firewall rule 20 \"web\" allows it from internet");
    assert_eq!(web.ports.len(), 2);
    assert!(reach(&rows, "10.0.1.5").is_some());
    assert_eq!(reach(&rows, "10.0.1.6"), None, "nothing is said of it");
    assert_eq!(exposure(&[allow("203.0.113.9", "10.0.0.5", "22")]), Some(Partner));
    assert_eq!(exposure(&[allow("192.168.0.0/16", "any", "22")]), Some(Internal));
    assert_eq!(exposure(&[allow("2001:db8::/32", "any", "22")]), None, "the other family");
}

#[test]
fn the_first_rule_that_matches_wins() {
    let open = allow("any", "10.0.0.5", "443");
    assert_eq!(exposure(&[open.clone(), deny("any", "any")]), Some(Internet));
    assert_eq!(exposure(&[deny("any", "any"), open.clone()]), None);
    assert_eq!(exposure(&[deny("internet", "10.0.0.0/8"), open.clone()]), Some(Partner));
    assert_eq!(exposure(&[deny("0.0.0.0/0", "10.0.0.5"), open.clone()]), None);
    assert_eq!(
        exposure(&[deny("8.8.8.8", "10.0.0.5"), open.clone()]),
        Some(Internet),
        "the others are let in"
    );
    // Written out of order.
    let mut last = deny("any", "any");
    last["order"] = json!(900);
    assert_eq!(exposure(&[last, open]), Some(Internet));
}

#[test]
fn ports_that_were_refused_before_are_not_open() {
    let mut ssh = deny("internet", "10.0.0.5");
    (ssh["protocol"], ssh["ports"]) = (json!("tcp"), json!("22"));
    let open = reach(&[ssh, allow("internet", "10.0.0.5", "1-100")], "10.0.0.5").unwrap();
    let ports: Vec<String> = open.ports.iter().map(|port| port.ports.to_string()).collect();
    assert_eq!(ports, ["tcp 1-21", "tcp 23-100"]);
}

#[test]
fn only_a_refusal_of_the_internal_network_by_name_isolates() {
    assert_eq!(exposure(&[deny("any", "any")]), None);
    assert_eq!(exposure(&[deny("internal", "10.0.0.5"), deny("any", "any")]), Some(Isolated));
    let reach = reach(&[deny("10.0.0.0/8", "10.0.0.5")], "10.0.0.5").unwrap();
    assert_eq!(reach.path, "firewall rule 1 refuses 10.0.0.5 to the internal network");
}

#[test]
fn a_row_that_cannot_be_read_fails_alone() {
    let rows = vec![
        (2, Ok(allow("internet", "10.0.0.5", "443"))),
        (3, Err("no JSON".to_owned())),
        (5, Ok(json!({}))),
    ];
    let (rules, refused) = RuleList::read(rows).unwrap();
    assert_eq!((rules.rules.len(), refused.len()), (1, 2));
    assert_eq!((refused[0].0, refused[1].0), (3, 5));
    let many = (1..).zip(vec![Ok(deny("any", "any")); MOST_RULES + 1]).collect();
    assert!(RuleList::read(many).unwrap_err().to_string().starts_with("5001 rules are more than the 5000"));
}

#[test]
fn what_is_wrong_with_a_row_is_said() {
    let good = allow("internet", "10.0.0.5", "443");
    let wrong = |field: &str, value: Value| {
        let mut row = good.clone();
        row[field] = value;
        FirewallRule::read(&row, 1).unwrap_err().to_string()
    };
    assert!(wrong("sorce", json!("any")).starts_with("\"sorce\" is no column"));
    assert!(wrong("source", json!("dmz")).starts_with("source: \"dmz\": write internet"));
    assert!(wrong("destination", json!("10.0.0.5/33")).starts_with("destination: "));
    assert!(wrong("destination", json!("")).starts_with("destination is missing"));
    assert!(wrong("ports", json!("100-22")).starts_with("ports: "));
    assert!(wrong("action", json!("drop")).starts_with("action: \"drop\": write allow or deny"));
    assert!(wrong("order", json!("first")).starts_with("order: "));
    assert_eq!(wrong("protocol", json!("gre")), "ports: only tcp and udp have ports");
    assert!(FirewallRule::read(&json!([]), 1).unwrap_err().to_string().starts_with("not an object"));
    let ping = json!({ "source": "any", "destination": "any", "protocol": "icmp", "action": "allow" });
    assert_eq!(FirewallRule::read(&ping, 1).unwrap().ports, [], "it opens no port");
}
