//! The first page.

use std::collections::BTreeMap;

use domain::sla::State;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use store::{DayCounts, FIX_DAYS, OpenCounts, RunStatus, VulnerabilityFilter};

use super::{ConnectorRow, DeliverySummary, OwnerRow, RunRow, VulnerabilityRow, row};
use crate::Dashboard;
use crate::problem::Problem;

/// Highest scores that are read; the shorter lists are parts of them.
const READ: usize = 36;
/// Lines of a list.
const ROWS: usize = 10;
/// Days of the trend.
const DAYS: i32 = 14;
/// Connectors on this page; the page of runs has more.
const CONNECTORS: usize = 8;
/// Newest deliveries that are looked at, of each of two days.
const DELIVERIES: i32 = 20;
/// What is exploited in the wild has at least this score: the uplift closes seven tenths of the distance to 1000.
const EXPLOITED_FROM: u16 = 700;
/// Note that keeps the counts of days that are over, so that the trend does not read them again.
const TREND_NOTE: &str = "trend";
/// A day is over for good when it is this many days ago: by then no function works in it any more.
const SETTLED_DAYS: i32 = 2;

/// Everything at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// When it was read.
    pub at: Timestamp,
    /// What is open, over all owners.
    pub open: OpenCounts,
    /// The same by owner, most first.
    pub owners: Vec<OwnerRow>,
    /// The highest scores.
    pub top: Vec<VulnerabilityRow>,
    /// Overdue ones among the highest scores.
    pub overdue: Vec<VulnerabilityRow>,
    /// What is exploited in the wild.
    pub exploited: Exploited,
    /// The last days, oldest first.
    pub days: Vec<Day>,
    /// Time to fix over those days.
    pub time_to_fix: TimeToFix,
    /// Connectors with their latest run.
    pub connectors: Vec<ConnectorRow>,
    /// How many connectors there are; the page of runs has those that are missing here.
    pub connectors_total: usize,
    /// The feeds.
    pub feeds: Vec<FeedRow>,
    /// What became of the newest deliveries.
    pub deliveries: DeliverySummary,
    /// A run is under way.
    pub live: bool,
}

/// What is exploited in the wild.
#[derive(Debug, Clone, Serialize)]
pub struct Exploited {
    /// How many.
    pub count: usize,
    /// There may be more than that.
    pub at_least: bool,
    /// The most urgent.
    pub rows: Vec<VulnerabilityRow>,
}

/// One day.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    /// The day, UTC.
    pub day: Date,
    /// What became open.
    pub opened: i64,
    /// What was fixed.
    pub fixed: i64,
    /// What came back.
    pub reopened: i64,
}

/// Time from detection to fix.
#[derive(Debug, Clone, Serialize)]
pub struct TimeToFix {
    /// How many were fixed.
    pub fixed: i64,
    /// Half of them took at most so many days; absent when none were fixed, or when it is beyond the last class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_days_at_most: Option<i64>,
}

/// A feed of what the world knows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FeedRow {
    /// Its name.
    pub name: &'static str,
    /// The feed's own date, or when it was read. Absent: it was not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// CVEs in it.
    pub count: u64,
    /// Why it was not taken in since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl FeedRow {
    /// From the note that the feed's reader leaves.
    fn read(name: &'static str, note: Option<&str>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Note {
            as_of: Option<Timestamp>,
            count: u64,
            problem: Option<String>,
        }
        let note: Note = note.and_then(|note| serde_json::from_str(note).ok()).unwrap_or_default();
        Self { name, as_of: note.as_of, count: note.count, problem: note.problem }
    }
}

impl Dashboard {
    pub(crate) async fn overview(&self) -> Result<Overview, Problem> {
        let now = self.now();
        let today = now.to_zoned(TimeZone::UTC).date();
        let all = VulnerabilityFilter::default();
        let highest = async { self.store.top(&all, READ).await.map_err(Problem::from) };
        let counts = async { self.store.open_counts().await.map_err(Problem::from) };
        let (highest, counts, days, connectors, feeds, deliveries) = tokio::try_join!(
            highest,
            counts,
            self.trend(today),
            self.latest_runs(),
            self.feeds(),
            self.delivery_summary(today)
        )?;
        let policies = &self.config.policies;
        let rows: Vec<VulnerabilityRow> =
            highest.rows.iter().map(|r| row(&r.value, &r.asset_name, &r.owner, policies, now)).collect();
        let exploited: Vec<&VulnerabilityRow> = rows.iter().filter(|row| row.exploited).collect();
        let last_score = rows.last().map_or(0, |row| row.score);
        let first = |rows: Vec<&VulnerabilityRow>| rows.into_iter().take(ROWS).cloned().collect::<Vec<_>>();
        Ok(Overview {
            at: now,
            open: counts.values().fold(OpenCounts::default(), |sum, counts| sum.plus(*counts)),
            owners: OwnerRow::sorted(counts),
            exploited: Exploited {
                count: exploited.len(),
                at_least: highest.next.is_some() && last_score >= EXPLOITED_FROM,
                rows: first(exploited),
            },
            overdue: first(rows.iter().filter(|row| row.sla == State::Overdue).collect()),
            top: first(rows.iter().collect()),
            time_to_fix: TimeToFix::over(days.values()),
            days: days
                .into_iter()
                .map(|(day, c)| Day { day, opened: c.opened, fixed: c.fixed, reopened: c.reopened })
                .collect(),
            live: connectors
                .iter()
                .filter_map(|c| c.run.as_ref())
                .any(|run| run.status == RunStatus::Running),
            connectors,
            connectors_total: self.config.connectors.len(),
            feeds,
            deliveries,
        })
    }

