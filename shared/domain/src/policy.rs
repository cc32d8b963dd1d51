//! What this company wants: the configuration document and the rules that it switches.
//!
//! The document is the YAML that users write (`connectors.yaml`). It is parsed strictly: an unknown field is an
//! error with its place, because a misspelt policy that is silently ignored is worse than none. Secrets appear in
//! it only as `${NAME}`; the values live in Secrets Manager.

mod exposure;
mod network;
mod tls;

use std::collections::{BTreeMap, BTreeSet};

pub use exposure::{AwsAccount, ExposureSources};
pub use network::Network;
pub use tls::{Pin, Tls};

use serde::{Deserialize, Serialize};

use crate::finding::FindingKind;
use crate::host::{Host, Tag};
use crate::identity::Identifier;
use crate::ids::ConnectorName;
use crate::intel::Feed;
use crate::scanner::Scanner;
use crate::score::{Exposure, ScoreConfig};
use crate::sla::SlaPolicy;
use crate::vulnerability::{NotifyEvent, Severity};

/// The whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Scanner accounts to pull.
    pub connectors: Vec<Connector>,
    /// Public feeds; each may point to a mirror.
    pub feeds: Feeds,
    /// Who owns what, first match wins.
    pub ownership: Vec<OwnerRule>,
    /// How critical assets are and who can reach them, first match wins for each of the two.
    pub impact: Vec<ImpactRule>,
    /// From what it is told who can reach an asset of which no rule says it.
    pub exposure: ExposureSources,
    /// What is promoted, chased, announced and ticketed.
    pub policies: Policies,
    /// Where messages go.
    pub channels: Vec<Channel>,
    /// Where tickets go.
    pub trackers: Vec<Tracker>,
    /// Who may push.
    pub webhooks: Vec<WebhookSource>,
    /// What is known beforehand of identifiers of machines.
    pub identity: KnownIdentifiers,
}

/// What people know of single identifiers, each written as `kind|scope|value`. It comes before what is learned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KnownIdentifiers {
    /// Many machines share them: they lead to none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub shared: BTreeSet<Identifier>,
    /// One machine's, whatever they look like: never learned to be shared.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub never_shared: BTreeSet<Identifier>,
}

/// One account of a scanner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Its name in keys, logs and pages.
    pub name: ConnectorName,
    /// The kind of scanner.
    #[serde(rename = "type")]
    pub scanner: Scanner,
    /// Where its API is. Credentials are sent to this host only. Empty for a scanner that tells us by itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^https?://[^/]")))]
    pub base_url: String,
    /// Where the scanner's second host is, which has some of its APIs (Qualys' gateway). Known for public platforms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_url: Option<String>,
    /// Versions of single APIs, where another than the usual one is wanted: `{ host_detections: "4.0" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub api_versions: BTreeMap<String, String>,
    /// How to log in.
    #[serde(default, skip_serializing_if = "Auth::is_none")]
    pub auth: Auth,
    /// Which streams to take; empty means all that the scanner has, but those that are taken on request only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_streams: Vec<String>,
    /// Time between two pulls: `3600s`, `15m`, `4h`, `1d`.
    #[serde(default = "Seconds::hour")]
    pub sync_interval: Seconds,
    /// Time between two full pulls; those in between ask only for what changed.
    #[serde(default = "Seconds::week")]
    pub full_interval: Seconds,
    /// Time within which every host has to be scanned; what was not is listed as stale.
    #[serde(default = "Seconds::month")]
    pub scan_cadence: Seconds,
    /// Assets of different networks may share addresses and names; connectors of one network share a scope.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Parallel units of one run, within what the scanner allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 255)))]
    pub max_concurrency: Option<u8>,
    /// Share of a connector's open findings that one run may close without approval, in per cent (at least 50 findings).
    #[serde(default = "default_close_limit")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub close_limit_percent: u8,
    /// Hosts or assets per page or chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub page_size: Option<u32>,
    /// Which of its interfaces is used, where a scanner has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Private and link-local addresses are refused unless this is set, as for an on-premise scanner.
    #[serde(default)]
    pub allow_private_address: bool,
    /// Whom to trust where the public certificate authorities do not know the server.
    #[serde(default, skip_serializing_if = "Tls::is_public")]
    pub tls: Tls,
}

/// An interface that a scanner is read through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Page by page.
    Api,
    /// Reports that the console of InsightVM prepares.
    Report,
    /// InsightVM's Bulk Export: Parquet files that are prepared once a day.
    BulkExport,
    /// Nobody is asked: `vulnrelay import` takes over files with the scanner's answers.
    Files,
}

fn default_scope() -> String {
    "default".to_owned()
}

fn default_close_limit() -> u8 {
    30
}

