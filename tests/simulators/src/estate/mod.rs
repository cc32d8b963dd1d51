//! A generated estate: hosts, what they run, and what two scanners know about them on any day.
//!
//! Host `i` and everything about it is a function of (seed, `i`, time). Nothing is kept in memory, so an estate of a
//! hundred thousand hosts costs nothing until a part of it is asked for, and time can go on without end. Sets of
//! findings are the same for the same seed and size in any order of asking.

pub mod catalogue;
pub mod compliance;
pub mod history;
pub mod hosts;
pub mod products;

use jiff::Timestamp;

pub use catalogue::Weakness;
pub use history::{Scanner, Scans, Sighting, State};
pub use hosts::{Cloud, End, Host, HostKind};
pub use products::Product;

/// Everything that the scanners look at.
#[derive(Debug, Clone)]
pub struct Estate {
    seed: u64,
    size: usize,
    start: i64,
}

/// A host with the scans of it that one scanner has published.
#[derive(Debug, Clone)]
pub struct Known {
    /// The host as it was at its last scan.
    pub host: Host,
    /// The scans.
    pub scans: Scans,
    /// Removed before the moment of the view.
    pub removed: Option<(i64, End)>,
}

impl Known {
    /// Seconds since 1970 of the first scan.
    pub fn first_scan(&self) -> i64 {
        self.scans.time(self.scans.first)
    }

    /// Seconds since 1970 of the last scan.
    pub fn last_scan(&self) -> i64 {
        self.scans.time(self.scans.last)
    }

    /// Seconds since 1970 when the last scan was published.
    pub fn published(&self) -> i64 {
        self.scans.published(self.scans.last)
    }

    /// What the scanner knows to be wrong with the host, fixed things included.
    pub fn sightings(&self) -> Vec<Sighting> {
        let mut all = Vec::with_capacity(96);
        for product in &self.host.products {
            for weakness in catalogue::of(*product) {
                history::sightings(&self.host, &self.scans, weakness, &mut all);
            }
        }
        all
    }
}

