//! Which findings of one asset are one vulnerability.
//!
//! Findings that share a CVE are one; without a CVE, findings of the same rule are. Ports are instances. Ids are
//! sticky: a group keeps the id of the vulnerability it continues; when two become one, the older id stays and the
//! other becomes an alias, so that no ticket loses its record.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{AssetId, CveId, RuleId, VulnId};
use crate::scanner::Scanner;
use crate::vulnerability::{FindingRef, Vulnerability};

/// A finding as merging sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mergeable {
    /// Which finding.
    pub finding: FindingRef,
    /// Whose rule it is.
    pub scanner: Scanner,
    /// CVEs of its rule.
    pub cves: Vec<CveId>,
}

/// Findings that are one vulnerability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The vulnerability they are.
    pub id: VulnId,
    /// Whether that vulnerability exists already.
    pub known: bool,
    /// Known vulnerabilities that are part of it from now on.
    pub absorbed: Vec<VulnId>,
    /// The findings, as indexes into what was given, ascending.
    pub members: Vec<usize>,
    /// Their CVEs, sorted.
    pub cves: Vec<CveId>,
}

/// Groups the findings of one asset, given the vulnerabilities it has.
pub fn merge(asset: &AssetId, findings: &[Mergeable], known: &BTreeMap<VulnId, Vulnerability>) -> Vec<Group> {
    let mut groups = components(findings);
    let places = Places::of(&groups, findings);
    // Oldest first: who comes first keeps its id.
    let mut by_age: Vec<&Vulnerability> = known.values().collect();
    by_age.sort_by_key(|v| (v.known_since, &v.id));
    let mut taken: BTreeMap<usize, VulnId> = BTreeMap::new();
    for vulnerability in by_age {
        let wanted = places.wanted(vulnerability);
        if let Some(&free) = wanted.iter().find(|index| !taken.contains_key(index)) {
            taken.insert(free, vulnerability.id.clone());
        } else if let Some(&first) = wanted.first() {
            groups[first].absorbed.push(vulnerability.id.clone());
        }
    }
    // An alias still leads somewhere: its id is not given again.
    let mut used: BTreeSet<VulnId> =
        known.keys().chain(known.values().flat_map(|v| &v.aliases)).cloned().collect();
    for (index, group) in groups.iter_mut().enumerate() {
        if let Some(id) = taken.remove(&index) {
            group.id = id;
            group.known = true;
            continue;
        }
        let key = seed(group, findings);
        group.id = VulnId::derive(asset, &key);
        // The id may belong to a vulnerability that went another way; the next one is free.
        let mut salt = 1;
        while used.contains(&group.id) {
            group.id = VulnId::derive(asset, &format!("{key}\n{salt}"));
            salt += 1;
        }
        used.insert(group.id.clone());
    }
    groups
}

/// In which group what is found.
struct Places<'a> {
    of_finding: BTreeMap<&'a FindingRef, usize>,
    of_cve: BTreeMap<CveId, usize>,
    of_rule: BTreeMap<(Scanner, &'a RuleId), usize>,
}

impl<'a> Places<'a> {
    fn of(groups: &[Group], findings: &'a [Mergeable]) -> Self {
        let mut places =
            Self { of_finding: BTreeMap::new(), of_cve: BTreeMap::new(), of_rule: BTreeMap::new() };
        for (index, group) in groups.iter().enumerate() {
            places.of_cve.extend(group.cves.iter().map(|cve| (cve.clone(), index)));
            for found in group.members.iter().map(|&member| &findings[member]) {
                places.of_finding.insert(&found.finding, index);
                if found.cves.is_empty() {
                    places.of_rule.insert((found.scanner, &found.finding.rule), index);
                }
            }
        }
        places
    }

    /// Where a vulnerability would continue: where most of its findings are; if they are gone, where its CVEs are;
    /// without those, where its rules are.
    fn wanted(&self, vulnerability: &Vulnerability) -> Vec<usize> {
        let mut votes: Vec<usize> = vulnerability
            .findings
            .iter()
            .filter_map(|finding| self.of_finding.get(finding).copied())
            .collect();
        if votes.is_empty() {
            votes.extend(vulnerability.cves.iter().filter_map(|cve| self.of_cve.get(cve)));
        }
        if votes.is_empty() && vulnerability.cves.is_empty() {
            let rules = vulnerability.findings.iter().map(|finding| &finding.rule);
            let scanners = &vulnerability.scanners;
            votes.extend(
                rules.flat_map(|rule| scanners.iter().filter_map(move |&s| self.of_rule.get(&(s, rule)))),
            );
        }
        let mut count: BTreeMap<usize, usize> = BTreeMap::new();
        for vote in votes {
            *count.entry(vote).or_default() += 1;
        }
        let mut wanted: Vec<usize> = count.keys().copied().collect();
        wanted.sort_by_key(|index| std::cmp::Reverse(count[index]));
        wanted
    }
}

/// What a new vulnerability's id is derived from: its first CVE, else its rule.
fn seed(group: &Group, findings: &[Mergeable]) -> String {
    match (group.cves.first(), group.members.first()) {
        (Some(cve), _) => cve.to_string(),
        (None, Some(&member)) => format!("{}:{}", findings[member].scanner, findings[member].finding.rule),
        (None, None) => String::new(),
    }
}

/// Connected components over shared CVEs, or the rule where a finding has none; in the order of their first member.
fn components(findings: &[Mergeable]) -> Vec<Group> {
    let mut parent: Vec<usize> = (0..findings.len()).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut first_with: BTreeMap<String, usize> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let mut keys: Vec<String> = finding.cves.iter().map(CveId::to_string).collect();
        if keys.is_empty() {
            keys.push(format!("{}:{}", finding.scanner, finding.finding.rule));
        }
        for key in keys {
            let other = *first_with.entry(key).or_insert(index);
            let (a, b) = (root(&mut parent, other), root(&mut parent, index));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..findings.len() {
        members.entry(root(&mut parent, index)).or_default().push(index);
    }
    members
        .into_values()
        .map(|members| {
            let cves: BTreeSet<CveId> =
                members.iter().flat_map(|&m| findings[m].cves.iter().cloned()).collect();
            let id = VulnId::derive(&AssetId::derive(""), "");
            Group { id, known: false, absorbed: Vec::new(), members, cves: cves.into_iter().collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests;
