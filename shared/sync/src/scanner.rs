//! What a scanner has to offer to be pulled: a plan of units, and the work of one unit.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{CheckLine, ConnectorName, Finding, Host, Rule, RunId, ScanJob};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::SyncError;
use crate::scope::Scope;

/// A scanner's wire format and its mapping, nothing else. The engine owns time, limits, retries and verdicts.
#[async_trait]
pub trait Scanner: Send + Sync {
    /// The kind of scanner.
    fn kind(&self) -> domain::Scanner;

    /// First units of a run. Cheap; makes no promise about size.
    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError>;

    /// Works one unit: streams what the scanner says into `sink`, says what is left.
    ///
    /// A unit may be worked more than once, and may end anywhere: whatever is kept between two tries is in the unit.
    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError>;

    /// Asks the cheapest question that proves address and credentials. Answers one line for a person.
    async fn check(&self) -> Result<String, SyncError>;

    /// Units that ask for these hosts, which a full run has not come across, one by one: the answers go to
    /// [`Sink::confirm`]. Of a list that is read in pages a host may slip through, so that its absence alone says little.
    /// The same units for the same hosts. None where a scanner cannot be asked so, or brings a list of its own
    /// ([`Sink::exist`]).
    fn ask_for(&self, _natives: &[String]) -> Vec<Unit> {
        Vec::new()
    }

    /// Asks for a little of each stream that the connector takes: one line each, under the stream's name. Asked only
    /// after [`Scanner::check`] has succeeded. `now` is the engine's time.
    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let _ = now;
        Vec::new()
    }
}

/// One pull of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The configured account.
    pub connector: ConnectorName,
    /// The run.
    pub id: RunId,
    /// What it asks for.
    pub mode: Mode,
    /// When it began.
    pub started_at: Timestamp,
    /// Since when definitions may have changed unseen, in a full run too: it reads all that is found, and of rules that it
    /// knows no more than that. `None` before the first complete run.
    pub changes_since: Option<Timestamp>,
}

impl Run {
    /// A run of which nothing is known but this.
    pub fn new(connector: ConnectorName, id: RunId, mode: Mode, started_at: Timestamp) -> Self {
        Self { connector, id, mode, started_at, changes_since: mode.since() }
    }
}

/// What a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// Everything. Only such a run can tell that a host is missing.
    Full,
    /// What changed since a watermark (already moved back by the overlap).
    Incremental {
        /// The watermark.
        since: Timestamp,
    },
}

impl Mode {
    /// The watermark of an incremental run.
    pub fn since(self) -> Option<Timestamp> {
        match self {
            Self::Full => None,
            Self::Incremental { since } => Some(since),
        }
    }
}

/// One resumable piece of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Unique within the run; the same piece of work always gets the same id, so that planning twice plans once.
    pub id: String,
    /// The scanner's own description of the work, with whatever has to survive a restart.
    pub work: serde_json::Value,
}

impl Unit {
    /// A unit whose work is any serialisable value.
    pub fn new(id: impl Into<String>, work: &impl Serialize) -> Self {
        Self { id: id.into(), work: serde_json::to_value(work).unwrap_or_default() }
    }

    /// The work, read back. A unit stored by a version that is gone is an error of configuration, not a panic.
    pub fn work<T: serde::de::DeserializeOwned>(&self) -> Result<T, SyncError> {
        serde_json::from_value(self.work.clone()).map_err(|error| SyncError::Config {
            field: format!("unit {}", self.id),
            problem: format!("was planned by another version ({error}): start the run again"),
        })
    }
}

/// What is left after a unit was worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Done(Proof),
    /// Further units that this one found.
    More(Vec<Unit>, Proof),
    /// The same unit, not before a time, perhaps with more to remember. For a limit or an export that is not ready.
    Later(Timestamp, Unit),
}

/// What was promised and what arrived. A run is complete only if nothing is missing anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Records that the scanner announced, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
    /// Records that arrived, refused ones included.
    pub received: u64,
    /// Why this unit is incomplete although it ended: a failed chunk, a right that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Hosts that one unit should ask for one by one: so many are answered well within its time.
