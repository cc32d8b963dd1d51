//! Until when a system asks to be left alone.

use jiff::{SignedDuration, Timestamp};

/// Asked again at once, it would refuse again.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// Whoever names a later time is asked again after a day, and may repeat it.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// The header `Retry-After` (RFC 9110, 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so many seconds.
    Seconds(i64),
    /// Not before this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header; `None` where it holds neither seconds nor a date.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Self::Seconds(value.parse().unwrap_or(i64::MAX)));
        }
        http_date(value).map(Self::At)
    }

    /// When to ask again: a second from now at the earliest, a day from now at the latest.
    pub fn until(self, now: Timestamp) -> Timestamp {
        let wait = match self {
            Self::Seconds(seconds) => SignedDuration::from_secs(seconds),
            Self::At(time) => time.duration_since(now),
        };
        now.saturating_add(wait.clamp(SHORTEST, LONGEST)).unwrap_or(Timestamp::MAX)
    }
}

/// A date as HTTP writes it: `Tue, 26 Aug 2025 15:00:00 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let at = http_date("Tue, 26 Aug 2025 15:00:00 GMT").unwrap();
        assert_eq!(at.to_string(), "2025-08-26T15:00:00Z");
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn seconds_and_dates_lead_to_the_same_time_and_neither_too_early_nor_too_late() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("600", 600),
            (" 7 ", 7),
            ("Sun, 22 Nov 2026 00:10:00 GMT", 600),
            ("0", 1),
            ("Sat, 21 Nov 2026 23:00:00 GMT", 1),
            ("90000", 86_400),
            ("99999999999999999999", 86_400),
            ("Fri, 01 Jan 9999 00:00:00 GMT", 86_400),
        ] {
            let until = RetryAfter::parse(value).map(|after| after.until(now));
            assert_eq!(until, Some(now + SignedDuration::from_secs(seconds)), "{value:?}");
        }
        for value in ["", "soon", "-5", "1.5", "2026-11-22T00:10:00Z"] {
            assert_eq!(RetryAfter::parse(value), None, "{value:?}");
        }
    }
}
