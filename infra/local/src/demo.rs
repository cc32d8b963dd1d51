//! The demo: an estate on simulated scanners that lives through a week, and then goes on day by day.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use simulators::{Options, World};
use tokio::net::TcpListener;

use crate::aws::Idle;
use crate::clock::StackClock;
use crate::stack::{INTEL_START, SLA_QUEUE, Stack, StackError, start_message};

/// Days that the demo lives through at its first start. Day 0 is the first sync; on the last the clock is ours.
const DAYS: u32 = 6;
/// Seed of the estate.
const SEED: u64 = 20_261_122;
/// Note in which the demo remembers how far it has come.
const NOTE: &str = "demo";
/// The scanners' day begins at midnight; the week is lived at this hour.
const HOUR: SignedDuration = SignedDuration::from_hours(6);

/// How far the demo has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Progress {
    /// Midnight of day 0.
    pub start: Timestamp,
    /// Hosts.
    pub size: usize,
    /// Days that have been lived through; `None`: not even day 0.
    pub lived: Option<u32>,
}

impl Progress {
    /// A demo that begins now: day 6 is today.
    pub fn begin(size: usize, now: Timestamp) -> Self {
        Self { start: midnight(now) - SignedDuration::from_hours(24 * i64::from(DAYS)), size, lived: None }
    }

    /// The demo of an earlier start, if the directory holds one. Read from a file of its own, because the table is
    /// not open yet when the simulated world has to be made.
    pub fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("demo.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, data: Option<&Path>) {
        // Losing it costs a second look at days that change nothing.
        if let (Some(data), Ok(text)) = (data, serde_json::to_string(self)) {
            let _ = std::fs::write(data.join("demo.json"), text);
        }
    }

    /// The estate's day at a time.
    fn day_at(&self, now: Timestamp) -> u32 {
        u32::try_from(now.duration_since(self.start).as_hours() / 24).unwrap_or(0)
    }
}

fn midnight(now: Timestamp) -> Timestamp {
    let day = now.to_zoned(TimeZone::UTC).date();
    day.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp())
}

/// Starts the simulated world of a demo on a free port of 127.0.0.1.
pub async fn world(progress: &Progress) -> std::io::Result<(Arc<World>, u16)> {
    let world = World::new(Options::new(SEED, progress.size, progress.start));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(simulators::serve(world.clone(), listener));
    Ok((world, port))
}

/// The configuration that goes with simulated systems on `port`. The credentials it names are public.
pub fn config(port: u16) -> String {
    CONFIG.replace("PORT", &port.to_string())
}

const CONFIG: &str = include_str!("demo.yaml");

/// The same with the simulated scanners that the demo leaves out.
pub fn config_of_everything(port: u16) -> String {
    let all = CONFIG.replacen("\n\nfeeds:\n", &format!("\n{}\n\nfeeds:\n", MORE_CONNECTORS.trim_end()), 1);
    all.replace("PORT", &port.to_string())
}

const MORE_CONNECTORS: &str = include_str!("simulated.yaml");

/// Lives through the days that have not been lived yet, each in the time it takes to work them.
pub async fn live(
    stack: &Stack,
    world: &World,
    mut progress: Progress,
    data: Option<&Path>,
    told: &dyn Fn(u32, u32),
) -> Result<Progress, StackError> {
    let sources = stack.sources()?;
    let clock = stack.clock();
    let today = progress.day_at(Timestamp::now());
    let first = progress.lived.map_or(0, |lived| lived + 1);
    for day in first..=today.max(DAYS) {
        told(day, today.max(DAYS));
        world.clock.set_day(day);
        let morning = world.clock.at(day) + HOUR;
        clock.hold(if day == today { Timestamp::now() } else { morning });
        stack.send(queue::QueueName::Intel.as_str(), INTEL_START)?;
        drain(&sources, clock, world).await?;
        for connector in stack.services().config.pulled() {
            let start = start_message(&connector.name, queue::Trigger::Scheduled, &format!("demo day {day}"));
            stack.send(queue::QueueName::Sync(connector.scanner).as_str(), &start)?;
        }
        drain(&sources, clock, world).await?;
        stack.send(SLA_QUEUE, "{}")?;
        drain(&sources, clock, world).await?;
        progress.lived = Some(day);
        progress.write(data);
    }
    stack.services().store.put_note(NOTE, &serde_json::to_string(&progress).unwrap_or_default()).await?;
    clock.release();
    Ok(progress)
}

/// Works everything there is, moving the held clock to what is due next.
async fn drain(
    sources: &crate::aws::EventSources,
    clock: &StackClock,
    world: &World,
) -> Result<(), StackError> {
    sources
        .drain_with(|due| {
            let step = due.duration_since(clock.now()).max(SignedDuration::ZERO);
            world.clock.advance(step);
            clock.hold(due.max(clock.now()));
            Idle::Advanced
        })
        .await?;
    Ok(())
}

/// Moves the simulated scanners on with the real clock, so that the estate changes each night.
pub async fn go_on(world: Arc<World>, progress: Progress) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let day = progress.day_at(Timestamp::now());
        if day > world.clock.day() {
            world.clock.set_day(day);
        }
    }
}
