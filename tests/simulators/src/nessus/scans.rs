//! Which scans there are, and how each of their nights ended.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::estate::{HostKind, Known, Scanner};
use crate::{World, dice};

const DAY: i64 = 86_400;
/// A scan begins so long before the day that it is for.
const BEGINS: i64 = 10 * 3_600;
/// And ends so long before it.
const ENDS: i64 = 600;
/// Histories that are kept.
const KEPT: i64 = 7;

const MY_SCANS: u64 = 3;
const TRASH: u64 = 2;

/// A scan, as somebody has set it up.
pub struct Plan {
    pub id: u64,
    pub name: &'static str,
    pub policy: &'static str,
    pub folder: u64,
    /// It logs in; one that does not sees what shows on a port.
    pub credentialed: bool,
    /// It audits settings too.
    pub audits: bool,
    /// It never ran.
    pub draft: bool,
    kinds: &'static [HostKind],
}

use HostKind::{Appliance, Linux, MacLaptop, WindowsLaptop, WindowsServer};

/// All of them. Servers are looked at by two, of which one does not log in.
pub const PLANS: [Plan; 5] = [
    Plan {
        id: 11,
        name: "Servers",
        policy: "Advanced Scan",
        folder: MY_SCANS,
        credentialed: true,
        audits: false,
        draft: false,
        kinds: &[Linux, WindowsServer],
    },
    Plan {
        id: 14,
        name: "Network & perimeter",
        policy: "Basic Network Scan",
        folder: MY_SCANS,
        credentialed: false,
        audits: false,
        draft: false,
        kinds: &[Appliance, WindowsServer],
    },
    Plan {
        id: 17,
        name: "Laptops with audit",
        policy: "Policy Compliance Auditing",
        folder: MY_SCANS,
        credentialed: true,
        audits: true,
        draft: false,
        kinds: &[WindowsLaptop, MacLaptop],
    },
    Plan {
        id: 20,
        name: "Draft",
        policy: "Basic Network Scan",
        folder: MY_SCANS,
        credentialed: false,
        audits: false,
        draft: true,
        kinds: &[],
    },
    Plan {
        id: 23,
        name: "Last year's project",
        policy: "Basic Network Scan",
        folder: TRASH,
        credentialed: false,
        audits: false,
        draft: false,
        kinds: &[Linux],
    },
];

/// The scan of one night: that before the day with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Night {
    pub day: i64,
    pub began: i64,
    pub ended: i64,
    pub status: &'static str,
}

pub fn plan(scan: u64) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.id == scan)
}

