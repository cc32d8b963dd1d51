//! Lists of vulnerabilities.

use domain::Severity;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::{LISTED_STATUSES, VulnerabilityList};
use crate::words;

pub(crate) fn page(data: &VulnerabilityList, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "Vulnerabilities" }
        (filter(data))
        @if data.only_high_scores {
            p.note { "With this many owners, the list of all holds the high scores. Choose an owner for the rest." }
        }
        @if data.vulnerabilities.is_empty() {
            p.empty {
                @if data.next.is_some() { "Nothing in this part of the list matches. Go on to search the rest." }
                @else if data.owners.is_empty() { "Nothing is known yet. " a href="/runs" { "See whether the scanners were read" } "." }
                @else { "Nothing matches. " a href="/vulnerabilities" { "Show all that are open" } "." }
            }
        } @else {
            (parts::vulnerabilities("Highest score first", &data.vulnerabilities, data.at))
        }
        @if let Some(next) = &data.next {
            nav.pages aria-label="List" { a.button href=(next_page(data, next)) rel="next" { "Next" } }
        }
    };
    Frame { tab: Tab::Vulnerabilities, title: "Vulnerabilities", refresh: None, view }.around(&content)
}

fn filter(data: &VulnerabilityList) -> Markup {
    let asked = &data.filter;
    html! {
        form.filter method="get" action="/vulnerabilities" role="search" {
            div {
                label for="q" { "Text" }
                input #q type="search" name="q" value=[asked.q.as_deref()] placeholder="title or CVE";
            }
            div {
                label for="owner" { "Owner" }
                select #owner name="owner" {
                    option value="" { "All" }
                    @for owner in &data.owners {
                        option value=(owner) selected[asked.owner.as_ref() == Some(owner)] { (owner) }
                    }
                }
            }
            div {
                label for="severity" { "Severity" }
                select #severity name="severity" {
                    option value="" { "All" }
                    @for severity in Severity::ALL {
                        option value=(severity) selected[asked.severity.contains(&severity)] { (words::severity(severity)) }
                    }
                }
            }
            div {
                label for="status" { "Status" }
                select #status name="status" {
                    option value="" { "Open" }
                    @for status in LISTED_STATUSES {
                        option value=(status) selected[asked.status.contains(&status)] { (words::status(status)) }
                    }
                }
            }
            div.checks {
                label { input type="checkbox" name="overdue" value="1" checked[asked.overdue]; " Overdue" }
                label { input type="checkbox" name="exploited" value="1" checked[asked.exploited]; " Exploited" }
            }
            button type="submit" { "Filter" }
        }
    }
}

fn next_page(data: &VulnerabilityList, next: &str) -> String {
    let asked = &data.filter;
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    parameters.extend(asked.owner.as_deref().map(|owner| ("owner", owner)));
    parameters.extend(asked.severity.iter().map(|severity| ("severity", severity.as_str())));
    parameters.extend(asked.status.iter().map(|status| ("status", status.as_str())));
    parameters.extend(asked.q.as_deref().map(|q| ("q", q)));
    parameters.extend(asked.overdue.then_some(("overdue", "1")));
    parameters.extend(asked.exploited.then_some(("exploited", "1")));
    parameters.push(("after", next));
    parts::with_query("/vulnerabilities", parameters)
}
