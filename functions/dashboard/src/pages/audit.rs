//! Who changed what.

use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::AuditList;
use crate::words;

pub(crate) fn page(data: &AuditList, view: &View<'_>) -> Markup {
    let day = data.day.to_string();
    let content = html! {
        h1 { "Audit" }
        nav.pages aria-label="Days" {
            @if let Ok(before) = data.day.yesterday() { a href={ "/audit?day=" (before) } { "Day before" } }
            " " strong { (day) } " "
            @if let Ok(after) = data.day.tomorrow() { a href={ "/audit?day=" (after) } { "Day after" } }
        }
        @if data.lines.is_empty() {
            p.empty { "Nobody changed anything on this day. What scans bring is on the runs page." }
        } @else {
            div.scroll { table.list {
                caption { "Changes by people and programs on " (day) ", newest first" }
                thead { tr {
                    th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" } th scope="col" { "To" }
                } }
                tbody { @for line in &data.lines {
                    tr {
                        td data-label="When" { (parts::full_time(line.at, data.at)) }
                        th scope="row" { (line.by) @if let Some(subject) = &line.subject { div.quiet { (subject) } } }
                        td data-label="Did" { (words::audit(line.action)) }
                        td data-label="To" { (line.target) @if !line.detail.is_empty() { div.small { (line.detail) } } }
                    }
                } }
            } }
        }
        @if let Some(next) = &data.next {
            nav.pages aria-label="List" {
                a.button href=(parts::with_query("/audit", [("day", day.as_str()), ("after", next)])) rel="next" { "Next" }
            }
        }
    };
    Frame { tab: Tab::Audit, title: "Audit", refresh: None, view }.around(&content)
}
