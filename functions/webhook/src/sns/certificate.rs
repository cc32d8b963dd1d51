//! The certificate that SNS signs with.
//!
//! It is fetched over TLS from the host of the topic. SNS publishes it without its issuer, so that its own chain usually
//! cannot be followed to a root; as far as it can be followed it has to be right, and its time and its name always have
//! to be.

use std::time::Duration;

use jiff::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::{EndEntityCert, KeyUsage};

/// A certificate of SNS, followed by what issued it, where SNS says so.
pub(crate) struct Certificate(Vec<CertificateDer<'static>>);

impl Certificate {
    /// Reads a PEM file, if its first certificate was issued to SNS.
    pub fn read(pem: &[u8]) -> Option<Self> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
        let own = EndEntityCert::try_from(certificates.first()?).ok()?;
        let is_of_sns = own.valid_dns_names().any(is_of_sns);
        is_of_sns.then_some(Self(certificates))
    }

    /// Whether it may be used now. That nobody is known who issued it is no reason against it: see above.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        let Some((own, issuers)) = self.parts() else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)));
        let roots = webpki_roots::TLS_SERVER_ROOTS;
        let usage = KeyUsage::server_auth();
        let outcome =
            own.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, roots, issuers, now, usage, None, None);
        matches!(outcome.map(|_| ()), Ok(()) | Err(webpki::Error::UnknownIssuer))
    }

    /// Whether the signature is of this text: version 1 is with SHA-1, which SNS still uses unless a topic asks for
    /// version 2, with SHA-256.
    pub fn verifies(&self, version: &str, text: &[u8], signature: &[u8]) -> bool {
        let algorithm = match version {
            "1" => Rsa { with: &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, id: SHA1_WITH_RSA },
            _ => Rsa { with: &RSA_PKCS1_2048_8192_SHA256, id: alg_id::RSA_PKCS1_SHA256 },
        };
        self.parts().is_some_and(|(own, _)| own.verify_signature(&algorithm, text, signature).is_ok())
    }

    fn parts(&self) -> Option<(EndEntityCert<'_>, &[CertificateDer<'static>])> {
        let (own, issuers) = self.0.split_first()?;
        Some((EndEntityCert::try_from(own).ok()?, issuers))
    }
}

/// RSA with a padding that SNS uses.
#[derive(Debug)]
struct Rsa {
    with: &'static RsaParameters,
    id: AlgorithmIdentifier,
}

/// 1.2.840.113549.1.1.5, with its empty parameters.
const SHA1_WITH_RSA: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
]);

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(&self, key: &[u8], text: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.with, key).verify(text, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.id
    }
}

/// `sns.amazonaws.com`, `sns.eu-central-1.amazonaws.com`, `sns-signing.eu-south-1.amazonaws.com`,
/// `sns-cn-north-1.amazonaws.com.cn`.
fn is_of_sns(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some(rest) = name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".amazonaws.com.cn"))
    else {
        return false;
    };
    rest == "sns" || rest.starts_with("sns.") || rest.starts_with("sns-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sns_are_known() {
        for good in [
            "sns.amazonaws.com",
            "sns.eu-central-1.amazonaws.com",
            "sns-signing.me-south-1.amazonaws.com",
            "sns-cn-north-1.amazonaws.com.cn",
        ] {
            assert!(is_of_sns(good), "{good}");
        }
        for bad in [
            "s3.amazonaws.com",
            "sns.example.com",
            "snsevil.amazonaws.com",
            "amazonaws.com",
            "sns.amazonaws.com.evil",
        ] {
            assert!(!is_of_sns(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Certificate::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
