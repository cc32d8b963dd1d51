//! Who is one machine: what people have to decide, and what was learned.

use domain::identity::{Happened, Identifier, IdentityChange};
use domain::{AssetId, Role};
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::{AssetDetail, IdentityList, Named, ReviewRow, SharedRow};

pub(crate) fn page(data: &IdentityList, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "Identity" }
        section aria-labelledby="reviews" {
            h2 #reviews { "Could be several machines" }
            @if data.reviews.is_empty() {
                p.empty { "Every sighting has found its asset." }
            } @else {
                div.scroll { table.list {
                    caption { "Each has an asset of its own until somebody decides; latest first" }
                    thead { tr {
                        th scope="col" { "Sighting" } th scope="col" { "Shows" } th scope="col" { "Could be" }
                    } }
                    tbody { @for row in &data.reviews { (review(row, data, view)) } }
                } }
            }
            @if let Some(next) = &data.next {
                nav.pages aria-label="Sightings" {
                    a.button href=(parts::with_query("/identity", [("after", next.as_str())])) rel="next" { "Next" }
                }
            }
        }
        section aria-labelledby="shared" {
            h2 #shared { "Values that several machines share" }
            @if data.shared.is_empty() {
                p.empty { "None was learned." }
            } @else {
                div.scroll { table.list {
                    caption { "They lead to no asset; latest first" }
                    thead { tr {
                        th scope="col" { "Value" } th scope="col" { "Why" } th scope="col" { "Since" }
                        th scope="col" { span.hidden { "Change" } }
                    } }
                    tbody { @for row in &data.shared { (shared(row, data, view)) } }
                } }
            }
            @if let Some(next) = &data.shared_next {
                nav.pages aria-label="Values" {
                    a.button href=(parts::with_query("/identity", [("shared_after", next.as_str())])) rel="next" { "Next" }
                }
            }
        }
    };
    Frame { tab: Tab::Identity, title: "Identity", refresh: None, view }.around(&content)
}

/// Identifiers in one line.
pub(super) fn list(identifiers: &[Identifier]) -> String {
    identifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What an asset is recognised by, what happened to that, and what a person can say of it.
pub(super) fn of(data: &AssetDetail, view: &View<'_>) -> Markup {
    let act = |verb: &str| format!("/api/assets/{}/{verb}", data.asset.id);
    html! {
        @if let Some(other) = &data.superseded_by {
            p { "Its place has been taken by " a href={ "/assets/" (other) } { (other) } "." }
        }
        @if !data.history.is_empty() {
            h3 { "What happened to it" }
            ul { @for change in &data.history { li { (happened(change, data, view)) } } }
        }
        details {
            summary { "Identifiers, and what to do when this is wrong" }
            p { code { (list(&data.identifiers)) } }
            @if view.may(Role::Analyst) {
                @if data.sightings.len() > 1 {
                    form.decide method="post" action=(act("split")) enctype="application/x-www-form-urlencoded" {
                        label for="sightings" { "Another machine is" }
                        select #sightings name="sightings" required {
                            @for join in &data.sightings { option value=(join.sighting) { (join.sighting) } }
                        }
                        label for="split-reason" { "Reason" }
                        input #split-reason type="text" name="reason" maxlength="1000";
                        button type="submit" { "Take it out" }
                    }
                }
                form.decide method="post" action=(act("merge")) enctype="application/x-www-form-urlencoded" {
                    label for="other" { "It is the same machine as asset" }
                    input #other type="text" name="other" pattern="a-[0-9a-f]{16}" placeholder="a-0123456789abcdef" required;
                    label for="merge-reason" { "Reason" }
                    input #merge-reason type="text" name="reason" maxlength="1000";
                    button type="submit" { "Merge" }
                }
            }
        }
    }
}

fn happened(change: &IdentityChange, data: &AssetDetail, view: &View<'_>) -> Markup {
    html! {
        (parts::full_time(change.at, data.at)) ": "
        (crate::words::happened(change.what)) " " a href={ "/assets/" (change.other) } { (change.other) }
        @if !change.reason.is_empty() { ", " (change.reason) }
        @if let Some(by) = &change.by { " (" (by) ")" }
        @if !change.identifiers.is_empty() { div.quiet { (list(&change.identifiers)) } }
        @if change.what == Happened::Absorbed && view.may(Role::Analyst) {
            form.inline method="post" action={ "/api/assets/" (change.other) "/undo-merge" }
                enctype="application/x-www-form-urlencoded" {
                input type="hidden" name="reason" value="";
                button.second type="submit" { "Undo" span.hidden { " the merge with " (change.other) } }
            }
        }
    }
}

fn review(row: &ReviewRow, data: &IdentityList, view: &View<'_>) -> Markup {
    let shows: Vec<String> = row.review.identifiers.iter().map(ToString::to_string).collect();
    html! {
        tr {
            th scope="row" {
                a href={ "/assets/" (row.review.asset) } { (row.name) }
                div.quiet { (row.review.sighting) " · " (parts::time(row.review.at, data.at)) }
            }
            td data-label="Shows" { (shows.join(", ")) }
            td data-label="Could be" { @for candidate in &row.names { (choice(&row.review.asset, candidate, view)) } }
        }
    }
}

fn choice(asset: &AssetId, candidate: &Named, view: &View<'_>) -> Markup {
    html! {
        div {
            a href={ "/assets/" (candidate.id) } { (candidate.name) }
            @if view.may(Role::Analyst) {
                @for (verb, word) in [("merge", "It is this one"), ("apart", "It is not")] {
                    form.inline method="post" action={ "/api/assets/" (asset) "/" (verb) }
                        enctype="application/x-www-form-urlencoded" {
                        input type="hidden" name="other" value=(candidate.id);
                        button.second type="submit" { (word) span.hidden { ": " (candidate.name) } }
                    }
                }
            }
        }
    }
}

fn shared(row: &SharedRow, data: &IdentityList, view: &View<'_>) -> Markup {
    html! {
        tr {
            th scope="row" { code { (row.identifier) } }
            td data-label="Why" { (row.reason) }
            td data-label="Since" { (parts::time(row.since, data.at)) }
            td { @if view.may(Role::Analyst) {
                form.inline method="post" action="/api/identity/identifiers" enctype="application/x-www-form-urlencoded" {
                    input type="hidden" name="identifier" value=(row.identifier);
                    input type="hidden" name="shared" value="never";
                    button.second type="submit" { "It is one machine's" span.hidden { ": " (row.identifier) } }
                }
            } }
        }
    }
}
