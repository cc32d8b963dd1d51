//! Qualys' gateway: a second host, which wants a token instead of user and password.
//!
//! The token is asked for with user and password, lives for four hours, is renewed before they are over, and once more
//! when somebody says that it is not valid.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sync::http::{HttpResponse, Method, shorten};
use sync::{HttpClient, SyncError};
use tokio::sync::Mutex;
use url::Url;

use crate::client::{Failure, Limits};

/// A token lives for four hours.
const RENEW_AFTER: SignedDuration = SignedDuration::from_mins(3 * 60 + 50);
/// A token is a few kilobytes.
const TOKEN_LIMIT: usize = 64 * 1024;

/// The gateway of the platform that an API address belongs to; none of a platform that is not public.
pub(crate) fn gateway_of(base_url: &str) -> Option<String> {
    let url = Url::parse(base_url).ok()?;
    let host = url.host_str()?;
    let gateway = match host {
        // The first platforms have no number in their names.
        "qualysapi.qualys.com" => "gateway.qg1.apps.qualys.com".to_owned(),
        "qualysapi.qualys.eu" => "gateway.qg1.apps.qualys.eu".to_owned(),
        _ => format!("gateway.{}", host.strip_prefix("qualysapi.").filter(|rest| is_public(rest))?),
    };
    (url.scheme() == "https").then(|| format!("https://{gateway}"))
}

fn is_public(host: &str) -> bool {
    domain::Scanner::Qualys.knows_host(host) == Some(true)
}

/// Whether user and password may be sent to `gateway`: a public platform of Qualys, or the domain of the API's own
/// address.
pub(crate) fn check_gateway(base_url: &str, gateway: &str, connector: &str) -> Result<(), SyncError> {
    let problem =
        |problem: String| Err(SyncError::Config { field: format!("{connector}.gateway_url"), problem });
    let (Ok(base), Ok(url)) = (Url::parse(base_url), Url::parse(gateway)) else {
        return problem(format!("{gateway:?} is not an address: write https://host"));
    };
    if base.scheme() == "https" && url.scheme() != "https" {
        return problem("user and password would be sent in clear: write https://host".to_owned());
    }
    let (base, host) = (base.host_str().unwrap_or_default(), url.host_str().unwrap_or_default());
    // `qualysapi.pcp.example.com` and `gateway.pcp.example.com` are one private platform.
    let domain = |host: &str| host.split_once('.').map(|(_, domain)| domain.to_owned());
    let is_same = host == base
        || (domain(base).is_some_and(|domain| domain.contains('.')) && domain(host) == domain(base));
    if is_public(host) || is_same {
        return Ok(());
    }
    problem(format!(
        "{host} is neither a platform of Qualys nor in the domain of {base}: user and password are not sent there"
    ))
}

/// The gateway of one account.
pub(crate) struct Gateway {
    http: HttpClient,
    username: SecretString,
    password: SecretString,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: SecretString,
    renew_at: Timestamp,
}

impl Gateway {
    /// The gateway behind `http`, which carries nobody's credentials.
    pub fn new(http: HttpClient, username: SecretString, password: SecretString) -> Self {
        Self { http, username, password, token: Mutex::new(None) }
    }

