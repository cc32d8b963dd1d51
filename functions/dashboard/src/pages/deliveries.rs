//! What was sent to whom.

use domain::Role;
use maud::{Markup, html};
use store::{Delivery, DeliveryState};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::DeliveryList;

pub(crate) fn page(data: &DeliveryList, view: &View<'_>) -> Markup {
    let day = data.day.to_string();
    let content = html! {
        h1 { "Deliveries" }
        nav.pages aria-label="Days" {
            @if let Ok(before) = data.day.yesterday() { a href={ "/deliveries?day=" (before) } { "Day before" } }
            " " strong { (day) } " "
            @if let Ok(after) = data.day.tomorrow() { a href={ "/deliveries?day=" (after) } { "Day after" } }
        }
        @if data.receivers.is_empty() {
            p.empty { "Nobody is to be told. Add " code { "channels" } " or " code { "trackers" } " to the configuration." }
        }
        @if data.deliveries.is_empty() {
            @if !data.receivers.is_empty() { p.empty { "Nothing was first tried on this day." } }
        } @else {
            div.scroll { table.list {
                caption { "First tried on " (day) ", newest first" }
                thead { tr {
                    th scope="col" { "About" } th scope="col" { "To" } th scope="col" { "State" }
                    th scope="col" { "Tries" } th scope="col" { "Answer" }
                } }
                tbody { @for d in &data.deliveries {
                    tr {
                        th scope="row" { (d.subject) div.quiet { (parts::full_time(d.first_at, data.at)) } }
                        td data-label="To" { (d.receiver) }
                        td data-label="State" {
                            span.(class(d.state)) { (d.state.as_str()) }
                            @if d.is_replayable() && view.may(Role::Analyst) { (replay(d)) }
                        }
                        td.number data-label="Tries" { (d.tries) }
                        td.small data-label="Answer" {
                            @if let Some(reference) = &d.reference { (reference) " " }
                            (d.answer)
                        }
                    }
                } }
            } }
        }
        @if let Some(next) = &data.next {
            nav.pages aria-label="List" {
                a.button href=(parts::with_query("/deliveries", [("day", day.as_str()), ("after", next)])) rel="next" { "Next" }
            }
        }
    };
    Frame { tab: Tab::Deliveries, title: "Deliveries", refresh: None, view }.around(&content)
}

/// The button that has a delivery tried anew.
fn replay(delivery: &Delivery) -> Markup {
    html! {
        @if delivery.state == DeliveryState::Unconfirmed {
            div.small { "It may have arrived. Sent again, it may arrive twice." }
        }
        form.inline method="post" action={ "/api/deliveries/" (delivery.receiver) "/" (delivery.key) "/replay" }
            enctype="application/x-www-form-urlencoded" {
            button.second type="submit" { "Try again" span.hidden { " " (delivery.subject) } }
        }
    }
}

fn class(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Sent => "good",
        DeliveryState::Failed => "late",
        DeliveryState::Held | DeliveryState::Unconfirmed => "soon",
        DeliveryState::Sending => "calm",
    }
}
