//! `vulnrelay exposure`: takes over firewall rules.

use std::sync::Arc;

use domain::exposure::firewall::RuleList;
use queue::{AssetWalk, ExposureMessage, QueueName};
use serde::Serialize;

use super::{ExposureImportArgs, Failure, inventory, load, start};
use crate::clock::StackClock;
use crate::terminal;

/// Who has imported what is imported here.
const AUTHOR: &str = "vulnrelay exposure import";

/// What became of a list.
#[derive(Debug, Serialize)]
struct Summary {
    /// Rules that are in force now.
    rules: usize,
    /// Rows that could not be read.
    refused: usize,
    /// The version that the rules are.
    version: u64,
}

/// Makes a file the firewall rules of a network scope, and looks every asset up in them.
pub async fn import(args: ExposureImportArgs) -> Result<(), Failure> {
    let rows = inventory::read(&args.file)?;
    let loaded = load(&args.state, None)?;
    let stack = start(loaded, args.state.data, Arc::new(StackClock::default())).await?;
    let (name, services) = (args.file.display(), stack.services());
    services.config.check_scope(&args.scope).map_err(Failure::Input)?;
    let (rules, refused) = RuleList::read(rows).map_err(Failure::input)?;
    for (line, problem) in &refused {
        terminal::error(&format!("{name}:{line}: {problem}"));
    }
    if rules.rules.is_empty() && !refused.is_empty() {
        return Err(Failure::Input(format!("{name}: no row can be read: the rules stay as they are")));
    }
    let kept = services.store.put_firewall_rules(&args.scope, &rules, AUTHOR, services.clock.now());
    let version = kept.await.map_err(Failure::failed)?.version;
    let message = ExposureMessage::firewall(AssetWalk::default());
    let message = serde_json::to_string(&message).map_err(Failure::failed)?;
    stack.send(QueueName::Exposure.as_str(), &message)?;
    stack.sources()?.drain().await.map_err(crate::stack::StackError::from)?;
    stack.shutdown().await;
    let summary = Summary { rules: rules.rules.len(), refused: refused.len(), version };
    println!("{}", serde_json::to_string(&summary).map_err(Failure::failed)?);
    if !refused.is_empty() {
        return Err(Failure::Input(format!("{name}: {} rows were left out, named above", refused.len())));
    }
    Ok(())
}
