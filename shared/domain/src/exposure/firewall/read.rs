//! Rows of an imported list.

use std::net::IpAddr;

use serde_json::Value;

use super::{FirewallRule, Sender};
use crate::exposure::{Ports, Protocol};
use crate::inventory::values;
use crate::policy::Network;
use crate::vulnerability::Exposure;

/// The columns of a row.
pub const COLUMNS: &str = "order, name, source, destination, protocol, ports, action";

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// It is no object.
    #[error(
        "not an object: write {{\"source\":\"internet\",\"destination\":\"10.0.0.5\",\"ports\":\"443\",\"action\":\"allow\"}}"
    )]
    Shape,
    /// A column that nobody knows: a misspelt one would be lost in silence.
    #[error("{0:?} is no column: use {COLUMNS}")]
    Column(String),
    /// A field that every rule has is missing.
    #[error("{0} is missing: {1}")]
    Missing(&'static str, &'static str),
    /// A field has the wrong form.
    #[error("{0}")]
    Field(String),
}

const SENDERS: &str = "write internet, partner, internal, any, an address or a network";
const PLACES: &str = "write any, an address or a network";

impl FirewallRule {
    /// Reads a row: an object of JSON, or the cells of a line of CSV under the names of their columns. Several values are
    /// a list, or separated by `;`. Where no order is given, `place` is: the row's own.
    pub fn read(row: &Value, place: u32) -> Result<Self, RowError> {
        let row = row.as_object().ok_or(RowError::Shape)?;
        let (mut order, mut name, mut action) = (place, String::new(), None);
        let (mut sources, mut destinations) = (Vec::new(), None);
        let (mut protocols, mut ranges) = (Vec::new(), Vec::new());
        for (column, value) in row {
            let values = values(value).map_err(|error| RowError::Field(format!("{column}: {error}")))?;
            let Some(first) = values.first() else { continue };
            match column.as_str() {
                "order" => {
                    order = first.parse().map_err(|_| wrong("order", first, "write a whole number"))?
                }
                "name" => name.clone_from(first),
                "source" => {
                    sources = values.iter().map(|text| sender(text)).collect::<Result<Vec<_>, _>>()?;
                }
                "destination" => destinations = Some(places(&values)?),
                "protocol" => protocols = values,
                "ports" => ranges = values.iter().map(|text| range(text)).collect::<Result<_, _>>()?,
                "action" => action = Some(is_allow(first)?),
                other => return Err(RowError::Column(other.to_owned())),
            }
        }
        if sources.is_empty() {
            return Err(RowError::Missing("source", SENDERS));
        }
        Ok(Self {
            order,
            name,
            sources,
            destinations: destinations.ok_or(RowError::Missing("destination", PLACES))?,
            ports: ports(&protocols, &ranges)?,
            allow: action.ok_or(RowError::Missing("action", "write allow or deny"))?,
        })
    }
}

fn wrong(column: &str, text: &str, remedy: &str) -> RowError {
    RowError::Field(format!("{column}: {text:?}: {remedy}"))
}

fn network(text: &str) -> Option<Network> {
    let address = || text.parse::<IpAddr>().ok().map(Network::host);
    Network::try_from(text.to_owned()).ok().or_else(address)
}

fn sender(text: &str) -> Result<Sender, RowError> {
    match text.to_lowercase().as_str() {
        "any" => return Ok(Sender::Any),
        "internet" => return Ok(Sender::Zone(Exposure::Internet)),
        "partner" => return Ok(Sender::Zone(Exposure::Partner)),
        "internal" => return Ok(Sender::Zone(Exposure::Internal)),
        _ => {}
    }
    network(text).map(Sender::Network).ok_or_else(|| wrong("source", text, SENDERS))
}

/// The networks; none for everywhere.
fn places(texts: &[String]) -> Result<Vec<Network>, RowError> {
    if texts.iter().any(|text| text.eq_ignore_ascii_case("any")) {
        return Ok(Vec::new());
    }
    let place = |text: &String| network(text).ok_or_else(|| wrong("destination", text, PLACES));
    texts.iter().map(place).collect()
}

fn range(text: &str) -> Result<(u16, u16), RowError> {
    if text.eq_ignore_ascii_case("any") {
        return Ok((0, u16::MAX));
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok();
    let range = port(from).zip(port(to)).filter(|(from, to)| from <= to);
    range.ok_or_else(|| wrong("ports", text, "write 443, 8000-8100 or any"))
}

/// What the protocols and the ranges name together. ICMP alone opens no port, so that the rule says nothing.
fn ports(protocols: &[String], ranges: &[(u16, u16)]) -> Result<Vec<Ports>, RowError> {
    let named: Vec<Protocol> = match protocols {
        [] => vec![Protocol::Any],
        names => names.iter().filter_map(|name| Protocol::parse(name)).collect(),
    };
    if ranges.is_empty() || ranges.contains(&(0, u16::MAX)) {
        return Ok(named.into_iter().map(Ports::all).collect());
    }
    if named.contains(&Protocol::Other) {
        return Err(RowError::Field("ports: only tcp and udp have ports".to_owned()));
    }
    // Ports of every protocol are those of the two that have some.
    let with_ports = |protocol: Protocol| match protocol {
        Protocol::Any => vec![Protocol::Tcp, Protocol::Udp],
        one => vec![one],
    };
    let named = named.into_iter().flat_map(with_ports);
    Ok(named
        .flat_map(|protocol| ranges.iter().map(move |&(from, to)| Ports { protocol, from, to }))
        .collect())
}

fn is_allow(text: &str) -> Result<bool, RowError> {
    match text.to_lowercase().as_str() {
        "allow" => Ok(true),
        "deny" => Ok(false),
        _ => Err(wrong("action", text, "write allow or deny")),
    }
}
