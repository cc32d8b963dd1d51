//! What is paid: the budgets of the design, measured in the units that the table reports.

use std::collections::BTreeMap;

use domain::identity::{Identifier, IdentifierKind};
use domain::vulnerability::{Counted, FindingRef, Join};
use domain::{Asset, CveId, Scanner, VulnId};
use store::{CounterDelta, Entry, EntryState, Regroup, Relink, RuleBook, Store, Units, Versioned};

use crate::support::*;

const FINDINGS: usize = 50;

fn used(store: &Store, before: Units) -> Units {
    let now = store.capacity().total();
    Units {
        read_units: now.read_units - before.read_units,
        write_units: now.write_units - before.write_units,
    }
}

fn cve(i: usize) -> CveId {
    format!("CVE-2024-{}", 1_000 + i).parse().unwrap()
}

/// What the sync and score functions write for a host that is new, in their order.
async fn import(store: &Store) -> Asset {
    let id = sighting("host");
    let mut state = store.sighting_state(&id, false).await.unwrap();
    state.sighting.scan = Some(host("host"));
    let statements: Vec<_> = (0..FINDINGS).map(|i| statement(&format!("finding {i}"))).collect();
    for said in &statements {
        let entry = Entry { digest: said.finding.digest(), state: EntryState::Open, kind: said.finding.kind };
        state.manifest.entries.insert(said.finding.key.hash(), entry);
    }
    store.write_statements(&id, &statements).await.unwrap();
    store.put_sighting(&id, &state, true).await.unwrap();
    store.put_manifest(&id, &state).await.unwrap();

    let mut asset = asset("host");
    asset.identifiers.insert(Identifier::new(IdentifierKind::Fqdn, "office", "host.example.org"));
    asset.sightings.insert(id.clone(), Join { rule: "new".into(), confidence: 100, ..Join::default() });
    let mut leads: Vec<_> = store.leads(&asset.identifiers).await.unwrap().into_iter().collect();
    leads.iter_mut().for_each(|(_, lead)| _ = lead.hold(&asset.id));
    let joins = Regroup {
        assets: vec![Versioned { rev: None, value: asset.clone() }],
        leads,
        links: vec![Relink { sighting: id.clone(), from: None, to: asset.id.clone() }],
        ..Regroup::default()
    };
    store.regroup(&joins).await.unwrap();

    let mut delta = CounterDelta::default();
    let mut uses: Vec<(CveId, VulnId)> = Vec::new();
    for (i, said) in statements.iter().enumerate() {
        // One in ten has a high score; each is a vulnerability of its own, with a timer.
        let mut v = vulnerability(&asset, &i.to_string(), if i % 10 == 0 { 800 } else { 400 });
        v.cves = vec![cve(i)];
        let (finding, rule) = (said.finding.key.clone(), said.finding.rule.clone());
        v.findings = vec![FindingRef { sighting: id.clone(), finding, rule }];
        v.next_at = Some(noon());
        v.due = Some(noon());
        uses.push((cve(i), v.id.clone()));
        let counted = Counted { status: v.status, severity: v.severity, overdue: false };
        asset.counted.insert(v.id.clone(), counted);
        delta.add_open(&asset.owner, "high", 1);
        delta.add_day(jiff::civil::date(2026, 11, 22), &asset.owner, "opened", 1);
        store.put_vulnerability(&asset, &v, None, HIGH).await.unwrap();
    }
    store.write_cve_uses(&asset.id, &uses, &[]).await.unwrap();
    store.commit_asset(&asset, Some(1), &delta).await.unwrap();
    store.mark_scored(&id, &asset.id, 1).await.unwrap();
    asset
}

#[tokio::test]
async fn a_first_import_stays_within_its_budget() {
    let store = store().await;
    import(&store).await;
    let per_finding = store.capacity().total().write_units / FINDINGS as f64;
    println!("{per_finding} write units a finding");
    assert!(per_finding <= 5.5, "{per_finding} write units a finding");
    assert!(
        per_finding >= 4.0,
        "{per_finding} write units a finding cannot be: it is five items with three indexes"
    );
}

