//! Machines that are easily taken for one another, and machines that hardly look like themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::host::{CloudId, Host};
use crate::ids::SightingId;
use crate::scanner::Scanner;

mod estate;
mod estates;

const NOON: &str = "2026-11-22T12:00:00Z";
const UUID: &str = "4c4c4544-0051-3410-8052-b7c04f4d3132";

/// A table in miniature: identifiers lead to candidates, and belong to one asset each.
#[derive(Default)]
struct Table {
    assets: BTreeMap<AssetId, Known>,
    owners: BTreeMap<Identifier, AssetId>,
}

impl Table {
    fn correlate(&self, seen: &Observation) -> (Correlation, Vec<Known>) {
        let ids: BTreeSet<&AssetId> = seen.identifiers.iter().filter_map(|id| self.owners.get(id)).collect();
        let known: Vec<Known> = ids.into_iter().map(|id| self.assets[id].clone()).collect();
        (correlate(seen, &known), known)
    }

    fn arrive(&mut self, sighting: &str, seen: &Observation) -> AssetId {
        let (correlation, known) = self.correlate(seen);
        let claimed = claimable(seen, &correlation, &known);
        let sighting = SightingId::new("tenable-prod".parse().unwrap(), sighting);
        let asset = match correlation.outcome {
            Outcome::Join { asset } => asset,
            _ => AssetId::derive(&seed(&claimed, &sighting.to_string())),
        };
        let entry = self.assets.entry(asset.clone()).or_insert_with(|| Known::new(asset.clone()));
        entry.os = entry.os.take().or_else(|| seen.os.clone());
        entry.last_seen = entry.last_seen.max(seen.observed_at);
        entry.identifiers.extend(seen.identifiers.iter().cloned());
        self.owners.extend(claimed.into_iter().map(|id| (id, asset.clone())));
        asset
    }
}

/// The host as Tenable sees it at noon from the office's network.
fn seen(host: &Host) -> Observation {
    seen_at(host, "office", NOON)
}

fn seen_at(host: &Host, scope: &str, at: &str) -> Observation {
    Observation { observed_at: Some(at.parse().unwrap()), ..observe(host, scope, Scanner::Tenable) }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&text| text.to_owned()).collect()
}

fn ip(address: &str) -> Host {
    Host { ips: texts(&[address]), ..Host::default() }
}

fn instance(id: &str, account: Option<&str>) -> Host {
    let cloud =
        CloudId { provider: "aws".into(), account: account.map(str::to_owned), region: None, id: id.into() };
    Host { cloud: vec![cloud], ..Host::default() }
}

/// The asset that `host` alone has founded.
fn known(host: &Host) -> Known {
    known_as(&seen(host), "known")
}

fn known_as(seen: &Observation, name: &str) -> Known {
    Known {
        identifiers: seen.identifiers.clone(),
        os: seen.os.clone(),
        last_seen: seen.observed_at,
        ..Known::new(AssetId::derive(name))
    }
}

/// What becomes of `second` where `first` is known.
fn after(first: &Host, second: &Host) -> Correlation {
    correlate(&seen(second), &[known(first)])
}

#[track_caller]
fn assert_joined(correlation: &Correlation, rule: &str) {
    assert!(matches!(correlation.outcome, Outcome::Join { .. }), "{correlation:?}");
    assert_eq!(correlation.rule, rule);
    assert!((50..=100).contains(&correlation.confidence));
    assert!(!correlation.agreeing.is_empty());
}

#[track_caller]
fn assert_refused(correlation: &Correlation, rule: &str, reason: &str) {
    assert_eq!(correlation.outcome, Outcome::New, "{correlation:?}");
    let refusal = &correlation.refused[0];
    assert_eq!(refusal.rule, rule);
    assert!(refusal.reason.contains(reason), "{}", refusal.reason);
    assert!(!refusal.identifiers.is_empty());
}