impl Estate {
    /// An estate of `size` hosts at day 0, which begins at `start`.
    pub fn new(seed: u64, size: usize, start: Timestamp) -> Self {
        Self { seed, size, start: start.as_second() }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of hosts that exist or have existed at a moment; their numbers are below it.
    pub fn hosts_until(&self, now: Timestamp) -> u32 {
        hosts::known_until(self.size, self.day(now))
    }

    /// A host as it is at a moment.
    pub fn host(&self, index: u32, now: Timestamp) -> Host {
        hosts::generate(self.seed, self.size, index, self.day(now))
    }

    /// A host as a scanner knows it at a moment; none if it has never been scanned by then.
    pub fn known(&self, index: u32, scanner: Scanner, now: Timestamp) -> Option<Known> {
        let day = self.day(now);
        let mut host = hosts::generate(self.seed, self.size, index, day);
        let scans = Scans::new(self.seed, self.start, &host, scanner, now.as_second())?;
        if scans.last != day {
            host = hosts::generate(self.seed, self.size, index, scans.last);
        }
        let removed =
            host.end.filter(|(end, _)| *end <= day).map(|(end, how)| (self.start + end * 86_400, how));
        Some(Known { host, scans, removed })
    }

    /// Every host that a scanner knows at a moment, removed ones included, in the order of their numbers.
    pub fn view(&self, scanner: Scanner, now: Timestamp) -> impl Iterator<Item = Known> {
        (0..self.hosts_until(now)).filter_map(move |index| self.known(index, scanner, now))
    }

    /// Everything that Tenable knows at the beginning of a day.
    pub fn tenable_view(&self, day: u32) -> impl Iterator<Item = (Known, Vec<Sighting>)> {
        self.full(Scanner::Tenable, day)
    }

    /// Everything that Qualys knows at the beginning of a day.
    pub fn qualys_view(&self, day: u32) -> impl Iterator<Item = (Known, Vec<Sighting>)> {
        self.full(Scanner::Qualys, day)
    }

    fn full(&self, scanner: Scanner, day: u32) -> impl Iterator<Item = (Known, Vec<Sighting>)> {
        let now = Timestamp::from_second(self.start + i64::from(day) * 86_400).unwrap_or(Timestamp::MAX);
        self.view(scanner, now).filter(|known| known.removed.is_none()).map(|known| {
            let sightings = known.sightings();
            (known, sightings)
        })
    }

    fn day(&self, now: Timestamp) -> i64 {
        (now.as_second() - self.start).div_euclid(86_400)
    }
}

/// Seconds since 1970 as `2026-01-01T00:00:00Z`.
pub fn iso(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estate(size: usize) -> Estate {
        Estate::new(42, size, "2026-01-05T00:00:00Z".parse().unwrap())
    }

    fn open(sightings: &[Sighting]) -> usize {
        sightings.iter().filter(|s| s.state != State::Fixed && !s.weakness.is_information()).count()
    }

    #[test]
    fn the_same_seed_gives_the_same_estate() {
        let text = |estate: &Estate| format!("{:?}", estate.tenable_view(9).collect::<Vec<_>>());
        assert_eq!(text(&estate(12)), text(&estate(12)));
        let other = Estate::new(43, 12, "2026-01-05T00:00:00Z".parse().unwrap());
        assert_ne!(text(&estate(12)), text(&other));
    }

    #[test]
    fn a_host_has_some_forty_to_sixty_weaknesses_per_scanner() {
        for (scanner, view) in [
            ("tenable", estate(200).tenable_view(0).map(|(_, s)| open(&s)).collect::<Vec<_>>()),
            ("qualys", estate(200).qualys_view(0).map(|(_, s)| open(&s)).collect::<Vec<_>>()),
        ] {
            let mean = view.iter().sum::<usize>() / view.len();
            assert!((35..=60).contains(&mean), "{scanner}: {mean}");
        }
    }

    #[test]
    fn days_bring_new_fixed_and_reopened_findings() {
        let estate = estate(60);
        let (mut states, mut opened) = ([0; 3], 0);
        let end = "2026-02-04T00:00:00Z".parse().unwrap();
        for known in estate.view(Scanner::Tenable, end) {
            for sighting in known.sightings() {
                states[sighting.state as usize] += 1;
                opened += usize::from(sighting.first_found > estate.start);
                assert!(sighting.first_found <= sighting.last_found);
                assert!(sighting.last_found <= known.last_scan());
                assert!(sighting.indexed <= end.as_second());
                if sighting.state == State::Fixed {
                    assert!(sighting.last_fixed.unwrap() > sighting.last_found);
                }
                if let Some(back) = sighting.resurfaced {
                    assert!(back > sighting.first_found);
                }
            }
        }
        assert!(states.iter().all(|count| *count > 20), "{states:?}");
        assert!(opened > 50, "{opened}");
    }

    #[test]
    fn a_state_once_seen_does_not_change_backwards() {
        let estate = estate(20);
        for index in 0..20 {
            let at = |day: i64| Timestamp::from_second(estate.start + day * 86_400).unwrap();
            let mut last = i64::MIN;
            for day in 0..40 {
                let Some(known) = estate.known(index, Scanner::Qualys, at(day)) else { continue };
                assert!(known.last_scan() >= last);
                assert!(known.published() <= at(day).as_second());
                last = known.last_scan();
            }
        }
    }

    #[test]
    fn hosts_come_go_miss_scans_and_are_known_to_one_scanner_only() {
        let estate = estate(200);
        let (day0, day20) =
            ("2026-01-05T00:00:00Z".parse().unwrap(), "2026-01-25T00:00:00Z".parse().unwrap());
        assert_eq!(estate.hosts_until(day0), 200);
        assert!(estate.hosts_until(day20) > 200);
        assert!(estate.view(Scanner::Tenable, day20).any(|known| known.host.index >= 200));
        let removed: Vec<_> =
            estate.view(Scanner::Tenable, day20).filter(|known| known.removed.is_some()).collect();
        assert!(!removed.is_empty() && removed.len() <= 6);
        assert!(
            estate.view(Scanner::Tenable, day20).any(|known| known.last_scan() < day20.as_second() - 100_000)
        );
        let alone = (0..200).map(|i| estate.host(i, day0)).filter(|host| host.in_tenable != host.in_qualys);
        assert!(alone.count() > 10);
    }

    #[test]
    fn late_results_show_up_after_newer_sightings_of_other_hosts() {
        let estate = estate(200);
        let at = |day: i64| Timestamp::from_second(estate.start + day * 86_400).unwrap();
        let mut late = 0;
        for index in 0..200 {
            let (Some(before), Some(after)) =
                (estate.known(index, Scanner::Tenable, at(4)), estate.known(index, Scanner::Tenable, at(5)))
            else {
                continue;
            };
            let grew = after.last_scan() > before.last_scan();
            late += usize::from(
                grew && after.last_scan() < at(4).as_second() && after.published() > at(4).as_second(),
            );
        }
        assert!(late > 0);
    }

    #[test]
    fn a_large_estate_costs_nothing_until_asked() {
        let estate = estate(100_000);
        let now = "2026-01-15T00:00:00Z".parse().unwrap();
        assert!(estate.hosts_until(now) > 100_000);
        assert!((99_990..100_000).any(|index| {
            estate.known(index, Scanner::Qualys, now).is_some_and(|known| !known.sightings().is_empty())
        }));
    }
}
