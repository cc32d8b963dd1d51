//! The first page.

use jiff::Timestamp;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::{Day, Overview, VulnerabilityRow};
use crate::words;

/// A running pull is shown as it goes on.
const REFRESH_SECONDS: u32 = 2;
/// A feed that is older is told as old. KEV and Exploit-DB rest over a long weekend.
const OLD_FEED_HOURS: i64 = 96;

pub(crate) fn page(data: &Overview, view: &View<'_>, live: bool) -> Markup {
    let now = data.at;
    let content = html! {
        h1 { "Overview" }
        @if data.live {
            p.live role="status" {
                "A pull is running. "
                @if live { "This page follows it. " a href="/?live=off" { "Hold still" } }
                @else { a href="/" { "Follow it" } }
            }
        }
        section.cards aria-label="At a glance" {
            div.card.wide {
                h2 { "Open" }
                p.figure { (words::count(data.open.total())) }
                (parts::by_severity(&data.open))
            }
            div.card {
                h2 { "Overdue" }
                p.figure.late[data.open.overdue > 0] { (words::count(data.open.overdue)) }
                p.quiet { "of " (words::plural(data.open.total(), "open one", "open ones")) }
                p { a href="/vulnerabilities?overdue=1" { "Show them" } }
            }
            div.card {
                h2 { "Exploited in the wild" }
                p.figure.late[data.exploited.count > 0] {
                    @if data.exploited.at_least { span.hidden { "at least " } }
                    (data.exploited.count) @if data.exploited.at_least { span aria-hidden="true" { "+" } }
                }
                p.quiet { "listed in CISA's catalogue" }
                p { a href="/vulnerabilities?exploited=1" { "Show them" } }
            }
            div.card {
                h2 { "Time to fix" }
                p.figure { @match data.time_to_fix.median_days_at_most {
                    Some(days) => { "≤ " (words::plural(days, "day", "days")) },
                    None if data.time_to_fix.fixed > 0 => { "> 180 days" },
                    None => { "–" },
                } }
                p.quiet { "median of " (words::count(data.time_to_fix.fixed)) " fixed in 14 days" }
            }
        }
        (section("top", "Do first", "The highest scores", &data.top, now,
            html! { p.empty { "Nothing urgent is open. " a href="/runs" { "See whether the scanners were read" } "." } }))
        @if data.exploited.count > 0 {
            (section("exploited", "Exploited in the wild", "Exploited in the wild, with deadlines", &data.exploited.rows, now, html! {}))
        }
        (section("overdue", "Overdue", "Overdue among the highest scores", &data.overdue, now, html! {
            @if data.open.overdue > 0 {
                p.empty { "None of the highest scores is overdue. " a href="/vulnerabilities?overdue=1" { "Show all that are" } "." }
            } @else { p.empty { "Nothing is overdue." } }
        }))
        div.columns {
            section aria-labelledby="days" { h2 #days { "Last 14 days" } (trend(&data.days)) }
            section aria-labelledby="teams" { h2 #teams { "Owners" } (owners(data)) }
        }
        section aria-labelledby="connectors" { h2 #connectors { "Connectors" } (connectors(data, now, view)) }
        div.columns {
            section aria-labelledby="feeds" { h2 #feeds { "Feeds" } (feeds(data, now)) }
            section aria-labelledby="deliveries" { h2 #deliveries { "Deliveries" } (deliveries(data)) }
        }
    };
    let refresh = (data.live && live).then_some(REFRESH_SECONDS);
    Frame { tab: Tab::Overview, title: "Overview", refresh, view }.around(&content)
}

fn section(
    id: &str,
    title: &str,
    caption: &str,
    rows: &[VulnerabilityRow],
    now: Timestamp,
    empty: Markup,
) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            @if rows.is_empty() { (empty) } @else { (parts::vulnerabilities(caption, rows, now)) }
        }
    }
}

/// Opened above the line, fixed below it; the table says the same in numbers.
fn trend(days: &[Day]) -> Markup {
    let most =
        days.iter().map(|day| (day.opened + day.reopened).max(day.fixed)).max().unwrap_or(0).max(1) as f64;
    let height = |count: i64| 36.0 * count.max(0) as f64 / most;
    html! {
        svg.trend viewBox="0 0 280 84" role="img" aria-label="Opened and fixed per day; the table below has the numbers" {
            @for (i, day) in days.iter().enumerate() {
                @let (up, down) = (height(day.opened + day.reopened), height(day.fixed));
                rect.opened x=(i * 20 + 3) y=(format!("{:.1}", 40.0 - up)) width="14" height=(format!("{up:.1}")) {}
                rect.fixed x=(i * 20 + 3) y="44" width="14" height=(format!("{down:.1}")) {}
            }
            line x1="0" y1="42" x2="280" y2="42" {}
        }
        p.legend { span.key.opened {} " opened " span.key.fixed {} " fixed" }
        details {
            summary { "Numbers" }
            table {
                caption { "Opened, reopened and fixed per day" }
                thead { tr { th scope="col" { "Day" } th scope="col" { "Opened" } th scope="col" { "Reopened" } th scope="col" { "Fixed" } } }
                tbody {
                    @for day in days.iter().rev() {
                        tr {
                            th scope="row" { (day.day) }
                            td.number { (words::count(day.opened)) }
                            td.number { (words::count(day.reopened)) }
                            td.number { (words::count(day.fixed)) }
                        }
                    }
                }
            }
        }
    }
}

fn owners(data: &Overview) -> Markup {
    html! {
        @if data.owners.is_empty() {
            p.empty { "No asset is known yet. Owners come from " code { "ownership" } " in the configuration." }
        } @else {
            div.scroll { table {
                caption { "Open by owner" }
                thead { tr {
                    th scope="col" { "Owner" } th scope="col" { "Open" } th scope="col" { "Critical" }
                    th scope="col" { "High" } th scope="col" { "Overdue" } th scope="col" { "Assets" }
                } }
                tbody { @for row in &data.owners {
                    tr {
                        th scope="row" { a href=(parts::with_query("/vulnerabilities", [("owner", row.owner.as_str())])) { (row.owner) } }
                        td.number { (words::count(row.open.total())) }
                        td.number { (words::count(row.open.critical)) }
                        td.number { (words::count(row.open.high)) }
                        td.number { span.late[row.open.overdue > 0] { (words::count(row.open.overdue)) } }
                        td.number { a href=(parts::with_query("/assets", [("owner", row.owner.as_str())])) { (words::count(row.open.assets)) } }
                    }
                } }
            } }
        }
    }
}

fn connectors(data: &Overview, now: Timestamp, view: &View<'_>) -> Markup {
    html! {
        @if data.connectors.is_empty() {
            p.empty { "No scanner is configured. Add one under " code { "connectors" } " in the configuration." }
        }
        div.cards {
            @for connector in &data.connectors {
                div.card.wide {
                    h3 { a href=(parts::with_query("/runs", [("connector", connector.name.as_str())])) { (connector.name) } " " span.quiet { (connector.scanner) } }
                    @match &connector.run {
                        Some(run) => {
                            p { (parts::run_state(run)) " " span.quiet { (parts::time(run.ended_at.unwrap_or(run.started_at), now)) } }
                            p { (parts::progress(run)) }
                            p.small { (parts::counted(run)) }
                            @if let Some(reason) = &run.reason { p.small { (reason) } }
                            (parts::approve(connector.name.as_str(), run, view))
                        },
                        None if !connector.pulled => p.empty { "Its findings arrive as events or files." },
                        None => p.empty { "Not read yet." },
                    }
                    @if connector.pulled { (parts::sync_now(connector.name.as_str(), view)) }
                }
            }
        }
        @if data.connectors_total > data.connectors.len() {
            p { a href="/runs" { "All " (data.connectors_total) " connectors" } }
        }
    }
}

fn feeds(data: &Overview, now: Timestamp) -> Markup {
    html! {
        table {
            caption { "How old each feed is" }
            thead { tr { th scope="col" { "Feed" } th scope="col" { "As of" } th scope="col" { "CVEs" } } }
            tbody { @for feed in &data.feeds {
                tr {
                    th scope="row" { (words::feed(feed.name)) }
                    td {
                        @match feed.as_of {
                            Some(at) => {
                                (parts::time(at, now))
                                @if now.duration_since(at).as_hours() >= OLD_FEED_HOURS { " " span.soon { "old" } }
                            },
                            None => span.soon { "not read yet" },
                        }
                        @if let Some(problem) = &feed.problem { div.small { (problem) } }
                    }
                    td.number { (words::count(feed.count)) }
                }
            } }
        }
    }
}

fn deliveries(data: &Overview) -> Markup {
    let d = &data.deliveries;
    html! {
        @if d.newest == 0 {
            p.empty { "Nothing was sent today or yesterday." }
        } @else {
            p { "Of the newest " (d.newest) ":" }
            ul.plain {
                li { (d.sent) " sent" }
                li { span.soon[d.held > 0] { (d.held) " held" } " by a budget" }
                li { span.late[d.failed > 0] { (d.failed) " failed" } }
                li { span.soon[d.unconfirmed > 0] { (d.unconfirmed) " unconfirmed" } }
            }
        }
        p { a href="/deliveries" { "All deliveries" } }
    }
}
