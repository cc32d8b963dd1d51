//! What an index makes of a sequence of sightings: hubs, merges, replacement, windows.

use proptest::prelude::*;

use super::*;

/// Hours after the first of November at which a host is seen under a scanner's id for it.
type Seen<'a> = (&'a str, u32, Host);

fn at(hours: u32) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours.into())
}

fn observed(host: &Host, hours: u32) -> Observation {
    Observation { observed_at: Some(at(hours)), ..observe(host, "office", Scanner::Tenable) }
}

fn take(index: &mut Index, (native, hours, host): &Seen<'_>) -> Placement {
    index.take(native, &observed(host, *hours))
}

/// The assets of the sightings after all of them, and the index.
fn settle(all: &[Seen<'_>]) -> (Vec<AssetId>, Index) {
    let mut index = Index::new();
    let placed: Vec<Placement> = all.iter().map(|seen| take(&mut index, seen)).collect();
    let assets = placed.into_iter().map(|placement| index.asset(placement).clone()).collect();
    (assets, index)
}

fn named(name: &str, mac: &str) -> Host {
    Host { fqdns: vec![format!("{name}.corp.example.com")], macs: texts(&[mac]), ..Host::default() }
}

fn named_only(name: &str) -> Host {
    Host { fqdns: vec![format!("{name}.corp.example.com")], ..Host::default() }
}

fn copy(name: &str, mac: &str) -> Host {
    Host { bios_uuid: Some(UUID.into()), ..named(name, mac) }
}

const MAC_1: &str = "a4:bb:6d:00:00:01";
const MAC_2: &str = "a4:bb:6d:00:00:02";

#[test]
fn a_uuid_that_two_machines_show_leads_nowhere_until_somebody_says_that_it_does() {
    let bare = Host { bios_uuid: Some(UUID.into()), ..Host::default() };
    let all = [("1", 0, copy("app01", MAC_1)), ("2", 1, copy("app02", MAC_2)), ("3", 2, bare.clone())];
    let (assets, mut index) = settle(&all);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 3, "{assets:?}");
    let shared: Vec<Identifier> = index.shared().keys().map(|id| (*id).clone()).collect();
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].kind, IdentifierKind::BiosUuid);
    index.never_shared(shared[0].clone());
    assert!(index.shared().is_empty());
    let mut again = index.relearned();
    let first = take(&mut again, &all[0]);
    let bare = again.take("4", &observed(&bare, 3));
    assert_eq!(again.asset(first), again.asset(bare));
    take(&mut again, &all[1]);
    assert!(again.shared().is_empty(), "what is said not to be shared is not learned again");
}

#[test]
fn what_was_learned_late_holds_from_the_start_when_all_is_taken_in_again() {
    let bare = Host { bios_uuid: Some(UUID.into()), ..Host::default() };
    let all = [("1", 0, copy("app01", MAC_1)), ("2", 1, bare), ("3", 2, copy("app02", MAC_2))];
    let (assets, index) = settle(&all);
    assert_eq!(assets[0], assets[1], "nobody can know yet");
    let mut again = index.relearned();
    let placed: Vec<Placement> = all.iter().map(|seen| take(&mut again, seen)).collect();
    assert_ne!(again.asset(placed[0]), again.asset(placed[1]));
}

#[test]
fn the_hardware_address_of_a_dock_is_learned_from_the_laptops_that_share_it() {
    let docked =
        |own: &str, name: &str| Host { macs: texts(&[own, "00:e0:4c:00:00:01"]), ..named(name, own) };
    let dock = Host { macs: texts(&["00:e0:4c:00:00:01"]), ..Host::default() };
    let (assets, index) =
        settle(&[("1", 0, docked(MAC_1, "lt-anna")), ("2", 9, docked(MAC_2, "lt-bert")), ("3", 10, dock)]);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 3);
    assert!(index.shared().keys().all(|id| id.value == "00e04c000001") && index.shared().len() == 1);
}

