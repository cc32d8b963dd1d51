//! `vulnrelay up`: the whole system, until it is told to stop.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashboard::{Dashboard, Door, TokenDoor};
use jiff::Timestamp;
use platform::Services;
use tokio::net::TcpListener;
use webhook::Webhook;

use super::{Failure, UpArgs, load, start};
use crate::clock::StackClock;
use crate::demo::{self, Progress};
use crate::front::{self, Front};
use crate::terminal;

/// Time that running functions get to end when the process is told to stop.
const GRACE: Duration = Duration::from_secs(10);

pub async fn up(args: UpArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let data = args.state.data.clone();
    let is_demo = args.state.config.is_none();
    std::fs::create_dir_all(&data).map_err(|e| Failure::Input(format!("{}: {e}", data.display())))?;
    let now = Timestamp::now();
    let progress = Progress::read(&data).unwrap_or_else(|| Progress::begin(args.demo, now));
    let (world, text) = if is_demo {
        let (world, port) = demo::world(&progress).await.map_err(Failure::failed)?;
        (Some(world), Some(demo::config(port)))
    } else {
        (None, None)
    };
    let loaded = load(&args.state, text)?;
    let clock = Arc::new(StackClock::default());
    let stack = start(loaded, data.clone(), clock).await?;
    let token = token(&data)?;
    // What the pages read is not counted as the product's work.
    let services = Services { store: stack.observer().clone(), ..stack.services().clone() };
    let pages = Front {
        dashboard: Dashboard::new(&services, Door::Token(TokenDoor::new(&token, "operator"))),
        webhook: Webhook::new(&services),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await.map_err(|error| {
        Failure::Input(format!("127.0.0.1:{}: {error}: choose another --port", args.port))
    })?;
    let port = listener.local_addr().map_err(Failure::failed)?.port();
    tokio::spawn(front::serve(Arc::new(pages), listener));
    terminal::title("vulnrelay");
    terminal::done(&format!(
        "open {}",
        terminal::link(&format!("http://127.0.0.1:{port}/login?token={token}"))
    ));
    if let Some(world) = &world {
        terminal::notice(&format!(
            "demo: {} hosts on simulated scanners; your own: vulnrelay up --config connectors.yaml",
            progress.size
        ));
        let told = |day: u32, last: u32| terminal::notice(&format!("simulated day {day} of {last}"));
        let lived = demo::live(&stack, world, progress, Some(&data), &told);
        let progress = tokio::select! {
            lived = terminal::follow(&stack, "pulling the scanners", lived) => lived?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        tokio::spawn(demo::go_on(world.clone(), progress));
        terminal::done(&format!("the demo is ready after {:.1} s", began.elapsed().as_secs_f64()));
    }
    run(&stack).await?;
    stack.shutdown().await;
    Ok(())
}

/// Functions and schedules, until Ctrl-C.
async fn run(stack: &crate::stack::Stack) -> Result<(), Failure> {
    let running = stack.sources()?.run();
    let scheduler = stack.scheduler()?;
    terminal::notice("Ctrl-C stops; the state is kept");
    tokio::select! {
        () = scheduler.run() => {}
        _ = tokio::signal::ctrl_c() => terminal::notice("stopping"),
    }
    running.stop(GRACE).await;
    Ok(())
}

/// The token that opens the pages: made once, kept in the data directory, readable by its owner alone.
fn token(data: &Path) -> Result<String, Failure> {
    let path = data.join("token");
    if let Ok(token) = std::fs::read_to_string(&path)
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(Failure::failed)?;
    let token = hex::encode(random);
    let write = || -> std::io::Result<()> {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(token.as_bytes())
    };
    write().map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
    Ok(token)
}