#[test]
fn an_address_that_dhcp_gave_to_another_machine_does_not_join_them() {
    let left = Host { hostnames: texts(&["anna"]), os: Some("Windows 11".into()), ..ip("10.0.0.5") };
    let came = Host { hostnames: texts(&["bert"]), os: Some("Windows 11".into()), ..ip("10.0.0.5") };
    assert_refused(&after(&left, &came), "ip", "neither side has anything else");
    assert_refused(&after(&left, &ip("10.0.0.5")), "ip", "neither side has anything else");
}

#[test]
fn machines_that_are_no_more_than_an_address_are_one_for_a_day() {
    let first = known(&ip("10.0.0.5"));
    let next = |at: &str| correlate(&seen_at(&ip("10.0.0.5"), "office", at), std::slice::from_ref(&first));
    assert_joined(&next("2026-11-23T11:00:00Z"), "ip");
    assert_refused(&next("2026-11-24T12:00:00Z"), "ip", "within a day");
    let undated = Observation { observed_at: None, ..seen(&ip("10.0.0.5")) };
    assert_eq!(correlate(&undated, &[first]).outcome, Outcome::New);
}

#[test]
fn the_same_private_address_and_name_at_two_sites_are_two_machines() {
    let host = Host { hostnames: texts(&["printer"]), macs: texts(&["00:50:56:00:00:01"]), ..ip("10.0.0.5") };
    let here = known_as(&seen_at(&host, "paris", NOON), "here");
    assert_eq!(correlate(&seen_at(&host, "london", NOON), &[here]).outcome, Outcome::New);
}

#[test]
fn docker_bridges_and_vrrp_addresses_join_nothing() {
    for mac in ["02:42:ac:11:00:02", "00:00:5e:00:01:0a"] {
        let host = |name: &str| Host { hostnames: texts(&[name]), macs: texts(&[mac]), ..ip("172.17.0.1") };
        let correlation = after(&host("router-a"), &host("router-b"));
        assert_eq!(correlation.outcome, Outcome::New);
        assert!(correlation.refused.is_empty());
    }
}

#[test]
fn a_copied_virtual_machine_is_another_machine() {
    let origin = Host {
        bios_uuid: Some(UUID.into()),
        serial: Some("VMware-42 1c 9a".into()),
        macs: texts(&["00:50:56:00:00:01"]),
        hostnames: texts(&["golden"]),
        ..Host::default()
    };
    let copy = Host { macs: texts(&["00:50:56:00:00:02"]), hostnames: texts(&["app07"]), ..origin.clone() };
    assert_refused(&after(&origin, &copy), "bios-uuid", "a copy");
    let nameless = Host { hostnames: Vec::new(), ..copy.clone() };
    assert_refused(&after(&origin, &nameless), "bios-uuid", "a copy");

    let mut table = Table::default();
    let first = table.arrive("1", &seen(&origin));
    let second = table.arrive("2", &seen(&copy));
    assert_ne!(first, second, "the copy must not get its origin's id");
    assert_eq!(table.arrive("2", &seen(&copy)), second);
    assert_eq!(table.arrive("1", &seen(&origin)), first);
}

#[test]
fn a_uuid_alone_does_not_outweigh_another_name() {
    let first = Host {
        bios_uuid: Some(UUID.into()),
        macs: texts(&["a4:bb:6d:00:00:01"]),
        fqdns: texts(&["db01.corp.example.com"]),
        ..Host::default()
    };
    let second = Host { macs: Vec::new(), fqdns: texts(&["db02.corp.example.com"]), ..first.clone() };
    assert_refused(&after(&first, &second), "bios-uuid", "another name");
    assert_refused(&after(&second, &first), "bios-uuid", "another name");
    let nameless = Host { fqdns: Vec::new(), ..second.clone() };
    assert_joined(&after(&first, &nameless), "bios-uuid");
    // Installed anew: the case still has the number that is printed on it.
    let with_serial = |host: &Host| Host { serial: Some("5CG1234ABC".into()), ..host.clone() };
    assert_joined(&after(&with_serial(&first), &with_serial(&second)), "bios-uuid");
}