/// How to log in to an outside system. Every secret is a `${NAME}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Nobody is asked, so that nobody wants to know who asks.
    #[default]
    None,
    /// A user name and a password: Qualys, InsightVM console, Nessus, Jira Cloud (address and API token).
    Basic {
        /// User name.
        username: String,
        /// Password or API token.
        password: String,
        /// The second factor, where the account of an InsightVM console has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Tenable's pair of keys.
    ApiKeys {
        /// Access key.
        access_key: String,
        /// Secret key.
        secret_key: String,
    },
    /// One API key: InsightVM.
    ApiKey {
        /// The key.
        key: String,
    },
}

/// The ways to log in, as the configuration calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// [`Auth::None`].
    None,
    /// [`Auth::Basic`].
    Basic,
    /// [`Auth::ApiKeys`].
    ApiKeys,
    /// [`Auth::ApiKey`].
    ApiKey,
}

impl AuthMethod {
    /// The word used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::ApiKeys => "api_keys",
            Self::ApiKey => "api_key",
        }
    }
}

impl Auth {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// How it logs in.
    pub fn method(&self) -> AuthMethod {
        match self {
            Self::None => AuthMethod::None,
            Self::Basic { .. } => AuthMethod::Basic,
            Self::ApiKeys { .. } => AuthMethod::ApiKeys,
            Self::ApiKey { .. } => AuthMethod::ApiKey,
        }
    }

    /// Its fields that must not stand in the configuration: each is a `${NAME}`.
    pub fn secrets(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::None => vec![],
            Self::Basic { password, token, .. } => [("password", password)]
                .into_iter()
                .chain(token.as_ref().map(|token| ("token", token)))
                .map(|(name, text)| (name, text.as_str()))
                .collect(),
            Self::ApiKeys { secret_key, .. } => vec![("secret_key", secret_key)],
            Self::ApiKey { key } => vec![("key", key)],
        }
    }

    /// All of its texts, which may name secrets.
    pub fn texts(&self) -> Vec<&str> {
        let open = match self {
            Self::Basic { username, .. } => Some(username),
            Self::ApiKeys { access_key, .. } => Some(access_key),
            Self::None | Self::ApiKey { .. } => None,
        };
        open.map(String::as_str).into_iter().chain(self.secrets().into_iter().map(|(_, text)| text)).collect()
    }
}

/// A length of time written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(pub u32);

impl Seconds {
    /// One hour.
    pub fn hour() -> Self {
        Self(3_600)
    }

    /// Seven days.
    pub fn week() -> Self {
        Self(7 * 86_400)
    }

    /// Thirty days, within which FedRAMP and CIS want every host to be scanned.
    pub fn month() -> Self {
        Self(30 * 86_400)
    }

    /// As a signed duration.
    pub fn duration(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_secs(i64::from(self.0))
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a length of time: write 90s, 15m, 4h or 1d");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        number
            .parse::<u32>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .filter(|n| *n > 0)
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        format!("{}s", seconds.0)
    }
}

/// Where the public feeds are. An empty address switches a feed off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Feeds {
    /// CISA KEV, JSON.
    pub kev: String,
    /// EPSS, gzipped CSV.
    pub epss: String,
    /// Exploit-DB, CSV.
    pub exploitdb: String,
    /// Metasploit module metadata, JSON.
    pub metasploit: String,
    /// nuclei's index of templates for CVEs, a JSON object a line.
    pub nuclei: String,
    /// CVE records with CISA's assessments, a gzipped archive of JSON files.
    pub vulnrichment: String,
    /// NVD's API of CVEs, version 2.0: pages of JSON.
    pub nvd: String,
    /// NVD's key, as `${NAME}` of the secret `feeds`: with it six times as many requests are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvd_key: Option<String>,
    /// VulnCheck's list of known exploited vulnerabilities, for who has an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulncheck: Option<ThreatSource>,
    /// A MISP instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misp: Option<ThreatSource>,
    /// Mandiant's intelligence on vulnerabilities, for who has a contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandiant: Option<ThreatSource>,
    /// Recorded Future's risk list of vulnerabilities, for who has a contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordedfuture: Option<ThreatSource>,
    /// Time between two pulls of the feeds.
    pub interval: Seconds,
    /// Private and link-local addresses are refused unless this is set, as for a mirror of one's own.
    pub allow_private_address: bool,
}

impl Feeds {
    /// The name of the secret that holds what feeds want to know of who asks. Nothing else may have this name.
    pub const SECRET: &str = "feeds";

    /// The feeds that are wanted: those that have an address.
    pub fn wanted(&self) -> impl Iterator<Item = Feed> {
        Feed::ALL.into_iter().filter(|feed| !self.address(*feed).is_empty())
    }

