//! Whom a client trusts, against a server on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// A server that gives everybody the same answer, and counts who connected.
pub(super) struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub async fn plain() -> Self {
        Self::answering(OK).await
    }

    /// One that answers everything with this.
    pub async fn answering(answer: &'static str) -> Self {
        Self::start(None, answer).await
    }

    async fn with(identity: &Identity) -> Self {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![identity.certificate.clone()], key)
                .unwrap();
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), OK).await
    }

    async fn start(tls: Option<TlsAcceptor>, text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                match &tls {
                    None => answer(stream, text).await,
                    // A client that does not trust us goes away; that is its answer.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answer(stream, text).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Self { address, connections }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) {
    let mut request = [0; 2048];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn pin(&self) -> domain::policy::Pin {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        domain::policy::Pin(digest.as_ref().try_into().unwrap())
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(by: &CertifiedIssuer<'_, KeyPair>, name: &str, until: i32) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.signed_by(&key, by).unwrap().der().clone(), key }
}

/// As a console makes one for itself: another name than its address, and years old.
fn self_signed() -> Identity {
    let mut params = CertificateParams::new(vec!["nexpose".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2019, 1, 1);
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().der().clone(), key }
}

async fn ask(server: &Server, tls: Tls) -> Result<u16, String> {
    let names = Arc::new(OneName("console.example", vec![server.address]));
    let options = HttpOptions {
        allow_private_address: true,
        tls,
        names: Some(names),
        retry_pause: Duration::ZERO,
        ..HttpOptions::default()
    };
    let base = format!("https://console.example:{}", server.address.port());
    let client = HttpClient::new("console", &base, &options).map_err(|error| error.to_string())?;
    let answer = client.request(Method::GET, "api").send().await.map_err(|error| error.to_string())?;
    Ok(answer.status().as_u16())
}

fn by_authority(authority: &CertifiedIssuer<'_, KeyPair>) -> Tls {
    Tls { ca: Some(authority.pem()), pin: None }
}

fn by_pin(identity: &Identity) -> Tls {
    Tls { ca: None, pin: Some(identity.pin()) }
}

#[tokio::test]
async fn a_certificate_of_the_own_authority_is_trusted_and_no_other() {
    let (own, other) = (authority(), authority());
    let identity = issued(&own, "console.example", 4000);
    let server = Server::with(&identity).await;
    assert_eq!(ask(&server, by_authority(&own)).await, Ok(200));
    for tls in [by_authority(&other), Tls::default()] {
        let error = ask(&server, tls).await.unwrap_err();
        assert!(error.contains(&identity.pin().to_string()), "what was presented: {error}");
        assert!(error.contains("tls.ca") && error.contains("tls.pin"), "what to do: {error}");
    }
}

#[tokio::test]
async fn an_authority_does_not_excuse_another_name_or_a_date_that_is_over() {
    let own = authority();
    for (identity, why) in [
        (issued(&own, "other.example", 4000), "other.example"),
        (issued(&own, "console.example", 2019), "expired"),
    ] {
        let error = ask(&Server::with(&identity).await, by_authority(&own)).await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert!(error.contains(&identity.pin().to_string()), "{error}");
    }
}

#[tokio::test]
async fn the_pinned_certificate_is_trusted_whatever_it_says_and_no_other() {
    let (pinned, other) = (self_signed(), self_signed());
    assert_eq!(ask(&Server::with(&pinned).await, by_pin(&pinned)).await, Ok(200));
    let error = ask(&Server::with(&other).await, by_pin(&pinned)).await.unwrap_err();
    assert!(error.contains(&other.pin().to_string()), "what was presented: {error}");
    assert!(error.contains("not the pinned one"), "{error}");
}

/// Whoever replays a pinned certificate does not have its key.
#[tokio::test]
async fn the_pinned_certificate_needs_its_key() {
    let pinned = self_signed();
    let thief = Identity { certificate: pinned.certificate.clone(), key: KeyPair::generate().unwrap() };
    // rustls' own server refuses a key that does not fit, so the check of the two is left out here.
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Unchecked::of(&thief)));
    let server = Server::start(Some(TlsAcceptor::from(Arc::new(config))), OK).await;
    let error = ask(&server, by_pin(&pinned)).await.unwrap_err();
    assert!(error.contains("BadSignature") || error.contains("bad signature"), "{error}");
}

/// Presents a certificate with a key that does not belong to it.
#[derive(Debug)]
struct Unchecked(Arc<rustls::sign::CertifiedKey>);

impl Unchecked {
    fn of(identity: &Identity) -> Self {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        Self(Arc::new(rustls::sign::CertifiedKey::new(vec![identity.certificate.clone()], key)))
    }
}

impl rustls::server::ResolvesServerCert for Unchecked {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn a_text_that_holds_no_authority_is_refused_before_anything_is_sent() {
    let server = Server::plain().await;
    for (pem, why) in [
        ("nothing", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "certificate 1"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
    ] {
        let error = ask(&server, Tls { ca: Some(pem.into()), pin: None }).await.unwrap_err();
        assert!(error.starts_with("console.tls.ca") && error.contains(why), "{error}");
    }
    assert_eq!(server.connections(), 0);
}
