//! Replays events into spans of time in which nothing changes.
//!
//! Everything else is read off the spans: the deadline off the last one, the state at a moment off the one it lies
//! in, the crossings off all of them.

use jiff::{SignedDuration, Timestamp};

use super::directive::Timeline;
use super::event::{Event, What};
use super::policy::{ClockStart, SlaPolicy};
use super::{Source, Step, kev_deadline, kev_start};
use crate::score::Criticality;
use crate::vulnerability::Severity;

/// A time in which nothing changes; it ends where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub from: Timestamp,
    pub phase: Phase,
    pub episode: u16,
    pub severity: Severity,
    /// When this episode was opened, and since when its severity is what it is: the follow-ups count from there.
    pub opened: Timestamp,
    pub severity_since: Timestamp,
    pub deadline: Option<Running>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    AwaitingPromotion,
    Open,
    Paused,
    Accepted,
    Fixed(Timestamp),
    FalsePositive,
}

impl Phase {
    /// Whether the clock runs.
    fn runs(self) -> bool {
        matches!(self, Self::Open | Self::AwaitingPromotion)
    }

    /// Whether somebody is expected to work on it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Paused)
    }
}

/// The earliest deadline of a span, as if the clock ran on from the span's begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub due: Timestamp,
    pub source: Source,
    /// When it is overdue: `due`, or the moment it was set to a date in the past.
    pub overdue: Timestamp,
    /// When each share is used up, in the policy's order.
    pub warnings: Vec<(u8, Timestamp)>,
}

/// One deadline of several. While the clock stands, both its ends move on.
#[derive(Debug, Clone)]
struct Candidate {
    source: Source,
    start: Timestamp,
    due: Timestamp,
    set_at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Kev {
    due: Timestamp,
    date_added: Option<Timestamp>,
}

pub(super) struct Ledger<'p> {
    policy: &'p SlaPolicy,
    pub spans: Vec<Span>,
    /// Only kept when asked for.
    pub steps: Option<Vec<Step>>,
    /// Ends of acceptances and pauses that came on their dates and that no event says.
    pub unrecorded: Vec<Event>,
    opened: Option<Timestamp>,
    episode: u16,
    severity: Severity,
    severity_since: Timestamp,
    criticality: Option<Criticality>,
    awaiting: bool,
    kev: Option<Kev>,
    /// Whether the entry is among the candidates, or was found to say nothing.
    kev_counted: bool,
    directive: Option<Timeline>,
    candidates: Vec<Candidate>,
    closed: Option<(Timestamp, bool)>,
    changed_while_closed: bool,
    accepted: Option<Option<Timestamp>>,
    paused: Option<Option<Timestamp>>,
    rolled_to: Timestamp,
}

impl<'p> Ledger<'p> {
    /// Replays the events in the order of their dates; of one date, in the order given, detection first.
    pub fn replay(events: &[Event], policy: &'p SlaPolicy, explain: bool) -> Self {
        let mut ledger = Self {
            policy,
            spans: Vec::new(),
            steps: explain.then(Vec::new),
            unrecorded: Vec::new(),
            opened: None,
            episode: 0,
            severity: Severity::Info,
            severity_since: Timestamp::MIN,
            criticality: None,
            awaiting: false,
            kev: None,
            kev_counted: false,
            directive: None,
            candidates: Vec::new(),
            closed: None,
            changed_while_closed: false,
            accepted: None,
            paused: None,
            rolled_to: Timestamp::MIN,
        };
        let mut events: Vec<&Event> = events.iter().collect();
        events.sort_by_key(|event| (event.at, !matches!(event.what, What::Detected { .. })));
        for event in events {
            ledger.advance(Some(event.at));
            ledger.apply(event.at, &event.what);
            ledger.close_span(event.at);
        }
        ledger.advance(None);
        ledger
    }

    /// The time that is left on the earliest deadline where the clock stands without a known end.
    pub fn time_left(&self) -> Option<SignedDuration> {
        let due = self.earliest()?.due;
        (!self.phase().runs() && self.closed.is_none()).then(|| due.duration_since(self.rolled_to))
    }

    fn phase(&self) -> Phase {
        match self.closed {
            Some((at, true)) => Phase::Fixed(at),
            Some((_, false)) => Phase::FalsePositive,
            None if self.accepted.is_some() => Phase::Accepted,
            None if self.paused.is_some() => Phase::Paused,
            None if self.awaiting => Phase::AwaitingPromotion,
            None => Phase::Open,
        }
    }

