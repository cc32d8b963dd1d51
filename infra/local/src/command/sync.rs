//! `vulnrelay sync` and `vulnrelay check`.

use std::sync::Arc;

use ::sync::files::File;
use domain::policy::Via;
use domain::{CheckLine, Outcome};
use queue::{QueueName, Trigger};

use super::{CheckArgs, Failure, ImportArgs, SyncArgs, engine, load, start};
use crate::aws::EventSources;
use crate::clock::StackClock;
use crate::scanners::Row;
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

/// Takes over files: the same engine and the same decisions, without anybody to ask.
pub async fn import(args: ImportArgs) -> Result<(), Failure> {
    let loaded = load(&args.state, None)?;
    for path in &args.files {
        std::fs::File::open(path)
            .map_err(|e| Failure::Input(format!("{}: {e}: name a file that exists", path.display())))?;
    }
    let stack = start(loaded, args.state.data, Arc::new(StackClock::default())).await?;
    let name = &args.connector;
    let row = match stack.services().config.connector(name) {
        Some(connector) if connector.via() == Some(Via::Files) => Row::of(connector.scanner),
        Some(_) => {
            let remedy = "give files a connector of their own, with via: files";
            return Err(Failure::Input(format!("connector {name} is pulled: {remedy}")));
        }
        None => {
            let remedy = "add one with its type and via: files";
            return Err(Failure::Input(format!("there is no connector {name}: {remedy}")));
        }
    };
    let row = row.ok_or_else(|| Failure::Input(format!("nothing here reads files of {name}")))?;
    let absolute = |path: std::path::PathBuf| std::path::absolute(&path).unwrap_or(path);
    let files = args.files.into_iter().map(|path| File { path: absolute(path), stream: args.stream.clone() });
    let before = Before::note(&stack).await.map_err(Failure::failed)?;
    let started = row.start_with(stack.services(), &engine(), files.collect());
    let sources = stack.sources_with(Some(&started))?;
    terminal::follow(&stack, "feeds", feeds(&stack, &sources)).await?;
    let work = async {
        let request = format!("import at {}", stack.clock().now());
        stack.send(row.scanner.kind().queue, &start_message(name, Trigger::Webhook, &request))?;
        drain(&sources).await
    };
    terminal::follow(&stack, name.as_str(), work).await?;
    stack.send(SLA_QUEUE, "{}")?;
    drain(&sources).await?;
    let dead = dead_letters(&stack)?;
    let mut summary = before.summarise(&stack, dead).await.map_err(Failure::failed)?;
    stack.shutdown().await;
    summary.connectors.retain(|connector| connector.name == *name);
    report(&summary, args.json);
    match summary.connectors.first() {
        Some(connector) if connector.verdict == "complete" => Ok(()),
        other => Err(Failure::Input(
            other
                .and_then(|c| c.reason.clone())
                .unwrap_or_else(|| "the files were not taken over".to_owned()),
        )),
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
        cloud: None,
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
