//! Counters for the dashboard: what is open, and what was opened and closed each day, by owner.
//!
//! They change in the same transaction as the asset that they count ([`crate::Store::commit_asset`]), so that a
//! repeated message cannot count twice.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::vulnerability::Counted;
use domain::{Asset, AssetId, ConnectorName, Host, Severity};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::codec::{Item, n, number};
use crate::error::StoreError;
use crate::keys::{self, Key};
use crate::table::{Range, Store, sort_key};

/// Upper bounds, in days, of the classes of time to fix; the last class is open-ended.
pub const FIX_DAYS: [i64; 8] = [1, 3, 7, 14, 30, 60, 90, 180];

/// A change of counters that belongs to one write of an asset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CounterDelta {
    /// Open vulnerabilities by owner: attribute -> change.
    pub open: BTreeMap<String, BTreeMap<String, i64>>,
    /// Events by day and owner: attribute -> change.
    pub days: BTreeMap<(Date, String), BTreeMap<String, i64>>,
}

/// Open vulnerabilities of one owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OpenCounts {
    /// Critical.
    pub critical: i64,
    /// High.
    pub high: i64,
    /// Medium.
    pub medium: i64,
    /// Low.
    pub low: i64,
    /// Informational.
    pub info: i64,
    /// Of all these, past their deadline.
    pub overdue: i64,
    /// Assets.
    pub assets: i64,
}

impl OpenCounts {
    /// Open ones of a severity.
    pub fn of(&self, severity: Severity) -> i64 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info => self.info,
        }
    }

    /// All open ones.
    pub fn total(&self) -> i64 {
        self.critical + self.high + self.medium + self.low + self.info
    }

    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            critical: self.critical + other.critical,
            high: self.high + other.high,
            medium: self.medium + other.medium,
            low: self.low + other.low,
            info: self.info + other.info,
            overdue: self.overdue + other.overdue,
            assets: self.assets + other.assets,
        }
    }
}

/// Assets that are not gone, over all owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssetCounts {
    /// All of them.
    pub total: i64,
    /// Those that a connector sees.
    pub by_connector: BTreeMap<String, i64>,
}

/// The counter of the assets that a connector sees.
pub fn seen_by(connector: &ConnectorName) -> String {
    format!("{SEEN_BY}{connector}")
}

/// Begins the names of the counters of assets by connector.
const SEEN_BY: &str = "seen.";

/// What happened on one day, over all owners.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Vulnerabilities that became open.
    pub opened: i64,
    /// Vulnerabilities that were fixed.
    pub fixed: i64,
    /// Vulnerabilities that came back.
    pub reopened: i64,
    /// Fixed ones by class of time to fix, see [`FIX_DAYS`].
    pub fix_days: [i64; FIX_DAYS.len() + 1],
}

impl CounterDelta {
    /// Adds to what an owner has open.
    pub fn add_open(&mut self, owner: &str, attribute: impl Into<String>, change: i64) {
        *self.open.entry(owner.to_owned()).or_default().entry(attribute.into()).or_default() += change;
    }

    /// Adds what one vulnerability counts for, or with -1 takes it away. Only open ones count.
    pub fn add_counted(&mut self, owner: &str, counted: &Counted, change: i64) {
        if !counted.status.is_open() {
            return;
        }
        let attribute = match counted.severity {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
            Severity::Info => "info",
        };
        self.add_open(owner, attribute, change);
        if counted.overdue {
            self.add_open(owner, "overdue", change);
        }
    }

    /// Adds an asset, or with -1 takes it away: it counts for its owner until it is gone, and for each connector that
    /// sees it.
    pub fn add_asset(&mut self, asset: &Asset, change: i64) {
        if asset.gone_at.is_none() {
            self.add_open(&asset.owner, "assets", change);
            for connector in &asset.seen_by {
                self.add_open(&asset.owner, seen_by(connector), change);
            }
        }
    }

    /// What changes when one asset becomes part of another, or with -1 when that is undone: nothing is opened or closed
    /// by it. `gone` has what it contributes.
    pub fn add_union(&mut self, kept: &Asset, gone: &Asset, change: i64) {
        // Nobody counts before the first decision.
        if gone.owner != domain::decide::UNOWNED || gone.host != Host::default() {
            self.add_asset(gone, -change);
        }
        if kept.owner != gone.owner {
            for counted in gone.counted.values() {
                self.add_counted(&gone.owner, counted, -change);
                self.add_counted(&kept.owner, counted, change);
            }
        }
    }

