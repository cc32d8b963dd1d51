//! Every key of the table and its indexes, in one place.

use domain::identity::Identifier;
use domain::intel::Feed;
use domain::{AssetId, ConnectorName, CveId, RunId, Scanner, SightingId, VulnId};
use jiff::Timestamp;

use crate::intel::CveBlock;

/// Shards of the users of one CVE.
pub const CVE_SHARDS: u64 = 4;
/// Shards of one owner's list.
pub const OWNER_SHARDS: u64 = 2;
/// Shards of the list of high scores.
pub const TOP_SHARDS: u64 = 4;
/// Shards of one day's timers.
pub const TIMER_SHARDS: u64 = 4;
/// Shards of one owner's counters.
pub const COUNTER_SHARDS: u64 = 4;
/// Shards of one day's audit.
pub const AUDIT_SHARDS: u64 = 4;
/// Shards of the list of shared identifiers, and of the list of reviews.
pub const SHARED_SHARDS: u64 = 4;
/// Shards of the list of API tokens.
pub const TOKEN_SHARDS: u64 = 2;
/// Buckets of a scanner's rule book.
pub const RULE_BUCKETS: u64 = 16;

/// Index of open vulnerabilities by owner, worst first; also of assets and deliveries.
pub const BY_OWNER: &str = "by-owner";
/// Index of high scores.
pub const TOP: &str = "top-scores";
/// Index of what is to do next.
pub const TIMERS: &str = "timers";

/// Sort key of a sighting.
pub const SIGHTING: &str = "SIGHTING";
/// The rest of a sighting: what is long and decides nothing.
pub const DETAILS: &str = "DETAILS";
/// Where findings begin; they, the link, the manifest and the sighting stand together up to [`SIGHTING`].
pub const FINDINGS: &str = "F#";
/// Sort key of a sighting's link to its asset.
pub const LINK: &str = "LINK";
/// Sort key of an asset.
pub const ASSET: &str = "ASSET";
/// Sort key of a connector's state.
pub const CONNECTOR: &str = "CONNECTOR";
/// Sort key of a rule.
pub const RULE: &str = "RULE";
/// Sort key of what the world knows of a block of CVEs.
pub const INTEL: &str = "INTEL";
/// Sort key of where an identifier leads.
pub const IDENTIFIER: &str = "I";
/// Sort key of an API token.
pub const TOKEN: &str = "TOKEN";
/// Sort key of a delivery.
pub const DELIVERY: &str = "D";

/// A key of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }
}

fn shard(text: &str, shards: u64) -> u64 {
    domain::digest(text.as_bytes()) % shards
}

/// Partition of a sighting.
pub fn sighting_partition(id: &SightingId) -> String {
    format!("S#{}#{}", id.connector, id.native)
}

/// The sighting that a partition belongs to.
pub fn sighting_of(pk: &str) -> Option<SightingId> {
    let (connector, native) = pk.strip_prefix("S#")?.split_once('#')?;
    Some(SightingId::new(connector.parse().ok()?, native))
}

/// The sighting itself.
pub fn sighting(id: &SightingId) -> Key {
    Key::new(sighting_partition(id), SIGHTING)
}

/// A finding, by the hash of its key.
pub fn finding(id: &SightingId, hash: u64) -> Key {
    Key::new(sighting_partition(id), format!("F#{hash:016x}"))
}

/// A piece of the manifest.
pub fn manifest(id: &SightingId, piece: usize) -> Key {
    Key::new(sighting_partition(id), format!("M#{piece}"))
}

/// The link of a sighting to its asset.
pub fn link(id: &SightingId) -> Key {
    Key::new(sighting_partition(id), LINK)
}

/// What is long and decides nothing of a host. Sorts before all that a sync or a decision reads.
pub fn details(id: &SightingId) -> Key {
    Key::new(sighting_partition(id), DETAILS)
}

/// A rule.
pub fn rule(scanner: Scanner, rule: &domain::RuleId) -> Key {
    Key::new(format!("R#{scanner}#{rule}"), RULE)
}

/// One bucket of the digests of a scanner's rules.
pub fn rule_bucket(scanner: Scanner, bucket: u64) -> Key {
    Key::new(format!("R#{scanner}#book#{bucket}"), "BOOK")
}

/// Partition of a connector's runs.
pub fn runs_partition(connector: &ConnectorName) -> String {
    format!("U#{connector}")
}

/// State of a connector.
pub fn connector(connector: &ConnectorName) -> Key {
    Key::new(runs_partition(connector), CONNECTOR)
}

/// What was found when a connector was last tried out.
pub fn check(connector: &ConnectorName) -> Key {
    Key::new(runs_partition(connector), "CHECK")
}

/// How well the connector's hosts are scanned.
pub fn coverage(connector: &ConnectorName) -> Key {
    Key::new(runs_partition(connector), "COVERAGE")
}

/// How the connector's scans went.
pub fn scan_jobs(connector: &ConnectorName) -> Key {
    Key::new(runs_partition(connector), "SCANS")
}

/// A run.
pub fn run(connector: &ConnectorName, run: &RunId) -> Key {
    Key::new(runs_partition(connector), format!("RUN#{run}"))
}

