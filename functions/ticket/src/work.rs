//! What one try does at the tracker.

use std::collections::BTreeSet;

use domain::policy::Tracker;
use domain::vulnerability::{Intent, TicketRef, TicketState};
use domain::{Rule, VulnId, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use queue::EffectMessage;
use store::{Delivery, DeliveryState, StoreError};

use crate::jira::{Issue, Jira, JiraError};
use crate::{TRIES, Ticket, issue};

/// Beginning of the keys of wishes for an open ticket; the vulnerability and the episode follow.
const OPEN: &str = "t-open-";
/// Earlier episodes that are looked at.
const EPISODES: u32 = 8;
/// Names of statuses that say best that it is done.
const DONE: [&str; 4] = ["done", "resolved", "fixed", "closed"];
/// The same of a superfluous issue.
const DUPLICATE: [&str; 5] = ["duplicate", "done", "resolved", "fixed", "closed"];

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A ticket exists and is open.
    Open,
    /// The ticket is closed.
    Close,
    /// Nothing is wanted any more: what was begun is looked up, and the tracker agrees with the record.
    Settle,
}

/// One effect on one vulnerability.
pub struct Job<'a> {
    /// The message that asked for it.
    pub message: &'a EffectMessage,
    /// The vulnerability; the one it was merged into, where it was.
    pub vulnerability: &'a Vulnerability,
    /// What is to be reached.
    pub wish: Wish,
    /// The label of the ticket.
    label: String,
    /// The mark of the comment.
    comment: String,
}

/// Why a try did not reach it.
#[derive(Debug)]
pub enum Trouble {
    /// Jira did not do it. [`JiraError::Unsure`] is about something repeatable here.
    Jira(JiraError),
    /// A ticket may have been created.
    Unknown(String),
    /// Not yet: until when, and why.
    Wait(Timestamp, String),
    /// The table failed.
    Store(StoreError),
}

