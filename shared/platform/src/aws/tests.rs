//! The SDK over our stack, against a server on this machine.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 38\r\nconnection: close\r\n\r\n{\"Item\":{\"pk\":{\"S\":\"1\"}},\"Extra\":\"  \"}";

/// A server with a certificate for `localhost`, and the authority that signed it, as PEM. It cuts off as many
/// connections as `broken` says before it answers.
async fn server(mut broken: usize) -> (String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            if broken > 0 {
                broken -= 1;
                continue;
            }
            let _ = stream.write_all(ANSWER).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, authority.pem())
}

/// Reads an item; answers its key, or why there is none.
async fn read(address: &str, roots: &[u8]) -> Result<Option<String>, String> {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(address)
        .http_client(http_client(roots).unwrap())
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let request = client.get_item().table_name("t").key("pk", AttributeValue::S("1".into()));
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    Ok(answer.item.and_then(|mut item| item.remove("pk")?.as_s().ok().cloned()))
}

#[test]
fn the_roots_are_the_five_of_amazon() {
    assert_eq!(amazon_roots().count(), AMAZON_ROOTS.len());
    for name in AMAZON_ROOTS {
        assert_eq!(amazon_roots().filter(|root| root.subject.as_ref().ends_with(name)).count(), 1);
    }
}

#[tokio::test]
async fn further_roots_are_trusted_and_others_are_not() {
    let (address, authority) = server(0).await;
    assert_eq!(read(&address, authority.as_bytes()).await, Ok(Some("1".to_owned())));
    let refused = read(&address, b"").await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    assert!(http_client(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let (address, authority) = server(2).await;
    assert_eq!(read(&address, authority.as_bytes()).await, Ok(Some("1".to_owned())));
    let (address, authority) = server(9).await;
    assert!(read(&address, authority.as_bytes()).await.is_err(), "but not for ever");
}
