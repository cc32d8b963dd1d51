//! A whole flow, from the first sync over the tickets to the fixes of the next day, with a fault at step k, for every
//! k: the end is that of the run in which nothing went wrong.
//!
//! `FAULT_SIZE` is the number of hosts (default 1), `FAULT_SEED` the seed of the estate. `FAULT_STRIDE=n` strikes every
//! n-th step in each mode, 1 every single one; `FAULT_STEP=k` only step k. Without these, of steps that are alike (same
//! function, same call on the same kind of item after the same kind of call) some are struck, spread over the flow, and
//! modes that take long strike a part of those.
//!
//! So that every step has its turn within a short time, one run is struck at several steps that are far apart. When
//! such a run ends differently, each of its steps is tried alone, to name the one that is to blame.

pub mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use queue::Trigger;
use serde_json::Value;

use crate::site::lines::reference;
use crate::site::picture::Picture;
use crate::site::{Setup, Site};
use plan::{Fault, Plan, Struck};

/// Steps of one run that are struck, evenly apart.
const PER_RUN: usize = 16;
/// Strikes are at least this many chosen steps apart: a message has ten deliveries.
const APART: usize = 20;
/// Of steps that are alike, this many are struck.
const ALIKE: usize = 5;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

/// Every so many-th delivery is repeated in one run.
const REPEATED: usize = 13;

/// How a flow ended.
struct Ended {
    picture: Picture,
    /// References of the messages, in the order of arrival.
    references: Vec<String>,
    plan: Arc<Plan>,
}

/// Two days: everything is found; some things are fixed, new ones appear.
async fn flow(plan: Arc<Plan>, again: bool) -> Ended {
    let setup = Setup {
        seed: setting("FAULT_SEED", 5) as u64,
        plan: Some(plan.clone()),
        // More tickets, and messages for what is new: more that could go wrong.
        ..Setup::new(setting("FAULT_SIZE", 1)).edit("ticket_min_score: 700", "ticket_min_score: 0").edit(
            "[first_sync, exploited, overdue, approaching]",
            "[first_sync, opened, exploited, overdue, approaching]",
        )
    };
    let site = Site::start(setup).await;
    for day in DAYS {
        site.day(day);
        // Small moves of scores settle another day: what a message says would depend on when it is composed.
        let now = site.now().to_string();
        site.stack.observer().put_note(sync_intel::SETTLED, &now).await.unwrap();
        site.feeds().await;
        for connector in ["tenable-demo", "qualys-demo"] {
            site.pull(connector, Trigger::Full).await;
        }
        site.sla().await;
        site.settle().await;
    }
    if again {
        // What was delivered long ago comes once more, all of it.
        for (queue, body) in plan.delivered() {
            // A start is a wish of its own, not a part of a flow.
            if !body.contains("\"start\"") {
                site.stack.send(&queue, &body).unwrap();
            }
        }
    }
    site.drain().await;
    site.settle().await;
    let vulnerabilities = site.vulnerabilities().await;
    let counted = site.stack.observer().open_counts().await.unwrap();
    assert_eq!(counted, site.recount(&vulnerabilities).await, "the counters are off {}", plan.story());
    let intents: usize = vulnerabilities.iter().map(|v| v.intents.len()).sum();
    assert_eq!(intents, 0, "tickets that were never made {}", plan.story());
    let messages = site.world.received.messages();
    let references = messages.iter().map(reference).collect();
    Ended { picture: site.picture().await, references, plan }
}

/// Day 0 is the first sync; on the other, some findings are fixed, some are new, and some are back.
const DAYS: [u32; 2] = [0, 20];

/// Whether a fault left nobody knowing if a message had been posted: at the post itself, or before that was written.
fn blinds_notify(struck: &Struck) -> bool {
    let is_post = |what: &str| what.contains("/slack/services/");
    struck.function == "notify" && (is_post(&struck.what) || is_post(&struck.before))
}

