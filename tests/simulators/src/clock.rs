//! The simulated time: it stands still until somebody moves it.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

/// A clock that does not flow by itself: `start + day * 24 h + advanced`.
#[derive(Debug)]
pub struct SimClock {
    start: Timestamp,
    moved: Mutex<(u32, SignedDuration)>,
}

impl SimClock {
    /// A clock that stands at the beginning of `day`, counted from `start`.
    pub fn new(start: Timestamp, day: u32) -> Self {
        Self { start, moved: Mutex::new((day, SignedDuration::ZERO)) }
    }

    /// The simulated instant.
    pub fn now(&self) -> Timestamp {
        let (day, advanced) = *self.lock();
        self.at(day) + advanced
    }

    /// Day 0.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The beginning of a simulated day.
    pub fn at(&self, day: u32) -> Timestamp {
        self.start + SignedDuration::from_hours(24 * i64::from(day))
    }

    /// The simulated day, whole days that [`Self::advance`] added included.
    pub fn day(&self) -> u32 {
        u32::try_from(self.now().duration_since(self.start).as_hours() / 24).unwrap_or(0)
    }

    /// Moves to the beginning of a day.
    pub fn set_day(&self, day: u32) {
        *self.lock() = (day, SignedDuration::ZERO);
    }

    /// Moves on by a duration.
    pub fn advance(&self, by: SignedDuration) {
        self.lock().1 += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (u32, SignedDuration)> {
        self.moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_when_told() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = SimClock::new(start, 2);
        assert_eq!(clock.now().to_string(), "2026-01-03T00:00:00Z");
        clock.advance(SignedDuration::from_hours(25));
        assert_eq!(clock.day(), 3);
        clock.set_day(1);
        assert_eq!(clock.now().to_string(), "2026-01-02T00:00:00Z");
    }
}
