//! Who is one machine, on the table: machines that turn out to be one, their undoing, values that are shared, machines
//! that are replaced. What scanners say is written as they would; all that follows is the system's.

pub mod bench;
mod estate;
mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::identity::{Happened, observe};
use domain::{AssetId, CloudId, Host, Scanner, Status, VulnId, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use bench::{Bench, LOG4SHELL, OTHER, QUALYS, TENABLE, agent, both, hardware};

/// What a merge must not touch.
fn essence(v: &Vulnerability) -> (VulnId, Option<String>, Option<Timestamp>, Status) {
    (v.id.clone(), v.ticket.as_ref().map(|ticket| ticket.key.clone()), v.due, v.status)
}

fn essences(all: &[Vulnerability]) -> BTreeSet<(VulnId, Option<String>, Option<Timestamp>, Status)> {
    all.iter().map(essence).collect()
}

#[tokio::test]
async fn two_assets_that_prove_to_be_one_become_one_with_all_they_have() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    let kept = bench.asset_of(TENABLE, "1").await;
    bench.later().await;
    bench.see(QUALYS, "7", &hardware(), &[OTHER]).await;
    let gone = bench.asset_of(QUALYS, "7").await;
    assert_ne!(kept, gone);
    let before = bench.site.vulnerabilities().await;
    assert_eq!((before.len(), bench.tickets()), (2, 2));

    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    for (connector, native) in [(TENABLE, "1"), (QUALYS, "7")] {
        assert_eq!(bench.asset_of(connector, native).await, kept);
    }
    let after = bench.site.vulnerabilities().await;
    assert_eq!(essences(&after), essences(&before), "ids, tickets, deadlines, statuses");
    assert!(after.iter().all(|v| v.asset == kept));
    for v in &before {
        let found = bench.store().vulnerability(&v.asset, &v.id).await.unwrap().unwrap().value;
        assert_eq!((&found.id, &found.asset), (&v.id, &kept), "the old address still leads there");
    }
    let history = bench.store().identity_history(&kept, 10).await.unwrap();
    let merge = history.iter().find(|change| change.what == Happened::Absorbed).unwrap();
    assert_eq!((&merge.other, merge.by.as_ref()), (&gone, None));
    assert_eq!(merge.reason, "they share an identifier of the machine itself");
    assert!(!merge.identifiers.is_empty());
    assert_eq!(bench.assets().await.len(), 1);
    bench.counts_are_right().await;
    let writes = bench.writes();
    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    bench.see(QUALYS, "7", &hardware(), &[OTHER]).await;
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
    // The sightings themselves are written by this test, and that they were decided on.
    assert!(bench.writes() - writes <= 12.0, "{} write units for nothing", bench.writes() - writes);
    assert_eq!(bench.tickets(), 2);
}