#[test]
fn an_agent_in_a_golden_image_is_many_machines() {
    let host = |uuid: &str, mac: &str, name: &str| Host {
        agent_ids: texts(&["agent-of-the-image"]),
        bios_uuid: Some(uuid.into()),
        macs: texts(&[mac]),
        hostnames: texts(&[name]),
        ..Host::default()
    };
    let other = "5d5d4544-0051-3410-8052-b7c04f4d3132";
    let first = host(UUID, "00:50:56:00:00:01", "app01");
    assert_refused(&after(&first, &host(other, "00:50:56:00:00:02", "app02")), "agent-id", "copied");
    assert_joined(&after(&first, &host(other, "00:50:56:00:00:02", "app01")), "agent-id");
    let on = |id: &str| Host { cloud: instance(id, None).cloud, ..first.clone() };
    assert_refused(&after(&on("i-01"), &on("i-02")), "agent-id", "instance ids differ");
}

#[test]
fn a_reimaged_laptop_with_a_new_name_and_agent_is_the_same_laptop() {
    let before = Host {
        serial: Some("5CG1234ABC".into()),
        macs: texts(&["a4:bb:6d:00:00:01"]),
        hostnames: texts(&["lt-anna"]),
        agent_ids: texts(&["agent-1"]),
        ..Host::default()
    };
    let after_it = Host { hostnames: texts(&["lt-bert"]), agent_ids: texts(&["agent-2"]), ..before.clone() };
    assert_joined(&after(&before, &after_it), "serial");
}

#[test]
fn an_agent_installed_again_is_on_the_same_machine() {
    let agent = |id: &str| Host {
        agent_ids: texts(&[id]),
        bios_uuid: Some(UUID.into()),
        hostnames: texts(&["app01"]),
        ..Host::default()
    };
    assert_joined(&after(&agent("agent-1"), &agent("agent-2")), "bios-uuid");
    let copy = Host { hostnames: texts(&["app02"]), ..agent("agent-2") };
    assert_refused(&after(&agent("agent-1"), &copy), "bios-uuid", "agent and name differ");
    let nothing_else = |id: &str| Host { hostnames: Vec::new(), ..agent(id) };
    assert_joined(&after(&nothing_else("agent-1"), &nothing_else("agent-2")), "bios-uuid");
}

#[test]
fn agents_of_two_vendors_do_not_contradict_each_other() {
    let host =
        Host { agent_ids: texts(&["agent-1"]), macs: texts(&["a4:bb:6d:00:00:01"]), ..Host::default() };
    let other = Host { agent_ids: texts(&["agent-2"]), ..host.clone() };
    let by_qualys = observe(&other, "office", Scanner::Qualys);
    assert_joined(&correlate(&by_qualys, &[known(&host)]), "mac");
    assert_refused(&after(&host, &other), "mac", "agent ids");
}

#[test]
fn an_instance_that_replaced_one_of_the_same_name_and_address_is_new() {
    let host = |id: &str| Host {
        fqdns: texts(&["web.corp.example.com"]),
        ips: texts(&["10.0.0.5"]),
        ..instance(id, Some("111122223333"))
    };
    assert_refused(&after(&host("i-01"), &host("i-02")), "fqdn", "instance ids differ");
    let here = contradiction(&seen(&host("i-02")), &known(&host("i-01"))).unwrap();
    assert!(here.reason.contains("instance"));
}

#[test]
fn an_instance_id_matches_with_and_without_its_account() {
    let bare = instance("i-0abc", None);
    let full = instance("I-0ABC", Some("111122223333"));
    assert_joined(&after(&bare, &full), "cloud-id");
    assert_joined(&after(&full, &bare), "cloud-id");
    assert_joined(&after(&full, &full), "cloud-id");
}

