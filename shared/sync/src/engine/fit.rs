//! What the table can hold of what a scanner says: an id is a part of a key, and an item has 400 kB. What is longer is cut
//! where it is a text, and left out of a list; a record whose id does not fit fails alone.
//!
//! The limits are far beyond what scanners usually say; they are for those that err.

use domain::{CloudId, Cvss, Details, Finding, FindingKey, Host, Rule};

/// Bytes of a scanner's id of a host or a rule. DynamoDB's sort keys have 1,024, with what stands beside the id in them.
const ID: usize = 512;
/// Bytes of a short text, such as a name.
const SHORT: usize = 512;
/// Bytes of a long text, such as a description.
const LONG: usize = 128 * 1024;
/// Bytes of all texts of one list.
const LIST: usize = 32 * 1024;
/// Bytes of what makes a finding one and the same. A path on the host may be part of it.
const KEY: usize = 4 * 1024;
/// CVEs of one rule.
const CVES: usize = 2_000;

/// Whether an id can be kept, or why it cannot. `what`: "host".
pub(super) fn id(what: &str, id: &str) -> Result<(), String> {
    if id.is_empty() {
        Err(format!("a {what} without id"))
    } else if id.len() > ID {
        Err(format!("the id of a {what} has {} bytes, more than {ID}", id.len()))
    } else if id.chars().any(char::is_control) {
        Err(format!("the id of a {what} holds control characters"))
    } else {
        Ok(())
    }
}

pub(super) fn host(host: &mut Host) {
    let names = [
        &mut host.hostnames,
        &mut host.fqdns,
        &mut host.netbios,
        &mut host.ips,
        &mut host.macs,
        &mut host.agent_ids,
    ];
    for list in names {
        list.retain(|name| id("name", name).is_ok());
        keep_first(list, String::len);
    }
    host.cloud.retain(|cloud| cloud_texts(cloud).all(|text| text.len() <= SHORT));
    keep_first(&mut host.cloud, |cloud| cloud_texts(cloud).map(str::len).sum());
    for identifier in [&mut host.bios_uuid, &mut host.serial] {
        *identifier = identifier.take().filter(|text| id("machine", text).is_ok());
    }
    host.os.iter_mut().for_each(|os| cut(os, SHORT));
    for tag in &mut host.tags {
        cut(&mut tag.key, SHORT);
        cut(&mut tag.value, SHORT);
    }
    keep_first(&mut host.tags, |tag| tag.key.len() + tag.value.len());
}

fn cloud_texts(cloud: &CloudId) -> impl Iterator<Item = &str> {
    [Some(&cloud.provider), cloud.account.as_ref(), cloud.region.as_ref(), Some(&cloud.id)]
        .into_iter()
        .flatten()
        .map(String::as_str)
}

/// The details, with each list cut at its usual length and at [`LIST`] bytes; `left_out` says so.
pub(super) fn details(mut details: Details) -> Details {
    for port in &mut details.open_ports {
        port.protocol.iter_mut().chain(&mut port.service).for_each(|text| cut(text, SHORT));
    }
    for software in &mut details.software {
        cut(&mut software.name, SHORT);
        software.version.iter_mut().chain(&mut software.publisher).for_each(|text| cut(text, SHORT));
    }
    if let Some(network) = &mut details.network {
        network.id.iter_mut().chain(&mut network.name).for_each(|text| cut(text, SHORT));
        for card in &mut network.interfaces {
            card.name.iter_mut().chain(&mut card.ips).chain(&mut card.macs).for_each(|text| cut(text, SHORT));
            keep_first(&mut card.ips, String::len);
            keep_first(&mut card.macs, String::len);
        }
    }
    let mut details = details.capped();
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    // Names of software are much alike and pack well; a thousand usual ones have some 50 kB.
    let mut over = keep(&mut details.software, 4 * LIST, |software| {
        software.name.len() + length(&software.version) + length(&software.publisher)
    });
    over += keep(&mut details.open_ports, 4 * LIST, |port| {
        size_of::<u16>() + length(&port.protocol) + length(&port.service)
    });
    if let Some(network) = &mut details.network {
        over += keep(&mut network.interfaces, 2 * LIST, |card| {
            length(&card.name) + card.ips.iter().chain(&card.macs).map(String::len).sum::<usize>()
        });
    }
    details.left_out = details.left_out.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
    details
}

pub(super) fn finding(finding: &mut Finding) {
    if finding.key.as_str().len() > KEY {
        let mut key = finding.key.as_str().to_owned();
        cut(&mut key, KEY);
        // Told apart by its end as well.
        finding.key = FindingKey::new(format!("{key}{:016x}", finding.key.hash()));
    }
    cut(&mut finding.source_severity, SHORT);
    cut(&mut finding.source_state, SHORT);
    finding.protocol.iter_mut().chain(&mut finding.service).for_each(|text| cut(text, SHORT));
    cvss(&mut finding.cvss);
    let mut room = LIST;
    finding.vendor_factors.retain(|name, value| {
        cut(value, 2 * SHORT);
        let fits = name.len() <= SHORT && name.len() + value.len() <= room;
        room -= if fits { name.len() + value.len() } else { 0 };
        fits
    });
}

