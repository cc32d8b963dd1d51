//! API tokens.

use domain::Role;
use jiff::SignedDuration;
use store::{ApiToken, AuditLine};

use crate::support::*;

fn token(digest: &str, second: i64) -> ApiToken {
    ApiToken {
        id: ApiToken::id_of(digest).to_owned(),
        name: "export job".into(),
        role: Role::Viewer,
        created_by: "ana".into(),
        created_at: noon() + SignedDuration::from_secs(second),
        expires_at: noon() + SignedDuration::from_hours(24),
        revoked_at: None,
        revoked_by: None,
    }
}

#[tokio::test]
async fn a_token_is_kept_by_its_digest_and_revoked_once() {
    let store = store().await;
    let digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let new = token(digest, 0);
    assert_eq!(new.id, "0123456789abcdef");
    assert_eq!(store.token(&new.id).await.unwrap(), None);
    store.create_token(&new, digest, &line("ana")).await.unwrap();
    assert_conflict(store.create_token(&new, digest, &line("ana")).await);
    assert_eq!(store.token(&new.id).await.unwrap(), Some((new.clone(), digest.to_owned())));
    assert!(new.is_valid(noon()) && !new.is_valid(new.expires_at));

    let later = AuditLine { at: noon() + SignedDuration::from_secs(9), ..line("bob") };
    assert!(store.revoke_token(&new.id, &later).await.unwrap());
    assert!(store.revoke_token(&new.id, &line("eve")).await.unwrap(), "it is revoked, whoever asks again");
    let (revoked, kept) = store.token(&new.id).await.unwrap().unwrap();
    assert_eq!((revoked.revoked_at, revoked.revoked_by.as_deref()), (Some(later.at), Some("bob")));
    assert!(!revoked.is_valid(noon()) && kept == digest);
    assert!(!store.revoke_token("ffffffffffffffff", &later).await.unwrap());

    let lines = store.audit_page("2026-11-22".parse().unwrap(), None, 10).await.unwrap().0;
    assert_eq!(lines.iter().map(|line| line.by.as_str()).collect::<Vec<_>>(), ["bob", "ana"]);
}

#[tokio::test]
async fn tokens_are_listed_newest_first() {
    let store = store().await;
    for i in 0..7 {
        let digest = format!("{i:064x}").chars().rev().collect::<String>();
        store.create_token(&token(&digest, i), &digest, &line("ana")).await.unwrap();
    }
    let (first, next) = store.tokens_page(None, 4).await.unwrap();
    let (second, end) = store.tokens_page(next.as_deref(), 4).await.unwrap();
    let seen: Vec<_> = first.iter().chain(&second).map(|token| token.created_at).collect();
    let expected: Vec<_> = (0..7).rev().map(|i| noon() + SignedDuration::from_secs(i)).collect();
    assert_eq!((first.len(), seen, end), (4, expected, None));
}
