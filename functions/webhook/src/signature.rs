//! Proofs by a shared secret: an HMAC-SHA256, with a time or without, or the secret itself.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What stands before the hexadecimal digits.
const SCHEME: &str = "sha256=";

/// The value of [`SIGNATURE_HEADER`](crate::SIGNATURE_HEADER) for a body signed at `timestamp` (seconds since 1970).
///
/// The same in a shell:
/// `printf '%s.%s' "$timestamp" "$body" | openssl dgst -sha256 -hmac "$secret" -r`.
pub fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    written(mac(secret.as_bytes(), Some(timestamp), body))
}

/// The value of [`GITHUB_HEADER`](crate::GITHUB_HEADER) for a body.
pub fn sign_body(secret: &str, body: &[u8]) -> String {
    written(mac(secret.as_bytes(), None, body))
}

fn written(mac: Option<Hmac<Sha256>>) -> String {
    format!("{SCHEME}{}", hex::encode(mac.map(|mac| mac.finalize().into_bytes()).unwrap_or_default()))
}

/// The bytes of a signature.
pub(crate) fn parse(header: &str) -> Option<Vec<u8>> {
    hex::decode(header.trim().strip_prefix(SCHEME)?).ok().filter(|bytes| bytes.len() == 32)
}

/// Whether the signature is of this body, in constant time.
pub(crate) fn verifies(secret: &[u8], timestamp: Option<i64>, body: &[u8], signature: &[u8]) -> bool {
    mac(secret, timestamp, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

/// Whether two secrets are the same. Digests are compared, so that the time tells neither how much is right nor how
/// long the secret is.
pub(crate) fn same(secret: &[u8], given: &[u8]) -> bool {
    Sha256::digest(secret).ct_eq(&Sha256::digest(given)).into()
}

/// Tells one push from another. Of what was signed, not of the signature, which can be spelled in several ways.
pub(crate) fn digest(timestamp: Option<i64>, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    if let Some(timestamp) = timestamp {
        digest.update(format!("{timestamp}."));
    }
    digest.update(body);
    hex::encode(digest.finalize())
}

/// `None` never happens: HMAC takes keys of any length.
fn mac(secret: &[u8], timestamp: Option<i64>, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    if let Some(timestamp) = timestamp {
        mac.update(format!("{timestamp}.").as_bytes());
    }
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_documented_one() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key -r
        let expected = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign("key", 1_700_000_000, br#"{"a":1}"#), expected);
    }

    #[test]
    fn the_signature_without_a_time_is_githubs() {
        // From GitHub's documentation of "Validating webhook deliveries".
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sign_body("It's a Secret to Everybody", b"Hello, World!"), expected);
    }

    #[test]
    fn case_of_the_digits_does_not_matter_and_length_does() {
        let signed = sign("key", 1, b"");
        assert_eq!(parse(&signed.to_uppercase().replace("SHA256", "sha256")), parse(&signed));
        assert!(parse("sha256=").is_none());
        assert!(parse("sha256=00").is_none());
        assert!(parse("sha1=00").is_none());
    }

    #[test]
    fn secrets_are_the_same_only_as_a_whole() {
        assert!(same(b"token", b"token"));
        for other in ["", "toke", "tokens", "Token"] {
            assert!(!same(b"token", other.as_bytes()), "{other}");
        }
    }
}
