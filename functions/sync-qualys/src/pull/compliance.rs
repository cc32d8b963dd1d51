//! How hosts comply with policies: one policy after the other, page by page.
//!
//! The glossary of a page comes behind its records and says what the controls are and how hosts are called, so the
//! records of one page are kept until its end.

use std::collections::{BTreeMap, HashMap};

use domain::{Finding, Host};
use sync::{Coverage, HostReport, Next, Proof, Run, Sink, SyncError};

use super::{not_permitted, noted, since, then};
use crate::QualysScanner;
use crate::client::{Answer, Failure};
use crate::document::{Around, Item};
use crate::normalize::{Control, Posture};
use crate::work::{Api, Policy, UsedUp, Work};

const NO_COMPLIANCE: &str = "policy compliance is not open to this user: have PC enabled for the subscription and give \
    the user the right to it, or leave compliance_posture out of data_streams";

/// A page of a posture.
#[derive(Default)]
struct PosturePage {
    postures: Vec<Posture>,
    controls: HashMap<String, Control>,
    hosts: HashMap<String, Host>,
    received: u64,
    around: Around,
}

impl QualysScanner {
    pub(super) async fn policies(
        &self,
        id_min: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let outcome = self.read_policies(id_min, used_up, sink).await;
        let (read, missing) = not_permitted(outcome.map(Some), NO_COMPLIANCE)?;
        let Some((policies, next, used_up)) = read else {
            return Ok(Next::Done(Proof { missing, ..Proof::default() }));
        };
        let proof = Proof { received: policies.len() as u64, ..Proof::default() };
        let mut units = Vec::new();
        if !policies.is_empty() {
            units.push(Work::Posture { id_min: 0, policies }.unit(&used_up));
        }
        units.extend(next.map(|id_min| Work::Policies { id_min }.unit(&used_up)));
        Ok(then(units, proof))
    }

    async fn read_policies(
        &self,
        id_min: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<(Vec<Policy>, Option<u64>, UsedUp), Failure> {
        let mut answer = self.client.policies(id_min, sink.now()).await?;
        let mut policies = Vec::new();
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Policy(policy)) => policies.push(policy),
                Ok(Item::Refused(bad)) => sink.refuse(bad),
                Ok(_) => {}
                Err(around) => break around,
            }
        };
        let used_up = noted(used_up, Api::CompliancePolicy, &answer, sink);
        Ok((policies, self.next_page(&around, id_min)?, used_up))
    }

    pub(super) async fn posture(
        &self,
        run: &Run,
        id_min: u64,
        policies: &[Policy],
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let Some((policy, rest)) = policies.split_first() else { return Ok(Next::Done(Proof::default())) };
        let (mut used_up, mut proof, mut next) = (used_up.clone(), Proof::default(), None);
        match self.client.posture(policy.id, id_min, since(run), sink.now()).await {
            Ok(mut answer) => {
                used_up = noted(&used_up, Api::CompliancePosture, &answer, sink);
                match self.read_posture(&mut answer, sink).await {
                    Ok(page) => {
                        proof.received = page.received;
                        next = self.next_page(&page.around, id_min)?;
                        let described = self.lists_hosts() || self.detections;
                        report(policy, page, described, sink).await?;
                    }
                    Err(failure) => proof.missing = Some(alone(policy, failure)?),
                }
            }
            Err(failure) => proof.missing = Some(alone(policy, failure)?),
        }
        let policies = if next.is_some() { policies } else { rest };
        let more = (!policies.is_empty())
            .then(|| Work::Posture { id_min: next.unwrap_or(0), policies: policies.to_vec() }.unit(&used_up));
        Ok(then(more.into_iter().collect(), proof))
    }

    async fn read_posture(&self, answer: &mut Answer, sink: &mut dyn Sink) -> Result<PosturePage, Failure> {
        let mut page = PosturePage::default();
        loop {
            match answer.next(&self.client).await? {
                Ok(Item::Posture(posture)) => {
                    page.received += 1;
                    page.postures.push(*posture);
                }
                Ok(Item::Control(control)) => {
                    page.controls.insert(control.id.clone(), *control);
                }
                Ok(Item::Host(item)) => {
                    page.hosts.insert(item.host.native.clone(), item.host);
                }
                Ok(Item::Refused(bad)) => {
                    page.received += 1;
                    sink.refuse(bad);
                }
                Ok(_) => {}
                Err(around) => {
                    page.around = around;
                    return Ok(page);
                }
            }
        }
    }
}

/// A policy that is refused for good fails alone; what may pass is tried again.
fn alone(policy: &Policy, failure: Failure) -> Result<String, Failure> {
    let why = match failure {
        Failure::NotPermitted(detail) => detail,
        Failure::Sync(error @ (SyncError::Refused { .. } | SyncError::NotFound { .. }))
            if !error.is_transient() =>
        {
            error.to_string()
        }
        failure => return Err(failure),
    };
    Ok(format!("the posture of policy {} ({}) is missing: {why}", policy.id, policy.title))
}

/// Reports a page: rules before the findings that name them, host by host. Hosts that another stream describes are only
/// named: two descriptions would take turns, and each turn is a write.
async fn report(
    policy: &Policy,
    page: PosturePage,
    described: bool,
    sink: &mut dyn Sink,
) -> Result<(), SyncError> {
    let PosturePage { postures, controls, mut hosts, .. } = page;
    let now = sink.now();
    for control in controls.values() {
        sink.rule(control.rule()).await?;
    }
    let mut by_host: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    let mut unexplained = std::collections::BTreeSet::new();
    for posture in postures {
        let control = controls.get(&posture.control);
        let host = posture.host.clone();
        if let Some(finding) = posture.finding(policy.id, control, now) {
            if control.is_none() {
                unexplained.insert(finding.rule.clone());
            }
            by_host.entry(host).or_default().push(finding);
        }
    }
    if !unexplained.is_empty() {
        // Nobody will explain them later: their findings must not wait for it.
        let unknown = sink.unknown_rules(unexplained.into_iter().collect()).await?;
        sink.rules_without_definition(unknown).await?;
    }
    for (native, findings) in by_host {
        let known = hosts.remove(&native).filter(|_| !described);
        let mut host = known.unwrap_or(Host { native, ..Host::default() });
        // A compliance scan is none for weaknesses.
        (host.last_scanned_at, host.credentialed) = (None, None);
        sink.report(HostReport { host, findings, coverage: Coverage::Part }).await?;
    }
    Ok(())
}
