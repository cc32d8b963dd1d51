//! Whom a connector trusts when it opens a TLS connection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the server proves who it is, where the public certificate authorities do not know it. At most one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates of one's own authority, as PEM. They replace the public ones: a certificate that a public
    /// authority issued for the same name is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The one certificate that the server may present, whoever signed it and whatever name and dates it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

impl Tls {
    /// Whether the public certificate authorities decide.
    pub fn is_public(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be, and the field where. `base_url` is the address that is spoken to.
    pub(super) fn check(&self, base_url: &str) -> Result<(), (&'static str, String)> {
        if !self.is_public() && !base_url.starts_with("https://") {
            return Err(("tls", "there is no TLS without an https:// address: leave it out".into()));
        }
        if self.ca.is_some() && self.pin.is_some() {
            let problem = "a pin names one certificate, whoever signed it: use ca or pin, not both";
            return Err(("tls.pin", problem.into()));
        }
        match &self.ca {
            Some(pem) if pem.contains("PRIVATE KEY") => {
                Err(("tls.ca", "it holds a private key: remove it, only certificates belong here".into()))
            }
            Some(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => Err((
                "tls.ca",
                "it holds no certificate: paste the PEM from -----BEGIN CERTIFICATE----- on".into(),
            )),
            _ => Ok(()),
        }
    }
}

/// The SHA-256 of a certificate in DER: `sha256:` and 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256`
/// prints it (colons and capitals are understood).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin(pub [u8; 32]);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let digits: Vec<u8> =
                text.strip_prefix("sha256:")?.bytes().filter(|byte| *byte != b':').collect();
            let mut digest = [0; 32];
            if digits.len() != 2 * digest.len() {
                return None;
            }
            for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
            }
            Some(Self(digest))
        };
        read().ok_or_else(|| {
            format!(
                "{text:?} is no fingerprint of a certificate: write sha256: and its 64 hexadecimal digits"
            )
        })
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let plain = Pin::try_from(format!("sha256:{}", "a1".repeat(32))).unwrap();
        let printed = format!("sha256:{}", vec!["A1"; 32].join(":"));
        assert_eq!(Pin::try_from(printed), Ok(plain));
        assert_eq!(plain.to_string(), format!("sha256:{}", "a1".repeat(32)));
        for wrong in ["", "a1", &"a1".repeat(32), "sha256:xyz", &format!("sha256:{}", "ag".repeat(32))] {
            assert!(Pin::try_from(wrong.to_owned()).unwrap_err().contains("64"), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let pin = Some(Pin([0; 32]));
        let field = |tls: Tls, url: &str| tls.check(url).err().map(|(field, _)| field);
        assert_eq!(field(Tls { ca: None, pin }, "https://console:3780"), None);
        assert_eq!(field(Tls { ca: None, pin }, "http://console:3780"), Some("tls"));
        assert_eq!(field(Tls { ca: Some(CERTIFICATE.into()), pin: None }, "https://c"), None);
        assert_eq!(field(Tls { ca: Some(CERTIFICATE.into()), pin }, "https://c"), Some("tls.pin"));
        assert_eq!(field(Tls { ca: Some("console.pem".into()), pin: None }, "https://c"), Some("tls.ca"));
        let key = format!("{CERTIFICATE}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
        let (field, problem) = Tls { ca: Some(key), pin: None }.check("https://c").unwrap_err();
        assert_eq!(field, "tls.ca");
        assert!(!problem.contains("c2VjcmV0"), "an error must not repeat the secret");
    }
}
