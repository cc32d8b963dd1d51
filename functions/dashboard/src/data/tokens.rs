//! API tokens.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use store::ApiToken;

use super::place;
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Tokens of one page.
const ROWS: usize = 50;

/// Whether a token opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It does.
    Active,
    /// No longer.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// One token, without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct TokenRow {
    /// What is kept of it.
    #[serde(flatten)]
    pub token: ApiToken,
    /// How it stands.
    pub state: TokenState,
}

/// The tokens, newest first.
#[derive(Debug, Clone, Serialize)]
pub struct TokenList {
    /// When it was read.
    pub at: Timestamp,
    /// The tokens.
    pub tokens: Vec<TokenRow>,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A token that was just created, with its secret, for the only time.
#[derive(Serialize)]
pub struct TokenCreated {
    /// What is kept of it.
    #[serde(flatten)]
    pub token: ApiToken,
    /// The secret.
    #[serde(rename = "token", serialize_with = "shown")]
    secret: SecretString,
}

impl TokenCreated {
    pub(crate) fn new(token: ApiToken, secret: String) -> Self {
        Self { token, secret: secret.into() }
    }

    /// The secret.
    pub(crate) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }
}

fn shown<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl TokenRow {
    fn new(token: ApiToken, now: Timestamp) -> Self {
        let state = match token.revoked_at {
            Some(_) => TokenState::Revoked,
            None if token.is_valid(now) => TokenState::Active,
            None => TokenState::Expired,
        };
        Self { token, state }
    }
}

impl Dashboard {
    pub(crate) async fn tokens(&self, request: &Request) -> Result<TokenList, Problem> {
        let at = self.now();
        let (tokens, next) = self.store.tokens_page(place(request)?, ROWS).await?;
        Ok(TokenList { at, tokens: tokens.into_iter().map(|token| TokenRow::new(token, at)).collect(), next })
    }
}