#[tokio::test]
async fn vulnerabilities_of_one_cve_become_one_and_an_undone_merge_gives_both_back() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    bench.later().await;
    bench.see(QUALYS, "7", &hardware(), &[LOG4SHELL, OTHER]).await;
    let gone = bench.asset_of(QUALYS, "7").await;
    let before = bench.site.vulnerabilities().await;
    assert_eq!((before.len(), bench.tickets()), (3, 3));

    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    let kept = bench.asset_of(TENABLE, "1").await;
    let merged = bench.site.vulnerabilities().await;
    assert_eq!(merged.len(), 2, "{merged:?}");
    let one = merged.iter().find(|v| v.findings.len() == 2).unwrap();
    assert_eq!((one.aliases.len(), one.other_tickets.len()), (1, 1), "no ticket is lost");
    let earliest = before.iter().filter(|v| v.cves == one.cves).filter_map(|v| v.due).min();
    assert_eq!(one.due, earliest);
    bench.counts_are_right().await;

    assert_eq!(
        bench.act(&format!("/api/assets/{gone}/undo-merge"), json!({ "reason": "a test" })).await,
        202
    );
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
    let place = |all: &[Vulnerability]| -> BTreeSet<(VulnId, AssetId)> {
        all.iter().map(|v| (v.id.clone(), v.asset.clone())).collect()
    };
    assert_eq!(place(&bench.site.vulnerabilities().await), place(&before));
    assert_eq!(bench.asset_of(QUALYS, "7").await, gone);
    bench.counts_are_right().await;
    for v in &before {
        for asset in [&kept, &gone] {
            let found = bench.store().vulnerability(asset, &v.id).await.unwrap();
            let there = found.map(|found| (found.value.id, found.value.asset));
            assert!(
                there.as_ref().is_none_or(|there| *there == (v.id.clone(), v.asset.clone())),
                "{} of {} is found at {asset} as {there:?}; kept {kept}, gone {gone}",
                v.id,
                v.asset
            );
        }
    }
    // It outlives what brought them together, said again.
    bench.later().await;
    bench.see(TENABLE, "1", &Host { hostnames: vec!["renamed".into()], ..both() }, &[LOG4SHELL]).await;
    bench
        .see(QUALYS, "7", &Host { hostnames: vec!["renamed".into()], ..hardware() }, &[LOG4SHELL, OTHER])
        .await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, gone);
    assert_ne!(bench.asset_of(TENABLE, "1").await, gone);
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
    assert_eq!(bench.act(&format!("/api/assets/{gone}/undo-merge"), json!({})).await, 409);
}

#[tokio::test]
async fn a_person_merges_splits_and_keeps_apart_and_rescans_leave_it_so() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    bench.later().await;
    bench.see(QUALYS, "7", &hardware(), &[OTHER]).await;
    let (one, two) = (bench.asset_of(TENABLE, "1").await, bench.asset_of(QUALYS, "7").await);
    let before = bench.site.vulnerabilities().await;
    let other = json!({ "other": two, "reason": "one box" });
    assert_eq!(bench.act(&format!("/api/assets/{one}/merge"), other.clone()).await, 202);
    assert_eq!(bench.asset_of(QUALYS, "7").await, one);
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
    assert_eq!(bench.act(&format!("/api/assets/{one}/merge"), other).await, 409, "they are one already");

    // Hardware that contradicts drives nobody out whom a person has put there.
    let elsewhere =
        Host { bios_uuid: Some("5d5d4544-0051-3410-8052-b7c04f4d3132".into()), ..Host::default() };
    bench.see(QUALYS, "7", &elsewhere, &[OTHER]).await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, one);

    let sightings = json!({ "sightings": [format!("{QUALYS}/7")], "reason": "two after all" });
    assert_eq!(bench.act(&format!("/api/assets/{one}/split"), sightings).await, 202);
    let split = bench.asset_of(QUALYS, "7").await;
    assert_ne!(split, one);
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before), "with ids and tickets");
    bench.counts_are_right().await;
    bench.see(QUALYS, "7", &both(), &[OTHER]).await;
    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    assert_eq!((bench.asset_of(QUALYS, "7").await, bench.asset_of(TENABLE, "1").await), (split, one.clone()));
    assert_eq!(bench.act(&format!("/api/assets/{one}/split"), json!({ "sightings": ["x/1"] })).await, 400);
}

/// One of the machines that were cloned with everything, the UUID of the hardware too.
fn copy(number: u8) -> Host {
    Host {
        fqdns: vec![format!("app{number:02}.corp.example.com")],
        macs: vec![format!("a4:bb:6d:00:00:{number:02}")],
        ..hardware()
    }
}