    /// Its fields that must not stand in the configuration: each is a `${NAME}`.
    pub fn secrets(&self) -> Vec<(String, &str)> {
        let sources = Feed::THREAT.into_iter().filter_map(|feed| Some((feed, self.source(feed)?)));
        let secrets = sources.flat_map(|(feed, source)| {
            let secrets = source.auth.secrets().into_iter();
            secrets.map(move |(name, secret)| (format!("{feed}.auth.{name}"), secret))
        });
        self.nvd_key.as_deref().map(|key| ("nvd_key".to_owned(), key)).into_iter().chain(secrets).collect()
    }

    /// All of its texts that may name secrets.
    pub fn texts(&self) -> Vec<&str> {
        let sources = Feed::THREAT.into_iter().filter_map(|feed| self.source(feed));
        self.nvd_key.as_deref().into_iter().chain(sources.flat_map(|source| source.auth.texts())).collect()
    }

    /// How a source of threat intelligence is reached; `None` where it is not wanted, and for other feeds.
    pub fn source(&self, feed: Feed) -> Option<&ThreatSource> {
        match feed {
            Feed::Vulncheck => self.vulncheck.as_ref(),
            Feed::Misp => self.misp.as_ref(),
            Feed::Mandiant => self.mandiant.as_ref(),
            Feed::RecordedFuture => self.recordedfuture.as_ref(),
            Feed::Kev
            | Feed::Epss
            | Feed::Exploitdb
            | Feed::Metasploit
            | Feed::Nuclei
            | Feed::Vulnrichment
            | Feed::Nvd => None,
        }
    }

    /// How far a source of threat intelligence is trusted, in per cent; `None` where it is not wanted. Anybody may write
    /// into most MISP instances, the others have analysts.
    pub fn trust(&self, feed: Feed) -> Option<u8> {
        let source = self.source(feed)?;
        Some(source.trust_percent.unwrap_or(match feed {
            Feed::Misp => 70,
            Feed::RecordedFuture => 90,
            _ => 100,
        }))
    }

    /// What the types of the sources of threat intelligence cannot say.
    fn check_sources(&self) -> Result<(), InvalidConfig> {
        for (feed, source) in Feed::THREAT.into_iter().filter_map(|feed| Some((feed, self.source(feed)?))) {
            let invalid = |field: &str, problem: String| {
                Err(InvalidConfig { field: format!("feeds.{feed}.{field}"), problem })
            };
            if self.address(feed).is_empty() {
                return invalid("base_url", "every instance has its own address: name yours".into());
            }
            check_url(self.address(feed), format!("feeds.{feed}.base_url"))?;
            let method = if feed == Feed::Mandiant { AuthMethod::Basic } else { AuthMethod::ApiKey };
            if source.auth.method() != method {
                return invalid(
                    "auth.method",
                    format!("{feed} knows who asks by {0}: use {0}", method.as_str()),
                );
            }
            if source.trust_percent.is_some_and(|trust| trust > 100) {
                return invalid("trust_percent", "use 0 to 100".into());
            }
            if let Err((field, problem)) = source.tls.check(self.address(feed)) {
                return invalid(field, problem);
            }
        }
        Ok(())
    }

    /// Where a feed is; empty where it is not wanted.
    pub fn address(&self, feed: Feed) -> &str {
        match feed {
            Feed::Kev => &self.kev,
            Feed::Epss => &self.epss,
            Feed::Exploitdb => &self.exploitdb,
            Feed::Metasploit => &self.metasploit,
            Feed::Nuclei => &self.nuclei,
            Feed::Vulnrichment => &self.vulnrichment,
            Feed::Nvd => &self.nvd,
            Feed::Vulncheck | Feed::Misp | Feed::Mandiant | Feed::RecordedFuture => {
                self.source(feed).map_or("", |source| source.address(feed))
            }
        }
    }
}

impl Default for Feeds {
    fn default() -> Self {
        Self {
            kev: "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json".into(),
            epss: "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz".into(),
            exploitdb: "https://gitlab.com/exploit-database/exploitdb/-/raw/main/files_exploits.csv".into(),
            metasploit:
                "https://raw.githubusercontent.com/rapid7/metasploit-framework/master/db/modules_metadata_base.json"
                    .into(),
            nuclei: "https://raw.githubusercontent.com/projectdiscovery/nuclei-templates/main/cves.json".into(),
            vulnrichment: "https://codeload.github.com/cisagov/vulnrichment/tar.gz/refs/heads/develop".into(),
            nvd: "https://services.nvd.nist.gov/rest/json/cves/2.0".into(),
            nvd_key: None,
            vulncheck: None,
            misp: None,
            mandiant: None,
            recordedfuture: None,
            interval: Seconds(6 * 3_600),
            allow_private_address: false,
        }
    }
}

