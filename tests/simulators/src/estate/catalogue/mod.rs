//! What can be wrong with a host: about three hundred weaknesses with real CVEs, and a few without any.
//!
//! Plugin ids (Tenable) and QIDs (Qualys) are invented: they have the form of real ones and mean nothing outside of
//! the simulators. CVE ids, scores and vectors are real; titles and texts are our own.

mod cves;
mod rules;

use std::sync::LazyLock;

use super::products::Product;

/// Which scanner has a check for a weakness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// Both scanners.
    Both,
    /// Tenable alone.
    Tenable,
    /// Qualys alone.
    Qualys,
}

/// What a weakness allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Running code from outside.
    Rce,
    /// More rights than granted.
    Privileges,
    /// Denial of service.
    Denial,
    /// Reading what is not meant to be read.
    Disclosure,
    /// Going around a protection.
    Bypass,
    /// Leaving a folder.
    Traversal,
    /// Forged or smuggled requests.
    Forgery,
    /// A setting, no CVE.
    Setting,
    /// Nothing wrong, only information.
    Information,
}

impl Kind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Rce => "remote code execution",
            Self::Privileges => "privilege escalation",
            Self::Denial => "denial of service",
            Self::Disclosure => "information disclosure",
            Self::Bypass => "security bypass",
            Self::Traversal => "path traversal",
            Self::Forgery => "request forgery",
            Self::Setting => "insecure setting",
            Self::Information => "information",
        }
    }
}

/// One thing that a scanner can report.
#[derive(Debug)]
pub struct Weakness {
    /// Our number, unique and stable.
    pub id: u16,
    /// Where it sits.
    pub product: Product,
    /// Its CVEs; none for settings.
    pub cves: &'static [&'static str],
    /// What it allows.
    pub kind: Kind,
    /// A short name.
    pub name: &'static str,
    /// CVSS 3.1 base score; 0 is none.
    pub cvss: f64,
    /// CVSS 3.1 vector without its prefix.
    pub vector: &'static str,
    /// EPSS probability, 0 to 1.
    pub epss: f64,
    /// In CISA's catalogue of exploited vulnerabilities.
    pub exploited: bool,
    /// Severity by Tenable, 0 to 4.
    pub tenable_severity: u8,
    /// Severity by Qualys, 1 to 5.
    pub qualys_severity: u8,
    /// Which scanner knows it.
    pub covers: Covers,
    /// Ports it shows on; empty means the port of the product.
    pub ports: &'static [u16],
}

impl Weakness {
    /// The plugin id at Tenable (invented).
    pub fn plugin_id(&self) -> u32 {
        180_000 + u32::from(self.id) * 17
    }

    /// The QID at Qualys (invented).
    pub fn qid(&self) -> u32 {
        370_000 + u32::from(self.id) * 11
    }

    /// A title in our own words.
    pub fn title(&self) -> String {
        match self.kind {
            Kind::Setting | Kind::Information => self.name.to_owned(),
            kind => format!("{}: {} ({})", self.product.info().name, kind.words(), self.name),
        }
    }

    /// Only information: no state, no severity worth the name.
    pub fn is_information(&self) -> bool {
        self.kind == Kind::Information
    }

    /// The year of its first CVE.
    pub fn year(&self) -> Option<i16> {
        self.cves.first()?.get(4..8)?.parse().ok()
    }

    /// Day of publication as `YYYY-MM-DD` (the year is real, the day is not).
    pub fn published(&self) -> String {
        let year = self.year().unwrap_or(2015);
        format!("{year}-{:02}-{:02}", 1 + self.id % 12, 1 + self.id % 28)
    }

    /// The ports it shows on.
    pub fn ports(&self) -> &[u16] {
        if self.ports.is_empty() { std::slice::from_ref(&self.product.info().port) } else { self.ports }
    }
}

/// All weaknesses, in a fixed order.
pub fn all() -> impl Iterator<Item = &'static Weakness> {
    cves::CVES.iter().chain(rules::RULES)
}

/// The weakness behind a QID.
pub fn by_qid(qid: u32) -> Option<&'static Weakness> {
    all().find(|weakness| weakness.qid() == qid)
}

/// The weaknesses of a product.
pub fn of(product: Product) -> &'static [&'static Weakness] {
    static BY_PRODUCT: LazyLock<Vec<Vec<&'static Weakness>>> = LazyLock::new(|| {
        let mut lists = vec![Vec::new(); Product::COUNT];
        for weakness in all() {
            lists[weakness.product as usize].push(weakness);
        }
        lists
    });
    &BY_PRODUCT[product as usize]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_unique() {
        let ids: HashSet<u16> = all().map(|w| w.id).collect();
        assert_eq!(ids.len(), all().count());
        let cves: Vec<&str> = all().flat_map(|w| w.cves).copied().collect();
        assert_eq!(cves.iter().collect::<HashSet<_>>().len(), cves.len());
        assert!(all().all(|w| by_qid(w.qid()).is_some_and(|found| found.id == w.id)));
    }

    #[test]
    fn about_a_third_is_exploited_and_the_scanners_disagree_at_times() {
        let exploited = all().filter(|w| w.exploited).count();
        assert!((60..120).contains(&exploited), "{exploited} of {}", all().count());
        assert!(all().filter(|w| w.tenable_severity + 1 != w.qualys_severity).count() > 30);
        assert!(all().filter(|w| w.cves.is_empty()).count() >= 10);
    }
}
