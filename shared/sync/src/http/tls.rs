//! Whom a client trusts: the public certificate authorities, an authority of the connector, or one pinned certificate.

use std::sync::Arc;

use domain::policy::{Pin, Tls};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// The settings of TLS connections, or the field that is wrong and why.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, (&'static str, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = match tls.pin {
        Some(pin) => Trust::Pin(pin),
        None => {
            let roots = match &tls.ca {
                Some(pem) => own_roots(pem).map_err(|problem| ("tls.ca", problem))?,
                None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            };
            let inner = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
                .build()
                .map_err(|error| ("tls.ca", error.to_string()))?;
            Trust::Authorities(inner)
        }
    };
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ("tls", format!("TLS cannot start: {error}")))?
        .dangerous() // The verifier below verifies; it only names the certificate that it refuses.
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }))
        .with_no_client_auth();
    Ok(config)
}

fn own_roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let number = at + 1;
        let certificate = certificate
            .map_err(|error| format!("certificate {number} is no PEM ({error}): paste it again"))?;
        roots.add(certificate).map_err(|error| {
            format!("certificate {number} is none that can sign others ({error}): paste the authority's own")
        })?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate: paste the PEM from -----BEGIN CERTIFICATE----- on".into());
    }
    Ok(roots)
}

/// The fingerprint of a certificate.
fn fingerprint(certificate: &CertificateDer<'_>) -> Pin {
    let mut pin = Pin([0; 32]);
    pin.0.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref());
    pin
}

#[derive(Debug)]
enum Trust {
    Authorities(Arc<WebPkiServerVerifier>),
    Pin(Pin),
}

/// Verifies by its trust, and names the certificate that it refuses.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// Why a certificate was refused, with what a person needs in order to decide.
#[derive(Debug, thiserror::Error)]
#[error("{reason}; the server presented the certificate {presented}: {remedy}")]
struct Refused {
    reason: String,
    presented: Pin,
    remedy: &'static str,
}

impl Refused {
    fn error(reason: String, certificate: &CertificateDer<'_>, remedy: &'static str) -> Error {
        let refused = Self { reason, presented: fingerprint(certificate), remedy };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Authorities(inner) => inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| {
                    Refused::error(
                        error.to_string(),
                        end_entity,
                        "if that is the server's own, name its authority in tls.ca or pin it in tls.pin",
                    )
                }),
            Trust::Pin(pin) if fingerprint(end_entity) == *pin => Ok(ServerCertVerified::assertion()),
            Trust::Pin(_) => Err(Refused::error(
                "the certificate is not the pinned one".into(),
                end_entity,
                "if it was renewed on purpose, write the new one into tls.pin",
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