/// A source of threat intelligence, which wants to know who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThreatSource {
    /// Where its API is. Needed for MISP; the others have an address that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_url: String,
    /// How to log in: a key, or for Mandiant a key and its secret as user name and password. Each secret is a `${NAME}`
    /// of the secret `feeds`.
    pub auth: Auth,
    /// How far it is trusted, in per cent: what it asserts counts so much. Below 50 it confirms no exploitation. Known
    /// for each source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub trust_percent: Option<u8>,
    /// Private and link-local addresses are refused unless this is set, as for an instance of one's own.
    #[serde(default)]
    pub allow_private_address: bool,
    /// Whom to trust where the public certificate authorities do not know the server.
    #[serde(default, skip_serializing_if = "Tls::is_public")]
    pub tls: Tls,
}

impl ThreatSource {
    /// Where its API is.
    fn address(&self, feed: Feed) -> &str {
        match feed {
            _ if !self.base_url.is_empty() => &self.base_url,
            Feed::Vulncheck => "https://api.vulncheck.com",
            Feed::Mandiant => "https://api.intelligence.mandiant.com",
            Feed::RecordedFuture => "https://api.recordedfuture.com",
            _ => "",
        }
    }
}

/// Conditions on an asset; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// `key=value`, or `key` for any value. Case does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Beginning of any of the asset's names. Case does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// Any of the asset's names as a whole; `*` stands for any text, `?` for one character. Case does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A group of the scanner: an asset group, a site. Case does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Any of the asset's addresses is in this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Network>,
    /// The cloud account, project or subscription that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Tags under which scanners tell of their groups.
const GROUP_TAGS: [&str; 4] = ["asset_group", "group", "site", "network"];

/// Whether a text fits a pattern with `*` and `?`.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last star stands, and how much of the text it has taken so far.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|&c| c == b'?' || c == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p.min(pattern.len())..].iter().all(|&c| c == b'*')
}

impl Match {
    /// Whether the host fulfils every given condition. A rule without conditions matches every host.
    pub fn matches(&self, host: &Host) -> bool {
        let tag = self.tag.as_ref().is_none_or(|wanted| {
            let wanted = Tag::parse(wanted);
            host.tags.iter().any(|tag| {
                // Scanners without values keep the whole text in the key.
                let tag = if tag.value.is_empty() { Tag::parse(&tag.key) } else { tag.clone() };
                tag.key.eq_ignore_ascii_case(&wanted.key)
                    && (wanted.value.is_empty() || tag.value.eq_ignore_ascii_case(&wanted.value))
            })
        });
        let names = || [&host.fqdns, &host.hostnames, &host.netbios].into_iter().flatten();
        let prefix = self.name_prefix.as_ref().is_none_or(|prefix| {
            let prefix = prefix.to_lowercase();
            names().any(|name| name.to_lowercase().starts_with(&prefix))
        });
        let name = self.name.as_ref().is_none_or(|pattern| {
            let pattern = pattern.to_lowercase();
            names().any(|name| fits(pattern.as_bytes(), name.to_lowercase().as_bytes()))
        });
        let group = self.group.as_ref().is_none_or(|group| {
            host.tags.iter().any(|tag| {
                GROUP_TAGS.iter().any(|key| tag.key.eq_ignore_ascii_case(key))
                    && tag.value.eq_ignore_ascii_case(group)
            })
        });
        let cidr = self.cidr.is_none_or(|network| {
            host.ips.iter().filter_map(|ip| ip.parse().ok()).any(|address| network.contains(address))
        });
        let account = self.account.as_ref().is_none_or(|account| {
            let same = |told: &String| told.eq_ignore_ascii_case(account);
            host.cloud.iter().any(|cloud| cloud.account.as_ref().is_some_and(same))
        });
        tag && prefix && name && group && cidr && account
    }
}

/// Who owns the assets that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnerRule {
    /// Which assets.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The team.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub owner: String,
    /// The service that the assets serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// How much the assets that match matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ImpactRule {
    /// Which assets.
    #[serde(rename = "match")]
    pub matching: Match,
    /// 1 (least) to 5 (most).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 5)))]
    pub criticality: Option<u8>,
    /// Who can reach them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
}

/// The policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// Severities whose findings become vulnerabilities at once; others wait as `created`.
    pub promote: BTreeSet<Severity>,
    /// The same for failed checks of compliance; none unless said, because one policy of a scanner has hundreds.
    pub promote_compliance: BTreeSet<Severity>,
    /// Severities whose vulnerabilities get a ticket.
    pub tickets: BTreeSet<Severity>,
    /// A ticket also needs at least this score.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub ticket_min_score: u16,
    /// An accepted risk is no longer accepted once its EPSS reaches so many per cent, if it was lower then.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub acceptance_ends_at_epss: u8,
    /// Deadlines, warnings and follow-up notifications.
    pub sla: SlaPolicy,
    /// Weights and bands of the score.
    pub score: ScoreConfig,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            promote: [Severity::Critical, Severity::High, Severity::Medium, Severity::Low].into(),
            promote_compliance: BTreeSet::new(),
            tickets: [Severity::Critical].into(),
            ticket_min_score: 0,
            // From here on FIRST's own example works what is found (first.org/epss/model).
            acceptance_ends_at_epss: 10,
            sla: SlaPolicy::default(),
            score: ScoreConfig::default(),
        }
    }
}