/// A start that comes back after its run has ended starts one more, which finds nothing new.
fn without_extra_runs(clean: &[String], runs: &[String]) -> Vec<String> {
    let mut left = clean.to_vec();
    let extra_is_harmless = |run: &String| run.contains("Some(Complete) closed 0 ");
    runs.iter()
        .filter(|run| match left.iter().position(|other| other == *run) {
            Some(found) => {
                left.remove(found);
                true
            }
            None => !extra_is_harmless(run),
        })
        .cloned()
        .collect()
}

/// Compares with the clean run. A webhook cannot be asked what it received: where that is left open, one message may
/// come twice under the same reference, or its delivery says `unconfirmed`.
fn compare(clean: &Ended, ended: &Ended) -> Result<(), String> {
    let wanted = news_apart(&clean.picture);
    let mut picture = ended.picture.clone();
    picture.runs = without_extra_runs(&wanted.runs, &picture.runs);
    let blind = ended.plan.struck().iter().filter(|s| blinds_notify(s)).count();
    if blind > 0 {
        picture.messages.dedup();
    }
    let mut picture = news_apart(&picture);
    let mut repeats = 0;
    if blind > 0 {
        let mut count: BTreeMap<&String, usize> = BTreeMap::new();
        for reference in &ended.references {
            *count.entry(reference).or_default() += 1;
        }
        repeats = count.values().map(|n| n - 1).sum();
        // Those of news that are left here were not sent; whatever else became of them is a difference.
        let all = picture.export.len();
        picture.export.retain(|line| news_state(line).is_none_or(|state| state != "unconfirmed"));
        let mut unconfirmed = all - picture.export.len();
        for (line, clean) in picture.export.iter_mut().zip(&wanted.export) {
            let mut value: Value = serde_json::from_str(line).unwrap();
            if value["type"] == "delivery" && value["state"] == "unconfirmed" {
                value["state"] = "sent".into();
                let confirmed = value.to_string();
                if confirmed == *clean {
                    line.clone_from(clean);
                    unconfirmed += 1;
                }
            }
        }
        repeats = repeats.max(unconfirmed);
    }
    if repeats > blind {
        return Err(format!("{repeats} messages were repeated, {blind} could have been"));
    }
    wanted.difference(&picture).map_or(Ok(()), Err)
}

/// The same with one line for each vulnerability that is told as new. It is told as soon as it is decided, together with
/// what is decided at the same time: a fault that delays a part moves it from one message into another. What has to be the
/// same is that each is told, and once.
fn news_apart(picture: &Picture) -> Picture {
    let mut apart = picture.clone();
    // The messages themselves are compared; what was not sent stays to be seen.
    apart.export.retain(|line| news_state(line).is_none_or(|state| state != "sent"));
    apart.messages = picture.messages.iter().flat_map(|message| told(message)).collect();
    apart.messages.sort();
    apart
}

/// What became of a delivery that tells of new vulnerabilities, if the line of an export is one.
fn news_state(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).unwrap();
    let is_news = value["subject"].as_str().is_some_and(|subject| subject.starts_with("New: "));
    (value["type"] == "delivery" && is_news).then(|| value["state"].as_str().unwrap_or_default().to_owned())
}

/// The lines of a message that tells of new vulnerabilities, each with the machine; of another, or of one that is cut, the
/// whole.
fn told(message: &str) -> Vec<String> {
    let mut lines = message.lines();
    let machine = lines.next().and_then(|first| Some(first.split_once(" New: ")?.1.split_once(" on ")?.1));
    match machine {
        Some(machine) if lines.clone().all(|line| line.starts_with('•')) => {
            lines.map(|line| format!("new on {machine} {line}")).collect()
        }
        _ => vec![message.to_owned()],
    }
}

