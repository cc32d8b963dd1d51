//! Starts the function on AWS Lambda.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Services;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = dashboard::Function::new(Services::start().await?);
    run(service_fn(async |event: LambdaEvent<_>| Ok::<_, Error>(function.handle(event.payload).await?))).await
}