/// A unit of a run.
pub fn unit(connector: &ConnectorName, run: &RunId, unit: &str) -> Key {
    Key::new(run_partition(connector, run), format!("UNIT#{unit}"))
}

/// Partition of what belongs to one run.
pub fn run_partition(connector: &ConnectorName, run: &RunId) -> String {
    format!("U#{connector}#{run}")
}

/// Closings of one sighting that wait for the run's verdict.
pub fn closing(connector: &ConnectorName, run: &RunId, native: &str) -> Key {
    Key::new(run_partition(connector, run), format!("CLOSING#{native}"))
}

/// Hosts that one unit of a full run has seen.
pub fn hosts(connector: &ConnectorName, run: &RunId, unit: &str, piece: usize) -> Key {
    Key::new(run_partition(connector, run), format!("HOSTS#{unit}#{piece}"))
}

/// How the keys of the lists of all hosts that a scanner has begin.
pub const EXISTING: &str = "EXISTING#";

/// A piece of a unit's part of the scanner's own list of all its hosts.
pub fn existing(connector: &ConnectorName, run: &RunId, unit: &str, piece: usize) -> Key {
    Key::new(run_partition(connector, run), format!("{EXISTING}{unit}#{piece}"))
}

/// How the keys of the answers about single hosts begin.
pub const CONFIRMED: &str = "CONFIRMED#";

/// A piece of what a unit was told about single hosts.
pub fn confirmed(connector: &ConnectorName, run: &RunId, unit: &str, piece: usize) -> Key {
    Key::new(run_partition(connector, run), format!("{CONFIRMED}{unit}#{piece}"))
}

/// How the keys begin of hosts for which a run has planned questions.
pub const ASKED: &str = "ASKED#";

/// Some of them.
pub fn asked(connector: &ConnectorName, run: &RunId, piece: usize) -> Key {
    Key::new(run_partition(connector, run), format!("{ASKED}{piece}"))
}

/// How the keys of the parts of a scanner that an account may see begin.
pub const SCOPES: &str = "SCOPES#";

/// A piece of what a unit was told of the parts of a scanner that its account may see.
pub fn scopes(connector: &ConnectorName, run: &RunId, unit: &str, piece: usize) -> Key {
    Key::new(run_partition(connector, run), format!("{SCOPES}{unit}#{piece}"))
}

/// Partition of an asset.
pub fn asset_partition(asset: &AssetId) -> String {
    format!("A#{asset}")
}

/// An asset.
pub fn asset(asset: &AssetId) -> Key {
    Key::new(asset_partition(asset), ASSET)
}

/// A vulnerability.
pub fn vulnerability(asset: &AssetId, vulnerability: &VulnId) -> Key {
    Key::new(asset_partition(asset), format!("V#{vulnerability}"))
}

/// Where an identifier leads.
pub fn identifier(identifier: &Identifier) -> Key {
    Key::new(format!("I#{identifier}"), IDENTIFIER)
}

/// The identifier that a partition is about.
pub fn identifier_of(pk: &str) -> Option<Identifier> {
    pk.strip_prefix("I#")?.parse().ok()
}

/// Partition of [`BY_OWNER`] with one shard of the identifiers that several machines share.
pub fn shared_partition(shard: u64) -> String {
    format!("OI#{shard}")
}

/// The partition of [`BY_OWNER`] for one shared identifier.
pub fn shared_partition_of(identifier: &str) -> String {
    shared_partition(shard(identifier, SHARED_SHARDS))
}

/// What a person has to look at: an asset that could be another one.
pub fn review(asset: &AssetId) -> Key {
    Key::new(history_partition(asset), "REVIEW")
}

/// Partition of [`BY_OWNER`] with one shard of what people have to look at.
pub fn reviews_partition(shard: u64) -> String {
    format!("OR#{shard}")
}

/// The partition of [`BY_OWNER`] for one such asset.
pub fn reviews_partition_of(asset: &AssetId) -> String {
    reviews_partition(shard(asset.as_str(), SHARED_SHARDS))
}

/// Partition of what happened to an asset's identity.
pub fn history_partition(asset: &AssetId) -> String {
    format!("H#{asset}")
}

/// Something that happened to an asset's identity.
pub fn history(asset: &AssetId, at: Timestamp, digest: u64) -> Key {
    Key::new(history_partition(asset), timer_sort(at, &format!("{digest:016x}")))
}

/// How the keys of an asset's images begin that are of before it became one with `other`.
pub fn images_prefix(other: &AssetId) -> String {
    format!("V#{other}#")
}

/// A vulnerability as it was before its asset became one with `other`.
pub fn image(asset: &AssetId, other: &AssetId, vulnerability: &VulnId) -> Key {
    Key::new(history_partition(asset), format!("{}{vulnerability}", images_prefix(other)))
}

/// What the world knows of a block of CVEs.
pub fn intel(block: &CveBlock) -> Key {
    Key::new(format!("C#{block}"), INTEL)
}

/// The block that an item of intelligence is about.
pub fn block_of(pk: &str) -> Option<CveBlock> {
    pk.strip_prefix("C#")?.parse().ok()
}

