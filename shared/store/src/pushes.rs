//! Statements that come one by one, may come twice, and may come in any order.
//!
//! The statement carries when it was said; an earlier word never replaces a later one. It is written in one transaction
//! with its sighting, so that `score` either has to look at the host or the statement is not there. No manifest: the
//! statement itself is what a later one is compared with.

use domain::vulnerability::{Closing, Evidence, Statement};
use domain::{Finding, FindingState, Host, RunId, SightingId};
use jiff::Timestamp;

use crate::codec::{self, Item, s, text};
use crate::error::StoreError;
use crate::keys;
use crate::statements::SightingState;
use crate::table::{Condition, Store};

/// Name of the attribute that orders the words on one finding.
const SAID: &str = "said";

/// When something was said: first by the time of the statement, then by the time of its message. Some say a new thing
/// under the old time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// When the scanner last changed the finding.
    pub at: Timestamp,
    /// When it sent the message.
    pub sent: Timestamp,
}

impl Said {
    /// Sorts as text as it does in time.
    fn text(self) -> String {
        let written = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        format!("{}/{}", written(self.at), written(self.sent))
    }
}

/// One finding of one host, as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// The host.
    pub host: Host,
    /// The finding.
    pub finding: Finding,
    /// When it was said.
    pub said: Said,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is new, or differs from what was said before.
    Changed,
    /// It says the same anew.
    Same,
    /// Something later was said before it came.
    Older,
}

impl Store {
    /// Writes a push, unless something later is known. A conflict means that somebody else writes the host: try again.
    ///
    /// That a finding is fixed is the scanner's own word and needs no run to prove it: the sighting counts as proven up
    /// to the moment of that word.
    pub async fn push_statement(
        &self,
        id: &SightingId,
        push: &Push,
        state: &SightingState,
    ) -> Result<Pushed, StoreError> {
        let key = keys::finding(id, push.finding.key.hash());
        let known = self.get(&key, true).await?;
        let said = push.said.text();
        let before = known.as_ref().and_then(|item| text(item, SAID)).map(str::to_owned);
        if before.as_ref().is_some_and(|before| *before > said) {
            return Ok(Pushed::Older);
        }
        let known: Option<Statement> = known.as_ref().map(codec::parse).transpose()?;
        let mut statement = next(known.as_ref(), push);
        crate::statements::cut(&mut statement.finding);
        let same = known.as_ref().is_some_and(|known| {
            known.finding.digest() == statement.finding.digest() && known.closing == statement.closing
        });
        if same && before.as_ref() == Some(&said) {
            return Ok(Pushed::Same);
        }
        let condition = match &before {
            None => Condition { expression: "attribute_not_exists(said)".into(), values: vec![] },
            Some(before) => {
                Condition { expression: "said = :before".into(), values: vec![(":before", s(before))] }
            }
        };
        let mut item = crate::statements::finding_item(&statement);
        item.insert(SAID.into(), s(&said));
        if same {
            self.put(&key, item, Some(condition)).await?;
            return Ok(Pushed::Same);
        }
        let mut next = state.clone();
        let sighting = &mut next.sighting;
        sighting.scan = Some(match sighting.scan.take() {
            Some(known) if known.last_scanned_at > push.host.last_scanned_at => {
                known.completed_with(&push.host)
            }
            Some(known) => push.host.clone().completed_with(&known),
            None => push.host.clone(),
        });
        if let Some(closing) = &statement.closing {
            sighting.proven_run = sighting.proven_run.take().max(Some(closing.run.clone()));
        }
        let written: Item = crate::statements::sighting_item(&next, true).0;
        let items = vec![
            self.transact_put(&key, item, condition)?,
            self.transact_put(&keys::sighting(id), written, Condition::revision(state.rev))?,
        ];
        self.transact(&format!("sighting {id}"), items).await?;
        Ok(Pushed::Changed)
    }
}

/// The statement after this push. What was fixed when we first heard of it was never open for us; what is open after
/// it was fixed is open again.
fn next(known: Option<&Statement>, push: &Push) -> Statement {
    let mut finding = push.finding.clone();
    let before = known.map(|known| known.finding.state);
    if finding.state == FindingState::Open
        && matches!(before, Some(FindingState::Fixed | FindingState::Reopened))
    {
        finding.state = FindingState::Reopened;
        finding.reopened_at = known.and_then(|known| known.finding.reopened_at);
        if before == Some(FindingState::Fixed) {
            finding.reopened_at = Some(push.said.at);
        }
    }
    let closing = match (finding.state, known) {
        (FindingState::Fixed, Some(known)) if known.finding.state == FindingState::Fixed => {
            known.closing.clone()
        }
        (FindingState::Fixed, Some(_)) => Some(Closing {
            run: RunId::new(push.said.at, 0),
            at: finding.fixed_at.unwrap_or(push.said.at),
            evidence: Evidence::ScannerSaysFixed,
        }),
        _ => None,
    };
    Statement { finding, closing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_sort_by_what_they_speak_of_and_then_by_when_they_were_sent() {
        let said =
            |at: &str, sent: &str| Said { at: at.parse().unwrap(), sent: sent.parse().unwrap() }.text();
        let early = said("2026-11-22T10:00:00Z", "2026-11-22T12:00:00Z");
        let late = said("2026-11-22T10:00:00.5Z", "2026-11-22T11:00:00Z");
        assert!(early < late);
        assert!(said("2026-11-22T10:00:00Z", "2026-11-22T11:59:59Z") < early);
    }
}
