//! Functions on queues: partial failures, dead letters, draining, running.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::test_support::*;
use super::*;

type Answer = Result<SqsBatchResponse, String>;

/// A handler from a plain function of the event.
fn handler(work: impl Fn(SqsEvent) -> Answer + Send + Sync + 'static) -> Handler {
    Arc::new(move |event| {
        let answer = work(event);
        Box::pin(async move { answer })
    })
}

/// A handler that fails the messages whose body says so.
fn failing(bad: impl Fn(&str) -> bool + Send + Sync + 'static) -> Handler {
    handler(move |event| {
        let bad = event.records.into_iter().filter(|record| bad(record.body.as_deref().unwrap()));
        Ok(failed(bad.map(|record| record.message_id.unwrap())))
    })
}

fn failed(ids: impl Iterator<Item = String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = ids
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    response
}

fn sources(aws: &LocalAws, sources: Vec<EventSource>) -> EventSources {
    EventSources::new(Arc::clone(aws.queues()), sources).unwrap()
}

/// Moves the clock to whatever comes next.
fn skip_to(clock: &Arc<ManualClock>) -> impl FnMut(jiff::Timestamp) -> Idle {
    let clock = Arc::clone(clock);
    move |next| {
        clock.set(next);
        Idle::Advanced
    }
}

fn tally(batches: u64, delivered: u64, failed: u64, dead_lettered: u64) -> Tally {
    Tally { batches, delivered, failed, dead_lettered }
}

#[tokio::test]
async fn the_event_is_that_of_lambda() {
    let clock = clock();
    let aws = start_at(&clock).await;
    let id = aws.queues().send("work", "{\"a\":1}", Duration::ZERO).unwrap();
    clock.advance(seconds(5));
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let keeping = handler(move |event| {
        *keep.lock().unwrap() = Some(event);
        Ok(SqsBatchResponse::default())
    });
    sources(&aws, vec![EventSource::new("work", keeping)]).drain().await.unwrap();

    let event = seen.lock().unwrap().take().unwrap();
    let json = serde_json::to_value(&event).unwrap();
    let record = &json["Records"][0];
    assert_eq!(record["messageId"], id);
    assert_eq!(record["body"], "{\"a\":1}");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:work");
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["attributes"]["SentTimestamp"], "1795348800000");
    assert_eq!(record["attributes"]["ApproximateFirstReceiveTimestamp"], "1795348805000");
}

#[tokio::test]
async fn a_failed_message_comes_back_alone_until_it_is_given_up() {
    let clock = clock();
    let aws = start_at(&clock).await;
    for n in 0..10 {
        aws.queues().send("work", &n.to_string(), Duration::ZERO).unwrap();
    }
    let mut source = EventSource::new("work", failing(|body| body == "3"));
    source.batch_size = 4;
    source.retry_delay = Some(seconds(2));
    let sources = sources(&aws, vec![source]);
    let stats = sources.drain_with(skip_to(&clock)).await.unwrap();

    assert_eq!(stats["work"], tally(5, 12, 3, 1));
    assert_eq!(sources.totals(), stats);
    assert_eq!(clock.now().to_string(), "2026-11-22T12:00:04Z");
    let work = aws.queues().stats("work").unwrap();
    assert_eq!((work.visible, work.in_flight, work.delayed, work.dead), (0, 0, 0, 1));
}

#[tokio::test]
async fn an_error_a_panic_a_timeout_and_a_malformed_answer_fail_the_whole_batch() {
    let hanging: Handler = Arc::new(|_| Box::pin(std::future::pending()));
    let panicking_later: Handler = Arc::new(|_| Box::pin(async { panic!("later") }));
    let handlers = [
        handler(|_| Err("no".to_owned())),
        handler(|_| panic!("at once")),
        panicking_later,
        hanging,
        handler(|_| Ok(failed(["unknown".to_owned()].into_iter()))),
        handler(|event| {
            let known = event.records[0].message_id.clone().unwrap();
            Ok(failed([known, String::new()].into_iter()))
        }),
    ];
    for (n, handler) in handlers.into_iter().enumerate() {
        let clock = clock();
        let aws = start_at(&clock).await;
        aws.queues().send("work", "1", Duration::ZERO).unwrap();
        aws.queues().send("work", "2", Duration::ZERO).unwrap();
        let mut source = EventSource::new("work", handler);
        source.timeout = Duration::from_millis(50);
        let stats = sources(&aws, vec![source]).drain_with(skip_to(&clock)).await.unwrap();
        assert_eq!(stats["work"], tally(3, 6, 6, 2), "handler {n}");
        // without a retry delay a failed message waits for its visibility timeout
        assert_eq!(clock.now().to_string(), "2026-11-22T12:01:00Z", "handler {n}");
    }
}

