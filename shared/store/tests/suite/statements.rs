//! Statements: sightings, manifests, findings.

use domain::vulnerability::{Closing, Depth, Evidence, Sighting};
use domain::{FindingKey, Host, RuleId, SightingId};
use store::{Entry, EntryState, Manifest, Regroup, Relink, SightingState, Store, Versioned};

use crate::support::*;

fn manifest(findings: std::ops::Range<u64>) -> Manifest {
    let entry = |i: u64| {
        let hash = domain::digest(&i.to_be_bytes());
        let state = if i.is_multiple_of(3) { EntryState::Closing } else { EntryState::Open };
        (hash, Entry { digest: hash.rotate_left(7), state, kind: domain::FindingKind::Vulnerability })
    };
    Manifest { entries: findings.map(entry).collect() }
}

async fn read(store: &Store, id: &SightingId) -> SightingState {
    store.sighting_state(id, true).await.unwrap()
}

#[tokio::test]
async fn a_sighting_comes_back_as_it_was_written() {
    let store = store().await;
    let id = sighting("host#1/with signs");
    let mut state = read(&store, &id).await;
    assert_eq!((state.rev, state.seq, state.manifest_rev), (None, 0, None));
    assert!(!state.is_unscored(), "what does not exist is not waiting");
    state.sighting = Sighting {
        supplement: Some(Host { native: "2".into(), ..Host::default() }),
        details: Some(u64::MAX),
        purged_at: Some("2026-11-22T00:00:00Z".parse().unwrap()),
        inventory: Some(host("inventory")),
        scan: Some(host("scan")),
        closing_run: Some(run_id(1)),
        pending_closings: 3,
        proven_run: Some(run_id(0)),
        missing_since: None,
        depth: Depth {
            credentialed: Some(true),
            partly_credentialed: Some(false),
            checks: Some(90_000),
            port_range: Some(7),
            at: Some("2026-11-21T00:00:00Z".parse().unwrap()),
        },
        unlisted: [RuleId::new("99999")].into(),
    };
    state.manifest = manifest(0..10);
    store.write_statements(&id, &[statement("not read with the state")]).await.unwrap();
    assert_eq!(store.put_sighting(&id, &state, true).await.unwrap(), (1, 1));
    store.put_manifest(&id, &state).await.unwrap();

    let back = read(&store, &id).await;
    assert_eq!(back.sighting, state.sighting);
    assert_eq!(back.manifest, state.manifest);
    assert_eq!((back.rev, back.seq, back.manifest_rev, &back.link), (Some(1), 1, Some(1), &None));
    assert!(back.is_unscored());
    assert_eq!(store.put_sighting(&id, &back, false).await.unwrap(), (2, 1), "nothing for score to look at");
    assert_eq!(store.link(&id).await.unwrap(), None);
}

#[tokio::test]
async fn of_two_writers_of_a_sighting_the_second_is_refused() {
    let store = store().await;
    let id = sighting("1");
    let (first, second) = (read(&store, &id).await, read(&store, &id).await);
    store.put_sighting(&id, &first, true).await.unwrap();
    assert_conflict(store.put_sighting(&id, &second, true).await);
    let (first, second) = (read(&store, &id).await, read(&store, &id).await);
    store.put_sighting(&id, &first, true).await.unwrap();
    assert_conflict(store.put_sighting(&id, &second, true).await);
    assert_eq!(read(&store, &id).await.seq, 2);
}

#[tokio::test]
async fn of_racing_writers_of_a_manifest_one_wins_whole() {
    let store = store().await;
    let id = sighting("1");
    for size in [10, 20_000] {
        let before = read(&store, &id).await;
        let with = |from: u64| SightingState { manifest: manifest(from..from + size), ..before.clone() };
        let writers: Vec<_> = (0..4).map(|writer| with(writer * 30_000)).collect();
        let outcomes =
            futures::future::join_all(writers.iter().map(|state| store.put_manifest(&id, state))).await;
        let winner = outcomes.iter().position(Result::is_ok).unwrap();
        assert_eq!(winners(outcomes), 1);
        assert_eq!(read(&store, &id).await.manifest, writers[winner].manifest);
    }
}

#[tokio::test]
async fn a_manifest_of_any_size_grows_and_shrinks() {
    let store = store().await;
    let id = sighting("1");
    for (write, size) in (1..).zip([20_000, 45_000, 20_001, 5, 18_000, 18_001, 0]) {
        let mut state = read(&store, &id).await;
        state.manifest = manifest(0..size);
        store.put_manifest(&id, &state).await.unwrap();
        let back = read(&store, &id).await;
        assert_eq!(back.manifest.entries.len() as u64, size);
        assert_eq!(back.manifest, state.manifest);
        assert_eq!(back.manifest_rev, Some(write), "every write counts the revision on, whatever the pieces");
    }
}