pub const ASKED_AT_ONCE: usize = 20;
/// What the ids of units begin with that ask so ([`Scanner::ask_for`]).
pub const QUESTIONS: &str = "missing/";
/// What the ids of units begin with that ask which definitions changed. What is found is read without them: one that is given
/// up takes nothing from its run, and the next run asks since the same moment.
pub const CHANGES: &str = "changed/";
/// So long one unit goes on asking: slow answers are not worth breaking it off.
const ASKING: jiff::SignedDuration = jiff::SignedDuration::from_secs(120);

/// Asks for each of these hosts ([`Scanner::ask_for`]). What was pulled before is whole: whatever goes wrong here leaves the
/// rest of them missing, and takes nothing from the run. Answers those for which a limit or the time left no room.
pub async fn confirm_each<F: Future<Output = Result<bool, SyncError>> + Send>(
    hosts: Vec<String>,
    ask: impl Fn(String) -> F + Send + Sync,
    sink: &mut dyn Sink,
) -> Result<Vec<String>, SyncError> {
    let (all, began) = (hosts.len(), sink.now());
    let mut hosts = hosts.into_iter();
    while let Some(host) = hosts.next() {
        if sink.now().duration_since(began) > ASKING {
            return Ok(std::iter::once(host).chain(hosts).collect());
        }
        match ask(host.clone()).await {
            Ok(exists) => sink.confirm(host, Some(exists)).await?,
            Err(SyncError::Throttled { .. }) if hosts.len() + 1 < all => {
                return Ok(std::iter::once(host).chain(hosts).collect());
            }
            Err(error @ (SyncError::Throttled { .. } | SyncError::Store(_) | SyncError::Queue(_))) => {
                return Err(error);
            }
            // One that is refused says nothing of the others; one that is not answered took its time, and a gateway says so in
            // place of who does not answer.
            Err(error @ (SyncError::Refused { status: ..500, .. } | SyncError::NotFound { .. })) => {
                tracing::warn!(%error, host, "the scanner does not say whether it still has this host");
                sink.confirm(host, None).await?;
            }
            Err(error) => {
                tracing::warn!(%error, host, "the scanner does not answer, some hosts stay missing");
                for host in std::iter::once(host).chain(hosts.by_ref()) {
                    sink.confirm(host, None).await?;
                }
            }
        }
    }
    Ok(Vec::new())
}

/// The end of a unit that asks for the list of scans. That it may not be read proves nothing of any host, and takes nothing
/// from a run that is whole otherwise: it is logged, and `check` tells it.
pub async fn tell_scans(
    asked: Result<Vec<ScanJob>, SyncError>,
    sink: &mut dyn Sink,
) -> Result<Next, SyncError> {
    match asked {
        Ok(jobs) => sink.scan_jobs(jobs).await?,
        Err(error) if error.is_of_one_answer() => {
            tracing::warn!(%error, "the scanner did not tell how its scans went");
        }
        Err(error) => return Err(error),
    }
    Ok(Next::Done(Proof::default()))
}

/// A host in the list of all hosts that could not be read: what the list lacks may be that one, so that it proves nothing.
pub const UNREADABLE: &str = "?";

/// Where a scanner's statements go.
#[async_trait]
pub trait Sink: Send {
    /// A host as the scanner's asset inventory describes it.
    async fn inventory(&mut self, host: Host) -> Result<(), SyncError>;

    /// What a second inventory knows of a host beyond the first one: cloud identity, open ports, software. It does not
    /// prove that the scanner still has the host, and a host that is not known is not made known by it. A sink that
    /// keeps no hosts has no use for it.
    async fn supplement(&mut self, _host: Host) -> Result<(), SyncError> {
        Ok(())
    }

    /// A part of the scanner's own list of all its hosts. If a complete full run has brought that list, hosts that it
    /// lacks were purged: they are gone, not merely unseen. [`UNREADABLE`] stands for one whose id could not be read.
    async fn exist(&mut self, _natives: Vec<String>) -> Result<(), SyncError> {
        Ok(())
    }

    /// Whether the scanner still has a host that a full run has not come across, by its answer to a question for that host
    /// ([`Scanner::ask_for`]). One that it has not is gone, not merely unseen; where it does not say, the host is missing,
    /// and the next full run asks again.
    async fn confirm(&mut self, _native: String, _exists: Option<bool>) -> Result<(), SyncError> {
        Ok(())
    }

    /// Whether this host was there in an earlier run. A sink that keeps no hosts knows none.
    async fn knows(&mut self, _native: &str) -> Result<bool, SyncError> {
        Ok(false)
    }