#[test]
fn a_name_that_fails_over_and_back_is_nobodys() {
    let node = |mac: &str| named("db", mac);
    let all = [
        ("1", 0, node(MAC_1)),
        ("2", 24, node(MAC_2)),
        ("3", 30, named_only("db")),
        ("1", 48, node(MAC_1)),
        ("4", 50, named_only("db")),
    ];
    let (assets, index) = settle(&all);
    assert_eq!(assets[0], assets[3]);
    assert_ne!(assets[0], assets[1]);
    assert_eq!(assets[2], assets[1], "until it fails back, the name is with the second node");
    assert!(!assets[..4].contains(&assets[4]));
    assert!(index.shared().keys().any(|id| id.kind == IdentifierKind::Fqdn));
}

#[test]
fn a_name_of_a_whole_network_joins_nothing() {
    let host = |n: usize| Host { ips: vec![format!("10.0.0.{n}")], ..named_only("pool") };
    let names = ["1", "2", "3", "4", "5", "6"];
    let all: Vec<Seen> = (0..18).map(|n| (names[n % 6], n as u32, host(n % 6))).collect();
    let (_, index) = settle(&all);
    let mut again = index.relearned();
    let placed: Vec<Placement> = all.iter().map(|seen| take(&mut again, seen)).collect();
    let assets: BTreeSet<&AssetId> = placed.iter().map(|placement| again.asset(*placement)).collect();
    assert_eq!(assets.len(), 6);
}

#[test]
fn a_load_balancers_address_shows_many_names_and_joins_none() {
    let behind = |name: &str| Host { hostnames: texts(&[name]), ..ip("10.0.0.9") };
    let (assets, _) =
        settle(&[("1", 0, behind("app01")), ("2", 1, behind("app02")), ("3", 2, behind("app03"))]);
    assert_eq!(BTreeSet::from_iter(assets).len(), 3);
}

#[test]
fn a_firewall_that_answers_on_every_address_is_not_one_machine_per_banner() {
    let all: Vec<Host> =
        (1..9).map(|n| Host { os: Some("FortiOS".into()), ..ip(&format!("10.0.0.{n}")) }).collect();
    let mut index = Index::new();
    let placed: Vec<Placement> =
        all.iter().enumerate().map(|(n, host)| index.take(&n.to_string(), &observed(host, 0))).collect();
    let assets: BTreeSet<&AssetId> = placed.iter().map(|placement| index.asset(*placement)).collect();
    assert_eq!(assets.len(), 8);
}

#[test]
fn addresses_that_change_for_privacy_do_not_part_a_machine_and_join_nothing() {
    let host = |address: &str| Host { ips: texts(&[address]), ..named("lt-anna", MAC_1) };
    let (assets, _) = settle(&[
        ("1", 0, host("2001:db8::1")),
        ("2", 24, host("2001:db8::2")),
        ("3", 25, ip("2001:db8::1")),
        ("4", 26, ip("2001:db8::9")),
    ]);
    assert_eq!(assets[0], assets[1]);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 3);
}

#[test]
fn a_public_address_that_a_cloud_lends_joins_nothing() {
    let host = |id: &str| Host { ips: texts(&["52.1.2.3"]), ..instance(id, None) };
    let (assets, _) = settle(&[
        ("1", 0, host("i-01")),
        ("2", 1, ip("52.1.2.3")),
        ("3", 2, host("i-02")),
        ("4", 3, ip("52.1.2.3")),
    ]);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 4, "{assets:?}");
}

#[test]
fn containers_of_two_hosts_share_hardware_address_and_address_and_are_two_and_none_is_its_host() {
    let container = |name: &str| Host {
        hostnames: texts(&[name]),
        macs: texts(&["02:42:ac:11:00:02"]),
        ..ip("172.17.0.2")
    };
    let host = |name: &str, mac: &str| Host {
        macs: texts(&[mac, "02:42:9a:00:00:07"]),
        ips: texts(&["172.17.0.1"]),
        ..named(name, mac)
    };
    let (assets, _) = settle(&[
        ("1", 0, container("3f2a9c1b7d4e")),
        ("2", 0, container("77aa01c94be2")),
        ("3", 0, host("docker01", MAC_1)),
        ("4", 0, host("docker02", MAC_2)),
    ]);
    assert_eq!(BTreeSet::from_iter(assets).len(), 4);
}

