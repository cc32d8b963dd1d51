//! Who changed what.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use store::AuditLine;

use super::{asked_day, place};
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Lines of one page.
const ROWS: usize = 50;

/// What people and programs changed on one day.
#[derive(Debug, Clone, Serialize)]
pub struct AuditList {
    /// When it was read.
    pub at: Timestamp,
    /// The day, UTC.
    pub day: Date,
    /// The lines, newest first.
    pub lines: Vec<AuditLine>,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Dashboard {
    pub(crate) async fn audit(&self, request: &Request) -> Result<AuditList, Problem> {
        let at = self.now();
        let day = asked_day(request, at)?;
        let (lines, next) = self.store.audit_page(day, place(request)?, ROWS).await?;
        Ok(AuditList { at, day, lines, next })
    }
}
