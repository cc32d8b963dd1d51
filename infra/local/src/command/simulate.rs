//! `vulnrelay simulate`.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use simulators::{Options, World};
use tokio::net::TcpListener;

use super::{Failure, SimulateArgs};
use crate::{demo, terminal};

pub async fn simulate(args: SimulateArgs) -> Result<(), Failure> {
    let day_zero = args.start.unwrap_or_else(|| Timestamp::now().to_zoned(TimeZone::UTC).date());
    let start = day_zero.to_zoned(TimeZone::UTC).map_err(Failure::input)?.timestamp();
    let world = World::new(Options { day: args.day, ..Options::new(args.seed, args.size, start) });
    world.faults.set(&args.faults).map_err(|problem| Failure::Input(format!("--faults: {problem}")))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await.map_err(|error| {
        Failure::Input(format!(
            "127.0.0.1:{}: {error}: choose another --port, or 0 for a free one",
            args.port
        ))
    })?;
    let port = listener.local_addr().map_err(Failure::failed)?.port();
    println!("{}", demo::config_of_everything(port));
    {
        use std::io::Write;
        std::io::stdout().flush().map_err(Failure::failed)?;
    }
    terminal::done(&format!(
        "{} hosts, seed {}, day {} on {}",
        args.size,
        args.seed,
        args.day,
        terminal::link(&format!("http://127.0.0.1:{port}"))
    ));
    terminal::notice(
        "what it received: GET /received; levers: POST /control/day?day=N, POST /control/faults",
    );
    tokio::select! {
        served = simulators::serve(world, listener) => served.map_err(Failure::failed),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
