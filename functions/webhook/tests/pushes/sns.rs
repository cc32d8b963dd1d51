//! Amazon SNS: its key, its certificates, its messages, and the host that answers for them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};

/// The topic that may push.
pub const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:scans";
/// Where SNS says that its certificate is.
pub const CERTIFICATE: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem";

/// The key that SNS signs with, and somebody else's.
static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| [7, 8].map(Key::new));

/// An RSA key of 2048 bits.
struct Key {
    modulus: BigUint,
    secret: BigUint,
}

/// The public exponent of every key.
const EXPONENT: u32 = 65_537;

impl Key {
    /// The same key for the same seed.
    fn new(mut seed: u64) -> Self {
        let (p, q) = (prime(&mut seed), prime(&mut seed));
        let order = (&p - 1_u32) * (&q - 1_u32);
        let secret = BigUint::from(EXPONENT).modinv(&order).unwrap();
        Self { modulus: p * q, secret }
    }

    /// A signature by PKCS #1, version 1.5.
    fn sign(&self, version: &str, text: &[u8]) -> Vec<u8> {
        let (algorithm, info) = match version {
            "1" => (&SHA1_FOR_LEGACY_USE_ONLY, "3021300906052b0e03021a05000414"),
            _ => (&SHA256, "3031300d060960864801650304020105000420"),
        };
        let info = [hex::decode(info).unwrap(), digest(algorithm, text).as_ref().to_vec()].concat();
        let padding = vec![0xff; 256 - 3 - info.len()];
        let padded = [&[0, 1][..], &padding, &[0], &info].concat();
        let signed = BigUint::from_bytes_be(&padded).modpow(&self.secret, &self.modulus).to_bytes_be();
        [vec![0; 256 - signed.len()], signed].concat()
    }

    fn public(&self) -> Vec<u8> {
        let modulus = [vec![0], self.modulus.to_bytes_be()].concat();
        der(0x30, &[der(2, &modulus), der(2, &EXPONENT.to_be_bytes()[1..])].concat())
    }
}

/// A number of 1024 bits that is prime as far as Fermat can tell.
fn prime(seed: &mut u64) -> BigUint {
    let two = BigUint::from(2_u32);
    loop {
        let mut bytes: Vec<u8> = (0..16).flat_map(|_| random(seed).to_be_bytes()).collect();
        bytes[0] |= 0xc0;
        bytes[127] |= 1;
        let number = BigUint::from_bytes_be(&bytes);
        let divisible = (3_u32..2_000).step_by(2).any(|small| &number % small == BigUint::ZERO);
        let before = &number - 1_u32;
        let usable = !divisible && &before % EXPONENT != BigUint::ZERO;
        if usable && two.modpow(&before, &number) == BigUint::from(1_u32) {
            return number;
        }
    }
}

/// Numbers that look random and are the same in each run (splitmix64).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The host of SNS.
#[derive(Default)]
pub struct Sns {
    /// Certificates by path.
    pub certificates: Mutex<BTreeMap<String, String>>,
    /// What was asked: path and query.
    pub asked: Mutex<Vec<String>>,
    /// The status of every answer, where it is not its own.
    pub fails: Mutex<Option<u16>>,
}