impl Policies {
    /// Whether findings of this kind and severity become vulnerabilities at once.
    pub fn promotes(&self, kind: FindingKind, severity: Severity) -> bool {
        match kind {
            FindingKind::Vulnerability => self.promote.contains(&severity),
            FindingKind::Compliance => self.promote_compliance.contains(&severity),
        }
    }
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name in keys and pages.
    pub name: ConnectorName,
    /// What kind of receiver it is.
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// The address to post to, usually `${NAME}` because it is a secret itself.
    pub webhook_url: String,
    /// What it wants to hear of; empty means everything but `opened`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub events: BTreeSet<NotifyEvent>,
    /// Only vulnerabilities of at least this severity.
    #[serde(default = "default_min_severity")]
    pub min_severity: Severity,
    /// Only assets of these owners; empty means all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<String>,
    /// Messages an hour; what exceeds it is held, counted and listed.
    #[serde(default = "default_messages")]
    pub messages_per_hour: u32,
    /// Private addresses are refused unless this is set.
    #[serde(default)]
    pub allow_private_address: bool,
}

fn default_min_severity() -> Severity {
    Severity::High
}

fn default_messages() -> u32 {
    20
}

impl Channel {
    /// Whether the channel wants to hear of this.
    pub fn wants(&self, event: NotifyEvent, severity: Severity, owner: &str) -> bool {
        let event_wanted =
            if self.events.is_empty() { event != NotifyEvent::Opened } else { self.events.contains(&event) };
        event_wanted
            && severity >= self.min_severity
            && (self.owners.is_empty() || self.owners.contains(owner))
    }
}

/// Kinds of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// An incoming webhook as Slack, Mattermost and Rocket.Chat understand it.
    Slack,
}

/// Where tickets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tracker {
    /// Its name in keys and pages.
    pub name: ConnectorName,
    /// What kind of tracker it is.
    #[serde(rename = "type")]
    pub kind: TrackerKind,
    /// Where it is: `https://example.atlassian.net`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^https?://[^/]")))]
    pub base_url: String,
    /// How to log in.
    pub auth: Auth,
    /// Project key.
    pub project: String,
    /// Name of the issue type.
    #[serde(default = "default_issue_type")]
    pub issue_type: String,
    /// Longest time until a new ticket is found by search; a lost answer is looked up only after it.
    #[serde(default = "default_search_lag")]
    pub search_lag: Seconds,
    /// Tickets an hour; what exceeds it is held, counted and listed.
    #[serde(default = "default_tickets")]
    pub tickets_per_hour: u32,
    /// Private addresses are refused unless this is set.
    #[serde(default)]
    pub allow_private_address: bool,
}

fn default_issue_type() -> String {
    "Task".to_owned()
}

fn default_search_lag() -> Seconds {
    Seconds(60)
}

fn default_tickets() -> u32 {
    100
}

/// Kinds of tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TrackerKind {
    /// Jira Cloud, REST API v3.
    Jira,
}

/// Who may push, and what a push starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookSource {
    /// Last part of its path: `POST /webhooks/<name>`.
    pub name: ConnectorName,
    /// The connector that a push pulls incrementally.
    pub connector: ConnectorName,
    /// How a push proves where it comes from.
    #[serde(default, skip_serializing_if = "Verification::is_default")]
    pub verify: Verification,
    /// What the sender shares with us, as `${NAME}`. Two during a rotation. Not with `sns`, which has a public key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// With `static_header`: the header that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// With `sns`: the topics that may push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicArn>,
    /// With `hmac` and `sns`: how far the time of signing may be from our clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Seconds>,
    /// With `github` and `static_header`, whose pushes carry no time: how long a body is remembered. The same body
    /// within this time is the same push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<Seconds>,
}

/// How a push proves where it comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// HMAC-SHA256 over a timestamp and the body, in our own two headers.
    #[default]
    Hmac,
    /// HMAC-SHA256 over the body alone, in `X-Hub-Signature-256`: GitHub and who does like it.
    Github,
    /// The secret itself, in a header.
    StaticHeader,
    /// Amazon SNS: signed with its certificate.
    Sns,
}

impl Verification {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The word used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Github => "github",
            Self::StaticHeader => "static_header",
            Self::Sns => "sns",
        }
    }
}

impl WebhookSource {
    /// How far the time of signing may be from our clock. SNS tries to deliver a message for up to an hour, and does
    /// not sign it anew.
    pub fn tolerance(&self) -> Seconds {
        self.tolerance.unwrap_or(Seconds(if self.verify == Verification::Sns { 2 * 3_600 } else { 300 }))
    }

