//! Who may come in, and as what.
//!
//! | caller | proves it by |
//! | --- | --- |
//! | a person, on one machine | the token that was printed at the start ([`TokenDoor`]) |
//! | a person, on AWS | signing in with an OpenID Connect issuer ([`SignIn`]); then a signed cookie |
//! | a program | an API token of the table, a JWT of the issuer, or the token of the secret `dashboard` |
//!
//! What a caller may do is a [`Role`]; which one a call needs stands in [`crate::ROUTES`].

mod jwt;
mod provider;
mod random;
mod seal;
mod sign_in;
mod token;

use aws_lambda_events::http::{HeaderMap, header};
use domain::Role;
use jiff::Timestamp;

use crate::problem::Problem;
pub use random::{NoRandom, Random, SystemRandom};
pub use sign_in::SignIn;
pub use token::{TOKEN_COOKIE, TokenDoor};
pub(crate) use token::{cookie, cookie_removed, present};

/// Somebody we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As the audit and the pages show it.
    pub name: String,
    /// The unchanging identifier behind the name, from whoever vouches for it.
    pub subject: Option<String>,
    /// What the caller may do; `None`: nothing, although we know who it is.
    pub role: Option<Role>,
}

/// How callers are told apart.
pub enum Door {
    /// One token for everything.
    Token(TokenDoor),
    /// People sign in with an issuer.
    SignIn(Box<SignIn>),
}

impl Door {
    /// The caller that these headers prove; the cookies of a request are among them.
    pub(crate) async fn caller(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Caller>, Problem> {
        match self {
            Self::Token(door) => Ok(door.caller(headers)),
            Self::SignIn(door) => door.caller(headers, now).await,
        }
    }
}

/// What an `Authorization` header brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought<'a> {
    /// There is no such header.
    Nothing,
    /// A bearer token.
    Bearer(&'a str),
    /// Something else. Whoever brings it is not let in by a cookie.
    Other,
}

/// What the `Authorization` header brings.
pub(crate) fn brought(headers: &HeaderMap) -> Brought<'_> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Brought::Nothing };
    match value.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Brought::Bearer(token.trim()),
        _ => Brought::Other,
    }
}

/// A cookie by its name.
fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}
