mod tls;

use std::net::SocketAddr;
use std::pin::Pin;

use super::*;

/// A directory with one entry.
#[derive(Debug)]
struct OneName(&'static str, Vec<SocketAddr>);

impl Names for OneName {
    fn look_up(
        &self,
        name: String,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static>> {
        let found = if name == self.0 { self.1.clone() } else { vec![] };
        Box::pin(async move { Ok(found) })
    }
}

#[test]
fn private_addresses_need_permission() {
    for address in [
        "http://127.0.0.1:1",
        "http://10.0.0.5",
        "http://169.254.169.254/",
        "http://localhost",
        "http://localhost.",
        "http://[::1]",
    ] {
        let error = HttpClient::new("q", address, &HttpOptions::default()).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("allow_private_address")), "{address}");
    }
    assert!(HttpClient::new("q", "https://cloud.tenable.com", &HttpOptions::default()).is_ok());
}

#[tokio::test]
async fn a_name_of_a_private_address_needs_permission() {
    let server = tls::Server::plain().await;
    let ask = async |addresses: Vec<SocketAddr>, allow_private_address| {
        let options = HttpOptions {
            allow_private_address,
            names: Some(Arc::new(OneName("console.example", addresses))),
            retry_pause: Duration::ZERO,
            ..HttpOptions::default()
        };
        let base = format!("http://console.example:{}", server.address.port());
        let client = HttpClient::new("console", &base, &options).unwrap();
        client.request(Method::GET, "api").send().await.map(|answer| answer.status().as_u16())
    };
    let error = ask(vec![server.address], false).await.unwrap_err().to_string();
    assert!(error.contains("console.example is 127.0.0.1, a private address"), "{error}");
    assert!(error.contains("allow_private_address"), "{error}");
    assert_eq!(server.connections(), 0, "it was not even tried");
    assert_eq!(ask(vec![server.address], true).await.unwrap(), 200);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_path_that_looks_like_an_address_leads_to_the_same_host() {
    let server = tls::Server::plain().await;
    let options =
        HttpOptions { allow_private_address: true, retry_pause: Duration::ZERO, ..HttpOptions::default() };
    let client = HttpClient::new("q", &format!("http://{}", server.address), &options).unwrap();
    for (n, path) in
        ["/http://127.0.0.1:1/latest", "export:1/part", "//127.0.0.1:1/x"].into_iter().enumerate()
    {
        let answer = client.request(Method::GET, path).send().await;
        assert_eq!(answer.unwrap().status().as_u16(), 200, "{path}");
        assert_eq!(server.connections(), n + 1, "{path}");
    }
}

#[test]
fn a_link_to_another_host_is_refused() {
    let client = HttpClient::new("q", "https://qualysapi.qualys.com", &HttpOptions::default()).unwrap();
    assert!(client.same_host("https://qualysapi.qualys.com/api/?id_min=5").is_ok());
    assert!(client.same_host("https://evil.example/api/?id_min=5").is_err());
    assert!(
        client.same_host("http://qualysapi.qualys.com/api/").is_err(),
        "a weaker scheme is another origin"
    );
}

#[test]
fn an_id_stays_within_its_segment() {
    assert_eq!(segment("apache-httpd-cve-2017-3167"), "apache-httpd-cve-2017-3167");
    assert_eq!(segment("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
    assert_eq!(segment(".."), "%2E%2E");
}

#[tokio::test]
async fn who_says_when_to_come_back_is_not_asked_before_and_who_does_not_has_failed() {
    let now: jiff::Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let ask = async |answer: &'static str| {
        let server = tls::Server::answering(answer).await;
        let options = HttpOptions {
            allow_private_address: true,
            retry_pause: Duration::ZERO,
            ..HttpOptions::default()
        };
        let client = HttpClient::new("q", &format!("http://{}", server.address), &options).unwrap();
        let answer = client.request(Method::GET, "api").send().await.unwrap();
        (answer.into_error(now).await, server.connections())
    };
    for (answer, seconds) in [
        (
            "HTTP/1.1 503 Maintenance\r\nretry-after: 600\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            600,
        ),
        (
            "HTTP/1.1 503 Maintenance\r\nretry-after: Sun, 22 Nov 2026 00:20:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            1_200,
        ),
        (
            "HTTP/1.1 429 Slow\r\nretry-after: Sun, 22 Nov 2026 00:20:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            1_200,
        ),
        ("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 60),
    ] {
        let (error, asked) = ask(answer).await;
        let SyncError::Throttled { until, .. } = error else { panic!("{answer}: {error}") };
        assert_eq!((until.duration_since(now).as_secs(), asked), (seconds, 1), "{answer}");
    }
    for answer in [
        "HTTP/1.1 503 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 503 Oh\r\nretry-after: soon\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ] {
        let (error, asked) = ask(answer).await;
        assert!(matches!(error, SyncError::Refused { status: 503, .. }), "{error}");
        assert_eq!(asked, 3, "it may have been a moment's trouble");
    }
}
