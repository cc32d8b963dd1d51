//! The state of a site as lines that can be compared: what is stored, what the outside received, what is counted.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Severity, Vulnerability};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::Value;
use store::OpenCounts;
use vulnrelay::export::export;

use super::Site;
use super::lines::{difference, messages, tickets};

/// Everything that has to be the same in the end, whatever happened in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The stable export.
    pub export: Vec<String>,
    /// Tickets of the tracker, without the ids it gave and without times.
    pub tickets: Vec<String>,
    /// Messages of the channel, without times.
    pub messages: Vec<String>,
    /// Counters.
    pub counters: Vec<String>,
    /// Runs: verdicts and counts that do not depend on how often a unit was tried.
    pub runs: Vec<String>,
}

impl Site {
    /// The stable export.
    pub async fn export(&self) -> Vec<String> {
        let mut out = Vec::new();
        export(self.stack.observer(), true, &mut out).await.unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    /// Takes the picture.
    pub async fn picture(&self) -> Picture {
        Picture {
            export: self.export().await,
            tickets: tickets(&self.world.received.tickets()),
            messages: messages(&self.world.received.messages()),
            counters: self.counters().await,
            runs: self.runs().await,
        }
    }

    async fn counters(&self) -> Vec<String> {
        let store = self.stack.observer();
        let mut lines: Vec<String> = store
            .open_counts()
            .await
            .unwrap()
            .iter()
            .map(|(owner, counts)| format!("{owner}: {counts:?}"))
            .collect();
        let mut at = self.world.clock.start();
        while at <= self.now() {
            let day = at.to_zoned(TimeZone::UTC).date();
            lines.push(format!("{day}: {:?}", store.day_counts(day).await.unwrap()));
            at += SignedDuration::from_hours(24);
        }
        lines
    }

    async fn runs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for connector in &self.stack.services().config.connectors {
            for run in self.stack.observer().runs(&connector.name, 100).await.unwrap() {
                let counts = run.counts;
                lines.push(format!(
                    "{} {} {:?} {:?} closed {} received {} hosts {}",
                    connector.name,
                    run.mode["mode"],
                    run.status,
                    run.verdict,
                    counts.closed,
                    counts.received,
                    counts.hosts
                ));
            }
        }
        lines
    }

    /// Counters as they have to be, computed from the vulnerabilities themselves.
    pub async fn recount(&self, vulnerabilities: &[Vulnerability]) -> BTreeMap<String, OpenCounts> {
        let mut owners: BTreeMap<String, OpenCounts> = BTreeMap::new();
        let mut assets = BTreeMap::new();
        let ids: BTreeSet<_> = vulnerabilities.iter().map(|v| v.asset.clone()).collect();
        for line in self.export().await {
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["type"] == "asset" && line["gone"].is_null() {
                owners.entry(line["owner"].as_str().unwrap().to_owned()).or_default().assets += 1;
            }
        }
        for id in ids {
            assets.insert(id.clone(), self.stack.observer().asset(&id).await.unwrap().unwrap().value);
        }
        for vulnerability in vulnerabilities.iter().filter(|v| v.status.is_open()) {
            let asset = &assets[&vulnerability.asset];
            let counts = owners.entry(asset.owner.clone()).or_default();
            *match vulnerability.severity {
                Severity::Critical => &mut counts.critical,
                Severity::High => &mut counts.high,
                Severity::Medium => &mut counts.medium,
                Severity::Low => &mut counts.low,
                Severity::Info => &mut counts.info,
            } += 1;
            counts.overdue += i64::from(vulnerability.is_overdue(self.now()));
        }
        owners.retain(|_, counts| *counts != OpenCounts::default());
        owners
    }
}

impl Picture {
    /// What differs, part by part; `None` if nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let parts = [
            ("export", &self.export, &other.export),
            ("tickets", &self.tickets, &other.tickets),
            ("messages", &self.messages, &other.messages),
            ("counters", &self.counters, &other.counters),
            ("runs", &self.runs, &other.runs),
        ];
        let text: String = parts.iter().filter_map(|(name, a, b)| difference(name, a, b)).collect();
        (!text.is_empty()).then_some(text)
    }
}
