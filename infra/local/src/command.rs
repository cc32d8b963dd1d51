//! The `vulnrelay` command: output for programs is JSON Lines on stdout, words go to stderr; exit 0 done, 1 failed,
//! 2 bad usage or bad input.

mod backtest;
mod correlate;
mod cost;
mod drill;
mod explain;
mod exposure;
mod files;
mod identity;
mod inventory;
mod schema;
mod simulate;
mod sync;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::clock::StackClock;
use crate::secrets::LocalSecrets;
use crate::stack::{SECRET_PREFIX, Stack, StackConfig};
use crate::terminal;

/// Where state is kept unless said otherwise.
const DEFAULT_DATA: &str = ".vulnrelay";
/// Hosts of the demo unless said otherwise.
const DEFAULT_DEMO: usize = 40;

/// Pulls vulnerability scanners, merges what they say, decides what matters, and sees it through to fixed.
#[derive(Parser)]
#[command(name = "vulnrelay", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The whole system on this machine; without --config a demo on simulated scanners (the default command)
    Up(UpArgs),
    /// Run every connector once, work everything that follows, print a summary
    Sync(SyncArgs),
    /// Try each connector out: address, credentials, clock, and the right to each stream
    Check(CheckArgs),
    /// Take over files with a scanner's answers, for a connector with `via: files`
    Import(ImportArgs),
    /// Take over what people know of machines: owner, criticality, services, environment, exposure
    Inventory(InventoryArgs),
    /// Who can reach machines
    #[command(subcommand)]
    Exposure(ExposureCommand),
    /// Serve every simulated outside system, and print the configuration to use with them
    Simulate(SimulateArgs),
    /// Turn files of a scanner's answers into normalised assets, findings and rules
    Normalize(NormalizeArgs),
    /// Find which sightings are one machine: lines of sightings to lines of assets
    Correlate(CorrelateArgs),
    /// Why an asset is one machine, and why findings are one vulnerability
    Explain(ExplainArgs),
    /// Whom a CVE touches: assets, owners, services, tickets, deadlines, exposure, and what changed
    Drill(DrillArgs),
    /// What the rules of identity would do
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Score lines of factors
    Score(FileArg),
    /// How well the score of a day would have chosen what KEV listed after it, against EPSS and CVSS
    Backtest(BacktestArgs),
    /// Compute a deadline from a document of events and a policy, with the arithmetic
    Sla(FileArg),
    /// What measured units cost: a file with the summaries of `sync --once --json`, one a line
    Cost(FileArg),
    /// Print the JSON schema of connectors.yaml
    Schema,
    /// Print everything: assets, vulnerabilities with their findings, tickets, deliveries
    Export(ExportArgs),
}

#[derive(Args, Clone)]
struct StateArgs {
    /// The configuration (connectors.yaml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of secrets: NAME: text, one a line. The environment comes first
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Directory of the state
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

#[derive(Args)]
struct UpArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Port of the pages, on 127.0.0.1
    #[arg(long, default_value_t = 8420)]
    port: u16,
    /// Hosts of the demo
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_DEMO)]
    demo: usize,
}

#[derive(Args)]
struct SyncArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Stop when everything is worked
    #[arg(long)]
    once: bool,
    /// Ask for everything, not only for what changed
    #[arg(long)]
    full: bool,
    /// Print the summary as one JSON line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ImportArgs {
    #[command(flatten)]
    state: StateArgs,
    /// The connector that the files belong to
    #[arg(long, value_name = "NAME")]
    connector: domain::ConnectorName,
    /// The stream that the files hold; told from the content where left out, but for chunks of Tenable
    #[arg(long, value_name = "NAME", default_value = "")]
    stream: String,
    /// Print the summary as one JSON line
    #[arg(long)]
    json: bool,
    /// The files; definitions before the findings that name them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Args)]
struct InventoryArgs {
    #[command(flatten)]
    state: StateArgs,
    /// CSV with a line of names, a JSON array, or a JSON object a line. Columns: fqdn, hostname, ip, mac, serial,
    /// bios_uuid, cloud, agent_id, scope; owner, criticality, services, environment,
    /// exposure
    file: PathBuf,
}

#[derive(Subcommand)]
enum ExposureCommand {
    /// Take over firewall rules, in the place of those that are there, and look every asset up in them
    Import(ExposureImportArgs),
}

