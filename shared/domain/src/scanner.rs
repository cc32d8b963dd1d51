//! The kinds of scanner: one table with everything that the rest has to know of each.
//!
//! The CDK app reads the same table from the generated schema, so that queues, functions, schedules and permissions of a
//! new kind follow from its row.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;
use crate::policy::{AuthMethod, Via};

/// What is to be known of a kind of scanner.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    /// The kind.
    #[serde(rename = "type")]
    pub scanner: Scanner,
    /// The name used in configuration, keys and output; that of its function is `sync-<name>`.
    #[serde(skip)]
    pub name: &'static str,
    /// Name of its function and queue.
    #[serde(rename = "function")]
    pub queue: &'static str,
    /// The product, for people.
    pub product: &'static str,
    /// Ways to log in; none where nobody is asked.
    pub auth: &'static [AuthMethod],
    /// Ways in which it is read, the one first that is used by default; none if there is nothing to choose.
    #[serde(skip)]
    pub interfaces: &'static [Via],
    /// The streams that it has, in the order in which they are pulled.
    pub streams: &'static [&'static str],
    /// Those of its streams that are taken only where a connector names them: what they bring is much, and not wanted by
    /// everybody.
    #[serde(skip)]
    pub on_request: &'static [&'static str],
    /// How the hosts of its maker's platforms end; empty where everybody runs their own.
    #[serde(skip)]
    pub hosts: &'static [&'static str],
    /// The APIs whose version a connector may choose.
    #[serde(skip)]
    pub versioned: &'static [&'static str],
    /// Whether it takes a second factor beside a password.
    #[serde(skip)]
    pub second_factor: bool,
    /// Whether some of its APIs are at a second host.
    #[serde(skip)]
    pub gateway: bool,
    /// Whether it knows when it first saw a finding. Of one that does not, the first report that has it counts.
    #[serde(skip)]
    pub remembers: bool,
    /// Whether what it has on a host can change without a scan: definitions are withdrawn, what it keeps is indexed anew.
    /// What such a one no longer has is gone only by a later scan than the one that had it.
    #[serde(skip)]
    pub forgets: bool,
    /// Whose agents' ids it tells: ids of two vendors are never compared.
    #[serde(skip)]
    pub agents: &'static str,
    /// Messages worked at the same time for all connectors of the kind together: what the smallest subscription allows.
    pub concurrency: u8,
    /// The events in which its findings arrive; there is nothing to pull then, and no run.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub events: &'static [Event],
}

/// A kind of EventBridge event.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Who sends it.
    pub source: &'static str,
    /// What it tells.
    #[serde(rename = "detailType")]
    pub detail_type: &'static str,
}