#[test]
fn an_address_alone_joins_the_machine_that_has_kept_it_for_a_week_and_no_other() {
    let server = Host { ips: texts(&["10.0.0.5"]), ..named("db", MAC_1) };
    let all = [
        ("1", 0, server.clone()),
        ("2", 12, ip("10.0.0.5")),
        ("1", 7 * 24, server.clone()),
        ("3", 7 * 24 + 1, ip("10.0.0.5")),
    ];
    let (assets, _) = settle(&all[..2]);
    assert_ne!(assets[1], assets[0], "after half a day it may be anybody's");
    let (assets, _) = settle(&all);
    assert_eq!(assets[3], assets[0]);
    assert_eq!(assets[1], assets[0], "and it was its own in between");
}

#[test]
fn an_address_that_passed_to_another_machine_takes_its_scanners_id_along() {
    let laptop = |name: &str, mac: &str| Host { ips: texts(&["10.0.0.5"]), ..named(name, mac) };
    let (assets, _) = settle(&[
        ("1", 0, laptop("lt-anna", MAC_1)),
        ("10.0.0.5", 2, ip("10.0.0.5")),
        ("2", 48, laptop("lt-bert", MAC_2)),
        ("10.0.0.5", 50, ip("10.0.0.5")),
        ("10.0.0.6", 51, laptop("lt-carl", "a4:bb:6d:00:00:03")),
        ("10.0.0.6", 52, laptop("lt-dora", "a4:bb:6d:00:00:04")),
    ]);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 6, "{assets:?}");
}

#[test]
fn other_hardware_under_a_scanners_id_closes_the_asset_and_later_sightings_go_to_the_new_one() {
    let on = |uuid: &str, mac: &str| Host { bios_uuid: Some(uuid.into()), ..named("db", mac) };
    let other = "5d5d4544-0051-3410-8052-b7c04f4d3132";
    let mut index = Index::new();
    let old = take(&mut index, &("1", 0, on(UUID, MAC_1)));
    let new = take(&mut index, &("1", 48, on(other, MAC_2)));
    let (old, new_id) = (index.asset(old).clone(), index.asset(new).clone());
    assert_ne!(old, new_id);
    assert_eq!(index.superseded_by(&old), Some(&new_id));
    let by_name = take(&mut index, &("2", 50, named_only("db")));
    assert_eq!(index.asset(by_name), &new_id);
    let stays = take(&mut index, &("1", 72, on(other, MAC_2)));
    assert_eq!(index.asset(stays), &new_id);
    let back = take(&mut index, &("3", 96, on(UUID, MAC_1)));
    assert_eq!(index.asset(back), &old, "its own hardware still leads to the old machine");
    assert_eq!(index.superseded_by(&old), None, "which is not gone after all");
}

#[test]
fn an_instance_in_anothers_place_supersedes_it() {
    let host = |id: &str| Host {
        fqdns: texts(&["web.corp.example.com"]),
        ips: texts(&["10.0.0.5"]),
        ..instance(id, Some("111122223333"))
    };
    let (assets, index) = settle(&[("1", 0, host("i-01")), ("2", 30, host("i-02"))]);
    assert_eq!(index.superseded_by(&assets[0]), Some(&assets[1]));
    assert_eq!(index.superseded_by(&assets[1]), None);
}

#[test]
fn assets_that_prove_to_be_one_are_united_under_the_older_id() {
    let agent = Host { agent_ids: texts(&["agent-1"]), ..Host::default() };
    let hardware = Host { bios_uuid: Some(UUID.into()), ..Host::default() };
    let both = Host { agent_ids: agent.agent_ids.clone(), ..hardware.clone() };
    let (assets, _) = settle(&[("1", 0, agent), ("2", 1, hardware), ("3", 2, both)]);
    assert_eq!(assets[0], assets[1]);
    assert_eq!(assets[0], assets[2]);
    assert_eq!(assets[0], AssetId::derive("agent|tenable|agent-1"));
}

#[test]
fn one_value_in_common_does_not_unite_two_assets_that_have_values_of_their_own() {
    let by_mac = Host { macs: texts(&[MAC_1]), ..Host::default() };
    let agent = Host { agent_ids: texts(&["agent-1"]), ..named_only("web01") };
    let bridge = named("web01", MAC_1);
    let (assets, _) = settle(&[("1", 0, by_mac), ("2", 1, agent), ("3", 2, bridge)]);
    assert_eq!(assets[2], assets[0]);
    assert_ne!(assets[1], assets[0]);
}

