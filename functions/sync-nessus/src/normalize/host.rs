//! `HostProperties`: who a scanned host is, and how it was scanned.

use std::collections::HashMap;
use std::net::IpAddr;

use domain::identity::{IdentifierKind, observe};
use domain::{CloudId, Host, Scanner};
use jiff::Timestamp;
use sync::xml::Xml;

use super::{epoch, local, some};

/// A host as its report describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Described {
    /// The host.
    pub host: Host,
    /// When the scan of this host began.
    pub started_at: Option<Timestamp>,
    /// The scan of this host came to its end.
    pub ended: bool,
    /// Its time was read off the server's wall clock, which names no zone.
    pub wall_clock: bool,
}

/// Reads the properties of the report host called `name`.
pub fn properties(name: &str, xml: &Xml<'_>) -> Result<Described, String> {
    let mut all = Gathered::default();
    xml.walk(|path, element| {
        if path == "tag"
            && let Some(tag) = element.attribute("name")
        {
            all.take(&tag, element.text);
        }
    })?;
    Ok(all.finish(name))
}

/// What is gathered before it can be put together.
#[derive(Default)]
struct Gathered {
    host: Host,
    names: Vec<String>,
    reverse: Option<String>,
    start: (Option<Timestamp>, Option<Timestamp>),
    end: (Option<Timestamp>, Option<Timestamp>),
    ended: bool,
    clouds: [Cloud; 3],
}

#[derive(Default)]
struct Cloud {
    account: Option<String>,
    region: Option<String>,
    id: Option<String>,
}

const PROVIDERS: [&str; 3] = ["aws", "azure", "gcp"];

impl Gathered {
    fn take(&mut self, tag: &str, text: &str) {
        let host = &mut self.host;
        match tag {
            "host-ip" | "host-ipv6" => text.split_whitespace().for_each(|ip| add(&mut host.ips, ip)),
            "host-fqdn" => self.names.insert(0, text.to_owned()),
            "hostname" => self.names.push(text.to_owned()),
            "host-fqdns" => self.names.extend(fqdns(text)),
            "host-rdns" => self.reverse = some(text),
            "netbios-name" => add(&mut host.netbios, text),
            // All addresses of the host, one a line.
            "mac-address" => text.split_whitespace().for_each(|mac| add(&mut host.macs, mac)),
            // Several guesses stand on lines of their own, the best one first.
            "operating-system" => host.os = text.lines().next().and_then(|line| some(line.trim())),
            "bios-uuid" => host.bios_uuid = some(text),
            // What Tenable's scanners and agents leave on a host in order to know it again.
            "TAG" => add(&mut host.agent_ids, text),
            "Credentialed_Scan" => host.credentialed = text.parse().ok(),
            "HOST_START_TIMESTAMP" => self.start.0 = epoch(text),
            "HOST_START" => self.start.1 = local(text),
            "HOST_END_TIMESTAMP" => (self.end.0, self.ended) = (epoch(text), true),
            "HOST_END" => (self.end.1, self.ended) = (local(text), true),
            _ => {
                for (provider, cloud) in PROVIDERS.iter().zip(&mut self.clouds) {
                    if let Some(field) = tag.strip_prefix(provider).and_then(|t| t.strip_prefix("-instance-"))
                    {
                        cloud.take(field, text);
                    }
                }
            }
        }
    }

    fn finish(mut self, name: &str) -> Described {
        if name.parse::<IpAddr>().is_ok() {
            add(&mut self.host.ips, name);
        } else {
            self.names.push(name.to_owned());
        }
        let is_full = |name: &String| name.contains('.') && name.parse::<IpAddr>().is_err();
        if !self.names.iter().any(is_full) {
            // The address space of a provider: better than nothing, and nothing else.
            self.names.extend(self.reverse.take());
        }
        for name in &self.names {
            let name = name.trim();
            if name.parse::<IpAddr>().is_ok() || name.chars().any(char::is_whitespace) {
                continue;
            }
            let names = if name.contains('.') { &mut self.host.fqdns } else { &mut self.host.hostnames };
            add(names, name);
        }
        for (provider, cloud) in PROVIDERS.iter().zip(self.clouds) {
            let Cloud { account, region, id } = cloud;
            let provider = (*provider).to_owned();
            self.host.cloud.extend(id.map(|id| CloudId { provider, account, region, id }));
        }
        let wall_clock = self.end.0.is_none();
        self.host.last_scanned_at = self.end.0.or(self.end.1).or(self.start.0).or(self.start.1);
        self.host.native = key(&self.host, name);
        Described {
            host: self.host,
            started_at: self.start.0.or(self.start.1),
            ended: self.ended,
            wall_clock,
        }
    }
}

