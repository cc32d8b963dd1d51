//! Rules and the book of their digests.

use std::collections::BTreeSet;

use domain::{RuleId, Scanner};
use store::RuleBook;

use crate::support::*;

fn ids(range: std::ops::Range<u32>) -> Vec<RuleId> {
    range.map(|i| RuleId::new(i.to_string())).collect()
}

#[tokio::test]
async fn a_book_knows_what_was_written() {
    let store = store().await;
    let mut book = RuleBook::new(Scanner::Qualys);
    assert_eq!(book.unknown(&store, ids(0..3)).await.unwrap().len(), 3);
    let rules: Vec<_> = (0..60).map(|i| rule(&i.to_string(), "first")).collect();
    assert_eq!(book.changed(&store, rules.clone()).await.unwrap(), rules);
    book.write(&store, &rules, &[]).await.unwrap();

    for mut book in [book, RuleBook::new(Scanner::Qualys)] {
        assert!(book.changed(&store, rules.clone()).await.unwrap().is_empty());
        let twice = [ids(58..62), ids(58..62)].concat();
        assert_eq!(book.unknown(&store, twice).await.unwrap(), ids(60..62));
        let changed = rule("7", "second");
        assert_eq!(book.changed(&store, vec![rules[8].clone(), changed.clone()]).await.unwrap(), [changed]);
    }
    let mut other = RuleBook::new(Scanner::Tenable);
    assert_eq!(other.unknown(&store, ids(0..1)).await.unwrap().len(), 1, "scanners have books of their own");
    let wanted: BTreeSet<_> = ids(0..99).into_iter().map(|id| (Scanner::Qualys, id)).collect();
    let found = store.rules(&wanted).await.unwrap();
    assert_eq!(found.len(), 60);
    assert_eq!(found[&(Scanner::Qualys, RuleId::new("7"))], rules[7]);
}

#[tokio::test]
async fn what_was_looked_for_in_vain_is_looked_for_again_a_week_later() {
    let store = store().await;
    let on =
        |day: u32| RuleBook::as_of(Scanner::Qualys, format!("2026-11-{day:02}T00:00:00Z").parse().unwrap());
    on(1).write(&store, &[], &ids(0..1)).await.unwrap();
    for (day, unknown) in [(1, 0), (7, 0), (8, 1), (30, 1)] {
        assert_eq!(on(day).unknown(&store, ids(0..1)).await.unwrap().len(), unknown, "day {day}");
    }
    on(8).write(&store, &[], &ids(0..1)).await.unwrap();
    assert_eq!(on(9).unknown(&store, ids(0..1)).await.unwrap().len(), 0);
    let mut book = RuleBook::new(Scanner::Qualys);
    assert!(book.unknown(&store, ids(0..1)).await.unwrap().is_empty(), "nothing waits for it");
}

#[tokio::test]
async fn a_rule_without_definition_is_not_asked_for_again_but_may_come() {
    let store = store().await;
    let mut book = RuleBook::new(Scanner::Qualys);
    book.write(&store, &[], &ids(0..2)).await.unwrap();
    let mut fresh = RuleBook::new(Scanner::Qualys);
    assert_eq!(fresh.unknown(&store, ids(0..3)).await.unwrap(), ids(2..3));
    assert!(store.rules(&BTreeSet::from([(Scanner::Qualys, RuleId::new("0"))])).await.unwrap().is_empty());
    let came = rule("0", "now defined");
    assert_eq!(fresh.changed(&store, vec![came.clone()]).await.unwrap(), [came]);
}

#[tokio::test]
async fn of_one_rule_told_twice_the_last_definition_counts() {
    let store = store().await;
    let mut book = RuleBook::new(Scanner::Qualys);
    let told = [rule("1", "first"), rule("2", "other"), rule("1", "second")];
    book.write(&store, &told, &[]).await.unwrap();
    assert!(book.changed(&store, vec![told[2].clone()]).await.unwrap().is_empty());
    let key = (Scanner::Qualys, RuleId::new("1"));
    assert_eq!(store.rules(&BTreeSet::from([key.clone()])).await.unwrap()[&key].title, "second");
}

#[tokio::test]
async fn books_that_race_for_the_same_buckets_lose_nothing() {
    let store = store().await;
    // Every book reads all buckets first, so that all but one of them write against a revision that is gone.
    let mut books: Vec<_> = (0..4).map(|_| RuleBook::new(Scanner::Qualys)).collect();
    for book in &mut books {
        book.unknown(&store, ids(0..400)).await.unwrap();
    }
    let writes = books.iter_mut().zip(0..).map(|(book, i)| {
        let rules: Vec<_> = (i * 100..(i + 1) * 100).map(|id| rule(&id.to_string(), "raced")).collect();
        let store = &store;
        async move { book.write(store, &rules, &[]).await }
    });
    futures::future::try_join_all(writes).await.unwrap();
    let mut fresh = RuleBook::new(Scanner::Qualys);
    assert_eq!(fresh.unknown(&store, ids(0..401)).await.unwrap(), ids(400..401));
}
