//! Values that a browser keeps for us and cannot change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Signs values, and reads those that it signed.
pub(super) struct Seal(hmac::Key);

impl Seal {
    /// A seal of its own for each `context`, made of the secret.
    pub(super) fn new(secret: &[u8], context: &str) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, context.as_bytes()).as_ref()))
    }

    /// The value as text of a cookie. What is sealed for one purpose does not open for another.
    pub(super) fn close(&self, purpose: &str, value: &impl Serialize) -> String {
        // Our own plain structures always become JSON.
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        let signature = hmac::sign(&self.0, &signed(purpose, &payload));
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The value, if this seal closed it.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        let (payload, signature) = text.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.0, &signed(purpose, payload), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

fn signed(purpose: &str, payload: &str) -> Vec<u8> {
    format!("{purpose}\n{payload}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_closed_here_opens_again() {
        let seal = Seal::new(b"secret", "issuer");
        let text = seal.close("session", &("ana", 7));
        assert_eq!(seal.open("session", &text), Some(("ana".to_owned(), 7)));
        assert_eq!(seal.open::<(String, u8)>("flow", &text), None);
        assert_eq!(Seal::new(b"secret", "other").open::<(String, u8)>("session", &text), None);
        assert_eq!(Seal::new(b"other", "issuer").open::<(String, u8)>("session", &text), None);
        let (payload, signature) = text.split_once('.').unwrap();
        let changed = URL_SAFE_NO_PAD.encode(br#"["eve",7]"#);
        for wrong in [
            format!("{changed}.{signature}"),
            payload.to_owned(),
            format!("{payload}."),
            format!("{payload}.{}", &signature[1..]),
            format!("{text}.x"),
            String::new(),
        ] {
            assert_eq!(seal.open::<(String, u8)>("session", &wrong), None, "{wrong}");
        }
    }
}
