//! Units that read by a report: definitions, and findings.

use std::collections::{BTreeMap, BTreeSet};

use domain::RuleId;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sync::http::HttpResponse;
use sync::lenient::Scalar;
use sync::split::json::{brief, element};
use sync::{BadRecord, Coverage, HostReport, Next, Proof, Run, Sink, SyncError, Unit};

use crate::client::Generation;
use crate::csv::{Broken, Row, Rows};
use crate::normalize::report::{self, OnAsset, without_severity};
use crate::work::{self, Report, Work, later};
use crate::{ConsoleScanner, PATIENCE, query};

/// An agent's look bears slightly different times in the list of assets and in a report.
const AGENT_AND_REPORT: SignedDuration = SignedDuration::from_mins(10);
/// Reports that may come to nothing before a unit is given up.
const TRIES: u32 = 3;

/// Where a report stands after a unit looked at it.
enum Stand {
    /// The unit goes on later, with this.
    Wait(Timestamp, Report),
    /// Its output comes.
    Ready(HttpResponse),
    /// There will be none, and why.
    Never(String),
}

impl ConsoleScanner {
    /// Takes a report one step further. Each step is kept before the next, so that a repeat adopts what there is.
    async fn advance(
        &self,
        name: &str,
        query: &str,
        assets: Option<&[u64]>,
        mut report: Report,
        now: Timestamp,
    ) -> Result<Stand, SyncError> {
        let Some(id) = report.id else {
            report.id = Some(match self.client.create_report(name, query, assets, now).await {
                // Names are unique: the report may be there, and the answer to its creation was lost.
                Err(refused @ SyncError::Refused { status: 400 | 409, .. }) => {
                    let known = self.listed_reports(|known| known == name, now).await?;
                    known.first().copied().ok_or(refused)?
                }
                created => created?,
            });
            return Ok(Stand::Wait(now, report));
        };
        let Some(instance) = report.instance else {
            report.instance = Some(self.client.generate(id, now).await?);
            report.since = Some(now);
            return Ok(Stand::Wait(later(now, 1), report));
        };
        let problem = match self.client.generation(id, instance, now).await? {
            Generation::Complete => match self.client.output(id, instance, now).await? {
                Some(output) => return Ok(Stand::Ready(output)),
                None => "its output is gone".to_owned(),
            },
            Generation::Running => match report.look_again(now, PATIENCE) {
                Some(at) => return Ok(Stand::Wait(at, report)),
                None => return Ok(Stand::Never(format!("the report was not ready after {PATIENCE:#}"))),
            },
            Generation::Failed(word) => format!("the console says {word}"),
            Generation::Gone => "the console does not know it any more".to_owned(),
        };
        tracing::warn!(report = id, problem, "report came to nothing");
        let tries = report.tries + 1;
        if tries >= TRIES {
            return Ok(Stand::Never(format!("{tries} reports came to nothing: {problem}")));
        }
        self.client.delete_report(id, now).await?;
        Ok(Stand::Wait(later(now, 30), Report { tries, ..Report::default() }))
    }

    fn report_name(&self, run: &Run, unit: &Unit) -> String {
        format!("{}{}/{}", self.report_prefix(), run.id, unit.id)
    }

    fn report_prefix(&self) -> String {
        format!("vulnrelay/{}/", self.connector)
    }

    /// Removes the reports that earlier runs of this connector left behind.
    async fn sweep(&self, run: &Run, now: Timestamp) -> Result<(), SyncError> {
        let (ours, this) = (self.report_prefix(), format!("{}{}/", self.report_prefix(), run.id));
        let left = |name: &str| name.starts_with(&ours) && !name.starts_with(&this);
        for report in self.listed_reports(left, now).await? {
            tracing::info!(report, "an earlier run left a report, removed");
            self.client.delete_report(report, now).await?;
        }
        Ok(())
    }