    /// Parts of the scanner (sites) that its account may see. Told by a full run, they say whether a host that is not there
    /// may merely not be shown: where the account sees fewer of them than in the full run before, nothing is gone. Nor is
    /// anything where [`UNREADABLE`] is among them.
    async fn may_see(&mut self, _scopes: Vec<String>) -> Result<(), SyncError> {
        Ok(())
    }

    /// How all the scans that are set up in the scanner last went. It proves nothing of any host; a sink that keeps no hosts
    /// has no use for it.
    async fn scan_jobs(&mut self, _jobs: Vec<ScanJob>) -> Result<(), SyncError> {
        Ok(())
    }

    /// A host with findings.
    async fn report(&mut self, report: HostReport) -> Result<(), SyncError>;

    /// A rule's definition. Offering the same definition again costs nothing.
    async fn rule(&mut self, rule: Rule) -> Result<(), SyncError>;

    /// Of these rules, those whose definition is not known yet.
    async fn unknown_rules(&mut self, rules: Vec<domain::RuleId>) -> Result<Vec<domain::RuleId>, SyncError>;

    /// Remembers that the scanner has no definition of these rules, so that nobody waits for them.
    async fn rules_without_definition(&mut self, rules: Vec<domain::RuleId>) -> Result<(), SyncError>;

    /// Sends the hosts that an earlier unit of this run has seen to `score` again: definitions that it was waiting
    /// for have arrived.
    async fn rescore_hosts_of(&mut self, unit: &str) -> Result<(), SyncError>;

    /// What a rule found on a host is gone, where the scanner does not say which of its findings that is.
    async fn fixed(&mut self, fix: Fix) -> Result<(), SyncError> {
        Err(SyncError::Config {
            field: format!("rule {}", fix.rule),
            problem: "nobody takes its removal here".into(),
        })
    }

    /// A record that could not be read. It fails alone: counted, and kept for a look.
    fn refuse(&mut self, record: BadRecord);

    /// The current time, from the engine's clock.
    fn now(&self) -> Timestamp;
}

/// What one scanner says of one host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostReport {
    /// The host as the findings describe it.
    pub host: Host,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// Whether these are all.
    pub coverage: Coverage,
}

/// Whether a report can prove absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Everything that the scanner has on this host: what is not here is gone. Checks of compliance are counted only
    /// if the report has some.
    Whole,
    /// The same of what the scan looked for: what is not here, and lay outside of that, says nothing.
    Within(Arc<Scope>),
    /// A part: what is not here says nothing.
    Part,
}

impl Coverage {
    /// That of a report which is whole, of a scan that looked for this, where it is told.
    pub fn within(scope: Option<Arc<Scope>>) -> Self {
        scope.map_or(Self::Whole, Self::Within)
    }

    /// Whether what is not here may be gone.
    pub fn is_whole(&self) -> bool {
        *self != Self::Part
    }
}

/// A scanner's word that something is gone, which names the rule and not the finding. It is about those open findings of
/// the rule that were first found at that time with that evidence, as far as either is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The scanner's id of the host.
    pub host: String,
    /// The rule.
    pub rule: domain::RuleId,
    /// When the scanner first saw it.
    pub first_found: Option<Timestamp>,
    /// What the scanner saw.
    pub evidence: Option<String>,
    /// When the scanner found it gone.
    pub at: Timestamp,
}

impl Fix {
    /// Whether it may be this finding of the host that is gone.
    pub fn is_about(&self, finding: &Finding) -> bool {
        let same_time = match (self.first_found, finding.first_found) {
            (Some(told), Some(known)) => told.as_second() == known.as_second(),
            _ => true,
        };
        let same_evidence = match (&self.evidence, &finding.evidence) {
            (Some(told), Some(known)) => store::is_evidence(known, told),
            _ => true,
        };
        // One that came later than that is another one, and one that came back later is there again.
        let later = finding.first_found.is_some_and(|first| first > self.at);
        let back = finding.reopened_at.is_some_and(|back| back >= self.at);
        self.rule == finding.rule && same_time && same_evidence && !later && !back
    }
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record at byte {offset}: {problem}")]
pub struct BadRecord {
    /// Where it begins in the body.
    pub offset: u64,
    /// What is wrong with it; never quotes more than a few words of it.
    pub problem: String,
}
