//! Properties that hold whatever an estate looks like and in whatever order it is seen.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One machine of a generated estate: two hardware addresses of its own; names and addresses that others have too.
fn machine_seen(machine: usize, parts: u16, qualys: bool) -> Observation {
    let has = |bit: u16| parts & (1 << bit) != 0;
    let some = |bit: u16, text: String| if has(bit) { vec![text] } else { Vec::new() };
    let pool = machine % 3;
    let mut macs = vec![format!("a4bb6d00{machine:02x}01"), "0242ac110002".to_owned()];
    macs.extend(some(0, format!("a4bb6d00{machine:02x}02")));
    let cloud = CloudId {
        provider: "aws".into(),
        account: has(1).then(|| "111122223333".into()),
        region: has(2).then(|| "us-east-1".into()),
        id: format!("i-{machine:04x}"),
    };
    let host = Host {
        macs,
        cloud: if has(3) && machine.is_multiple_of(2) { vec![cloud] } else { Vec::new() },
        agent_ids: some(4, format!("agent-{machine}-{qualys}")),
        bios_uuid: has(5).then(|| format!("{machine:08x}-0051-3410-8052-b7c04f4d3132")),
        serial: if has(6) { Some(format!("5CG{machine:05}")) } else { Some("None".into()) },
        fqdns: some(7, format!("web{pool}.corp.example.com")),
        hostnames: some(8, format!("web{pool}")),
        netbios: some(9, "LOCALHOST".to_owned()),
        ips: vec![format!("10.0.0.{pool}"), "172.17.0.1".to_owned()],
        os: has(10).then(|| "Ubuntu 22.04".to_owned()),
        ..Host::default()
    };
    let scanner = if qualys { Scanner::Qualys } else { Scanner::Tenable };
    Observation { observed_at: Some(NOON.parse().unwrap()), ..observe(&host, "office", scanner) }
}

fn estate() -> impl Strategy<Value = Vec<(usize, Observation)>> {
    let one = (0usize..8, any::<u16>(), any::<bool>());
    proptest::collection::vec(one, 1..40).prop_map(|all| {
        all.into_iter()
            .map(|(machine, parts, qualys)| (machine, machine_seen(machine, parts, qualys)))
            .collect()
    })
}

/// Anything at all, from pools so small that everything collides.
fn anything() -> impl Strategy<Value = Observation> {
    let pick = |n: usize| proptest::option::of(0..n);
    (pick(3), pick(2), pick(3), pick(3), pick(3), pick(3), pick(3), any::<bool>()).prop_map(
        |(cloud, account, agent, bios, mac, name, address, dotted)| {
            let list = |n: Option<usize>, text: &str| {
                n.map(|n| format!("{text}{n}")).into_iter().collect::<Vec<_>>()
            };
            let cloud = cloud.map(|n| instance(&format!("i-0{n}"), account.map(|a| ["111", "222"][a])).cloud);
            let names = list(name, if dotted { "corp.example.com-" } else { "web" });
            let host = Host {
                cloud: cloud.unwrap_or_default(),
                agent_ids: list(agent, "agent-"),
                bios_uuid: bios.map(|n| format!("{n}c4c4544-0051-3410-8052-b7c04f4d3132")),
                macs: list(mac, "a4bb6d00000"),
                hostnames: names,
                ips: list(address, "10.0.0."),
                ..Host::default()
            };
            seen(&host)
        },
    )
}

proptest! {
    #[test]
    fn an_estate_settles_on_its_machines_in_any_order(
        (straight, shuffled) in estate().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let machines: BTreeSet<usize> = straight.iter().map(|(machine, _)| *machine).collect();
        for order in [straight, shuffled] {
            let mut table = Table::default();
            let mut of_machine: BTreeMap<usize, AssetId> = BTreeMap::new();
            for (n, (machine, seen)) in order.iter().enumerate() {
                let asset = table.arrive(&n.to_string(), seen);
                prop_assert_eq!(of_machine.entry(*machine).or_insert(asset.clone()), &asset);
            }
            prop_assert_eq!(table.assets.len(), machines.len());
        }
    }

    #[test]
    fn a_replay_changes_nothing(all in estate()) {
        let mut table = Table::default();
        let first: Vec<AssetId> =
            all.iter().enumerate().map(|(n, (_, seen))| table.arrive(&n.to_string(), seen)).collect();
        let (assets, owners) = (table.assets.clone(), table.owners.clone());
        let second: Vec<AssetId> =
            all.iter().enumerate().map(|(n, (_, seen))| table.arrive(&n.to_string(), seen)).collect();
        prop_assert_eq!(first, second);
        prop_assert_eq!(assets, table.assets);
        prop_assert_eq!(owners, table.owners);
    }

    #[test]
    fn a_join_never_crosses_two_instances_and_never_depends_on_the_order_of_candidates(
        seen in anything(), others in proptest::collection::vec(anything(), 0..6)
    ) {
        let mut known: Vec<Known> =
            others.iter().enumerate().map(|(n, other)| known_as(other, &n.to_string())).collect();
        let answer = correlate(&seen, &known);
        if let Outcome::Join { asset } = &answer.outcome {
            let joined = known.iter().find(|known| &known.asset == asset).unwrap();
            let instances = |side: &BTreeSet<Identifier>| -> BTreeSet<String> {
                side.iter().filter(|id| id.kind == IdentifierKind::Cloud).map(|id| id.value.clone()).collect()
            };
            let (ours, theirs) = (instances(&seen.identifiers), instances(&joined.identifiers));
            prop_assert!(ours.is_empty() || theirs.is_empty() || ours == theirs);
            prop_assert!(answer.refused.iter().all(|refusal| &refusal.asset != asset));
        }
        known.reverse();
        prop_assert_eq!(&correlate(&seen, &known), &answer);
        let claimed = claimable(&seen, &answer, &known);
        prop_assert!(claimed.is_subset(&seen.identifiers));
    }
}
