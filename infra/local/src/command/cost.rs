//! `vulnrelay cost`: what measured units cost, with the sums shown.
//!
//! The file has one summary of `sync --once --json` a line. The first line with findings written is the import; the
//! first later one without is a day on which nothing changed. Both are scaled to a million findings.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use super::files::lines;
use crate::terminal;

/// List prices in US dollars, region us-east-1, on demand, without free tiers (AWS price pages, November 2026).
mod price {
    /// A DynamoDB write unit.
    pub const WRITE_UNIT: f64 = 0.625e-6;
    /// A DynamoDB read unit.
    pub const READ_UNIT: f64 = 0.125e-6;
    /// A GB stored in DynamoDB for a month.
    pub const STORED_GB: f64 = 0.25;
    /// An SQS request; a message takes three: send, receive, delete.
    pub const SQS_REQUEST: f64 = 0.40e-6;
    /// A Lambda invocation.
    pub const INVOCATION: f64 = 0.20e-6;
    /// A GB-second of Lambda on arm64.
    pub const GB_SECOND: f64 = 0.000_013_333_4;
}

/// Findings that the sums are scaled to.
const MILLION: f64 = 1e6;
/// Days of a month.
const DAYS: f64 = 30.0;
/// Memory of the functions, in GB: what the CDK app gives most of them.
const MEMORY_GB: f64 = 0.5;
/// Requests of SQS for one message.
const REQUESTS_PER_MESSAGE: f64 = 3.0;
/// Bytes that DynamoDB adds to each item for its accounting are in the measured size; indexes repeat about half of it.
const INDEX_SHARE: f64 = 0.5;

/// A summary, as far as it costs something.
#[derive(Debug, Deserialize)]
struct Measured {
    connectors: Vec<Connector>,
    messages: Value,
    capacity: Capacity,
    seconds: f64,
    #[serde(default)]
    stored_bytes: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Connector {
    received: f64,
    written: f64,
}

#[derive(Debug, Deserialize)]
struct Capacity {
    read_units: f64,
    write_units: f64,
}

impl Measured {
    fn received(&self) -> f64 {
        self.connectors.iter().map(|c| c.received).sum()
    }

    fn written(&self) -> f64 {
        self.connectors.iter().map(|c| c.written).sum()
    }

