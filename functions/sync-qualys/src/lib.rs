//! Qualys VMDR: pulls the host list, host detections and the knowledge base.
//!
//! A run is a chain of pages. The host list comes first, so that identities are known before findings; its last page
//! leads to the first page of detections. A page leads to the next one by the id of its first host, and to the
//! definitions of those rules that nobody has defined yet. Every request is one unit, which can be repeated.
//!
//! [`normalize`] reads the same documents from a file.

mod client;
mod document;
mod function;
mod normalize;
mod stream;
mod xml;

pub use function::{function, function_with};
pub use stream::normalize;

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::RuleId;
use domain::policy::Connector;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sync::{Coverage, HostReport, HttpClient, Mode, Next, Proof, Run, Scanner, Sink, SyncError, Unit};

use client::{Answer, Client, Failure, Page};
use document::{Around, HostItem, Item};

/// Hosts per page; Qualys' own default.
const PAGE_SIZE: u32 = 1000;
/// Definitions per request; Qualys' address limit is out of the way with POST, its patience is not.
const DEFINITIONS_PER_REQUEST: usize = 300;

/// The streams, by their names in the configuration.
const INVENTORY: &str = "asset_inventory";
const DETECTIONS: &str = "host_detections";
const KNOWLEDGE_BASE: &str = "knowledge_base";

const NO_KNOWLEDGE_BASE: &str = "the knowledge base is not open to this user, so findings stay without title, CVEs and \
    solution: have Qualys enable KnowledgeBase API access for the subscription, or remove knowledge_base from data_streams";

/// One Qualys account.
pub struct QualysScanner {
    client: Client,
    page_size: u32,
    inventory: bool,
    detections: bool,
    knowledge_base: bool,
}

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    /// What to ask for.
    #[serde(flatten)]
    work: Work,
    /// The answer before said that the limit is used up until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Work {
    /// A page of the host list.
    Hosts { id_min: u64 },
    /// A page of detections.
    Detections { id_min: u64 },
    /// Definitions of these QIDs.
    Definitions {
        /// The page that needs them.
        page: u64,
        /// Which batch of that page.
        batch: usize,
        qids: Vec<String>,
    },
    /// Definitions that changed since a time.
    ChangedDefinitions { since: Timestamp },
}

impl Work {
    fn unit(self, not_before: Option<Timestamp>) -> Unit {
        let id = match &self {
            Self::Hosts { id_min } => format!("hosts/{id_min}"),
            Self::Detections { id_min } => detections_unit(*id_min),
            // The page may be worked again when some of its rules are known: another batch is another unit.
            Self::Definitions { page, batch, qids } => {
                format!("kb/detections-{page}/{batch}-{:016x}", domain::digest(qids.join(",").as_bytes()))
            }
            Self::ChangedDefinitions { .. } => "kb/changed".to_owned(),
        };
        Unit::new(id, &Job { work: self, not_before })
    }
}

fn detections_unit(id_min: u64) -> String {
    format!("detections/{id_min}")
}

impl QualysScanner {
    /// The scanner of `connector`. `http` goes to its address and carries its credentials.
    pub fn new(connector: &Connector, http: HttpClient) -> Self {
        Self {
            client: Client::new(http),
            // 0 would mean everything in one answer.
            page_size: connector.page_size.unwrap_or(PAGE_SIZE).max(1),
            inventory: connector.pulls(INVENTORY),
            detections: connector.pulls(DETECTIONS),
            knowledge_base: connector.pulls(KNOWLEDGE_BASE),
        }
    }

    fn page(&self, run: &Run, id_min: u64) -> Page {
        let since = match run.mode {
            Mode::Full => None,
            Mode::Incremental { since } => Some(since),
        };
        Page { id_min, size: self.page_size, since }
    }

