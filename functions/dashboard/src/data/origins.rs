//! Where the parts of a score come from: who says it, and of when.

use domain::exposure::{Told, told};
use domain::intel::{Exploitation, Feed};
use domain::policy::{Config, ImpactRule};
use domain::score::Factor;
use domain::threat::{Evidence, Tlp};
use domain::{Asset, Vulnerability};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{CveDetail, FindingDetail, RuleDetail};

/// Of those who say the same, so many are named.
const NAMED: usize = 4;

/// Who says something that a part of a score was computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// A connector, a scanner, a feed, a rule of the configuration.
    pub by: String,
    /// What.
    pub says: String,
    /// Of when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Who may read it, where its source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
}

/// What is known of a vulnerability.
pub(super) struct Known<'a> {
    pub vulnerability: &'a Vulnerability,
    pub on: &'a Asset,
    pub statements: &'a [FindingDetail],
    pub rules: &'a [RuleDetail],
    pub intel: &'a [CveDetail],
    pub config: &'a Config,
    /// The date of the EPSS feed.
    pub epss_as_of: Option<Timestamp>,
}

impl Known<'_> {
    /// Where a part comes from; empty where it follows from other parts, or nobody says anything.
    pub fn origins(&self, factor: Factor) -> Vec<Origin> {
        let mut all = match factor {
            Factor::Severity => self.severity(),
            Factor::Exploit => self.exploit(),
            Factor::Epss => self.epss(),
            Factor::Threat => self.threat(),
            Factor::Criticality => self.criticality(),
            Factor::Exposure => self.exposure(),
            Factor::Convergence => Vec::new(),
            Factor::ActiveExploitation => self.kev().into_iter().chain(self.threat()).collect(),
        };
        all.truncate(NAMED);
        all
    }

    fn severity(&self) -> Vec<Origin> {
        let used = self.vulnerability.factors.cvss.map(domain::score::Cvss::tenths);
        let words = |cvss: &domain::Cvss| format!("CVSS {}: {}", cvss.version, cvss.score);
        let is_used = |cvss: &&domain::Cvss| Some(cvss.score.0) == used;
        let by_finding = self.statements.iter().filter_map(|detail| {
            let cvss = detail.finding.cvss.as_ref().filter(is_used)?;
            Some(origin(detail.connector.as_str(), words(cvss), detail.finding.last_found))
        });
        let by_rule = self.rules.iter().filter_map(|rule| {
            let cvss = rule.cvss.as_ref().filter(is_used)?;
            Some(origin(&format!("{} rule {}", rule.scanner, rule.rule), words(cvss), None))
        });
        let records = || self.intel.iter().filter_map(|cve| Some((cve, cve.known.record.as_ref()?)));
        let by_record = records().filter_map(|(cve, record)| {
            let (source, cvss) = record.cvss.as_ref().filter(|(_, cvss)| is_used(&cvss))?;
            Some(origin(&format!("{} of {}", source.as_str(), cve.cve), words(cvss), cve.known.changed_at))
        });
        let mut all: Vec<Origin> = by_finding.chain(by_rule).take(NAMED - 1).collect();
        let by_nvd = self.intel.iter().filter_map(|cve| {
            let cvss = cve.known.nvd.as_ref()?.cvss.as_ref().filter(is_used)?;
            Some(origin(&format!("NVD of {}", cve.cve), words(cvss), cve.known.changed_at))
        });
        if all.is_empty() {
            all.extend(by_nvd.chain(by_record).take(1));
        }
        if used.is_none() {
            all.extend(self.statements.iter().take(1).map(|detail| {
                let says = format!("severity {}", detail.finding.severity);
                origin(detail.connector.as_str(), says, detail.finding.last_found)
            }));
        }
        all.extend(records().find(|(_, record)| record.automatable.is_some()).map(|(cve, record)| {
            let yes = |yes: Option<bool>, name: &str| {
                yes.map(|yes| format!("{name} {}", if yes { "yes" } else { "no" }))
            };
            let says = [yes(record.automatable, "automatable"), yes(record.total_impact, "total impact")];
            let says = says.into_iter().flatten().collect::<Vec<_>>().join(", ");
            origin(&format!("CISA's SSVC of {}", cve.cve), says, record.assessed.and_then(midnight))
        }));
        all
    }

    fn kev(&self) -> Vec<Origin> {
        let listed = self.intel.iter().filter_map(|cve| Some((&cve.cve, cve.known.kev.as_ref()?)));
        let words = |ransomware: bool| if ransomware { ", used by ransomware" } else { "" };
        listed
            .map(|(cve, kev)| {
                let says = format!("{cve}, due {}{}", kev.due, words(kev.ransomware));
                origin("CISA KEV", says, midnight(kev.added))
            })
            .collect()
    }

    fn exploit(&self) -> Vec<Origin> {
        let mut all = self.kev();
        for cve in self.intel {
            let (known, at) = (&cve.known.exploits, cve.known.changed_at);
            let first = |names: &[String]| names.first().cloned();
            all.extend(first(&known.metasploit).map(|module| origin("Metasploit", module, at)));
            all.extend(known.exploitdb.first().map(|id| {
                let verified = if known.exploitdb_verified { ", verified" } else { "" };
                origin("Exploit-DB", format!("{id}{verified}"), at)
            }));
            all.extend(first(&known.nuclei).map(|template| origin("nuclei", template, at)));
        }
        let says = |detail: &&FindingDetail| detail.finding.exploit_available == Some(true);
        all.extend(self.statements.iter().filter(says).take(1).map(|detail| {
            origin(detail.connector.as_str(), "an exploit exists".to_owned(), detail.finding.last_found)
        }));
        all.extend(self.rules.iter().find(|rule| rule.exploit_available).map(|rule| {
            origin(&format!("{} rule {}", rule.scanner, rule.rule), "an exploit exists".to_owned(), None)
        }));
        all
    }

    fn epss(&self) -> Vec<Origin> {
        let of = self.intel.iter().filter_map(|cve| Some((&cve.cve, cve.known.epss.as_ref()?)));
        let highest = of.max_by(|a, b| a.1.score.total_cmp(&b.1.score));
        let told = highest.map(|(cve, epss)| {
            let says = format!("{cve}: {:.2} %, model {}", epss.score * 100.0, epss.model);
            origin("FIRST EPSS", says, self.epss_as_of)
        });
        told.into_iter().collect()
    }

    fn threat(&self) -> Vec<Origin> {
        let records = self.intel.iter().filter_map(|cve| Some((&cve.cve, cve.known.record.as_ref()?)));
        let active = records.filter(|(_, record)| record.exploitation == Some(Exploitation::Active));
        let by_record = active.map(|(cve, record)| {
            let at = record.assessed.and_then(midnight);
            origin(&format!("CISA's SSVC of {cve}"), "exploited".to_owned(), at)
        });
        let wanted = |feed: Feed| self.config.feeds.trust(feed).is_some();
        let by_sources = self.intel.iter().flat_map(|cve| {
            let by_source = cve.known.threat.iter().filter(|(feed, _)| wanted(**feed));
            by_source.flat_map(move |(feed, all)| all.iter().map(move |evidence| (cve, *feed, evidence)))
        });
        let mut all: Vec<(&CveDetail, Feed, &Evidence)> = by_sources.collect();
        all.sort_by_key(|(_, _, evidence)| std::cmp::Reverse((evidence.level, evidence.seen_at)));
        by_record.chain(all.into_iter().map(|(cve, feed, evidence)| asserted(cve, feed, evidence))).collect()
    }

    fn criticality(&self) -> Vec<Origin> {
        let level = |level: u8| format!("{level} of 5");
        if let Some(imported) = self.on.inventory.as_ref().and_then(|known| known.criticality) {
            return vec![origin("the imported inventory", level(imported), None)];
        }
        let rule = self.rule(|rule| rule.criticality.map(level));
        if !rule.is_empty() {
            return rule;
        }
        let scanner =
            self.on.host.criticality.map(|c| origin("a scanner", level(c), self.on.host.last_scanned_at));
        scanner.into_iter().collect()
    }

    fn exposure(&self) -> Vec<Origin> {
        let told = told(self.on, self.config);
        let origins = told.iter().enumerate().map(|(place, told)| {
            let word = crate::words::exposure(told.exposure());
            let overruled = if place > 0 { ", overruled" } else { "" };
            match told {
                Told::Inventory(_) => origin("the imported inventory", format!("{word}{overruled}"), None),
                Told::Rule(number, _) => {
                    origin(&format!("rule {number} of `impact`"), format!("{word}{overruled}"), None)
                }
                Told::Reach(reach) => origin(
                    &reach.source.to_string(),
                    format!("{word}{overruled}: {}", reach.path),
                    Some(reach.seen_at),
                ),
            }
        });
        origins.collect()
    }

    /// The first rule of impact that says something of the asset.
    fn rule(&self, says: impl Fn(&ImpactRule) -> Option<String>) -> Vec<Origin> {
        let mut rules =
            self.config.impact.iter().enumerate().filter(|(_, rule)| rule.matching.matches(&self.on.host));
        let told = rules.find_map(|(at, rule)| Some((at + 1, says(rule)?)));
        told.map(|(number, says)| origin(&format!("rule {number} of `impact`"), says, None))
            .into_iter()
            .collect()
    }
}

fn origin(by: &str, says: String, at: Option<Timestamp>) -> Origin {
    Origin { by: by.to_owned(), says, at, tlp: None }
}

/// What a source of threat intelligence asserts, with its name there.
fn asserted(cve: &CveDetail, feed: Feed, evidence: &Evidence) -> Origin {
    let words = evidence.words();
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let says = format!("{}{words} ({})", evidence.level.as_str(), evidence.id);
    let by = format!("{} of {}", crate::words::feed(feed.as_str()), cve.cve);
    Origin { tlp: evidence.tlp, ..origin(&by, says, evidence.seen_at) }
}

fn midnight(day: Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
