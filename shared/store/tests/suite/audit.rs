//! The audit.

use jiff::SignedDuration;
use store::AuditLine;

use crate::support::*;

fn nth(i: i64) -> AuditLine {
    AuditLine { at: noon() + SignedDuration::from_secs(i), ..line(&format!("person {i}")) }
}

#[tokio::test]
async fn lines_are_listed_newest_first_to_the_last_one() {
    let store = store().await;
    for i in 0..45 {
        store.put_audit(&nth(i)).await.unwrap();
        store.put_audit(&nth(i)).await.unwrap();
    }
    let day = "2026-11-22".parse().unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    for _ in 0..10 {
        let (lines, next) = store.audit_page(day, after.as_deref(), 10).await.unwrap();
        assert!(lines.len() <= 10);
        seen.extend(lines);
        after = next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..45).rev().map(nth).collect();
    assert_eq!(seen, expected, "a line that was written twice is one line");
    let other = store.audit_page("2026-11-23".parse().unwrap(), None, 10).await.unwrap();
    assert_eq!(other, (vec![], None));
    assert_eq!(store.audit_page(day, Some("!"), 10).await.unwrap(), (vec![], None));
}

#[tokio::test]
async fn what_was_not_done_has_no_line() {
    let store = store().await;
    let run = domain::RunId::new(noon(), 1);
    assert_conflict(store.approve_run(&connector(), &run, &line("ana")).await);
    assert_eq!(store.audit_page("2026-11-22".parse().unwrap(), None, 10).await.unwrap().0, []);
}