    async fn hosts(&self, run: &Run, id_min: u64, sink: &mut dyn Sink) -> Result<Next, Failure> {
        let now = sink.now();
        let mut answer = self.client.hosts(&self.page(run, id_min), now).await?;
        let mut received = 0;
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Host(item)) => {
                    received += 1;
                    sink.inventory(item.host).await?;
                }
                Ok(Item::Refused(bad)) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Ok(Item::Rule(..)) => {}
                Err(around) => break around,
            }
        };
        let proof = Proof { received, ..Proof::default() };
        if let Some(next) = self.next_page(&around, id_min)? {
            let unit = Work::Hosts { id_min: next }.unit(answer.limits.not_before(now));
            return Ok(Next::More(vec![unit], proof));
        }
        Ok(if self.detections {
            // Limits are counted per API: the host list's does not hold up the detections.
            Next::More(vec![Work::Detections { id_min: 0 }.unit(None)], proof)
        } else {
            Next::Done(proof)
        })
    }

    async fn detections(&self, run: &Run, id_min: u64, sink: &mut dyn Sink) -> Result<Next, Failure> {
        let now = sink.now();
        let mut answer = self.client.detections(&self.page(run, id_min), now).await?;
        let mut received = 0;
        let mut qids = BTreeSet::new();
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Host(item)) => {
                    let HostItem { host, findings, whole } = *item;
                    received += findings.len() as u64;
                    for finding in &findings {
                        if !qids.contains(&finding.rule) {
                            qids.insert(finding.rule.clone());
                        }
                    }
                    let coverage = if whole { Coverage::Whole } else { Coverage::Part };
                    sink.report(HostReport { host, findings, coverage }).await?;
                }
                Ok(Item::Refused(bad)) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Ok(Item::Rule(..)) => {}
                Err(around) => break around,
            }
        };
        let next = self.next_page(&around, id_min)?;
        let mut units = self.definition_units(id_min, qids, sink).await?;
        units.extend(next.map(|id_min| Work::Detections { id_min }.unit(answer.limits.not_before(now))));
        let proof = Proof { received, ..Proof::default() };
        Ok(if units.is_empty() { Next::Done(proof) } else { Next::More(units, proof) })
    }

    fn next_page(&self, around: &Around, id_min: u64) -> Result<Option<u64>, SyncError> {
        around.next.as_deref().map(|address| self.client.next_page(address, id_min)).transpose()
    }

    /// Units that fetch the definitions of a page's rules, as far as nobody has them.
    async fn definition_units(
        &self,
        id_min: u64,
        qids: BTreeSet<RuleId>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Unit>, SyncError> {
        if qids.is_empty() {
            return Ok(Vec::new());
        }
        let unknown = sink.unknown_rules(qids.into_iter().collect()).await?;
        if !self.knowledge_base {
            if !unknown.is_empty() {
                sink.rules_without_definition(unknown).await?;
            }
            return Ok(Vec::new());
        }
        let batches = unknown.chunks(DEFINITIONS_PER_REQUEST).enumerate();
        Ok(batches
            .map(|(batch, rules)| {
                let qids = rules.iter().map(|rule| rule.as_str().to_owned()).collect();
                Work::Definitions { page: id_min, batch, qids }.unit(None)
            })
            .collect())
    }

    async fn definitions(&self, page: u64, qids: &[String], sink: &mut dyn Sink) -> Result<Next, Failure> {
        let asked: Vec<RuleId> = qids.iter().map(RuleId::new).collect();
        // An earlier page's unit may have brought some of them since.
        let mut open: BTreeSet<RuleId> = sink.unknown_rules(asked).await?.into_iter().collect();
        let mut proof = Proof::default();
        if !open.is_empty() {
            let ids: Vec<String> = open.iter().map(|rule| rule.as_str().to_owned()).collect();
            let outcome = match self.client.definitions(&ids, sink.now()).await {
                Ok(mut answer) => {
                    self.read_definitions(&mut answer, sink, &mut open, &mut proof.received).await
                }
                Err(failure) => Err(failure),
            };
            proof.missing = not_permitted(outcome)?;
        }
        if !open.is_empty() {
            sink.rules_without_definition(open.into_iter().collect()).await?;
        }
        sink.rescore_hosts_of(&detections_unit(page)).await?;
        Ok(Next::Done(proof))
    }

    async fn read_definitions(
        &self,
        answer: &mut Answer,
        sink: &mut dyn Sink,
        open: &mut BTreeSet<RuleId>,
        received: &mut u64,
    ) -> Result<(), Failure> {
        while let Ok(item) = answer.next(&self.client).await? {
            *received += 1;
            match item {
                Item::Rule(rule, _) => {
                    open.remove(&rule.id);
                    sink.rule(*rule).await?;
                }
                Item::Refused(bad) => sink.refuse(bad),
                Item::Host(_) => *received -= 1,
            }
        }
        Ok(())
    }

    /// Definitions change after they were fetched: a CVE is added, a severity is corrected. Only those that some
    /// finding uses are taken.
    async fn changed_definitions(&self, since: Timestamp, sink: &mut dyn Sink) -> Result<Next, Failure> {
        let mut received = 0;
        let outcome = match self.client.changed_definitions(since, sink.now()).await {
            Ok(mut answer) => self.read_changed(&mut answer, sink, &mut received).await,
            Err(failure) => Err(failure),
        };
        let missing = not_permitted(outcome)?;
        Ok(Next::Done(Proof { announced: None, received, missing }))
    }

    async fn read_changed(
        &self,
        answer: &mut Answer,
        sink: &mut dyn Sink,
        received: &mut u64,
    ) -> Result<(), Failure> {
        let mut batch = Vec::new();
        loop {
            let item = answer.next(&self.client).await?;
            let ended = item.is_err();
            match item {
                Ok(Item::Rule(rule, _)) => {
                    *received += 1;
                    batch.push(*rule);
                }
                Ok(Item::Refused(bad)) => {
                    *received += 1;
                    sink.refuse(bad);
                }
                Ok(Item::Host(_)) | Err(_) => {}
            }
            if ended || batch.len() >= DEFINITIONS_PER_REQUEST {
                let ids = batch.iter().map(|rule: &domain::Rule| rule.id.clone()).collect();
                let unused: BTreeSet<RuleId> = sink.unknown_rules(ids).await?.into_iter().collect();
                for rule in batch.drain(..).filter(|rule| !unused.contains(&rule.id)) {
                    sink.rule(rule).await?;
                }
            }
            if ended {
                return Ok(());
            }
        }
    }
}