impl Cloud {
    fn take(&mut self, field: &str, text: &str) {
        let field: String = field.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        match field.to_ascii_lowercase().as_str() {
            "id" | "instanceid" | "vmid" => self.id = some(text),
            "accountid" | "ownerid" | "subscriptionid" | "projectid" => self.account = some(text),
            "region" | "location" | "zone" | "availabilityzone" | "placementavailabilityzone" => {
                self.region = some(text);
            }
            _ => {}
        }
    }
}

/// `host-fqdns` holds JSON: `[{"FQDN":"a.example.com","sources":["get_host_fqdn()"]}]`.
fn fqdns(json: &str) -> Vec<String> {
    let list: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    list.iter().filter_map(|entry| entry["FQDN"].as_str()).map(str::to_owned).collect()
}

fn add(list: &mut Vec<String>, text: &str) {
    let text = text.trim();
    if !text.is_empty() && !list.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        list.push(text.to_owned());
    }
}

/// What a host is known by from one report to the next: BIOS UUID, hardware address, full name, address, and the name
/// of the target in that order. A machine that moves to another address stays the same one; another machine at its
/// address is another one, and proves nothing about it. What is made up or shared by many does not count.
pub fn key(host: &Host, name: &str) -> String {
    let observed = observe(host, "", Scanner::Nessus).identifiers;
    let best = [IdentifierKind::BiosUuid, IdentifierKind::Mac, IdentifierKind::Fqdn, IdentifierKind::Ip];
    let known = best
        .into_iter()
        .find_map(|kind| observed.iter().find(|id| id.kind == kind && id.is_strong()))
        .map(|id| id.value.as_str());
    known
        .unwrap_or(name.trim())
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') { c } else { '_' })
        .collect()
}

/// What a host is known by whose own key is another one's too.
pub fn by_target(native: &str, name: &str) -> String {
    format!("{native}@{}", key(&Host::default(), name))
}

/// How often the hosts of one file were met, by own key and by key and target.
#[derive(Debug, Default)]
pub struct Met(HashMap<u64, u32>);