#[tokio::test]
async fn what_a_value_joined_before_it_was_learned_to_be_shared_leaves_with_all_it_has() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &copy(1), &[LOG4SHELL]).await;
    bench.see(QUALYS, "9", &hardware(), &[OTHER]).await;
    let first = bench.asset_of(TENABLE, "1").await;
    assert_eq!(bench.asset_of(QUALYS, "9").await, first);
    let before = bench.site.vulnerabilities().await;
    assert_eq!((before.len(), bench.tickets()), (2, 2));

    bench.later().await;
    bench.see(TENABLE, "2", &copy(2), &[]).await;
    let own = bench.asset_of(QUALYS, "9").await;
    assert_eq!(bench.asset_of(TENABLE, "1").await, first);
    assert!(own != first && own != bench.asset_of(TENABLE, "2").await);
    let after = bench.site.vulnerabilities().await;
    assert_eq!(essences(&after), essences(&before), "ids, tickets, deadlines, statuses");
    for v in &after {
        let on = if v.cves.iter().any(|cve| cve.to_string() == OTHER) { &own } else { &first };
        assert_eq!(&v.asset, on);
    }
    assert_eq!(bench.tickets(), 2);
    let history = bench.store().identity_history(&first, 10).await.unwrap();
    let left = history.iter().find(|change| change.what == Happened::Left).unwrap();
    assert_eq!((&left.other, left.reason.as_str()), (&own, "what joined it is shared by several machines"));
    bench.counts_are_right().await;
    assert!(bench.assets().await.iter().all(|asset| asset.is_settled() && asset.look_at.is_none()));

    // It stays so.
    bench.see(QUALYS, "9", &hardware(), &[OTHER]).await;
    bench.see(TENABLE, "1", &copy(1), &[LOG4SHELL]).await;
    assert_eq!(bench.asset_of(QUALYS, "9").await, own);
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
}

#[tokio::test]
async fn who_founded_an_asset_by_a_value_that_people_call_shared_leaves_it() {
    let bench = Bench::new().await;
    bench.see(QUALYS, "9", &hardware(), &[OTHER]).await;
    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    bench.see(TENABLE, "2", &agent(), &[]).await;
    let first = bench.asset_of(QUALYS, "9").await;
    assert_eq!(bench.asset_of(TENABLE, "2").await, first);

    let mut services = bench.site.stack.services().clone();
    let mut config = (*services.config).clone();
    config.identity.shared = observe(&hardware(), "office", Scanner::Qualys).identifiers;
    services.config = Arc::new(config);
    let score = score::Score::new(&services);
    for _ in 0..2 {
        for (connector, native) in [(TENABLE, "1"), (QUALYS, "9"), (TENABLE, "2")] {
            score.work(bench.message(connector, native)).await.unwrap();
        }
    }
    bench.site.drain().await;
    assert_eq!(bench.asset_of(TENABLE, "1").await, bench.asset_of(TENABLE, "2").await);
    assert_ne!(bench.asset_of(QUALYS, "9").await, bench.asset_of(TENABLE, "1").await);
    bench.counts_are_right().await;
    assert!(bench.assets().await.iter().all(|asset| asset.is_settled() && asset.look_at.is_none()));
}

/// Who is one machine with whom.
async fn groups(bench: &Bench, sightings: &[(&str, &str)]) -> BTreeSet<Vec<String>> {
    let mut by_asset: BTreeMap<AssetId, Vec<String>> = BTreeMap::new();
    for (connector, native) in sightings {
        by_asset
            .entry(bench.asset_of(connector, native).await)
            .or_default()
            .push(format!("{connector}/{native}"));
    }
    by_asset.into_values().collect()
}

#[tokio::test]
async fn a_merge_by_a_value_that_proves_to_be_shared_is_undone_with_all_it_had() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    bench.later().await;
    bench.see(QUALYS, "7", &hardware(), &[LOG4SHELL, OTHER]).await;
    let (kept, gone) = (bench.asset_of(TENABLE, "1").await, bench.asset_of(QUALYS, "7").await);
    let before = bench.site.vulnerabilities().await;
    assert_eq!((before.len(), bench.tickets()), (3, 3));
    let first = Host { agent_ids: agent().agent_ids, ..copy(1) };
    bench.see(TENABLE, "1", &first, &[LOG4SHELL]).await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, kept);

    bench.later().await;
    bench.see(TENABLE, "2", &copy(2), &[]).await;
    assert_eq!(
        (bench.asset_of(TENABLE, "1").await, bench.asset_of(QUALYS, "7").await),
        (kept.clone(), gone.clone())
    );
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before), "ids, tickets, deadlines");
    let history = bench.store().identity_history(&kept, 10).await.unwrap();
    let parted = history.iter().find(|change| change.what == Happened::Parted).unwrap();
    assert_eq!((&parted.other, parted.by.as_ref()), (&gone, None));
    assert_eq!(parted.reason, "what joined it is shared by several machines");
    bench.counts_are_right().await;
    assert!(bench.assets().await.iter().all(|asset| asset.is_settled() && asset.look_at.is_none()));
    // It stays so, and what proves to be one by something else is one again.
    bench.see(TENABLE, "1", &first, &[LOG4SHELL]).await;
    bench.see(QUALYS, "7", &hardware(), &[LOG4SHELL, OTHER]).await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, gone);
    bench.see(QUALYS, "7", &copy(1), &[LOG4SHELL, OTHER]).await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, kept);
}

