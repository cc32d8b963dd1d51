//! Signing in with an OpenID Connect issuer: authorization code flow with PKCE.
//!
//! ```text
//! /login ── state, nonce, verifier in a sealed cookie ──> issuer ── code, state ──> /auth/callback
//!   code + verifier ──> token endpoint ──> ID token, verified ──> sealed session cookie, until the ID token's end
//! ```
//!
//! The session is our own: name, role and end under a seal of the secret `dashboard`. So a request needs no key of the
//! issuer, the cookie stays small whatever the issuer puts into its tokens, and no token of the issuer is kept anywhere.
//! Whoever changes the secret ends all sessions.

use aws_lambda_events::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Role;
use jiff::{SignedDuration, Timestamp};
use platform::SignInSettings;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use sync::HttpOptions;

use super::jwt::{Claims, Refused, Unverified};
use super::provider::{Provider, ProviderError};
use super::random::Random;
use super::seal::Seal;
use super::{Brought, Caller, TokenDoor, brought, cookie_named};
use crate::problem::Problem;
use crate::request::Request;

/// Where the issuer sends the browser back to.
pub(crate) const CALLBACK: &str = "/auth/callback";
/// Time to type a password and a second factor.
const FLOW: SignedDuration = SignedDuration::from_mins(10);
/// No session is longer, whatever the issuer says.
const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(12);
const FLOW_COOKIE: &str = "vulnrelay_flow";
const SESSION_COOKIE: &str = "vulnrelay_session";
/// A longer name is cut, so that the cookie stays one.
const LONGEST_NAME: usize = 200;

/// People who sign in with an issuer; programs with its JWTs or with the token of the secret.
pub struct SignIn {
    settings: SignInSettings,
    provider: Provider,
    operator: TokenDoor,
    seal: Seal,
    secure: bool,
}

/// A sign-in under way.
#[derive(Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    /// The page to go to.
    to: String,
    /// Second of its end.
    end: i64,
}

/// Somebody who signed in.
#[derive(Serialize, Deserialize)]
struct Session {
    name: String,
    subject: String,
    role: Option<Role>,
    /// Second of its end.
    end: i64,
}

/// An answer to a browser: where to go, with which cookies.
#[derive(Debug)]
pub(crate) struct Going {
    pub to: String,
    pub cookies: Vec<String>,
}

impl SignIn {
    /// `token` is that of the secret `dashboard`: it opens the API as an admin, and the cookies are sealed by it.
    pub fn new(
        settings: SignInSettings,
        token: &SecretString,
        client_secret: Option<SecretString>,
        http: HttpOptions,
    ) -> Self {
        let context = format!("vulnrelay cookies\n{}\n{}", settings.issuer, settings.client_id);
        Self {
            provider: Provider::new(&settings.issuer, &settings.client_id, client_secret, http),
            operator: TokenDoor::new(token.expose_secret(), "operator"),
            seal: Seal::new(token.expose_secret().as_bytes(), &context),
            secure: settings.public_url.starts_with("https://"),
            settings,
        }
    }

    /// The address under which people reach the pages.
    pub(crate) fn public_url(&self) -> &str {
        &self.settings.public_url
    }