    async fn latest_runs(&self) -> Result<Vec<ConnectorRow>, Problem> {
        let read = self.config.connectors.iter().take(CONNECTORS).map(|connector| async move {
            let latest = self.store.runs(&connector.name, 1).await?.into_iter().next();
            Ok(ConnectorRow {
                name: connector.name.clone(),
                scanner: connector.scanner,
                pulled: connector.is_pulled(),
                run: latest.map(RunRow::from),
            })
        });
        futures::future::try_join_all(read).await
    }

    async fn feeds(&self) -> Result<Vec<FeedRow>, Problem> {
        let read = self.config.feeds.wanted().map(|feed| async move {
            let note = self.store.note(&format!("feed-{feed}")).await?;
            Ok(FeedRow::read(feed.as_str(), note.as_deref()))
        });
        futures::future::try_join_all(read).await
    }

    async fn delivery_summary(&self, today: Date) -> Result<DeliverySummary, Problem> {
        let mut newest = self.store.deliveries(today, DELIVERIES).await?;
        if let Ok(yesterday) = today.yesterday() {
            newest.extend(self.store.deliveries(yesterday, DELIVERIES).await?);
        }
        Ok(DeliverySummary::of(&newest))
    }

    /// The counts of the last days. Those of days that are over for good are kept in one note.
    async fn trend(&self, today: Date) -> Result<BTreeMap<Date, DayCounts>, Problem> {
        let note = self.store.note(TREND_NOTE).await?;
        let kept: BTreeMap<Date, DayCounts> =
            note.and_then(|n| serde_json::from_str(&n).ok()).unwrap_or_default();
        let wanted = (0..DAYS).filter_map(|ago| today.checked_sub(ago.days()).ok());
        let (known, unknown): (Vec<Date>, Vec<Date>) = wanted.partition(|day| kept.contains_key(day));
        let read = unknown
            .iter()
            .map(|day| async move { Ok::<_, Problem>((*day, self.store.day_counts(*day).await?)) });
        let mut days: BTreeMap<Date, DayCounts> =
            futures::future::try_join_all(read).await?.into_iter().collect();
        days.extend(known.iter().filter_map(|day| Some((*day, kept.get(day)?.clone()))));
        let settled: BTreeMap<_, _> = days
            .iter()
            .filter(|(day, _)| today.checked_sub(SETTLED_DAYS.days()).is_ok_and(|last| **day <= last))
            .collect();
        // Only a saving: whoever comes next reads again what could not be kept.
        if settled.keys().any(|day| !kept.contains_key(day))
            && let Ok(text) = serde_json::to_string(&settled)
            && let Err(error) = self.store.put_note(TREND_NOTE, &text).await
        {
            tracing::warn!(%error, "the counts of past days could not be kept");
        }
        Ok(days)
    }
}

impl TimeToFix {
    fn over<'a>(days: impl Iterator<Item = &'a DayCounts>) -> Self {
        let mut classes = [0_i64; FIX_DAYS.len() + 1];
        for day in days {
            classes.iter_mut().zip(day.fix_days).for_each(|(sum, count)| *sum += count);
        }
        let fixed: i64 = classes.iter().sum();
        let mut so_far = 0;
        let median = classes.iter().position(|count| {
            so_far += count;
            fixed > 0 && 2 * so_far >= fixed
        });
        Self { fixed, median_days_at_most: median.and_then(|class| FIX_DAYS.get(class).copied()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_class_in_which_half_are_done() {
        let day = |fix_days| DayCounts { fix_days, ..DayCounts::default() };
        let median = |days: &[DayCounts]| TimeToFix::over(days.iter()).median_days_at_most;
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[day([3, 0, 1, 0, 0, 0, 0, 0, 0]), day([0, 0, 0, 2, 0, 0, 0, 0, 0])]), Some(1));
        assert_eq!(median(&[day([1, 0, 0, 0, 0, 0, 0, 0, 5])]), None);
    }

    #[test]
    fn a_note_that_cannot_be_read_is_no_reading() {
        let row = FeedRow::read("kev", Some(r#"{"as_of":"2026-11-22T12:00:00Z","count":3,"etag":"x"}"#));
        assert_eq!((row.as_of.is_some(), row.count), (true, 3));
        assert_eq!(FeedRow::read("kev", Some("?")).as_of, None);
    }
}