#[test]
fn days_of_one_address_are_one_machine_in_whatever_order_they_come() {
    let names = ["0", "1", "2", "3", "4", "5", "6"];
    // Coprime to seven, so that each order has every day.
    for step in 1..7 {
        let days: Vec<usize> = (0..7).map(|n| n * step % 7).collect();
        let all: Vec<Seen> = days.iter().map(|day| (names[*day], 24 * *day as u32, ip("10.0.0.9"))).collect();
        let (assets, _) = settle(&all);
        assert_eq!(BTreeSet::from_iter(&assets).len(), 1, "{days:?}");
    }
    let (assets, _) = settle(&[("0", 0, ip("10.0.0.9")), ("3", 72, ip("10.0.0.9"))]);
    assert_ne!(assets[0], assets[1], "nobody saw it in between");
}

#[test]
fn a_name_belongs_to_the_machine_that_had_it_when_it_was_seen() {
    let node = |mac: &str| named("db", mac);
    let all = [
        ("1", 0, node(MAC_1)),
        ("2", 20, node(MAC_2)),
        ("3", 10, named_only("db")),
        ("4", 22, named_only("db")),
    ];
    let (assets, _) = settle(&all);
    assert_ne!(assets[0], assets[1]);
    assert_eq!((&assets[2], &assets[3]), (&assets[0], &assets[1]));
}

#[test]
fn what_shows_all_of_two_assets_makes_them_one_as_if_it_had_come_first() {
    let card =
        |mac: &str, address: &str| Host { macs: texts(&[mac]), ips: texts(&[address]), ..Host::default() };
    let both = Host {
        macs: texts(&[MAC_1, MAC_2]),
        ips: texts(&["10.0.0.1", "10.0.0.2"]),
        agent_ids: texts(&["agent-1"]),
        ..named_only("app01")
    };
    let all = [("1", 0, card(MAC_1, "10.0.0.1")), ("2", 1, card(MAC_2, "10.0.0.2")), ("3", 2, both)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (assets, _) = settle(&order.map(|n| all[n].clone()));
        assert_eq!(BTreeSet::from_iter(&assets).len(), 1, "{order:?}");
    }
}

#[test]
fn whichever_instance_becomes_known_first_the_next_one_has_taken_its_place() {
    let one = |id: &str| Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..instance(id, None) };
    let all = [("1", 0, one("i-01")), ("2", 20, one("i-02")), ("3", 40, one("i-03"))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (assets, index) = settle(&order.map(|n| all[n].clone()));
        let [first, second, third] = [0, 1, 2].map(|n| &assets[order.iter().position(|m| *m == n).unwrap()]);
        let successors = [first, second, third].map(|asset| index.superseded_by(asset));
        assert_eq!(successors, [Some(second), Some(third), None], "{order:?}");
    }
}

#[test]
fn an_instance_that_is_seen_after_another_one_came_was_not_replaced() {
    let one = |id: &str| Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..instance(id, None) };
    let all = [("1", 0, one("i-01")), ("2", 20, one("i-02")), ("1b", 30, one("i-01"))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (assets, index) = settle(&order.map(|n| all[n].clone()));
        assert!(assets.iter().all(|asset| index.superseded_by(asset).is_none()), "{order:?}");
    }
}

#[test]
fn what_was_seen_at_a_replaced_instance_while_it_was_there_is_its_own() {
    let one = |id: &str| Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..instance(id, None) };
    let far = Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..Host::default() };
    let (assets, index) =
        settle(&[("1", 0, one("i-01")), ("2", 60, one("i-02")), ("then", 1, far.clone()), ("now", 61, far)]);
    assert_eq!([&assets[2], &assets[3]], [&assets[0], &assets[1]]);
    assert_eq!(index.superseded_by(&assets[0]), Some(&assets[1]), "it is no sign of life");
}

