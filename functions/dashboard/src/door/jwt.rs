//! Reading the JSON Web Tokens of an issuer (RFC 7519): RS256 and ES256, nothing else.
//!
//! The signatures are verified by `ring`, which is linked for TLS anyway. What a token says of its own algorithm only
//! chooses among keys of that kind: a token cannot have itself verified in another way than its issuer's key allows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Clocks differ by this much, in seconds.
const SKEW: i64 = 60;
/// No honest token is longer.
const MAX_LENGTH: usize = 16 * 1024;

/// Why a token is not believed. Nothing of the token is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is no JSON Web Token")]
    Malformed,
    #[error("its algorithm is neither RS256 nor ES256")]
    Algorithm,
    #[error("the issuer has no such key")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    TooEarly,
    #[error("it answers another sign-in")]
    Nonce,
    #[error("it is no ID token")]
    Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood; we understand none.
    #[serde(default)]
    crit: Option<Value>,
}

/// A token that was taken apart, and is not believed yet.
pub(super) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
    algorithm: Algorithm,
    key: Option<String>,
}

impl<'a> Unverified<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, Refused> {
        if token.len() > MAX_LENGTH {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Malformed)?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            _ => return Err(Refused::Algorithm),
        };
        if header.crit.is_some() {
            return Err(Refused::Malformed);
        }
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Refused::Malformed)?;
        Ok(Self { signed, signature: decode(signature)?, claims, algorithm, key: header.kid })
    }

    /// The claims, if one of the keys signed them.
    pub(super) fn verify(self, keys: &Keys) -> Result<Claims, Refused> {
        let key = keys.find(self.algorithm, self.key.as_deref()).ok_or(Refused::UnknownKey)?;
        let message = self.signed.as_bytes();
        let verified = match &key.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &self.signature)
            }
        };
        verified.map_err(|_| Refused::Signature)?;
        Ok(Claims(self.claims))
    }
}

