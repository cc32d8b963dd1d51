//! Connectors and their runs.

use domain::policy::Connector;
use domain::{Check, ConnectorName, RunId, Scanner};
use jiff::Timestamp;
use serde::Serialize;
use store::{RunCounts, RunRecord, RunStatus, Verdict};

use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Connectors on one page, and runs of each; of one connector alone, more.
const CONNECTORS: usize = 16;
const RUNS_OF_EACH: i32 = 5;
const RUNS_OF_ONE: i32 = 25;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// `full` or `incremental`, and since when.
    pub mode: serde_json::Value,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it can be believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it is not complete, or why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Units planned so far.
    pub units: u64,
    /// Units worked.
    pub units_done: u64,
    /// Units given up.
    pub units_failed: u64,
    /// Units that ended although something is missing.
    pub units_missing: u64,
    /// What it has counted.
    pub counts: RunCounts,
    /// Who approved its closings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

impl From<RunRecord> for RunRow {
    fn from(run: RunRecord) -> Self {
        Self {
            id: run.id,
            mode: run.mode,
            started_at: run.started_at,
            ended_at: run.ended_at,
            status: run.status,
            verdict: run.verdict,
            reason: run.reason,
            units: run.units,
            units_done: run.units.saturating_sub(u64::try_from(run.pending).unwrap_or(0)),
            units_failed: run.failed,
            units_missing: run.missing,
            counts: run.counts,
            approved_by: run.approved_by,
        }
    }
}

/// A connector with its latest run.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectorRow {
    /// Its name.
    pub name: ConnectorName,
    /// The kind of scanner.
    pub scanner: Scanner,
    /// Whether we ask for its findings; otherwise they arrive as events or files.
    pub pulled: bool,
    /// The latest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRow>,
}

/// A connector with its latest runs.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectorRuns {
    /// Its name.
    pub name: ConnectorName,
    /// The kind of scanner.
    pub scanner: Scanner,
    /// Whether we ask for its findings; otherwise they arrive as events or files.
    pub pulled: bool,
    /// What was found when it was last tried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The latest runs, newest first.
    pub runs: Vec<RunRow>,
}

/// The page of runs.
#[derive(Debug, Clone, Serialize)]
pub struct RunList {
    /// When it was read.
    pub at: Timestamp,
    /// The connectors that are shown.
    pub connectors: Vec<ConnectorRuns>,
    /// All connectors, to choose from.
    pub names: Vec<ConnectorName>,
}

impl Dashboard {
    pub(crate) async fn runs(&self, request: &Request) -> Result<RunList, Problem> {
        let all = &self.config.connectors;
        let (chosen, limit): (Vec<&Connector>, _) = match request.first("connector") {
            Some(name) => {
                let one = all.iter().find(|c| c.name.as_str() == name).ok_or(Problem::NotFound)?;
                (vec![one], RUNS_OF_ONE)
            }
            None => (all.iter().take(CONNECTORS).collect(), RUNS_OF_EACH),
        };
        let read = chosen.into_iter().map(|connector| async move {
            let (runs, check) = futures::try_join!(
                self.store.runs(&connector.name, limit),
                self.store.check(&connector.name)
            )?;
            Ok::<_, Problem>(ConnectorRuns {
                name: connector.name.clone(),
                scanner: connector.scanner,
                pulled: connector.is_pulled(),
                check,
                runs: runs.into_iter().map(RunRow::from).collect(),
            })
        });
        Ok(RunList {
            at: self.now(),
            connectors: futures::future::try_join_all(read).await?,
            names: all.iter().map(|c| c.name.clone()).collect(),
        })
    }
}
