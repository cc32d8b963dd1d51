//! Builds the clients that a function of vulnrelay builds, then waits for work.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_from_env().await;
    let clients = (
        aws_sdk_dynamodb::Client::new(&config),
        aws_sdk_sqs::Client::new(&config),
        aws_sdk_secretsmanager::Client::new(&config),
    );
    // The same first request as ours: the configuration.
    let table = std::env::var("TABLE")?;
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    clients.0.get_item().table_name(table).key("pk", key("P#config")).key("sk", key("CURRENT")).send().await?;
    run(service_fn(async |event: LambdaEvent<Value>| {
        let _ = &clients;
        Ok::<_, Error>(event.payload)
    }))
    .await
}
