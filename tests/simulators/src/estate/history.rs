//! What is true and what a scanner sees of it. Truth is a few days per (host, weakness); a scanner looks on some days,
//! so it notices later, or never. All of it is computed from the seed when asked for, nothing is stored.

use super::catalogue::{Covers, Kind, Weakness};
use super::hosts::{Host, HostKind};
use crate::dice::{below, hash_numbers, share};

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// One of the simulated scanners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanner {
    /// Tenable Vulnerability Management.
    Tenable,
    /// Qualys VMDR.
    Qualys,
    /// A console of Rapid7 InsightVM, which stands on premises.
    InsightvmConsole,
    /// Tenable Nessus, which stands in the office and has Tenable's plugins.
    Nessus,
    /// InsightVM.
    Insightvm,
}

/// State of a finding as a scanner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There.
    Open,
    /// There again.
    Reopened,
    /// Gone.
    Fixed,
}

/// A weakness on a port of a host, as a scanner sees it. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// What was found.
    pub weakness: &'static Weakness,
    /// Port; 0 for none.
    pub port: u16,
    /// State by the last scan.
    pub state: State,
    /// First scan that saw it.
    pub first_found: i64,
    /// Last scan that saw it.
    pub last_found: i64,
    /// Last scan that found it gone; may be set although it is open again.
    pub last_fixed: Option<i64>,
    /// Scan that saw it come back.
    pub resurfaced: Option<i64>,
    /// When the last change or confirmation was published.
    pub indexed: i64,
    /// About how many scans saw it.
    pub times_found: i64,
    /// The last scan is the first that saw it (again).
    pub is_new: bool,
}

/// The scans of one host by one scanner, up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Scans {
    seed: u64,
    start: i64,
    host: u32,
    scanner: Scanner,
    born: i64,
    /// First day without scans.
    until: i64,
    missed: f64,
    /// Day of the first scan.
    pub first: i64,
    /// Day of the last scan whose results are published.
    pub last: i64,
}

impl Scans {
    /// The scans of `host` that are published at `now` (seconds since 1970); none if there are none yet.
    pub fn new(seed: u64, start: i64, host: &Host, scanner: Scanner, now: i64) -> Option<Self> {
        let known = match scanner {
            Scanner::Tenable => host.in_tenable,
            Scanner::Qualys => host.in_qualys,
            Scanner::InsightvmConsole => host.kind != HostKind::MacLaptop,
            Scanner::Nessus => host.kind != HostKind::CloudLinux,
            // It sees most of what either of the others sees.
            Scanner::Insightvm => host.index % 8 != 5,
        };
        if !known {
            return None;
        }
        let end = host.end.map_or(i64::MAX, |(day, _)| day);
        let laptop = matches!(host.kind, HostKind::WindowsLaptop | HostKind::MacLaptop);
        let mut scans = Self {
            seed,
            start,
            host: host.index,
            scanner,
            born: host.born,
            until: end.min(host.silent_from.unwrap_or(i64::MAX)),
            missed: if laptop { 0.25 } else { 0.07 },
            first: 0,
            last: 0,
        };
        scans.first = scans.next(scans.born)?;
        let today = (now - start).div_euclid(DAY) + 1;
        let mut day = today.min(scans.until - 1);
        while day >= scans.first {
            if scans.on(day) && scans.published(day) <= now {
                scans.last = day;
                return Some(scans);
            }
            day -= 1;
        }
        None
    }

    fn roll(&self, what: u64, day: i64) -> u64 {
        let scanner = self.scanner as u64;
        hash_numbers(self.seed, &[4, u64::from(self.host), scanner, what, day as u64])
    }

    /// A scan whose results are published late; there is none on the day after it.
    fn late(&self, day: i64) -> bool {
        self.scanner != Scanner::Nessus
            && day % 2 == 0
            && share(self.roll(2, day)) < 0.04
            && self.planned(day)
    }

    fn planned(&self, day: i64) -> bool {
        (self.born..self.until).contains(&day) && share(self.roll(1, day)) >= self.missed
    }

    /// Whether the host is scanned on that day.
    fn on(&self, day: i64) -> bool {
        self.planned(day) && !self.late(day - 1)
    }

    /// The first scan on that day or after.
    fn next(&self, day: i64) -> Option<i64> {
        let from = day.max(self.born);
        (from..self.until.min(from + 60)).find(|day| self.on(*day))
    }

    /// The last scan before that day.
    fn before(&self, day: i64) -> i64 {
        (self.first..day).rev().find(|day| self.on(*day)).unwrap_or(self.first)
    }

    /// When the scan of that day takes place: in the night that ends with the day's beginning, so that everything
    /// up to a day is there when the clock is set to it.
    pub fn time(&self, day: i64) -> i64 {
        self.start + day * DAY - HOUR - below(self.roll(3, day), 8 * HOUR as u64) as i64
    }

    /// When its results can be read.
    pub fn published(&self, day: i64) -> i64 {
        let wait = if self.late(day) { 14 * HOUR } else { 300 };
        self.time(day) + wait + below(self.roll(4, day), 2_700) as i64
    }
}

