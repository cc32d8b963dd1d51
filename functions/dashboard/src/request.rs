//! A request, as far as the dashboard looks at it.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::problem::Problem;

/// Largest body: a form with a reason in it.
const MAX_BODY: usize = 64 * 1024;

pub(crate) struct Request {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn read(event: ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let mut headers = event.headers;
        // API Gateway takes the cookies out of the headers.
        if let Some(cookies) = event.cookies.filter(|cookies| !cookies.is_empty())
            && let Ok(joined) = HeaderValue::from_str(&cookies.join("; "))
        {
            headers.insert(header::COOKIE, joined);
        }
        let query = match &event.raw_query_string {
            Some(raw) => form_urlencoded::parse(raw.as_bytes()).into_owned().collect(),
            None => event.query_string_parameters.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        };
        let text = event.body.unwrap_or_default();
        if text.len() > MAX_BODY {
            return Err(Problem::TooLarge);
        }
        let body = if event.is_base64_encoded {
            STANDARD.decode(&text).map_err(|_| Problem::Invalid("the body is not base64".into()))?
        } else {
            text.into_bytes()
        };
        Ok(Self {
            method: event.request_context.http.method,
            path: event.raw_path.or(event.request_context.http.path).unwrap_or_else(|| "/".to_owned()),
            headers,
            query,
            body,
        })
    }

    /// Path and query, as they were asked for.
    pub(crate) fn address(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }

    /// The first value of a parameter that is not blank.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of a parameter that are not blank.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.values(name).collect()
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.query.iter().filter(move |(k, _)| k == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a form was sent, which a page answers with a page.
    pub(crate) fn is_form(&self) -> bool {
        self.header(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    }

    /// The body, from JSON or from a form.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let parsed = if self.is_form() {
            let fields: serde_json::Map<String, serde_json::Value> = form_urlencoded::parse(&self.body)
                .map(|(name, value)| {
                    let value = value.trim();
                    (name.into_owned(), if value.is_empty() { serde_json::Value::Null } else { value.into() })
                })
                .collect();
            serde_json::from_value(fields.into())
        } else {
            serde_json::from_slice(&self.body)
        };
        parsed.map_err(|error| Problem::Invalid(format!("the body cannot be read: {error}")))
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn host(&self) -> &str {
        self.header(header::HOST).unwrap_or_default()
    }

    /// Whether it came to this machine alone, where there is no TLS.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        let name =
            host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    }

    /// Whether a call that changes something may come from where it comes from.
    ///
    /// A browser says so in `Sec-Fetch-Site`, older ones in `Origin`, and adds a cookie whoever made it call. A program
    /// says neither, and has to bring its token by itself, which no page of another origin can.
    ///
    /// `public`: the address under which people reach the pages, where it is known. A proxy in between may have put
    /// another host into the request.
    pub(crate) fn is_same_origin(&self, public: Option<&str>) -> bool {
        let site = self.headers.get("sec-fetch-site").map(|v| v.to_str().unwrap_or_default());
        let origin = self.headers.get(header::ORIGIN).map(|v| v.to_str().unwrap_or_default());
        let own = |origin: &str| {
            if public.is_some_and(|public| public.eq_ignore_ascii_case(origin)) {
                return true;
            }
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            !self.host().is_empty() && authority.is_some_and(|a| a.eq_ignore_ascii_case(self.host()))
        };
        match (site, origin) {
            (Some(site), origin) => site == "same-origin" && origin.is_none_or(own),
            (None, Some(origin)) => own(origin),
            (None, None) => self.headers.contains_key(header::AUTHORIZATION),
        }
    }
}