    /// How long a body without a time is remembered. Whoever can repeat a static header knows the secret anyway, so
    /// that there it only unites what was delivered twice.
    pub fn remember(&self) -> Seconds {
        self.remember.unwrap_or(Seconds(if self.verify == Verification::StaticHeader { 60 } else { 86_400 }))
    }

    /// What the kind of verification lacks, or what it does not know.
    fn check(&self) -> Result<(), (&'static str, String)> {
        use Verification::{Github, Hmac, Sns, StaticHeader};
        let kind = self.verify;
        let given = [
            ("secrets", !self.secrets.is_empty(), &[Hmac, Github, StaticHeader][..]),
            ("header", self.header.is_some(), &[StaticHeader]),
            ("topics", !self.topics.is_empty(), &[Sns]),
            ("tolerance", self.tolerance.is_some(), &[Hmac, Sns]),
            ("remember", self.remember.is_some(), &[Github, StaticHeader]),
        ];
        if let Some((field, ..)) = given.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
            return Err((field, format!("verify: {} has no {field}: leave it out", kind.as_str())));
        }
        if kind == Sns {
            if self.topics.is_empty() {
                return Err(("topics", "name at least one: arn:aws:sns:<region>:<account>:<topic>".into()));
            }
        } else if self.secrets.is_empty() || self.secrets.iter().any(|s| secret_name(s).is_none()) {
            return Err(("secrets", "give at least one, each as ${NAME}".into()));
        }
        let is_header = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if kind == StaticHeader && !self.header.as_deref().is_some_and(is_header) {
            return Err(("header", "name the header that holds the secret, such as x-scanner-token".into()));
        }
        Ok(())
    }
}

/// The name of an SNS topic: `arn:aws:sns:eu-central-1:123456789012:scans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicArn {
    text: String,
    region: String,
    china: bool,
}

impl TopicArn {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host of SNS that this topic's messages are signed by and subscribed at.
    pub fn host(&self) -> String {
        format!("sns.{}.amazonaws.com{}", self.region, if self.china { ".cn" } else { "" })
    }
}

impl TryFrom<String> for TopicArn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fields: Vec<&str> = text.split(':').collect();
        let word = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match fields[..] {
            ["arn", partition, "sns", region, account, topic]
                if (partition == "aws" || partition.starts_with("aws-"))
                    && !region.is_empty()
                    && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && word(topic) =>
            {
                let (region, china) = (region.to_owned(), partition == "aws-cn");
                Ok(Self { text, region, china })
            }
            _ => Err(format!("{text:?} is no topic: write arn:aws:sns:<region>:<account>:<topic>")),
        }
    }
}

impl From<TopicArn> for String {
    fn from(topic: TopicArn) -> Self {
        topic.text
    }
}

