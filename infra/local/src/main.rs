//! The `vulnrelay` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    vulnrelay::command::main().await
}
