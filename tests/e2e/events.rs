//! Every sample in `events/`, as it is, through the handler of its function.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::sqs::SqsBatchResponse;
use dashboard::{Dashboard, Door, TokenDoor};
use serde::de::DeserializeOwned;

use crate::site::{Setup, Site};

/// When the samples were made.
const MADE_AT: i64 = 1_795_305_600;

fn text(name: &str) -> String {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sample<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A site whose connectors have the names of the samples, at the time of the samples.
async fn site() -> Site {
    let setup = Setup::new(2).edit("qualys-demo", "qualys-prod").edit("tenable-demo", "tenable-prod");
    let setup = setup.edit("\n\nfeeds:\n", "\n  - name: aws-prod\n    type: aws\n\nfeeds:\n");
    let setup = crate::console::with_console(setup, "report").edit("console-demo", "console-prod");
    let setup = crate::nessus::with_nessus(setup).edit("nessus-demo", "nessus-prod");
    let setup = setup.edit(
        "\n\nfeeds:\n",
        "\n  - name: insightvm-prod\n    type: insightvm\n    base_url: https://us.api.insight.rapid7.com\n    \
         auth: { method: api_key, key: \"${SIMULATED_INSIGHTVM_KEY}\" }\n\nfeeds:\n",
    );
    let site = Site::start(setup).await;
    site.stack.clock().hold(jiff::Timestamp::from_second(MADE_AT).unwrap());
    site
}

fn assert_all_worked(name: &str, response: &SqsBatchResponse) {
    let failed: Vec<_> = response.batch_item_failures.iter().map(|f| &f.item_identifier).collect();
    assert!(failed.is_empty(), "{name}: {failed:?} failed");
}

#[tokio::test]
async fn the_samples_of_queues_are_worked() {
    let site = site().await;
    let services = site.stack.services();
    let engine = sync::EngineOptions::default;
    let http = || sync::HttpOptions::default();
    let tenable = sync_tenable::function_with(services, engine(), http());
    let qualys = sync_qualys::function_with(services, engine(), http());
    assert_all_worked("sync-tenable", &tenable.handle(sample("sync-tenable")).await);
    assert_all_worked("sync-qualys", &qualys.handle(sample("sync-qualys")).await);
    let console = sync_insightvm_console::function_with(services, engine(), http());
    let name = "sync-insightvm-console";
    assert_all_worked(name, &console.handle(sample("sync-insightvm-console")).await);
    let nessus = sync_nessus::function_with(services, engine(), http());
    assert_all_worked("sync-nessus", &nessus.handle(sample("sync-nessus")).await);
    let insightvm = sync_insightvm::function_with(services, engine(), http());
    assert_all_worked("sync-insightvm", &insightvm.handle(sample("sync-insightvm")).await);
    for connector in ["tenable-prod", "qualys-prod", "nessus-prod", "console-prod", "insightvm-prod"] {
        let runs = services.store.runs(&connector.parse().unwrap(), 5).await.unwrap();
        assert_eq!(runs.len(), 1, "the sample starts a run of {connector}");
    }
    let aws = sync_aws::SyncAws::new(services);
    assert_all_worked("sync-aws", &aws.handle(sample("sync-aws")).await);
    assert_all_worked("sync-aws-security-hub", &aws.handle(sample("sync-aws-security-hub")).await);
    let intel = sync_intel::SyncIntel::new(services);
    assert_all_worked("sync-intel", &intel.handle(sample("sync-intel")).await);
    let exposure = sync_exposure::SyncExposure::new(services, aws_config::SdkConfig::builder().build());
    assert_all_worked("sync-exposure", &exposure.handle(sample("sync-exposure")).await);
    let score = score::Score::new(services);
    assert_all_worked("score", &score.handle(sample("score")).await);
    let notify = notify::Notify::new(services);
    assert_all_worked("notify", &notify.handle(sample("notify")).await);
    let ticket = ticket::Ticket::new(services);
    assert_all_worked("ticket", &ticket.handle(sample("ticket")).await);
    // The schedule's event says nothing that the function needs; it has to be JSON all the same.
    let _: serde_json::Value = sample("sla");
    sla::Sla::new(services).handle().await.unwrap();
}

#[tokio::test]
async fn the_samples_of_the_api_are_answered() {
    let site = site().await;
    let services = site.stack.services();
    let page = Dashboard::new(services, Door::Token(TokenDoor::new("sample", "operator")));
    let answer = page.handle(sample::<ApiGatewayV2httpRequest>("dashboard")).await;
    assert_eq!(answer.status_code, 200);

    // Signed with "sample", at its time: whoever has another secret refuses it, in time and rightly read.
    let push: ApiGatewayV2httpRequest = sample("webhook");
    let signature = push.headers["x-vulnrelay-signature"].to_str().unwrap();
    let body = push.body.clone().unwrap();
    assert_eq!(webhook::sign("sample", MADE_AT, body.as_bytes()), signature);
    assert_eq!(webhook::Webhook::new(services).handle(push).await.status_code, 401);
}

#[tokio::test]
async fn every_sample_is_run_here_and_every_function_has_one() {
    let folder = |path: &str| -> Vec<String> {
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        let names =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter_map(|name| Some(name.split('.').next()?.to_owned())).collect();
        names.sort();
        names
    };
    let source = include_str!("events.rs");
    for name in folder("events").iter().filter(|name| *name != "README") {
        assert!(source.contains(&format!("\"{name}\"")), "no test runs events/{name}.json");
    }
    for function in folder("functions") {
        assert!(folder("events").contains(&function), "{function} has no sample in events/");
    }
    let create: configure::Request = sample("configure");
    assert_eq!(create.request_type, configure::RequestType::Create);
    platform::parse_config(&create.resource_properties.name, &create.resource_properties.document).unwrap();
}
