//! SQS and Secrets Manager as the SDK clients see them.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};

use super::test_support::*;
use super::*;

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

async fn receive(aws: &LocalAws, queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
    let received = sqs(aws)
        .receive_message()
        .queue_url(aws.queue_url(queue))
        .max_number_of_messages(10)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .unwrap();
    received.messages.unwrap_or_default()
}

fn receive_count(message: &aws_sdk_sqs::types::Message) -> &str {
    &message.attributes.as_ref().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount]
}

#[tokio::test]
async fn a_message_arrives_and_is_deleted() {
    let aws = start().await;
    let client = sqs(&aws);
    let url = client.get_queue_url().queue_name("work").send().await.unwrap().queue_url.unwrap();
    assert_eq!(url, aws.queue_url("work"));

    let sent = client.send_message().queue_url(&url).message_body("grüße \"\n").send().await.unwrap();
    let messages = receive(&aws, "work").await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body(), Some("grüße \"\n"));
    assert_eq!(messages[0].message_id(), sent.message_id());
    assert_eq!(messages[0].md5_of_body(), sent.md5_of_message_body());
    assert_eq!(receive_count(&messages[0]), "1");

    let receipt = messages[0].receipt_handle().unwrap();
    client.delete_message().queue_url(&url).receipt_handle(receipt).send().await.unwrap();
    assert_eq!(aws.queues().pending(&["work"]).unwrap(), 0);
    // on AWS too, deleting again is no error
    client.delete_message().queue_url(&url).receipt_handle(receipt).send().await.unwrap();
    let error = client.delete_message().queue_url(&url).receipt_handle("x").send().await.unwrap_err();
    assert!(error.into_service_error().is_receipt_handle_is_invalid());
    aws.shutdown().await;
}

#[tokio::test]
async fn a_bad_entry_of_a_batch_fails_alone() {
    let aws = start().await;
    let late = SendMessageBatchRequestEntry::builder()
        .id("late")
        .message_body("x")
        .delay_seconds(901)
        .build()
        .unwrap();
    let attribute = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
    let attributed = SendMessageBatchRequestEntry::builder()
        .id("attributed")
        .message_body("x")
        .message_attributes("a", attribute)
        .build()
        .unwrap();
    let entries = vec![entry("good", "1"), late, entry("control", "\u{1}"), entry("empty", ""), attributed];
    let sent = sqs(&aws)
        .send_message_batch()
        .queue_url(aws.queue_url("work"))
        .set_entries(Some(entries))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful().iter().map(|entry| entry.id()).collect::<Vec<_>>(), ["good"]);
    let failed: Vec<_> =
        sent.failed().iter().map(|entry| (entry.id(), entry.code(), entry.sender_fault())).collect();
    assert_eq!(
        failed,
        [
            ("late", "InvalidParameterValue", true),
            ("control", "InvalidMessageContents", true),
            ("empty", "MissingParameter", true),
            ("attributed", "AWS.SimpleQueueService.UnsupportedOperation", true),
        ]
    );
    assert_eq!(receive(&aws, "work").await.len(), 1);
}