    /// The numbers of the reports with such a name.
    async fn listed_reports(
        &self,
        wanted: impl Fn(&str) -> bool + Sync,
        now: Timestamp,
    ) -> Result<Vec<u64>, SyncError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Listed {
            id: Scalar,
            name: Scalar,
        }
        self.client
            .all("reports", now, &mut |offset, bytes| {
                let (listed, length) =
                    element::<Listed>(bytes).map_err(|error| BadRecord { offset, problem: brief(&error) })?;
                let is_wanted = wanted(&listed.name.text().unwrap_or_default());
                Ok((listed.id.text().filter(|_| is_wanted).and_then(|id| id.parse().ok()), length))
            })
            .await
    }

    /// Reads the definitions of everything found. Assets follow in any case: without definitions they are asked for one
    /// by one.
    pub(crate) async fn pull_rules(
        &self,
        run: &Run,
        unit: &Unit,
        report: Report,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        if report.id.is_none() && report.tries == 0 {
            self.sweep(run, now).await?;
        }
        let id = report.id;
        let name = self.report_name(run, unit);
        let proof = match self.advance(&name, query::RULES, None, report, now).await? {
            Stand::Wait(at, report) => {
                return Ok(Next::Later(at, Unit::new(unit.id.clone(), &Work::Rules(report))));
            }
            Stand::Never(missing) => {
                Proof { missing: Some(format!("definitions: {missing}")), ..Proof::default() }
            }
            Stand::Ready(output) => {
                let mut received = 0;
                let mut rows = Answer::new(output, report::RULE_COLUMNS);
                while let Some(row) = rows.next(self).await? {
                    received += 1;
                    match row.and_then(|row| report::rule(&rows.rows, &row)) {
                        Ok(rule) => sink.rule(rule).await?,
                        Err(bad) => sink.refuse(bad),
                    }
                }
                Proof { received, ..Proof::default() }
            }
        };
        let next = std::iter::once(work::assets()).chain(id.map(work::forget)).collect();
        Ok(Next::More(next, proof))
    }

    /// Reads what is found on the assets of a page.
    pub(crate) async fn pull_findings(
        &self,
        run: &Run,
        unit: &Unit,
        (page, assets, agents, report): (u64, Vec<u64>, Vec<(u64, Timestamp)>, Report),
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        let id = report.id;
        let name = self.report_name(run, unit);
        let output = match self.advance(&name, query::FINDINGS, Some(&assets), report, now).await? {
            Stand::Wait(at, report) => {
                let work = Work::Findings { page, assets, agents, report };
                return Ok(Next::Later(at, Unit::new(unit.id.clone(), &work)));
            }
            Stand::Never(missing) => {
                let missing = Some(format!("findings of {} assets: {missing}", assets.len()));
                let proof = Proof { missing, ..Proof::default() };
                return Ok(Next::More(id.map(work::forget).into_iter().collect(), proof));
            }
            Stand::Ready(output) => output,
        };
        let (expected, agents) = (assets.into_iter().collect(), agents.into_iter().collect());
        let mut read = Read { expected, agents, ..Read::default() };
        let mut rows = Answer::new(output, report::FINDING_COLUMNS);
        let mut grouped = report::Assets::default();
        while let Some(row) = rows.next(self).await? {
            match row {
                Ok(row) => {
                    let (asset, taken) = grouped.take(&rows.rows, &row);
                    if let Some(asset) = asset {
                        read.asset(asset, sink).await?;
                    }
                    if let Err(bad) = taken {
                        sink.refuse(bad);
                    }
                }
                Err(bad) => sink.refuse(bad),
            }
        }
        if let Some(asset) = grouped.finish() {
            read.asset(asset, sink).await?;
        }
        let unknown = sink.unknown_rules(read.rules.into_iter().collect()).await?;
        let unknown: Vec<String> = unknown.iter().map(|rule| rule.as_str().to_owned()).collect();
        let mut next = work::definitions(&unknown, &unit.id);
        next.extend(id.map(work::forget));
        let missing = read.expected.len();
        let missing = (missing > 0).then(|| format!("{missing} assets are not in the report"));
        Ok(Next::More(next, Proof { announced: Some(read.announced), received: read.received, missing }))
    }

    /// Removes a report. A console that cannot do it now is no reason to call the run incomplete.
    pub(crate) async fn forget(&self, report: u64, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        match self.client.delete_report(report, sink.now()).await {
            Err(error) if !error.is_transient() => {
                tracing::warn!(report, %error, "report could not be removed");
            }
            other => other?,
        }
        Ok(Next::Done(Proof::default()))
    }
}

/// What a report of findings has brought.
#[derive(Default)]
struct Read {
    /// Assets that were asked for and have not come.
    expected: BTreeSet<u64>,
    /// Those at which an agent looked last, and when: it looks from inside, whatever a scan before could not log in to.
    agents: BTreeMap<u64, Timestamp>,
    rules: BTreeSet<RuleId>,
    announced: u64,
    received: u64,
}

impl Read {
    async fn asset(&mut self, asset: OnAsset, sink: &mut dyn Sink) -> Result<(), SyncError> {
        let OnAsset { mut host, findings, announced, received, whole } = asset;
        let number = host.native.parse().ok().filter(|number| self.expected.remove(number));
        let Some(number) = number else {
            let problem = format!("asset {} was not asked for, or has come before", host.native);
            sink.refuse(BadRecord { offset: 0, problem });
            return Ok(());
        };
        // A scan may have come between the list of assets and the report.
        let is_latest = |at: &Timestamp| {
            let at = at.saturating_add(AGENT_AND_REPORT).unwrap_or(Timestamp::MAX);
            host.last_scanned_at.is_none_or(|last| last <= at)
        };
        if self.agents.get(&number).is_some_and(is_latest) {
            (host.credentialed, host.partly_credentialed) = (Some(true), Some(false));
        }
        self.announced += announced;
        self.received += received;
        self.rules.extend(findings.iter().map(|finding| finding.rule.clone()));
        if host.last_scanned_at.is_none() && findings.is_empty() {
            // Nobody has looked at it: that nothing is found says nothing.
            return Ok(());
        }
        let coverage = if whole { Coverage::Whole } else { Coverage::Part };
        sink.report(HostReport { host, findings: without_severity(findings), coverage }).await
    }
}

/// The rows of an answer, as they arrive.
struct Answer {
    body: HttpResponse,
    rows: Rows,
    columns: &'static [&'static str],
    ended: bool,
}

impl Answer {
    fn new(body: HttpResponse, columns: &'static [&'static str]) -> Self {
        Self { body, rows: Rows::default(), columns, ended: false }
    }

    async fn next(&mut self, scanner: &ConsoleScanner) -> Result<Option<Result<Row, BadRecord>>, SyncError> {
        let broken =
            |what: &str, Broken { offset, problem }: Broken| scanner.client.malformed(what, offset, &problem);
        loop {
            if let Some(row) = self.rows.next_row() {
                return Ok(Some(row));
            }
            if self.ended {
                return Ok(None);
            }
            let what = self.body.what().to_owned();
            match self.body.chunk().await? {
                Some(bytes) => self.rows.feed(&bytes).map_err(|error| broken(&what, error))?,
                None => {
                    self.rows.finish().map_err(|error| broken(&what, error))?;
                    self.ended = true;
                }
            }
            if let Some(column) = report::missing_column(&self.rows, self.columns) {
                let problem = format!("its first line names no column {column}: this is no report of ours");
                return Err(broken(&what, Broken { offset: 0, problem }));
            }
        }
    }
}
