//! API tokens.

use domain::Role;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::action::{DEFAULT_DAYS, MAX_DAYS, MAX_NAME};
use crate::data::{TokenCreated, TokenList, TokenState};

pub(crate) fn page(data: &TokenList, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "API tokens" }
        p { "A program sends one as " code { "Authorization: Bearer <token>" } ". Only a digest of it is kept here." }
        @if data.tokens.is_empty() {
            p.empty { "There is no token." }
        } @else {
            div.scroll { table.list {
                caption { "Newest first" }
                thead { tr {
                    th scope="col" { "Token" } th scope="col" { "Role" } th scope="col" { "State" } th scope="col" { "Created" }
                    th scope="col" { span.hidden { "Change" } }
                } }
                tbody { @for row in &data.tokens {
                    @let token = &row.token;
                    tr {
                        th scope="row" { (token.name) div.quiet { (token.id) } }
                        td data-label="Role" { (token.role) }
                        td data-label="State" { @match row.state {
                            TokenState::Active => { span.good { "active" } " until " (parts::full_time(token.expires_at, data.at)) },
                            TokenState::Expired => { span.late { "expired" } " " (parts::full_time(token.expires_at, data.at)) },
                            TokenState::Revoked => {
                                span.late { "revoked" }
                                @if let Some(by) = &token.revoked_by { " by " (by) }
                                @if let Some(at) = token.revoked_at { " " (parts::full_time(at, data.at)) }
                            },
                        } }
                        td data-label="Created" { "by " (token.created_by) " " (parts::full_time(token.created_at, data.at)) }
                        td { @if row.state == TokenState::Active {
                            form.inline method="post" action={ "/api/tokens/" (token.id) "/revoke" }
                                enctype="application/x-www-form-urlencoded" {
                                button.second type="submit" { "Revoke" span.hidden { " " (token.name) } }
                            }
                        } }
                    }
                } }
            } }
        }
        @if let Some(next) = &data.next {
            nav.pages aria-label="List" { a.button href=(parts::with_query("/tokens", [("after", next.as_str())])) rel="next" { "Next" } }
        }
        section aria-labelledby="new" {
            h2 #new { "New token" }
            form.decide method="post" action="/api/tokens" enctype="application/x-www-form-urlencoded" {
                label for="name" { "What it is for" }
                input #name type="text" name="name" maxlength=(MAX_NAME) required;
                label for="role" { "Role" }
                select #role name="role" required { @for role in Role::ALL { option value=(role) { (role) } } }
                label for="days" { "Days until it expires" }
                input #days type="number" name="expires_in_days" min="1" max=(MAX_DAYS) value=(DEFAULT_DAYS) required;
                button type="submit" { "Create" }
            }
        }
    };
    Frame { tab: Tab::Tokens, title: "API tokens", refresh: None, view }.around(&content)
}

/// The one page that shows a token.
pub(crate) fn created(data: &TokenCreated, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "A new token" }
        p role="status" { "This is the only time that it is shown. Keep it where secrets are kept." }
        pre { (data.secret()) }
        dl {
            dt { "For" } dd { (data.token.name) }
            dt { "Role" } dd { (data.token.role) }
            dt { "Expires" } dd { (parts::full_time(data.token.expires_at, data.token.created_at)) }
        }
        p { a href="/tokens" { "To the tokens" } }
    };
    Frame { tab: Tab::Tokens, title: "A new token", refresh: None, view }.around(&content)
}