impl Plan {
    /// Whether a host belongs to it.
    pub fn covers(&self, kind: HostKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The nights that are kept, the oldest first.
    pub fn nights(&self, world: &World) -> Vec<Night> {
        if self.draft {
            return Vec::new();
        }
        let (start, now) = (world.clock.start().as_second(), world.clock.now().as_second());
        let today = (now - start).div_euclid(DAY);
        (today + 2 - KEPT..=today + 1)
            .filter_map(|day| {
                let (began, ended) = (start + day * DAY - BEGINS, start + day * DAY - ENDS);
                let status = match () {
                    () if now < began => return None,
                    () if now < ended => "running",
                    // Somebody turns a switch now and then, and somebody else needs the machine.
                    () if self.id == 14 && day.rem_euclid(7) == 5 => "aborted",
                    () if self.id == 11 && day.rem_euclid(7) == 3 => "canceled",
                    () => "completed",
                };
                Some(Night { day, began, ended: ended.min(now), status })
            })
            .collect()
    }

    /// What the night of this scan has looked at. One that did not come to its end has seen every other host.
    pub fn hosts(&self, world: &World, night: Night) -> impl Iterator<Item = Known> {
        let at =
            Timestamp::from_second(world.clock.start().as_second() + night.day * DAY).unwrap_or_default();
        let whole = night.status == "completed";
        (0..world.estate.hosts_until(at))
            .filter_map(move |index| world.estate.known(index, Scanner::Nessus, at))
            .filter(move |known| known.removed.is_none() && known.scans.last == night.day)
            .filter(|known| self.covers(known.host.kind))
            .filter(move |known| whole || known.host.index.is_multiple_of(2))
    }

    fn history_id(&self, night: Night) -> u64 {
        self.id * 100_000 + u64::try_from(night.day + 1_000).unwrap_or(0)
    }

    fn uuid(&self, world: &World, night: Night) -> String {
        dice::uuid(world.options.seed, &[30, self.id, night.day.unsigned_abs()])
    }
}

/// The night behind a history; the newest where none is named.
pub fn night(world: &World, scan: u64, history: Option<u64>) -> Option<Night> {
    let plan = plan(scan)?;
    let nights = plan.nights(world);
    match history {
        None => nights.last().copied(),
        Some(id) => nights.into_iter().find(|night| plan.history_id(*night) == id),
    }
}

/// The folders.
pub fn folders() -> Value {
    json!([
        { "unread_count": null, "custom": 0, "default_tag": 0, "type": "trash", "name": "Trash", "id": TRASH },
        { "unread_count": null, "custom": 0, "default_tag": 1, "type": "main", "name": "My Scans", "id": MY_SCANS },
    ])
}

/// The scans as the list shows them.
pub fn list(world: &World) -> Vec<Value> {
    PLANS
        .iter()
        .map(|plan| {
            let nights = plan.nights(world);
            let newest = nights.last().copied();
            json!({
                "folder_id": plan.folder,
                "type": if plan.draft { Value::Null } else { json!("local") },
                "read": true,
                "last_modification_date": newest.map_or(0, |night| night.ended),
                "creation_date": newest.map_or(0, |night| night.began),
                "status": newest.map_or("empty", |night| night.status),
                "uuid": newest.map(|night| plan.uuid(world, night)),
                "shared": false,
                "user_permissions": 128,
                "owner": super::USER,
                "timezone": "Europe/Berlin",
                "rrules": "FREQ=DAILY;INTERVAL=1",
                "starttime": "20260101T160000",
                "enabled": true,
                "control": true,
                "live_results": 0,
                "name": plan.name,
                "id": plan.id,
            })
        })
        .collect()
}

/// A scan with its histories, seen at one of them or at the newest.
pub fn details(world: &World, scan: u64, history: Option<u64>) -> Option<Value> {
    let plan = plan(scan)?;
    let nights = plan.nights(world);
    let shown = match history {
        None => nights.last().copied(),
        Some(_) => Some(night(world, scan, history)?),
    };
    let histories: Vec<Value> = nights
        .iter()
        .map(|night| {
            json!({
                "history_id": plan.history_id(*night),
                "owner_id": 2,
                "uuid": plan.uuid(world, *night),
                "status": night.status,
                "type": "local",
                "creation_date": night.began,
                "last_modification_date": night.ended,
                "scheduler": 1,
                "alt_targets_used": false,
                "node_host": null,
            })
        })
        .collect();
    let hosts: Vec<Value> = shown
        .iter()
        .flat_map(|night| plan.hosts(world, *night))
        .map(|known| json!({ "host_id": known.host.index + 1, "hostname": known.host.ip, "scanprogresstotal": 100 }))
        .collect();
    Some(json!({
        "info": {
            "acls": [],
            "status": shown.map_or("empty", |night| night.status),
            "hostcount": hosts.len(),
            "name": plan.name,
            "policy": plan.policy,
            "uuid": shown.map(|night| plan.uuid(world, night)),
            "scan_start": shown.map(|night| night.began),
            "scan_end": shown.filter(|night| night.status != "running").map(|night| night.ended),
            "targets": "10.40.0.0/16",
            "user_permissions": 128,
            "folder_id": plan.folder,
            "object_id": plan.id,
            "scanner_name": "Local Scanner",
        },
        "hosts": hosts,
        "vulnerabilities": [],
        "comphosts": [],
        "compliance": [],
        "history": if histories.is_empty() { Value::Null } else { json!(histories) },
        "notes": null,
        "remediations": null,
    }))
}
