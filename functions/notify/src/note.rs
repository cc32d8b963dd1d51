//! What a message says, before anybody formats it.

use std::collections::BTreeSet;

use domain::host::Host;
use domain::sla::CrossingKind;
use domain::vulnerability::{Announced, Asset, NotifyEvent};
use domain::{ConnectorName, Severity, Status, VulnId, Vulnerability};
use jiff::Timestamp;
use store::{RunRecord, Verdict};

/// Vulnerabilities that a message lists; the others are counted.
pub const LISTED: usize = 10;

/// The content of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What happened, to how many, where.
    pub title: String,
    /// Names and values.
    pub facts: Vec<(&'static str, String)>,
    /// What is announced, worst first.
    pub lines: Vec<Line>,
    /// How many more there are.
    pub more: usize,
    /// Identity of the message.
    pub reference: String,
}

/// One vulnerability of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its severity.
    pub severity: Severity,
    /// Its score.
    pub score: u16,
    /// What it is.
    pub title: String,
    /// Its CVEs.
    pub cves: Vec<String>,
    /// Its deadline.
    pub due: Option<Timestamp>,
    /// Where it stands.
    pub status: Status,
}

/// The vulnerabilities that are announced, each once, in order.
pub fn distinct(about: &[Announced]) -> Vec<VulnId> {
    let mut seen = BTreeSet::new();
    about.iter().map(|a| &a.vulnerability).filter(|id| seen.insert(*id)).cloned().collect()
}

/// What happened, to how many, where.
pub fn title(event: NotifyEvent, about: &[Announced], host: &Host) -> String {
    let what = match event {
        NotifyEvent::Opened => "New".to_owned(),
        NotifyEvent::Exploited => "Exploited in the wild".to_owned(),
        NotifyEvent::Approaching => "Approaching deadline".to_owned(),
        NotifyEvent::Overdue => "Overdue".to_owned(),
        NotifyEvent::FirstSync => "First sync".to_owned(),
        NotifyEvent::FollowUp => follow_up(about),
    };
    let count = distinct(about).len();
    let noun = if count == 1 { "vulnerability" } else { "vulnerabilities" };
    format!("{what}: {count} {noun} on {}", host.display_name())
}

/// Different severities are followed up after different times.
fn follow_up(about: &[Announced]) -> String {
    let days = about.iter().filter_map(|a| match a.crossing.map(|crossing| crossing.kind) {
        Some(CrossingKind::FollowUp { days }) => Some(days),
        _ => None,
    });
    let days: Vec<String> = days.collect::<BTreeSet<u16>>().iter().map(u16::to_string).collect();
    match days.as_slice() {
        [] => "Follow-up".to_owned(),
        [one] if one == "1" => "Follow-up after 1 day".to_owned(),
        [one] => format!("Follow-up after {one} days"),
        [some @ .., last] => format!("Follow-up after {} and {last} days", some.join(", ")),
    }
}

/// The title of a first run's summary.
pub fn first_sync_title(connector: &ConnectorName, run: &RunRecord) -> String {
    format!("First sync summary: {connector}, {}", verdict(run))
}

fn verdict(run: &RunRecord) -> &'static str {
    run.verdict.map_or("not judged", Verdict::as_str)
}

impl Note {
    /// The message about vulnerabilities of an asset.
    pub fn about(
        event: NotifyEvent,
        about: &[Announced],
        asset: &Asset,
        vulnerabilities: &[Vulnerability],
        more: usize,
        reference: &str,
    ) -> Self {
        let mut facts = vec![("Asset", asset.host.display_name().to_owned()), ("Owner", asset.owner.clone())];
        facts.extend(asset.service.clone().map(|service| ("Service", service)));
        let lines = vulnerabilities.iter().map(|v| Line {
            severity: v.severity,
            score: v.score.value,
            title: v.title.clone(),
            cves: v.cves.iter().map(ToString::to_string).collect(),
            due: v.due,
            status: v.status,
        });
        Self {
            title: title(event, about, &asset.host),
            facts,
            lines: lines.collect(),
            more,
            reference: reference.to_owned(),
        }
    }

    /// The summary of a connector's first run.
    pub fn first_sync(connector: &ConnectorName, run: &RunRecord, reference: &str) -> Self {
        let counts = &run.counts;
        let opened = format!(
            "{}, of them {} critical and {} high",
            counts.opened, counts.opened_critical, counts.opened_high
        );
        let judged = match &run.reason {
            Some(reason) => format!("{}: {reason}", verdict(run)),
            None => verdict(run).to_owned(),
        };
        Self {
            title: first_sync_title(connector, run),
            facts: vec![
                ("Connector", connector.to_string()),
                ("Hosts", counts.hosts.to_string()),
                ("Findings received", counts.received.to_string()),
                ("Opened", opened),
                ("Verdict", judged),
            ],
            lines: Vec::new(),
            more: 0,
            reference: reference.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(id: &str, crossing: Option<&str>) -> Announced {
        Announced { vulnerability: id.parse().unwrap(), crossing: crossing.map(|key| key.parse().unwrap()) }
    }

    #[test]
    fn a_title_says_what_happened_to_how_many_and_where() {
        let host = Host { native: "17".into(), fqdns: vec!["web-1.example.com".into()], ..Host::default() };
        let one = "v-0000000000000001";
        let two = "v-0000000000000002";
        let overdue = [announced(one, Some("0/overdue"))];
        assert_eq!(
            title(NotifyEvent::Overdue, &overdue, &host),
            "Overdue: 1 vulnerability on web-1.example.com"
        );
        let twice = [announced(one, Some("0/follow_up/30")), announced(one, Some("0/follow_up/7"))];
        assert_eq!(
            title(NotifyEvent::FollowUp, &twice, &host),
            "Follow-up after 7 and 30 days: 1 vulnerability on web-1.example.com"
        );
        let both = [announced(one, None), announced(two, None)];
        assert!(title(NotifyEvent::Opened, &both, &host).starts_with("New: 2 vulnerabilities"));
        assert_eq!(distinct(&twice).len(), 1);
    }
}
