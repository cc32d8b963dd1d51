//! How things are written for people.

use domain::identity::Happened;
use domain::score::Factor;
use domain::sla::directive::Timeline;
use domain::sla::{State, What};
use domain::vulnerability::Exposure;
use domain::{Covered, FindingState, ScanOutcome, Severity, Status};
use jiff::Timestamp;
use store::AuditAction;

/// A name with blanks instead of lines below.
pub(crate) fn stream(name: &str) -> String {
    name.replace('_', " ")
}

/// A share of parts per billion, with as many digits as it deserves.
pub(crate) fn percent(billionths: u32) -> String {
    let percent = f64::from(billionths) / 1e7;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}

/// A number with its thousands set apart.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("−{grouped}") } else { grouped }
}

/// `3 findings`, `1 finding`.
pub(crate) fn plural(number: impl Into<i128>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `2026-11-22 16:53 UTC`.
pub(crate) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `3 h ago`, `in 5 days`.
pub(crate) fn relative(now: Timestamp, at: Timestamp) -> String {
    let seconds = at.duration_since(now).as_secs();
    let length = match seconds.abs() {
        0..60 => return "now".to_owned(),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    };
    if seconds < 0 { format!("{length} ago") } else { format!("in {length}") }
}

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Info => "Info",
    }
}

pub(crate) fn covered(covered: Covered) -> &'static str {
    match covered {
        Covered::Never => "Never scanned",
        Covered::Stale => "Stale",
        Covered::WithoutCredentials => "Without credentials",
        Covered::PartlyCredentialed => "Some logins failed",
        Covered::Untold => "Credentials untold",
        Covered::Well => "With credentials",
    }
}

pub(crate) fn scan(outcome: ScanOutcome) -> &'static str {
    match outcome {
        ScanOutcome::Never => "Never ran",
        ScanOutcome::Unfinished => "Not finished",
        ScanOutcome::Untold => "Not told",
        ScanOutcome::Running => "Running",
        ScanOutcome::Completed => "Completed",
    }
}

pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Created => "Created",
        Status::Identified => "Identified",
        Status::InProgress => "In progress",
        Status::AwaitingValidation => "Awaiting validation",
        Status::Fixed => "Fixed",
        Status::RiskAccepted => "Risk accepted",
        Status::FalsePositive => "False positive",
        Status::Suppressed => "Suppressed",
        Status::Stale => "Stale",
        Status::Gone => "Gone",
    }
}

pub(crate) fn sla(state: State) -> &'static str {
    match state {
        State::OnTrack => "On track",
        State::Approaching => "Approaching",
        State::Overdue => "Overdue",
        State::Met => "Met",
        State::NotTracked => "Not tracked",
        State::NoPolicy => "No deadline",
    }
}

pub(crate) fn finding_state(state: FindingState) -> &'static str {
    match state {
        FindingState::Open => "Open",
        FindingState::Reopened => "Reopened",
        FindingState::Fixed => "Fixed",
        FindingState::Suppressed => "Suppressed",
    }
}

pub(crate) fn factor(factor: Factor) -> &'static str {
    match factor {
        Factor::Severity => "Severity",
        Factor::Exploit => "Exploit availability",
        Factor::Epss => "Likelihood (EPSS)",
        Factor::Threat => "Threat intelligence",
        Factor::Criticality => "Asset criticality",
        Factor::Exposure => "Network exposure",
        Factor::Convergence => "Convergence",
        Factor::ActiveExploitation => "Confirmed exploitation",
    }
}

pub(crate) fn exposure(exposure: Exposure) -> &'static str {
    match exposure {
        Exposure::Internet => "from the internet",
        Exposure::Partner => "from partners",
        Exposure::Internal => "from inside",
        Exposure::Isolated => "from nowhere",
    }
}

