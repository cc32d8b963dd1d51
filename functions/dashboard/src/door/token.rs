//! One token for everything: printed at the start on one machine, a secret on AWS.

use aws_lambda_events::http::{HeaderMap, HeaderValue, header};
use domain::Role;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Brought, Caller, brought, cookie_named};

/// Name of the cookie that carries the token of a browser.
pub const TOKEN_COOKIE: &str = "vulnrelay_token";
/// A browser has to present its token anew after this time.
const COOKIE_SECONDS: u32 = 12 * 3_600;

/// Whoever has the token may do everything.
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

    /// The caller that these headers prove.
    pub fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        match brought(headers) {
            Brought::Bearer(token) => self.holder(token),
            // Who brings a wrong token is not let in by a cookie.
            Brought::Other => None,
            Brought::Nothing => self.holder(cookie_named(headers, TOKEN_COOKIE)?),
        }
    }

    /// The caller that has this token.
    pub(super) fn holder(&self, token: &str) -> Option<Caller> {
        let given: [u8; 32] = Sha256::digest(token).into();
        let fits = bool::from(given.ct_eq(&self.digest));
        fits.then(|| Caller { name: self.name.clone(), subject: None, role: Some(Role::Admin) })
    }
}

/// Who a token stands for, as if it came in a header. What cannot stand in a cookie is no token.
pub(crate) fn present(door: &TokenDoor, token: &str) -> Option<Caller> {
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

/// Takes that cookie away.
pub(crate) fn cookie_removed() -> String {
    format!("{TOKEN_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
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
        let known = Some(Caller { name: "operator".into(), subject: None, role: Some(Role::Admin) });
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