#[test]
fn what_is_told_as_new_is_compared_line_by_line() {
    let both = "n-1 New: 2 vulnerabilities on web\n• high a\n• low b";
    let (one, other) =
        ("n-2 New: 1 vulnerability on web\n• high a", "n-3 New: 1 vulnerability on web\n• low b");
    assert_eq!(told(both), [told(one), told(other)].concat());
    assert_ne!(told(one), told("n-2 New: 1 vulnerability on mail\n• high a"));
    for whole in ["n-4 Overdue: x\n• high a", "n-5 New: 30 vulnerabilities on web\n• high a\nand 29 more"]
    {
        assert_eq!(told(whole), [whole]);
    }
    let delivery = |state: &str| {
        format!(r#"{{"type":"delivery","subject":"New: 1 vulnerability on web","state":"{state}"}}"#)
    };
    assert_eq!(news_state(&delivery("failed")).as_deref(), Some("failed"));
    assert_eq!(news_state(&delivery("sent").replace("New: ", "Overdue: ")), None);
}

fn runtime() -> tokio::runtime::Runtime {
    // One thread: the same steps in the same order each time, as far as that goes.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn run(plan: Arc<Plan>) -> Ended {
    // A panic of the flow ends the test, and the plan tells why.
    runtime().block_on(flow(plan, false))
}

/// Runs a flow that may panic.
fn attempt(clean: &Ended, faults: &[(usize, Fault)]) -> Result<Arc<Plan>, String> {
    let plan = Plan::new(faults.iter().copied());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(plan.clone())));
    match ended {
        Ok(ended) => {
            compare(clean, &ended).map(|()| plan.clone()).map_err(|diff| format!("{diff}{}", plan.story()))
        }
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            Err(format!("{}{}", words.unwrap_or_else(|| "the flow panicked".into()), plan.story()))
        }
    }
}

/// The steps to strike in a mode that takes every `stride`-th of those that matter.
fn chosen(log: &[(String, String)], stride: usize) -> Vec<usize> {
    if let Ok(step) = std::env::var("FAULT_STEP") {
        return vec![step.parse().unwrap()];
    }
    if std::env::var("FAULT_STRIDE").is_ok() {
        return (0..log.len()).step_by(setting("FAULT_STRIDE", 1)).collect();
    }
    let mut alike: BTreeMap<(&str, String, String), Vec<usize>> = BTreeMap::new();
    for (step, (function, what)) in log.iter().enumerate() {
        let before = step.checked_sub(1).map(|before| kind(&log[before].1)).unwrap_or_default();
        alike.entry((function, kind(what), before)).or_default().push(step);
    }
    let spread = |steps: Vec<usize>| {
        let (taken, last) = (steps.len().min(ALIKE), steps.len() - 1);
        (0..taken).map(|nth| steps[nth * last / (taken - 1).max(1)]).collect::<Vec<_>>()
    };
    let mut all: Vec<usize> = alike.into_values().flat_map(spread).collect();
    all.sort_unstable();
    all.into_iter().step_by(stride).collect()
}

/// What kind of call it is: the call, and the kind of item by the capitals of its key.
fn kind(what: &str) -> String {
    let (call, key) = what.split_once(' ').unwrap_or((what, ""));
    let shape = |part: &str| part.split(['#', '/', '{']).next().unwrap_or_default().to_owned();
    let shapes: Vec<String> = key.split(' ').take(2).map(shape).collect();
    format!("{call} {}", shapes.join(" "))
}

