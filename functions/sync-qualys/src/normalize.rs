//! From the bytes of one Qualys record to our types. Pure: no network, no clock.

mod detection;
mod global_asset;
mod host;
mod lists;
mod posture;
mod report;
mod rule;

pub use detection::detection;
pub use global_asset::global_asset;
pub use host::{host, host_asset};
pub use lists::{MOST_IDS, asset_group, ids, policy, tag};
pub use posture::{Control, Posture, control, posture};
pub use report::{report_detail, report_finding};
pub use rule::rule;

use domain::Severity;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Qualys severity 1 to 5, as a number or as its word (`qualys_severity` of Qualys' own Splunk add-on). Anything else is
/// medium: neither hidden nor an alarm, and the raw value stays beside it.
fn severity(raw: &str) -> Severity {
    match raw.trim().to_ascii_lowercase().as_str() {
        "5" | "urgent" => Severity::Critical,
        "4" | "critical" => Severity::High,
        "3" | "serious" => Severity::Medium,
        "2" | "medium" => Severity::Low,
        "1" | "minimal" => Severity::Info,
        _ => Severity::Medium,
    }
}

/// A time as Qualys writes it: RFC 3339, or without a zone, which is UTC. Anything else is unknown.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Some(time) = sync::lenient::moment(text) {
        return Some(time);
    }
    let local =
        text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|day| day.at(0, 0, 0, 0))).ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `1` and `true` are yes.
fn yes(text: &str) -> bool {
    matches!(text.trim(), "1" | "true" | "TRUE" | "yes")
}

/// A text that says something.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Adds what is not empty and not there yet.
fn add(list: &mut Vec<String>, text: &str) {
    if !text.is_empty() && !list.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        list.push(text.to_owned());
    }
}

/// A QID: digits, nothing else.
fn qid(text: &str) -> Option<domain::RuleId> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| domain::RuleId::new(text))
}

/// A CVSS score as Qualys writes it: a number or a text, the vector with or without its prefix, the version as `3.1`,
/// `v3.1` or `v3.x`. Zero without a vector means that there is none.
fn cvss(score: &str, vector: &str, version: &str) -> Option<domain::Cvss> {
    let score = domain::finding::Tenths::from_f64(score.trim().parse().ok()?)?;
    let vector = vector.trim();
    if score.0 == 0 && vector.is_empty() {
        return None;
    }
    let (prefix, metrics) = match vector.strip_prefix("CVSS:").and_then(|rest| rest.split_once('/')) {
        Some((version, metrics)) => (Some(version), metrics),
        None => (None, vector.trim_start_matches('(').trim_end_matches(')')),
    };
    let version = prefix.unwrap_or(version.trim().trim_start_matches(['v', 'V']));
    let version = match version {
        "2" | "2.0" | "2.x" => "2.0",
        "3.0" => "3.0",
        "3.1" => "3.1",
        "4" | "4.0" | "4.x" => "4.0",
        "3" | "3.x" => "3",
        // A vector tells its own standard: only version 2 has an authentication metric, only version 4 an `AT`.
        _ if metrics.contains("Au:") => "2.0",
        _ if metrics.contains("/AT:") => "4.0",
        _ => "3",
    };
    let vector = (!metrics.is_empty()).then(|| match version {
        "2.0" | "3" => metrics.to_owned(),
        version => format!("CVSS:{version}/{metrics}"),
    });
    Some(domain::Cvss { version: version.to_owned(), score, vector })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_13_severities_are_numbers_or_words() {
        let map = ["5", "4", "3", "2", "1"].map(severity);
        assert_eq!(
            map,
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
        );
        assert_eq!(severity("Urgent"), Severity::Critical);
        for unknown in ["", "6", "0", "-1", "severe"] {
            assert_eq!(severity(unknown), Severity::Medium, "{unknown}");
        }
    }

    #[test]
    fn times_are_utc() {
        let expected = "2026-11-22T10:00:00Z".parse().ok();
        for text in [
            "2026-11-22T10:00:00Z",
            "2026-11-22T10:00:00",
            "2026-11-22 10:00:00",
            "2026-11-22T11:00:00+01:00",
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time("2026-11-22"), "2026-11-22T00:00:00Z".parse().ok());
        for text in ["", "N/A", "11/22/2026", "2026-13-01T00:00:00Z"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn pitfall_18_cvss_vectors_get_their_prefix_back() {
        let shown = |score: &str, vector: &str, version: &str| {
            cvss(score, vector, version)
                .map(|c| format!("{} {} {}", c.version, c.score, c.vector.unwrap_or_default()))
        };
        let v3 = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(shown("9.8", v3, "v3.1"), Some(format!("3.1 9.8 CVSS:3.1/{v3}")));
        assert_eq!(shown("9.8", &format!("CVSS:3.0/{v3}"), ""), Some(format!("3.0 9.8 CVSS:3.0/{v3}")));
        assert_eq!(shown("9.8", v3, "v3.x"), Some(format!("3 9.8 {v3}")), "which 3 is not known");
        assert_eq!(
            shown("7.5", "CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:P/A:P", ""),
            Some("2.0 7.5 AV:N/AC:L/Au:N/C:P/I:P/A:P".into())
        );
        assert_eq!(
            shown("7.5", "(AV:N/AC:L/Au:N/C:P/I:P/A:P)", ""),
            Some("2.0 7.5 AV:N/AC:L/Au:N/C:P/I:P/A:P".into())
        );
        assert_eq!(shown("5", "", "4.0"), Some("4.0 5.0 ".into()));
        for none in ["", "n/a", "0", "0.0", "11", "-1", "NaN"] {
            assert_eq!(shown(none, "", "3.1"), None, "{none}");
        }
    }
}