#[tokio::test]
async fn the_order_of_arrival_does_not_change_who_is_one_machine_in_the_end() {
    let sightings = [(TENABLE, "1"), (TENABLE, "2"), (QUALYS, "7"), (QUALYS, "8")];
    let early = [Some(agent()), None, None, Some(Host { fqdns: copy(2).fqdns, ..Host::default() })];
    // The last one shows the copied UUID and its own full name, and may lack the hardware address that tells it is a copy.
    let without_mac = Host { fqdns: copy(2).fqdns, ..hardware() };
    let orders = (0..256).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    let orders = orders.filter(|order| BTreeSet::from(*order).len() == order.len());
    let cases = orders.flat_map(|order| [(order, false), (order, true)]);
    let mut outcomes = BTreeSet::new();
    for ((order, partial), fourth) in cases.flat_map(|case| [(case, copy(2)), (case, without_mac.clone())]) {
        let last = [Host { agent_ids: agent().agent_ids, ..copy(1) }, copy(2), hardware(), fourth];
        let bench = Bench::new().await;
        for n in order.into_iter().filter(|_| partial) {
            if let Some(host) = &early[n] {
                bench.see(sightings[n].0, sightings[n].1, host, &[LOG4SHELL]).await;
            }
        }
        // Twice: whatever there is to learn of it is known then.
        for n in order.into_iter().chain(order) {
            bench.see(sightings[n].0, sightings[n].1, &last[n], &[LOG4SHELL]).await;
        }
        bench.counts_are_right().await;
        outcomes.insert(groups(&bench, &sightings).await);
    }
    assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
}

#[tokio::test]
async fn a_merge_of_many_sightings_is_undone_like_one_of_few() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    bench.later().await;
    let natives: Vec<String> = (0..130).map(|n| n.to_string()).collect();
    for native in &natives {
        bench.write(QUALYS, native, &hardware(), &[OTHER]).await;
        bench.send(QUALYS, native);
    }
    bench.site.drain().await;
    let gone = bench.asset_of(QUALYS, "0").await;
    let before = bench.site.vulnerabilities().await;
    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    let kept = bench.asset_of(TENABLE, "1").await;
    assert_eq!(bench.asset_of(QUALYS, "129").await, kept);
    assert_eq!(bench.act(&format!("/api/assets/{gone}/undo-merge"), json!({})).await, 202);
    for native in &natives {
        assert_eq!(bench.asset_of(QUALYS, native).await, gone);
    }
    assert_eq!(essences(&bench.site.vulnerabilities().await), essences(&before));
    bench.counts_are_right().await;
    let half: Vec<String> = natives.iter().take(65).map(|native| format!("{QUALYS}/{native}")).collect();
    assert_eq!(bench.act(&format!("/api/assets/{gone}/split"), json!({ "sightings": half })).await, 202);
    let split = bench.asset_of(QUALYS, "0").await;
    assert!(split != gone && bench.asset_of(QUALYS, "129").await == gone);
    bench.counts_are_right().await;
}

