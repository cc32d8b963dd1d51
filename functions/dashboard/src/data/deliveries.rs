//! What was sent to whom.

use domain::ConnectorName;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use store::{Delivery, DeliveryState};

use super::{asked_day, place};
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Deliveries of one page.
const ROWS: i32 = 50;

/// The deliveries first tried on one day.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryList {
    /// When it was read.
    pub at: Timestamp,
    /// The day, UTC.
    pub day: Date,
    /// The deliveries, newest first.
    pub deliveries: Vec<Delivery>,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Channels and trackers that are configured.
    pub receivers: Vec<ConnectorName>,
}

/// What became of the newest deliveries.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DeliverySummary {
    /// How many were looked at, newest first, today's and yesterday's.
    pub newest: usize,
    /// Of these, sent.
    pub sent: usize,
    /// Held because a budget is used up.
    pub held: usize,
    /// Given up.
    pub failed: usize,
    /// Sent without an answer that says so.
    pub unconfirmed: usize,
}

impl DeliverySummary {
    pub(super) fn of(deliveries: &[Delivery]) -> Self {
        let count = |state| deliveries.iter().filter(|d| d.state == state).count();
        Self {
            newest: deliveries.len(),
            sent: count(DeliveryState::Sent),
            held: count(DeliveryState::Held),
            failed: count(DeliveryState::Failed),
            unconfirmed: count(DeliveryState::Unconfirmed),
        }
    }
}

impl Dashboard {
    pub(crate) async fn deliveries(&self, request: &Request) -> Result<DeliveryList, Problem> {
        let now = self.now();
        let day = asked_day(request, now)?;
        let (deliveries, next) = self.store.deliveries_page(day, place(request)?, ROWS).await?;
        let config = &self.config;
        let receivers =
            config.channels.iter().map(|c| &c.name).chain(config.trackers.iter().map(|t| &t.name));
        Ok(DeliveryList { at: now, day, deliveries, next, receivers: receivers.cloned().collect() })
    }
}
