//! Files at addresses that a system gives us: on another host, and without our credentials.
//!
//! A pre-signed address is a secret as long as it is valid: its query is in no error and in no log.

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use url::Url;

use super::{HttpClient, Method, is_private};
use crate::error::SyncError;

/// A file that is read in parts.
pub struct RemoteFile {
    http: HttpClient,
    path: String,
    query: String,
}

impl HttpClient {
    /// The file at an address that the system gave us. Its host has to end with one of `hosts` (`.amazonaws.com`) and be
    /// asked over TLS; where private addresses are allowed, it may also be one of those. Nothing of what this client sends
    /// with its requests goes there.
    pub fn remote_file(&self, address: &str, hosts: &[&str]) -> Result<RemoteFile, SyncError> {
        let refused = |problem: &str| self.malformed("the address of a file", 0, problem);
        let url = Url::parse(address).map_err(|_| refused("it is no address"))?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let named = url.scheme() == "https" && hosts.iter().any(|suffix| host.ends_with(suffix));
        let own = self.options.allow_private_address
            && is_private(&url)
            && matches!(url.scheme(), "http" | "https");
        if !named && !own {
            let hosts = hosts.join(", *");
            return Err(refused(&format!("it is at {}://{host}, not at https://*{hosts}", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it holds credentials of its own"));
        }
        let mut base = url.clone();
        base.set_path("/");
        base.set_query(None);
        base.set_fragment(None);
        let http = Self { base, headers: HeaderMap::new(), ..self.clone() };
        let query = url.query().unwrap_or_default().to_owned();
        Ok(RemoteFile { http, path: url.path().to_owned(), query })
    }
}

impl RemoteFile {
    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// An error about the file's content.
    pub fn malformed(&self, detail: &str) -> SyncError {
        self.http.malformed(self.name(), 0, detail)
    }

    /// `length` bytes from `from` on, and the length of the whole file. Less at its end.
    pub async fn read(&self, from: u64, length: u64) -> Result<(Bytes, u64), SyncError> {
        let last = from.saturating_add(length.max(1)) - 1;
        self.range(&format!("bytes={from}-{last}"), length).await
    }

    /// Its last `length` bytes, and the length of the whole file.
    pub async fn read_end(&self, length: u64) -> Result<(Bytes, u64), SyncError> {
        self.range(&format!("bytes=-{length}"), length).await
    }

    async fn range(&self, range: &str, limit: u64) -> Result<(Bytes, u64), SyncError> {
        let mut request = self.http.request(Method::GET, &self.path).header("range", range);
        request.signed_query = (!self.query.is_empty()).then(|| self.query.clone());
        let mut answer = request.send().await?;
        let what = answer.what().to_owned();
        let malformed = |detail: &str| self.http.malformed(&what, 0, detail);
        match answer.status().as_u16() {
            206 => {}
            // The address is renewed by asking for it again, so the work is worth another try.
            status @ (400 | 401 | 403 | 404 | 410) => {
                return Err(SyncError::Unreachable {
                    system: self.http.system().to_owned(),
                    what,
                    detail: format!("the file's address is not valid any more ({status})"),
                    sent: true,
                });
            }
            429 => {
                let detail = "its host is asked too often".to_owned();
                return Err(SyncError::Unreachable {
                    system: self.http.system().to_owned(),
                    what,
                    detail,
                    sent: true,
                });
            }
            200 => return Err(malformed("its host does not serve parts of a file")),
            // What a storage service says of an error repeats what was signed.
            status => {
                let (system, detail) = (self.http.system().to_owned(), String::new());
                return Err(SyncError::Refused { system, what, status, detail });
            }
        }
        // `bytes 0-99/1234`
        let told = answer.header("content-range").and_then(|value| {
            let (span, total) = value.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = span.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            Some((last.checked_sub(first)? + 1, total.parse::<u64>().ok()?))
        });
        let Some((length, total)) = told.filter(|(length, _)| *length <= limit) else {
            return Err(malformed("it does not tell which part of the file it is"));
        };
        let mut body = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > length {
                break;
            }
        }
        if body.len() as u64 != length {
            return Err(malformed(&format!("{length} bytes were announced, {} came", body.len())));
        }
        Ok((body.freeze(), total))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;
    use crate::http::HttpOptions;

    const HOSTS: &[&str] = &[".amazonaws.com"];

    fn client(base: &str, allow_private_address: bool) -> HttpClient {
        let options = HttpOptions { allow_private_address, ..HttpOptions::default() };
        let http = HttpClient::new("r7", base, &options).unwrap();
        http.with_secret_header(HeaderName::from_static("x-api-key"), "secret").unwrap()
    }

    #[test]
    fn only_named_hosts_are_asked_and_without_our_headers() {
        let http = client("https://us.api.insight.rapid7.com", false);
        let file =
            http.remote_file("https://b.s3.eu-central-1.amazonaws.com/a/f.parquet?X-Amz-Signature=1", HOSTS);
        let file = file.unwrap();
        assert_eq!(file.name(), "f.parquet");
        assert!(file.http.headers.is_empty());
        for address in [
            "http://b.s3.amazonaws.com/f",
            "https://evil.example/f?.amazonaws.com",
            "https://amazonaws.com.evil.example/f",
            "https://127.0.0.1/f",
            "https://169.254.169.254/f",
            "https://user:pass@b.s3.amazonaws.com/f",
            "file:///etc/passwd",
            "f.parquet",
        ] {
            let error = http.remote_file(address, HOSTS).err().map(|error| error.to_string());
            assert!(error.is_some(), "{address}");
        }
        let own = client("http://127.0.0.1:1", true);
        assert!(own.remote_file("http://127.0.0.1:2/f?sig=1", HOSTS).is_ok());
        assert!(own.remote_file("http://example.com/f?sig=1", HOSTS).is_err());
    }

    #[tokio::test]
    async fn an_address_is_in_no_error() {
        let own = client("http://127.0.0.1:1", true);
        let file =
            own.remote_file("http://127.0.0.1:1/a/f.parquet?X-Amz-Signature=verysecret", HOSTS).unwrap();
        let error = file.read(0, 10).await.unwrap_err().to_string();
        assert!(error.contains("a/f.parquet") && !error.contains("verysecret"), "{error}");
    }
}
