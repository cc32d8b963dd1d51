//! One page of MISP's `/attributes/restSearch`: attributes of type `vulnerability` of published events, with their tags
//! and sightings.
//!
//! What is wrong with a page is told without its words: they may be under TLP:RED.

use std::io::{BufReader, Read};

use domain::threat::{Evidence, Level, Tlp, worth_keeping};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::MispPart;
use sync::lenient::Scalar;

use super::{Follow, Malformed, Parsed, Source};
use crate::pages::{Paged, Paging};

/// Tags that assert exploitation, without what separates words.
const EXPLOITED: [&str; 3] = ["exploitedinthewild", "activelyexploited", "knownexploited"];
/// Tags that tell of an exploit that works.
const ANTICIPATED: [&str; 3] = ["exploitkit", "exploitavailable", "weaponized"];

#[derive(Deserialize)]
struct Page {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "Attribute")]
    attributes: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Attribute {
    uuid: String,
    value: String,
    #[serde(default)]
    timestamp: Scalar,
    #[serde(default)]
    deleted: Scalar,
    #[serde(rename = "Event", default)]
    event: Event,
    #[serde(rename = "Tag", default)]
    tags: Vec<Tag>,
    #[serde(rename = "Sighting", default)]
    sightings: Vec<Sighting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    id: Scalar,
    info: Scalar,
    #[serde(rename = "Tag")]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
}

#[derive(Deserialize)]
struct Sighting {
    #[serde(rename = "type", default)]
    kind: Scalar,
    #[serde(rename = "date_sighting", default)]
    at: Scalar,
}

impl Paged for MispPart {
    const PAGING: Paging = Paging {
        records: 500,
        // A sighting does not change the time of its attribute, and neither does a tag of its event.
        everything: SignedDuration::from_hours(24),
        overlap: SignedDuration::from_hours(1),
        reach: None,
        span: None,
        may_be_empty: true,
    };
}

impl Source for MispPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let page: Page = serde_json::from_reader(BufReader::new(body)).map_err(|e| {
            Malformed::new(format!(
                "at line {}, column {}, it is no answer to a search",
                e.line(),
                e.column()
            ))
        })?;
        let mut parsed = Parsed { follow: Follow::WhileFull, ..Parsed::default() };
        parsed.each(page.response.attributes, |parsed, attribute: Attribute| {
            if let Some((block, place)) = parsed.place(&attribute.value.trim().to_ascii_uppercase()) {
                let Self(all) = parsed.rows.entry(block).or_default().entry(place).or_default();
                all.push(evidence(&attribute));
            }
        });
        Ok(parsed)
    }

    /// A page has some of the attributes on a CVE: the others stay.
    fn settle(Self(new): Self, old: Option<&Self>) -> (Self, bool) {
        let is_new = |one: &&Evidence| new.iter().any(|other| other.id == one.id);
        let others = old.into_iter().flat_map(|Self(old)| old).filter(|one| !is_new(one)).cloned();
        let all = Self(worth_keeping(others.chain(new.iter().cloned()).collect()));
        let matters = old != Some(&all);
        (all, matters)
    }
}

fn evidence(attribute: &Attribute) -> Evidence {
    let tags = || attribute.tags.iter().chain(&attribute.event.tags).map(|tag| tag.name.as_str());
    let tlp = tags().filter_map(Tlp::of_tag).max();
    let seen = |wanted: &[&str]| -> Option<Timestamp> {
        let kind = |sighting: &Sighting| sighting.kind.clone().text().unwrap_or_default();
        let of_kind = attribute.sightings.iter().filter(|sighting| wanted.contains(&kind(sighting).as_str()));
        of_kind.filter_map(|sighting| sighting.at.time()).max()
    };
    // 0: seen, 1: a false positive, 2: expired.
    let (sighted, ended) = (seen(&["0"]), seen(&["1", "2"]));
    let deleted = attribute.deleted.truth() == Some(true) || attribute.deleted.number() == Some(1.0);
    let level = if deleted || ended > sighted {
        Level::Withdrawn
    } else if sighted.is_some() || tags().any(|tag| says(tag, &EXPLOITED)) {
        Level::Active
    } else if tags().any(|tag| says(tag, &ANTICIPATED)) {
        Level::Anticipated
    } else {
        Level::Chatter
    };
    let event = attribute.event.id.clone().text().unwrap_or_default();
    let info = attribute.event.info.clone().text().unwrap_or_default();
    Evidence::sighted(&attribute.uuid, level, sighted.max(attribute.timestamp.time()))
        .told(tlp, &format!("event {event}: {info}"))
}

/// Whether a tag has one of these words, and does not deny them.
fn says(tag: &str, words: &[&str]) -> bool {
    let letters: String =
        tag.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    words.iter().any(|word| letters.find(word).is_some_and(|at| !letters[..at].ends_with("not")))
}