#[derive(Args)]
struct ExposureImportArgs {
    #[command(flatten)]
    state: StateArgs,
    /// The network scope whose addresses the rules name
    #[arg(long, value_name = "NAME", default_value = "default")]
    scope: String,
    /// CSV with a line of names, a JSON array, or a JSON object a line. Columns: source (internet, partner, internal, any,
    /// a network), destination, protocol, ports, action (allow, deny), order, name. The first rule that matches wins
    file: PathBuf,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Print what was found as JSON, one line a connector
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct SimulateArgs {
    /// Port, on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9200)]
    port: u16,
    /// Same seed, same estate
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hosts
    #[arg(long, default_value_t = DEFAULT_DEMO)]
    size: usize,
    /// Day of the estate; day 0 is today unless --start says otherwise
    #[arg(long, default_value_t = 0)]
    day: u32,
    /// Date of day 0
    #[arg(long, value_name = "DATE")]
    start: Option<jiff::civil::Date>,
    /// Faults, for example `qualys.detection:error=500@0.5`
    #[arg(long, value_name = "SPEC", default_value = "")]
    faults: String,
}

#[derive(Args)]
struct NormalizeArgs {
    /// qualys, tenable, insightvm-console or aws
    #[arg(long)]
    scanner: domain::Scanner,
    /// tenable: assets, vulnerabilities; qualys: asset_inventory, host_detections, knowledge_base;
    /// insightvm-console: assets, vulnerabilities, definitions, report, report_rules, xml. Told from the
    /// content where left out
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Args)]
struct FileArg {
    /// The file; `-` is standard input
    file: PathBuf,
}

#[derive(Args)]
struct CorrelateArgs {
    /// The sightings; `-` is standard input
    file: PathBuf,
    /// An identifier that many machines share, as kind|scope|value: it leads to none. May be repeated
    #[arg(long, value_name = "IDENTIFIER")]
    shared: Vec<domain::identity::Identifier>,
    /// An identifier of one machine that must never be learned to be shared. May be repeated
    #[arg(long, value_name = "IDENTIFIER", conflicts_with = "config")]
    never_shared: Vec<domain::identity::Identifier>,
    /// Takes both from the section `identity` of a configuration
    #[arg(long, value_name = "FILE", conflicts_with = "shared")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct ExplainArgs {
    #[command(flatten)]
    state: StateArgs,
    /// The id of an asset (a-…) or of a vulnerability (v-…)
    id: String,
}

#[derive(Args)]
struct DrillArgs {
    #[command(flatten)]
    state: StateArgs,
    /// The CVE
    cve: domain::CveId,
}

#[derive(Args)]
struct BacktestArgs {
    /// A KEV catalogue (JSON) of later: what came true
    #[arg(long, value_name = "FILE")]
    kev: PathBuf,
    /// EPSS of the day (CSV, also gzipped)
    #[arg(long, value_name = "FILE")]
    epss: Option<PathBuf>,
    /// Exploit-DB's index of the day
    #[arg(long, value_name = "FILE")]
    exploitdb: Option<PathBuf>,
    /// Metasploit's index of the day
    #[arg(long, value_name = "FILE")]
    metasploit: Option<PathBuf>,
    /// nuclei's index of the day
    #[arg(long, value_name = "FILE")]
    nuclei: Option<PathBuf>,
    /// CVE records of the day (tar.gz): SSVC and CVSS
    #[arg(long, value_name = "FILE")]
    vulnrichment: Option<PathBuf>,
    /// More that was known on the day, in the lines of `vulnrelay score`; goes before the feeds. `-` is standard input
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// The day; left out, the date of the EPSS file
    #[arg(long, value_name = "DATE")]
    as_of: Option<jiff::civil::Date>,
    /// Within how many days after it a listing counts. May be repeated
    #[arg(long, value_name = "DAYS", default_values_t = [30, 90, 365])]
    days: Vec<u32>,
}

#[derive(Subcommand)]
enum IdentityCommand {
    /// What another configuration would merge, split and close, before it applies
    Preview(PreviewArgs),
}

#[derive(Args)]
struct PreviewArgs {
    /// The other configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory of the state
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

#[derive(Args)]
struct ExportArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Format of the output
    #[arg(long, default_value = "jsonl", value_parser = ["jsonl"])]
    format: String,
    /// Leave out what differs between two runs over the same data
    #[arg(long)]
    stable: bool,
}