    fn sent(&self) -> f64 {
        let of = |(name, count): (&String, &Value)| {
            if name == "dead_letters" { 0.0 } else { count.as_f64().unwrap_or(0.0) }
        };
        self.messages.as_object().map_or(0.0, |queues| queues.iter().map(of).sum())
    }
}

/// One summand.
#[derive(Debug, PartialEq, Serialize)]
struct Line {
    what: &'static str,
    /// Whether the amount was measured, or rests on an assumption that is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed: Option<&'static str>,
    amount: f64,
    usd_each: f64,
    usd: f64,
}

fn line(what: &'static str, amount: f64, usd_each: f64) -> Line {
    Line { what, assumed: None, amount: amount.round(), usd_each, usd: cents(amount * usd_each) }
}

/// Dollars, to a hundredth of a cent.
fn cents(usd: f64) -> f64 {
    (usd * 1e4).round() / 1e4
}

/// The costs of one thing.
#[derive(Debug, Serialize)]
struct Cost {
    of: &'static str,
    findings: f64,
    lines: Vec<Line>,
    total_usd: f64,
}

/// What one summary costs, `times` over.
fn cost(of: &'static str, measured: &Measured, times: f64, stored: Option<Line>) -> Cost {
    let factor = MILLION / measured.received() * times;
    let sent = measured.sent() * factor;
    let busy = "the seconds of the measured machine, at 0.5 GB";
    let mut lines = vec![
        line("DynamoDB write units", measured.capacity.write_units * factor, price::WRITE_UNIT),
        line("DynamoDB read units", measured.capacity.read_units * factor, price::READ_UNIT),
        line("SQS requests", sent * REQUESTS_PER_MESSAGE, price::SQS_REQUEST),
        line("Lambda invocations", sent, price::INVOCATION),
        Line {
            assumed: Some(busy),
            ..line("Lambda GB-seconds", measured.seconds * factor * MEMORY_GB, price::GB_SECOND)
        },
    ];
    lines.extend(stored);
    let total_usd = cents(lines.iter().map(|line| line.usd).sum());
    Cost { of, findings: MILLION, lines, total_usd }
}

/// Prints the costs.
pub fn print(file: &Path) -> Result<(), Failure> {
    let mut measured = Vec::new();
    for line in lines(file)? {
        let (number, text) = line?;
        let one: Measured = serde_json::from_str(&text).map_err(|error| {
            Failure::Input(format!(
                "{}:{number}: not a summary of `vulnrelay sync --once --json`: {error}",
                file.display()
            ))
        })?;
        measured.push(one);
    }
    let costs =
        costs(&measured).map_err(|problem| Failure::Input(format!("{}: {problem}", file.display())))?;
    for cost in costs {
        terminal::title(&format!("{}: {:.2} USD", cost.of, cost.total_usd));
        for line in &cost.lines {
            let assumed = line.assumed.map(|why| format!(" (assumed: {why})")).unwrap_or_default();
            terminal::row(&format!(
                "{:>14.0} {:<22} x {:>12.9} = {:>8.4}{assumed}",
                line.amount, line.what, line.usd_each, line.usd
            ));
        }
        println!("{}", serde_json::to_string(&cost).map_err(Failure::failed)?);
    }
    Ok(())
}

fn costs(measured: &[Measured]) -> Result<Vec<Cost>, &'static str> {
    let import = measured.iter().position(|m| m.written() > 0.0).ok_or(
        "no line has findings written: run `vulnrelay sync --once --json` on a new state first, then once more",
    )?;
    let stored = measured[import].stored_bytes.map(|bytes| {
        let gigabytes = bytes * (1.0 + INDEX_SHARE) / measured[import].received() * MILLION / 1e9;
        Line {
            assumed: Some("indexes repeat half of what is stored"),
            amount: (gigabytes * 1e3).round() / 1e3,
            ..line("GB stored", gigabytes, price::STORED_GB)
        }
    });
    let mut costs = vec![cost("import of a million findings", &measured[import], 1.0, None)];
    if let Some(day) = measured[import..].iter().find(|m| m.written() == 0.0 && m.received() > 0.0) {
        costs.push(cost("a month of daily full pulls of them, unchanged", day, DAYS, stored));
    }
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(written: f64, write_units: f64, stored_bytes: Option<f64>) -> Measured {
        serde_json::from_value(serde_json::json!({
            "connectors": [{ "received": 1_000.0, "written": written }, { "received": 1_000.0, "written": written }],
            "messages": { "score": 8, "sync-qualys": 2, "dead_letters": 5 },
            "capacity": { "read_units": 4_000.0, "write_units": write_units },
            "seconds": 4.0, "stored_bytes": stored_bytes,
        }))
        .unwrap()
    }

    #[test]
    fn units_are_scaled_to_a_million_and_summed() {
        let costs = costs(&[summary(1_000.0, 10_000.0, Some(2e6)), summary(0.0, 0.0, None)]).unwrap();
        let usd: Vec<_> = costs[0].lines.iter().map(|line| (line.what, line.amount, line.usd)).collect();
        assert_eq!(
            usd,
            [
                ("DynamoDB write units", 5e6, 3.125),
                ("DynamoDB read units", 2e6, 0.25),
                ("SQS requests", 15_000.0, 0.006),
                ("Lambda invocations", 5_000.0, 0.001),
                ("Lambda GB-seconds", 1_000.0, 0.0133),
            ]
        );
        assert_eq!(costs[0].total_usd, 3.3953);
        let stored = costs[1].lines.last().unwrap();
        assert_eq!((stored.what, stored.amount, stored.usd), ("GB stored", 1.5, 0.375));
        assert_eq!(costs[1].lines[1].usd, 7.5, "thirty days");
    }

    #[test]
    fn without_an_import_there_is_nothing_to_scale() {
        assert!(costs(&[summary(0.0, 0.0, None)]).is_err());
        assert_eq!(costs(&[summary(1.0, 1.0, None)]).unwrap().len(), 1);
    }
}
