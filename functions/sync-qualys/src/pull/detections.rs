//! Host detections, and the definitions of their rules.

use std::collections::BTreeSet;

use domain::RuleId;
use jiff::{SignedDuration, Timestamp};
use sync::{BadRecord, Coverage, HostReport, Next, Proof, Run, Sink, SyncError, Unit};

use super::{not_permitted, note, noted, then};
use crate::QualysScanner;
use crate::client::{Answer, Failure, Page};
use crate::document::{HostItem, Item};
use crate::work::{Api, Following, Job, UsedUp, Work, detections_unit};

/// Definitions per request; Qualys' address limit is out of the way with POST, its patience is not.
const DEFINITIONS_PER_REQUEST: usize = 300;

/// A page that was too much is asked for with so many times fewer hosts.
const SMALLER: u32 = 4;
/// Tries of a page that has one host only.
const TRIES_OF_ONE_HOST: u32 = 3;
/// So many hosts may be skipped in a run that is complete all the same.
const FEW_HOSTS: u32 = 3;
/// Changes of so many days are some thousand definitions.
const CHANGES: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Pause before a page that was too much is asked for again.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

const NO_KNOWLEDGE_BASE: &str = "the knowledge base is not open to this user, so findings stay without title, CVEs and \
    solution: have Qualys enable KnowledgeBase API access for the subscription, or remove knowledge_base from data_streams";