/// What the scanner knows about a weakness of a host, once per port. Nothing if it has not seen it (yet).
pub fn sightings(host: &Host, scans: &Scans, weakness: &'static Weakness, into: &mut Vec<Sighting>) {
    let covered = match scans.scanner {
        Scanner::Tenable | Scanner::Nessus => weakness.covers != Covers::Qualys,
        Scanner::Qualys => weakness.covers != Covers::Tenable,
        Scanner::InsightvmConsole => weakness.covers == Covers::Both,
        Scanner::Insightvm => weakness.covers == Covers::Both || weakness.id.is_multiple_of(2),
    };
    if !covered || !present(scans.seed, host, weakness) {
        return;
    }
    if weakness.is_information() {
        let (first, last) = (scans.first, scans.last);
        push(scans, weakness, into, Seen { first, last, fixed: None, back: None, state: State::Open });
        return;
    }
    let roll =
        |what: u64| hash_numbers(scans.seed, &[5, u64::from(host.index), u64::from(weakness.id), what]);
    let (appears, fixed, back, fixed_again) = truth(host.born, roll);
    // A scanner gets its check a few days after the weakness is there.
    let lag = below(hash_numbers(scans.seed, &[6, u64::from(weakness.id), scans.scanner as u64]), 3) as i64;
    let within = |day: Option<i64>| day.filter(|day| *day <= scans.last);
    let noticed = |day: Option<i64>| within(day.and_then(|day| scans.next(day)));

    let gone = noticed(fixed);
    let first = within(scans.next(appears + lag)).filter(|day| fixed.is_none_or(|fixed| *day < fixed));
    let returned = noticed(back).filter(|day| fixed_again.is_none_or(|again| *day < again));
    let gone_again = noticed(fixed_again).filter(|_| returned.is_some());

    let Some(first) = first.or(returned) else { return };
    let returned = returned.filter(|day| *day > first && gone.is_some());
    let seen = match (gone.filter(|day| *day > first), returned, gone_again) {
        (_, _, Some(day)) => {
            Seen { first, last: scans.before(day), fixed: Some(day), back: returned, state: State::Fixed }
        }
        (fixed, Some(back), None) => {
            Seen { first, last: scans.last, fixed, back: Some(back), state: State::Reopened }
        }
        (Some(day), None, None) => {
            Seen { first, last: scans.before(day), fixed: Some(day), back: None, state: State::Fixed }
        }
        (None, None, None) => Seen { first, last: scans.last, fixed: None, back: None, state: State::Open },
    };
    push(scans, weakness, into, seen);
}

/// Days of scans.
struct Seen {
    first: i64,
    last: i64,
    fixed: Option<i64>,
    back: Option<i64>,
    state: State,
}

fn push(scans: &Scans, weakness: &'static Weakness, into: &mut Vec<Sighting>, seen: Seen) {
    let decisive = if seen.state == State::Fixed { seen.fixed.unwrap_or(seen.last) } else { seen.last };
    for port in weakness.ports() {
        into.push(Sighting {
            weakness,
            port: *port,
            state: seen.state,
            first_found: scans.time(seen.first),
            last_found: scans.time(seen.last),
            last_fixed: seen.fixed.map(|day| scans.time(day)),
            resurfaced: seen.back.map(|day| scans.time(day)),
            indexed: scans.published(decisive),
            times_found: (seen.last - seen.first).max(0) + 1,
            is_new: seen.back.unwrap_or(seen.first) == scans.last,
        });
    }
}

/// Whether a host ever has a weakness of a product that it runs. Old ones are rare.
fn present(seed: u64, host: &Host, weakness: &Weakness) -> bool {
    let age = match weakness.year() {
        None => 0.8,
        Some(..2018) => 0.1,
        Some(..2021) => 0.35,
        Some(_) => 1.0,
    };
    let base = match host.kind {
        HostKind::CloudLinux | HostKind::Linux => 0.62,
        HostKind::WindowsServer => 0.85,
        HostKind::WindowsLaptop => 0.8,
        _ => 0.95,
    };
    weakness.kind == Kind::Information
        || share(hash_numbers(seed, &[7, u64::from(host.index), u64::from(weakness.id)])) < age * base
}

/// Days on which it appears, is fixed, comes back, and is fixed again.
fn truth(born: i64, roll: impl Fn(u64) -> u64) -> (i64, Option<i64>, Option<i64>, Option<i64>) {
    let later = |what: u64, least: i64, range: u64| least + below(roll(what), range) as i64;
    let old = share(roll(1)) < 0.8;
    let (appears, fixed) = if old {
        // Most of what is open is young: half of it less than a month old, the oldest four months.
        let age = share(roll(2));
        let appears = -1 - (age * age * 120.0) as i64;
        (appears, (share(roll(3)) < 0.6).then(|| later(4, -25, 260)))
    } else {
        let appears = later(2, 0, 150);
        (appears, (share(roll(3)) < 0.7).then(|| appears + later(4, 3, 90)))
    };
    let appears = appears.max(born);
    let fixed = fixed.map(|day| day.max(appears + 2));
    let back = fixed.filter(|_| share(roll(5)) < 0.2).map(|day| day + later(6, 4, 30));
    let fixed_again = back.filter(|_| share(roll(7)) < 0.5).map(|day| day + later(8, 8, 50));
    (appears, fixed, back, fixed_again)
}
