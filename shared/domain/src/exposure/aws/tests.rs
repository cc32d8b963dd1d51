use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::exposure::{Networks, Reach};
use crate::vulnerability::Exposure::{self, Internal, Internet, Isolated, Partner};

const LB: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";
const NLB: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/front/aa";
const TARGETS: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/t/1";

fn net(text: &str) -> Network {
    Network::try_from(text.to_owned()).unwrap()
}

fn at() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// `tcp 443`, `tcp 8000-8100`, `-1` from a network, a group or a prefix list.
fn rule(ports: &str, from: &str) -> Ingress {
    let (protocol, range) = ports.split_once(' ').unwrap_or((ports, "0-65535"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let protocol = Protocol::parse(protocol).unwrap();
    let source = match from {
        group if group.starts_with("sg-") => Source::Group(group.to_owned()),
        list if list.starts_with("pl-") => Source::PrefixList(list.to_owned()),
        network => Source::Network(net(network)),
    };
    let ports = Ports { protocol, from: first.parse().unwrap(), to: last.parse().unwrap() };
    Ingress { ports, sources: vec![source] }
}

fn group(rules: &[(&str, &str)]) -> SecurityGroup {
    let ingress = rules.iter().map(|(ports, from)| rule(ports, from)).collect();
    SecurityGroup { name: String::new(), ingress }
}

/// One instance `i-1` in the group `sg-1`, at 10.0.0.5, with a public address if wanted.
fn one(public: bool, rules: &[(&str, &str)]) -> Snapshot {
    let interface = Interface {
        id: "eni-1".into(),
        instance: Some("i-1".into()),
        private: vec!["10.0.0.5".parse().unwrap()],
        public: if public { vec!["198.51.100.7".parse().unwrap()] } else { vec![] },
        groups: vec!["sg-1".into()],
        ..Interface::default()
    };
    Snapshot {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        instances: vec!["i-1".into()],
        interfaces: vec![interface],
        groups: [("sg-1".to_owned(), group(rules))].into(),
        ..Snapshot::default()
    }
}

fn of(snapshot: &Snapshot) -> Reach {
    let partner = [net("203.0.113.0/24")];
    let networks = Networks { partner: &partner, internal: &[] };
    reach(snapshot, networks, at()).remove("i-1").unwrap()
}

fn exposure(public: bool, rules: &[(&str, &str)]) -> Exposure {
    of(&one(public, rules)).exposure
}

/// A load balancer that listens on 443 and forwards to port 8443 of `i-1`, which lets in the group of the load balancer.
fn balanced(kind: BalancerKind, internet_facing: bool) -> Snapshot {
    let mut snapshot = one(false, &[("tcp 8443", "sg-lb")]);
    snapshot.groups.insert("sg-lb".into(), group(&[("tcp 443", "0.0.0.0/0")]));
    snapshot.load_balancers.push(LoadBalancer {
        arn: LB.into(),
        name: "web".into(),
        kind,
        internet_facing,
        has_v6: false,
        groups: vec!["sg-lb".into()],
        listeners: vec![Listener { port: 443, protocol: "HTTPS".into(), forwards: vec![TARGETS.into()] }],
    });
    snapshot.interfaces.push(Interface {
        id: "eni-lb".into(),
        description: "ELB app/web/50dc6c495c0c9188".into(),
        private: vec!["10.0.9.9".parse().unwrap()],
        groups: vec!["sg-lb".into()],
        ..Interface::default()
    });
    snapshot.target_groups.push(TargetGroup {
        arn: TARGETS.into(),
        name: "t".into(),
        port: Some(8443),
        load_balancers: vec![LB.into()],
        targets: vec![Target { id: "i-1".into(), port: None }],
    });
    snapshot
}

#[test]
fn a_rule_opens_as_far_as_the_addresses_can_be_reached() {
    assert_eq!(exposure(true, &[("tcp 22", "0.0.0.0/0")]), Internet);
    assert_eq!(exposure(false, &[("tcp 22", "0.0.0.0/0")]), Internal, "no public address");
    assert_eq!(exposure(true, &[("tcp 22", "203.0.113.9/32")]), Partner);
    assert_eq!(exposure(false, &[("tcp 22", "203.0.113.9/32")]), Isolated, "partners have public addresses");
    assert_eq!(exposure(true, &[("tcp 22", "10.0.0.0/8")]), Internal);
    assert_eq!(exposure(true, &[]), Isolated);
    assert_eq!(exposure(true, &[("-1", "8.8.8.8/32")]), Internet, "somebody unknown out there");
    let open = of(&one(true, &[("tcp 22", "0.0.0.0/0")]));
    assert_eq!(
        open.path,
        "internet -> i-1 at 198.51.100.7, tcp 22; security group sg-1 allows tcp 22 from 0.0.0.0/0"
    );
}

#[test]
fn addresses_of_ipv6_are_public() {
    let mut snapshot = one(false, &[("tcp 22", "::/0")]);
    assert_eq!(of(&snapshot).exposure, Isolated, "it has none");
    snapshot.interfaces[0].v6.push("2001:db8::5".parse().unwrap());
    assert_eq!(of(&snapshot).exposure, Internet);
}

#[test]
fn prefix_lists_stand_for_their_networks() {
    let mut snapshot = one(true, &[("tcp 22", "pl-1")]);
    let unknown = of(&snapshot);
    assert_eq!(unknown.exposure, Internet);
    assert!(unknown.path.ends_with("from prefix list pl-1, whose entries are not known"), "{}", unknown.path);
    snapshot.prefix_lists.insert("pl-1".into(), vec![net("10.0.0.0/8"), net("203.0.113.0/28")]);
    let known = of(&snapshot);
    assert_eq!(known.exposure, Partner);
    assert!(known.path.ends_with("from prefix list pl-1 with 203.0.113.0/28"), "{}", known.path);
}

#[test]
fn a_group_lets_in_its_other_members() {
    let mut snapshot = one(true, &[("-1", "sg-1")]);
    assert_eq!(of(&snapshot).exposure, Isolated, "it is alone in its group");
    snapshot.interfaces.push(Interface {
        id: "eni-2".into(),
        groups: vec!["sg-1".into()],
        ..Interface::default()
    });
    assert_eq!(of(&snapshot).exposure, Internal);
    assert_eq!(exposure(true, &[("tcp 22", "sg-peer")]), Internal, "a peer's group may have members");
}

#[test]
fn ports_are_told_apart() {
    let open = of(&one(true, &[("tcp 443", "0.0.0.0/0"), ("-1", "10.0.0.0/8"), ("tcp 22", "10.1.0.0/16")]));
    let ports: Vec<_> = open.ports.iter().map(|port| (port.ports.to_string(), port.exposure)).collect();
    assert_eq!(ports, [("tcp 443".to_owned(), Internet), ("every protocol".to_owned(), Internal)]);
}

#[test]
fn a_load_balancer_leads_to_what_stands_behind_it() {
    let open = of(&balanced(BalancerKind::Application, true));
    assert_eq!(open.exposure, Internet);
    assert_eq!(
        open.path,
        "internet -> load balancer web (internet-facing) listener 443 -> target group t -> i-1 port 8443; \
         security group sg-1 allows tcp 8443 from sg-lb"
    );
    assert_eq!(open.ports[0].ports, Ports::one(Protocol::Tcp, 8443));
    assert_eq!(of(&balanced(BalancerKind::Application, false)).exposure, Internal);

    let mut shut = balanced(BalancerKind::Application, true);
    shut.groups.insert("sg-1".into(), group(&[("tcp 22", "sg-lb")]));
    assert_eq!(of(&shut).exposure, Internal, "another port than the one it forwards to");

    let mut by_address = balanced(BalancerKind::Application, true);
    by_address.groups.insert("sg-1".into(), group(&[("tcp 8443", "10.0.9.0/24")]));
    by_address.target_groups[0].targets[0].id = "10.0.0.5".into();
    assert_eq!(of(&by_address).exposure, Internet);
}

#[test]
fn a_network_load_balancer_keeps_the_senders_address() {
    let mut snapshot = balanced(BalancerKind::Network, true);
    snapshot.load_balancers[0].groups.clear();
    snapshot.load_balancers[0].listeners[0].protocol = "TCP".into();
    snapshot.groups.insert("sg-1".into(), group(&[("tcp 8443", "203.0.113.0/24")]));
    assert_eq!(of(&snapshot).exposure, Partner);
    snapshot.groups.insert("sg-1".into(), group(&[("tcp 8443", "0.0.0.0/0")]));
    assert_eq!(of(&snapshot).exposure, Internet);
    snapshot.load_balancers[0].listeners[0].protocol = "UDP".into();
    assert_eq!(of(&snapshot).exposure, Internal, "the group lets in nothing of UDP");
}

#[test]
fn an_internal_load_balancer_may_stand_behind_a_public_one() {
    let mut snapshot = balanced(BalancerKind::Application, false);
    let to_web = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/2";
    snapshot.load_balancers.push(LoadBalancer {
        arn: NLB.into(),
        name: "front".into(),
        kind: BalancerKind::Network,
        internet_facing: true,
        has_v6: false,
        groups: vec![],
        listeners: vec![Listener { port: 443, protocol: "TCP".into(), forwards: vec![to_web.into()] }],
    });
    snapshot.target_groups.push(TargetGroup {
        arn: to_web.into(),
        name: "web".into(),
        port: Some(443),
        load_balancers: vec![NLB.into()],
        targets: vec![Target { id: LB.into(), port: None }],
    });
    let open = of(&snapshot);
    assert_eq!(open.exposure, Internet);
    assert!(
        open.path
            .contains("front (internet-facing) listener 443 -> load balancer web (internal) listener 443")
    );
}

fn any_rule() -> impl Strategy<Value = (&'static str, &'static str)> {
    let ports = ["tcp 22", "tcp 443", "tcp 8443", "tcp 8000-9000", "udp 53", "-1"];
    let from = [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/8",
        "10.0.9.0/24",
        "203.0.113.0/25",
        "8.0.0.0/8",
        "0.0.0.0/1",
        "sg-1",
        "sg-lb",
        "sg-peer",
        "pl-1",
        "pl-2",
    ];
    (proptest::sample::select(ports.to_vec()), proptest::sample::select(from.to_vec()))
}

proptest! {
    #[test]
    fn one_more_rule_never_lowers_exposure(
        public in any::<bool>(),
        facing in any::<bool>(),
        network in any::<bool>(),
        mine in proptest::collection::vec(any_rule(), 0..5),
        theirs in proptest::collection::vec(any_rule(), 0..3),
        to_balancer in any::<bool>(),
        more in any_rule(),
    ) {
        let kind = if network { BalancerKind::Network } else { BalancerKind::Application };
        let mut snapshot = balanced(kind, facing);
        if public {
            snapshot.interfaces[0].public.push("198.51.100.7".parse().unwrap());
        }
        snapshot.prefix_lists.insert("pl-1".into(), vec![net("203.0.113.0/24")]);
        snapshot.groups.insert("sg-1".into(), group(&mine));
        snapshot.groups.insert("sg-lb".into(), group(&theirs));
        let before = of(&snapshot);
        let changed = if to_balancer { "sg-lb" } else { "sg-1" };
        snapshot.groups.get_mut(changed).unwrap().ingress.push(rule(more.0, more.1));
        let after = of(&snapshot);
        prop_assert!(after.exposure >= before.exposure, "{before:?} {after:?}");
        for port in &before.ports {
            let now = after.ports.iter().filter(|p| p.ports.covers(&port.ports)).map(|p| p.exposure).max();
            prop_assert!(now >= Some(port.exposure), "{port:?} {after:?}");
        }
    }
}