#[test]
fn what_shows_a_name_and_an_address_alone_keeps_nobody_from_taking_a_place() {
    let one = |id: &str| Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..instance(id, None) };
    let far = Host { hostnames: texts(&["asg"]), ips: texts(&["10.0.0.9"]), ..Host::default() };
    // The last two are of one host of a scanner that knows no instances, before and after the second instance came.
    let all = [("1", 0, one("i-01")), ("2", 20, one("i-02")), ("far", 1, far.clone()), ("far", 24, far)];
    for order in [[0, 1, 2, 3], [0, 2, 1, 3], [0, 2, 3, 1], [2, 0, 3, 1], [2, 3, 0, 1], [1, 0, 2, 3]] {
        let (assets, index) = settle(&order.map(|n| all[n].clone()));
        let [first, second] = [0, 1].map(|n| &assets[order.iter().position(|m| *m == n).unwrap()]);
        assert_eq!(index.superseded_by(first), Some(second), "{order:?}");
    }
}

#[test]
fn a_full_name_leads_to_the_instance_that_bore_it_at_the_time_replaced_or_not() {
    let one = |id: &str| Host { ips: texts(&["10.0.0.9"]), hostnames: texts(&["web"]), ..instance(id, None) };
    let (assets, index) = settle(&[
        ("1", 0, Host { fqdns: texts(&["web.corp.example.com"]), ..one("i-01") }),
        ("2", 400, one("i-02")),
        ("far", 40, Host { fqdns: texts(&["web.corp.example.com"]), ..Host::default() }),
    ]);
    assert_eq!(index.superseded_by(&assets[0]), Some(&assets[1]));
    assert_eq!(assets[2], assets[0]);
}

#[test]
fn a_hardware_address_and_a_host_name_make_two_assets_one_wherever_they_were() {
    let host = |macs: &[&str], names: &[&str], address: &str| Host {
        macs: texts(macs),
        hostnames: texts(names),
        ips: texts(&[address]),
        ..Host::default()
    };
    let all = [
        ("near", 0, host(&[MAC_1], &["app01", "vip"], "10.0.0.1")),
        ("login", 100, Host { bios_uuid: Some(UUID.into()), ..host(&[MAC_2], &["app01"], "10.0.0.2") }),
        (
            "agent",
            110,
            Host { bios_uuid: Some(UUID.into()), ..host(&[MAC_1, MAC_2], &["app01"], "10.0.0.2") },
        ),
    ];
    for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1]] {
        let (assets, _) = settle(&order.map(|n| all[n].clone()));
        assert_eq!(BTreeSet::from_iter(&assets).len(), 1, "{order:?}");
    }
}

#[test]
fn an_address_that_two_assets_kept_between_them_takes_what_shows_nothing_else() {
    let host = |mac: &str, name: &str| Host { ips: texts(&["10.0.0.7"]), ..named(name, mac) };
    let both = Host { macs: texts(&[MAC_1, MAC_2]), ..host(MAC_1, "app01") };
    let bare = ip("10.0.0.7");
    let (assets, _) = settle(&[
        ("near", 0, Host { fqdns: Vec::new(), ..host(MAC_1, "") }),
        ("login", 200, host(MAC_2, "app01")),
        ("bare", 190, bare),
        ("agent", 201, both),
    ]);
    assert_eq!(BTreeSet::from_iter(&assets).len(), 1, "{assets:?}");
}

#[test]
fn what_may_be_another_machines_does_not_make_an_address_a_shared_one() {
    let machine = |name: &str, mac: &str, address: &str| Host { ips: texts(&[address]), ..named(name, mac) };
    let far = Host { ips: texts(&["10.0.0.2"]), ..named_only("db") };
    let (_, index) = settle(&[
        ("1", 0, machine("db", MAC_1, "10.0.0.1")),
        // By its full name it goes to that machine, at an address that the other one has around that time.
        ("far", 5, far),
        ("2", 8, machine("app", MAC_2, "10.0.0.2")),
        ("2", 2, machine("app", MAC_2, "10.0.0.2")),
    ]);
    assert!(index.shared().is_empty(), "{:?}", index.shared());
}

#[test]
fn two_instances_are_never_united_whatever_else_they_share() {
    let instance_of = |id: &str| Host { cloud: instance(id, None).cloud, ..copy("web", MAC_1) };
    let (assets, index) =
        settle(&[("1", 0, instance_of("i-01")), ("2", 1, instance_of("i-02")), ("3", 2, copy("web", MAC_1))]);
    assert_ne!(assets[0], assets[1]);
    assert!(index.assets().all(|known| instances(&known) <= 1));
}