impl Met {
    /// What the next host of the file is known by: its own key, unless another one took that or it `is_known` by its target
    /// as well; then its target beside it. Who shares both with another is told apart by a number: such names are nobody's
    /// but in files where that is so.
    pub fn next(&mut self, native: &str, name: &str, is_known: bool) -> String {
        let by_target = by_target(native, name);
        let mut times = |text: &str| {
            let times = self.0.entry(domain::digest(text.as_bytes())).or_default();
            *times += 1;
            *times
        };
        match times(&format!("{by_target}@")) {
            1 if is_known => by_target,
            1 if times(native) == 1 => native.to_owned(),
            1 => by_target,
            more => format!("{by_target}#{more}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_key_are_told_apart_and_keep_their_names() {
        let names = |hosts: &[(&str, &str)], known: &[&str]| -> Vec<String> {
            let mut met = Met::default();
            let name = |(native, name): &(&str, &str)| {
                met.next(native, name, known.contains(&&*by_target(native, name)))
            };
            hosts.iter().map(name).collect()
        };
        // Two addresses of one machine: whichever stands first, or alone, later.
        assert_eq!(names(&[("B", "a"), ("B", "b"), ("C", "b")], &[]), ["B", "B@b", "C"]);
        assert_eq!(names(&[("B", "b"), ("B", "a")], &["B@b"]), ["B@b", "B"]);
        // Two machines of one key at one address: what one of them is known by is never what tells an address.
        assert_eq!(names(&[("B", "a"), ("B", "a"), ("B", "a")], &[]), ["B", "B@a#2", "B@a#3"]);
        assert_eq!(names(&[("B", "a"), ("B", "b"), ("B", "b")], &["B@b"]), ["B", "B@b", "B@b#2"]);
        assert_eq!(names(&[("10.0.0.1", "10.0.0.1"); 2], &[]), ["10.0.0.1", "10.0.0.1@10.0.0.1#2"]);
    }

    fn read(name: &str, tags: &[(&str, &str)]) -> Described {
        let tags: String =
            tags.iter().map(|(name, text)| format!("<tag name=\"{name}\">{text}</tag>\n")).collect();
        properties(name, &Xml::alone(&format!("<HostProperties>\n{tags}</HostProperties>"))).unwrap()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_field_is_mapped() {
        let read = read(
            "10.1.2.3",
            &[
                ("HOST_START", "Tue Mar 22 15:01:47 2022"),
                ("HOST_START_TIMESTAMP", "1647975287"),
                ("HOST_END", "Tue Mar 22 15:11:47 2022"),
                ("HOST_END_TIMESTAMP", "1647975707"),
                ("host-ip", "10.1.2.3"),
                ("host-fqdn", "web-1.example.com"),
                (
                    "host-fqdns",
                    "[{&quot;FQDN&quot;:&quot;WEB-1.example.com&quot;},{&quot;FQDN&quot;:&quot;www.example.com&quot;}]",
                ),
                ("host-rdns", "ec2-10-1-2-3.example.net"),
                ("hostname", "web-1"),
                ("netbios-name", "WORKGROUP\\WEB-1"),
                ("mac-address", "00:50:56:A6:60:BC\n00:50:56:A6:60:BD"),
                ("operating-system", "Linux Kernel 5.15 on Ubuntu 22.04\nLinux Kernel 4.4"),
                ("os", "linux"),
                ("bios-uuid", "CE162642-CAF4-A4E1-78D4-3FF87ADDEFF2"),
                ("TAG", "155e3f7a3e2e4e3a910c3edb567dea7f"),
                ("Credentialed_Scan", "true"),
                ("aws-instance-instance-id", "i-0abc"),
                ("aws-instance-accountId", "123456789012"),
                ("aws-instance-region", "eu-west-1"),
                ("patch-summary-total-cves", "3"),
            ],
        );
        let host = Host {
            native: "422616cef4cae1a478d43ff87addeff2".into(),
            hostnames: vec!["web-1".into()],
            fqdns: vec!["web-1.example.com".into(), "www.example.com".into()],
            netbios: vec!["WORKGROUP\\WEB-1".into()],
            ips: vec!["10.1.2.3".into()],
            macs: vec!["00:50:56:A6:60:BC".into(), "00:50:56:A6:60:BD".into()],
            cloud: vec![CloudId {
                provider: "aws".into(),
                account: Some("123456789012".into()),
                region: Some("eu-west-1".into()),
                id: "i-0abc".into(),
            }],
            agent_ids: vec!["155e3f7a3e2e4e3a910c3edb567dea7f".into()],
            bios_uuid: Some("CE162642-CAF4-A4E1-78D4-3FF87ADDEFF2".into()),
            os: Some("Linux Kernel 5.15 on Ubuntu 22.04".into()),
            last_scanned_at: at("2022-03-22T19:01:47Z"),
            credentialed: Some(true),
            ..Host::default()
        };
        assert_eq!(read.host, host);
        assert_eq!((read.started_at, read.ended), (at("2022-03-22T18:54:47Z"), true));
        assert!(!read.wall_clock, "the time stamp counts, not the server's wall clock");
    }

    #[test]
    fn a_host_is_known_by_the_best_that_it_shows() {
        let key = |name: &str, tags: &[(&str, &str)]| read(name, tags).host.native;
        let (uuid, mac, fqdn) = (
            ("bios-uuid", "CE162642-CAF4-A4E1-78D4-3FF87ADDEFF2"),
            ("mac-address", "00:50:56:a6:60:bc"),
            ("host-fqdn", "Web-1.example.com"),
        );
        let ip = ("host-ip", "10.1.2.3");
        assert_eq!(key("web-1", &[ip, fqdn, mac, uuid]), "422616cef4cae1a478d43ff87addeff2");
        assert_eq!(key("web-1", &[ip, fqdn, mac]), "005056a660bc");
        assert_eq!(key("web-1", &[ip, fqdn]), "web-1.example.com");
        assert_eq!(key("web-1", &[ip]), "10.1.2.3");
        assert_eq!(key("web-1", &[]), "web-1");
        let made_up =
            [("bios-uuid", "00000000-0000-0000-0000-000000000000"), ("mac-address", "02:42:ac:11:00:02")];
        assert_eq!(key("10.1.2.3", &made_up), "10.1.2.3", "containers and blank boards share these");
        assert_eq!(key("a b/c#d", &[]), "a_b_c_d");
    }

    #[test]
    fn an_address_for_a_name_is_an_address_and_a_provider_s_name_a_last_resort() {
        let read = read("10.1.2.3", &[("host-rdns", "ec2-10-1-2-3.example.net"), ("host-fqdn", "10.1.2.3")]);
        assert_eq!((read.host.ips.len(), read.host.fqdns), (1, vec!["ec2-10-1-2-3.example.net".to_owned()]));
    }

    #[test]
    fn the_wall_clock_is_read_where_there_is_no_time_stamp() {
        let read = read("h", &[("HOST_END", "Mon Jan 08 10:07:33 2024")]);
        assert_eq!((read.host.last_scanned_at, read.wall_clock), (at("2024-01-08T10:07:33Z"), true));
        let running = self::read("h", &[("HOST_START", "Mon Jan 08 10:00:00 2024")]);
        assert!(!running.ended);
    }

    #[test]
    fn absent_is_absent() {
        let read = read("h", &[("Credentialed_Scan", "maybe"), ("host-fqdns", "[{"), ("mac-address", "")]);
        assert_eq!(read.host, Host { native: "h".into(), hostnames: vec!["h".into()], ..Host::default() });
    }
}
