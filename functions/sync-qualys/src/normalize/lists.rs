//! The small records: ids of hosts, asset groups, tags, policies.

use std::ops::RangeInclusive;

use crate::document::Named;
use crate::work::Policy;
use crate::xml::Xml;

/// More ids than this in one answer are a mistake: it is twice what is asked for, and all of them are kept.
pub const MOST_IDS: u64 = 2 * crate::client::IDS_PER_PAGE as u64;

/// Reads one `ID` or `ID_RANGE` of a set.
pub fn ids(xml: &Xml<'_>) -> Result<RangeInclusive<u64>, String> {
    let mut text = String::new();
    xml.walk(|_, element| element.text.clone_into(&mut text))?;
    let (from, to) = text.split_once('-').unwrap_or((&text, &text));
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to && to - from < MOST_IDS => Ok(from..=to),
        _ => Err("neither an id nor a range of ids".to_owned()),
    }
}

/// Reads one `ASSET_GROUP`.
pub fn asset_group(xml: &Xml<'_>) -> Result<Named, String> {
    let (id, name) = id_and_name(xml, "ID", "TITLE")?;
    Ok(Named { id: id.ok_or("an asset group without id")?, name })
}

/// Reads one `POLICY` of the list.
pub fn policy(xml: &Xml<'_>) -> Result<Policy, String> {
    let (id, title) = id_and_name(xml, "ID", "TITLE")?;
    Ok(Policy { id: id.ok_or("a policy without id")?, title })
}

/// Reads one `Tag`: its id and its criticality.
pub fn tag(xml: &Xml<'_>) -> Result<(u64, Option<u8>), String> {
    let (id, criticality) = id_and_name(xml, "id", "criticalityScore")?;
    let criticality = criticality.parse().ok().filter(|score| (1..=5).contains(score));
    Ok((id.ok_or("a tag without id")?, criticality))
}

fn id_and_name(xml: &Xml<'_>, id: &str, name: &str) -> Result<(Option<u64>, String), String> {
    let (mut number, mut text) = (None, String::new());
    xml.walk(|path, element| {
        if path == id {
            number = element.text.parse().ok();
        } else if path == name {
            element.text.clone_into(&mut text);
        }
    })?;
    Ok((number, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_are_read() {
        assert_eq!(ids(&Xml::alone("<ID>7</ID>")), Ok(7..=7));
        assert_eq!(ids(&Xml::alone("<ID_RANGE> 7-12 </ID_RANGE>")), Ok(7..=12));
        assert_eq!(ids(&Xml::alone("<ID_RANGE>1-100000</ID_RANGE>")), Ok(1..=MOST_IDS));
        for bad in ["<ID>x</ID>", "<ID_RANGE>9-7</ID_RANGE>", "<ID_RANGE>1-100001</ID_RANGE>", "<ID/>"] {
            assert!(ids(&Xml::alone(bad)).is_err(), "{bad}");
        }
        let group = asset_group(&Xml::alone(
            "<ASSET_GROUP><ID>5</ID><TITLE><![CDATA[DMZ & co]]></TITLE><IP_SET/></ASSET_GROUP>",
        ));
        assert_eq!(group, Ok(Named { id: 5, name: "DMZ & co".into() }));
        assert!(asset_group(&Xml::alone("<ASSET_GROUP><TITLE>x</TITLE></ASSET_GROUP>")).is_err());
        let read =
            policy(&Xml::alone("<POLICY><ID>9</ID><TITLE>CIS</TITLE><CREATED><BY>x</BY></CREATED></POLICY>"));
        assert_eq!(read, Ok(Policy { id: 9, title: "CIS".into() }));
        let of = |score: &str| {
            tag(&Xml::alone(&format!("<Tag><id>3</id><criticalityScore>{score}</criticalityScore></Tag>")))
        };
        assert_eq!((of("4"), of("9"), of("")), (Ok((3, Some(4))), Ok((3, None)), Ok((3, None))));
    }
}
