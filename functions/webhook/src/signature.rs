//! The signature of a push: HMAC-SHA256 over the timestamp, a dot and the body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What stands before the hexadecimal digits.
const SCHEME: &str = "sha256=";

/// The value of [`SIGNATURE_HEADER`](crate::SIGNATURE_HEADER) for a body signed at `timestamp` (seconds since 1970).
///
/// The same in a shell:
/// `printf '%s.%s' "$timestamp" "$body" | openssl dgst -sha256 -hmac "$secret" -r`.
pub fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = mac(secret.as_bytes(), timestamp, body).map(|mac| mac.finalize().into_bytes());
    format!("{SCHEME}{}", hex::encode(signed.unwrap_or_default()))
}

/// The bytes of a signature.
pub(crate) fn parse(header: &str) -> Option<Vec<u8>> {
    hex::decode(header.trim().strip_prefix(SCHEME)?).ok().filter(|bytes| bytes.len() == 32)
}

/// Whether the signature is of this body, in constant time.
pub(crate) fn verifies(secret: &[u8], timestamp: i64, body: &[u8], signature: &[u8]) -> bool {
    mac(secret, timestamp, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

/// Tells one push from another. Of what was signed, not of the signature, which can be spelled in several ways.
pub(crate) fn digest(timestamp: i64, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{timestamp}."));
    digest.update(body);
    hex::encode(digest.finalize())
}

/// `None` never happens: HMAC takes keys of any length.
fn mac(secret: &[u8], timestamp: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{timestamp}.").as_bytes());
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
    fn case_of_the_digits_does_not_matter_and_length_does() {
        let signed = sign("key", 1, b"");
        assert_eq!(parse(&signed.to_uppercase().replace("SHA256", "sha256")), parse(&signed));
        assert!(parse("sha256=").is_none());
        assert!(parse("sha256=00").is_none());
        assert!(parse("sha1=00").is_none());
    }
}