#[test]
fn the_same_instance_id_in_another_account_is_another_machine() {
    let here = instance("i-0abc", Some("111122223333"));
    let there = instance("i-0abc", Some("444455556666"));
    assert_refused(&after(&here, &there), "cloud-id", "another account");

    let mut table = Table::default();
    let first = table.arrive("1", &seen(&here));
    let second = table.arrive("2", &seen(&there));
    assert_ne!(first, second);
    assert_eq!(table.arrive("3", &seen(&there)), second, "found under its account");

    let both = [known_as(&seen(&here), "here"), known_as(&seen(&there), "there")];
    let unsaid = correlate(&seen(&instance("i-0abc", None)), &both);
    assert!(
        matches!(&unsaid.outcome, Outcome::Ambiguous { candidates } if candidates.len() == 2),
        "{unsaid:?}"
    );
}

#[test]
fn the_same_instance_id_in_another_region_is_another_machine() {
    let at = |region: &str| Host {
        cloud: vec![CloudId {
            provider: "aws".into(),
            account: None,
            region: Some(region.into()),
            id: "i-0abc".into(),
        }],
        ..Host::default()
    };
    assert_refused(&after(&at("us-east-1"), &at("eu-west-1")), "cloud-id", "region");
    assert_joined(&after(&at("us-east-1"), &at("us-east-1b")), "cloud-id");
}

#[test]
fn names_that_netbios_cuts_to_the_same_text_are_two_machines() {
    let long = |name: &str| Host {
        fqdns: vec![format!("{name}.corp.example.com")],
        os: Some("Windows Server 2022".into()),
        ..Host::default()
    };
    let (one, two) = (long("payments-server-01"), long("payments-server-02"));
    assert_eq!(after(&one, &two).outcome, Outcome::New);
    let bare = |host: &Host| Host {
        hostnames: vec![host.fqdns[0][..18].to_owned()],
        fqdns: Vec::new(),
        ..host.clone()
    };
    assert_eq!(after(&bare(&one), &bare(&two)).outcome, Outcome::New);
}

#[test]
fn a_name_that_netbios_cut_finds_its_machine_by_its_address() {
    let whole =
        Host { hostnames: texts(&["payments-server-01"]), os: Some("Windows 10".into()), ..ip("10.0.0.7") };
    let cut = Host { netbios: texts(&["PAYMENTS-SERVER"]), os: Some("Windows 11".into()), ..ip("10.0.0.7") };
    assert_joined(&after(&whole, &cut), "hostname+ip");
    assert_joined(&after(&cut, &whole), "hostname+ip");
    // payments-server-02 begins like that too, and runs Windows.
    let elsewhere = Host { ips: texts(&["10.0.0.8"]), ..cut };
    assert_refused(&after(&whole, &elsewhere), "hostname+os", "NetBIOS");
}

#[test]
fn a_cut_name_that_fits_two_machines_is_ambiguous() {
    let long = |name: &str| {
        let host = Host { hostnames: texts(&[name]), os: Some("Windows 10".into()), ..Host::default() };
        known_as(&seen(&host), name)
    };
    let both = [long("payments-server-01"), long("payments-server-02")];
    let cut = Host { netbios: texts(&["PAYMENTS-SERVER"]), os: Some("Windows 11".into()), ..Host::default() };
    let correlation = correlate(&seen(&cut), &both);
    assert_eq!(correlation.rule, RULE_AMBIGUOUS);
    assert!(matches!(&correlation.outcome, Outcome::Ambiguous { candidates } if candidates.len() == 2));
}

#[test]
fn case_and_trailing_dot_do_not_part_a_machine_from_itself() {
    let fqdn = |text: &str| Host { fqdns: texts(&[text]), ..Host::default() };
    assert_joined(&after(&fqdn("WEB01.corp.example.com."), &fqdn("web01.CORP.example.com")), "fqdn");
}

#[test]
fn one_host_name_in_two_domains_is_two_machines() {
    let host = |fqdn: &str| Host { fqdns: texts(&[fqdn]), os: Some("Ubuntu 22.04".into()), ..ip("10.0.0.5") };
    let (corp, lab) = (host("web01.corp.example.com."), host("web01.lab.example.com"));
    assert_refused(&after(&corp, &lab), "hostname", "fully qualified names differ");
    let bare = Host { fqdns: Vec::new(), netbios: texts(&["WEB01"]), ..corp.clone() };
    assert_joined(&after(&corp, &bare), "hostname+ip");
}

