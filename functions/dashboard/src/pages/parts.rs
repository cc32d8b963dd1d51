//! Pieces that several pages are made of.

use domain::sla::State;
use domain::{Role, Severity, Status};
use jiff::Timestamp;
use maud::{Markup, html};
use store::{OpenCounts, RunStatus, Verdict};
use url::form_urlencoded;

use super::View;
use crate::data::{Reason, RunRow, VulnerabilityRow};
use crate::words;

/// A severity as a word on its colour.
pub(super) fn severity(severity: Severity) -> Markup {
    html! { span.badge.(severity.as_str()) { (words::severity(severity)) } }
}

pub(super) fn status(status: Status) -> Markup {
    html! { span.tag { (words::status(status)) } }
}

/// A deadline and how it stands.
pub(super) fn deadline(state: State, due: Option<Timestamp>, now: Timestamp) -> Markup {
    let class = match state {
        State::Overdue => "late",
        State::Approaching => "soon",
        _ => "calm",
    };
    html! {
        span.(class) { (words::sla(state)) }
        @if let Some(due) = due { " " span.when { (time(due, now)) } }
    }
}

/// A moment: how far away in words, exactly for the mouse and for machines.
pub(super) fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(words::utc(at)) { (words::relative(now, at)) } }
}

/// A moment, exactly, and how far away.
pub(super) fn full_time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) { (words::utc(at)) } " " span.quiet { "(" (words::relative(now, at)) ")" } }
}

/// A share of a whole as a bar. The number beside it says the same.
pub(super) fn bar(part: u64, whole: u64, class: &str) -> Markup {
    let width = if whole == 0 { 0.0 } else { 100.0 * part.min(whole) as f64 / whole as f64 };
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="6" {}
            rect.(class) width=(format!("{width:.2}")) height="6" {}
        }
    }
}

/// What is open by severity: one bar of five parts, and the numbers.
pub(super) fn by_severity(open: &OpenCounts) -> Markup {
    let total = open.total().max(1) as f64;
    let mut x = 0.0;
    let parts: Vec<(Severity, f64, f64)> = Severity::ALL
        .into_iter()
        .map(|severity| {
            let width = 100.0 * open.of(severity).max(0) as f64 / total;
            x += width;
            (severity, x - width, width)
        })
        .collect();
    html! {
        svg.bar.stacked viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="6" {}
            @for (severity, x, width) in &parts {
                rect.(severity.as_str()) x=(format!("{x:.2}")) width=(format!("{width:.2}")) height="6" {}
            }
        }
        ul.figures {
            @for severity in Severity::ALL {
                li {
                    a href={ "/vulnerabilities?severity=" (severity.as_str()) } {
                        span.number { (words::count(open.of(severity))) }
                        " " (self::severity(severity))
                    }
                }
            }
        }
    }
}

pub(super) fn reasons(reasons: &[Reason]) -> Markup {
    html! {
        ul.reasons {
            @for reason in reasons { li { (reason.words) " " span.points { "+" (reason.points) } } }
        }
    }
}

/// Its tickets, each after a separator.
pub(super) fn tickets(row: &VulnerabilityRow) -> Markup {
    html! {
        @for ticket in row.ticket.iter().chain(&row.other_tickets) {
            " · ticket "
            @if ticket.url.starts_with("https://") || ticket.url.starts_with("http://") {
                a href=(ticket.url) rel="noreferrer" { (ticket.key) }
            } @else { (ticket.key) }
        }
    }
}

/// The address of a vulnerability's page.
pub(super) fn address(row: &VulnerabilityRow) -> String {
    format!("/vulnerabilities/{}/{}", row.asset, row.id)
}