#[tokio::test]
async fn limits_and_errors_are_those_of_aws() {
    let aws = start().await;
    let client = sqs(&aws);
    let url = aws.queue_url("work");
    let batch = async |entries: Vec<SendMessageBatchRequestEntry>| -> SendMessageBatchError {
        let sending = client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send();
        sending.await.unwrap_err().into_service_error()
    };
    assert!(batch(Vec::new()).await.is_empty_batch_request());
    assert!(batch(vec![entry("a", "1"), entry("a", "2")]).await.is_batch_entry_ids_not_distinct());
    assert!(batch(vec![entry("a b", "1")]).await.is_invalid_batch_entry_id());
    assert!(
        batch((0..11).map(|n| entry(&n.to_string(), "x")).collect())
            .await
            .is_too_many_entries_in_batch_request()
    );
    let half = "x".repeat(512 * 1024);
    assert!(
        batch(vec![entry("a", &half), entry("b", &half), entry("c", "x")]).await.is_batch_request_too_long()
    );

    let mebibyte = "\"".repeat(1024 * 1024);
    client.send_message().queue_url(&url).message_body(&mebibyte).send().await.unwrap();
    let error = client.send_message().queue_url(&url).message_body(mebibyte + "x").send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    let error =
        client.send_message().queue_url(&url).message_body("x").delay_seconds(901).send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    let error = client.send_message().queue_url(&url).message_body("\u{0}").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_message_contents());
    let error =
        client.send_message().queue_url(aws.queue_url("none")).message_body("x").send().await.unwrap_err();
    assert!(error.into_service_error().is_queue_does_not_exist());
    let error = client.get_queue_url().queue_name("none").send().await.unwrap_err();
    assert!(error.into_service_error().is_queue_does_not_exist());
    let error = client.create_queue().queue_name("new").send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn a_received_message_hides_until_its_timeout() {
    let clock = clock();
    let aws = start_at(&clock).await;
    let client = sqs(&aws);
    let url = aws.queue_url("work");
    client.send_message().queue_url(&url).message_body("x").send().await.unwrap();

    let first = receive(&aws, "work").await.remove(0);
    clock.advance(seconds(29));
    assert!(receive(&aws, "work").await.is_empty());
    clock.advance(seconds(1));
    let second = receive(&aws, "work").await.remove(0);
    assert_eq!(receive_count(&second), "2");
    assert_eq!(first.message_id(), second.message_id());

    // the receipt of the first receive is worth nothing any more
    let deleting = client.delete_message().queue_url(&url).receipt_handle(first.receipt_handle().unwrap());
    deleting.send().await.unwrap();
    assert_eq!(aws.queues().stats("work").unwrap().in_flight, 1);

    let change = |receipt: &str, timeout| {
        client
            .change_message_visibility()
            .queue_url(&url)
            .receipt_handle(receipt)
            .visibility_timeout(timeout)
            .send()
    };
    change(second.receipt_handle().unwrap(), 100).await.unwrap();
    clock.advance(seconds(99));
    assert!(receive(&aws, "work").await.is_empty());
    change(second.receipt_handle().unwrap(), 0).await.unwrap();
    assert_eq!(aws.queues().stats("work").unwrap().visible, 1);
    let error = change(second.receipt_handle().unwrap(), 5).await.unwrap_err();
    assert!(error.into_service_error().is_message_not_inflight());
}

#[tokio::test]
async fn a_delayed_message_comes_later() {
    let clock = clock();
    let aws = start_at(&clock).await;
    let client = sqs(&aws);
    let url = aws.queue_url("other");
    client.send_message().queue_url(&url).message_body("later").delay_seconds(900).send().await.unwrap();
    client.send_message().queue_url(&url).message_body("now").send().await.unwrap();

    let attributes = client
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap();
    assert_eq!(attributes.len(), 2);
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "1");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessagesDelayed], "1");

    assert_eq!(receive(&aws, "other").await[0].body(), Some("now"));
    clock.advance(seconds(900));
    // the first is visible again by now, and after the second, which was due earlier than its timeout ended
    let bodies: Vec<_> =
        receive(&aws, "other").await.into_iter().filter_map(|message| message.body).collect();
    assert_eq!(bodies, ["now", "later"]);
}

