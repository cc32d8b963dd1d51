//! Versioned documents and notes.

use crate::support::*;

#[tokio::test]
async fn every_version_of_a_document_has_its_number() {
    let store = store().await;
    assert_eq!(store.current_document("config").await.unwrap(), None);
    let first = store.put_document("config", "a: 1", "ana", noon()).await.unwrap();
    assert_eq!((first.version, first.text.as_str(), first.author.as_str()), (1, "a: 1", "ana"));
    let same = store.put_document("config", "a: 1", "bob", noon()).await.unwrap();
    assert_eq!(same, first, "the same text is no new version");
    let second = store.put_document("config", "a: 2", "bob", noon()).await.unwrap();
    assert_eq!(second.version, 2);
    let back = store.put_document("config", "a: 1", "ana", noon()).await.unwrap();
    assert_eq!(back.version, 3, "going back is a version too");
    assert_eq!(store.current_document("config").await.unwrap(), Some(back));
    assert_eq!(store.current_document("other").await.unwrap(), None);
}

#[tokio::test]
async fn of_racing_authors_nobody_is_overwritten_unseen() {
    let store = store().await;
    let texts: Vec<_> = (0..6).map(|i| format!("a: {i}")).collect();
    let writes = texts.iter().map(|text| store.put_document("config", text, "ana", noon()));
    let outcomes = futures::future::join_all(writes).await;
    let won = outcomes.iter().filter(|o| o.is_ok()).count() as u64;
    assert!(won >= 1);
    outcomes.into_iter().filter(Result::is_err).for_each(assert_conflict);
    assert_eq!(store.current_document("config").await.unwrap().unwrap().version, won);
}

#[tokio::test]
async fn notes_change_without_loss() {
    let store = store().await;
    assert_eq!(store.note("feeds").await.unwrap(), None);
    store.put_note("feeds", "0").await.unwrap();
    let count = |old: Option<&str>| (old.unwrap_or("0").parse::<u32>().unwrap() + 1).to_string();
    futures::future::try_join_all((0..6).map(|_| store.change_note("feeds", count))).await.unwrap();
    assert_eq!(store.note("feeds").await.unwrap().as_deref(), Some("6"));
    futures::future::try_join_all((0..4).map(|_| store.change_note("new", count))).await.unwrap();
    assert_eq!(store.note("new").await.unwrap().as_deref(), Some("4"));
    let before = store.capacity().total().write_units;
    store.change_note("feeds", |old| old.unwrap_or_default().to_owned()).await.unwrap();
    assert_eq!(store.capacity().total().write_units, before, "a note that says so already is not written");
}
