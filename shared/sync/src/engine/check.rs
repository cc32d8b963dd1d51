//! What is looked at when a connector is tried out, whatever its scanner.

use domain::policy::Connector;
use domain::{CheckLine, Outcome};
use jiff::{SignedDuration, Timestamp};

use crate::error::SyncError;

/// Difference of clocks from which on answers are dated wrongly, and tokens with a time begin to fail.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Whether the address is one of the scanner's maker, and nobody can listen on the way.
pub(super) fn address(connector: &Connector) -> CheckLine {
    let address = &connector.base_url;
    let host = url::Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
    let product = connector.scanner.kind().product;
    let line = |outcome, says: String| CheckLine::new("address", outcome, says);
    let Some(host) = host else {
        return line(Outcome::Bad, format!("{address:?} is not an address: write https://host"));
    };
    if address.starts_with("http://") {
        return line(
            Outcome::Doubtful,
            format!("{address} is not encrypted: credentials can be read on the way"),
        );
    }
    match connector.scanner.knows_host(&host) {
        Some(false) => line(
            Outcome::Doubtful,
            format!(
                "{host} is none of the public platforms of {product}: fine for a private one, otherwise correct base_url"
            ),
        ),
        Some(true) => line(Outcome::Good, format!("{host} is a platform of {product}")),
        None => line(Outcome::Good, format!("{host}, your own")),
    }
}

/// How far the scanner's clock is from ours.
pub(super) fn clock(told: Timestamp, now: Timestamp) -> CheckLine {
    let skew = told.duration_since(now);
    let seconds = skew.as_secs();
    if skew.abs() > SKEW {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        let says =
            format!("its clock is {} s {side} ours: times of findings are off by as much", seconds.abs());
        return CheckLine::new("clock", Outcome::Doubtful, says);
    }
    CheckLine::new("clock", Outcome::Good, format!("{} s apart", seconds.abs()))
}

/// What an error means for what was tried.
pub fn failed(what: &str, error: &SyncError) -> CheckLine {
    let outcome = match error {
        SyncError::Unreachable { .. } | SyncError::Throttled { .. } => Outcome::Unknown,
        _ => Outcome::Bad,
    };
    CheckLine::new(what, outcome, error.to_string())
}

/// What asking for a little of a stream has shown.
pub fn right<T>(stream: &str, asked: Result<T, SyncError>) -> CheckLine {
    match asked {
        Ok(_) => CheckLine::new(stream, Outcome::Good, "may be read"),
        // Both stand for a right that is missing: some scanners deny that there is what one may not see.
        Err(SyncError::Unauthorized { detail, .. }) => CheckLine::new(
            stream,
            Outcome::Bad,
            format!(
                "may not be read ({detail}): give its user the right, or leave the stream out of data_streams"
            ),
        ),
        Err(SyncError::NotFound { what, .. }) => CheckLine::new(
            stream,
            Outcome::Bad,
            format!("{what} is hidden: give its user the right, or leave the stream out of data_streams"),
        ),
        Err(error) => failed(stream, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(scanner: &str, base_url: &str) -> Connector {
        let text = serde_json::json!({ "name": "c", "type": scanner, "base_url": base_url });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn addresses_are_told_apart() {
        let outcome = |scanner, url| address(&connector(scanner, url)).outcome;
        assert_eq!(outcome("qualys", "https://qualysapi.qualys.com"), Outcome::Good);
        assert_eq!(outcome("qualys", "https://qualysapi.private.example"), Outcome::Doubtful);
        assert_eq!(outcome("qualys", "http://qualysapi.qualys.com"), Outcome::Doubtful);
        assert_eq!(outcome("nessus", "https://nessus.corp.example:8834"), Outcome::Good);
        assert_eq!(outcome("nessus", "nessus"), Outcome::Bad);
    }

    #[test]
    fn a_clock_may_be_a_minute_off() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!(clock(now + SignedDuration::from_secs(60), now).outcome, Outcome::Good);
        let behind = clock(now - SignedDuration::from_secs(300), now);
        assert_eq!(behind.outcome, Outcome::Doubtful);
        assert!(behind.says.contains("300 s behind ours"), "{}", behind.says);
    }

    #[test]
    fn who_does_not_answer_is_not_wrong() {
        let system = || "q".to_owned();
        let lost = SyncError::Unreachable {
            system: system(),
            what: "GET /".into(),
            detail: "timed out".into(),
            sent: true,
        };
        assert_eq!(failed("credentials", &lost).outcome, Outcome::Unknown);
        let denied = SyncError::Unauthorized { system: system(), detail: "403".into() };
        let line = right::<()>("compliance", Err(denied));
        assert_eq!((line.what.as_str(), line.outcome), ("compliance", Outcome::Bad));
        assert!(line.says.contains("data_streams"), "{}", line.says);
    }
}
