//! What the world knows of one CVE.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A public feed of facts about CVEs. Each part of [`Intel`] belongs to one of them.
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
}

impl Feed {
    /// Every feed.
    pub const ALL: [Self; 4] = [Self::Kev, Self::Epss, Self::Exploitdb, Self::Metasploit];

    /// The word used in messages, keys and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::Exploitdb => "exploitdb",
            Self::Metasploit => "metasploit",
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
    /// Exploit-DB and Metasploit.
    pub exploits: Exploits,
    /// When any part last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl Intel {
    /// Metasploit's "good" rank and above means that the exploit is reliable enough to be used at scale.
    pub const METASPLOIT_GOOD: u16 = 400;
}