#[tokio::test]
async fn a_message_received_in_vain_becomes_a_dead_letter_and_can_be_redriven() {
    let clock = clock();
    let aws = start_at(&clock).await;
    aws.queues().send("work", "poison", Duration::ZERO).unwrap();
    for _ in 0..3 {
        assert_eq!(receive(&aws, "work").await.len(), 1);
        clock.advance(seconds(30));
    }
    assert!(receive(&aws, "work").await.is_empty());
    assert_eq!(aws.queues().stats("work").unwrap().dead, 1);
    let dead = receive(&aws, "work-dlq").await.remove(0);
    assert_eq!(dead.body(), Some("poison"));
    let source = &dead.attributes.unwrap()[&MessageSystemAttributeName::DeadLetterQueueSourceArn];
    assert_eq!(source, "arn:aws:sqs:us-east-1:000000000000:work");

    assert_eq!(aws.queues().redrive("work-dlq").unwrap(), 1);
    assert_eq!(aws.queues().stats("work").unwrap().dead, 0);
    assert_eq!(receive_count(&receive(&aws, "work").await[0]), "1");
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_message() {
    let aws = start().await;
    let client = sqs(&aws);
    let begun = std::time::Instant::now();
    let polling = client.receive_message().queue_url(aws.queue_url("other")).wait_time_seconds(20).send();
    let sending = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        aws.queues().send("other", "x", Duration::from_millis(200)).unwrap();
    };
    let (received, ()) = tokio::join!(polling, sending);
    assert_eq!(received.unwrap().messages().len(), 1);
    assert!((Duration::from_millis(300)..seconds(10)).contains(&begun.elapsed()));
}

#[tokio::test]
async fn a_long_poll_does_not_hold_up_a_shutdown() {
    let aws = start().await;
    let polling = sqs(&aws).receive_message().queue_url(aws.queue_url("other")).wait_time_seconds(20).send();
    let polling = tokio::spawn(polling);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = std::time::Instant::now();
    aws.shutdown().await;
    assert!(begun.elapsed() < seconds(3));
    assert!(polling.await.unwrap().unwrap().messages().is_empty());
}

#[tokio::test]
async fn secrets_are_told_to_who_has_the_key() {
    let secrets = |name: &str| (name == "tenable").then(|| "{\"key\":\"s3cret\"}".to_owned());
    let config = LocalAwsConfig {
        secrets: Arc::new(secrets),
        access_key_id: Some("LOCAL".to_owned()),
        ..LocalAwsConfig::new(queues())
    };
    let aws = LocalAws::start(config).await.unwrap();
    let client = secrets_manager(&aws, "LOCAL");
    let value = client.get_secret_value().secret_id("tenable").send().await.unwrap();
    assert_eq!(value.secret_string(), Some("{\"key\":\"s3cret\"}"));
    let by_arn = client.get_secret_value().secret_id(value.arn().unwrap()).send().await.unwrap();
    assert_eq!(by_arn.name(), Some("tenable"));

    let error = client.get_secret_value().secret_id("qualys").send().await.unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());
    let other_key = secrets_manager(&aws, "OTHER").get_secret_value().secret_id("tenable").send().await;
    assert_eq!(other_key.unwrap_err().into_service_error().code(), Some("UnrecognizedClientException"));
    let error = sqs(&aws).list_queues().send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnrecognizedClientException"));
}

#[tokio::test]
async fn contradictions_are_found_at_the_start() {
    let refused = async |queues| {
        let error = LocalAws::start(LocalAwsConfig::new(queues)).await.err().unwrap();
        assert!(matches!(error, LocalAwsError::Config(_)), "{error}");
    };
    refused(vec![QueueConfig::new("a"), QueueConfig::new("a")]).await;
    refused(vec![QueueConfig::new("a/b")]).await;
    refused(vec![QueueConfig::new("a").dead_letters("b", 3)]).await;
    refused(vec![QueueConfig::new("a").dead_letters("a", 3)]).await;
    refused(vec![QueueConfig::new("a").dead_letters("b", 0), QueueConfig::new("b")]).await;
}

#[tokio::test]
async fn only_requests_for_this_host_are_answered() {
    use std::io::{Read, Write};
    let aws = start().await;
    let address = aws.endpoint_url().trim_start_matches("http://").to_owned();
    let request = async |line: &str, host: &str| {
        let address = address.clone();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let ask = move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    let answer = request("POST /", &address).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/x-amz-json-1.0"), "{answer}");
    assert!(answer.ends_with("/000000000000/work-dlq\"]}"), "{answer}");
    assert!(request("POST /", "evil.example").await.starts_with("HTTP/1.1 421"));
    assert!(request("GET /", &address).await.starts_with("HTTP/1.1 405"));
}