    /// Moves on to a moment, or to the end of everything known, ending on the way what ends by itself.
    fn advance(&mut self, to: Option<Timestamp>) {
        loop {
            let accepted = self.accepted.flatten();
            let paused = self.paused.flatten();
            let Some(next) = accepted.into_iter().chain(paused).min() else { break };
            if to.is_some_and(|to| next > to) {
                break;
            }
            self.roll(next);
            let (what, words) = if accepted == Some(next) {
                self.accepted = None;
                (What::Expired, "the acceptance ends on its date")
            } else {
                self.paused = None;
                (What::Resumed, "the pause ends on its date")
            };
            if self.closed.is_none() {
                self.unrecorded.push(Event { at: next, what });
            }
            self.note_clock(next, words);
            self.close_span(next);
        }
        if let Some(to) = to {
            self.roll(to);
        }
    }

    /// While the clock stands, deadlines move on with time. Closed, they stay as they were, for everybody to see
    /// whether they were met, and move on when it is reopened.
    fn roll(&mut self, to: Timestamp) {
        if !self.phase().runs() && self.closed.is_none() {
            self.shift(to.duration_since(self.rolled_to));
        }
        self.rolled_to = to;
    }

    fn shift(&mut self, stood: SignedDuration) {
        for candidate in &mut self.candidates {
            candidate.start = plus(candidate.start, stood);
            candidate.due = plus(candidate.due, stood);
        }
    }

    fn apply(&mut self, at: Timestamp, what: &What) {
        if let What::KevListed { due, date_added } = *what {
            self.kev = Some(Kev { due, date_added });
            self.kev_counted = false;
            match self.opened {
                Some(_) if self.closed.is_some() => self.note(at, || "listed in KEV while closed".to_owned()),
                Some(_) if self.has_clock() => self.set_kev(at),
                _ => self.note(at, || "listed in KEV before the clock started".to_owned()),
            }
            return;
        }
        if let What::Directed(timeline) = *what {
            self.directive = Some(timeline);
            self.changed_while_closed |= self.closed.is_some();
            if self.opened.is_some() && self.closed.is_none() && self.has_clock() {
                self.follow_directive(at);
            }
            return;
        }
        if let What::Detected { severity, criticality, awaiting_promotion } = *what {
            return self.detected(at, severity, criticality, awaiting_promotion);
        }
        if self.opened.is_none() {
            return self.ignore(at, "nothing was detected yet");
        }
        match *what {
            What::Detected { .. } | What::KevListed { .. } | What::Directed(_) => {}
            What::Promoted if !self.awaiting => self.note(at, || "promoted".to_owned()),
            What::Promoted => {
                self.awaiting = false;
                if self.policy.start == ClockStart::Promoted {
                    self.note(at, || "promoted: the clock starts".to_owned());
                    self.start_clock(at);
                } else {
                    self.note_clock(at, "promoted: tracked from now on, the clock counts from detection");
                }
            }
            What::SeverityChanged { severity } => {
                if severity == self.severity {
                    return self.ignore(at, "the severity is the same");
                }
                self.severity = severity;
                self.severity_since = at;
                self.tighten(at, || format!("severity is now {}", severity.as_str()));
            }
            What::CriticalityChanged { criticality } => {
                self.criticality = criticality;
                self.tighten(at, || match criticality {
                    Some(level) => format!("criticality is now {} of 5", level.level()),
                    None => "criticality is no longer known".to_owned(),
                });
            }
            What::Fixed | What::FalsePositive if self.closed.is_some() => self.ignore(at, "closed already"),
            What::Fixed => {
                self.closed = Some((at, true));
                self.unrecorded.clear();
                self.note_clock(at, "fixed: the clock stops");
            }
            What::FalsePositive => {
                self.closed = Some((at, false));
                self.unrecorded.clear();
                self.note_clock(at, "false positive: the clock stops");
            }
            What::Reopened => self.reopened(at),
            // Like an acceptance from before the fix: should it come back, that is accepted.
            What::Accepted { until } if self.closed.is_some() && until.is_none_or(|until| until > at) => {
                self.accepted = Some(until);
                self.note(at, || format!("risk accepted{} while closed", until_words(until)));
            }
            _ if self.closed.is_some() => self.ignore(at, "it is closed"),
            What::Accepted { until } | What::Paused { until } if until.is_some_and(|until| until <= at) => {
                self.ignore(at, "it ends before it begins");
            }
            What::Accepted { until } => {
                self.accepted = Some(until);
                self.unrecorded.retain(|end| end.what != What::Expired);
                self.note_clock(at, &format!("risk accepted{}: the clock stands", until_words(until)));
            }
            What::Paused { until } => {
                self.paused = Some(until);
                self.unrecorded.retain(|end| end.what != What::Resumed);
                self.note_clock(at, &format!("paused{}: the clock stands", until_words(until)));
            }
            What::Expired | What::Resumed => self.resumed(at, what),
        }
    }

