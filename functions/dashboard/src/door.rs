//! Who may come in.

use aws_lambda_events::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Name of the cookie that carries the token of a browser.
pub const TOKEN_COOKIE: &str = "vulnrelay_token";
/// A browser has to present its token anew after this time.
const COOKIE_SECONDS: u32 = 12 * 3_600;

/// Somebody we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As the audit shows it.
    pub name: String,
}

/// Tells who calls. Another way in (OIDC, stored API tokens) is another implementation.
pub trait Door: Send + Sync {
    /// The caller that these headers prove; the cookies of a request are among them.
    fn caller(&self, headers: &HeaderMap) -> Option<Caller>;
}

/// One token for everything: printed at the start on one machine, a secret on AWS.
pub struct TokenDoor {
    /// The digest, so that nothing here could give the token away, and comparing takes the same time at any length.
    digest: [u8; 32],
    name: String,
}

impl TokenDoor {
    /// Whoever has `token` comes in as `name`. An empty token lets nobody in.
    pub fn new(token: &str, name: &str) -> Self {
        let digest = if token.is_empty() { [0; 32] } else { Sha256::digest(token).into() };
        Self { digest, name: name.to_owned() }
    }

    fn fits(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        bool::from(given.ct_eq(&self.digest))
    }
}

impl Door for TokenDoor {
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let bearer = headers.get(header::AUTHORIZATION).map(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        // Who brings a wrong token is not let in by a cookie.
        let token = match bearer {
            Some(bearer) => bearer,
            None => cookie_of(headers),
        };
        token.filter(|token| self.fits(token)).map(|_| Caller { name: self.name.clone() })
    }
}

fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == TOKEN_COOKIE).then_some(value))
}

/// Who a token stands for, as if it came in a header. What cannot stand in a cookie is no token.
pub(crate) fn present(door: &dyn Door, token: &str) -> Option<Caller> {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\');
    if token.is_empty() || !token.bytes().all(plain) {
        return None;
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).ok()?);
    door.caller(&headers)
}

/// The cookie for a token that was let in. Without TLS (this machine alone) it cannot be `Secure`.
pub(crate) fn cookie(token: &str, loopback: bool) -> String {
    let secure = if loopback { "" } else { "; Secure" };
    format!("{TOKEN_COOKIE}={token}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_token_opens_by_header_and_by_cookie() {
        let door = TokenDoor::new("s3cret", "operator");
        let known = Some(Caller { name: "operator".into() });
        assert_eq!(door.caller(&headers(header::AUTHORIZATION, "Bearer s3cret")), known);
        assert_eq!(door.caller(&headers(header::AUTHORIZATION, "bearer s3cret")), known);
        assert_eq!(door.caller(&headers(header::COOKIE, "a=b; vulnrelay_token=s3cret; c=d")), known);
    }

    #[test]
    fn nothing_else_does() {
        let door = TokenDoor::new("s3cret", "operator");
        for wrong in ["Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "Basic s3cret", "s3cret"] {
            assert_eq!(door.caller(&headers(header::AUTHORIZATION, wrong)), None, "{wrong}");
        }
        assert_eq!(door.caller(&headers(header::COOKIE, "xvulnrelay_token=s3cret")), None);
        let mut both = headers(header::COOKIE, "vulnrelay_token=s3cret");
        both.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer wrong"));
        assert_eq!(door.caller(&both), None);
        assert_eq!(TokenDoor::new("", "x").caller(&headers(header::AUTHORIZATION, "Bearer ")), None);
    }
}