pub(super) fn rule(rule: &mut Rule) {
    cut(&mut rule.title, 2 * SHORT);
    rule.description.iter_mut().chain(&mut rule.solution).for_each(|text| cut(text, LONG));
    rule.cves.truncate(CVES);
    cvss(&mut rule.cvss);
}

/// A vector of that length is none.
fn cvss(cvss: &mut Option<Cvss>) {
    if let Some(cvss) = cvss {
        cut(&mut cvss.version, SHORT);
        cvss.vector = cvss.vector.take().filter(|vector| vector.len() <= SHORT);
    }
}

/// Cuts a text to so many bytes, with a mark at its end.
fn cut(text: &mut String, limit: usize) {
    const MARK: char = '…';
    if text.len() > limit {
        let room = limit - MARK.len_utf8();
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push(MARK);
        text.shrink_to_fit();
    }
}

fn keep_first<T>(list: &mut Vec<T>, length: impl Fn(&T) -> usize) {
    keep(list, LIST, length);
}

/// Keeps as much of a list as has so many bytes, and answers how many entries that leaves out.
fn keep<T>(list: &mut Vec<T>, mut room: usize, length: impl Fn(&T) -> usize) -> usize {
    let fits = |entry: &&T| {
        let length = length(entry);
        let fits = length <= room;
        room -= if fits { length } else { room };
        fits
    };
    let kept = list.iter().take_while(fits).count();
    let over = list.len() - kept;
    list.truncate(kept);
    over
}

#[cfg(test)]
mod tests {
    use domain::host::Software;
    use domain::{RuleId, Scanner, Tag};

    use super::*;

    fn long(length: usize) -> String {
        "é".repeat(length / 2)
    }

    #[test]
    fn ids_that_are_no_part_of_a_key_are_refused() {
        assert_eq!(id("host", "10.0.0.1"), Ok(()));
        for (bad, why) in
            [(long(514), "514 bytes"), ("a\nb".into(), "control"), (String::new(), "without id")]
        {
            assert!(id("host", &bad).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn a_host_keeps_what_fits() {
        let mut odd = Host {
            native: "1".into(),
            fqdns: vec![long(600), "a.example.com".into(), "b\u{7}".into()],
            ips: (0..10_000).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect(),
            os: Some(long(2_000)),
            tags: (0..1_000).map(|n| Tag { key: format!("k{n}"), value: long(600) }).collect(),
            serial: Some(long(600)),
            ..Host::default()
        };
        host(&mut odd);
        assert_eq!(odd.fqdns, ["a.example.com"]);
        assert!((2_000..4_000).contains(&odd.ips.len()), "{}", odd.ips.len());
        assert!(odd.os.as_deref().is_some_and(|os| os.len() <= SHORT && os.ends_with('…')));
        assert!((50..80).contains(&odd.tags.len()), "{}", odd.tags.len());
        assert_eq!(odd.serial, None);
        assert!(serde_json::to_vec(&odd).unwrap().len() < 120_000);
        let mut usual = Host { native: "1".into(), fqdns: vec!["a.example.com".into()], ..Host::default() };
        let before = usual.clone();
        host(&mut usual);
        assert_eq!(usual, before);
    }

    #[test]
    fn details_that_are_left_out_are_counted() {
        let software =
            |n: usize| Software { name: format!("{n:04}{}", long(700)), version: None, publisher: None };
        let kept = details(Details { software: (0..1_000).map(software).collect(), ..Details::default() });
        assert!((250..260).contains(&kept.software.len()), "{}", kept.software.len());
        assert_eq!(kept.software.len() + kept.left_out as usize, 1_000);
    }

    #[test]
    fn texts_of_rules_are_cut_and_the_same_each_time() {
        let mut odd = Rule {
            scanner: Scanner::Tenable,
            id: RuleId::new("1"),
            title: long(5_000),
            cves: vec![],
            severity: None,
            cvss: None,
            description: Some(long(300_000)),
            solution: Some("Upgrade.".into()),
            patchable: None,
            vendor_risk: None,
            exploit_available: None,
            modified: None,
        };
        rule(&mut odd);
        assert!(
            odd.title.len() <= 2 * SHORT && odd.description.as_ref().is_some_and(|text| text.len() <= LONG)
        );
        assert_eq!(odd.solution.as_deref(), Some("Upgrade."));
        let digest = odd.digest();
        rule(&mut odd);
        assert_eq!(odd.digest(), digest);
    }
}