    fn detected(
        &mut self,
        at: Timestamp,
        severity: Severity,
        criticality: Option<Criticality>,
        awaiting: bool,
    ) {
        if self.closed.is_some() {
            return self.reopened(at);
        }
        if self.opened.is_some() {
            return self.ignore(at, "detected already");
        }
        self.opened = Some(at);
        self.severity = severity;
        self.severity_since = at;
        self.criticality = criticality;
        self.awaiting = awaiting;
        if awaiting && self.policy.start == ClockStart::Promoted {
            return self.note(at, || "detected, awaiting promotion: the clock starts with it".to_owned());
        }
        let waits = if awaiting { ", awaiting promotion" } else { "" };
        self.note(at, || format!("detected as {}{waits}: the clock starts", severity.as_str()));
        self.start_clock(at);
    }

    fn has_clock(&self) -> bool {
        !(self.awaiting && self.policy.start == ClockStart::Promoted)
    }

    fn start_clock(&mut self, at: Timestamp) {
        self.candidates.clear();
        if let Some((source, due)) = self.by_severity(at) {
            self.candidates.push(Candidate { source, start: at, due, set_at: at });
            self.note_clock(at, &source.words());
        } else {
            let severity = self.severity;
            self.note(at, || format!("the policy has no days for {}", severity.as_str()));
        }
        if self.kev.is_some() {
            self.set_kev(at);
        }
        self.follow_directive(at);
    }

    /// The row of the directive from `from` on. Like every change it can only shorten: earlier deadlines stay.
    fn follow_directive(&mut self, from: Timestamp) {
        let Some(Timeline { days, forensic }) = self.directive.filter(|_| self.policy.bod_26_04) else {
            return;
        };
        let Some(days) = days else {
            return self.note(from, || "BOD 26-04: with the next upgrade".to_owned());
        };
        let source = Source::Directive { days };
        self.candidates.push(Candidate {
            source,
            start: from,
            due: plus(from, days_long(days)),
            set_at: from,
        });
        let traces = if forensic { ", traces of an attack to be secured first" } else { "" };
        self.note_clock(from, &format!("{}{traces}", source.words()));
    }

    fn by_severity(&self, from: Timestamp) -> Option<(Source, Timestamp)> {
        let (days, by_matrix) = self.policy.days_for(self.severity, self.criticality)?;
        let severity = self.severity;
        let source = match (by_matrix, self.criticality) {
            (true, Some(criticality)) => Source::Matrix { severity, criticality, days },
            _ => Source::Severity { severity, days },
        };
        Some((source, plus(from, days_long(days))))
    }

    /// A change can only shorten: what is left, or the whole new time from now on, whichever ends first.
    fn tighten(&mut self, at: Timestamp, what: impl Fn() -> String) {
        self.changed_while_closed |= self.closed.is_some();
        if !self.has_clock() || self.closed.is_some() {
            return self.note(at, what);
        }
        match (self.by_severity(at), self.earliest().map(|earliest| earliest.due)) {
            (Some((source, due)), old) if old.is_none_or(|old| due < old) => {
                self.candidates.push(Candidate { source, start: at, due, set_at: at });
                self.note_clock(at, &format!("{}: {} from now on", what(), source.words()));
            }
            (_, Some(_)) => self.note_clock(at, &format!("{}: the deadline does not move", what())),
            (_, None) => self.note(at, || format!("{}: the policy has no days for it", what())),
        }
    }

    /// Takes the deadline of an entry, or nothing, in place of that of an earlier one.
    fn set_kev(&mut self, at: Timestamp) {
        self.candidates.retain(|candidate| !candidate.source.is_kev());
        self.kev_counted = true;
        let (Some(kev), Some(opened)) = (self.kev, self.opened) else { return };
        if !self.policy.kev {
            return self.note(at, || "listed in KEV; the policy does not count its due dates".to_owned());
        }
        let Some((source, due)) = kev_deadline(opened, kev.due, kev.date_added) else {
            return self
                .note(at, || "the due date of KEV lies before the first sight: not counted".to_owned());
        };
        let start = kev_start(opened, kev.date_added);
        self.candidates.push(Candidate { source, start: start.min(due), due, set_at: at });
        self.note_clock(at, &format!("{}, {}", source.words(), due));
    }

