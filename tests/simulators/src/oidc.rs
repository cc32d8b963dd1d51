//! A simulated OpenID Connect issuer, below `/oidc`: discovery, authorize, token, jwks, logout.
//!
//! It signs in whoever [`People::next`] says, without asking: `authorize` answers with the redirect at once. Requests are
//! checked as a strict issuer does (registered client and address, PKCE with S256, a code that counts once); what is
//! refused is noted in [`crate::Received`]. [`Person`] also says what is wrong with the next token.
//!
//! | path | what |
//! | --- | --- |
//! | `/.well-known/openid-configuration` | the issuer's own document |
//! | `/authorize`, `/token`, `/jwks`, `/logout` | its endpoints |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::World;

/// The client that is registered.
pub const CLIENT: &str = "vulnrelay-client";
/// Seconds that a token is valid.
const VALID: i64 = 3_600;
/// Keys made for this simulator; they guard nothing.
const RSA: [(&str, &[u8]); 2] = [
    ("rsa-1", include_bytes!("../data/oidc/rsa-1.pk8")),
    ("rsa-2", include_bytes!("../data/oidc/rsa-2.pk8")),
];
const EC: &str = "ec-1";

/// Which key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signing {
    /// The first RSA key, RS256.
    #[default]
    Rsa1,
    /// The second RSA key, which the issuer publishes after [`People::rotate`].
    Rsa2,
    /// The elliptic curve key, ES256.
    Ec,
    /// Nobody: `alg` is `none`.
    None,
    /// The first RSA key, with one bit of the signature changed.
    Broken,
}

/// Who signs in next, and what is odd about the token.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// `sub`.
    pub subject: String,
    /// `email`, verified.
    pub email: String,
    /// `cognito:groups`.
    pub groups: Vec<String>,
    /// The signature.
    pub signing: Signing,
    /// Claims that replace others; `null` takes one away.
    pub claims: Map<String, Value>,
}

impl Person {
    /// Somebody in these groups.
    pub fn new(email: &str, groups: &[&str]) -> Self {
        Self {
            subject: format!("sub-{email}"),
            email: email.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Self::default()
        }
    }
}

/// What the issuer remembers.
#[derive(Debug, Default)]
pub struct People {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: Person,
    codes: BTreeMap<String, Code>,
    issued: u64,
    rotated: bool,
    down: bool,
    /// Times that the keys were read.
    keys_read: u64,
}

#[derive(Debug)]
struct Code {
    person: Person,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
}

impl People {
    /// Who signs in next.
    pub fn next(&self, person: Person) {
        self.lock().next = person;
    }

    /// The issuer publishes its second RSA key in place of the first.
    pub fn rotate(&self) {
        self.lock().rotated = true;
    }

    /// The issuer answers everything with 503, or no longer does.
    pub fn down(&self, down: bool) {
        self.lock().down = down;
    }

