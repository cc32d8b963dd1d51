//! Starts the function on AWS Lambda.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Services;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = sla::Sla::new(&Services::start().await?);
    run(service_fn(async |_: LambdaEvent<serde_json::Value>| Ok::<_, Error>(function.handle().await?))).await
}
