//! From the bytes of one element of a `.nessus` file to our types. Pure: no network, no clock.

mod host;
mod item;
mod policy;

pub use host::{Described, Met, by_target, properties};
pub use item::{Item, Wanted, item};
pub use policy::{Preference, preference};

use domain::Severity;
use domain::finding::Tenths;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// `severity` 0 to 4. It follows the CVSS basis that the server is set to, `risk_factor` does not: never computed again.
/// Anything else is medium: neither hidden nor an alarm, and the raw value stays beside it.
fn severity(raw: &str) -> Severity {
    match raw.trim() {
        "4" => Severity::Critical,
        "3" => Severity::High,
        "2" => Severity::Medium,
        "1" => Severity::Low,
        "0" => Severity::Info,
        _ => Severity::Medium,
    }
}

/// Seconds since 1970.
fn epoch(text: &str) -> Option<Timestamp> {
    let seconds: i64 = text.trim().parse().ok().filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok()
}

/// `Mon Jan  1 10:07:33 2024`, which is the server's local time and does not say so: read as UTC, it is off by at most
/// 14 hours.
fn local(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, time, year] = words[..] else { return None };
    let month = month.get(..3)?.to_ascii_lowercase();
    let month = i8::try_from(MONTHS.iter().position(|name| **name == month)?).ok()? + 1;
    let date = Date::new(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    utc(date.to_datetime(time.parse::<Time>().ok()?))
}

/// `2024/01/31`, of a plugin.
fn day(text: &str) -> Option<Timestamp> {
    sync::lenient::date(text.trim())
}

fn utc(time: DateTime) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(time).ok()
}

/// A number, where it is one.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A text that says something.
fn some(text: &str) -> Option<String> {
    says_something(text).then(|| text.to_owned())
}

/// Nessus writes `n/a` where there is nothing to say.
fn says_something(text: &str) -> bool {
    !text.is_empty() && !text.eq_ignore_ascii_case("n/a")
}

/// A score with its vector, which comes as `CVSS2#AV:…`, `CVSS:3.0/AV:…`, or without either. Zero without a vector means
/// that there is none.
fn cvss(major: &str, score: &str, vector: &str) -> Option<domain::Cvss> {
    let score = Tenths::from_f64(number(score)?)?;
    let vector = vector.trim().trim_start_matches('(').trim_end_matches(')');
    let vector = vector.split_once('#').map_or(vector, |(_, metrics)| metrics);
    if score.0 == 0 && vector.is_empty() {
        return None;
    }
    let (version, metrics) = match vector.strip_prefix("CVSS:").and_then(|rest| rest.split_once('/')) {
        Some((version @ ("3.0" | "3.1" | "4.0"), metrics)) => (version, metrics),
        Some((_, metrics)) => (major, metrics),
        None => (major, vector),
    };
    let vector = (!metrics.is_empty()).then(|| match version {
        "3.0" | "3.1" | "4.0" => format!("CVSS:{version}/{metrics}"),
        _ => metrics.to_owned(),
    });
    Some(domain::Cvss { version: version.to_owned(), score, vector })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_nessus_own() {
        let map = ["4", "3", "2", "1", "0"].map(severity);
        assert_eq!(
            map,
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
        );
        for unknown in ["", "5", "-1", "high"] {
            assert_eq!(severity(unknown), Severity::Medium, "{unknown}");
        }
    }

    #[test]
    fn times_are_read_in_all_their_shapes() {
        let expected = "2024-01-01T10:07:33Z".parse().ok();
        assert_eq!(epoch("1704103653"), expected);
        assert_eq!(local("Mon Jan 01 10:07:33 2024"), expected);
        assert_eq!(local("Mon Jan  1 10:07:33 2024"), expected);
        assert_eq!(day("2024/01/31"), "2024-01-31T00:00:00Z".parse().ok());
        for text in ["", "0", "-5", "soon", "99999999999999999"] {
            assert_eq!(epoch(text), None, "{text}");
        }
        for text in ["", "Mon Jan 32 10:07:33 2024", "Mon Xxx 01 10:07:33 2024", "Jan 01 2024", "é é é é é"]
        {
            assert_eq!(local(text), None, "{text}");
        }
        assert_eq!(day("01/31/2024"), None);
    }

    #[test]
    fn pitfall_18_cvss_vectors_come_with_and_without_a_prefix() {
        let shown = |major: &str, score: &str, vector: &str| {
            cvss(major, score, vector)
                .map(|c| format!("{} {} {}", c.version, c.score, c.vector.unwrap_or_default()))
        };
        let v3 = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(shown("3", "9.8", &format!("CVSS:3.0/{v3}")), Some(format!("3.0 9.8 CVSS:3.0/{v3}")));
        assert_eq!(shown("3", "9.8", &format!("CVSS:3.1/{v3}")), Some(format!("3.1 9.8 CVSS:3.1/{v3}")));
        assert_eq!(shown("3", "9.8", v3), Some(format!("3 9.8 {v3}")), "which 3 is not known");
        let v2 = "AV:N/AC:L/Au:N/C:P/I:P/A:P";
        assert_eq!(shown("2.0", "7.5", &format!("CVSS2#{v2}")), Some(format!("2.0 7.5 {v2}")));
        assert_eq!(shown("2.0", "7.5", v2), Some(format!("2.0 7.5 {v2}")));
        let v4 = "AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(shown("4.0", "9.3", &format!("CVSS:4.0/{v4}")), Some(format!("4.0 9.3 CVSS:4.0/{v4}")));
        assert_eq!(shown("4.0", "9.3", v4), Some(format!("4.0 9.3 CVSS:4.0/{v4}")));
        for none in ["", "0", "0.0", "11", "-1", "NaN", "n/a"] {
            assert_eq!(shown("3", none, ""), None, "{none}");
        }
    }
}
