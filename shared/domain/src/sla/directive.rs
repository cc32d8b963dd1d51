//! CISA's Binding Operational Directive 26-04 of 2026-06-10: the time to remediate, by four questions about a
//! vulnerability on an asset.
//!
//! The table is CERT/CC's `cisa_bod_26_04_1_0_0`. It binds agencies of the United States; others may follow it.

use serde::{Deserialize, Serialize};

use crate::score::{Exposure, Factors};

/// The four questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// It is in the catalogue of known exploited vulnerabilities.
    pub in_kev: bool,
    /// The asset can be reached from the internet.
    pub exposed: bool,
    /// An attacker can automate all steps.
    pub automatable: bool,
    /// An attacker gains total control.
    pub total_impact: bool,
}

/// What the directive asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Days to remediate; `None`: with the next upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u16>,
    /// Whether somebody has to look for traces of an attack, before the fix destroys them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forensic: bool,
}

impl Case {
    /// The case that a score was computed from; `None` where CISA has not assessed the CVE. An exposure that is not known
    /// counts as exposed, as CISA's guidance has it.
    pub fn of(factors: &Factors) -> Option<Self> {
        Some(Self {
            in_kev: factors.kev == Some(true),
            exposed: matches!(factors.exposure, None | Some(Exposure::Internet)),
            automatable: factors.automatable?,
            total_impact: factors.total_impact?,
        })
    }

    /// The row of the table.
    pub fn timeline(self) -> Timeline {
        let Self { in_kev, exposed, automatable, total_impact } = self;
        let (days, forensic) = match (in_kev, exposed, automatable, total_impact) {
            (true, true, _, true) | (true, false, true, true) => (Some(3), true),
            (true, true, true, false) | (false, true, true, true) => (Some(3), false),
            (true, ..) | (false, true, true, false) | (false, true, false, true) => (Some(14), false),
            (false, true, false, false) | (false, false, true, _) => (Some(60), false),
            (false, false, false, _) => (None, false),
        };
        Timeline { days, forensic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixteen_rows_are_those_of_the_directive() {
        // KEV, exposed, automatable, total impact: the order of the published rows.
        let rows = [
            ("nnnp", "upgrade"),
            ("ynnp", "14"),
            ("nynp", "60"),
            ("nnyp", "60"),
            ("nnnt", "upgrade"),
            ("yynp", "14"),
            ("ynyp", "14"),
            ("nyyp", "14"),
            ("ynnt", "14"),
            ("nynt", "14"),
            ("nnyt", "60"),
            ("yyyp", "3"),
            ("yynt", "3+F"),
            ("ynyt", "3+F"),
            ("nyyt", "3"),
            ("yyyt", "3+F"),
        ];
        for (questions, wanted) in rows {
            let [in_kev, exposed, automatable] = [0, 1, 2].map(|at| questions.as_bytes()[at] == b'y');
            let case = Case { in_kev, exposed, automatable, total_impact: questions.ends_with('t') };
            let Timeline { days, forensic } = case.timeline();
            let days = days.map_or("upgrade".to_owned(), |days| days.to_string());
            assert_eq!(format!("{days}{}", if forensic { "+F" } else { "" }), wanted, "{questions}");
        }
    }

    #[test]
    fn what_cisa_has_not_assessed_has_no_row_and_unknown_exposure_is_exposed() {
        let factors = Factors { automatable: Some(true), ..Factors::default() };
        assert_eq!(Case::of(&factors), None);
        let case = Case::of(&Factors { total_impact: Some(false), ..factors });
        assert!(case.is_some_and(|case| case.exposed && !case.in_kev));
    }
}