/// A field of the document that is well-formed but cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidConfig {
    /// The path of the field: `connectors[1].base_url`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl Config {
    /// What is wrong with a network scope that no connector has.
    pub fn check_scope(&self, scope: &str) -> Result<(), String> {
        if self.connectors.iter().any(|connector| connector.scope == scope) {
            return Ok(());
        }
        let scopes: BTreeSet<&str> =
            self.connectors.iter().map(|connector| connector.scope.as_str()).collect();
        let scopes: Vec<&str> = scopes.into_iter().collect();
        Err(format!("{scope:?} is the network scope of no connector: use {}", scopes.join(", ")))
    }

    /// Checks what the types cannot: names that must differ or exist, ranges, and that no secret is written in clear.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid =
            |field: String, problem: &str| Err(InvalidConfig { field, problem: problem.to_owned() });
        let mut names = BTreeMap::new();
        let named = self
            .connectors
            .iter()
            .enumerate()
            .map(|(i, c)| (&c.name, format!("connectors[{i}].name")))
            .chain(self.channels.iter().enumerate().map(|(i, c)| (&c.name, format!("channels[{i}].name"))))
            .chain(self.trackers.iter().enumerate().map(|(i, t)| (&t.name, format!("trackers[{i}].name"))));
        for (name, field) in named {
            if let Some(first) = names.insert(name, field.clone()) {
                return invalid(field, &format!("{name} is already the name of {first}: choose another"));
            }
            if name.as_str() == Feeds::SECRET {
                return invalid(field, "feeds is the name of the secret of the feeds: choose another");
            }
        }
        for feed in self.feeds.wanted().filter(|feed| self.feeds.source(*feed).is_none()) {
            check_url(self.feeds.address(feed), format!("feeds.{feed}"))?;
        }
        self.feeds.check_sources()?;
        for (field, secret) in self.feeds.secrets() {
            check_secret(secret, format!("feeds.{field}"))?;
        }
        if let Err((field, problem)) = self.exposure.check() {
            return invalid(format!("exposure.{field}"), problem);
        }
        for (i, connector) in self.connectors.iter().enumerate() {
            let field = |name: &str| format!("connectors[{i}].{name}");
            if connector.via == Some(Via::Files) {
                if !connector.base_url.is_empty() {
                    return invalid(field("base_url"), "its answers come in files: leave it out");
                }
            } else if connector.scanner.pushes() {
                let other = |c: &Connector| c.scanner == connector.scanner;
                if let Some(first) = self.connectors[..i].iter().position(other) {
                    return invalid(
                        field("type"),
                        &format!(
                            "connectors[{first}] takes the events of every account: remove one of the two"
                        ),
                    );
                }
                if !connector.base_url.is_empty() {
                    return invalid(field("base_url"), "its findings arrive as events: leave it out");
                }
            } else {
                check_url(&connector.base_url, field("base_url"))?;
            }
            check_auth(&connector.auth, &field("auth"))?;
            if let Err((name, problem)) = connector.tls.check(&connector.base_url) {
                return invalid(field(name), &problem);
            }
            if !(1..=100).contains(&connector.close_limit_percent) {
                return invalid(field("close_limit_percent"), "use 1 to 100");
            }
            if connector.max_concurrency == Some(0) {
                return invalid(field("max_concurrency"), "use at least 1");
            }
            if connector.page_size == Some(0) {
                return invalid(field("page_size"), "use at least 1");
            }
            let kind = connector.scanner.kind();
            let method = connector.auth.method();
            let ways = if connector.is_pulled() { kind.auth } else { &[] };
            let fits = ways.contains(&method) || (ways.is_empty() && method == AuthMethod::None);
            if !fits {
                let ways: Vec<_> = ways.iter().map(|method| method.as_str()).collect();
                let ways = if ways.is_empty() { "no auth".to_owned() } else { ways.join(" or ") };
                return invalid(field("auth.method"), &format!("use {ways} for {}", connector.scanner));
            }
            if matches!(&connector.auth, Auth::Basic { token: Some(_), .. }) && !kind.second_factor {
                return invalid(
                    field("auth.token"),
                    &format!("{} takes no second factor: leave it out", connector.scanner),
                );
            }
            if connector.via.is_some_and(|via| !kind.interfaces.contains(&via)) {
                return invalid(
                    field("via"),
                    &format!("{} has no such interface: leave it out", connector.scanner),
                );
            }
            if let Some(gateway) = &connector.gateway_url {
                if !kind.gateway {
                    return invalid(
                        field("gateway_url"),
                        &format!("{} has no second host: leave it out", connector.scanner),
                    );
                }
                check_url(gateway, field("gateway_url"))?;
            }
            for (api, version) in &connector.api_versions {
                let field = format!("connectors[{i}].api_versions.{api}");
                if !kind.versioned.contains(&api.as_str()) {
                    let known = if kind.versioned.is_empty() {
                        "it has none to choose".to_owned()
                    } else {
                        format!("name one of {}", kind.versioned.join(", "))
                    };
                    return invalid(field, &format!("{} has no such API: {known}", connector.scanner));
                }
                let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
                let number =
                    |text: &str| matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
                if !number(major) || !number(minor) {
                    return invalid(field, &format!("{version:?} is no version: write \"5.0\""));
                }
            }
            let streams = kind.streams;
            if let Some(stream) = connector.data_streams.iter().find(|s| !streams.contains(&s.as_str())) {
                return invalid(
                    field("data_streams"),
                    &format!("{} has no stream {stream:?}: it has {}", connector.scanner, streams.join(", ")),
                );
            }
        }
        for (i, tracker) in self.trackers.iter().enumerate() {
            check_url(&tracker.base_url, format!("trackers[{i}].base_url"))?;
            check_auth(&tracker.auth, &format!("trackers[{i}].auth"))?;
            if tracker.auth.is_none() {
                return invalid(
                    format!("trackers[{i}].auth.method"),
                    "a tracker wants to know who writes: use basic",
                );
            }
        }
        for (i, channel) in self.channels.iter().enumerate() {
            if secret_name(&channel.webhook_url).is_none() {
                return invalid(
                    format!("channels[{i}].webhook_url"),
                    "the address of an incoming webhook is a secret: write ${NAME} and store the value",
                );
            }
        }
        for (i, rule) in self.ownership.iter().enumerate() {
            if rule.owner.trim().is_empty() {
                return invalid(format!("ownership[{i}].owner"), "name a team");
            }
        }
        for (i, rule) in self.impact.iter().enumerate() {
            if rule.criticality.is_some_and(|c| !(1..=5).contains(&c)) {
                return invalid(format!("impact[{i}].criticality"), "use 1 to 5");
            }
        }
        for (i, source) in self.webhooks.iter().enumerate() {
            if let Some(first) = self.webhooks[..i].iter().position(|other| other.name == source.name) {
                return invalid(
                    format!("webhooks[{i}].name"),
                    &format!("{} is already the name of webhooks[{first}]: choose another", source.name),
                );
            }
            match self.connector(&source.connector) {
                None => {
                    return invalid(
                        format!("webhooks[{i}].connector"),
                        &format!("there is no connector {}: name one of connectors", source.connector),
                    );
                }
                Some(connector) if !connector.is_pulled() => {
                    return invalid(
                        format!("webhooks[{i}].connector"),
                        &format!("{} is not pulled: name another", connector.name),
                    );
                }
                Some(_) => {}
            }
            if let Err((field, problem)) = source.check() {
                return invalid(format!("webhooks[{i}].{field}"), &problem);
            }
        }
        if let Some(both) = self.identity.shared.intersection(&self.identity.never_shared).next() {
            let problem = format!("{both} is among identity.shared too: leave one of the two out");
            return invalid("identity.never_shared".to_owned(), &problem);
        }
        if !(1..=100).contains(&self.policies.acceptance_ends_at_epss) {
            return invalid("policies.acceptance_ends_at_epss".to_owned(), "use 1 to 100");
        }
        if self.policies.ticket_min_score > 1000 {
            return invalid("policies.ticket_min_score".to_owned(), "use 0 to 1000");
        }
        self.policies.score.validate().map_err(|problem| InvalidConfig {
            field: "policies.score".into(),
            problem: problem.to_string(),
        })?;
        self.policies
            .sla
            .validate()
            .map_err(|problem| InvalidConfig { field: "policies.sla".into(), problem: problem.to_string() })
    }

    /// The connectors that are pulled; the others tell us by themselves, or bring files.
    pub fn pulled(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.iter().filter(|connector| connector.is_pulled())
    }

    /// The connector that takes what scanners of this kind push.
    pub fn pushed_to(&self, scanner: Scanner) -> Option<&Connector> {
        self.connectors.iter().find(|connector| scanner.pushes() && connector.scanner == scanner)
    }

    /// The connector of that name.
    pub fn connector(&self, name: &ConnectorName) -> Option<&Connector> {
        self.connectors.iter().find(|c| c.name == *name)
    }
}

