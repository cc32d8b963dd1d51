//! What survives a restart and a kill.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use super::test_support::*;
use super::*;

const CHILD_DIR: &str = "VULNRELAY_TEST_DATA_DIR";

async fn create_table(aws: &LocalAws) {
    let attribute = |name| {
        let kind = ScalarAttributeType::S;
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    dynamodb(aws)
        .create_table()
        .table_name("table")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk"))
        .attribute_definitions(attribute("sk"))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .send()
        .await
        .unwrap();
}

async fn put(aws: &LocalAws, pk: &str) {
    let put = dynamodb(aws).put_item().table_name("table").item("pk", AttributeValue::S(pk.to_owned()));
    put.item("sk", AttributeValue::S("ASSET".to_owned())).send().await.unwrap();
}

async fn exists(aws: &LocalAws, pk: &str) -> bool {
    let get = dynamodb(aws).get_item().table_name("table").key("pk", AttributeValue::S(pk.to_owned()));
    get.key("sk", AttributeValue::S("ASSET".to_owned())).send().await.unwrap().item.is_some()
}

#[tokio::test]
async fn what_was_in_flight_is_visible_after_a_restart_and_the_receive_does_not_count() {
    let dir = TempDir::new();
    let aws = start_in(&dir.0).await.unwrap();
    create_table(&aws).await;
    put(&aws, "A#1").await;
    for body in ["failed", "in flight", "waiting"] {
        aws.queues().send("work", body, Duration::ZERO).unwrap();
    }
    let received = aws.queues().receive("work", 2, usize::MAX, None).unwrap().messages;
    aws.queues().settle("work", &[], &[&received[0].receipt], Some(Duration::ZERO)).unwrap();
    drop(aws);

    let aws = start_in(&dir.0).await.unwrap();
    assert!(exists(&aws, "A#1").await);
    assert_eq!(aws.queues().stats("work").unwrap().visible, 3);
    let received = aws.queues().receive("work", 10, usize::MAX, None).unwrap().messages;
    let mut counts: Vec<_> = received.iter().map(|m| (m.body.as_str(), m.receive_count)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [("failed", 2), ("in flight", 1), ("waiting", 1)]);
    aws.shutdown().await;
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_process() {
    let dir = TempDir::new();
    let aws = start_in(&dir.0).await.unwrap();
    let error = start_in(&dir.0).await.err().unwrap();
    assert!(matches!(&error, LocalAwsError::InUse(path) if *path == dir.0), "{error}");
    aws.shutdown().await;
    start_in(&dir.0).await.unwrap();
}

/// Run by the test below in a process of its own: writes, tells so, and goes on until it is killed.
#[tokio::test]
#[ignore = "the child of a_killed_process_loses_nothing"]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let aws = start_in(Path::new(&dir)).await.unwrap();
    create_table(&aws).await;
    for n in 0.. {
        put(&aws, &format!("A#{n}")).await;
        aws.queues().send("work", &n.to_string(), Duration::ZERO).unwrap();
        aws.queues().receive("work", 1, usize::MAX, None).unwrap();
        println!("\nwritten {n}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let dir = TempDir::new();
    let child_test = format!("{}::child_that_is_killed", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&child_test, "--exact", "--ignored", "--nocapture"])
        .env(CHILD_DIR, &dir.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut written: usize = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(n) = line.unwrap().strip_prefix("written ") {
            written = n.parse().unwrap();
        }
        if written == 50 {
            break;
        }
    }
    assert_eq!(written, 50);
    child.kill().unwrap();
    child.wait().unwrap();

    let aws = start_in(&dir.0).await.unwrap();
    for n in 0..=written {
        assert!(exists(&aws, &format!("A#{n}")).await, "item {n}");
    }
    let stats = aws.queues().stats("work").unwrap();
    assert!(stats.visible > written as u64, "{stats:?}");
    assert_eq!(stats.in_flight, 0);
}

#[tokio::test]
async fn schedules_keep_their_times_over_a_restart() {
    let dir = TempDir::new();
    let clock = clock();
    let entries = || {
        let every = |name: &str, secs| ScheduleEntry {
            name: name.to_owned(),
            when: When::Every(seconds(secs)),
            queue: "other".to_owned(),
            body: format!("{{\"connector\":\"{name}\",\"start\":\"scheduled\"}}"),
        };
        vec![every("hourly", 3600), every("daily", 86_400)]
    };
    let open = || Arc::new(Queues::open(Some(&dir.0.join("queues.db")), queues(), clock.clone()).unwrap());
    std::fs::create_dir_all(&dir.0).unwrap();
    {
        let scheduler = Scheduler::new(open(), entries()).unwrap();
        assert_eq!(scheduler.tick().unwrap(), ["hourly", "daily"]);
        assert!(scheduler.tick().unwrap().is_empty());
    }
    clock.advance(seconds(2 * 3600 + 60));
    let queues = open();
    let scheduler = Scheduler::new(Arc::clone(&queues), entries()).unwrap();
    assert_eq!(scheduler.tick().unwrap(), ["hourly"]);
    assert_eq!(queues.pending(&["other"]).unwrap(), 3);
    let status = scheduler.status().unwrap();
    assert_eq!(status[0].next.unwrap().to_string(), "2026-11-22T15:00:00Z");
    assert_eq!(status[1].next.unwrap().to_string(), "2026-11-23T12:00:00Z");
    scheduler.fire_all().unwrap();
    assert_eq!(queues.pending(&["other"]).unwrap(), 5);
}

#[tokio::test]
async fn a_schedule_runs_in_the_background() {
    let aws = start().await;
    let entry = ScheduleEntry {
        name: "second".to_owned(),
        when: When::Every(seconds(1)),
        queue: "other".to_owned(),
        body: "x".to_owned(),
    };
    let scheduler = Scheduler::new(Arc::clone(aws.queues()), vec![entry]).unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(1300), scheduler.run()).await;
    assert_eq!(aws.queues().pending(&["other"]).unwrap(), 2);
}