pub(crate) fn audit(action: AuditAction) -> &'static str {
    match action {
        AuditAction::Decided => "decided",
        AuditAction::TookBackDecision => "took a decision back",
        AuditAction::ApprovedRun => "approved the closings of a run",
        AuditAction::AskedForCheck => "had a connector tried out",
        AuditAction::AskedForSync => "asked for a full pull",
        AuditAction::CreatedToken => "created an API token",
        AuditAction::RevokedToken => "revoked an API token",
        AuditAction::MergedAssets => "merged two assets",
        AuditAction::PartedAssets => "undid a merge",
        AuditAction::SplitAsset => "split an asset",
        AuditAction::KeptApart => "keeps two assets apart",
        AuditAction::JudgedIdentifier => "judged an identifier",
        AuditAction::ImportedInventory => "imported an inventory",
        AuditAction::ImportedFirewall => "imported firewall rules",
        AuditAction::ReplayedDelivery => "had a delivery tried anew",
    }
}

pub(crate) fn event(what: &What) -> String {
    match what {
        What::Detected { severity, awaiting_promotion: true, .. } => {
            format!("Detected as {severity}, not promoted yet")
        }
        What::Detected { severity, .. } => format!("Detected as {severity}"),
        What::Promoted => "Promoted to a vulnerability".to_owned(),
        What::SeverityChanged { severity } => format!("Severity is now {severity}"),
        What::CriticalityChanged { criticality: Some(level) } => {
            format!("Criticality of the asset is now {} of 5", level.level())
        }
        What::CriticalityChanged { criticality: None } => {
            "Criticality of the asset is no longer known".to_owned()
        }
        What::KevListed { due, .. } => {
            format!("Listed as known exploited by CISA, due {}", due.strftime("%Y-%m-%d"))
        }
        What::Directed(Timeline { days: Some(days), forensic }) => {
            let traces = if *forensic { ", with traces of an attack to be secured first" } else { "" };
            format!("BOD 26-04 gives {days} days{traces}")
        }
        What::Directed(Timeline { days: None, .. }) => "BOD 26-04 asks for no date".to_owned(),
        What::Accepted { until: Some(until) } => format!("Risk accepted until {}", utc(*until)),
        What::Accepted { until: None } => "Risk accepted".to_owned(),
        What::Expired => "The acceptance ended".to_owned(),
        What::Paused { until: Some(until) } => format!("Paused until {}", utc(*until)),
        What::Paused { until: None } => "Paused".to_owned(),
        What::Resumed => "Resumed".to_owned(),
        What::Fixed => "Fixed, on evidence".to_owned(),
        What::Reopened => "Reopened: seen again".to_owned(),
        What::FalsePositive => "Judged a false positive".to_owned(),
    }
}

/// What happened between an asset and the one that is named next.
pub(crate) fn happened(what: Happened) -> &'static str {
    match what {
        Happened::Absorbed => "became one with",
        Happened::Merged => "turned out to be",
        Happened::Parted => "is not",
        Happened::Left => "a sighting went to",
        Happened::Came => "a sighting came from",
        Happened::Superseded => "its place was taken by",
        Happened::Supersedes => "took the place of",
    }
}

/// A feed, as its makers call it.
pub fn feed(name: &str) -> &str {
    match name {
        "kev" => "CISA KEV",
        "epss" => "EPSS",
        "exploitdb" => "Exploit-DB",
        "metasploit" => "Metasploit",
        "vulnrichment" => "CISA Vulnrichment",
        "nvd" => "NVD",
        "vulncheck" => "VulnCheck KEV",
        "misp" => "MISP",
        "mandiant" => "Mandiant",
        "recordedfuture" => "Recorded Future",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(count(1_234_567_i64), "1\u{202f}234\u{202f}567");
        assert_eq!(count(-12_i64), "−12");
        assert_eq!(plural(1_i64, "run", "runs"), "1 run");
        assert_eq!(percent(975_650_000), "98 %");
        assert_eq!(percent(420_000), "0.04 %");
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |text: &str| relative(now, text.parse().unwrap());
        assert_eq!(at("2026-11-22T11:59:30Z"), "now");
        assert_eq!(at("2026-11-22T11:15:00Z"), "45 min ago");
        assert_eq!(at("2026-11-23T13:00:00Z"), "in 25 h");
        assert_eq!(at("2026-12-01T12:00:00Z"), "in 9 days");
    }
}
