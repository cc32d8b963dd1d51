//! A served world and the smallest HTTP client that can tell a whole answer from a broken one.

use std::sync::Arc;

use serde_json::Value;
use simulators::{Options, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const TENABLE: &str = "x-apikeys: accessKey=sim-access;secretKey=sim-secret\r\n";
pub const INSIGHTVM: &str = "x-api-key: sim-insightvm-key\r\n";
pub const QUALYS: &str = "x-requested-with: test\r\nauthorization: Basic c2ltLXVzZXI6c2ltLXBhc3M=\r\n";

pub const CONSOLE: &str = "authorization: Basic c2ltLWNvbnNvbGU6c2ltLXBhc3M=\r\n";

pub struct Served {
    pub world: Arc<World>,
    pub address: String,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// The body came to its proper end.
    pub whole: bool,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, v)| v))
    }
}

pub fn options(size: usize) -> Options {
    Options::new(11, size, "2026-01-05T00:00:00Z".parse().unwrap())
}

pub async fn serve(options: Options) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let world = World::new(options);
    let task = tokio::spawn(simulators::serve(world.clone(), listener));
    Served { world, address, task }
}

impl Served {
    pub async fn get(&self, headers: &str, path: &str) -> Answer {
        self.send("GET", headers, path, "").await.expect("an answer")
    }

    pub async fn post(&self, headers: &str, path: &str, body: &str) -> Answer {
        self.send("POST", headers, path, body).await.expect("an answer")
    }

    /// None if the connection ends without an answer.
    pub async fn send(&self, method: &str, headers: &str, path: &str, body: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let raw = &bytes[split + 4..];
        let (body, whole) = if head.to_lowercase().contains("transfer-encoding: chunked") {
            dechunk(raw)
        } else {
            (raw.to_vec(), true)
        };
        let status = head[9..12].parse().unwrap();
        Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned(), whole })
    }
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = raw.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
        raw = &raw[line + 2..];
        if size == 0 {
            return (body, true);
        }
        if raw.len() < size + 2 {
            break;
        }
        body.extend_from_slice(&raw[..size]);
        raw = &raw[size + 2..];
    }
    (body, false)
}