#[tokio::test]
async fn writing_statements_twice_is_writing_them_once() {
    let store = store().await;
    let id = sighting("1");
    store.put_sighting(&id, &SightingState::default(), true).await.unwrap();
    let statements: Vec<_> = (0..60).map(|i| statement(&format!("finding {i}"))).collect();
    store.write_statements(&id, &statements).await.unwrap();
    store.write_statements(&id, &statements).await.unwrap();
    let store::Stated { seq, statements: mut back, .. } = store.statements(&id).await.unwrap().unwrap();
    back.sort_by_key(|s| s.finding.key.as_str()[8..].parse::<u32>().unwrap());
    assert_eq!(back, statements);
    assert_eq!(seq, 1);
    assert_eq!(
        store.statement(&id, &FindingKey::new("finding 7")).await.unwrap().as_ref(),
        Some(&statements[7])
    );
    assert_eq!(store.statement(&id, &FindingKey::new("no such")).await.unwrap(), None);
    assert!(store.statements(&sighting("2")).await.unwrap().is_none());
}

#[tokio::test]
async fn of_one_finding_told_twice_the_last_word_counts() {
    let store = store().await;
    let (first, mut last) = (statement("same"), statement("same"));
    last.finding.evidence = Some("later".into());
    store.write_statements(&sighting("1"), &[first, last.clone()]).await.unwrap();
    assert_eq!(store.statement(&sighting("1"), &last.finding.key).await.unwrap(), Some(last));
}

#[tokio::test]
async fn the_first_evidence_against_a_finding_stands() {
    let store = store().await;
    let id = sighting("1");
    store.put_sighting(&id, &SightingState::default(), true).await.unwrap();
    store.write_statements(&id, &[statement("gone"), statement("stays")]).await.unwrap();
    let closing = |second| Closing { run: run_id(second), at: noon(), evidence: Evidence::AbsentFromReport };
    let hashes = [finding("gone").key.hash(), finding("never stored").key.hash()];
    for second in [1, 1, 2] {
        store.close_statements(&id, &hashes, &closing(second)).await.unwrap();
    }
    let statements = store.statements(&id).await.unwrap().unwrap().statements;
    assert_eq!(statements.len(), 2, "what was never stored is left alone");
    let of = |key: &str| statements.iter().find(|s| s.finding.key.as_str() == key).unwrap().closing.clone();
    assert_eq!(of("gone"), Some(closing(1)));
    assert_eq!(of("stays"), None);
}

#[tokio::test]
async fn long_evidence_is_cut_on_a_character_and_says_so() {
    let store = store().await;
    let id = sighting("1");
    let kept = |evidence: String| {
        let (store, id) = (&store, &id);
        async move {
            let mut said = statement("long");
            said.finding.evidence = Some(evidence);
            store.write_statements(id, std::slice::from_ref(&said)).await.unwrap();
            store.statement(id, &said.finding.key).await.unwrap().unwrap().finding.evidence.unwrap()
        }
    };
    assert_eq!(kept("x".repeat(2_000)).await, "x".repeat(2_000));
    assert_eq!(kept("x".repeat(2_001)).await, format!("{}… [cut]", "x".repeat(2_000)));
    assert_eq!(kept("€".repeat(1_000)).await, format!("{}… [cut]", "€".repeat(666)));
    let long = kept(format!("{}{}", "€".repeat(1_000), "x".repeat(500_000))).await;
    assert_eq!(kept(long.clone()).await, format!("{}… [cut]", "€".repeat(666)));
}

#[tokio::test]
async fn a_sighting_is_proven_by_later_runs_only() {
    let store = store().await;
    let id = sighting("1");
    assert!(!store.prove_sighting(&id, &run_id(1)).await.unwrap(), "no such sighting");
    assert_eq!(read(&store, &id).await.rev, None, "and none comes from it");
    let state = SightingState::default();
    store.put_sighting(&id, &state, true).await.unwrap();
    assert!(store.prove_sighting(&id, &run_id(2)).await.unwrap());
    assert!(!store.prove_sighting(&id, &run_id(2)).await.unwrap(), "twice is once");
    assert!(!store.prove_sighting(&id, &run_id(1)).await.unwrap(), "an earlier run proves nothing new");
    assert!(store.prove_sighting(&id, &run_id(3)).await.unwrap());
    let proven = read(&store, &id).await;
    assert_eq!(proven.sighting.proven_run, Some(run_id(3)));
    assert_eq!((proven.rev, proven.seq), (Some(3), 3), "score has to look at it");
    assert_conflict(store.put_sighting(&id, &SightingState { rev: Some(1), ..state }, true).await);
}