#[tokio::test]
async fn a_value_that_two_machines_show_is_learned_and_a_person_can_take_it_back() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &copy(1), &[LOG4SHELL]).await;
    bench.see(TENABLE, "2", &copy(2), &[LOG4SHELL]).await;
    bench.see(QUALYS, "9", &hardware(), &[OTHER]).await;
    let mut all = BTreeSet::new();
    for (connector, native) in [(TENABLE, "1"), (TENABLE, "2"), (QUALYS, "9")] {
        all.insert(bench.asset_of(connector, native).await);
    }
    assert_eq!(all.len(), 3, "the UUID leads nowhere");
    let listed = bench.get("/api/identity").await;
    let shared = listed["shared"].as_array().unwrap();
    assert_eq!(shared.len(), 1, "{listed}");
    let identifier = shared[0]["identifier"].as_str().unwrap().to_owned();
    assert!(identifier.starts_with("bios_uuid|"));
    assert_eq!(shared[0]["reason"], "two machines show it");
    let never = json!({ "identifier": identifier, "shared": "never", "reason": "checked" });
    assert_eq!(bench.act("/api/identity/identifiers", never).await, 202);
    assert_eq!(bench.get("/api/identity").await["shared"].as_array().unwrap().len(), 0);
    bench.see(TENABLE, "1", &Host { os: Some("Windows 11".into()), ..copy(1) }, &[]).await;
    bench.see(TENABLE, "2", &Host { os: Some("Windows 11".into()), ..copy(2) }, &[]).await;
    assert_eq!(bench.get("/api/identity").await["shared"].as_array().unwrap().len(), 0, "not learned again");
}

#[tokio::test]
async fn other_hardware_under_a_scanners_id_is_another_machine_and_the_old_one_is_closed() {
    let bench = Bench::new().await;
    let on = |uuid: &str, mac: &str| Host {
        bios_uuid: Some(uuid.into()),
        fqdns: vec!["db.corp.example.com".into()],
        macs: vec![mac.into()],
        ..Host::default()
    };
    bench
        .see(TENABLE, "1", &on("4c4c4544-0051-3410-8052-b7c04f4d3132", "a4:bb:6d:00:00:01"), &[LOG4SHELL])
        .await;
    let old = bench.asset_of(TENABLE, "1").await;
    bench.later().await;
    bench
        .see(TENABLE, "1", &on("5d5d4544-0051-3410-8052-b7c04f4d3132", "a4:bb:6d:00:00:02"), &[LOG4SHELL])
        .await;
    let new = bench.asset_of(TENABLE, "1").await;
    assert_ne!(old, new);
    let asset = bench.store().asset(&old).await.unwrap().unwrap().value;
    assert_eq!((asset.superseded_by.as_ref(), asset.sightings.len()), (Some(&new), 0));
    assert!(asset.gone_at.is_some());
    for v in bench.site.vulnerabilities().await {
        let wanted = if v.asset == old { Status::Gone } else { Status::Identified };
        assert_eq!(v.status, wanted, "the history stays with the old machine");
    }
    let detail = bench.get(&format!("/api/assets/{old}")).await;
    assert_eq!(detail["superseded_by"], json!(new));
    let what: Vec<_> = detail["history"].as_array().unwrap().iter().map(|c| c["what"].clone()).collect();
    assert!(what.contains(&json!("superseded")) && what.contains(&json!("left")), "{what:?}");
    bench.counts_are_right().await;
}

/// A machine as a scanner sees it that knows no instances.
fn named() -> Host {
    Host { hostnames: vec!["asg".into()], ips: vec!["10.0.0.9".parse().unwrap()], ..Host::default() }
}

/// An instance that has that name and that address.
fn instance(id: &str) -> Host {
    let cloud = CloudId {
        provider: "aws".into(),
        account: Some("111122223333".into()),
        region: Some("eu-central-1".into()),
        id: id.into(),
    };
    Host { cloud: vec![cloud], ..named() }
}

