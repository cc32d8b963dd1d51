//! Logs and metrics.
//!
//! A metric is one line of JSON in CloudWatch's embedded metric format: CloudWatch makes metrics of what stands under
//! `_aws` and keeps the rest of the line as fields to search for. One unit of work writes one line. Dimensions are few
//! on purpose, because each value of one is a metric that costs money: a function, a connector or a feed, never a host
//! or a finding.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock::Clock;

/// Namespace of every metric.
const NAMESPACE: &str = "vulnrelay";

/// Starts logging as the function's environment says (`AWS_LAMBDA_LOG_FORMAT`, `AWS_LAMBDA_LOG_LEVEL`).
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Seconds since what a connector knows was complete.
    SyncLag,
    /// Findings that a scanner sent, or CVEs of a feed.
    Received,
    /// Findings that were new or changed.
    Written,
    /// Findings that opened.
    Opened,
    /// Findings that were closed.
    Closed,
    /// Records that could not be read, feeds that were not believed, effects that were refused.
    Refused,
    /// Effects that wait for the budget of their receiver.
    BudgetHeld,
    /// Seconds from a change until it was decided on.
    ScoreAge,
    /// Seconds since the date of what is known of a feed.
    FeedAge,
}

impl Metric {
    fn unit(self) -> &'static str {
        match self {
            Self::SyncLag | Self::ScoreAge | Self::FeedAge => "Seconds",
            _ => "Count",
        }
    }
}

/// Whose metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// A Lambda function.
    Function(&'a str),
    /// A configured account of a scanner.
    Connector(&'a str),
    /// A feed of threat intelligence.
    Feed(&'a str),
}

impl<'a> Dimension<'a> {
    fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Function(name) => ("Function", name),
            Self::Connector(name) => ("Connector", name),
            Self::Feed(name) => ("Feed", name),
        }
    }
}

/// Where metrics go.
pub trait MetricSink: Send + Sync {
    /// Takes one line, without its end.
    fn write(&self, line: &str);
}

/// To standard output, where Lambda hands them to CloudWatch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl MetricSink for Stdout {
    fn write(&self, line: &str) {
        // A metric that cannot be written must not fail the work that it tells of.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// Into the log, where `RUST_LOG=metrics=debug` shows them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl MetricSink for Log {
    fn write(&self, line: &str) {
        tracing::debug!(target: "metrics", "{line}");
    }
}

/// Into memory, for tests that read what was measured.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<String>>);

impl MetricSink for Kept {
    fn write(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

impl Kept {
    /// What was measured so far.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Writes metrics.
#[derive(Clone)]
pub struct Metrics {
    sink: Arc<dyn MetricSink>,
    clock: Arc<dyn Clock>,
}

impl Metrics {
    /// Metrics that go to `sink`, dated by `clock`.
    pub fn new(sink: Arc<dyn MetricSink>, clock: Arc<dyn Clock>) -> Self {
        Self { sink, clock }
    }

    /// Begins a line.
    pub fn of<'a>(&'a self, dimension: Dimension<'a>) -> Measured<'a> {
        Measured { metrics: self, dimension, values: Vec::new(), fields: Map::new() }
    }
}

/// A line that is being put together.
#[must_use = "nothing is measured before it is emitted"]
pub struct Measured<'a> {
    metrics: &'a Metrics,
    dimension: Dimension<'a>,
    values: Vec<(Metric, Vec<u64>)>,
    fields: Map<String, Value>,
}

impl Measured<'_> {
    /// Adds a value.
    pub fn value(self, metric: Metric, value: u64) -> Self {
        self.values(metric, vec![value])
    }

    /// Adds several values of one metric, as many as CloudWatch takes.
    pub fn values(mut self, metric: Metric, mut values: Vec<u64>) -> Self {
        values.truncate(100);
        self.values.push((metric, values));
        self
    }

    /// Adds the time that has gone by since `then`, if that is known.
    pub fn since(self, metric: Metric, then: Option<Timestamp>) -> Self {
        let now = self.metrics.clock.now();
        match then {
            Some(then) => self.value(metric, seconds(now.duration_since(then))),
            None => self,
        }
    }

    /// Adds something to search for.
    pub fn field(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.fields.insert(name.to_owned(), value.to_string().into());
        self
    }

    /// Writes the line; without a value there is none.
    pub fn emit(self) {
        let Self { metrics, dimension, values, fields } = self;
        let values: Vec<_> = values.into_iter().filter(|(_, values)| !values.is_empty()).collect();
        if values.is_empty() {
            return;
        }
        let (dimension, of) = dimension.parts();
        let named: Vec<_> = values
            .iter()
            .map(|(metric, _)| json!({ "Name": format!("{metric:?}"), "Unit": metric.unit() }))
            .collect();
        let mut line = fields;
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": metrics.clock.now().as_millisecond(),
                "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[dimension]], "Metrics": named }],
            }),
        );
        line.insert(dimension.to_owned(), of.into());
        for (metric, values) in values {
            let value = if values.len() == 1 { values[0].into() } else { values.into() };
            line.insert(format!("{metric:?}"), value);
        }
        metrics.sink.write(&Value::from(line).to_string());
    }
}

/// Whole seconds; none where clocks differ.
fn seconds(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_secs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            noon()
        }
    }

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn metrics() -> (Metrics, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        (Metrics::new(kept.clone(), Arc::new(Noon)), kept)
    }

    #[test]
    fn a_line_is_the_embedded_metric_format() {
        let (metrics, kept) = metrics();
        metrics
            .of(Dimension::Connector("qualys-prod"))
            .value(Metric::Received, 40)
            .since(Metric::SyncLag, Some(noon() - SignedDuration::from_mins(2)))
            .field("run", "20261122T120000Z-0001")
            .emit();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_795_348_800_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "vulnrelay",
                    "Dimensions": [["Connector"]],
                    "Metrics": [{ "Name": "Received", "Unit": "Count" }, { "Name": "SyncLag", "Unit": "Seconds" }],
                }],
            },
            "Connector": "qualys-prod", "Received": 40, "SyncLag": 120, "run": "20261122T120000Z-0001",
        });
        assert_eq!(kept.lines(), [expected]);
    }

    #[test]
    fn what_has_no_value_is_no_line() {
        let (metrics, kept) = metrics();
        metrics.of(Dimension::Function("score")).emit();
        metrics.of(Dimension::Feed("kev")).since(Metric::FeedAge, None).emit();
        metrics.of(Dimension::Function("score")).values(Metric::ScoreAge, vec![]).emit();
        assert!(kept.lines().is_empty());
        metrics.of(Dimension::Function("score")).values(Metric::ScoreAge, (0..300).collect()).emit();
        assert_eq!(kept.lines()[0]["ScoreAge"].as_array().unwrap().len(), 100);
        let later = noon() + SignedDuration::from_mins(1);
        metrics.of(Dimension::Feed("kev")).since(Metric::FeedAge, Some(later)).emit();
        assert_eq!(kept.lines()[1]["FeedAge"], 0, "clocks differ");
    }
}
