//! Serves a simulated world: `serve [PORT] [HOSTS] [SEED]`.

use simulators::{Options, World};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap_or_default());
    let port = numbers.next().unwrap_or(8099);
    let size = numbers.next().unwrap_or(100);
    let seed = numbers.next().unwrap_or(1);
    let start = jiff::Timestamp::from_second(1_767_571_200).unwrap_or_default();
    let world = World::new(Options::new(seed, size as usize, start));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port as u16)).await?;
    println!("http://{}", listener.local_addr()?);
    simulators::serve(world, listener).await
}
