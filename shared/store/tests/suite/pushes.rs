//! Statements that come one by one: twice, late, at the same time.

use domain::vulnerability::Evidence;
use domain::{FindingState, RunId, SightingId};
use jiff::SignedDuration;
use store::{Push, Pushed, Said, Store};

use crate::support::*;

/// A word on finding `key`, said `minute` minutes after noon.
fn push(key: &str, state: FindingState, minute: i64) -> Push {
    let at = noon() + SignedDuration::from_mins(minute);
    let mut finding = finding(key);
    finding.state = state;
    finding.fixed_at = (state == FindingState::Fixed).then_some(at);
    let mut host = host("i-1");
    host.last_scanned_at = Some(at);
    Push { host, finding, said: Said { at, sent: at } }
}

async fn take(store: &Store, id: &SightingId, push: &Push) -> Pushed {
    let state = store.sighting_state(id, true).await.unwrap();
    store.push_statement(id, push, &state).await.unwrap()
}

#[tokio::test]
async fn the_newest_word_counts_in_whatever_order_words_come() {
    use FindingState::{Fixed, Open};
    let words = [push("a", Open, 0), push("a", Fixed, 10), push("a", Open, 20)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let store = store().await;
        let id = sighting("i-1");
        for index in order {
            take(&store, &id, &words[index]).await;
            // At least once.
            assert_ne!(take(&store, &id, &words[index]).await, Pushed::Changed, "{order:?}");
        }
        let stated = store.statements(&id).await.unwrap().unwrap();
        let [statement] = &stated.statements[..] else { panic!("{order:?}") };
        assert!(statement.finding.state.is_open(), "{order:?}");
        assert!(!statement.is_closed(&stated.sighting), "{order:?}");
        assert_eq!(statement.finding.last_found, words[2].finding.last_found);
    }
}

#[tokio::test]
async fn the_scanners_own_word_closes_without_a_run() {
    let store = store().await;
    let id = sighting("i-1");
    assert_eq!(take(&store, &id, &push("a", FindingState::Open, 0)).await, Pushed::Changed);
    assert_eq!(take(&store, &id, &push("b", FindingState::Open, 1)).await, Pushed::Changed);
    let fixed = push("a", FindingState::Fixed, 10);
    assert_eq!(take(&store, &id, &fixed).await, Pushed::Changed);
    let stated = store.statements(&id).await.unwrap().unwrap();
    let closed: Vec<_> =
        stated.statements.iter().map(|s| (s.finding.key.as_str(), s.is_closed(&stated.sighting))).collect();
    assert_eq!(closed.iter().filter(|(key, closed)| *closed && *key == "a").count(), 1, "{closed:?}");
    assert_eq!(closed.iter().filter(|(_, closed)| *closed).count(), 1, "silence closes nothing: {closed:?}");
    let closing = stated.statements.iter().find_map(|s| s.closing.clone()).unwrap();
    assert_eq!((closing.evidence, Some(closing.at)), (Evidence::ScannerSaysFixed, fixed.finding.fixed_at));
    assert_eq!(stated.sighting.open_closings(), 0);

    // An older fix of the other finding is proven too, although the host is proven up to a later moment.
    let late = push("b", FindingState::Fixed, 5);
    assert_eq!(take(&store, &id, &late).await, Pushed::Changed);
    let stated = store.statements(&id).await.unwrap().unwrap();
    assert!(stated.statements.iter().all(|s| s.is_closed(&stated.sighting)));
    assert_eq!(stated.sighting.proven_run, Some(RunId::new(fixed.said.at, 0)));

    let again = push("a", FindingState::Open, 20);
    assert_eq!(take(&store, &id, &again).await, Pushed::Changed);
    let stated = store.statements(&id).await.unwrap().unwrap();
    let back = stated.statements.iter().find(|s| s.finding.key.as_str() == "a").unwrap();
    assert_eq!((back.finding.state, back.finding.reopened_at), (FindingState::Reopened, Some(again.said.at)));
    assert!(!back.is_closed(&stated.sighting));
}

#[tokio::test]
async fn what_was_fixed_when_we_first_heard_of_it_was_never_open() {
    let store = store().await;
    let id = sighting("i-1");
    assert_eq!(take(&store, &id, &push("a", FindingState::Fixed, 0)).await, Pushed::Changed);
    assert_eq!(
        take(&store, &id, &push("a", FindingState::Fixed, 5)).await,
        Pushed::Changed,
        "its date changed"
    );
    let stated = store.statements(&id).await.unwrap().unwrap();
    assert_eq!(stated.statements[0].closing, None);
}

#[tokio::test]
async fn of_one_time_the_later_message_counts() {
    let store = store().await;
    let id = sighting("i-1");
    let mut silenced = push("a", FindingState::Suppressed, 0);
    silenced.said.sent += SignedDuration::from_mins(3);
    take(&store, &id, &silenced).await;
    assert_eq!(take(&store, &id, &push("a", FindingState::Open, 0)).await, Pushed::Older);
    let stated = store.statements(&id).await.unwrap().unwrap();
    assert_eq!(stated.statements[0].finding.state, FindingState::Suppressed);
}

#[tokio::test]
async fn only_what_differs_is_for_score_to_look_at() {
    let store = store().await;
    let id = sighting("i-1");
    let mut long = push("a", FindingState::Open, 0);
    long.finding.evidence = Some("é".repeat(5_000));
    take(&store, &id, &long).await;
    let seq = store.sighting_state(&id, true).await.unwrap().seq;
    let mut anew = push("a", FindingState::Open, 60);
    anew.finding.evidence = long.finding.evidence.clone();
    assert_eq!(take(&store, &id, &anew).await, Pushed::Same);
    let state = store.sighting_state(&id, true).await.unwrap();
    assert_eq!((state.seq, state.is_unscored()), (seq, true), "what waits still waits");
    // The new time counts all the same.
    assert_eq!(take(&store, &id, &push("a", FindingState::Fixed, 30)).await, Pushed::Older);
}

#[tokio::test]
async fn of_many_at_the_same_time_the_newest_stays() {
    let store = store().await;
    let id = sighting("i-1");
    let write = |minute: i64| {
        let (store, id) = (store.clone(), id.clone());
        async move {
            let state = if minute % 2 == 0 { FindingState::Open } else { FindingState::Fixed };
            let push = push("a", state, minute);
            loop {
                let known = store.sighting_state(&id, true).await.unwrap();
                match store.push_statement(&id, &push, &known).await {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_conflict(), "{error}"),
                }
            }
        }
    };
    futures::future::join_all((0..12).map(write)).await;
    let stated = store.statements(&id).await.unwrap().unwrap();
    let last = push("a", FindingState::Fixed, 11);
    assert_eq!(stated.statements[0].finding.fixed_at, last.finding.fixed_at);
    assert_eq!(stated.statements[0].finding.state, FindingState::Fixed);
}

#[tokio::test]
async fn the_newest_description_of_a_host_stays() {
    let store = store().await;
    let id = sighting("i-1");
    let described = |key: &str, minute: i64, os: &str| {
        let mut push = push(key, FindingState::Open, minute);
        push.host.os = Some(os.to_owned());
        push
    };
    take(&store, &id, &described("a", 10, "new")).await;
    assert_eq!(take(&store, &id, &described("b", 5, "old")).await, Pushed::Changed);
    let host = store.statements(&id).await.unwrap().unwrap().sighting.host();
    assert_eq!(
        (host.os.as_deref(), host.last_scanned_at),
        (Some("new"), Some(noon() + SignedDuration::from_mins(10)))
    );
}