    /// The caller that these headers prove.
    pub(super) async fn caller(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Caller>, Problem> {
        match brought(headers) {
            Brought::Bearer(token) => match self.operator.holder(token) {
                Some(operator) => Ok(Some(operator)),
                None => self.bearer(token, now).await,
            },
            // Who brings something wrong is not let in by a cookie.
            Brought::Other => Ok(None),
            Brought::Nothing => Ok(self.session(headers, now)),
        }
    }

    fn session(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        let sealed = cookie_named(headers, &self.cookie_name(SESSION_COOKIE))?;
        let session: Session = self.seal.open(SESSION_COOKIE, sealed)?;
        let Session { name, subject, role, end } = session;
        (now.as_second() < end).then_some(Caller { name, subject: Some(subject), role })
    }

    /// The bearer of an ID or access token of the issuer.
    async fn bearer(&self, token: &str, now: Timestamp) -> Result<Option<Caller>, Problem> {
        // What is no such token is not worth a question to the issuer.
        let Ok(token) = Unverified::read(token) else { return Ok(None) };
        match self.believe(token, now).await.and_then(|claims| Ok(self.caller_of(&claims)?)) {
            Ok(caller) => Ok(Some(caller)),
            Err(Disbelief::Refused(why)) => {
                tracing::info!(%why, "a bearer token was refused");
                Ok(None)
            }
            Err(Disbelief::Provider(error)) => Err(unavailable(&error)),
        }
    }

    async fn believe(&self, token: Unverified<'_>, now: Timestamp) -> Result<Claims, Disbelief> {
        let known = self.provider.for_token(&token, now).await?;
        let claims = token.verify(&known.keys)?;
        claims.check(&self.settings.issuer, &self.settings.client_id, now)?;
        Ok(claims)
    }

    fn caller_of(&self, claims: &Claims) -> Result<Caller, Refused> {
        let groups = claims.groups(&self.settings.roles_claim);
        Ok(Caller {
            name: claims.name()?.chars().take(LONGEST_NAME).collect(),
            subject: Some(claims.subject()?.chars().take(LONGEST_NAME).collect()),
            role: Role::of_groups(groups),
        })
    }

    /// Sends a browser to the issuer; it is to come back to the page `to`.
    pub(crate) async fn begin(
        &self,
        to: &str,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Going, Problem> {
        let known = self.provider.known(now).await.map_err(|error| unavailable(&error))?;
        let secret = || {
            random.secret().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|error| {
                tracing::error!(%error, "nobody can sign in");
                Problem::Internal
            })
        };
        let flow = Flow {
            state: secret()?,
            nonce: secret()?,
            verifier: secret()?,
            to: to.to_owned(),
            end: (now + FLOW).as_second(),
        };
        let mut address = known.endpoints.authorization_endpoint.clone();
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("scope", "openid email")
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&flow.verifier)))
            .append_pair("code_challenge_method", "S256");
        let cookie = self.cookie(FLOW_COOKIE, &self.seal.close(FLOW_COOKIE, &flow), FLOW.as_secs());
        Ok(Going { to: address.into(), cookies: vec![cookie] })
    }

    /// Takes a browser back from the issuer.
    pub(crate) async fn finish(&self, request: &Request, now: Timestamp) -> Result<Going, Problem> {
        let sealed = cookie_named(&request.headers, &self.cookie_name(FLOW_COOKIE));
        let flow: Flow = sealed
            .and_then(|sealed| self.seal.open(FLOW_COOKIE, sealed))
            .filter(|flow: &Flow| now.as_second() < flow.end)
            .ok_or(Problem::SignIn("it was not begun in this browser, or more than ten minutes ago"))?;
        let state = request.first("state").unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(flow.state.as_bytes())) {
            return Err(Problem::SignIn("it belongs to another sign-in, perhaps of another window"));
        }
        // RFC 9207: an issuer may name itself, against being mixed up with another.
        if request.first("iss").is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(Problem::SignIn("it comes from another issuer"));
        }
        if let Some(error) = request.first("error") {
            tracing::info!(error = %sync::http::shorten(error), "the issuer did not let somebody in");
            return Err(Problem::SignIn("the issuer did not let you in"));
        }
        let code = request.first("code").ok_or(Problem::SignIn("the issuer sent no code"))?;
        match self.exchange(code, &flow, now).await {
            Ok(session) => Ok(self.going(session, &flow, now)),
            Err(Disbelief::Refused(why)) => {
                tracing::warn!(%why, "the ID token of a sign-in was refused");
                Err(Problem::SignIn(
                    "what the issuer sent about you cannot be believed; the log has the reason",
                ))
            }
            Err(Disbelief::Provider(ProviderError::Code(why))) => {
                tracing::info!(%why, "the issuer refused a code");
                Err(Problem::SignIn("the issuer no longer knows this sign-in"))
            }
            Err(Disbelief::Provider(error)) => Err(unavailable(&error)),
        }
    }

    async fn exchange(&self, code: &str, flow: &Flow, now: Timestamp) -> Result<Session, Disbelief> {
        let endpoint = self.provider.known(now).await?.endpoints.token_endpoint.clone();
        let token = self.provider.redeem(&endpoint, code, &flow.verifier, &self.redirect_uri()).await?;
        let claims = self.believe(Unverified::read(&token)?, now).await?;
        claims.answers(&flow.nonce)?;
        let Caller { name, subject, role } = self.caller_of(&claims)?;
        let end = claims.expiry()?.min((now + LONGEST_SESSION).as_second());
        Ok(Session { name, subject: subject.unwrap_or_default(), role, end })
    }

    fn going(&self, session: Session, flow: &Flow, now: Timestamp) -> Going {
        let role = session.role.map_or("none", Role::as_str);
        tracing::info!(by = %session.name, subject = %session.subject, role, "somebody signed in");
        let seconds = (session.end - now.as_second()).max(0);
        let cookie = self.cookie(SESSION_COOKIE, &self.seal.close(SESSION_COOKIE, &session), seconds);
        Going { to: flow.to.clone(), cookies: vec![cookie, self.cookie(FLOW_COOKIE, "", 0)] }
    }

    /// Ends the session in this browser; with where the session at the issuer can be ended too.
    pub(crate) async fn end(&self, now: Timestamp) -> Going {
        let cookies = vec![self.cookie(SESSION_COOKIE, "", 0), self.cookie(FLOW_COOKIE, "", 0)];
        let endpoint = match self.provider.known(now).await {
            Ok(known) => known.endpoints.end_session_endpoint.clone(),
            // The session here ends, whether or not the issuer answers.
            Err(error) => {
                tracing::warn!(%error, "where to sign out at the issuer is not known");
                None
            }
        };
        let to = endpoint.map_or_else(String::new, |mut address| {
            let back = format!("{}/", self.settings.public_url);
            address
                .query_pairs_mut()
                .append_pair("client_id", &self.settings.client_id)
                // Cognito's name for it, and everybody else's.
                .append_pair("logout_uri", &back)
                .append_pair("post_logout_redirect_uri", &back);
            address.into()
        });
        Going { to, cookies }
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.settings.public_url)
    }

    /// With the prefix by which browsers take such a cookie from this host alone, where there is TLS.
    fn cookie_name(&self, name: &str) -> String {
        format!("{}{name}", if self.secure { "__Host-" } else { "" })
    }

    fn cookie(&self, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        // Lax: the browser comes back from the issuer, another site.
        format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
            self.cookie_name(name)
        )
    }
}

/// Why nobody is believed to be who they say.
enum Disbelief {
    Refused(Refused),
    Provider(ProviderError),
}

impl From<Refused> for Disbelief {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl From<ProviderError> for Disbelief {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

fn unavailable(error: &ProviderError) -> Problem {
    tracing::error!(%error, "the issuer is of no help");
    Problem::TryAgain("the sign-in service does not answer: try again in a minute")
}