/// A table of vulnerabilities.
pub(super) fn vulnerabilities(caption: &str, rows: &[VulnerabilityRow], now: Timestamp) -> Markup {
    html! {
        div.scroll {
            table.list {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Score" }
                        th scope="col" { "Vulnerability" }
                        th scope="col" { "Severity" }
                        th scope="col" { "Status" }
                        th scope="col" { "Deadline" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            td.number data-label="Score" { strong { (row.score) } }
                            th scope="row" {
                                a href=(address(row)) { (row.title) }
                                @if row.exploited { " " span.badge.exploited { "Exploited" } }
                                div.quiet {
                                    a href={ "/assets/" (row.asset) } {
                                        @if row.asset_name.is_empty() { (row.asset) } @else { (row.asset_name) }
                                    }
                                    @if !row.owner.is_empty() { " · " (row.owner) }
                                    @if let Some(cve) = row.cves.first() { " · " (cve) }
                                    @if row.cves.len() > 1 { " and " (row.cves.len() - 1) " more" }
                                    @if let Some(ticket) = &row.ticket { " · " (ticket.key) }
                                }
                            }
                            td data-label="Severity" { (severity(row.severity)) }
                            td data-label="Status" { (status(row.status)) }
                            td data-label="Deadline" { (deadline(row.sla, row.due, now)) }
                            td data-label="Why" { (reasons(&row.reasons)) }
                        }
                    }
                }
            }
        }
    }
}

/// Where a run stands, in a word.
pub(super) fn run_state(run: &RunRow) -> Markup {
    let (class, text) = match (run.status, run.verdict) {
        (RunStatus::Held, _) => ("soon", "waits for approval"),
        (RunStatus::Running, None) => ("calm", "running"),
        (RunStatus::Running, Some(_)) => ("calm", "finishing"),
        (RunStatus::Done, Some(Verdict::Complete)) => ("good", "complete"),
        (RunStatus::Done, Some(Verdict::Failed)) => ("late", "failed"),
        (RunStatus::Done, Some(verdict)) => ("soon", verdict.as_str()),
        (RunStatus::Done, None) => ("calm", "done"),
    };
    html! { span.(class) { (text) } }
}

/// How far a run is.
pub(super) fn progress(run: &RunRow) -> Markup {
    html! {
        (bar(run.units_done, run.units, "done"))
        span.quiet { (words::count(run.units_done)) " of " (words::plural(run.units, "unit", "units")) }
        @if run.units_failed > 0 { " " span.late { (words::count(run.units_failed)) " given up" } }
    }
}

/// What a run has counted.
pub(super) fn counted(run: &RunRow) -> Markup {
    let counts = &run.counts;
    html! {
        (words::plural(counts.hosts, "host", "hosts")) ", "
        (words::plural(counts.received, "finding", "findings")) ": "
        (words::count(counts.opened)) " new, " (words::count(counts.closed)) " closed, "
        (words::count(counts.unchanged)) " as before"
        @if counts.refused > 0 { ", " span.late { (words::count(counts.refused)) " unreadable" } }
    }
}

/// The button that lets a held run go on.
pub(super) fn approve(connector: &str, run: &RunRow, view: &View<'_>) -> Markup {
    html! {
        @if run.status == RunStatus::Held && view.may(Role::Admin) {
            form.inline method="post" action={ "/api/runs/" (connector) "/" (run.id) "/approve" }
                enctype="application/x-www-form-urlencoded" {
                button type="submit" { "Approve " (words::count(run.counts.closed)) " closings" }
            }
        }
    }
}

/// The button that pulls everything now.
pub(super) fn sync_now(connector: &str, view: &View<'_>) -> Markup {
    html! {
        @if view.may(Role::Analyst) {
            form.inline method="post" action={ "/api/connectors/" (connector) "/sync" }
                enctype="application/x-www-form-urlencoded" {
                button.second type="submit" { "Sync now" span.hidden { " " (connector) } }
            }
        }
    }
}

/// The button that tries a connector out.
pub(super) fn check_now(connector: &str, view: &View<'_>) -> Markup {
    html! {
        @if view.may(Role::Analyst) {
            form.inline method="post" action={ "/api/connectors/" (connector) "/check" }
                enctype="application/x-www-form-urlencoded" {
                button.second type="submit" { "Try out" span.hidden { " " (connector) } }
            }
        }
    }
}

/// An address with parameters.
pub(super) fn with_query<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{path}?{query}")
}