#[test]
fn junk_uuids_and_serials_join_nothing() {
    let junk = |name: &str| Host {
        bios_uuid: Some("03000200-0400-0500-0006-000700080009".into()),
        serial: Some("To Be Filled By O.E.M.".into()),
        hostnames: texts(&[name]),
        ..Host::default()
    };
    let correlation = after(&junk("a1"), &junk("b2"));
    assert_eq!(correlation.outcome, Outcome::New);
    assert!(correlation.refused.is_empty());
}

#[test]
fn five_hundred_machines_called_localhost_are_five_hundred() {
    let mut table = Table::default();
    for n in 0..500 {
        let host = Host {
            hostnames: texts(&["localhost"]),
            fqdns: texts(&["localhost.localdomain"]),
            macs: vec![format!("00:50:56:00:{:02x}:{:02x}", n / 256, n % 256)],
            ips: texts(&["127.0.0.1"]),
            os: Some("CentOS 7".into()),
            ..Host::default()
        };
        table.arrive(&n.to_string(), &seen(&host));
    }
    assert_eq!(table.assets.len(), 500);
}

#[test]
fn a_chain_of_weak_links_does_not_become_one_machine() {
    let a = Host { macs: texts(&["a4:bb:6d:00:00:01"]), ..Host::default() };
    let b = Host { macs: texts(&["a4:bb:6d:00:00:01"]), hostnames: texts(&["web01"]), ..Host::default() };
    let c = Host { hostnames: texts(&["web01"]), ..ip("10.0.0.7") };
    let d = ip("10.0.0.7");
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let mut table = Table::default();
        let hosts = [&a, &b, &c, &d];
        let mut assets = BTreeMap::new();
        for n in order {
            assets.insert(n, table.arrive(&n.to_string(), &seen(hosts[n])));
        }
        assert_eq!(assets[&0], assets[&1], "{order:?}");
        assert_eq!(BTreeSet::from_iter(assets.values()).len(), 3, "{order:?}");
    }
}

#[test]
fn an_observation_that_touches_two_assets_unites_neither() {
    let by_mac = Host { macs: texts(&["a4:bb:6d:00:00:01"]), ..Host::default() };
    let by_name = Host { fqdns: texts(&["web01.corp.example.com"]), ..Host::default() };
    let both = Host { fqdns: by_name.fqdns.clone(), ..by_mac.clone() };
    let mut table = Table::default();
    let (first, second) = (table.arrive("1", &seen(&by_mac)), table.arrive("2", &seen(&by_name)));
    assert_eq!(table.arrive("3", &seen(&both)), first);
    assert_eq!(table.arrive("2", &seen(&by_name)), second);
}

#[test]
fn a_laptop_in_and_out_of_its_dock_is_one_laptop() {
    let docked = Host {
        bios_uuid: Some(UUID.into()),
        macs: texts(&["00:e0:4c:00:00:01"]),
        hostnames: texts(&["lt-anna"]),
        ..Host::default()
    };
    let roaming = Host { macs: texts(&["a4:bb:6d:00:00:01"]), ..docked.clone() };
    assert_joined(&after(&docked, &roaming), "bios-uuid");
}

#[test]
fn a_dock_that_two_laptops_share_does_not_join_them() {
    let docked = |own: &str, name: &str| Host {
        macs: texts(&[own, "00:e0:4c:00:00:01"]),
        hostnames: texts(&[name]),
        ..Host::default()
    };
    let (anna, bert) = (docked("a4:bb:6d:00:00:01", "lt-anna"), docked("a4:bb:6d:00:00:02", "lt-bert"));
    assert_refused(&after(&anna, &bert), "mac", "a dock's");
    assert_joined(&after(&anna, &Host { macs: texts(&["a4:bb:6d:00:00:01"]), ..anna.clone() }), "mac");
}

