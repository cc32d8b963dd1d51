//! What the world knows of one CVE.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::decide::Feeds;
use crate::finding::Cvss;
use crate::policy;
use crate::score::{self, Factors, Share};
use crate::threat::{self, Evidence, Threat};

/// A feed of facts about CVEs. Each part of [`Intel`] belongs to one of them. The last four are sources of threat
/// intelligence, which want to know who asks: only who has an account there names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// CISA's catalogue of known exploited vulnerabilities.
    Kev,
    /// FIRST's exploit prediction scores.
    Epss,
    /// Exploit-DB's index of exploits.
    Exploitdb,
    /// Metasploit's index of modules.
    Metasploit,
    /// The index of nuclei's templates.
    Nuclei,
    /// CVE records with CISA's assessments.
    Vulnrichment,
    /// NIST's national vulnerability database.
    Nvd,
    /// VulnCheck's list of known exploited vulnerabilities.
    Vulncheck,
    /// A MISP instance.
    Misp,
    /// Mandiant.
    Mandiant,
    /// Recorded Future.
    RecordedFuture,
}

impl Feed {
    /// Every feed.
    pub const ALL: [Self; 11] = [
        Self::Kev,
        Self::Epss,
        Self::Exploitdb,
        Self::Metasploit,
        Self::Nuclei,
        Self::Vulnrichment,
        Self::Nvd,
        Self::Vulncheck,
        Self::Misp,
        Self::Mandiant,
        Self::RecordedFuture,
    ];

    /// The sources of threat intelligence.
    pub const THREAT: [Self; 4] = [Self::Vulncheck, Self::Misp, Self::Mandiant, Self::RecordedFuture];

    /// The word used in messages, keys and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::Exploitdb => "exploitdb",
            Self::Metasploit => "metasploit",
            Self::Nuclei => "nuclei",
            Self::Vulnrichment => "vulnrichment",
            Self::Nvd => "nvd",
            Self::Vulncheck => "vulncheck",
            Self::Misp => "misp",
            Self::Mandiant => "mandiant",
            Self::RecordedFuture => "recordedfuture",
        }
    }
}

impl std::fmt::Display for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An entry of CISA's catalogue of known exploited vulnerabilities. Entries change and can be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kev {
    /// When CISA added it.
    pub added: Date,
    /// CISA's own due date. Read, never computed: since BOD 26-04 (2026-06-10) it follows a table, not 14 days.
    pub due: Date,
    /// Whether ransomware campaigns are known to use it.
    #[serde(default)]
    pub ransomware: bool,
    /// CISA's name for it.
    #[serde(default)]
    pub name: String,
}

/// FIRST's estimate that the CVE is exploited within the next 30 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epss {
    /// Probability, 0 to 1.
    pub score: f64,
    /// Rank among all CVEs, 0 to 1.
    pub percentile: f64,
    /// Version of the model. A switch of models moves almost every score without any news about the CVE.
    pub model: String,
}

/// Public exploit code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exploits {
    /// Exploit-DB ids, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exploitdb: Vec<u32>,
    /// Whether one of them is marked verified.
    pub exploitdb_verified: bool,
    /// Metasploit modules (full names), sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metasploit: Vec<String>,
    /// Highest rank of those modules: 0 (manual) to 600 (excellent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metasploit_rank: Option<u16>,
    /// Paths of nuclei's templates, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nuclei: Vec<String>,
}

/// How far exploitation has come, in the words of SSVC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exploitation {
    /// No public exploit code, no exploitation known.
    None,
    /// Public proof of concept.
    Poc,
    /// Reliable evidence of use by attackers.
    Active,
}

/// Who gave a CVSS score that stands in a CVE record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CvssSource {
    /// The authority that assigned the CVE.
    Cna,
    /// CISA, where the authority gave none.
    CisaAdp,
}

impl CvssSource {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cna => "CNA",
            Self::CisaAdp => "CISA-ADP",
        }
    }
}