#[tokio::test]
async fn a_sighting_is_missing_since_the_first_run_without_it() {
    let store = store().await;
    let id = sighting("1");
    assert!(!store.miss_sighting(&id, &run_id(1)).await.unwrap());
    store.put_sighting(&id, &SightingState::default(), true).await.unwrap();
    assert!(store.miss_sighting(&id, &run_id(1)).await.unwrap());
    assert!(!store.miss_sighting(&id, &run_id(2)).await.unwrap());
    let mut missing = read(&store, &id).await;
    assert_eq!(missing.sighting.missing_since, Some(run_id(1)));
    missing.sighting.missing_since = None;
    store.put_sighting(&id, &missing, true).await.unwrap();
    assert!(store.miss_sighting(&id, &run_id(3)).await.unwrap(), "it came back and went again");
}

#[tokio::test]
async fn a_sighting_waits_until_its_latest_change_was_scored() {
    let store = store().await;
    let id = sighting("1");
    store.put_sighting(&id, &SightingState::default(), true).await.unwrap();
    let asset = asset("one");
    let joins = Regroup {
        assets: vec![Versioned { rev: None, value: asset.clone() }],
        links: vec![Relink { sighting: id.clone(), from: None, to: asset.id.clone() }],
        ..Regroup::default()
    };
    store.regroup(&joins).await.unwrap();
    assert!(read(&store, &id).await.is_unscored());
    store.mark_scored(&id, &asset.id, 1).await.unwrap();
    assert!(!read(&store, &id).await.is_unscored());
    let state = read(&store, &id).await;
    store.put_sighting(&id, &state, true).await.unwrap();
    assert!(read(&store, &id).await.is_unscored());
    store.mark_scored(&id, &asset.id, 2).await.unwrap();
    store.mark_scored(&id, &asset.id, 1).await.expect("a slower decision is no error");
    store
        .mark_scored(&id, &domain::AssetId::derive("other"), 9)
        .await
        .expect("another asset's word does not count");
    let link = store.link(&id).await.unwrap().unwrap();
    assert_eq!((link.asset, link.scored), (asset.id, 2));
}

#[tokio::test]
async fn the_first_date_of_a_finding_stays_when_it_is_written_anew() {
    let store = store().await;
    let id = sighting("host");
    let at = |text: &str| Some(text.parse().unwrap());
    let dated = |key: &str, first| {
        let mut statement = statement(key);
        statement.finding.first_found = first;
        statement
    };
    let (early, late) = (at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
    let stored = [dated("early", early), dated("late", late), dated("undated", None)];
    store.write_statements(&id, &stored).await.unwrap();
    let mut again =
        [dated("early", late), dated("late", early), dated("undated", late), dated("unknown", late)];
    store.keep_first_found(&id, &mut again).await.unwrap();
    let dates: Vec<_> = again.iter().map(|statement| statement.finding.first_found).collect();
    assert_eq!(dates, [early, early, late, late]);
    store.keep_first_found(&id, &mut []).await.unwrap();
}

#[tokio::test]
async fn details_are_kept_apart_from_what_a_sync_and_a_decision_read() {
    let store = store().await;
    let id = sighting("1");
    let software =
        |n: u32| domain::host::Software { name: format!("package {n}"), version: None, publisher: None };
    let details = domain::Details { software: (0..900).map(software).collect(), ..Default::default() };
    let mut state = read(&store, &id).await;
    state.sighting =
        Sighting { inventory: Some(host("1")), details: Some(details.digest()), ..Sighting::default() };
    store.put_details(&id, &details).await.unwrap();
    store.put_sighting(&id, &state, true).await.unwrap();
    let before = store.capacity().total();
    assert_eq!(read(&store, &id).await.sighting.details, Some(details.digest()));
    assert_eq!(store.statements(&id).await.unwrap().unwrap().sighting.details, Some(details.digest()));
    let read_units = store.capacity().total().read_units - before.read_units;
    assert!(read_units <= 2.0, "{read_units}");
    assert_eq!(store.details([&id]).await.unwrap(), [details]);
    assert_eq!(store.details([&sighting("2")]).await.unwrap(), []);
}

#[tokio::test]
async fn a_purged_sighting_is_gone_and_comes_back_when_it_is_seen() {
    let store = store().await;
    let id = sighting("1");
    let at: jiff::Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    assert!(!store.purge_sighting(&id, at).await.unwrap(), "what nobody knows cannot be purged");
    let mut state = read(&store, &id).await;
    state.sighting = Sighting { inventory: Some(host("1")), ..Sighting::default() };
    store.put_sighting(&id, &state, true).await.unwrap();
    assert!(store.purge_sighting(&id, at).await.unwrap());
    assert!(
        !store.purge_sighting(&id, at + jiff::SignedDuration::from_secs(9)).await.unwrap(),
        "the first time counts"
    );
    let purged = read(&store, &id).await;
    assert_eq!((purged.sighting.purged_at, purged.sighting.host().gone_at), (Some(at), Some(at)));
    assert!(purged.is_unscored());
}