/// What a verified token says.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Whether it is of this issuer, for this client, and valid now. An access token names its client in `client_id`
    /// where it has no audience, as Cognito's do.
    pub(super) fn check(&self, issuer: &str, client: &str, now: Timestamp) -> Result<(), Refused> {
        if self.text("iss") != Some(issuer) {
            return Err(Refused::Issuer);
        }
        let for_us = match self.0.get("aud") {
            Some(Value::String(one)) => one == client,
            Some(Value::Array(all)) => {
                let named = all.iter().any(|one| one == client);
                named && (all.len() == 1 || self.text("azp") == Some(client))
            }
            Some(_) => false,
            None => self.text("client_id") == Some(client),
        };
        if !for_us || self.0.contains_key("azp") && self.text("azp") != Some(client) {
            return Err(Refused::Audience);
        }
        let now = now.as_second();
        if self.expiry()? <= now - SKEW {
            return Err(Refused::Expired);
        }
        for begins in ["nbf", "iat"] {
            if self.0.contains_key(begins) && self.second(begins)? > now + SKEW {
                return Err(Refused::TooEarly);
            }
        }
        Ok(())
    }

    /// Whether it is the ID token that answers the sign-in with this nonce.
    pub(super) fn answers(&self, nonce: &str) -> Result<(), Refused> {
        let is_id_token =
            self.0.contains_key("aud") && self.text("token_use").is_none_or(|use_| use_ == "id");
        if !is_id_token {
            return Err(Refused::Kind);
        }
        if self.text("nonce") == Some(nonce) { Ok(()) } else { Err(Refused::Nonce) }
    }

    /// When it ends, in seconds.
    pub(super) fn expiry(&self) -> Result<i64, Refused> {
        self.second("exp")
    }

    fn second(&self, name: &str) -> Result<i64, Refused> {
        let number = self.0.get(name).ok_or(Refused::Malformed)?;
        number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).ok_or(Refused::Malformed)
    }

    /// The unchanging identifier of whom it is about.
    pub(super) fn subject(&self) -> Result<&str, Refused> {
        self.text("sub").filter(|subject| !subject.is_empty()).ok_or(Refused::Malformed)
    }

    /// What people call whom it is about: the e-mail address where the issuer has verified it, a user name, or the
    /// identifier.
    pub(super) fn name(&self) -> Result<&str, Refused> {
        let verified = match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let email = self.text("email").filter(|_| verified);
        let names = ["cognito:username", "username", "preferred_username"];
        match email.or_else(|| names.iter().find_map(|name| self.text(name))) {
            Some(name) if !name.is_empty() => Ok(name),
            _ => self.subject(),
        }
    }

    /// The groups in a claim: a list, or a text with spaces or commas.
    pub(super) fn groups(&self, claim: &str) -> Vec<&str> {
        match self.0.get(claim) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => text.split([' ', ',']).filter(|group| !group.is_empty()).collect(),
            _ => Vec::new(),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

/// The public keys of an issuer (RFC 7517).
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    use_: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl Keys {
    /// Reads a key set. Keys that are of no use here are passed over.
    pub(super) fn read(document: &[u8]) -> Result<Self, serde_json::Error> {
        let set: KeySet = serde_json::from_slice(document)?;
        Ok(Self(
            set.keys.into_iter().filter_map(|key| Key::read(serde_json::from_value(key).ok()?)).collect(),
        ))
    }

    /// Whether one of them may have signed this token.
    pub(super) fn know(&self, token: &Unverified<'_>) -> bool {
        self.find(token.algorithm, token.key.as_deref()).is_some()
    }

    /// The key of this name. A token that names none is of the only key of its kind.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm() == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.use_.as_deref().is_some_and(|use_| use_ != "sig") {
            return None;
        }
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty());
        let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => ("RS256", Material::Rsa { n: decode(&jwk.n)?, e: decode(&jwk.e)? }),
            ("EC", Some("P-256")) => {
                ("ES256", Material::P256([vec![4], decode(&jwk.x)?, decode(&jwk.y)?].concat()))
            }
            _ => return None,
        };
        let fits = jwk.alg.as_deref().is_none_or(|named| named == algorithm);
        fits.then_some(Self { id: jwk.kid, material })
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    /// Claims that are fine, with some of them replaced; `null` takes one away.
    fn claims(change: Value) -> Claims {
        let mut claims = json!({
            "iss": "https://issuer", "sub": "s-1", "aud": "client", "nonce": "n",
            "exp": now().as_second() + 600, "iat": now().as_second(),
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut claims = claims.as_object().unwrap().clone();
        claims.retain(|_, value| !value.is_null());
        Claims(claims)
    }

    fn check(change: Value) -> Result<(), Refused> {
        claims(change).check("https://issuer", "client", now())
    }

    #[test]
    fn issuer_and_client_have_to_be_ours() {
        assert_eq!(check(json!({})), Ok(()));
        for issuer in
            [json!("https://issuer/"), json!("https://evil"), json!(["https://issuer"]), Value::Null]
        {
            assert_eq!(check(json!({ "iss": issuer })), Err(Refused::Issuer), "{issuer}");
        }
        for fine in [
            json!({ "aud": ["client"] }),
            json!({ "aud": ["client", "api"], "azp": "client" }),
            json!({ "aud": null, "client_id": "client" }),
        ] {
            assert_eq!(check(fine.clone()), Ok(()), "{fine}");
        }
        for wrong in [
            json!({ "aud": "other" }),
            json!({ "aud": [] }),
            json!({ "aud": ["client", "api"] }),
            json!({ "aud": ["other"], "client_id": "client" }),
            json!({ "azp": "other" }),
            json!({ "azp": 7 }),
            json!({ "aud": 7 }),
            json!({ "aud": null }),
        ] {
            assert_eq!(check(wrong.clone()), Err(Refused::Audience), "{wrong}");
        }
    }

    #[test]
    fn times_count_with_a_minute_of_tolerance() {
        let at = |seconds: i64| now().as_second() + seconds;
        assert_eq!(check(json!({ "exp": at(-59) })), Ok(()));
        assert_eq!(check(json!({ "exp": at(-60) })), Err(Refused::Expired));
        assert_eq!(check(json!({ "nbf": at(60), "iat": at(60) })), Ok(()));
        assert_eq!(check(json!({ "nbf": at(61) })), Err(Refused::TooEarly));
        assert_eq!(check(json!({ "iat": at(61) })), Err(Refused::TooEarly));
        assert_eq!(check(json!({ "exp": 1e12 })), Ok(()), "a number may have a fraction");
        for strange in [json!({ "exp": null }), json!({ "exp": "9999999999" }), json!({ "nbf": "0" })] {
            assert_eq!(check(strange.clone()), Err(Refused::Malformed), "{strange}");
        }
    }

    #[test]
    fn only_the_id_token_with_the_nonce_answers_a_sign_in() {
        let answers = |change| claims(change).answers("n");
        assert_eq!(answers(json!({})), Ok(()));
        assert_eq!(answers(json!({ "token_use": "id" })), Ok(()));
        assert_eq!(answers(json!({ "nonce": "m" })), Err(Refused::Nonce));
        assert_eq!(answers(json!({ "nonce": null })), Err(Refused::Nonce));
        assert_eq!(answers(json!({ "token_use": "access" })), Err(Refused::Kind));
        assert_eq!(answers(json!({ "aud": null, "client_id": "client" })), Err(Refused::Kind));
    }

    #[test]
    fn a_name_is_what_the_issuer_vouches_for() {
        let name = |change| claims(change).name().unwrap().to_owned();
        assert_eq!(name(json!({})), "s-1");
        assert_eq!(name(json!({ "email": "ana@example.com" })), "s-1", "anybody can say so");
        assert_eq!(name(json!({ "email": "ana@example.com", "email_verified": true })), "ana@example.com");
        assert_eq!(name(json!({ "cognito:username": "ana" })), "ana");
        assert_eq!(claims(json!({ "g": ["a", 7, "b"] })).groups("g"), ["a", "b"]);
        assert_eq!(claims(json!({ "g": "a b,c" })).groups("g"), ["a", "b", "c"]);
        assert!(claims(json!({ "sub": "" })).subject().is_err());
    }

    #[test]
    fn what_is_no_token_is_refused_before_any_key() {
        let token = |header: Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.c2ln", part(&header), part(&json!({})))
        };
        let read = |token: &str| Unverified::read(token).err();
        assert_eq!(read(&token(json!({ "alg": "RS256" }))), None);
        for alg in ["none", "None", "", "HS256", "RS512", "rs256"] {
            assert_eq!(read(&token(json!({ "alg": alg }))), Some(Refused::Algorithm), "{alg}");
        }
        assert_eq!(read(&token(json!({ "alg": "RS256", "crit": ["b64"] }))), Some(Refused::Malformed));
        for wrong in ["", ".", "..", "a.b.c", "a.b", &"a".repeat(20_000)] {
            assert_eq!(read(wrong), Some(Refused::Malformed));
        }
    }

    #[test]
    fn a_key_is_found_by_name_and_kind() {
        let keys = Keys::read(
            json!({ "keys": [
                { "kty": "RSA", "kid": "a", "use": "sig", "n": "AQAB", "e": "AQAB" },
                { "kty": "RSA", "kid": "e", "use": "enc", "n": "AQAB", "e": "AQAB" },
                { "kty": "RSA", "kid": "p", "alg": "PS256", "n": "AQAB", "e": "AQAB" },
                { "kty": "oct", "kid": "o", "k": "AQAB" },
                { "kty": "EC", "crv": "P-256", "kid": "c", "x": "AQAB", "y": "AQAB" },
                7,
            ] })
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        let found = |algorithm, id| keys.find(algorithm, id).is_some();
        assert!(found(Algorithm::Rs256, Some("a")) && found(Algorithm::Es256, Some("c")));
        assert!(found(Algorithm::Rs256, None), "the only one of its kind");
        for (algorithm, id) in [
            (Algorithm::Es256, "a"),
            (Algorithm::Rs256, "c"),
            (Algorithm::Rs256, "e"),
            (Algorithm::Rs256, "p"),
            (Algorithm::Rs256, "o"),
            (Algorithm::Rs256, ""),
        ] {
            assert!(!found(algorithm, Some(id)), "{id}");
        }
    }
}