#[tokio::test]
async fn draining_follows_messages_from_queue_to_queue_and_waits_for_delayed_ones() {
    let aws = start().await;
    let client = sqs(&aws);
    let url = aws.queue_url("other");
    let sending: Handler = Arc::new(move |event| {
        let (client, url) = (client.clone(), url.clone());
        Box::pin(async move {
            for record in event.records {
                let body = record.body.unwrap();
                let send = client.send_message().queue_url(&url).message_body(body).delay_seconds(1);
                send.send().await.map_err(|error| error.to_string())?;
            }
            Ok(SqsBatchResponse::default())
        })
    });
    aws.queues().send("work", "x", Duration::ZERO).unwrap();
    let sources =
        sources(&aws, vec![EventSource::new("other", failing(|_| false)), EventSource::new("work", sending)]);
    let begun = Instant::now();
    let stats = sources.drain().await.unwrap();
    assert_eq!((stats["work"], stats["other"]), (tally(1, 1, 0, 0), tally(1, 1, 0, 0)));
    assert!((seconds(1)..seconds(10)).contains(&begun.elapsed()));
}

#[tokio::test]
async fn draining_stops_when_told() {
    let aws = start().await;
    aws.queues().send("work", "x", seconds(600)).unwrap();
    let sources = sources(&aws, vec![EventSource::new("work", failing(|_| false))]);
    let stats = sources.drain_with(|_| Idle::Stop).await.unwrap();
    assert_eq!(stats["work"], Tally::default());
    assert_eq!(aws.queues().stats("work").unwrap().delayed, 1);
}

#[tokio::test]
async fn in_the_background_messages_are_handled_at_once_within_the_concurrency() {
    let aws = start().await;
    let (running_now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running_now), Arc::clone(&most));
    let slow: Handler = Arc::new(move |_| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        Box::pin(async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(SqsBatchResponse::default())
        })
    });
    let mut source = EventSource::new("work", slow);
    source.batch_size = 1;
    source.max_concurrency = 3;
    let sources = sources(&aws, vec![source]);
    let running = sources.run();
    tokio::time::sleep(Duration::from_millis(50)).await;

    let client = sqs(&aws);
    let begun = Instant::now();
    client.send_message().queue_url(aws.queue_url("work")).message_body("x").send().await.unwrap();
    running.idle().await.unwrap();
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());

    for n in 0..20 {
        aws.queues().send("work", &n.to_string(), Duration::from_millis(n)).unwrap();
    }
    running.idle().await.unwrap();
    running.stop(seconds(1)).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(sources.totals()["work"], tally(21, 21, 0, 0));
}

#[tokio::test]
async fn stopping_drops_functions_that_take_too_long() {
    let aws = start().await;
    let hanging: Handler = Arc::new(|_| Box::pin(std::future::pending()));
    let sources = sources(&aws, vec![EventSource::new("work", hanging)]);
    let running = sources.run();
    aws.queues().send("work", "x", Duration::ZERO).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    running.stop(Duration::from_millis(100)).await;
    assert!(begun.elapsed() < seconds(2));
    assert_eq!(aws.queues().stats("work").unwrap().in_flight, 1);
}

#[tokio::test]
async fn a_function_may_not_outlive_the_visibility_of_its_messages() {
    let aws = start().await;
    let refused = |source| EventSources::new(Arc::clone(aws.queues()), source).is_err();
    let mut source = EventSource::new("work", failing(|_| false));
    source.timeout = seconds(31);
    assert!(refused(vec![source.clone()]));
    source.timeout = seconds(30);
    assert!(refused(vec![source.clone(), source.clone()]));
    source.batch_size = 0;
    assert!(refused(vec![source]));
    assert!(refused(vec![EventSource::new("none", failing(|_| false))]));
}

#[tokio::test]
async fn ten_thousand_messages_take_seconds() {
    let dir = TempDir::new();
    let aws = start_in(&dir.0).await.unwrap();
    let client = sqs(&aws);
    let url = aws.queue_url("work");
    let body = "x".repeat(300);
    let begun = Instant::now();
    for _ in 0..1000 {
        let entries = (0..10).map(|n| {
            SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(&body).build().unwrap()
        });
        client
            .send_message_batch()
            .queue_url(&url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .unwrap();
    }
    let sent = begun.elapsed();
    let stats = sources(&aws, vec![EventSource::new("work", failing(|_| false))]).drain().await.unwrap();
    let drained = begun.elapsed() - sent;
    println!("10,000 messages: sent in {sent:?}, drained in {drained:?}");
    assert_eq!(stats["work"], tally(1000, 10_000, 0, 0));
    assert!(begun.elapsed() < seconds(30), "sent in {sent:?}, drained in {drained:?}");
}
