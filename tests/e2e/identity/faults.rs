//! A merge and its undoing, struck at every step: a repeat completes them.

use std::sync::Arc;

use serde_json::json;

use super::bench::{Bench, LOG4SHELL, OTHER, QUALYS, TENABLE, agent, both, hardware};
use crate::faults::plan::{Fault, Plan};
use crate::site::lines::difference;

struct Ended {
    steps: usize,
    story: String,
    export: Vec<String>,
    tickets: Vec<String>,
    counters: Vec<String>,
}

async fn flow(plan: Arc<Plan>, undone: bool) -> Ended {
    let bench = Bench::with(Some(plan.clone())).await;
    // Each time what was not sent is sent before the next thing happens.
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

fn run(plan: Arc<Plan>, undone: bool) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(flow(plan, undone))
}

fn strike(fault: Fault, undone: bool) {
    let clean = run(Plan::new([]), undone);
    for step in 0..clean.steps {
        let ended = run(Plan::new([(step, fault)]), undone);
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
    strike(Fault::KillBefore, false);
}

#[test]
fn a_function_that_dies_after_any_step_of_an_undone_merge_leaves_what_a_repeat_completes() {
    strike(Fault::KillAfter, true);
}