/// What went wrong, and whose fault it is.
pub enum Failure {
    /// Bad usage or bad input: exit 2.
    Input(String),
    /// Anything else: exit 1.
    Failed(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<crate::stack::StackError> for Failure {
    fn from(error: crate::stack::StackError) -> Self {
        use crate::stack::StackError;
        match &error {
            StackError::Config(_) => Self::input(error),
            StackError::Start(platform::StartError::Config(_)) => Self::input(error),
            StackError::Aws(crate::aws::LocalAwsError::InUse(_)) => Self::input(error),
            _ => Self::Failed(with_causes(&error)),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// Runs the command.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let up = || UpArgs {
        state: StateArgs { config: None, secrets: None, data: DEFAULT_DATA.into() },
        port: 8420,
        demo: DEFAULT_DEMO,
    };
    let outcome = match cli.command.unwrap_or_else(|| Command::Up(up())) {
        Command::Up(args) => up::up(args).await,
        Command::Sync(args) => sync::sync(args).await,
        Command::Check(args) => sync::check(args).await,
        Command::Import(args) => sync::import(args).await,
        Command::Inventory(args) => inventory::import(args).await,
        Command::Exposure(ExposureCommand::Import(args)) => exposure::import(args).await,
        Command::Simulate(args) => simulate::simulate(args).await,
        Command::Normalize(args) => files::normalize(&args),
        Command::Correlate(args) => correlate::print(&args),
        Command::Explain(args) => explain::print(args).await,
        Command::Drill(args) => drill::print(args).await,
        Command::Identity(IdentityCommand::Preview(args)) => identity::preview(args).await,
        Command::Score(args) => files::score(&args.file),
        Command::Backtest(args) => backtest::print(&args),
        Command::Sla(args) => files::sla(&args.file),
        Command::Cost(args) => cost::print(&args.file),
        Command::Schema => schema::print(),
        Command::Export(args) => files::export(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => {
            terminal::error(&text);
            ExitCode::from(1)
        }
        Err(Failure::Input(text)) => {
            terminal::error(&text);
            ExitCode::from(2)
        }
    }
}

/// Logs go to stderr; `RUST_LOG` says how much, errors alone by default.
fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::coloured())
        .try_init();
}

/// A configuration with the secrets that it names.
struct Loaded {
    name: String,
    text: String,
    secrets: LocalSecrets,
    /// Whether the network of accounts of AWS is read, for which the credentials of this machine are looked for.
    reads_accounts: bool,
}

/// Reads and checks the configuration and its secrets: nothing is opened before both are good.
fn load(state: &StateArgs, default: Option<String>) -> Result<Loaded, Failure> {
    let (name, text) = match (&state.config, default) {
        (Some(path), _) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::Input(format!("{name}: {e}: name a configuration that exists")))?;
            (name, text)
        }
        (None, Some(text)) => ("the demo's configuration".to_owned(), text),
        (None, None) => {
            return Err(Failure::Input("--config FILE is needed: name your connectors.yaml".into()));
        }
    };
    let config = platform::parse_config(&name, &text).map_err(Failure::input)?;
    let secrets = LocalSecrets::collect(&config, (&name, &text), state.secrets.as_deref(), SECRET_PREFIX)
        .map_err(Failure::input)?;
    Ok(Loaded { reads_accounts: !config.exposure.accounts.is_empty(), name, text, secrets })
}

fn engine() -> ::sync::EngineOptions {
    ::sync::EngineOptions {
        retry_pause: jiff::SignedDuration::from_secs(2),
        ..::sync::EngineOptions::default()
    }
}

async fn start(loaded: Loaded, data: PathBuf, clock: Arc<StackClock>) -> Result<Stack, Failure> {
    let cloud = match loaded.reads_accounts {
        true => Some(platform::aws::sdk_config().await.map_err(Failure::failed)?),
        false => None,
    };
    Ok(Stack::start(StackConfig {
        data: Some(data),
        config: (loaded.name, loaded.text),
        author: "this machine".into(),
        secrets: Arc::new(loaded.secrets),
        clock,
        engine: engine(),
        http: ::sync::HttpOptions::default(),
        retry_delay: Duration::from_secs(2),
        connector: None,
        cloud,
        around: None,
    })
    .await?)
}