impl Sns {
    /// Starts it with its certificate. Gives the address.
    pub async fn start() -> (Arc<Self>, String) {
        let sns = Arc::new(Self::default());
        sns.serve(CERTIFICATE, certificate("sns.amazonaws.com", "20260101000000Z", "20270101000000Z"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = sns.clone();
        let app = Router::new().fallback(move |uri: Uri| {
            let state = state.clone();
            async move { state.answer(&uri) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (sns, address)
    }

    /// Publishes a certificate.
    pub fn serve(&self, address: &str, pem: String) {
        let path = address.strip_prefix("https://sns.eu-central-1.amazonaws.com").unwrap();
        self.certificates.lock().unwrap().insert(path.to_owned(), pem);
    }

    fn answer(&self, uri: &Uri) -> (StatusCode, String) {
        self.asked.lock().unwrap().push(uri.to_string());
        if let Some(status) = *self.fails.lock().unwrap() {
            return (StatusCode::from_u16(status).unwrap(), "no".into());
        }
        if uri.query().is_some_and(|query| query.contains("Action=ConfirmSubscription")) {
            return (StatusCode::OK, "<ConfirmSubscriptionResponse/>".into());
        }
        match self.certificates.lock().unwrap().get(uri.path()) {
            Some(pem) => (StatusCode::OK, pem.clone()),
            None => (StatusCode::NOT_FOUND, "no such certificate".into()),
        }
    }

    /// How often something was asked whose address holds this.
    pub fn asked(&self, text: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.contains(text)).count()
    }
}

/// A notification, not signed yet.
pub fn notification(id: &str, at: i64) -> Value {
    json!({
        "Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Subject": "scan", "Message": "finished\n\"all\"",
        "Timestamp": Timestamp::from_second(at).unwrap().strftime("%Y-%m-%dT%H:%M:%S.123Z").to_string(),
        "SignatureVersion": "2", "SigningCertURL": CERTIFICATE, "UnsubscribeURL": "https://example.com/"
    })
}

/// A request to confirm a subscription or its end, not signed yet.
pub fn about_subscription(kind: &str, at: i64) -> Value {
    let mut message = notification("s-1", at);
    message.as_object_mut().unwrap().remove("Subject");
    message["Type"] = json!(kind);
    message["Token"] = json!("2336412f37");
    message["SubscribeURL"] = json!(format!(
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    ));
    message
}

/// The message with its signature, by SNS or by somebody else.
pub fn signed(mut message: Value, by_sns: bool) -> Value {
    let mut fields =
        vec!["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
    let of_subscription = message["Type"] != "Notification";
    fields.retain(|field| of_subscription || !matches!(*field, "SubscribeURL" | "Token"));
    let mut text = String::new();
    for field in fields {
        if let Some(value) = message.get(field) {
            text.push_str(&format!("{field}\n{}\n", value.as_str().unwrap()));
        }
    }
    let key = &KEYS[usize::from(!by_sns)];
    let signature = key.sign(message["SignatureVersion"].as_str().unwrap(), text.as_bytes());
    message["Signature"] = json!(STANDARD.encode(signature));
    message
}

/// A certificate with SNS's key, as PEM. Who issued it is nobody: SNS does not publish its issuers either.
pub fn certificate(name: &str, from: &str, until: &str) -> String {
    let null = der(5, &[]);
    let algorithm = |oid: &[u8]| der(0x30, &[der(6, oid), null.clone()].concat());
    let sha256_with_rsa = algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]);
    let rsa = algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
    let common_name = [der(6, &[0x55, 4, 3]), der(12, name.as_bytes())].concat();
    let named = der(0x30, &der(0x31, &der(0x30, &common_name)));
    let key = der(0x30, &[rsa, bits(&KEYS[0].public())].concat());
    let other_names = der(4, &der(0x30, &der(0x82, name.as_bytes())));
    let extensions = der(0xa3, &der(0x30, &der(0x30, &[der(6, &[0x55, 29, 17]), other_names].concat())));
    let times = der(0x30, &[der(24, from.as_bytes()), der(24, until.as_bytes())].concat());
    let version = der(0xa0, &der(2, &[2]));
    let content =
        [version, der(2, &[1]), sha256_with_rsa.clone(), named.clone(), times, named, key, extensions]
            .concat();
    let whole = der(0x30, &[der(0x30, &content), sha256_with_rsa, bits(&[0; 256])].concat());
    let lines: Vec<String> = STANDARD
        .encode(whole)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn bits(content: &[u8]) -> Vec<u8> {
    der(3, &[&[0], content].concat())
}

/// A value of the tag, with its length before it.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=255 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}