impl From<JiraError> for Trouble {
    fn from(error: JiraError) -> Self {
        Self::Jira(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<'a> Job<'a> {
    /// `id` is the vulnerability that the message names; an intent that is gone has no time.
    pub fn new(
        message: &'a EffectMessage,
        id: &VulnId,
        vulnerability: &'a Vulnerability,
        wish: Wish,
        intent: Option<&Intent>,
    ) -> Self {
        let comment = intent.map_or_else(|| message.intent.clone(), issue::comment_marker);
        Self { message, vulnerability, wish, label: issue::marker(id), comment }
    }

    /// Identity of the effect.
    pub fn key(&self) -> &str {
        &self.message.intent
    }

    /// What it is about, in words.
    pub fn subject(&self) -> String {
        let what = match (self.wish, &self.vulnerability.ticket) {
            (Wish::Open, None) => "Open a ticket".to_owned(),
            (Wish::Open, Some(ticket)) => format!("Reopen {}", ticket.key),
            (Wish::Close, Some(ticket)) => format!("Close {}", ticket.key),
            (Wish::Close, None) | (Wish::Settle, _) => "Settle a withdrawn ticket".to_owned(),
        };
        format!("{what}: {}", self.vulnerability.title)
    }

    /// Whether nothing else was wanted of the ticket since.
    pub fn is_newest(&self) -> bool {
        let number = self.key().rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
        number.is_none_or(|number| number + 1 >= self.vulnerability.ticket_wishes)
    }

    /// Whether the ticket, if there is one, is open just as the vulnerability is.
    pub fn is_in_step(&self) -> bool {
        let is_open = self.vulnerability.status.is_open();
        self.vulnerability.ticket.as_ref().is_none_or(|ticket| (ticket.state == TicketState::Open) == is_open)
    }

    /// How the ticket is once the effect is done.
    pub fn reached(&self) -> TicketState {
        if self.key().starts_with(OPEN) { TicketState::Open } else { TicketState::Closed }
    }

    /// A ticket of this vulnerability.
    pub fn reference(&self, tracker: &Tracker, key: &str, state: TicketState) -> TicketRef {
        TicketRef {
            tracker: tracker.name.to_string(),
            key: key.to_owned(),
            url: format!("{}/browse/{key}", tracker.base_url.trim_end_matches('/')),
            state,
        }
    }
}

impl Ticket {
    /// One try. `None`: nothing was wanted, and there is nothing.
    pub(crate) async fn work(
        &self,
        job: &Job<'_>,
        tracker: &Tracker,
        delivery: &Delivery,
    ) -> Result<Option<TicketRef>, Trouble> {
        match job.wish {
            Wish::Settle => self.settle(job, tracker).await,
            Wish::Close => self.move_ticket(job, tracker).await,
            Wish::Open => match self.move_ticket(job, tracker).await {
                // There is none yet, or a person deleted it.
                Ok(None) | Err(Trouble::Jira(JiraError::NotFound(_))) => {
                    self.open(job, tracker, delivery).await.map(Some)
                }
                other => other,
            },
        }
    }

    async fn connect(&self, tracker: &Tracker) -> Result<Jira, JiraError> {
        Jira::connect(tracker, &self.secrets, self.timeout, self.clock.now()).await
    }

    /// Opens or closes the ticket that the vulnerability has; `None`: it has none.
    pub(crate) async fn move_ticket(
        &self,
        job: &Job<'_>,
        tracker: &Tracker,
    ) -> Result<Option<TicketRef>, Trouble> {
        let Some(ticket) = &job.vulnerability.ticket else { return Ok(None) };
        let jira = self.connect(tracker).await?;
        let state = match job.wish {
            Wish::Open => TicketState::Open,
            Wish::Close => TicketState::Closed,
            Wish::Settle => ticket.state,
        };
        match ensure(&jira, job, &ticket.key, state).await {
            // A deleted ticket is closed enough, and nothing can be set right about it. An expired token is no
            // deleted ticket: the client has asked who we are.
            Err(JiraError::NotFound(_)) if job.wish != Wish::Open => {}
            other => other?,
        }
        Ok(Some(TicketRef { state, ..ticket.clone() }))
    }

    /// A ticket that is open: one that is there already, or a new one.
    async fn open(
        &self,
        job: &Job<'_>,
        tracker: &Tracker,
        delivery: &Delivery,
    ) -> Result<TicketRef, Trouble> {
        let jira = self.connect(tracker).await?;
        let earlier = self.earlier_wish(job, tracker).await?;
        let tried = delivery.tries > 1 || delivery.restarts > 0;
        let search = tried || earlier || job.vulnerability.ticket.is_some();
        if search {
            let found = jira.find(&job.label).await?;
            if found.is_empty() {
                jira.check_view().await?;
            }
            if let Some((key, _)) = adopt(&jira, job, &found, None).await? {
                ensure(&jira, job, &key, TicketState::Open).await?;
                return Ok(job.reference(tracker, &key, TicketState::Open));
            }
        }
        if delivery.tries > TRIES {
            return Err(
                JiraError::Refused(format!("no outcome after {TRIES} tries, and no such ticket")).into()
            );
        }
        let asset = self.store.asset(&job.vulnerability.asset).await?.map(|read| read.value);
        let rules = self.rules(job.vulnerability).await?;
        let body = issue::create(tracker, asset.as_ref(), job.vulnerability, &rules, &job.label, job.key());
        // The fence: after the lease somebody else looks for this ticket, and has to find it.
        let now = self.clock.now();
        let found_at =
            now.checked_add(self.call()).and_then(|at| at.checked_add(tracker.search_lag.duration()));
        if !found_at.is_ok_and(|at| delivery.lease_until.is_some_and(|lease| at <= lease)) {
            let soon = now + SignedDuration::from_secs(1);
            return Err(Trouble::Wait(
                soon,
                "the lease was nearly over before the ticket was created".into(),
            ));
        }
        match jira.create(&body).await {
            Ok(key) => Ok(job.reference(tracker, &key, TicketState::Open)),
            Err(JiraError::Unsure(why)) => Err(Trouble::Unknown(why)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an earlier episode of this vulnerability has asked for a ticket: it may have been created without
    /// anybody having heard of it. While that is still under way, this one waits.
    async fn earlier_wish(&self, job: &Job<'_>, tracker: &Tracker) -> Result<bool, Trouble> {
        let episode = job.key().strip_prefix(OPEN).and_then(|rest| rest.rsplit_once('-'));
        let Some((vulnerability, Ok(episode))) = episode.map(|(id, n)| (id, n.parse::<u32>())) else {
            return Ok(false);
        };
        let mut found = false;
        for earlier in episode.saturating_sub(EPISODES)..episode {
            let key = format!("{OPEN}{vulnerability}-{earlier}");
            let Some(delivery) = self.store.delivery(&tracker.name, &key).await? else { continue };
            if let (DeliveryState::Sending, Some(until)) = (delivery.state, delivery.lease_until)
                && until > self.clock.now()
            {
                return Err(Trouble::Wait(until, format!("{key} is still under way")));
            }
            found |= delivery.tries > 0 || delivery.restarts > 0;
        }
        Ok(found)
    }

    /// Nothing is wanted: a ticket that was created all the same is linked, or closed as a duplicate where the
    /// vulnerability has another; and a ticket that was moved all the same is moved back.
    async fn settle(&self, job: &Job<'_>, tracker: &Tracker) -> Result<Option<TicketRef>, Trouble> {
        let jira = self.connect(tracker).await?;
        let own = job.vulnerability.ticket.as_ref();
        let found = if job.key().starts_with(OPEN) {
            let found = jira.find(&job.label).await?;
            if found.is_empty() {
                jira.check_view().await?;
            }
            adopt(&jira, job, &found, own.map(|own| own.key.as_str())).await?
        } else {
            None
        };
        match (own, found) {
            (None, Some((key, done))) => {
                let state = if done { TicketState::Closed } else { TicketState::Open };
                Ok(Some(job.reference(tracker, &key, state)))
            }
            // A later wish brings the ticket where it belongs by itself.
            (Some(_), _) if job.vulnerability.intents.is_empty() => self.move_ticket(job, tracker).await,
            _ => Ok(None),
        }
    }

    /// The definitions of the rules that found it.
    async fn rules(&self, vulnerability: &Vulnerability) -> Result<Vec<Rule>, StoreError> {
        let mut wanted = BTreeSet::new();
        for finding in &vulnerability.findings {
            match self.config.connector(&finding.sighting.connector) {
                Some(connector) => {
                    wanted.insert((connector.scanner, finding.rule.clone()));
                }
                // The connector was removed from the configuration; its scanner is one of these.
                None => wanted
                    .extend(vulnerability.scanners.iter().map(|scanner| (*scanner, finding.rule.clone()))),
            }
        }
        Ok(self.store.rules(&wanted).await?.into_values().collect())
    }
}

/// The ticket of those found with the job's label, and whether it is done: the oldest of them, or `own`. The others are
/// closed as duplicates of it.
async fn adopt(
    jira: &Jira,
    job: &Job<'_>,
    found: &[Issue],
    own: Option<&str>,
) -> Result<Option<(String, bool)>, JiraError> {
    let kept = match own {
        Some(own) => Some((own.to_owned(), found.iter().any(|issue| issue.key == own && issue.done))),
        None => found.first().map(|oldest| (oldest.key.clone(), oldest.done)),
    };
    let Some((key, _)) = &kept else { return Ok(None) };
    for other in found.iter().filter(|issue| issue.key != *key) {
        // The index lags: it may have been closed a moment ago.
        if other.done || jira.is_done(&other.key).await? {
            continue;
        }
        tracing::warn!(kept = %key, duplicate = %other.key, "two tickets for one vulnerability: the later one is closed");
        let marker = format!("{} is {key}", job.label);
        if !jira.has_comment(&other.key, &marker).await? {
            jira.comment(&other.key, &issue::duplicate(key, &marker)).await?;
        }
        jira.transition(&other.key, true, &DUPLICATE).await?;
    }
    Ok(kept)
}

/// Brings a ticket to a state, with a comment that says why. Nothing happens where it is there already. The comment
/// comes first: a function that dies after the transition has nothing left to say.
async fn ensure(jira: &Jira, job: &Job<'_>, key: &str, state: TicketState) -> Result<(), JiraError> {
    let closed = state == TicketState::Closed;
    if jira.is_done(key).await? == closed {
        return Ok(());
    }
    if !jira.has_comment(key, &job.comment).await? {
        let comment = match state {
            TicketState::Closed => issue::closing(job.vulnerability, &job.comment),
            TicketState::Open => issue::reopening(job.vulnerability, &job.comment),
        };
        jira.comment(key, &comment).await?;
    }
    jira.transition(key, closed, &DONE).await
}
