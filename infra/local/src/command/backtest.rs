//! `vulnrelay backtest`: how well the score would have chosen what to fix first, against EPSS and CVSS.
//!
//! Everything is as of one day: what was known then comes from the feeds' files of that day, what came true from a later
//! KEV catalogue. What is known of the assets is left out, as it would be the same for every scorer.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use domain::decide::Feeds;
use domain::intel::{Feed, Kev, Record};
use domain::policy;
use domain::score::backtest::{Choice, choose};
use domain::score::{Factors, ScoreConfig, ScoreLine, Share, score};
use domain::{CveId, Intel};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{EpssPart, ExploitdbPart, FeedPart, MetasploitPart, NucleiPart};
use sync_intel::Source;

use super::{BacktestArgs, Failure, files};
use crate::terminal;

/// The effort of each line.
const EFFORTS: [f64; 3] = [0.01, 0.05, 0.10];

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    scorer: &'static str,
    /// Share of the population that is worked.
    effort: f64,
    as_of: Date,
    days: u32,
    /// CVEs to choose from.
    population: usize,
    /// Those of them that KEV listed within these days.
    listed: usize,
    #[serde(flatten)]
    choice: Choice,
}

/// To the millionth: more is noise.
fn rounded(choice: Choice) -> Choice {
    let round = |number: f64| (number * 1e6).round() / 1e6;
    Choice {
        picked: round(choice.picked),
        hits: round(choice.hits),
        coverage: round(choice.coverage),
        efficiency: round(choice.efficiency),
    }
}

/// Prints one line for each scorer and effort.
pub fn print(args: &BacktestArgs) -> Result<(), Failure> {
    let mut known = Known::default();
    let kev = known.read::<Kev>(&args.kev)?.rows;
    let mut as_of = args.as_of;
    if let Some(file) = &args.epss {
        let day = known.take::<EpssPart>(file)?;
        as_of = as_of.or(day);
    }
    if let Some(file) = &args.exploitdb {
        known.take::<ExploitdbPart>(file)?;
    }
    if let Some(file) = &args.metasploit {
        known.take::<MetasploitPart>(file)?;
    }
    if let Some(file) = &args.nuclei {
        known.take::<NucleiPart>(file)?;
    }
    if let Some(file) = &args.vulnrichment {
        known.take::<Record>(file)?;
    }
    let as_of = as_of.ok_or_else(|| {
        Failure::Input("no file tells its date: name the day with --as-of YYYY-MM-DD".to_owned())
    })?;
    let now = midnight(as_of)?;
    let wanted = policy::Feeds::default();
    let factors = |intel: &Intel| intel.factors(&known.feeds, &wanted, now);
    let mut population: BTreeMap<CveId, Factors> =
        known.intel.iter().map(|(cve, intel)| (cve.clone(), factors(intel))).collect();
    if let Some(file) = &args.facts {
        facts(file, &mut population)?;
    }
    // Without a CVSS score there is nothing to compare that scorer by.
    if population.values().any(|factors| factors.cvss.is_some()) {
        population.retain(|_, factors| factors.cvss.is_some());
    }
    let listed: BTreeMap<CveId, Date> = kev
        .iter()
        .flat_map(|(block, rows)| {
            rows.iter().filter_map(|(place, kev)| Some((block.cve(*place)?, kev.added)))
        })
        .collect();
    population.retain(|cve, _| listed.get(cve).is_none_or(|added| *added > as_of));
    if population.is_empty() {
        return Err(Failure::Input(
            "there is no CVE to choose from: name --epss, --vulnrichment or --facts".into(),
        ));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    // A scorer that knows nothing of anybody is left out.
    let knows = |value: fn(&Factors) -> f64| population.values().any(|factors| !value(factors).is_nan());
    for &days in &args.days {
        let end = as_of.saturating_add(SignedDuration::from_hours(24 * i64::from(days)));
        let came_true = |cve: &CveId| listed.get(cve).is_some_and(|added| *added <= end);
        for (scorer, value) in SCORERS.into_iter().filter(|(_, value)| knows(*value)) {
            let scored: Vec<(f64, bool)> =
                population.iter().map(|(cve, factors)| (value(factors), came_true(cve))).collect();
            let listed = scored.iter().filter(|(_, came_true)| *came_true).count();
            for effort in EFFORTS {
                let (population, choice) = (scored.len(), rounded(choose(&scored, effort)));
                let line = Line { scorer, effort, as_of, days, population, listed, choice };
                serde_json::to_writer(&mut out, &line).map_err(Failure::failed)?;
                out.write_all(b"\n").map_err(Failure::failed)?;
            }
        }
    }
    out.flush().map_err(Failure::failed)
}

type Scorer = (&'static str, fn(&Factors) -> f64);

const SCORERS: [Scorer; 3] = [
    ("vulnrelay", |factors| f64::from(score(factors, &ScoreConfig::default()).value)),
    ("epss", |factors| factors.epss.map_or(f64::NAN, |share| f64::from(Share::billionths(share)))),
    ("cvss", |factors| factors.cvss.map_or(f64::NAN, |cvss| f64::from(cvss.tenths()))),
];

/// What the files tell.
#[derive(Default)]
struct Known {
    intel: BTreeMap<CveId, Intel>,
    feeds: Feeds,
}

impl Known {
    fn read<P: Source>(&self, path: &Path) -> Result<sync_intel::Parsed<P>, Failure> {
        let reader: Box<dyn Read> = files::open(path)?;
        let wrong = |e| Failure::Input(format!("{}: it is not a {} feed: {e}", path.display(), P::FEED));
        let parsed = P::parse(reader).map_err(wrong)?;
        if parsed.dirty + parsed.unreadable > 0 {
            let bad = parsed.dirty + parsed.unreadable;
            terminal::notice(&format!("{}: {bad} records cannot be read", path.display()));
        }
        Ok(parsed)
    }

    /// Adds what a feed says, and returns its day.
    fn take<P: Source + FeedPart>(&mut self, path: &Path) -> Result<Option<Date>, Failure> {
        let parsed = self.read::<P>(path)?;
        for (block, rows) in &parsed.rows {
            for (place, part) in rows {
                if let Some(cve) = block.cve(*place) {
                    part.tell(&parsed.model, self.intel.entry(cve).or_default());
                }
            }
        }
        let feed: Feed = P::FEED;
        self.feeds = self.feeds.with(feed);
        Ok(parsed.as_of.map(|at| at.to_zoned(TimeZone::UTC).date()))
    }
}

fn midnight(day: Date) -> Result<Timestamp, Failure> {
    day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(Failure::failed)
}

/// Adds lines as `vulnrelay score` reads them; what they say goes before what feeds say.
fn facts(path: &Path, population: &mut BTreeMap<CveId, Factors>) -> Result<(), Failure> {
    for line in files::lines(path)? {
        let (number, line) = line?;
        let wrong = |e: String| Failure::Input(format!("{}:{number}: {e}", path.display()));
        let ScoreLine { id, .. } = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
        let cve: CveId = id.as_str().unwrap_or_default().parse().map_err(|e| wrong(format!("id: {e}")))?;
        let said: Map<String, Value> = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
        let known = population.entry(cve).or_default();
        let mut all = serde_json::to_value(&*known).map_err(Failure::failed)?;
        if let Some(all) = all.as_object_mut() {
            all.extend(said.into_iter().filter(|(name, _)| name != "id"));
        }
        *known = serde_json::from_value(all).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(())
}