#[test]
fn a_name_that_fails_over_to_other_hardware_does_not_join_it() {
    let node =
        |mac: &str| Host { fqdns: texts(&["db.corp.example.com"]), macs: texts(&[mac]), ..ip("10.0.0.9") };
    assert_refused(
        &after(&node("a4:bb:6d:00:00:01"), &node("a4:bb:6d:00:00:02")),
        "fqdn",
        "hardware address",
    );
}

#[test]
fn a_phone_that_randomises_its_address_is_not_recognised_by_it_alone() {
    let phone =
        |mac: &str, name: &str| Host { macs: texts(&[mac]), hostnames: texts(&[name]), ..Host::default() };
    let first = phone("da:a1:19:00:00:01", "phone-anna");
    assert_eq!(after(&first, &phone("da:a1:19:00:00:01", "phone-bert")).outcome, Outcome::New);
    assert_joined(&after(&first, &first), "hostname+mac");
}

#[test]
fn a_public_address_of_a_cloud_supports_no_name() {
    let before = Host { hostnames: texts(&["web01"]), ips: texts(&["52.1.2.3"]), ..instance("i-01", None) };
    let scanned = Host { hostnames: texts(&["web01"]), ..ip("52.1.2.3") };
    assert_refused(&after(&before, &scanned), "hostname", "nothing but the host name");
    let private = Host { ips: texts(&["10.0.0.5"]), ..before };
    assert_joined(&after(&private, &Host { hostnames: texts(&["web01"]), ..ip("10.0.0.5") }), "hostname+ip");
}

#[test]
fn of_two_candidates_the_one_that_agrees_in_more_is_taken() {
    let macs = ["a4:bb:6d:00:00:01", "a4:bb:6d:00:00:02"];
    let one = known_as(&seen(&Host { macs: texts(&macs[..1]), ..Host::default() }), "one");
    let named = Host { macs: texts(&macs[1..]), hostnames: texts(&["web01"]), ..Host::default() };
    let two = known_as(&seen(&named), "two");
    let both = Host { macs: texts(&macs), hostnames: texts(&["web01"]), ..Host::default() };
    let correlation = correlate(&seen(&both), &[one.clone(), two.clone()]);
    assert_eq!(correlation.outcome, Outcome::Join { asset: two.asset.clone() });
    let unnamed = Host { hostnames: Vec::new(), ..both };
    let tied = correlate(&seen(&unnamed), &[one, two]);
    assert!(matches!(tied.outcome, Outcome::Ambiguous { .. }));
}

#[test]
fn a_sighting_leaves_its_asset_only_for_other_hardware() {
    let host = Host {
        bios_uuid: Some(UUID.into()),
        agent_ids: texts(&["agent-1"]),
        hostnames: texts(&["app01"]),
        ..ip("10.0.0.5")
    };
    let renamed = Host { hostnames: texts(&["app02"]), agent_ids: texts(&["agent-2"]), ..host.clone() };
    assert_eq!(contradiction(&seen(&renamed), &known(&host)), None);
    let moved = Host { bios_uuid: Some("5d5d4544-0051-3410-8052-b7c04f4d3132".into()), ..host.clone() };
    assert!(contradiction(&seen(&moved), &known(&host)).unwrap().reason.contains("BIOS"));
}

#[test]
fn an_id_is_made_of_the_strongest_identifier_that_is_the_assets_own() {
    let sighting = SightingId::new("tenable-prod".parse().unwrap(), "7");
    let seed_of = |host: &Host| seed(&seen(host).identifiers, &sighting.to_string());
    let mac = Host { macs: texts(&["a4:bb:6d:00:00:01"]), hostnames: texts(&["web01"]), ..Host::default() };
    assert_eq!(seed_of(&mac), "mac|office|a4bb6d000001");
    assert_eq!(seed_of(&Host { cloud: instance("i-01", None).cloud, ..mac }), "cloud||aws:i-01");
    let passing =
        Host { hostnames: texts(&["web01"]), macs: texts(&["da:a1:19:00:00:01"]), ..ip("10.0.0.5") };
    assert_eq!(seed_of(&passing), "sighting|tenable-prod/7");
}
