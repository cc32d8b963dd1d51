//! Full names that several machines bear, by what sightings tell that show nothing of the machine itself.
//!
//! It is told by what each of them says and when, not by which of them are held for one asset at the moment, which may turn
//! out otherwise: so a name proves to be shared whatever came first.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::compare::{OsFamily, os_family};
use super::{ADDRESS_WINDOW, Identifier, IdentifierKind, Observation, VALIDITY};

/// A full name that was at so many further addresses within a day is given to a whole network.
const MOST_ADDRESSES: usize = 3;

/// Whether a sighting shows a full name and nothing of the machine itself. What is shared shows nothing.
pub fn is_name_alone(observation: &Observation, shared: &BTreeSet<Identifier>) -> bool {
    let mut valid = observation.identifiers.iter().filter(|id| !shared.contains(*id));
    valid.clone().any(|id| id.kind == IdentifierKind::Fqdn) && !valid.any(Identifier::is_own)
}

/// What a sighting tells of its full name that shows nothing of the machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    first: Timestamp,
    last: Timestamp,
    names: BTreeSet<Identifier>,
    addresses: BTreeSet<Identifier>,
    system: Option<OsFamily>,
}

impl Telling {
    /// Of a sighting that shows a full name, at a known time; none of any other. That nothing of the machine itself is known
    /// by it, as by [`is_name_alone()`] or by its asset, is for the caller to know. `since`: when it was first seen, if that
    /// is known.
    pub fn of(observation: &Observation, since: Option<Timestamp>) -> Option<Self> {
        let last = observation.observed_at?;
        let of = |kind| observation.identifiers.iter().filter(move |id| id.kind == kind).cloned().collect();
        let names: BTreeSet<Identifier> = of(IdentifierKind::Fqdn);
        (!names.is_empty()).then(|| Self {
            first: since.map_or(last, |since| since.min(last)),
            last,
            names,
            addresses: of(IdentifierKind::Ip),
            system: observation.os.as_deref().and_then(os_family),
        })
    }

    /// When the sighting was first seen.
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// Whether it was seen at `time` or within the validity of a name before.
    fn is_before(&self, time: Timestamp) -> bool {
        self.first <= time && time.duration_since(self.last) <= VALIDITY
    }

    /// The same after.
    fn is_after(&self, time: Timestamp) -> bool {
        self.last >= time && self.first.duration_since(time) <= VALIDITY
    }
}

/// Why a name is not one machine's, if it is not. `told` of any names.
pub(super) fn shared(name: &Identifier, told: &[Telling]) -> Option<&'static str> {
    let told: Vec<&Telling> = told.iter().filter(|telling| telling.names.contains(name)).collect();
    if told.iter().any(|telling| is_in_turn(telling, &told)) {
        Some("two machines show it in turn")
    } else if told.iter().any(|telling| is_of_a_network(telling, &told)) {
        Some("one name for many addresses at a time")
    } else {
        None
    }
}

/// Whether a system of another family showed the name at other addresses both before and after this one.
fn is_in_turn(one: &Telling, told: &[&Telling]) -> bool {
    let others = told.iter().filter(|other| {
        one.system.is_some()
            && other.system.is_some()
            && other.system != one.system
            && one.addresses.is_disjoint(&other.addresses)
    });
    let others: Vec<&&Telling> = others.collect();
    [one.first, one.last].into_iter().any(|time| {
        let after = |system| others.iter().any(|other| other.system == system && other.is_after(time));
        others.iter().any(|other| other.is_before(time) && after(other.system))
    })
}

