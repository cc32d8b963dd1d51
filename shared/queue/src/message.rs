//! What functions tell each other. Small: they name things, the table holds them.

use domain::intel::Feed;
use domain::vulnerability::EffectTarget;
use domain::{AssetId, ConnectorName, RunId, SightingId};
use serde::{Deserialize, Serialize};
use tracing::{Span, field, info_span};

use crate::batch::Message;

/// To a `sync-*` function: start a run, go on with a unit, finish a run, or try the connector out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncMessage {
    /// Which account.
    pub connector: ConnectorName,
    /// Starts a run, or resumes the one that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Trigger>,
    /// Who asked for the start, in a way that tells two wishes apart: a wish that comes twice starts one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The run to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The unit of that run to work; without it, the run is to be judged and finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The turn of that unit. Each time a unit goes on it takes another turn, so that a message which comes twice does
    /// not keep itself going beside the one that followed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    /// Tries the connector out and keeps what it finds; pulls nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
}

/// Why a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The schedule; full or incremental as the connector's interval says.
    Scheduled,
    /// A scanner told us that something changed: incremental.
    Webhook,
    /// A person asked for everything.
    Full,
}

impl SyncMessage {
    /// Nothing yet.
    fn to(connector: ConnectorName) -> Self {
        Self { connector, start: None, request: None, run: None, unit: None, turn: None, check: false }
    }

    /// Tries a connector out.
    pub fn check(connector: ConnectorName) -> Self {
        Self { check: true, ..Self::to(connector) }
    }

    /// Starts a run. `request` names the wish: see [`SyncMessage::request`].
    pub fn start(connector: ConnectorName, trigger: Trigger, request: impl Into<String>) -> Self {
        Self { start: Some(trigger), request: Some(request.into()), ..Self::to(connector) }
    }

    /// Goes on with a unit, whose turn it is.
    pub fn unit(connector: ConnectorName, run: RunId, unit: impl Into<String>, turn: u64) -> Self {
        Self { run: Some(run), unit: Some(unit.into()), turn: Some(turn), ..Self::to(connector) }
    }

    /// Judges and finishes a run.
    pub fn finish(connector: ConnectorName, run: RunId) -> Self {
        Self { run: Some(run), ..Self::to(connector) }
    }
}

/// To `sync-intel`: pull one feed, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct IntelMessage {
    /// Pulls every feed, each by a message of its own, so that each fails alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Trigger>,
    /// The feed to pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
    /// A person wants this feed as it is: read although it did not change, taken although it shrank or is older.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// The weekly pass: every asset is decided on, and small moves of scores are written too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settle: bool,
    /// Of a feed that comes in pages: how many have been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<usize>,
}

impl IntelMessage {
    /// Pulls every feed.
    pub fn start(trigger: Trigger) -> Self {
        Self { start: Some(trigger), ..Self::default() }
    }

    /// Pulls one feed.
    pub fn feed(feed: Feed) -> Self {
        Self { feed: Some(feed), ..Self::default() }
    }

    /// Has every score settle.
    pub fn settle() -> Self {
        Self { settle: true, ..Self::default() }
    }
}

/// To `sync-exposure`: read one account and region, look assets up in the firewall rules, or do all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct ExposureMessage {
    /// Does all of it, each part by a message of its own, so that each fails alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Trigger>,
    /// The account and region of AWS to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsRegion>,
    /// The assets to look up in the firewall rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<AssetWalk>,
}

/// One account and region of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsRegion {
    /// The account's number.
    pub account: String,
    /// The region.
    pub region: String,
}

/// Assets, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetWalk {
    /// Those of one owner; without it, all of them, each owner by a message of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Those after this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl ExposureMessage {
    /// Does all of it.
    pub fn start(trigger: Trigger) -> Self {
        Self { start: Some(trigger), ..Self::default() }
    }

    /// Reads one account and region.
    pub fn aws(account: impl Into<String>, region: impl Into<String>) -> Self {
        let aws = AwsRegion { account: account.into(), region: region.into() };
        Self { aws: Some(aws), ..Self::default() }
    }

    /// Looks assets up in the firewall rules.
    pub fn firewall(walk: AssetWalk) -> Self {
        Self { firewall: Some(walk), ..Self::default() }
    }
}

/// To `score`: what changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreMessage {
    /// Sightings whose statements changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sightings: Vec<SightingId>,
    /// Assets to decide again: their intelligence changed, a timer is due, a person decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<AssetId>,
    /// Scores are written as they are, also where they moved by little.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settle: bool,
}

