//! Starts the function on AWS Lambda.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = configure::Configure::start().await?;
    run(service_fn(async |event: LambdaEvent<configure::Request>| {
        Ok::<_, Error>(function.handle(event.payload).await?)
    }))
    .await
}