#[tokio::test]
async fn a_host_known_by_name_and_address_goes_on_with_the_instance_that_has_them_now() {
    // The second instance becomes known before the host is seen again, or after.
    for is_late in [false, true] {
        let bench = Bench::new().await;
        bench.see(TENABLE, "1", &instance("i-0123456789abcdef0"), &[LOG4SHELL]).await;
        let first = bench.asset_of(TENABLE, "1").await;
        bench.site.advance(SignedDuration::from_hours(1));
        bench.see(QUALYS, "7", &named(), &[LOG4SHELL]).await;
        assert_eq!(bench.asset_of(QUALYS, "7").await, first);
        bench.site.advance(SignedDuration::from_hours(1));
        let second = instance("i-0123456789abcdef1");
        if is_late {
            bench.write(TENABLE, "2", &second, &[LOG4SHELL]).await;
        } else {
            bench.see(TENABLE, "2", &second, &[LOG4SHELL]).await;
        }
        bench.site.advance(SignedDuration::from_hours(1));
        bench.see(QUALYS, "7", &named(), &[LOG4SHELL, OTHER]).await;
        if is_late {
            assert_eq!(bench.asset_of(QUALYS, "7").await, first, "nobody can know yet");
            bench.send(TENABLE, "2");
            bench.site.drain().await;
        }
        let next = bench.asset_of(TENABLE, "2").await;
        assert_eq!(bench.asset_of(QUALYS, "7").await, next, "late: {is_late}");
        let old = bench.store().asset(&first).await.unwrap().unwrap().value;
        assert_eq!((old.superseded_by.as_ref(), old.sightings.len()), (Some(&next), 1));
        let open: Vec<_> =
            bench.site.vulnerabilities().await.into_iter().filter(|v| v.asset == next).collect();
        assert_eq!(open.len(), 2, "what is found by it is the next one's: {open:?}");
        bench.counts_are_right().await;
        // Once it is there it is not asked about again.
        let history = bench.store().identity_history(&next, 50).await.unwrap().len();
        bench.site.advance(SignedDuration::from_hours(1));
        bench.see(QUALYS, "7", &named(), &[LOG4SHELL, OTHER]).await;
        assert_eq!(bench.asset_of(QUALYS, "7").await, next);
        assert_eq!(bench.store().identity_history(&next, 50).await.unwrap().len(), history);
    }
}

#[tokio::test]
async fn a_host_stays_with_a_replaced_instance_that_a_person_has_put_something_into() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &instance("i-0123456789abcdef0"), &[LOG4SHELL]).await;
    bench.see(TENABLE, "9", &agent(), &[OTHER]).await;
    let other = json!({ "other": bench.asset_of(TENABLE, "9").await, "reason": "one box" });
    let merge = format!("/api/assets/{}/merge", bench.asset_of(TENABLE, "1").await);
    assert_eq!(bench.act(&merge, other).await, 202);
    let first = bench.asset_of(TENABLE, "1").await;
    bench.site.advance(SignedDuration::from_hours(1));
    bench.see(QUALYS, "7", &named(), &[LOG4SHELL]).await;
    bench.site.advance(SignedDuration::from_hours(1));
    bench.see(TENABLE, "2", &instance("i-0123456789abcdef1"), &[LOG4SHELL]).await;
    let next = bench.asset_of(TENABLE, "2").await;
    bench.site.advance(SignedDuration::from_hours(1));
    bench.see(QUALYS, "7", &named(), &[LOG4SHELL]).await;
    assert_eq!(bench.asset_of(QUALYS, "7").await, first);
    let old = bench.store().asset(&first).await.unwrap().unwrap().value;
    assert_eq!(old.superseded_by, Some(next));
    bench.counts_are_right().await;
}

