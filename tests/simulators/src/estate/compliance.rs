//! Checks of a hardening benchmark: what each host passes and fails, and since when.

use super::{HostKind, Known};
use crate::dice;

/// A control of the benchmark.
#[derive(Debug)]
pub struct Control {
    /// Its number.
    pub id: u32,
    /// What it asks for.
    pub title: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How to get there.
    pub remedy: &'static str,
    /// 1 to 5.
    pub criticality: u8,
}

/// Name of the benchmark.
pub const BENCHMARK: &str = "Simulated hardening benchmark 1.0";

macro_rules! controls {
    ($($id:literal $criticality:literal $title:literal, $reason:literal, $remedy:literal;)*) => {
        /// Every control.
        pub const CONTROLS: &[Control] = &[$(Control {
            id: $id, title: $title, reason: $reason, remedy: $remedy, criticality: $criticality,
        },)*];
    };
}

controls! {
    1071 5 "Passwords have at least 14 characters", "Short passwords are guessed.", "Set the minimum length to 14.";
    1072 4 "Passwords are locked after five failures", "Guessing must be slow.", "Set the lock-out threshold to 5.";
    1118 3 "The audit log is kept for 90 days", "Incidents are noticed late.", "Raise the retention of the audit log.";
    1201 4 "Root cannot log in over SSH", "People log in under their own names.", "Set PermitRootLogin to no.";
    1202 3 "SSH offers strong ciphers only", "Weak ciphers can be read along.", "Remove CBC ciphers from the list.";
    1318 2 "The login banner warns", "A warning is asked for by law in places.", "Write the banner.";
    2090 4 "The firewall is on", "Services that nobody needs are reachable.", "Enable the firewall at start.";
    2091 3 "Unused file systems are not loaded", "Code that nobody needs has bugs too.", "Blacklist the modules.";
    2360 5 "Automatic updates are on", "Known holes stay open otherwise.", "Enable the update service.";
    3376 2 "The clock is synchronised", "Logs must tell one story.", "Configure a time server.";
    4112 1 "Core dumps are off", "Dumps hold secrets.", "Set the limit to 0.";
}

/// How one host stands with one control.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The control.
    pub control: &'static Control,
    /// Where it stands.
    pub outcome: Outcome,
    /// Seconds since 1970 when it last changed.
    pub changed: i64,
    /// Seconds since 1970 when it was first seen to fail.
    pub first_failed: Option<i64>,
    /// Somebody has allowed it to fail.
    pub excepted: bool,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It could not be made.
    Error,
}

impl Known {
    /// What the checks found at the last scan. Appliances are not checked.
    pub fn checks(&self, seed: u64) -> Vec<Check> {
        if self.host.kind == HostKind::Appliance {
            return Vec::new();
        }
        CONTROLS.iter().map(|control| self.check(seed, control)).collect()
    }

    fn check(&self, seed: u64, control: &'static Control) -> Check {
        let roll = dice::hash_numbers(seed, &[31, u64::from(self.host.index), u64::from(control.id)]);
        let first = self.first_scan();
        let passed =
            Check { control, outcome: Outcome::Passed, changed: first, first_failed: None, excepted: false };
        if roll % 100 >= 35 {
            return if roll % 53 == 7 { Check { outcome: Outcome::Error, ..passed } } else { passed };
        }
        // One in three of what fails is set right on some day, when the next scan sees it.
        let repaired = (roll >> 8).is_multiple_of(3).then(|| 1 + ((roll >> 16) % 20) as i64);
        match repaired.filter(|day| self.scans.last >= *day) {
            Some(_) => Check { changed: self.last_scan(), first_failed: Some(first), ..passed },
            None => Check {
                outcome: Outcome::Failed,
                first_failed: Some(first),
                excepted: (roll >> 24) % 9 == 2,
                ..passed
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Estate, Scanner};
    use super::*;

    #[test]
    fn hosts_fail_pass_and_are_set_right() {
        let start: jiff::Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let estate = Estate::new(42, 60, start);
        let outcomes = |days: i64| {
            let now = start + jiff::SignedDuration::from_hours(24 * days);
            estate
                .view(Scanner::Tenable, now)
                .flat_map(|known| {
                    known.checks(42).into_iter().map(move |c| ((known.host.index, c.control.id), c.outcome))
                })
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let (before, after) = (outcomes(0), outcomes(25));
        for wanted in [Outcome::Passed, Outcome::Failed, Outcome::Error] {
            assert!(before.values().any(|outcome| *outcome == wanted), "{wanted:?}");
        }
        let repaired = before
            .iter()
            .filter(|(key, outcome)| **outcome == Outcome::Failed && after.get(key) == Some(&Outcome::Passed))
            .count();
        assert!(repaired > 5, "{repaired}");
        assert!(before.iter().all(|(key, outcome)| *outcome != Outcome::Passed || after.get(key) != Some(&Outcome::Failed)));
    }
}
