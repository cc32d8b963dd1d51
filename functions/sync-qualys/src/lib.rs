//! Qualys VMDR: pulls the host list, host detections, the knowledge base, the asset inventory and compliance.
//!
//! A run is a few chains of pages, each of which calls its own APIs, one call at a time:
//!
//! ```text
//! hosts/0 ─> hosts/… ─┬─> detections/0 ─> kb/… ─> detections/… ─> changed/…
//!                     ├─> global-assets/0 ─> …    or, without Global AssetView, host-assets/0 ─> …
//!                     ├─> host-ids/0 ─> …         (full passes: which hosts exist at all)
//!                     └─> policies/0 ─> posture/… (on request)
//! ```
//!
//! The host list comes first, so that identities are known before findings. A page of detections leads to the
//! definitions of those rules that nobody has defined yet, and then to the next page by the id of its first host.
//! Qualys allows two calls at a time and 300 an hour of each API: what an answer tells of that is handed on along the
//! chain, and who has to wait goes back to the queue. Every request is one unit, which can be repeated.
//!
//! [`normalize`] reads the same documents from a file.

mod client;
mod document;
mod function;
mod gateway;
mod global_assets;
mod normalize;
mod pull;
mod stream;
mod work;
mod xml;

pub use function::{function, function_with};
pub use stream::normalize;

use async_trait::async_trait;
use domain::policy::Connector;
use domain::{CheckLine, Outcome};
use jiff::Timestamp;
use secrecy::SecretString;
use sync::{HttpClient, Mode, Next, Run, Scanner, Sink, SyncError, Unit};

use client::{Client, Failure};
use gateway::Gateway;
use work::{Job, UsedUp, Work};

/// Hosts per page; Qualys' own default.
const PAGE_SIZE: u32 = 1000;

/// The streams, by their names in the configuration.
const INVENTORY: &str = "asset_inventory";
const TAGS: &str = "tags";
const DETECTIONS: &str = "host_detections";
const KNOWLEDGE_BASE: &str = "knowledge_base";
const COMPLIANCE: &str = "compliance_posture";

/// One Qualys account.
pub struct QualysScanner {
    client: Client,
    page_size: u32,
    inventory: bool,
    tags: bool,
    /// Somebody asked for tags by name, and wants to hear if they cannot be had.
    tags_named: bool,
    detections: bool,
    knowledge_base: bool,
    compliance: bool,
}

impl QualysScanner {
    /// The scanner of `connector`. `http` goes to its address and carries its credentials; with them in clear, the
    /// gateway of the platform is used as well.
    pub fn new(
        connector: &Connector,
        http: HttpClient,
        login: Option<(SecretString, SecretString)>,
    ) -> Result<Self, SyncError> {
        let gateway = match (&connector.gateway_url, login) {
            (_, None) => None,
            (Some(address), Some(login)) => {
                gateway::check_gateway(&connector.base_url, address, connector.name.as_str())?;
                Some((address.clone(), login))
            }
            (None, Some(login)) => gateway::gateway_of(&connector.base_url).map(|address| (address, login)),
        };
        let gateway = match gateway {
            Some((address, (username, password))) => {
                Some(Gateway::new(http.beside(&address)?, username, password))
            }
            None => None,
        };
        Ok(Self {
            client: Client::new(http, &connector.api_versions, gateway),
            // 0 would mean everything in one answer.
            page_size: connector.page_size.unwrap_or(PAGE_SIZE).max(1),
            inventory: connector.pulls(INVENTORY),
            tags: connector.pulls(TAGS),
            tags_named: connector.data_streams.iter().any(|stream| stream == TAGS),
            detections: connector.pulls(DETECTIONS),
            knowledge_base: connector.pulls(KNOWLEDGE_BASE),
            compliance: connector.pulls(COMPLIANCE),
        })
    }

    /// Tags are read with the hosts that have them.
    fn lists_hosts(&self) -> bool {
        self.inventory || self.tags
    }

    /// The chains that begin when the identities of all hosts are known.
    fn after_hosts(&self, run: &Run, used_up: &UsedUp) -> Vec<Unit> {
        let mut work = Vec::new();
        if self.detections {
            work.push(Work::FIRST_DETECTIONS);
        } else {
            work.extend(self.after_detections(run));
        }
        if self.inventory {
            work.push(match self.client.gateway {
                Some(_) => Work::GlobalAssets { after: 0 },
                None => Work::HostAssets { after: 0 },
            });
        }
        if run.mode == Mode::Full && (self.lists_hosts() || self.detections) {
            work.push(Work::HostIds { id_min: 0 });
        }
        if self.compliance {
            work.push(Work::Policies { id_min: 0 });
        }
        work.into_iter().map(|work| work.unit(used_up)).collect()
    }

    /// Whether a stream may be read. Without the details of hosts a run is whole all the same, and hosts lack them for good.
    async fn right(&self, stream: &str, now: Timestamp) -> CheckLine {
        let mut missing = self.client.ask_a_little(stream, now).await.map(|()| None);
        if stream == INVENTORY && missing.is_ok() {
            missing = self.missing_details(now).await;
        }
        match missing {
            Ok(Some(why)) => {
                CheckLine::new(stream, Outcome::Doubtful, format!("hosts may be read, but {why}"))
            }
            outcome => sync::right(stream, outcome.map_err(|failure| self.client.sync_error(failure))),
        }
    }

    /// What ends the chain that asks the knowledge base.
    fn after_detections(&self, run: &Run) -> Option<Work> {
        let since = run.changes_since.filter(|_| self.knowledge_base)?;
        Some(Work::ChangedDefinitions { since, part: 0 })
    }
}

#[async_trait]
impl Scanner for QualysScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Qualys
    }

    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError> {
        let used_up = UsedUp::new();
        Ok(if self.lists_hosts() {
            vec![Work::Hosts { id_min: 0 }.unit(&used_up)]
        } else {
            self.after_hosts(run, &used_up)
        })
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let mut job: Job = unit.work()?;
        let api = job.work.api();
        let until = job.work.apis().filter_map(|api| job.used_up.get(&api).copied()).max();
        if let Some(until) = until.filter(|until| *until > sink.now()) {
            return Ok(Next::Later(until, unit.clone()));
        }
        job.used_up.retain(|_, until| *until > sink.now());
        let outcome = match self.work(run, &job, sink).await {
            Err(Failure::Sync(error)) => self.relieve(run, (unit, &job), error, sink).await,
            outcome => outcome,
        };
        match outcome {
            Err(Failure::Sync(SyncError::Throttled { until, .. })) => {
                job.used_up.insert(api, until);
                Ok(Next::Later(until, Unit::new(unit.id.clone(), &job)))
            }
            outcome => outcome.map_err(|failure| self.client.sync_error(failure)),
        }
    }

    async fn check(&self) -> Result<String, SyncError> {
        let version = self.client.about(Timestamp::now()).await?;
        let version =
            if version.is_empty() { "an unnamed release".to_owned() } else { format!("release {version}") };
        Ok(format!("{} answers with {version}; address and credentials are right", self.client.system()))
    }

    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let mut lines = Vec::new();
        for (stream, is_pulled) in [
            (INVENTORY, self.inventory),
            (TAGS, self.tags),
            (KNOWLEDGE_BASE, self.knowledge_base),
            (DETECTIONS, self.detections),
            (COMPLIANCE, self.compliance),
        ] {
            if is_pulled {
                lines.push(self.right(stream, now).await);
            }
        }
        lines
    }
}
