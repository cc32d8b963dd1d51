//! Asset groups: one a team, and one for all.

use std::fmt::Write as _;

use axum::body::Body;

use super::Ask;
use super::hosts::{epilogue, prologue};
use crate::estate::Host;
use crate::faults::Mode;

const ROOT: &str = "ASSET_GROUP_LIST_OUTPUT";
const GROUPS: [&str; 6] = ["All", "payments", "platform", "identity", "data", "web"];
const FIRST_ID: usize = 600_001;

/// The ids of the groups of a host.
pub fn of(host: &Host) -> String {
    let team = GROUPS.iter().position(|name| *name == host.team).unwrap_or(0);
    format!("{FIRST_ID},{}", FIRST_ID + team)
}

/// The answer, in one page.
pub fn answer(ask: &Ask) -> Body {
    let mut text = prologue(ask, ROOT);
    text.push_str("    <ASSET_GROUP_LIST>\n");
    let groups: &[&str] = if ask.mode == Mode::Empty { &[] } else { &GROUPS };
    for (number, name) in groups.iter().enumerate() {
        let title = if number == 0 { (*name).to_owned() } else { format!("Team {name}") };
        let _ = writeln!(
            text,
            "      <ASSET_GROUP>\n        <ID>{}</ID>\n        <TITLE><![CDATA[{title}]]></TITLE>\n      </ASSET_GROUP>",
            FIRST_ID + number
        );
    }
    text.push_str("    </ASSET_GROUP_LIST>\n");
    text.push_str(&epilogue(ROOT));
    text.into()
}