impl Connector {
    /// Whether we ask for its findings.
    pub fn is_pulled(&self) -> bool {
        !self.scanner.pushes() && self.via() != Some(Via::Files)
    }

    /// The interface that is used, where its scanner has several.
    pub fn via(&self) -> Option<Via> {
        self.via.or_else(|| self.scanner.kind().interfaces.first().copied())
    }

    /// Whether the connector takes this stream.
    pub fn pulls(&self, stream: &str) -> bool {
        if self.data_streams.is_empty() {
            !self.scanner.kind().on_request.contains(&stream)
        } else {
            self.data_streams.iter().any(|s| s == stream)
        }
    }
}

/// The name inside `${NAME}`.
pub fn secret_name(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| !name.is_empty())
}

fn check_auth(auth: &Auth, field: &str) -> Result<(), InvalidConfig> {
    auth.secrets().into_iter().try_for_each(|(name, secret)| check_secret(secret, format!("{field}.{name}")))
}

fn check_secret(secret: &str, field: String) -> Result<(), InvalidConfig> {
    if secret_name(secret).is_some() {
        return Ok(());
    }
    Err(InvalidConfig {
        field,
        problem: "a secret is written in clear: write ${NAME} and store the value".into(),
    })
}

fn check_url(url: &str, field: String) -> Result<(), InvalidConfig> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let problem = match rest {
        // An address with a password is not repeated.
        _ if url.contains('@') => "an address must not hold user and password: write https://host".to_owned(),
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') => return Ok(()),
        _ => format!("{url:?} is not an address: write https://host"),
    };
    Err(InvalidConfig { field, problem })
}

/// The first owner rule that matches: team and service.
pub fn owner<'a>(rules: &'a [OwnerRule], host: &Host) -> Option<&'a OwnerRule> {
    rules.iter().find(|rule| rule.matching.matches(host))
}

/// Criticality from the first rule that says it; the scanner's where no rule does.
pub fn criticality(rules: &[ImpactRule], host: &Host) -> Option<u8> {
    let mut matching = rules.iter().filter(|rule| rule.matching.matches(host));
    matching.find_map(|rule| rule.criticality).or(host.criticality)
}

/// The first rule that says how exposed the host is, counted from 1, with what it says.
pub fn exposure_rule(rules: &[ImpactRule], host: &Host) -> Option<(usize, Exposure)> {
    let mut matching = (1..).zip(rules).filter(|(_, rule)| rule.matching.matches(host));
    matching.find_map(|(number, rule)| Some((number, rule.exposure?)))
}

#[cfg(test)]
mod tests;