    /// How often the keys were read.
    pub fn keys_read(&self) -> u64 {
        self.lock().keys_read
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the issuer.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/jwks", get(jwks))
        .route("/logout", get(|| async { "signed out" }))
        .with_state(world)
}

/// The issuer's name, in a world that is served.
pub fn issuer(world: &World) -> String {
    format!("{}/oidc", world.base_url())
}

/// A token that the issuer signed for somebody, as a program would have it: `answers` is the nonce.
pub fn signed_token(world: &World, person: &Person, answers: Option<&str>) -> String {
    let now = world.clock.now().as_second();
    let mut claims = json!({
        "iss": issuer(world), "sub": person.subject, "aud": CLIENT, "token_use": "id",
        "email": person.email, "email_verified": true, "cognito:groups": person.groups,
        "iat": now, "exp": now + VALID,
    });
    if let Some(nonce) = answers {
        claims["nonce"] = nonce.into();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.extend(person.claims.clone());
        claims.retain(|_, value| !value.is_null());
    }
    sign(&claims, person.signing)
}

async fn discovery(State(world): State<Arc<World>>) -> Response {
    if world.people.lock().down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let issuer = issuer(&world);
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Authorize {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
}

async fn authorize(State(world): State<Arc<World>>, Query(asked): Query<Authorize>) -> Response {
    let wrong = if asked.client_id != CLIENT {
        Some("unauthorized_client")
    } else if asked.response_type != "code" {
        Some("unsupported_response_type")
    } else if !asked.scope.split(' ').any(|scope| scope == "openid") {
        Some("invalid_scope")
    } else if asked.code_challenge_method != "S256" || asked.code_challenge.len() != 43 {
        Some("invalid_request")
    } else {
        None
    };
    if let Some(error) = wrong {
        return refuse(&world, "authorize", error);
    }
    let mut inner = world.people.lock();
    inner.issued += 1;
    let code = format!("code-{}", inner.issued);
    let person = inner.next.clone();
    let known = Code {
        person,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.code_challenge,
        nonce: asked.nonce,
    };
    inner.codes.insert(code.clone(), known);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair("state", &asked.state)
        .append_pair("iss", &issuer(&world))
        .finish();
    let address = format!("{}?{query}", asked.redirect_uri);
    (StatusCode::FOUND, [(header::LOCATION, address)]).into_response()
}

#[derive(Deserialize)]
struct Redeem {
    grant_type: String,
    code: String,
    redirect_uri: String,
    client_id: String,
    code_verifier: String,
}

async fn token(State(world): State<Arc<World>>, Form(asked): Form<Redeem>) -> Response {
    // A code counts once, also when the rest is wrong.
    let Some(code) = world.people.lock().codes.remove(&asked.code) else {
        return refuse(&world, "token", "invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&asked.code_verifier));
    if asked.grant_type != "authorization_code" {
        return refuse(&world, "token", "unsupported_grant_type");
    }
    if asked.client_id != CLIENT || asked.redirect_uri != code.redirect_uri || challenge != code.challenge {
        return refuse(&world, "token", "invalid_grant");
    }
    let id_token = signed_token(&world, &code.person, code.nonce.as_deref());
    Json(json!({ "id_token": id_token, "access_token": "opaque", "token_type": "Bearer", "expires_in": VALID }))
        .into_response()
}

async fn jwks(State(world): State<Arc<World>>) -> Response {
    let rotated = {
        let mut inner = world.people.lock();
        inner.keys_read += 1;
        inner.rotated
    };
    let (name, key) = RSA[usize::from(rotated)];
    let keys: Vec<Value> =
        [rsa(key).map(|pair| public_rsa(name, &pair)), Some(public_ec())].into_iter().flatten().collect();
    Json(json!({ "keys": keys })).into_response()
}

fn rsa(key: &[u8]) -> Option<RsaKeyPair> {
    RsaKeyPair::from_pkcs8(key).ok()
}

fn public_rsa(name: &str, pair: &RsaKeyPair) -> Value {
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    json!({
        "kty": "RSA", "kid": name, "use": "sig", "alg": "RS256",
        "n": URL_SAFE_NO_PAD.encode(public.n),
        "e": URL_SAFE_NO_PAD.encode(public.e),
    })
}

fn public_ec() -> Value {
    let point = &ec().1;
    json!({
        "kty": "EC", "crv": "P-256", "kid": EC, "use": "sig", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    })
}

/// The elliptic curve key of this process, and its public point.
fn ec() -> &'static (Vec<u8>, Vec<u8>) {
    static KEY: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
    KEY.get_or_init(|| {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let bytes = document.map(|document| document.as_ref().to_vec()).unwrap_or_default();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random);
        let point = pair.map_or_else(|_| vec![0; 65], |pair| pair.public_key().as_ref().to_vec());
        (bytes, point)
    })
}

fn sign(claims: &Value, signing: Signing) -> String {
    let (alg, kid) = match signing {
        Signing::Rsa1 | Signing::Broken => ("RS256", RSA[0].0),
        Signing::Rsa2 => ("RS256", RSA[1].0),
        Signing::Ec => ("ES256", EC),
        Signing::None => ("none", RSA[0].0),
    };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": alg, "kid": kid, "typ": "JWT" })), part(claims));
    let mut signature = match signing {
        Signing::None => Vec::new(),
        Signing::Ec => ecdsa(signed.as_bytes()),
        Signing::Rsa2 => rs256(RSA[1].1, signed.as_bytes()),
        Signing::Rsa1 | Signing::Broken => rs256(RSA[0].1, signed.as_bytes()),
    };
    if signing == Signing::Broken
        && let Some(last) = signature.last_mut()
    {
        *last ^= 1;
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn rs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let Some(pair) = rsa(key) else { return Vec::new() };
    let mut signature = vec![0; pair.public().modulus_len()];
    match pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature) {
        Ok(()) => signature,
        Err(_) => Vec::new(),
    }
}

fn ecdsa(message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ec().0, &random).ok();
    let signature = pair.and_then(|pair| pair.sign(&random, message).ok());
    signature.map(|signature| signature.as_ref().to_vec()).unwrap_or_default()
}

fn refuse(world: &World, endpoint: &str, error: &'static str) -> Response {
    world.received.refuse(format!("oidc.{endpoint}: 400 {error}"));
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}
