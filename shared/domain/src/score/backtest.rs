//! How well a score would have chosen what to fix first.
//!
//! Of a population, each scorer's highest share is worked; *coverage* is the share of what came true that is among it,
//! *efficiency* the share of it that came true (Jacobs et al., EPSS v3, arXiv 2302.14172).

use serde::Serialize;

/// What would have been worked by one scorer at one effort.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Choice {
    /// How many would have been worked.
    pub picked: f64,
    /// How many of them came true.
    pub hits: f64,
    /// Hits of all that came true, 0 to 1; 0 where nothing did.
    pub coverage: f64,
    /// Hits of all that were worked, 0 to 1.
    pub efficiency: f64,
}

/// Works the highest `effort` (0 to 1) of a population. `scored` has each member's score and whether it came true; the
/// order does not matter, NaN counts as lowest. Of those with the score at which the effort ends, each is worked by the
/// share of them that still fits, so that ties favour no scorer.
pub fn choose(scored: &[(f64, bool)], effort: f64) -> Choice {
    let mut sorted: Vec<(f64, bool)> = scored.to_vec();
    let rank = |score: f64| if score.is_nan() { f64::NEG_INFINITY } else { score };
    sorted.sort_by(|a, b| rank(b.0).total_cmp(&rank(a.0)));
    let picked = effort.clamp(0.0, 1.0) * sorted.len() as f64;
    let (mut left, mut hits) = (picked, 0.0);
    for tied in sorted.chunk_by(|a, b| rank(a.0) == rank(b.0)) {
        let size = tied.len() as f64;
        let worked = left.min(size);
        hits += tied.iter().filter(|(_, came_true)| *came_true).count() as f64 * worked / size;
        left -= worked;
        if left <= 0.0 {
            break;
        }
    }
    let all = scored.iter().filter(|(_, came_true)| *came_true).count() as f64;
    let share = |of: f64| if of > 0.0 { hits / of } else { 0.0 };
    Choice { picked, hits, coverage: share(all), efficiency: share(picked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_highest_are_worked_and_ties_are_worked_in_part() {
        // Two are worked of ten: the first, and a third of each of the three that tie behind it.
        let mut scored = vec![(9.0, true), (5.0, true), (5.0, false), (5.0, false), (1.0, true)];
        scored.extend([(0.0, false); 5]);
        let choice = choose(&scored, 0.2);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(choice.picked, 2.0) && near(choice.hits, 1.0 + 1.0 / 3.0), "{choice:?}");
        assert!(near(choice.coverage, choice.hits / 3.0) && near(choice.efficiency, choice.hits / 2.0));
        assert_eq!(choose(&[], 0.1).efficiency, 0.0);
        assert_eq!(choose(&[(1.0, false)], 1.0).coverage, 0.0);
        let unknown = [(f64::NAN, true), (0.0, false)];
        assert_eq!(choose(&unknown, 0.5).hits, 0.0, "what has no score comes last");
    }

    proptest! {
        #[test]
        fn a_scorer_that_knows_nothing_covers_what_it_works(
            truths in proptest::collection::vec(any::<bool>(), 1..60), effort in 0.0..1.0f64,
        ) {
            let scored: Vec<_> = truths.iter().map(|came_true| (7.0, *came_true)).collect();
            let choice = choose(&scored, effort);
            let wanted = if truths.contains(&true) { effort } else { 0.0 };
            prop_assert!((choice.coverage - wanted).abs() < 1e-9);
        }

        #[test]
        fn order_does_not_matter_and_more_effort_finds_no_less(
            scored in proptest::collection::vec((0u8..5, any::<bool>()), 0..60), less in 0.0..1.0f64, more in 0.0..1.0f64,
        ) {
            let scored: Vec<(f64, bool)> = scored.into_iter().map(|(s, t)| (f64::from(s), t)).collect();
            let reversed: Vec<_> = scored.iter().rev().copied().collect();
            prop_assert_eq!(choose(&scored, less), choose(&reversed, less));
            let (less, more) = (less.min(more), less.max(more));
            prop_assert!(choose(&scored, less).hits <= choose(&scored, more).hits + 1e-9);
        }
    }
}