/// What the CVE record says: CISA's assessment by SSVC, and a CVSS score.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// How far exploitation has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploitation: Option<Exploitation>,
    /// An attacker can automate all steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatable: Option<bool>,
    /// An attacker gains total control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_impact: Option<bool>,
    /// The day of that assessment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assessed: Option<Date>,
    /// The score, without its vector, and whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<(CvssSource, Cvss)>,
}

/// What NVD says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Nvd {
    /// NVD's own score, without its vector; not those that it repeats from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
}

/// All feeds' facts on one CVE. Each part is owned by one feed and absent until that feed named the CVE.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Intel {
    /// CISA KEV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kev: Option<Kev>,
    /// EPSS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss: Option<Epss>,
    /// Exploit-DB, Metasploit and nuclei.
    pub exploits: Exploits,
    /// The CVE record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// NVD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvd: Option<Nvd>,
    /// What sources of threat intelligence assert.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub threat: BTreeMap<Feed, Vec<Evidence>>,
    /// When any part last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl Intel {
    /// Metasploit's "good" rank and above means that the exploit is reliable enough to be used at scale.
    pub const METASPLOIT_GOOD: u16 = 400;

    /// What a score is computed from, as far as feeds know it. What none of the feeds that were `read` has is known to be
    /// absent; of the others it is unknown. What a source of threat intelligence asserts counts as far as it is `wanted`
    /// and trusted, and as it is left `now`.
    pub fn factors(&self, read: &Feeds, wanted: &policy::Feeds, now: Timestamp) -> Factors {
        let listed = |read: bool, listed: bool| (read || listed).then_some(listed);
        let (kev, epss, exploits) = (self.kev.as_ref(), self.epss.as_ref(), &self.exploits);
        let edb = !exploits.exploitdb.is_empty();
        let record = self.record.as_ref();
        let exploitation = record.and_then(|record| record.exploitation);
        let active = exploitation.map(|exploitation| exploitation == Exploitation::Active);
        let threat = self.threat(wanted, now);
        let asked = Feed::THREAT.into_iter().any(|feed| wanted.trust(feed).is_some() && read.has(feed));
        let threat_known = active.is_some() || asked || threat != Threat::default();
        let per_mille = if active == Some(true) { 1_000 } else { threat.factor };
        let share = Share::from_billionths(u32::from(per_mille) * 1_000_000);
        // NVD's own score, then that of the authority that assigned the CVE, then CISA's.
        let told = self.nvd.as_ref().and_then(|nvd| nvd.cvss.as_ref());
        let told = told.or_else(|| record.and_then(|record| record.cvss.as_ref()).map(|(_, cvss)| cvss));
        Factors {
            cvss: told.and_then(|cvss| score::Cvss::from_tenths(cvss.score.0)),
            automatable: record.and_then(|record| record.automatable),
            total_impact: record.and_then(|record| record.total_impact),
            kev: listed(read.kev, kev.is_some()),
            ransomware: listed(read.kev, kev.is_some_and(|kev| kev.ransomware)),
            metasploit: listed(read.metasploit, !exploits.metasploit.is_empty()),
            metasploit_good_rank: exploits.metasploit_rank.map(|rank| rank >= Self::METASPLOIT_GOOD),
            exploitdb: listed(read.exploitdb, edb),
            exploitdb_verified: edb.then_some(exploits.exploitdb_verified),
            nuclei: listed(read.nuclei, !exploits.nuclei.is_empty()),
            poc: exploitation.map(|exploitation| exploitation != Exploitation::None),
            threat: share.filter(|_| threat_known),
            threat_confirmed: threat_known.then_some(active == Some(true) || threat.confirmed),
            epss: epss.and_then(|epss| Share::new(epss.score)),
            percentile: epss.and_then(|epss| Share::new(epss.percentile)),
            has_cve: Some(true),
            ..Factors::default()
        }
    }

    /// What the wanted sources of threat intelligence together say.
    fn threat(&self, wanted: &policy::Feeds, now: Timestamp) -> Threat {
        let asserted = self.threat.iter();
        threat::weigh(asserted.filter_map(|(feed, all)| Some((wanted.trust(*feed)?, all.as_slice()))), now)
    }
}
