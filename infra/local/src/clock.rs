//! The time that the whole stack goes by: the machine's, or one that is held.

use std::sync::RwLock;

use jiff::Timestamp;

use crate::aws::QueueClock;

/// The machine's clock, unless it is held at a moment. The demo holds it to live through several days in seconds.
#[derive(Debug, Default)]
pub struct StackClock(RwLock<Option<Timestamp>>);

impl StackClock {
    /// A clock that is held at `at`.
    pub fn held(at: Timestamp) -> Self {
        Self(RwLock::new(Some(at)))
    }

    /// Holds it at `at`.
    pub fn hold(&self, at: Timestamp) {
        if let Ok(mut held) = self.0.write() {
            *held = Some(at);
        }
    }

    /// Lets it go with the machine's clock again.
    pub fn release(&self) {
        if let Ok(mut held) = self.0.write() {
            *held = None;
        }
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.0.read().is_ok_and(|held| held.is_some())
    }

    /// The current moment.
    pub fn now(&self) -> Timestamp {
        self.0.read().ok().and_then(|held| *held).unwrap_or_else(Timestamp::now)
    }
}

impl QueueClock for StackClock {
    fn now(&self) -> Timestamp {
        self.now()
    }
}

impl platform::Clock for StackClock {
    fn now(&self) -> Timestamp {
        self.now()
    }
}
