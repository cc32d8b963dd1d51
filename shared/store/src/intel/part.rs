//! The facts of each feed and how a block of them is packed.

use std::collections::BTreeMap;
use std::fmt::Debug;

use domain::Intel;
use domain::intel::{Epss, Feed, Kev, Nvd, Record};
use domain::threat::Evidence;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{deflate, inflate};

/// What one feed says of one CVE.
pub trait FeedPart: Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The feed.
    const FEED: Feed;

    /// Packs the facts of one block, and the model they come from. Deflated JSON without a model, unless a feed has
    /// something smaller.
    fn pack(rows: &BTreeMap<u8, Self>, _model: &str) -> Vec<u8> {
        // Maps with numbers as keys always become JSON.
        deflate(&serde_json::to_vec(rows).unwrap_or_default())
    }

    /// The facts and the model that were packed.
    fn unpack(data: &[u8]) -> Result<(BTreeMap<u8, Self>, String), String> {
        let json = inflate(data).map_err(|e| e.to_string())?;
        Ok((serde_json::from_slice(&json).map_err(|e| e.to_string())?, String::new()))
    }

    /// Adds these facts to what is known of the CVE.
    fn tell(&self, model: &str, intel: &mut Intel);

    /// This feed's part of what is known of a CVE.
    fn part_of(intel: &Intel) -> Option<Self>;

    /// Whether nothing is lost where it is not kept.
    fn says_nothing(&self) -> bool {
        false
    }
}

/// EPSS, in hundred-thousandths: the feed has five decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpssPart {
    /// Probability, 0 to 100,000.
    pub score: u32,
    /// Percentile, 0 to 100,000.
    pub percentile: u32,
    /// The EPSS factor (0 to 1000) that `score` was last told of; `None`: it was never told.
    pub announced: Option<u16>,
}

impl EpssPart {
    /// One, in hundred-thousandths.
    pub const ONE: u32 = 100_000;
    /// Bytes of one packed row: its place, then 17 bits of score, 17 of percentile, 10 of what was announced.
    const ROW: usize = 7;
    const BITS: u32 = 17;
    const NEVER: u16 = 1_023;

    fn share(hundred_thousandths: u32) -> f64 {
        f64::from(hundred_thousandths) / f64::from(Self::ONE)
    }

    fn parts(share: f64) -> u32 {
        (share.clamp(0.0, 1.0) * f64::from(Self::ONE)).round() as u32
    }
}

impl FeedPart for EpssPart {
    const FEED: Feed = Feed::Epss;

    fn pack(rows: &BTreeMap<u8, Self>, model: &str) -> Vec<u8> {
        let model = &model.as_bytes()[..model.len().min(255)];
        let mut data = Vec::with_capacity(1 + model.len() + rows.len() * Self::ROW);
        data.push(model.len() as u8);
        data.extend_from_slice(model);
        for (place, row) in rows {
            let announced = u64::from(row.announced.unwrap_or(Self::NEVER));
            let bits = u64::from(row.score)
                | u64::from(row.percentile) << Self::BITS
                | announced << (2 * Self::BITS);
            data.push(*place);
            data.extend_from_slice(&bits.to_le_bytes()[..Self::ROW - 1]);
        }
        data
    }

    fn unpack(data: &[u8]) -> Result<(BTreeMap<u8, Self>, String), String> {
        let (&length, rest) = data.split_first().ok_or("no data")?;
        let (model, rows) = rest.split_at_checked(usize::from(length)).ok_or("the model is cut")?;
        let (rows, cut) = rows.as_chunks::<{ Self::ROW }>();
        if !cut.is_empty() {
            return Err("the last row is cut".to_owned());
        }
        let row = |[place, a, b, c, d, e, f]: [u8; Self::ROW]| {
            let bits = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
            let part = |shift: u32, width: u32| (bits >> shift & ((1 << width) - 1)) as u32;
            let announced = part(2 * Self::BITS, 10) as u16;
            let row = Self {
                score: part(0, Self::BITS),
                percentile: part(Self::BITS, Self::BITS),
                announced: (announced != Self::NEVER).then_some(announced),
            };
            (place, row)
        };
        Ok((rows.iter().copied().map(row).collect(), String::from_utf8_lossy(model).into_owned()))
    }

    fn tell(&self, model: &str, intel: &mut Intel) {
        intel.epss = Some(Epss {
            score: Self::share(self.score),
            percentile: Self::share(self.percentile),
            model: model.to_owned(),
        });
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        intel.epss.as_ref().map(|epss| Self {
            score: Self::parts(epss.score),
            percentile: Self::parts(epss.percentile),
            announced: None,
        })
    }
}

