//! `vulnrelay sync` and `vulnrelay check`.

use std::sync::Arc;

use domain::{CheckLine, Outcome};
use queue::{QueueName, Trigger};

use super::{CheckArgs, Failure, SyncArgs, load, start};
use crate::aws::EventSources;
use crate::clock::StackClock;
use crate::stack::{INTEL_START, SLA_QUEUE, Stack, StackError, start_message};
use crate::summary::{Before, Summary};
use crate::terminal;

pub async fn sync(args: SyncArgs) -> Result<(), Failure> {
    if !args.once {
        return Err(Failure::Input("say --once; `vulnrelay up` is what keeps running".into()));
    }
    let loaded = load(&args.state, None)?;
    let stack = start(loaded, args.state.data, Arc::new(StackClock::default())).await?;
    let refused = refusals(&stack).await;
    if !refused.is_empty() {
        // Nothing has been pulled, nothing stored has changed.
        return Err(Failure::Input(refused.join("\n")));
    }
    let before = Before::note(&stack).await.map_err(Failure::failed)?;
    let sources = stack.sources()?;
    terminal::follow(&stack, "feeds", feeds(&stack, &sources)).await?;
    // One connector after the other: what they find is decided in the same order each time.
    for connector in stack.services().config.pulled() {
        let work = async {
            let trigger = if args.full { Trigger::Full } else { Trigger::Scheduled };
            let request = format!("command at {}", stack.clock().now());
            let message = start_message(&connector.name, trigger, &request);
            stack.send(QueueName::Sync(connector.scanner).as_str(), &message)?;
            drain(&sources).await
        };
        terminal::follow(&stack, connector.name.as_str(), work).await?;
    }
    stack.send(SLA_QUEUE, "{}")?;
    drain(&sources).await?;
    let dead = dead_letters(&stack)?;
    let summary = before.summarise(&stack, dead).await.map_err(Failure::failed)?;
    stack.shutdown().await;
    report(&summary, args.json);
    let failed: Vec<_> =
        summary.connectors.iter().filter(|c| matches!(c.verdict, "failed" | "none" | "running")).collect();
    match failed.first() {
        Some(connector) => Err(Failure::Failed(format!(
            "{}: {}",
            connector.name,
            connector.reason.as_deref().unwrap_or("its run did not end, see the dead letters")
        ))),
        None => Ok(()),
    }
}

/// What makes a sync pointless: wrong credentials, or a configuration that cannot work. A scanner that is merely out
/// of reach is the run's affair.
async fn refusals(stack: &Stack) -> Vec<String> {
    let mut refused = Vec::new();
    for connector in &stack.services().config.connectors {
        let check = stack.check(connector).await;
        // A right that is missing leaves out one stream; the run says so.
        let bad = |line: &CheckLine| line.outcome == Outcome::Bad && line.what == "credentials";
        refused.extend(check.into_iter().flat_map(|check| check.lines).filter(bad).map(|line| line.says));
    }
    refused
}

async fn feeds(stack: &Stack, sources: &EventSources) -> Result<(), StackError> {
    stack.send(QueueName::Intel.as_str(), INTEL_START)?;
    drain(sources).await
}

async fn drain(sources: &EventSources) -> Result<(), StackError> {
    sources.drain().await?;
    Ok(())
}

fn dead_letters(stack: &Stack) -> Result<u64, StackError> {
    let stats = stack.aws().queues().all_stats()?;
    Ok(stats.iter().filter(|stats| stats.queue.ends_with("-dead")).map(|stats| stats.visible).sum())
}

fn report(summary: &Summary, json: bool) {
    if json {
        println!("{}", serde_json::to_string(summary).unwrap_or_default());
        return;
    }
    for connector in &summary.connectors {
        terminal::done(&format!(
            "{}: {} ({} received, {} written, {} opened, {} reopened, {} closed, {} unchanged)",
            connector.name,
            connector.verdict,
            connector.received,
            connector.written,
            connector.opened,
            connector.reopened,
            connector.closed,
            connector.unchanged
        ));
        if let Some(reason) = &connector.reason {
            terminal::notice(reason);
        }
    }
    terminal::done(&format!(
        "{} tickets, {} notifications, {:.0} write units, {:.0} read units, {:.1} s",
        summary.tickets,
        summary.notifications,
        summary.capacity.write_units,
        summary.capacity.read_units,
        summary.seconds
    ));
}

pub async fn check(args: CheckArgs) -> Result<(), Failure> {
    let loaded = load(&args.state, None)?;
    // A check leaves no trace: its state is in memory.
    let stack = crate::stack::Stack::start(crate::stack::StackConfig {
        data: None,
        config: (loaded.name, loaded.text),
        author: "check".into(),
        secrets: Arc::new(loaded.secrets),
        clock: Arc::new(StackClock::default()),
        engine: sync::EngineOptions::default(),
        http: sync::HttpOptions::default(),
        retry_delay: std::time::Duration::from_secs(1),
        connector: None,
        around: None,
    })
    .await?;
    let mut good = true;
    for connector in &stack.services().config.connectors {
        let Some(check) = stack.check(connector).await else {
            terminal::done(&format!(
                "{}: its findings arrive as events, there is nobody to ask",
                connector.name
            ));
            continue;
        };
        good &= check.is_good();
        for CheckLine { what, outcome, says } in &check.lines {
            let line = format!("{}: {what}: {says}", connector.name);
            match outcome {
                Outcome::Good => terminal::done(&line),
                Outcome::Doubtful => terminal::notice(&line),
                Outcome::Bad | Outcome::Unknown => terminal::error(&line),
            }
        }
        if args.json {
            let line =
                serde_json::json!({ "connector": connector.name, "at": check.at, "lines": check.lines });
            println!("{line}");
        }
    }
    if good { Ok(()) } else { Err(Failure::Input("not every connector works: see above".into())) }
}