/// To `notify` and `ticket`: a stored intent to carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectMessage {
    /// Where the intent is stored.
    #[serde(flatten)]
    pub target: EffectTarget,
    /// The intent's key.
    pub intent: String,
}

impl EffectMessage {
    /// A notification of a run.
    pub fn of_run(connector: &ConnectorName, run: &RunId, intent: String) -> Self {
        let target = EffectTarget::Run { connector: connector.clone(), run: run.clone() };
        Self { target, intent }
    }
}

impl Message for SyncMessage {
    fn span(&self) -> Span {
        let span = info_span!("sync", connector = %self.connector, run = field::Empty, unit = field::Empty);
        if let Some(run) = &self.run {
            span.record("run", field::display(run));
        }
        if let Some(unit) = &self.unit {
            span.record("unit", field::display(unit));
        }
        span
    }
}

impl Message for IntelMessage {
    fn span(&self) -> Span {
        let what = if self.settle { "settle" } else { "all" };
        info_span!("intel", feed = self.feed.map_or(what, Feed::as_str))
    }
}

impl Message for ExposureMessage {
    fn span(&self) -> Span {
        match (&self.aws, &self.firewall) {
            (Some(AwsRegion { account, region }), _) => info_span!("exposure", account, region),
            (None, Some(AssetWalk { owner, .. })) => info_span!("exposure", firewall = true, owner),
            (None, None) => info_span!("exposure"),
        }
    }
}

impl Message for ScoreMessage {
    fn span(&self) -> Span {
        // Up to 25 of each, as `sync` and `sla` send them.
        let assets = self.assets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let sightings = self.sightings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        info_span!("score", assets, sightings)
    }
}

impl Message for EffectMessage {
    fn span(&self) -> Span {
        let intent = &self.intent;
        match &self.target {
            EffectTarget::Asset { asset } => info_span!("effect", intent, %asset),
            EffectTarget::Vulnerability { asset, vulnerability } => {
                info_span!("effect", intent, %asset, %vulnerability)
            }
            EffectTarget::Run { connector, run } => info_span!("effect", intent, %connector, %run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_the_documented_message() {
        let connector: ConnectorName = "qualys-prod".parse().unwrap();
        let message: SyncMessage =
            serde_json::from_str(r#"{"connector":"qualys-prod","start":"scheduled","request":"7f3"}"#)
                .unwrap();
        assert_eq!(message, SyncMessage::start(connector.clone(), Trigger::Scheduled, "7f3"));
        let unnamed: SyncMessage =
            serde_json::from_str(r#"{"connector":"qualys-prod","start":"scheduled"}"#).unwrap();
        assert_eq!((unnamed.start, unnamed.request), (Some(Trigger::Scheduled), None));
    }

    #[test]
    fn a_check_is_asked_for_alone() {
        let message = SyncMessage::check("qualys-prod".parse().unwrap());
        assert_eq!(serde_json::to_string(&message).unwrap(), r#"{"connector":"qualys-prod","check":true}"#);
    }

    #[test]
    fn feeds_are_pulled_all_or_one_by_one() {
        let all: IntelMessage = serde_json::from_str(r#"{"start":"scheduled"}"#).unwrap();
        assert_eq!(all, IntelMessage::start(Trigger::Scheduled));
        let one: IntelMessage = serde_json::from_str(r#"{"feed":"exploitdb"}"#).unwrap();
        assert_eq!(one, IntelMessage::feed(Feed::Exploitdb));
        assert_eq!(serde_json::to_string(&one).unwrap(), r#"{"feed":"exploitdb"}"#);
    }

    #[test]
    fn exposure_is_read_all_or_in_parts() {
        let read = |text: &str| serde_json::from_str::<ExposureMessage>(text).unwrap();
        assert_eq!(read(r#"{"start":"scheduled"}"#), ExposureMessage::start(Trigger::Scheduled));
        let unit = r#"{"aws":{"account":"123456789012","region":"eu-west-1"}}"#;
        assert_eq!(read(unit), ExposureMessage::aws("123456789012", "eu-west-1"));
        let all = ExposureMessage::firewall(AssetWalk::default());
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"firewall":{}}"#);
    }

    #[test]
    fn sightings_travel_as_text() {
        let message = ScoreMessage {
            sightings: vec![SightingId::new("q".parse().unwrap(), "17")],
            ..ScoreMessage::default()
        };
        assert_eq!(serde_json::to_string(&message).unwrap(), r#"{"sightings":["q/17"]}"#);
    }
}