/// Strikes every `stride`-th step of those that matter.
fn strike_every(fault: Fault, stride: usize) {
    let clean = run(Plan::new([]));
    let steps = clean.plan.steps();
    let chosen = chosen(&clean.plan.log(), stride);
    let apart = chosen.len().div_ceil(PER_RUN).max(APART);
    let runs: Vec<Vec<usize>> = (0..apart.min(chosen.len()))
        .map(|first| chosen.iter().copied().skip(first).step_by(apart).collect())
        .collect();
    let began = std::time::Instant::now();
    let (mut struck, mut wrong) = (0, Vec::new());
    for steps in &runs {
        let faults: Vec<_> = steps.iter().map(|step| (*step, fault)).collect();
        match attempt(&clean, &faults) {
            Ok(plan) => struck += plan.struck().len(),
            Err(diff) => {
                println!("{fault:?} at {steps:?}: {diff}");
                let alone: Vec<String> =
                    faults.iter().filter_map(|one| attempt(&clean, &[*one]).err()).collect();
                wrong.push(if alone.is_empty() {
                    format!("only together: {diff}")
                } else {
                    alone.join("\n")
                });
                if wrong.len() >= 2 {
                    break;
                }
            }
        }
    }
    println!(
        "{fault:?}: {struck} of {steps} steps struck in {} runs, {:.0} s",
        runs.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_function_that_dies_before_any_step_changes_nothing() {
    strike_every(Fault::KillBefore, 1);
}

#[test]
fn a_function_that_dies_after_any_step_changes_nothing() {
    strike_every(Fault::KillAfter, 1);
}

#[test]
fn a_throttled_step_changes_nothing() {
    strike_every(Fault::Throttle, 3);
}

#[test]
fn a_step_whose_answer_is_lost_changes_nothing() {
    strike_every(Fault::Lost, 3);
}

#[test]
fn a_step_whose_connection_breaks_changes_nothing() {
    strike_every(Fault::Broken, 37);
}

#[test]
fn messages_that_come_twice_change_nothing() {
    let clean = run(Plan::new([]));
    let deliveries = clean.plan.deliveries();
    for first in 0..REPEATED {
        let twice = || (first..deliveries).step_by(REPEATED);
        let ended = run(Plan::repeating(twice()));
        let function = |nth: usize| ended.plan.functions().get(nth).cloned().unwrap_or_default();
        let named: Vec<_> = twice().map(|nth| format!("{nth} {}", function(nth))).collect();
        assert_eq!(compare(&clean, &ended), Ok(()), "deliveries {named:?}");
    }
}

#[test]
fn a_flow_in_which_every_message_comes_twice_ends_the_same() {
    let clean = run(Plan::new([]));
    let ended = run(Plan::repeating(0..usize::from(u16::MAX)));
    assert_eq!(compare(&clean, &ended), Ok(()));
    let (once, twice) = (clean.plan.deliveries(), ended.plan.deliveries());
    println!("{once} deliveries, {twice} with each of them repeated");
    // A repeat may send what the first one sent, but not more each time.
    assert!(twice <= 3 * once, "messages multiply: {once} deliveries became {twice}");
}

#[test]
fn messages_that_come_again_long_after_change_nothing() {
    let clean = run(Plan::new([]));
    let ended = runtime().block_on(flow(Plan::new([]), true));
    assert_eq!(compare(&clean, &ended), Ok(()));
}

#[test]
fn the_flow_has_something_of_everything() {
    let clean = run(Plan::new([]));
    let has = |lines: &[String], text: &str| lines.iter().any(|line| line.contains(text));
    println!("{} steps, {} deliveries", clean.plan.steps(), clean.plan.deliveries());
    assert!(clean.picture.tickets.len() >= 3, "{:?}", clean.picture.tickets);
    assert!(has(&clean.picture.tickets, "\"status\":\"Done\""), "a ticket is closed");
    assert!(has(&clean.picture.messages, "First sync") && has(&clean.picture.messages, "New: "));
    assert!(has(&clean.picture.export, "\"status\":\"fixed\""));
    let mut calls: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (function, what) in clean.plan.log() {
        let kind = what.split(['/', ' ']).next().unwrap_or_default().to_owned();
        *calls.entry((function, kind)).or_default() += 1;
    }
    println!("{calls:?}");
    for function in ["sync-tenable", "sync-qualys", "sync-intel", "score", "sla", "notify", "ticket"] {
        assert!(calls.keys().any(|(name, _)| name == function), "{function}");
    }
}