    /// Asks for something that only reads.
    pub async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        now: Timestamp,
    ) -> Result<HttpResponse, Failure> {
        let mut refused = None;
        loop {
            let token = self.token(now, refused.as_ref()).await?;
            let mut request = self.http.request(Method::POST, path).header("accept", "application/json");
            for (name, value) in query {
                request = request.query(name, value);
            }
            let answer = request.bearer(&token)?.repeatable().send().await?;
            if answer.status() == 401 && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return Ok(answer);
        }
    }

    /// A token that is valid, as far as is known; not the one that was refused.
    async fn token(&self, now: Timestamp, refused: Option<&SecretString>) -> Result<SecretString, Failure> {
        let mut known = self.token.lock().await;
        let is_refused =
            |token: &Token| refused.is_some_and(|text| text.expose_secret() == token.text.expose_secret());
        if let Some(token) = known.as_ref().filter(|token| token.renew_at > now && !is_refused(token)) {
            return Ok(token.text.clone());
        }
        let form = [
            ("username", self.username.expose_secret().to_owned()),
            ("password", self.password.expose_secret().to_owned()),
            ("token", "true".to_owned()),
        ];
        let answer = self.http.request(Method::POST, "auth").form(&form).repeatable().send().await?;
        let (status, what) = (answer.status().as_u16(), answer.what().to_owned());
        if !matches!(status, 200 | 201) {
            return Err(Failure::Sync(answer.into_error(now).await));
        }
        let body = answer.bytes(TOKEN_LIMIT).await?;
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'='));
        if !fits || text.split('.').count() != 3 {
            // Whatever it is, it may be half a secret: only its length is told.
            let detail = format!("{} bytes that are no token", text.len());
            return Err(Failure::Sync(self.http.malformed(&what, 0, &detail)));
        }
        let token = Token {
            text: SecretString::from(text),
            renew_at: now.saturating_add(RENEW_AFTER).unwrap_or(Timestamp::MAX),
        };
        *known = Some(token.clone());
        Ok(token.text)
    }

    /// What a status other than 200 means. A subscription without the app is no failure of the account.
    pub async fn unwanted(&self, answer: HttpResponse, now: Timestamp) -> Failure {
        let status = answer.status().as_u16();
        if matches!(status, 402..=404) {
            let body = answer.bytes(TOKEN_LIMIT).await.unwrap_or_default();
            return Failure::NotPermitted(format!("{status} {}", shorten(&String::from_utf8_lossy(&body))));
        }
        if let Some(until) = Limits::of(&answer).wait(status, now) {
            return Failure::Sync(SyncError::Throttled { system: self.http.system().to_owned(), until });
        }
        Failure::Sync(answer.into_error(now).await)
    }

    /// An error about an answer.
    pub fn malformed(&self, what: &str, offset: u64, detail: &str) -> SyncError {
        self.http.malformed(what, offset, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_a_public_platform_is_known() {
        for (api, gateway) in [
            ("https://qualysapi.qualys.com", "https://gateway.qg1.apps.qualys.com"),
            ("https://qualysapi.qg2.apps.qualys.com", "https://gateway.qg2.apps.qualys.com"),
            ("https://qualysapi.qg3.apps.qualys.com/", "https://gateway.qg3.apps.qualys.com"),
            ("https://qualysapi.qg4.apps.qualys.com", "https://gateway.qg4.apps.qualys.com"),
            ("https://qualysapi.qualys.eu", "https://gateway.qg1.apps.qualys.eu"),
            ("https://qualysapi.qg2.apps.qualys.eu", "https://gateway.qg2.apps.qualys.eu"),
            ("https://qualysapi.qg3.apps.qualys.it", "https://gateway.qg3.apps.qualys.it"),
            ("https://qualysapi.qg1.apps.qualys.in", "https://gateway.qg1.apps.qualys.in"),
            ("https://qualysapi.qg1.apps.qualys.ca", "https://gateway.qg1.apps.qualys.ca"),
            ("https://qualysapi.qg1.apps.qualys.ae", "https://gateway.qg1.apps.qualys.ae"),
            ("https://qualysapi.qg1.apps.qualys.co.uk", "https://gateway.qg1.apps.qualys.co.uk"),
            ("https://qualysapi.qg1.apps.qualys.com.au", "https://gateway.qg1.apps.qualys.com.au"),
            ("https://qualysapi.qg1.apps.qualysksa.com", "https://gateway.qg1.apps.qualysksa.com"),
        ] {
            assert_eq!(gateway_of(api).as_deref(), Some(gateway), "{api}");
            assert!(check_gateway(api, gateway, "q").is_ok());
        }
        for private in
            ["https://qualysapi.evilqualys.com", "https://qualys.example.com", "http://127.0.0.1:1", ""]
        {
            assert_eq!(gateway_of(private), None, "{private}");
        }
    }

    #[test]
    fn credentials_go_to_no_other_gateway() {
        let base = "https://qualysapi.pcp.example.com";
        assert!(check_gateway(base, "https://gateway.pcp.example.com", "q").is_ok());
        assert!(check_gateway("http://127.0.0.1:5/qualys", "http://127.0.0.1:6/gateway", "q").is_ok());
        for other in [
            "https://gateway.evil.example",
            "https://gateway.qg1.apps.qualys.com.evil.example",
            "https://evilqualys.com",
            "http://gateway.pcp.example.com",
            "gateway",
        ] {
            let error = check_gateway(base, other, "q").unwrap_err().to_string();
            assert!(error.contains("q.gateway_url"), "{error}");
        }
        assert!(
            check_gateway("https://qualysapi.com", "https://gateway.com", "q").is_err(),
            "a whole top level"
        );
    }
}