impl QualysScanner {
    pub(super) async fn detections(
        &self,
        run: &Run,
        Following { id_min, size, skipped }: Following,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let page = Page { size: size.unwrap_or(self.page_size), ..self.page(run, id_min) };
        let mut answer = self.client.detections(&page, sink.now()).await?;
        let mut received = 0;
        let mut qids = BTreeSet::new();
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Host(item)) => {
                    let HostItem { host, findings, whole, .. } = *item;
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
                Ok(_) => {}
                Err(around) => break around,
            }
        };
        let used_up = noted(used_up, Api::HostDetections, &answer, sink);
        let next = self.next_page(&around, id_min)?.map(|id_min| {
            // What was too much need not be too much for the hosts that follow.
            let size = size.map(|size| size.saturating_mul(2)).filter(|size| *size < self.page_size);
            Following { id_min, size, skipped }
        });
        let unknown = self.undefined(qids, sink).await?;
        let following = if unknown.is_empty() {
            self.next_detections(run, next)
        } else {
            Some(Work::Definitions { page: id_min, batch: 0, qids: unknown, next })
        };
        let units = following.into_iter().map(|work| work.unit(&used_up)).collect();
        Ok(then(units, Proof { received, ..Proof::default() }))
    }

    /// What becomes of a page of detections that Qualys did not bring to its end: large subscriptions run into time-outs.
    /// The page is asked for with fewer hosts, down to one; a host that cannot be had even alone fails alone, or it would
    /// keep all that follow it back in every run. Other errors, and other work, stay what they are.
    pub(crate) async fn relieve(
        &self,
        run: &Run,
        (unit, job): (&Unit, &Job),
        error: SyncError,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let Work::Detections { id_min, size, failures, skipped } = job.work else {
            return Err(Failure::Sync(error));
        };
        let is_too_much = match &error {
            SyncError::Unreachable { .. } => true,
            SyncError::Malformed { offset, .. } => *offset > 0,
            SyncError::Refused { status, .. } => matches!(status, 500 | 502 | 504 | 524),
            // It may never end otherwise: each attempt reads it from its beginning.
            SyncError::OutOfTime => true,
            _ => false,
        };
        if !is_too_much {
            return Err(Failure::Sync(error));
        }
        let size = size.unwrap_or(self.page_size);
        tracing::warn!(unit = %unit.id, size, failures, %error, "page of detections failed");
        if size == 1 && failures + 1 >= TRIES_OF_ONE_HOST {
            // More than a few are no odd hosts: then the page fails, and the run is incomplete.
            return if skipped < FEW_HOSTS {
                self.skip_host(run, (id_min, skipped + 1), job, &error, sink).await
            } else {
                Err(Failure::Sync(error))
            };
        }
        let work = Work::Detections {
            id_min,
            size: Some((size / SMALLER).max(1)),
            failures: if size == 1 { failures + 1 } else { 0 },
            skipped,
        };
        let again = Job { work, used_up: job.used_up.clone() };
        let at = sink.now().saturating_add(PAUSE).unwrap_or(Timestamp::MAX);
        Ok(Next::Later(at, Unit::new(unit.id.clone(), &again)))
    }

    /// Goes on behind the host at `id_min`, which is counted as refused: what is known of it stays as it is.
    async fn skip_host(
        &self,
        run: &Run,
        (id_min, skipped): (u64, u32),
        job: &Job,
        error: &SyncError,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let mut used_up = job.used_up.clone();
        if let Some(until) = used_up.get(&Api::HostList).filter(|until| **until > sink.now()) {
            return Ok(Next::Later(*until, Unit::new(detections_unit(id_min), job)));
        }
        // Which host it is, the host list knows, and it is not answering if all of Qualys is in trouble.
        let Some(host) = self.first_host(&self.page(run, id_min), &mut used_up, sink.now()).await? else {
            let after = self.after_detections(run).into_iter().map(|work| work.unit(&used_up));
            return Ok(then(after.collect(), Proof::default()));
        };
        sink.refuse(BadRecord {
            offset: 0,
            problem: format!("the detections of host {host} cannot be had, it is skipped: {error}"),
        });
        let next = Work::Detections { id_min: host + 1, size: None, failures: 0, skipped };
        Ok(Next::More(vec![next.unit(&used_up)], Proof { received: 1, ..Proof::default() }))
    }

    /// The first host that a page of detections begins with.
    async fn first_host(
        &self,
        page: &Page,
        used_up: &mut UsedUp,
        now: Timestamp,
    ) -> Result<Option<u64>, Failure> {
        let mut answer = self.client.host_ids(&Page { size: 1, ..*page }, now).await?;
        note(used_up, Api::HostList, &answer, now);
        let mut first = None;
        while let Ok(item) = answer.next(&self.client).await? {
            if let Item::Ids(ids) = item {
                first = first.or(Some(*ids.start()));
            }
        }
        Ok(first)
    }

    /// What follows a page of detections and its definitions.
    fn next_detections(&self, run: &Run, next: Option<Following>) -> Option<Work> {
        match next {
            Some(Following { id_min, size, skipped }) => {
                Some(Work::Detections { id_min, size, failures: 0, skipped })
            }
            None => self.after_detections(run),
        }
    }

    /// The rules whose definitions are to be fetched: those that nobody has.
    async fn undefined(&self, qids: BTreeSet<RuleId>, sink: &mut dyn Sink) -> Result<Vec<String>, SyncError> {
        if qids.is_empty() {
            return Ok(Vec::new());
        }
        let unknown = sink.unknown_rules(qids.into_iter().collect()).await?;
        if self.knowledge_base {
            return Ok(unknown.iter().map(|rule| rule.as_str().to_owned()).collect());
        }
        if !unknown.is_empty() {
            sink.rules_without_definition(unknown).await?;
        }
        Ok(Vec::new())
    }

    pub(super) async fn definitions(
        &self,
        run: &Run,
        (page, batch, next): (u64, usize, Option<Following>),
        qids: &[String],
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let (now_asked, later) = qids.split_at(qids.len().min(DEFINITIONS_PER_REQUEST));
        let asked: Vec<RuleId> = now_asked.iter().map(RuleId::new).collect();
        // An earlier attempt may have brought some of them.
        let mut open: BTreeSet<RuleId> = sink.unknown_rules(asked).await?.into_iter().collect();
        let mut proof = Proof::default();
        let mut used_up = used_up.clone();
        if !open.is_empty() {
            let ids: Vec<String> = open.iter().map(|rule| rule.as_str().to_owned()).collect();
            let outcome = match self.client.definitions(&ids, sink.now()).await {
                Ok(mut answer) => {
                    used_up = noted(&used_up, Api::KnowledgeBase, &answer, sink);
                    self.read_definitions(&mut answer, sink, &mut open, &mut proof.received).await
                }
                Err(failure) => Err(failure),
            };
            proof.missing = not_permitted(outcome, NO_KNOWLEDGE_BASE)?.1;
        }
        if !open.is_empty() {
            sink.rules_without_definition(open.into_iter().collect()).await?;
        }
        let following = if later.is_empty() {
            // Hosts of the page wait for all its definitions.
            sink.rescore_hosts_of(&detections_unit(page)).await?;
            self.next_detections(run, next)
        } else {
            Some(Work::Definitions { page, batch: batch + 1, qids: later.to_vec(), next })
        };
        Ok(then(following.into_iter().map(|work| work.unit(&used_up)).collect(), proof))
    }

    async fn read_definitions(
        &self,
        answer: &mut Answer,
        sink: &mut dyn Sink,
        open: &mut BTreeSet<RuleId>,
        received: &mut u64,
    ) -> Result<(), Failure> {
        while let Ok(item) = answer.next(&self.client).await? {
            match item {
                Item::Rule(rule, _) => {
                    *received += 1;
                    open.remove(&rule.id);
                    sink.rule(*rule).await?;
                }
                Item::Refused(bad) => {
                    *received += 1;
                    sink.refuse(bad);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Definitions change after they were fetched: a CVE is added, a severity is corrected. Only those that some
    /// finding uses are taken. After a long time without a complete run there are too many for one answer.
    pub(super) async fn changed_definitions(
        &self,
        (since, part): (Timestamp, u32),
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let mut received = 0;
        let until = since.saturating_add(CHANGES).ok().filter(|until| *until < sink.now());
        let mut used_up = used_up.clone();
        let outcome = match self.client.changed_definitions(since, until, sink.now()).await {
            Ok(mut answer) => {
                note(&mut used_up, Api::KnowledgeBase, &answer, sink.now());
                self.read_changed(&mut answer, sink, &mut received).await
            }
            Err(failure) => Err(failure),
        };
        let ((), missing) = not_permitted(outcome, NO_KNOWLEDGE_BASE)?;
        let following = until.filter(|_| missing.is_none()).map(|until| {
            // Whether the bounds belong to what lies between them is not documented.
            let since = until - SignedDuration::from_secs(1);
            Work::ChangedDefinitions { since, part: part + 1 }.unit(&used_up)
        });
        Ok(then(following.into_iter().collect(), Proof { announced: None, received, missing }))
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
                Ok(_) | Err(_) => {}
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
