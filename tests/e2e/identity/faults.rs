//! A merge, its undoing, and what follows from a value that proves to be shared, struck at every step: a repeat
//! completes them.

use std::sync::Arc;

use domain::Host;
use serde_json::json;

use super::bench::{Bench, LOG4SHELL, OTHER, QUALYS, TENABLE, agent, both, hardware};
use super::copy;
use crate::faults::plan::{Fault, Plan};
use crate::site::lines::difference;

struct Ended {
    steps: usize,
    story: String,
    export: Vec<String>,
    tickets: Vec<String>,
    counters: Vec<String>,
}

/// What befalls the machines.
#[derive(Clone, Copy, PartialEq)]
enum Story {
    Merge,
    UndoneMerge,
    /// What led one to the other turns out to be shared.
    Learned,
    /// What two became one by turns out to be shared.
    LearnedMerge,
}

async fn flow(plan: Arc<Plan>, story: Story) -> Ended {
    let bench = Bench::with(Some(plan.clone())).await;
    // Each time what was not sent is sent before the next thing happens.
    if matches!(story, Story::Learned | Story::LearnedMerge) {
        let before = if story == Story::LearnedMerge { agent() } else { copy(1) };
        let first = Host { agent_ids: before.agent_ids.clone(), ..copy(1) };
        for (connector, native, host, cves) in [
            (TENABLE, "1", before, &[LOG4SHELL][..]),
            (QUALYS, "9", hardware(), &[LOG4SHELL, OTHER]),
            (TENABLE, "1", first, &[LOG4SHELL]),
            (TENABLE, "2", copy(2), &[]),
        ] {
            bench.see(connector, native, &host, cves).await;
            bench.site.settle().await;
            bench.later().await;
        }
        assert_ne!(bench.asset_of(TENABLE, "1").await, bench.asset_of(QUALYS, "9").await);
    } else {
        merge(&bench, story == Story::UndoneMerge).await;
    }
    bench.counts_are_right().await;
    let picture = bench.site.picture().await;
    Ended {
        steps: plan.steps(),
        story: plan.story(),
        export: picture.export,
        tickets: picture.tickets,
        counters: picture.counters,
    }
}

async fn merge(bench: &Bench, undone: bool) {
    bench.see(TENABLE, "1", &agent(), &[LOG4SHELL]).await;
    bench.site.settle().await;
    bench.later().await;
    bench.see(QUALYS, "7", &hardware(), &[LOG4SHELL, OTHER]).await;
    bench.site.settle().await;
    let gone = bench.asset_of(QUALYS, "7").await;
    bench.see(TENABLE, "1", &both(), &[LOG4SHELL]).await;
    bench.site.settle().await;
    if undone {
        assert_eq!(bench.act(&format!("/api/assets/{gone}/undo-merge"), json!({})).await, 202);
    }
    bench.site.settle().await;
}

fn run(plan: Arc<Plan>, story: Story) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(flow(plan, story))
}

fn strike(fault: Fault, story: Story) {
    let clean = run(Plan::new([]), story);
    for step in 0..clean.steps {
        let ended = run(Plan::new([(step, fault)]), story);
        for (name, a, b) in [
            ("export", &clean.export, &ended.export),
            ("tickets", &clean.tickets, &ended.tickets),
            ("counters", &clean.counters, &ended.counters),
        ] {
            assert_eq!(difference(name, a, b), None, "{fault:?} at {step}{}", ended.story);
        }
    }
}

#[test]
fn a_function_that_dies_before_any_step_of_a_merge_leaves_what_a_repeat_completes() {
    strike(Fault::KillBefore, Story::Merge);
}

#[test]
fn a_function_that_dies_after_any_step_of_an_undone_merge_leaves_what_a_repeat_completes() {
    strike(Fault::KillAfter, Story::UndoneMerge);
}

#[test]
fn a_function_that_dies_after_any_step_of_what_follows_from_a_lesson_leaves_what_a_repeat_completes() {
    strike(Fault::KillAfter, Story::Learned);
}

#[test]
fn a_function_that_dies_after_any_step_of_a_merge_in_doubt_leaves_what_a_repeat_completes() {
    strike(Fault::KillAfter, Story::LearnedMerge);
}