    /// The clock stood while the weakness was gone. Within the window it goes on with the time that was left: a
    /// scanner that flaps gains nothing, a weakness that came back is not overdue the moment it does.
    fn reopened(&mut self, at: Timestamp) {
        let Some((closed_at, _)) = self.closed.take() else {
            return self.ignore(at, "it is open");
        };
        let window = self.policy.reopen_window_days;
        if at <= plus(closed_at, days_long(window)) {
            self.shift(at.duration_since(closed_at));
            self.note_clock(at, &format!("reopened within {window} days: the clock goes on"));
            return self.catch_up(at);
        }
        self.episode += 1;
        self.changed_while_closed = false;
        self.opened = Some(at);
        self.severity_since = at;
        self.note(at, || format!("reopened after more than {window} days: a new clock starts"));
        if self.has_clock() {
            self.start_clock(at);
        }
    }

    /// What changed while it was closed counts from the reopening.
    fn catch_up(&mut self, at: Timestamp) {
        if !self.has_clock() {
            return;
        }
        if std::mem::take(&mut self.changed_while_closed) {
            let severity = self.severity;
            self.tighten(at, || format!("severity {} since it was closed", severity.as_str()));
            self.follow_directive(at);
        }
        if self.kev.is_some() && !self.kev_counted {
            self.set_kev(at);
        }
    }

    /// Ends the acceptance or the pause, or records an end that came on its date.
    fn resumed(&mut self, at: Timestamp, what: &What) {
        let ended = match what {
            What::Expired => self.accepted.take().is_some(),
            _ => self.paused.take().is_some(),
        };
        if let Some(index) = self.unrecorded.iter().position(|end| end.what == *what) {
            self.unrecorded.remove(index);
            return self.note(at, || "the end is recorded; the clock went on at its date".to_owned());
        }
        if !ended {
            return self.ignore(at, "there is nothing that it could end");
        }
        let stands = !self.phase().runs();
        self.note_clock(
            at,
            if stands { "resumed, but the clock still stands" } else { "resumed with the time left" },
        );
    }

    fn earliest(&self) -> Option<&Candidate> {
        self.candidates.iter().min_by_key(|candidate| candidate.due)
    }

    fn running(&self) -> Option<Running> {
        let earliest = self.earliest()?;
        let overdue = self.candidates.iter().map(|one| one.due.max(one.set_at)).min()?;
        // A share counts as used up when it is for any of the deadlines: a later, shorter one never calms down.
        let used_up =
            |percent: u8| self.candidates.iter().map(|one| one.share(percent).max(one.set_at)).min();
        let warnings =
            self.policy.warnings().filter_map(|percent| Some((percent, used_up(percent)?))).collect();
        Some(Running { due: earliest.due, source: earliest.source, overdue, warnings })
    }

    fn close_span(&mut self, at: Timestamp) {
        let Some(opened) = self.opened else { return };
        let span = Span {
            from: at,
            phase: self.phase(),
            episode: self.episode,
            severity: self.severity,
            opened,
            severity_since: self.severity_since,
            deadline: self.running(),
        };
        // Of several events of one moment, only what they lead to counts.
        if self.spans.last().is_some_and(|last| last.from == at) {
            self.spans.pop();
        }
        self.spans.push(span);
    }

    fn ignore(&mut self, at: Timestamp, why: &str) {
        self.note(at, || format!("ignored: {why}"));
    }

    fn note(&mut self, at: Timestamp, text: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { at, text: text(), due: None });
        }
    }

    /// Notes what happened with the deadline that follows, or the time left where the clock stands.
    fn note_clock(&mut self, at: Timestamp, text: &str) {
        if self.steps.is_none() {
            return;
        }
        let due = self.earliest().map(|earliest| earliest.due);
        let stands = !self.phase().runs();
        let step = match due {
            Some(due) if stands => {
                let left = duration_words(due.duration_since(at));
                Step { at, text: format!("{text}, {left}"), due: None }
            }
            due => Step { at, text: text.to_owned(), due },
        };
        self.steps.get_or_insert_default().push(step);
    }
}

impl Candidate {
    /// When a share of its time is used up.
    fn share(&self, percent: u8) -> Timestamp {
        let seconds = self.due.duration_since(self.start).as_secs().max(0);
        plus(
            self.start,
            SignedDuration::from_secs(
                seconds / 100 * i64::from(percent) + seconds % 100 * i64::from(percent) / 100,
            ),
        )
    }
}

/// Days are 24 hours, in UTC.
pub(super) fn days_long(days: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

/// Adds, and stays within the range of time.
pub(super) fn plus(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(at)
}

fn until_words(until: Option<Timestamp>) -> String {
    until.map_or(String::new(), |until| format!(" until {until}"))
}

fn duration_words(left: SignedDuration) -> String {
    let hours = left.as_hours().unsigned_abs();
    let (days, hours) = (hours / 24, hours % 24);
    let amount = if hours == 0 { format!("{days} days") } else { format!("{days} days {hours} hours") };
    if left.is_negative() { format!("{amount} over") } else { format!("{amount} left") }
}