/// A right that is missing is not an error of the run, but makes it incomplete.
fn not_permitted(outcome: Result<(), Failure>) -> Result<Option<String>, Failure> {
    match outcome {
        Ok(()) => Ok(None),
        Err(Failure::NotPermitted(detail)) => Ok(Some(format!("{NO_KNOWLEDGE_BASE} (Qualys says {detail})"))),
        Err(failure) => Err(failure),
    }
}

#[async_trait]
impl Scanner for QualysScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Qualys
    }

    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError> {
        let mut units = Vec::new();
        if self.inventory {
            units.push(Work::Hosts { id_min: 0 }.unit(None));
        } else if self.detections {
            units.push(Work::Detections { id_min: 0 }.unit(None));
        }
        if let (true, Mode::Incremental { since }) = (self.knowledge_base, run.mode) {
            units.push(Work::ChangedDefinitions { since }.unit(None));
        }
        Ok(units)
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let job: Job = unit.work()?;
        if let Some(until) = job.not_before.filter(|until| *until > sink.now()) {
            return Ok(Next::Later(until, unit.clone()));
        }
        let outcome = match &job.work {
            Work::Hosts { id_min } => self.hosts(run, *id_min, sink).await,
            Work::Detections { id_min } => self.detections(run, *id_min, sink).await,
            Work::Definitions { page, qids, .. } => self.definitions(*page, qids, sink).await,
            Work::ChangedDefinitions { since } => self.changed_definitions(*since, sink).await,
        };
        match outcome {
            Err(Failure::Sync(SyncError::Throttled { until, .. })) => {
                let job = Job { not_before: Some(until), ..job };
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
}
