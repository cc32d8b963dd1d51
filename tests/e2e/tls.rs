//! TLS before a simulator, for clients that speak nothing else.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Listens on 127.0.0.1 with a certificate of its own, which is written to `certificate`, and passes everything on to
/// the plain `port`. Answers the port to call.
pub async fn before(port: u16, certificate: &Path) -> u16 {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(certificate, own.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A connection that breaks is its client's affair, which says so.
                let (Ok(mut secret), Ok(mut plain)) =
                    (acceptor.accept(stream).await, TcpStream::connect(("127.0.0.1", port)).await)
                else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut secret, &mut plain).await;
            });
        }
    });
    own_port
}
