//! Connectors and their runs.

use domain::{Check, CheckLine};
use jiff::Timestamp;
use maud::{Markup, html};
use store::RunStatus;

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::{ConnectorRuns, RunList, RunRow};
use crate::words;

/// Seconds until a page with a running pull loads itself again.
const REFRESH_SECONDS: u32 = 5;

pub(crate) fn page(data: &RunList, view: &View<'_>) -> Markup {
    let live = data.connectors.iter().flat_map(|c| &c.runs).any(|run| run.status == RunStatus::Running);
    let content = html! {
        h1 { "Runs" }
        @if data.names.is_empty() {
            p.empty { "No scanner is configured. Add one under " code { "connectors" } " in the configuration." }
        }
        @if data.names.len() > 1 {
            nav.pages aria-label="Connectors" {
                a href="/runs" { "All" }
                @for name in &data.names { " " a href=(parts::with_query("/runs", [("connector", name.as_str())])) { (name) } }
            }
        }
        @for connector in &data.connectors { (section(connector, data.at, view)) }
    };
    Frame { tab: Tab::Runs, title: "Runs", refresh: live.then_some(REFRESH_SECONDS), view }.around(&content)
}

fn section(connector: &ConnectorRuns, now: Timestamp, view: &View<'_>) -> Markup {
    let name = connector.name.as_str();
    html! {
        section aria-labelledby={ "c-" (name) } {
            h2 id={ "c-" (name) } { (name) " " span.quiet { (connector.scanner) } }
            @if connector.pulled { (parts::sync_now(name, view)) (parts::check_now(name, view)) }
            @if let Some(check) = &connector.check { (found(check, now)) }
            @if !connector.pulled && connector.runs.is_empty() {
                p.empty { "Its findings arrive as events or files." }
            } @else if connector.runs.is_empty() {
                p.empty { "Not read yet. The schedule starts the first run; Sync now does not wait for it." }
            } @else {
                div.scroll { table.list {
                    caption { "Newest run first" }
                    thead { tr {
                        th scope="col" { "Run" } th scope="col" { "State" } th scope="col" { "Progress" } th scope="col" { "Counted" }
                    } }
                    tbody { @for run in &connector.runs { (line(name, run, now, view)) } }
                } }
            }
        }
    }
}

/// What was found when the connector was tried out; folded away where all is well.
fn found(check: &Check, now: Timestamp) -> Markup {
    html! {
        details open[!check.is_good()] {
            summary { @if check.is_good() { "Works" } @else { "Does not work" } ", tried out " (parts::time(check.at, now)) }
            dl {
                @for CheckLine { what, outcome, says } in &check.lines {
                    dt { (words::stream(what)) } dd { strong { (outcome.as_str()) } ": " (says) }
                }
            }
        }
    }
}

fn line(connector: &str, run: &RunRow, now: Timestamp, view: &View<'_>) -> Markup {
    html! {
        tr {
            th scope="row" {
                (run.id)
                div.quiet {
                    (run.mode["mode"].as_str().unwrap_or("run")) ", began " (parts::time(run.started_at, now))
                    @if let Some(ended) = run.ended_at {
                        ", took " (words::plural(ended.duration_since(run.started_at).as_secs(), "second", "seconds"))
                    }
                }
            }
            td data-label="State" {
                (parts::run_state(run))
                @if let Some(reason) = &run.reason { div.small { (reason) } }
                @if let Some(by) = &run.approved_by { div.small { "approved by " (by) } }
                (parts::approve(connector, run, view))
            }
            td data-label="Progress" { (parts::progress(run)) }
            td.small data-label="Counted" { (parts::counted(run)) }
        }
    }
}