/// One shard of the users of a CVE.
pub fn cve_users_partition(cve: &CveId, shard: u64) -> String {
    format!("C#{cve}#{shard}")
}

/// The use of a CVE by a vulnerability.
pub fn cve_use(cve: &CveId, asset: &AssetId, vulnerability: &VulnId) -> Key {
    Key::new(
        cve_users_partition(cve, shard(asset.as_str(), CVE_SHARDS)),
        format!("A#{asset}#{vulnerability}"),
    )
}

/// The asset and the vulnerability of such a use, from its sort key.
pub fn cve_user(sk: &str) -> Option<(AssetId, VulnId)> {
    let (asset, vulnerability) = sk.strip_prefix("A#")?.split_once('#')?;
    Some((asset.parse().ok()?, vulnerability.parse().ok()?))
}

/// A version of a document, or the pointer to the current one (`version` = `CURRENT`).
pub fn document(kind: &str, version: &str) -> Key {
    Key::new(format!("P#{kind}"), version)
}

/// Kind of the document that holds the firewall rules of a network scope.
pub fn firewall_document(scope: &str) -> String {
    format!("firewall#{scope}")
}

/// How a feed was last taken in.
pub fn feed_head(feed: Feed) -> Key {
    Key::new(format!("P#feed#{feed}"), "HEAD")
}

/// The blocks that a feed has facts about.
pub fn feed_blocks(feed: Feed) -> Key {
    Key::new(format!("P#feed#{feed}"), "BLOCKS")
}

/// Partition of the counters of what is open.
pub const OPEN_COUNTERS: &str = "T#open";

/// Partition of one day's counters.
pub fn day_counters_partition(day: jiff::civil::Date) -> String {
    format!("T#{day}")
}

/// Sort key of the counters of an owner, on the shard of an asset.
pub fn counter_shard(owner: &str, asset: &AssetId) -> String {
    format!("{owner}#{}", shard(asset.as_str(), COUNTER_SHARDS))
}

/// A delivery to a channel or tracker.
pub fn delivery(receiver: &ConnectorName, key: &str) -> Key {
    Key::new(format!("D#{receiver}#{key}"), DELIVERY)
}

/// What a receiver got within one hour.
pub fn budget(receiver: &ConnectorName, hour: i64) -> Key {
    Key::new(format!("B#{receiver}#{hour}"), "B")
}

/// Partition of one shard of a day's audit.
pub fn audit_partition(day: jiff::civil::Date, shard: u64) -> String {
    format!("L#{day}#{shard}")
}

/// A line of the audit.
pub fn audit(at: Timestamp, id: &str) -> Key {
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let place = format!("{}#{id}", at.strftime("%H:%M:%S%.6f"));
    Key::new(audit_partition(at.date(), shard(id, AUDIT_SHARDS)), place)
}

/// An API token, by its public id.
pub fn token(id: &str) -> Key {
    Key::new(format!("K#{id}"), TOKEN)
}

/// Partition of [`BY_OWNER`] with one shard of the API tokens.
pub fn tokens_partition(shard: u64) -> String {
    format!("OK#{shard}")
}

/// The partition of [`BY_OWNER`] for one API token.
pub fn tokens_partition_of(id: &str) -> String {
    tokens_partition(shard(id, TOKEN_SHARDS))
}

/// Partition of [`BY_OWNER`] with an owner's vulnerabilities.
pub fn owner_partition(owner: &str, shard: u64) -> String {
    format!("O#{owner}#{shard}")
}

/// The shard of a vulnerability in its owner's list.
pub fn owner_shard(vulnerability: &VulnId) -> u64 {
    shard(vulnerability.as_str(), OWNER_SHARDS)
}

/// Partition of [`BY_OWNER`] with an owner's assets.
pub fn owner_assets_partition(owner: &str) -> String {
    format!("OA#{owner}")
}

/// Partition of [`BY_OWNER`] with one day's deliveries.
pub fn deliveries_partition(day: jiff::civil::Date) -> String {
    format!("OD#{day}")
}

/// Sort key that puts the highest score first.
pub fn falling(score: u16, id: &str) -> String {
    format!("{:04}#{id}", 9_999 - score.min(1_000))
}

/// Partition of [`TOP`].
pub fn top_partition(shard: u64) -> String {
    format!("TOP#{shard}")
}

/// The shard of a vulnerability in [`TOP`].
pub fn top_shard(vulnerability: &VulnId) -> u64 {
    shard(vulnerability.as_str(), TOP_SHARDS)
}

/// Partition of [`TIMERS`]: a day and a shard.
pub fn timer_partition(day: jiff::civil::Date, shard: u64) -> String {
    format!("W#{day}#{shard}")
}

/// The partition of [`TIMERS`] for a moment and whom it concerns.
pub fn timer_of(at: Timestamp, id: &str) -> String {
    timer_partition(at.to_zoned(jiff::tz::TimeZone::UTC).date(), shard(id, TIMER_SHARDS))
}

/// Sort key of [`TIMERS`].
pub fn timer_sort(at: Timestamp, id: &str) -> String {
    format!("{}#{id}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
}