#[tokio::test]
async fn an_unchanged_finding_costs_no_write_and_next_to_no_read() {
    let store = store().await;
    let asset = import(&store).await;
    let mut book = RuleBook::new(Scanner::Qualys);
    book.write(&store, &[rule("38657", "TLS 1.0")], &[]).await.unwrap();
    let before = store.capacity().total();
    let state = store.sighting_state(&sighting("host"), false).await.unwrap();
    assert_eq!(state.manifest.entries.len(), FINDINGS);
    assert!(!state.is_unscored());
    let cost = used(&store, before);
    assert_eq!(cost.write_units, 0.0);
    let per_finding = cost.read_units / FINDINGS as f64;
    assert!(per_finding > 0.0 && per_finding <= 0.01, "{per_finding} read units a finding");
    let before = store.capacity().total();
    assert!(book.changed(&store, vec![rule("38657", "TLS 1.0")]).await.unwrap().is_empty());
    store.write_cve_uses(&asset.id, &[], &[]).await.unwrap();
    store.write_statements(&sighting("host"), &[]).await.unwrap();
    assert_eq!(used(&store, before).write_units, 0.0);
}

#[tokio::test]
async fn units_are_summed_by_operation() {
    let store = store().await;
    assert_eq!(store.capacity().total(), Units::default());
    assert_eq!(store.capacity().by_operation(), BTreeMap::new());
    import(&store).await;
    store.clone().export_page(None).await.unwrap();
    store.leads(&[Identifier::new(IdentifierKind::Fqdn, "office", "host.example.org")].into()).await.unwrap();
    store.put_connector_state(&connector(), &Default::default(), None).await.unwrap();
    store.connector_state(&connector()).await.unwrap();
    store.note_closings(&connector(), &run_id(0), "host", 1).await.unwrap();
    store.forget_closings(&connector(), &run_id(0), "host").await.unwrap();
    let by = store.capacity().by_operation();
    for (operation, reads) in [
        ("BatchGetItem", true),
        ("BatchWriteItem", false),
        ("DeleteItem", false),
        ("GetItem", true),
        ("PutItem", false),
        ("Query", true),
        ("Scan", true),
        ("TransactWriteItems", false),
        ("UpdateItem", false),
    ] {
        let units = by[operation];
        let (counted, other) =
            if reads { (units.read_units, units.write_units) } else { (units.write_units, units.read_units) };
        // DynamoDB Local reports nothing for some of its answers.
        assert!(counted > 0.0 || !is_embedded(), "{operation}: {units:?}");
        assert_eq!(other, 0.0, "{operation}: {units:?}");
    }
    let total = store.capacity().total();
    let sum: f64 = by.values().map(|units| units.write_units).sum();
    assert!((total.write_units - sum).abs() < 1e-6);
    if is_embedded() {
        // 50 statements and 50 uses of CVEs, one unit each.
        assert_eq!(by["BatchWriteItem"].write_units, 100.0);
    }
}

#[tokio::test]
async fn a_page_costs_the_same_however_long_the_list_is() {
    let store = store().await;
    let assets: Vec<_> = (0..8)
        .map(|i| {
            let mut one = asset(&format!("asset {i}"));
            one.owner = format!("owner {i}");
            one
        })
        .collect();
    let owners: Vec<_> = assets.iter().map(|asset| asset.owner.clone()).collect();
    for i in 0..80_usize {
        let one = &assets[i % assets.len()];
        for j in 0..8 {
            let mut v = vulnerability(one, &format!("{i} {j}"), 900);
            // About a kilobyte each once it is packed, as with a dozen findings.
            let mut random = fastrand::Rng::with_seed(i as u64 * 100 + j);
            v.title = (0..900).map(|_| random.alphanumeric()).collect();
            store.put_vulnerability(one, &v, None, HIGH).await.unwrap();
        }
    }
    let nothing = store::VulnerabilityFilter { text: Some("nothing".into()), ..Default::default() };
    for filter in [store::VulnerabilityFilter::default(), nothing] {
        for chosen in [&owners[..], &owners[..1]] {
            let before = store.capacity().total();
            store.vulnerabilities(chosen, &filter, None, 50).await.unwrap();
            let cost = used(&store, before).read_units;
            println!("{} owners: {cost} read units", chosen.len());
            assert!(cost > 0.0 && cost <= 25.0, "{cost} read units");
        }
        let before = store.capacity().total();
        store.top(&filter, 50).await.unwrap();
        let cost = used(&store, before).read_units;
        assert!(cost > 0.0 && cost <= 25.0, "{cost} read units");
    }
}
