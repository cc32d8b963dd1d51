//! The resources of the API: assets, what is found on them, definitions, tags, solutions.

use std::borrow::Cow;

use domain::{CloudId, CveId, Finding, Host, Rule, RuleId, ScanOutcome, Scanner, Tag};
use jiff::Timestamp;
use serde::Deserialize;
use sync::lenient::{Field, FromScalar, List, Objects, Part, Scalar};
use sync::split::json::{brief, element};
use sync::text::plain;
use sync::{BadRecord, names, rapid7};

use super::state::{self, Instance};

macro_rules! nothing_from_a_scalar {
    ($($name:ident),*) => { $(impl<'a> FromScalar for $name<'a> {
        type Text = Cow<'a, str>;
    })* };
}

/// One asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// Who it is.
    pub host: Host,
    /// A scan or an agent has looked for vulnerabilities. Until then nothing is known of it.
    pub assessed: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct WireAsset<'a> {
    id: Field<'a>,
    ip: List<Field<'a>>,
    mac: List<Field<'a>>,
    addresses: List<Address<'a>>,
    host_name: List<Field<'a>>,
    host_names: List<HostName<'a>>,
    ids: List<UniqueId<'a>>,
    os: Field<'a>,
    os_fingerprint: Part<Fingerprint<'a>>,
    history: List<Event<'a>>,
    assessed_for_vulnerabilities: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Address<'a> {
    ip: Field<'a>,
    mac: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct HostName<'a> {
    name: Field<'a>,
    source: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct UniqueId<'a> {
    id: Field<'a>,
    source: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Fingerprint<'a> {
    description: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Event<'a> {
    date: Field<'a>,
    #[serde(rename = "type")]
    kind: Field<'a>,
}

nothing_from_a_scalar!(Address, UniqueId, Fingerprint, Event, Text, Score, Cvss, Link);

impl<'a> FromScalar for HostName<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(name: Field<'a>) -> Self {
        Self { name, source: Scalar::Absent }
    }
}