#[test]
fn a_scanner_of_addresses_and_one_of_names_meet_only_where_a_third_saw_both_in_time() {
    let both = Host { ips: texts(&["10.0.0.5"]), ..named_only("web01") };
    let (assets, _) = settle(&[
        ("names", 0, named_only("web01")),
        ("both", 1, both.clone()),
        ("addresses", 40 * 24, ip("10.0.0.5")),
    ]);
    assert_eq!(assets[0], assets[1]);
    assert_ne!(assets[2], assets[0], "forty days later it may be anybody's");
}

#[test]
fn agents_installed_again_stay_on_their_hardware_address_and_name() {
    let with = |agent: &str| Host { agent_ids: texts(&[agent]), ..named("db", MAC_1) };
    let (assets, _) = settle(&[("1", 0, with("agent-1")), ("2", 24, with("agent-2"))]);
    assert_eq!(assets[0], assets[1]);
}

fn instances(known: &Known) -> usize {
    let values: BTreeSet<&str> = known
        .identifiers
        .iter()
        .filter(|id| id.kind == IdentifierKind::Cloud)
        .map(|id| id.value.as_str())
        .collect();
    values.len()
}

/// A machine of a generated estate as one of three scanners sees it; each tells a strong identifier or hardware address
/// and name, so that the set settles.
fn seen_by(machine: usize, scanner: usize, hours: u32) -> (String, u32, Host) {
    let whole = Host {
        cloud: if machine.is_multiple_of(3) {
            instance(&format!("i-0{machine}"), None).cloud
        } else {
            vec![]
        },
        bios_uuid: Some(format!("{machine:08x}-0051-3410-8052-b7c04f4d3132")),
        macs: vec![format!("a4bb6d00{machine:02x}01"), format!("a4bb6d00{machine:02x}02")],
        fqdns: vec![format!("host{machine}.corp.example.com")],
        ips: vec![format!("10.0.0.{machine}")],
        ..Host::default()
    };
    let host = match scanner {
        0 => whole,
        1 => Host { cloud: vec![], macs: whole.macs[..1].to_vec(), ..whole },
        _ => Host { cloud: vec![], bios_uuid: None, ..whole },
    };
    (format!("{scanner}/{machine}"), hours, host)
}

fn partition(assets: &[(String, AssetId)]) -> BTreeSet<BTreeSet<String>> {
    let mut cells: BTreeMap<&AssetId, BTreeSet<String>> = BTreeMap::new();
    for (sighting, asset) in assets {
        cells.entry(asset).or_default().insert(sighting.clone());
    }
    cells.into_values().collect()
}

fn placed(all: &[(String, u32, Host)]) -> (BTreeSet<BTreeSet<String>>, Index) {
    let mut index = Index::new();
    let placed: Vec<_> = all
        .iter()
        .map(|(sighting, hours, host)| (sighting.clone(), index.take(sighting, &observed(host, *hours))))
        .collect();
    let assets: Vec<_> =
        placed.into_iter().map(|(sighting, at)| (sighting, index.asset(at).clone())).collect();
    (partition(&assets), index)
}

fn settled_estate() -> impl Strategy<Value = Vec<(String, u32, Host)>> {
    proptest::collection::vec((0usize..6, 0usize..3, 0u32..200), 1..40)
        .prop_map(|all| all.into_iter().map(|(m, s, h)| seen_by(m, s, h)).collect())
}