    /// Adds an event of a day.
    pub fn add_day(&mut self, day: Date, owner: &str, attribute: impl Into<String>, change: i64) {
        *self.days.entry((day, owner.to_owned())).or_default().entry(attribute.into()).or_default() += change;
    }

    /// Adds a fix with its time to fix, to the day's histogram.
    pub fn add_fix(&mut self, day: Date, owner: &str, days_to_fix: i64) {
        self.add_day(day, owner, "fixed", 1);
        let class = FIX_DAYS.iter().position(|bound| days_to_fix <= *bound).unwrap_or(FIX_DAYS.len());
        self.add_day(day, owner, format!("fix{class}"), 1);
    }

    /// The updates: key, expression parts. Attributes that sum to zero change nothing.
    pub(crate) fn updates(&self, asset: &AssetId) -> Vec<(Key, Vec<(String, i64)>)> {
        let open = self.open.iter().map(|(owner, changes)| {
            let key = Key { pk: keys::OPEN_COUNTERS.to_owned(), sk: keys::counter_shard(owner, asset) };
            (key, changes.iter().map(|(name, change)| (name.clone(), *change)).collect::<Vec<_>>())
        });
        let days = self.days.iter().map(|((day, owner), changes)| {
            let key = Key { pk: keys::day_counters_partition(*day), sk: keys::counter_shard(owner, asset) };
            (key, changes.iter().map(|(name, change)| (name.clone(), *change)).collect::<Vec<_>>())
        });
        open.chain(days)
            .map(|(key, changes)| {
                (key, changes.into_iter().filter(|(_, change)| *change != 0).collect::<Vec<_>>())
            })
            .filter(|(_, changes)| !changes.is_empty())
            .collect()
    }
}

impl Store {
    /// Open vulnerabilities by owner.
    pub async fn open_counts(&self) -> Result<BTreeMap<String, OpenCounts>, StoreError> {
        let mut owners: BTreeMap<String, OpenCounts> = BTreeMap::new();
        for item in self.query_all(Range::all(keys::OPEN_COUNTERS)).await? {
            let owner = sort_key(&item).rsplit_once('#').map_or("", |(owner, _)| owner).to_owned();
            let counts = owners.entry(owner).or_default();
            *counts = counts.plus(read_open(&item));
        }
        owners.retain(|_, counts| *counts != OpenCounts::default());
        Ok(owners)
    }

    /// Assets that are not gone, and who sees them.
    pub async fn asset_counts(&self) -> Result<AssetCounts, StoreError> {
        let mut counts = AssetCounts::default();
        for item in self.query_all(Range::all(keys::OPEN_COUNTERS)).await? {
            counts.total += number::<i64>(&item, "assets").unwrap_or(0);
            for name in item.keys() {
                let Some(connector) = name.strip_prefix(SEEN_BY) else { continue };
                *counts.by_connector.entry(connector.to_owned()).or_default() +=
                    number::<i64>(&item, name).unwrap_or(0);
            }
        }
        Ok(counts)
    }

    /// What happened on a day.
    pub async fn day_counts(&self, day: Date) -> Result<DayCounts, StoreError> {
        let pk = keys::day_counters_partition(day);
        let mut sum = DayCounts::default();
        for item in self.query_all(Range::all(&pk)).await? {
            let get = |name: &str| number::<i64>(&item, name).unwrap_or(0);
            sum.opened += get("opened");
            sum.fixed += get("fixed");
            sum.reopened += get("reopened");
            for (class, count) in sum.fix_days.iter_mut().enumerate() {
                *count += get(&format!("fix{class}"));
            }
        }
        Ok(sum)
    }
}

fn read_open(item: &Item) -> OpenCounts {
    let get = |name: &str| number(item, name).unwrap_or(0);
    OpenCounts {
        critical: get("critical"),
        high: get("high"),
        medium: get("medium"),
        low: get("low"),
        info: get("info"),
        overdue: get("overdue"),
        assets: get("assets"),
    }
}

/// What an `ADD` of several attributes is made of.
pub(crate) struct Addition {
    pub expression: String,
    pub names: Vec<(String, String)>,
    pub values: Vec<(String, AttributeValue)>,
}

/// Adds to attributes whose names may be reserved words.
pub(crate) fn addition(changes: &[(String, i64)]) -> Addition {
    let parts: Vec<_> = (0..changes.len()).map(|i| format!("#c{i} :c{i}")).collect();
    Addition {
        expression: format!("ADD {}", parts.join(", ")),
        names: changes.iter().enumerate().map(|(i, (name, _))| (format!("#c{i}"), name.clone())).collect(),
        values: changes.iter().enumerate().map(|(i, (_, change))| (format!(":c{i}"), n(change))).collect(),
    }
}
