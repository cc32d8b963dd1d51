//! Who comes in, and as what.

mod roles;
mod signing_in;
mod tokens;

use std::sync::Arc;

use aws_lambda_events::http::Method;
use dashboard::{Door, SignIn};
use platform::SignInSettings;
use simulators::oidc::{self, Person, Signing};
use simulators::{Options, World};
use sync::HttpOptions;

use crate::support::{Answer, Setting, now, request};

/// The token of the secret `dashboard`.
const OPERATOR: &str = "the-token-of-the-deployment";

/// A dashboard whose people sign in with a simulated issuer.
struct Site {
    setting: Setting,
    world: Arc<World>,
}

impl Site {
    async fn new() -> Self {
        Self::at("http://127.0.0.1:9000", "").await
    }

    /// `after`: what the settings have behind the issuer's name.
    async fn at(public_url: &str, after: &str) -> Self {
        let world = World::new(Options::new(7, 1, now()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.set_base_url(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(simulators::serve(world.clone(), listener));
        let settings = SignInSettings {
            issuer: format!("{}{after}", oidc::issuer(&world)),
            client_id: oidc::CLIENT.into(),
            public_url: public_url.into(),
            roles_claim: "cognito:groups".into(),
        };
        let http = HttpOptions {
            allow_private_address: true,
            retry_pause: std::time::Duration::from_millis(1),
            ..HttpOptions::default()
        };
        let door = SignIn::new(settings, &OPERATOR.to_owned().into(), None, http);
        Self { setting: Setting::behind(Door::SignIn(Box::new(door))).await, world }
    }

    async fn ask(&self, method: Method, address: &str, headers: &[(&str, &str)]) -> Answer {
        self.setting.send(request(method, address, headers, "")).await
    }

    async fn get(&self, address: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, address, headers).await
    }

    /// Asks as a program that has this token.
    async fn with_bearer(&self, method: Method, address: &str, token: &str) -> Answer {
        self.ask(method, address, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// A token of the issuer for somebody.
    fn token(&self, person: &Person) -> String {
        oidc::signed_token(&self.world, person, None)
    }

    /// What the issuer answers to the address that a browser is sent to: where it sends the browser back.
    async fn at_issuer(&self, address: &str) -> String {
        let address = url::Url::parse(address).unwrap();
        let options = HttpOptions { allow_private_address: true, ..HttpOptions::default() };
        let client =
            sync::HttpClient::new("browser", &address.origin().ascii_serialization(), &options).unwrap();
        let request = client.request(sync::http::Method::GET, address.path());
        let request =
            address.query_pairs().fold(request, |request, (name, value)| request.query(&name, value));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 302, "{address}");
        let back = answer.header("location").unwrap();
        back.strip_prefix("http://127.0.0.1:9000")
            .or(back.strip_prefix("https://pages.example"))
            .unwrap()
            .to_owned()
    }

    /// Begins to sign in and lets the issuer answer: the address it sends back to, and the cookie of the flow.
    async fn begin(&self, person: Person) -> (String, String) {
        self.world.people.next(person);
        let begun = self.get("/login", &[]).await;
        assert_eq!(begun.status, 303, "{}", begun.text);
        (self.at_issuer(begun.header("location")).await, cookie(&begun, 0))
    }

    /// Signs in as somebody; the cookie of the session.
    async fn sign_in(&self, person: Person) -> String {
        let (back, flow) = self.begin(person).await;
        let answer = self.get(&back, &[("cookie", &flow)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        cookie(&answer, 0)
    }
}

/// Name and value of a cookie that an answer sets.
fn cookie(answer: &Answer, nth: usize) -> String {
    answer.whole.cookies[nth].split(';').next().unwrap().to_owned()
}

fn person(groups: &[&str]) -> Person {
    Person::new("ana@example.com", groups)
}

fn odd(signing: Signing, claims: serde_json::Value) -> Person {
    let claims = claims.as_object().unwrap().clone();
    Person { signing, claims, ..person(&["viewer"]) }
}