/// Whether many other addresses had the name within a day before this one, or since this one first had it.
fn is_of_a_network(one: &Telling, told: &[&Telling]) -> bool {
    let beside = |other: &&&Telling| {
        let window = if one.first < one.last && other.last > one.first { VALIDITY } else { ADDRESS_WINDOW };
        other.first <= one.last && one.last.duration_since(other.last) <= window
    };
    // Addresses of IPv6 change for privacy.
    let addresses: BTreeSet<&Identifier> = told
        .iter()
        .filter(beside)
        .flat_map(|other| &other.addresses)
        .filter(|id| !one.addresses.contains(id) && !id.value.contains(':'))
        .collect();
    !one.addresses.is_empty() && addresses.len() >= MOST_ADDRESSES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Identifier {
        Identifier::new(IdentifierKind::Fqdn, "office", "pool.example.com")
    }

    fn telling(days: (i8, i8), address: &str, os: Option<&str>) -> Telling {
        let at = |day| format!("2026-10-{day:02}T00:00:00Z").parse().unwrap();
        let ids = [name(), Identifier::new(IdentifierKind::Ip, "office", address)];
        let observation =
            Observation { identifiers: ids.into(), os: os.map(str::to_owned), observed_at: Some(at(days.1)) };
        Telling::of(&observation, Some(at(days.0))).unwrap()
    }

    fn on(day: i8, address: &str, os: &str) -> Telling {
        telling((day, day), address, Some(os))
    }

    #[test]
    fn a_name_of_two_systems_in_turn_is_shared_and_of_one_after_another_is_not() {
        let mut told = vec![on(1, "10.0.0.1", "Windows"), on(5, "10.0.0.2", "Ubuntu Linux")];
        assert_eq!(shared(&name(), &told), None);
        told.push(on(9, "10.0.0.3", "Windows"));
        for _ in 0..3 {
            told.rotate_left(1);
            assert_eq!(shared(&name(), &told), Some("two machines show it in turn"));
        }
        told.push(on(9, "10.0.0.1", "Windows"));
        assert!(shared(&name(), &told).is_some(), "what is known more takes nothing back");
        let other = Identifier::new(IdentifierKind::Fqdn, "office", "db.example.com");
        assert_eq!(shared(&other, &told), None);
    }

    #[test]
    fn a_guess_of_another_system_at_the_same_address_or_long_ago_is_not_another_machine() {
        let told = [on(1, "10.0.0.1", "Windows"), on(5, "10.0.0.1", "Linux"), on(9, "10.0.0.1", "Windows")];
        assert_eq!(shared(&name(), &told), None);
        let long = [
            telling((1, 1), "10.0.0.1", Some("Windows")),
            Telling { first: "2026-12-05T00:00:00Z".parse().unwrap(), ..on(5, "10.0.0.1", "Windows") },
        ];
        let long = [
            long[0].clone(),
            Telling { last: long[1].first, ..long[1].clone() },
            on(20, "10.0.0.2", "Linux"),
        ];
        assert_eq!(shared(&name(), &long), None);
    }

    #[test]
    fn one_system_seen_all_along_beside_another_is_in_turn_with_it() {
        let told = [telling((1, 28), "10.0.0.1", Some("Windows")), on(9, "10.0.0.2", "Linux")];
        assert!(shared(&name(), &told).is_some());
    }

    #[test]
    fn a_name_at_four_addresses_within_a_day_is_a_networks() {
        let mut told: Vec<Telling> = (1..4).map(|n| telling((3, 3), &format!("10.0.0.{n}"), None)).collect();
        told.push(telling((1, 1), "10.0.0.4", None));
        assert_eq!(shared(&name(), &told), None);
        let private = (1..9).map(|n| telling((3, 3), &format!("2001:db8::{n}"), None));
        assert_eq!(shared(&name(), &private.collect::<Vec<_>>()), None, "addresses that change for privacy");
        told.push(telling((4, 4), "10.0.0.5", None));
        assert_eq!(shared(&name(), &told), Some("one name for many addresses at a time"));
    }

    #[test]
    fn a_name_is_alone_where_nothing_but_what_is_shared_shows_the_machine() {
        let mac = Identifier::new(IdentifierKind::Mac, "office", "a4bb6d000001");
        let alone = |ids: &[&Identifier], shared: &[&Identifier]| {
            let identifiers = ids.iter().copied().cloned().collect();
            let observation = Observation { identifiers, observed_at: None, os: None };
            is_name_alone(&observation, &shared.iter().copied().cloned().collect())
        };
        assert!(alone(&[&name()], &[]));
        assert!(!alone(&[&name(), &mac], &[]));
        assert!(alone(&[&name(), &mac], &[&mac]));
        assert!(!alone(&[&name(), &mac], &[&mac, &name()]));
    }

    #[test]
    fn no_full_name_or_no_time_tells_nothing() {
        let of = |id: Identifier, observed_at: Option<Timestamp>| {
            Telling::of(&Observation { identifiers: [id].into(), observed_at, os: None }, None)
        };
        assert!(of(name(), Some(Timestamp::UNIX_EPOCH)).is_some());
        assert_eq!(of(name(), None), None);
        let short = Identifier::new(IdentifierKind::Hostname, "office", "pool");
        assert_eq!(of(short, Some(Timestamp::UNIX_EPOCH)), None);
    }
}