/// What Exploit-DB has for a CVE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExploitdbPart {
    /// Its ids, ascending.
    pub ids: Vec<u32>,
    /// Whether one of them is marked verified.
    pub verified: bool,
}

/// What Metasploit has for a CVE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetasploitPart {
    /// Full names of the modules, sorted.
    pub modules: Vec<String>,
    /// Their highest rank, where one is known.
    pub rank: Option<u16>,
}

/// What nuclei has for a CVE: paths of templates, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NucleiPart(pub Vec<String>);

impl FeedPart for Kev {
    const FEED: Feed = Feed::Kev;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.kev = Some(self.clone());
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        intel.kev.clone()
    }
}

impl FeedPart for ExploitdbPart {
    const FEED: Feed = Feed::Exploitdb;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.exploits.exploitdb.clone_from(&self.ids);
        intel.exploits.exploitdb_verified = self.verified;
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        let exploits = &intel.exploits;
        (!exploits.exploitdb.is_empty())
            .then(|| Self { ids: exploits.exploitdb.clone(), verified: exploits.exploitdb_verified })
    }
}

impl FeedPart for MetasploitPart {
    const FEED: Feed = Feed::Metasploit;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.exploits.metasploit.clone_from(&self.modules);
        intel.exploits.metasploit_rank = self.rank;
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        let exploits = &intel.exploits;
        (!exploits.metasploit.is_empty())
            .then(|| Self { modules: exploits.metasploit.clone(), rank: exploits.metasploit_rank })
    }
}

impl FeedPart for NucleiPart {
    const FEED: Feed = Feed::Nuclei;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.exploits.nuclei.clone_from(&self.0);
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        (!intel.exploits.nuclei.is_empty()).then(|| Self(intel.exploits.nuclei.clone()))
    }
}

impl FeedPart for Record {
    const FEED: Feed = Feed::Vulnrichment;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.record = Some(self.clone());
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        intel.record.clone()
    }
}

impl FeedPart for Nvd {
    const FEED: Feed = Feed::Nvd;

    fn tell(&self, _model: &str, intel: &mut Intel) {
        intel.nvd = Some(self.clone());
    }

    fn part_of(intel: &Intel) -> Option<Self> {
        intel.nvd.clone()
    }

    fn says_nothing(&self) -> bool {
        self.cvss.is_none()
    }
}

/// The part of a source of threat intelligence: what it asserts, the gravest first.
macro_rules! threat_part {
    ($(#[$doc:meta])* $part:ident, $feed:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $part(pub Vec<Evidence>);

        impl FeedPart for $part {
            const FEED: Feed = Feed::$feed;

            fn tell(&self, _model: &str, intel: &mut Intel) {
                intel.threat.insert(Self::FEED, self.0.clone());
            }

            fn part_of(intel: &Intel) -> Option<Self> {
                intel.threat.get(&Self::FEED).cloned().map(Self)
            }

            fn says_nothing(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
}

threat_part!(
    /// What VulnCheck asserts of a CVE.
    VulncheckPart,
    Vulncheck
);
threat_part!(
    /// What a MISP instance asserts of a CVE.
    MispPart,
    Misp
);
threat_part!(
    /// What Mandiant asserts of a CVE.
    MandiantPart,
    Mandiant
);
threat_part!(
    /// What Recorded Future asserts of a CVE.
    RecordedFuturePart,
    RecordedFuture
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_packed_without_loss() {
        let row = |score, percentile, announced| EpssPart { score, percentile, announced };
        let rows = BTreeMap::from([
            (0, row(0, 0, None)),
            (7, row(18_126, 96_946, Some(333))),
            (255, row(EpssPart::ONE, EpssPart::ONE, Some(1_000))),
        ]);
        let packed = EpssPart::pack(&rows, "v2026.06.15");
        assert_eq!(packed.len(), 1 + 11 + 3 * 7);
        assert_eq!(EpssPart::unpack(&packed).unwrap(), (rows, "v2026.06.15".to_owned()));
        assert!(EpssPart::unpack(&packed[..packed.len() - 1]).is_err());
        assert!(EpssPart::unpack(&[]).is_err());
    }

    #[test]
    fn a_share_reads_as_the_feed_wrote_it() {
        let mut intel = Intel::default();
        EpssPart { score: 18_126, percentile: 96_946, announced: None }.tell("v5", &mut intel);
        let epss = intel.epss.unwrap();
        assert_eq!((epss.score, epss.percentile), (0.18126, 0.96946));
    }
}