#[tokio::test]
async fn an_ambiguous_match_waits_for_a_person() {
    let bench = Bench::new().await;
    let long =
        |name: &str| Host { hostnames: vec![name.into()], os: Some("Windows 10".into()), ..Host::default() };
    bench.see(TENABLE, "1", &long("payments-server-01"), &[LOG4SHELL]).await;
    bench.see(TENABLE, "2", &long("payments-server-02"), &[LOG4SHELL]).await;
    let cut =
        Host { netbios: vec!["PAYMENTS-SERVER".into()], os: Some("Windows 11".into()), ..Host::default() };
    bench.later().await;
    bench.see(QUALYS, "7", &cut, &[OTHER]).await;
    let listed = bench.get("/api/identity").await;
    let review = &listed["reviews"][0];
    assert_eq!(review["candidates"].as_array().unwrap().len(), 2, "{listed}");
    let own = bench.asset_of(QUALYS, "7").await;
    assert_eq!(review["asset"], json!(own));
    let candidates: Vec<String> =
        review["candidates"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().into()).collect();
    let not = json!({ "other": candidates[0] });
    assert_eq!(bench.act(&format!("/api/assets/{own}/apart"), not).await, 202);
    assert_eq!(bench.get("/api/identity").await["reviews"].as_array().unwrap().len(), 1, "one is left");
    assert_eq!(bench.act(&format!("/api/assets/{own}/merge"), json!({ "other": candidates[1] })).await, 202);
    assert_eq!(bench.get("/api/identity").await["reviews"].as_array().unwrap().len(), 0);
    assert_eq!(bench.asset_of(QUALYS, "7").await.to_string(), candidates[1]);
}

#[tokio::test]
async fn what_people_know_of_a_machine_goes_before_rules_whether_it_was_seen_before_or_not() {
    let bench = Bench::new().await;
    let named = |name: &str| Host { fqdns: vec![format!("{name}.corp.example.com")], ..Host::default() };
    bench.see(TENABLE, "1", &named("web01"), &[LOG4SHELL]).await;
    let row = |name: &str, owner: &str| {
        json!({ "fqdn": format!("{name}.corp.example.com"), "owner": owner, "criticality": 4,
                "services": "checkout;refunds", "environment": "prod" })
    };
    let rows =
        json!({ "rows": [row("web01", "payments"), row("web02", "data"), { "fqdn": "x.example.com" }] });
    let (status, answer) = bench.post("/api/inventory", rows.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((answer["taken"].as_array().unwrap().len(), &answer["waiting"]), (1, &json!(1)), "{answer}");
    assert_eq!(answer["refused"][0]["row"], 2);
    bench.see(QUALYS, "7", &named("web02"), &[LOG4SHELL]).await;
    for (connector, native, owner) in [(TENABLE, "1", "payments"), (QUALYS, "7", "data")] {
        let asset = bench.asset_of(connector, native).await;
        let asset = bench.store().asset(&asset).await.unwrap().unwrap().value;
        let found = (asset.owner.as_str(), asset.criticality, asset.service.as_deref());
        assert_eq!(found, (owner, Some(4), Some("checkout")));
    }
    bench.counts_are_right().await;
    let impact = bench.get(&format!("/api/impact/{LOG4SHELL}")).await;
    let touched: BTreeSet<String> = impact["touched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{}/{}", row["owner"].as_str().unwrap(), row["service"].as_str().unwrap()))
        .collect();
    let wanted = ["payments/checkout", "payments/refunds", "data/checkout", "data/refunds"];
    assert_eq!(touched, wanted.map(str::to_owned).into());
    let again = bench.post("/api/inventory", rows).await.1;
    assert_eq!((again["taken"].as_array().unwrap().len(), &again["waiting"]), (2, &json!(0)));
}

#[tokio::test]
async fn of_functions_that_race_for_one_machine_all_end_in_one_asset() {
    let bench = Bench::new().await;
    let natives: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    for native in &natives {
        bench.write(TENABLE, native, &hardware(), &[LOG4SHELL]).await;
    }
    let score = score::Score::new(bench.site.stack.services());
    let work = natives.iter().map(|native| score.work(bench.message(TENABLE, native)));
    for outcome in futures::future::join_all(work).await {
        outcome.unwrap();
    }
    bench.site.drain().await;
    let mut all = BTreeSet::new();
    for native in &natives {
        all.insert(bench.asset_of(TENABLE, native).await);
    }
    assert_eq!((all.len(), bench.assets().await.len()), (1, 1));
    let only = bench.site.vulnerabilities().await;
    assert_eq!((only.len(), only[0].findings.len(), bench.tickets()), (1, 6, 1));
    bench.counts_are_right().await;
}
