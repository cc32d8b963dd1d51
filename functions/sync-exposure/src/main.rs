//! Starts the function on AWS Lambda.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Services;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (services, aws) = Services::start_with_aws().await?;
    let function = sync_exposure::SyncExposure::new(&services, aws);
    run(service_fn(async |event: LambdaEvent<aws_lambda_events::sqs::SqsEvent>| {
        Ok::<_, Error>(function.handle(event.payload).await)
    }))
    .await
}