/// Makes the kinds out of the rows of their table.
macro_rules! scanners {
    ($($(#[$doc:meta])* $kind:ident = $name:literal { $($field:ident: $value:expr,)* })*) => {
        /// The kinds of scanner that vulnrelay reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum Scanner {
            $($(#[$doc])* $kind,)*
        }

        /// Every kind of scanner, in the order in which they are listed.
        pub static KINDS: &[Kind] = &[$(Kind {
            scanner: Scanner::$kind,
            name: $name,
            queue: concat!("sync-", $name),
            $($field: $value,)*
        },)*];

        const KNOWN: &str = concat!("use one of:" $(, " ", $name)*);
    };
}

scanners! {
    /// Qualys VMDR.
    Qualys = "qualys" {
        product: "Qualys VMDR",
        auth: &[AuthMethod::Basic],
        hosts: &[
            ".qualys.com",
            ".qualys.eu",
            ".qualys.it",
            ".qualys.in",
            ".qualys.ca",
            ".qualys.ae",
            ".qualys.co.uk",
            ".qualys.com.au",
            ".qualysksa.com",
        ],
        interfaces: &[Via::Api, Via::Files],
        streams: &["asset_inventory", "tags", "knowledge_base", "host_detections", "compliance_posture"],
        on_request: &["compliance_posture"],
        versioned: &[
            "host_list",
            "host_detections",
            "knowledge_base",
            "asset_groups",
            "compliance_policy",
            "compliance_posture",
        ],
        second_factor: false,
        gateway: true,
        remembers: true,
        forgets: true,
        agents: "qualys",
        concurrency: 2,
        events: &[],
    }
    /// Tenable Vulnerability Management (Tenable.io).
    Tenable = "tenable" {
        product: "Tenable Vulnerability Management",
        auth: &[AuthMethod::ApiKeys],
        hosts: &["cloud.tenable.com", "fedcloud.tenable.com"],
        interfaces: &[Via::Api, Via::Files],
        streams: &["assets", "vulnerabilities", "compliance", "scans"],
        on_request: &["compliance"],
        versioned: &["assets"],
        second_factor: false,
        gateway: false,
        remembers: true,
        forgets: false,
        agents: "tenable",
        concurrency: 2,
        events: &[],
    }
    /// Tenable Nessus Professional and Expert.
    Nessus = "nessus" {
        product: "Nessus",
        auth: &[AuthMethod::ApiKeys, AuthMethod::Basic],
        interfaces: &[Via::Api, Via::Files],
        streams: &["scans", "compliance"],
        on_request: &["compliance"],
        hosts: &[],
        versioned: &[],
        second_factor: false,
        gateway: false,
        remembers: false,
        forgets: false,
        agents: "tenable",
        concurrency: 2,
        events: &[],
    }
    /// Rapid7 InsightVM, the cloud's API.
    Insightvm = "insightvm" {
        product: "InsightVM",
        auth: &[AuthMethod::ApiKey],
        interfaces: &[Via::Api, Via::BulkExport, Via::Files],
        streams: &["assets", "vulnerabilities"],
        on_request: &[],
        hosts: &[".api.insight.rapid7.com"],
        versioned: &[],
        second_factor: false,
        gateway: false,
        remembers: true,
        forgets: true,
        agents: "rapid7",
        concurrency: 2,
        events: &[],
    }
    /// Rapid7 InsightVM, the API of a console on premises.
    InsightvmConsole = "insightvm-console" {
        product: "InsightVM console",
        auth: &[AuthMethod::Basic],
        interfaces: &[Via::Report, Via::Api, Via::Files],
        streams: &["assets", "vulnerabilities", "scans"],
        on_request: &[],
        hosts: &[],
        versioned: &[],
        second_factor: true,
        gateway: false,
        remembers: true,
        forgets: true,
        agents: "rapid7",
        concurrency: 2,
        events: &[],
    }
    /// Amazon Inspector and AWS Security Hub, whose findings arrive as events.
    Aws = "aws" {
        product: "Amazon Inspector and Security Hub",
        auth: &[],
        interfaces: &[],
        streams: &["inspector", "security_hub"],
        on_request: &[],
        hosts: &[],
        versioned: &[],
        second_factor: false,
        gateway: false,
        remembers: true,
        forgets: false,
        agents: "aws",
        concurrency: 10,
        events: &[
            Event { source: "aws.inspector2", detail_type: "Inspector2 Finding" },
            Event { source: "aws.securityhub", detail_type: "Security Hub Findings - Imported" },
        ],
    }
}

impl Scanner {
    /// What is to be known of it.
    pub fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }

    /// Every scanner, in the order in which they are listed.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        KINDS.iter().map(|kind| kind.scanner)
    }

    /// The name used in configuration, keys and output.
    pub fn as_str(self) -> &'static str {
        self.kind().name
    }

    /// Whether `host` is one of its maker's platforms; `None` where everybody runs their own.
    pub fn knows_host(self, host: &str) -> Option<bool> {
        let hosts = self.kind().hosts;
        let host = host.to_ascii_lowercase();
        let fits = |end: &&str| if end.starts_with('.') { host.ends_with(*end) } else { host == **end };
        (!hosts.is_empty()).then(|| hosts.iter().any(fits))
    }

    /// Whether it tells us by itself. There is nothing to pull then, and no run.
    pub fn pushes(self) -> bool {
        !self.kind().events.is_empty()
    }
}

impl FromStr for Scanner {
    type Err = InvalidId;

    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::all().find(|scanner| scanner.as_str() == s).ok_or(InvalidId {
            what: "a known scanner",
            value: s.to_owned(),
            remedy: KNOWN,
        })
    }
}

impl TryFrom<String> for Scanner {
    type Error = InvalidId;

    fn try_from(name: String) -> Result<Self, InvalidId> {
        name.parse()
    }
}

impl From<Scanner> for &'static str {
    fn from(scanner: Scanner) -> Self {
        scanner.as_str()
    }
}

impl fmt::Display for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_in_the_place_of_its_kind() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.scanner as usize, at, "{}", kind.name);
            assert_eq!(kind.queue, format!("sync-{}", kind.name));
            assert_eq!(kind.name.parse(), Ok(kind.scanner));
            assert_eq!(serde_json::to_string(&kind.scanner).unwrap(), format!("{:?}", kind.name));
        }
    }

    #[test]
    fn a_host_belongs_to_a_platform_by_its_end() {
        assert_eq!(Scanner::Qualys.knows_host("qualysapi.qg2.apps.qualys.eu"), Some(true));
        assert_eq!(Scanner::Qualys.knows_host("qualysapi.qualys.com.evil.example"), Some(false));
        assert_eq!(Scanner::Qualys.knows_host("notqualys.com"), Some(false));
        assert_eq!(Scanner::Tenable.knows_host("Cloud.Tenable.com"), Some(true));
        assert_eq!(Scanner::Tenable.knows_host("x.cloud.tenable.com"), Some(false));
        assert_eq!(Scanner::Nessus.knows_host("nessus.corp.example"), None);
    }

    #[test]
    fn an_unknown_kind_is_told_every_known_one() {
        let error = "nexpose".parse::<Scanner>().unwrap_err();
        for kind in KINDS {
            assert!(error.remedy.contains(kind.name), "{}", kind.name);
        }
    }
}