/// Anything, from pools so small that everything collides.
fn collisions() -> impl Strategy<Value = Vec<(usize, u32, Host)>> {
    let one = (0usize..6, 0u32..72, any::<[u8; 6]>()).prop_map(|(native, hours, [a, b, c, d, e, f])| {
        let some = |n: u8, text: &str| if n % 4 == 3 { vec![] } else { vec![format!("{text}{}", n % 4)] };
        let host = Host {
            cloud: if a % 4 == 3 { vec![] } else { instance(&format!("i-0{}", a % 4), None).cloud },
            agent_ids: some(b, "agent-"),
            bios_uuid: (c % 4 != 3).then(|| format!("{}c4c4544-0051-3410-8052-b7c04f4d3132", c % 4)),
            macs: some(d, "a4bb6d00000"),
            fqdns: some(e, "web.example.com-"),
            hostnames: some(e, "web"),
            ips: some(f, "10.0.0."),
            ..Host::default()
        };
        (native, hours, host)
    });
    proptest::collection::vec(one, 1..30).prop_map(|mut all| {
        all.sort_by_key(|(_, hours, _)| *hours);
        all
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_change_what_a_settled_set_becomes(
        (straight, shuffled) in settled_estate().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        prop_assert_eq!(placed(&straight).0, placed(&shuffled).0);
    }

    #[test]
    fn taking_a_settled_set_in_again_changes_nothing(all in settled_estate()) {
        let twice: Vec<_> = all.iter().chain(&all).cloned().collect();
        let (once, index) = placed(&all);
        let (again, replayed) = placed(&twice);
        prop_assert_eq!(once, again);
        let ids = |index: &Index| index.assets().map(|known| known.asset).collect::<BTreeSet<_>>();
        prop_assert_eq!(ids(&index), ids(&replayed));
    }

    #[test]
    fn no_asset_has_two_instances_and_none_is_united_with_what_it_must_be_kept_apart_from(all in collisions()) {
        let mut index = Index::new();
        for (native, hours, host) in &all {
            index.take(&native.to_string(), &observed(host, *hours));
            for known in index.assets() {
                prop_assert!(instances(&known) <= 1, "{known:?}");
                prop_assert!(!known.apart.contains(&known.asset), "{known:?}");
            }
        }
    }
}

fn member(id: &str, address: &str) -> Host {
    Host { hostnames: texts(&["web"]), ips: texts(&[address]), ..instance(id, None) }
}

fn bare(address: &str) -> Host {
    Host { hostnames: texts(&["web"]), ips: texts(&[address]), ..Host::default() }
}

#[test]
fn an_address_that_passed_on_leads_to_the_machine_that_was_seen_with_it_nearest() {
    let all = [
        ("1", 0, member("i-1", "10.0.0.5")),
        ("2", 120, member("i-2", "10.0.0.5")),
        ("3", 110, bare("10.0.0.5")),
        ("4", 10, bare("10.0.0.5")),
    ];
    let (assets, _) = settle(&all[..3]);
    assert_eq!(assets[2], assets[1], "ten hours before it, and days after the other one");
    let last_first: Vec<Seen> = [2, 1].map(|n| all[n].clone()).into();
    let (assets, _) = settle(&last_first);
    assert_eq!(assets[0], assets[1], "as it is if it comes first");
    let (assets, _) = settle(&[all[0].clone(), all[3].clone(), all[1].clone()]);
    assert_eq!(assets[0], assets[1]);
}

#[test]
fn what_shows_nothing_of_the_machine_itself_does_not_say_how_long_it_had_an_address() {
    let guessed = Host { os: Some("Linux".into()), ..bare("10.0.0.5") };
    let first = Host { os: Some("Linux".into()), ..member("i-1", "10.0.0.5") };
    let second = member("i-2", "10.0.0.5");
    for order in [[0, 1, 2], [1, 0, 2]] {
        let all = [("1", 0, first.clone()), ("2", 200, guessed.clone()), ("3", 190, second.clone())];
        let all: Vec<Seen> = order.map(|n| all[n].clone()).into();
        let (assets, index) = settle(&all);
        assert_eq!(assets[0], assets[1], "by name and system, until more is known");
        assert_ne!(assets[0], assets[2]);
        assert_eq!(index.shared(), BTreeMap::new(), "one after another, not in turn");
    }
}

#[test]
fn sightings_that_nobody_can_place_do_not_make_the_name_of_a_machine_a_shared_one() {
    let names = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let strays = || (0..8).map(|n| (names[n], n as u32, bare(&format!("10.0.{n}.1"))));
    let (_, index) = settle(&strays().collect::<Vec<Seen>>());
    assert_eq!(index.shared().len(), 1, "nobody bears it more than the others");
    let machine = ("0", 9, Host { macs: texts(&[MAC_1]), ..bare("10.0.9.1") });
    let (_, index) =
        settle(&strays().take(5).chain([machine]).chain(strays().skip(5)).collect::<Vec<Seen>>());
    assert_eq!(index.shared(), BTreeMap::new());
}