/// Reads the asset that `bytes` begin with, which stands at `offset`, and answers how many bytes it has.
pub fn asset(offset: u64, bytes: &[u8]) -> Result<(Asset, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (wire, length): (WireAsset<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no asset: {}", brief(&error))))?;
    let native = wire.id.text().ok_or_else(|| bad("it has no id".into()))?;
    // Other entries are changes by people and imports: nothing was looked at then.
    let looks = wire.history.0.into_iter().filter_map(|event| {
        let kind = event.kind.words().unwrap_or_default();
        let agent = kind.eq_ignore_ascii_case("AGENT-IMPORT");
        event.date.time().filter(|_| agent || kind.eq_ignore_ascii_case("SCAN")).map(|date| (date, agent))
    });
    let last = looks.max();
    let mut host = Host {
        native,
        os: wire.os.text().or_else(|| wire.os_fingerprint.0.description.text()),
        last_scanned_at: last.map(|(date, _)| date),
        ..Host::default()
    };
    let (mut ips, mut macs) = (wire.ip.texts(), wire.mac.texts());
    for address in wire.addresses.0 {
        ips.extend(address.ip.text());
        macs.extend(address.mac.text());
    }
    host.macs = names::macs(macs);
    host.macs.retain(|mac| mac.bytes().any(|b| b.is_ascii_hexdigit() && b != b'0'));
    let mut hostnames = wire.host_name.texts();
    for name in wire.host_names.0 {
        let source = name.source.words().unwrap_or_default();
        match name.name.text() {
            Some(name) if source.eq_ignore_ascii_case("netbios") => host.netbios.push(name),
            name => hostnames.extend(name),
        }
    }
    names::sort_into(&mut host, ips, hostnames, vec![]);
    for unique in wire.ids.0 {
        if let Some(id) = unique.id.words() {
            identify(&mut host, id.trim(), &unique.source.words().unwrap_or_default());
        }
    }
    // An agent looks from inside: it needs no credentials.
    host.credentialed = last.filter(|(_, agent)| *agent).map(|_| true);
    let assessed = wire.assessed_for_vulnerabilities.truth().unwrap_or(host.last_scanned_at.is_some());
    Ok((Asset { host, assessed }, length))
}

/// Puts a unique identifier where its source says that it belongs.
fn identify(host: &mut Host, id: &str, source: &str) {
    let source = source.to_ascii_lowercase();
    let from = |words: &[&str]| words.iter().any(|word| source.contains(word));
    let cloud =
        |provider: &str| CloudId { provider: provider.into(), account: None, region: None, id: id.into() };
    let is_instance = id
        .strip_prefix("i-")
        .is_some_and(|rest| matches!(rest.len(), 8 | 17) && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_uuid = id.len() == 36 && id.bytes().filter(|b| *b == b'-').count() == 4;
    if from(&["agent"]) {
        host.agent_ids.push(id.to_owned());
    } else if from(&["serial"]) {
        host.serial.get_or_insert_with(|| id.to_owned());
    } else if from(&["aws", "ec2", "amazon"]) || is_instance {
        host.cloud.push(cloud("aws"));
    } else if from(&["azure"]) {
        host.cloud.push(cloud("azure"));
    } else if from(&["gcp", "google"]) {
        host.cloud.push(cloud("gcp"));
    } else if from(&["dmidecode", "csproduct", "wql", "bios", "uuid"]) && is_uuid {
        host.bios_uuid.get_or_insert_with(|| id.to_owned());
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireFinding<'a> {
    id: Field<'a>,
    status: Field<'a>,
    instances: Field<'a>,
    results: Objects<WireResult<'a>>,
    links: List<Link<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireResult<'a> {
    port: Field<'a>,
    protocol: Field<'a>,
    key: Field<'a>,
    proof: Field<'a>,
    since: Field<'a>,
    status: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Link<'a> {
    href: Field<'a>,
}

/// What is found on one asset of one vulnerability.
#[derive(Debug, Clone, PartialEq)]
pub struct OnAsset {
    /// The asset, where its links name it.
    pub asset: Option<String>,
    /// InsightVM's id of the vulnerability.
    pub vulnerability: String,
    /// One result of a check each.
    pub instances: Vec<Instance>,
    /// It has as many results as it counts, and each of them says something: what is not among them is not on the asset.
    pub whole: bool,
}

/// Reads the element of `/assets/{id}/vulnerabilities` that `bytes` begin with, and answers how many bytes it has. `since` is the date of the last change of a result, and so the
/// day when it was first found only until it changes for the first time.
pub fn finding(offset: u64, bytes: &[u8], seen_at: Option<Timestamp>) -> Result<(OnAsset, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (wire, length): (WireFinding<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no finding: {}", brief(&error))))?;
    let vulnerability = wire.id.text().ok_or_else(|| bad("it has no id".into()))?;
    let whole = wire.status.words().unwrap_or_default();
    let asset = wire.links.0.into_iter().filter_map(|link| link.href.words()).find_map(|href| {
        let (_, rest) = href.split_once("/assets/")?;
        rest.split('/')
            .next()
            .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
            .map(str::to_owned)
    });
    let instances = wire.results.0.into_iter().map(|result| {
        let since = result.since.time();
        let status = result.status.text().unwrap_or_else(|| whole.clone().into_owned());
        let gone = status.eq_ignore_ascii_case("not-vulnerable");
        Instance {
            vulnerability: vulnerability.clone(),
            status,
            excepted: false,
            port: state::port(result.port.number()),
            protocol: result.protocol.words().map(|protocol| protocol.to_ascii_lowercase()),
            key: result.key.text(),
            evidence: result.proof.words().map(|proof| plain(&proof)).filter(|proof| !proof.is_empty()),
            first_found: since.filter(|_| !gone),
            last_found: seen_at.filter(|_| !gone),
            reopened_at: None,
            changed_at: since,
        }
    });
    let instances: Vec<Instance> = instances.collect();
    // It counts the results that found something, and is there because of one at least.
    let least = f64::from(u8::from(state::is_there(&whole)));
    let counted = wire.instances.number().unwrap_or(0.0).max(least);
    let told = instances.iter().filter(|instance| state::is_there(&instance.status)).count();
    let whole = u32::try_from(told).is_ok_and(|told| f64::from(told) >= counted)
        && !instances.iter().any(Instance::says_nothing);
    Ok((OnAsset { asset, vulnerability, instances, whole }, length))
}

/// The findings of one asset.
pub fn findings(elements: Vec<OnAsset>) -> Vec<Finding> {
    state::findings(elements.into_iter().flat_map(|element| element.instances))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct WireRule<'a> {
    id: Field<'a>,
    title: Field<'a>,
    description: Part<Text<'a>>,
    severity: Field<'a>,
    severity_score: Field<'a>,
    risk_score: Field<'a>,
    cves: List<Field<'a>>,
    cvss: Part<Cvss<'a>>,
    /// How many there are.
    exploits: Field<'a>,
    malware_kits: Field<'a>,
    modified: Field<'a>,
    added: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Text<'a> {
    text: Field<'a>,
    html: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Cvss<'a> {
    v2: Part<Score<'a>>,
    v3: Part<Score<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Score<'a> {
    score: Field<'a>,
    vector: Field<'a>,
}

impl Text<'_> {
    fn read(self) -> Option<String> {
        let html = self.html.words().map(|html| plain(&html));
        let text = html.or_else(|| self.text.words().map(|text| text.trim().to_owned()));
        text.filter(|text| !text.is_empty())
    }
}

/// Reads the definition (`/vulnerabilities/{id}`) that `bytes` begin with, and answers how many bytes it has. What to do
/// about it is another resource.
pub fn rule(offset: u64, bytes: &[u8]) -> Result<(Rule, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (wire, length): (WireRule<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no definition: {}", brief(&error))))?;
    let id = wire.id.text().ok_or_else(|| bad("it has no id".into()))?;
    let (v2, v3) = (wire.cvss.0.v2.0, wire.cvss.0.v3.0);
    let (score2, score3) = (v2.score.number(), v3.score.number());
    let rule = Rule {
        scanner: Scanner::InsightvmConsole,
        title: wire.title.text().unwrap_or_else(|| id.clone()),
        id: RuleId::new(id),
        cves: cves(wire.cves.texts().iter().map(String::as_str)),
        severity: rapid7::severity(wire.severity.words().as_deref(), wire.severity_score.number(), score3),
        cvss: rapid7::best_cvss((score3, v3.vector.text()), (score2, v2.vector.text())),
        description: wire.description.0.read(),
        solution: None,
        patchable: None,
        vendor_risk: wire.risk_score.number().filter(|risk| *risk > 0.0),
        exploit_available: [wire.exploits, wire.malware_kits]
            .iter()
            .any(|count| count.number().is_some_and(|count| count > 0.0))
            .then_some(true),
        modified: wire.modified.time().or(wire.added.time()),
    };
    Ok((rule, length))
}

/// CVEs, sorted, without repetition; what is none is left out.
pub(super) fn cves<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<CveId> {
    let mut cves: Vec<CveId> = texts.filter_map(|text| text.parse().ok()).collect();
    cves.sort();
    cves.dedup();
    cves
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireSolution<'a> {
    summary: Part<Text<'a>>,
    steps: Part<Text<'a>>,
    #[serde(rename = "type")]
    kind: Field<'a>,
}

/// Solutions of one definition that are worth reading: there is one for each platform. Those that are first by their ids
/// are taken, by either way.
pub const SOLUTIONS: usize = 3;

/// What to do, and whether it is a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solution {
    /// In plain words.
    pub text: Option<String>,
    /// The vendor of the software offers a patch, where it is told.
    pub is_patch: Option<bool>,
}

/// Puts together what to do about a rule: each text once, and a patch if there is one among them.
pub fn remedy(rule: &mut Rule, solutions: impl IntoIterator<Item = Solution>) {
    let mut texts: Vec<String> = Vec::new();
    for Solution { text, is_patch } in solutions {
        rule.patchable = rule.patchable.max(is_patch);
        texts.extend(text.filter(|text| !texts.contains(text)));
    }
    rule.solution = (!texts.is_empty()).then(|| texts.join("\n\n"));
}

/// Reads a solution (`/solutions/{id}`).
pub fn solution(bytes: &[u8]) -> Result<Solution, String> {
    let wire: WireSolution<'_> = serde_json::from_slice(bytes).map_err(|error| brief(&error))?;
    let (summary, steps) = (wire.summary.0.read(), wire.steps.0.read());
    Ok(Solution { text: joined(summary, steps), is_patch: wire.kind.text().and_then(|kind| is_patch(&kind)) })
}

/// Whether a solution of that kind is a patch; `None` where the console itself does not know.
pub(super) fn is_patch(kind: &str) -> Option<bool> {
    match kind.to_ascii_lowercase().replace([' ', '_'], "-").as_str() {
        "patch" | "rollup-patch" | "rollup" => Some(true),
        "unknown" => None,
        _ => Some(false),
    }
}

/// Summary and steps, once where they are the same.
pub(super) fn joined(summary: Option<String>, steps: Option<String>) -> Option<String> {
    match (summary, steps) {
        (Some(summary), Some(steps)) if steps.starts_with(&summary) => Some(steps),
        (Some(summary), Some(steps)) => Some(format!("{summary}\n{steps}")),
        (summary, steps) => summary.or(steps),
    }
}

/// A tag of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleTag {
    /// Something to show and to match.
    Tag(Tag),
    /// How much the asset matters, 1 to 5.
    Criticality(u8),
}

/// A tag by its type (`custom`, `location`, `owner`, `criticality`) and its name. A site is a tag as well, as InsightVM's
/// cloud has it.
pub fn tag(kind: &str, name: &str) -> Option<ConsoleTag> {
    let (kind, name) = (kind.trim().to_ascii_lowercase(), name.trim());
    if name.is_empty() {
        return None;
    }
    Some(match kind.as_str() {
        "criticality" => {
            ConsoleTag::Criticality(match name.to_ascii_lowercase().replace('_', " ").as_str() {
                "very high" => 5,
                "high" => 4,
                "medium" => 3,
                "low" => 2,
                "very low" => 1,
                _ => return None,
            })
        }
        "location" | "owner" | "site" => ConsoleTag::Tag(Tag { key: kind, value: name.to_owned() }),
        _ => ConsoleTag::Tag(Tag::parse(name)),
    })
}

/// Attaches a tag to a host; of several criticalities the highest counts.
pub fn attach(host: &mut Host, tag: ConsoleTag) {
    match tag {
        ConsoleTag::Criticality(level) => host.criticality = host.criticality.max(Some(level)),
        ConsoleTag::Tag(tag) if !host.tags.contains(&tag) => {
            // The console has no order; ours must not depend on the order of asking.
            let at = host.tags.partition_point(|known| *known < tag);
            host.tags.insert(at, tag);
        }
        ConsoleTag::Tag(_) => {}
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireTag<'a> {
    id: Field<'a>,
    name: Field<'a>,
    #[serde(rename = "type")]
    kind: Field<'a>,
}

/// Reads the element of `/tags` that `bytes` begin with: its number, and what it is to us, if anything.
pub fn listed_tag(offset: u64, bytes: &[u8]) -> Result<(Option<(u64, ConsoleTag)>, usize), BadRecord> {
    let (wire, length): (WireTag<'_>, _) =
        element(bytes).map_err(|error| BadRecord { offset, problem: brief(&error) })?;
    let read = || {
        let tag = tag(&wire.kind.text().unwrap_or_default(), &wire.name.text()?)?;
        Some((wire.id.text()?.parse().ok()?, tag))
    };
    Ok((read(), length))
}

/// A site, as one scan of all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its number.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was last scanned, whatever came of that.
    pub scanned_at: Option<Timestamp>,
    /// Agents report to it.
    pub is_of_agents: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct WireSite<'a> {
    id: Field<'a>,
    name: Field<'a>,
    #[serde(rename = "type")]
    kind: Field<'a>,
    last_scan_time: Field<'a>,
}

/// Reads the element of `/sites` that `bytes` begin with; nothing of one without a number.
pub fn listed_site(offset: u64, bytes: &[u8]) -> Result<(Option<Site>, usize), BadRecord> {
    let (wire, length): (WireSite<'_>, _) =
        element(bytes).map_err(|error| BadRecord { offset, problem: brief(&error) })?;
    let is_of_agents = wire.kind.words().is_some_and(|kind| kind.eq_ignore_ascii_case("agent"));
    let site = wire.id.text().map(|id| Site {
        is_of_agents,
        name: wire.name.text().unwrap_or_else(|| format!("site {id}")),
        scanned_at: wire.last_scan_time.time(),
        id,
    });
    Ok((site, length))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct WireScan<'a> {
    site_id: Field<'a>,
    status: Field<'a>,
    start_time: Field<'a>,
    end_time: Field<'a>,
}

/// A scan of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteScan {
    /// The site's number.
    pub site: String,
    /// How it went.
    pub outcome: ScanOutcome,
    /// When it ended; if it has not, when it began.
    pub at: Option<Timestamp>,
    /// When it began.
    pub began: Option<Timestamp>,
}

/// Reads the element of `/scans` that `bytes` begin with; nothing of one without a site.
pub fn listed_scan(offset: u64, bytes: &[u8]) -> Result<(Option<SiteScan>, usize), BadRecord> {
    let (wire, length): (WireScan<'_>, _) =
        element(bytes).map_err(|error| BadRecord { offset, problem: brief(&error) })?;
    let began = wire.start_time.time();
    let at = wire.end_time.time().or(began);
    // A scan without a status has run, or it would not be there.
    let outcome = wire.status.words().map_or(ScanOutcome::Untold, |status| ScanOutcome::of(&status));
    Ok((wire.site_id.text().map(|site| SiteScan { site, outcome, at, began }), length))
}

/// Reads the element of `/tags/{id}/assets` that `bytes` begin with.
pub fn listed_id(offset: u64, bytes: &[u8]) -> Result<(Option<u64>, usize), BadRecord> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Reference<'a> {
        id: Field<'a>,
    }
    let (reference, length): (Reference<'_>, _) =
        element(bytes).map_err(|error| BadRecord { offset, problem: brief(&error) })?;
    Ok((reference.id.text().and_then(|id| id.parse().ok()), length))
}
