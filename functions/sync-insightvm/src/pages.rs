//! Working the units of the integration API.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Host, RuleId};
use sync::{Coverage, HostReport, Next, Proof, Run, Sink, SyncError};

use crate::InsightvmScanner;
use crate::client::{AssetsWish, Metadata};
use crate::normalize::asset::{self, Asset};
use crate::normalize::finding::Remedy;
use crate::normalize::rule;
use crate::work::{self, Definitions, Page, Wanted, Work};

/// Definitions a request. Their ids stand in its body, some 40 bytes each.
const DEFINITIONS_PER_REQUEST: usize = 100;
/// Of a solution, so much waits in a unit for its definition.
const SOLUTION_LIMIT: usize = 1_000;
/// Records that may be added while a list is read; with twice as many as announced beside these, it goes in circles.
const ROOM_FOR_NEWS: u64 = 10_000;

impl InsightvmScanner {
    /// Reads a page of assets and plans what it leads to.
    pub(crate) async fn read_assets(
        &self,
        run: &Run,
        unit: &str,
        page: Page,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let since = run.mode.since();
        let wish =
            AssetsWish { size: self.page_size, findings: self.vulnerabilities, since, until: run.started_at };
        let mut records = self.client.assets(&wish, &page, sink.now()).await?;
        let mut received = 0;
        let mut untold = 0;
        let mut wanted: BTreeMap<RuleId, Remedy> = BTreeMap::new();
        while let Some(asset) = records.next(&mut asset::asset).await? {
            received += 1;
            match asset {
                Ok(asset) => {
                    untold += u64::from(self.vulnerabilities && since.is_none() && asset.untold);
                    self.take_asset(asset, since.is_none(), &mut wanted, sink).await?;
                }
                Err(bad) => sink.refuse(bad),
            }
        }
        let metadata = self.client.metadata(&records)?;
        let mut units: Vec<_> = self.wanted_definitions(unit, wanted, sink).await?;
        let (next, mut proof) = self.after(&page, &metadata, received, records.what())?;
        if untold > 0 {
            proof.missing =
                Some(format!("{untold} assets say that they have vulnerabilities, and name none"));
        }
        units.extend(next.map(|page| work::unit(&Work::Assets(page))));
        Ok(if units.is_empty() { Next::Done(proof) } else { Next::More(units, proof) })
    }

    /// Asks whether there still are these assets.
    pub(crate) async fn confirm_missing(
        &self,
        assets: Vec<String>,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let (client, now) = (&self.client, sink.now());
        let ask = |asset: String| async move { client.has_asset(&asset, now).await };
        let rest = sync::confirm_each(assets, ask, sink).await?;
        let rest = sync::Scanner::ask_for(self, &rest);
        Ok(if rest.is_empty() { Next::Done(Proof::default()) } else { Next::More(rest, Proof::default()) })
    }

    async fn take_asset(
        &self,
        asset: Asset,
        full: bool,
        wanted: &mut BTreeMap<RuleId, Remedy>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyncError> {
        let Asset { host, findings, refused, whole, untold: _ } = asset;
        refused.into_iter().for_each(|bad| sink.refuse(bad));
        if self.vulnerabilities {
            let whole = whole && full;
            let mut plain = Vec::with_capacity(findings.len());
            for statement in findings {
                // In a full pass, remediations of some time before are no news.
                if !wanted.contains_key(&statement.finding.rule) {
                    wanted.insert(statement.finding.rule.clone(), statement.remedy);
                }
                plain.push(statement.finding);
            }
            if whole || !plain.is_empty() {
                let scanned = if self.assets {
                    Host {
                        credentialed: host.credentialed,
                        partly_credentialed: host.partly_credentialed,
                        native: host.native.clone(),
                        last_scanned_at: host.last_scanned_at,
                        ..Host::default()
                    }
                } else {
                    host.clone()
                };
                let coverage = if whole { Coverage::Whole } else { Coverage::Part };
                sink.report(HostReport { host: scanned, findings: plain, coverage }).await?;
            }
        }
        if self.assets { sink.inventory(host).await } else { Ok(()) }
    }

    /// Units that fetch the definitions of a page's vulnerabilities, as far as nobody has them.
    async fn wanted_definitions(
        &self,
        page: &str,
        mut wanted: BTreeMap<RuleId, Remedy>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<sync::Unit>, SyncError> {
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let unknown = sink.unknown_rules(wanted.keys().cloned().collect()).await?;
        let (askable, odd): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|rule| is_askable(rule.as_str()));
        sink.rules_without_definition(odd).await?;
        let rules: Vec<Wanted> = askable
            .into_iter()
            .map(|rule| {
                let remedy = wanted.remove(&rule).unwrap_or_default();
                let solution = remedy.solution.map(|text| shortened(&text));
                Wanted { id: rule.as_str().to_owned(), solution, patchable: remedy.patchable }
            })
            .collect();
        let work = |rules: &[Wanted]| {
            Work::Definitions(Definitions { page: page.to_owned(), rules: rules.to_vec() })
        };
        Ok(rules.chunks(DEFINITIONS_PER_REQUEST).map(|rules| work::unit(&work(rules))).collect())
    }

    /// Fetches definitions. Some vulnerabilities are not in the catalogue.
    pub(crate) async fn read_definitions(
        &self,
        work: Definitions,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let mut remedies: BTreeMap<RuleId, Wanted> =
            work.rules.into_iter().map(|wanted| (RuleId::new(&wanted.id), wanted)).collect();
        // An earlier page's unit may have brought some of them since.
        let mut open: BTreeSet<RuleId> =
            sink.unknown_rules(remedies.keys().cloned().collect()).await?.into_iter().collect();
        let mut received = 0;
        if !open.is_empty() {
            let ids: Vec<&str> = open.iter().map(RuleId::as_str).collect();
            let mut records = self.client.definitions(&ids, sink.now()).await?;
            while let Some(rule) = records.next(&mut rule::rule).await? {
                received += 1;
                match rule {
                    Ok(mut rule) => {
                        if let Some(wanted) = remedies.remove(&rule.id) {
                            (rule.solution, rule.patchable) = (wanted.solution, wanted.patchable);
                            open.remove(&rule.id);
                            sink.rule(rule).await?;
                        }
                    }
                    Err(bad) => sink.refuse(bad),
                }
            }
        }
        if !open.is_empty() {
            tracing::info!(missing = open.len(), "vulnerabilities that are not in the catalogue");
            sink.rules_without_definition(open.into_iter().collect()).await?;
        }
        sink.rescore_hosts_of(&work.page).await?;
        Ok(Next::Done(Proof { received, ..Proof::default() }))
    }

    /// Reads a page of the definitions that changed: a CVE is added, a severity is corrected. Only those that some
    /// finding uses are taken.
    pub(crate) async fn read_changed(
        &self,
        run: &Run,
        page: Page,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let Some(since) = run.changes_since else { return Ok(Next::Done(Proof::default())) };
        let mut records = self.client.changed_definitions(since, &page, sink.now()).await?;
        let mut received = 0;
        let mut changed = Vec::new();
        while let Some(rule) = records.next(&mut rule::rule).await? {
            received += 1;
            match rule {
                Ok(rule) => changed.push(rule),
                Err(bad) => sink.refuse(bad),
            }
        }
        let metadata = self.client.metadata(&records)?;
        let ids = changed.iter().map(|rule| rule.id.clone()).collect();
        let unused: BTreeSet<RuleId> = sink.unknown_rules(ids).await?.into_iter().collect();
        for rule in changed.into_iter().filter(|rule| !unused.contains(&rule.id)) {
            sink.rule(rule).await?;
        }
        let (next, proof) = self.after(&page, &metadata, received, records.what())?;
        if proof.announced.is_some_and(|announced| announced > proof.received) {
            return Err(self.client.malformed(records.what(), "it has fewer definitions than it counts"));
        }
        let proof = Proof { announced: None, received, missing: None };
        Ok(match next {
            Some(page) => Next::More(vec![work::unit(&Work::Changed(page))], proof),
            None => Next::Done(proof),
        })
    }

    /// The page that follows, or, behind the last one, the proof that all that was announced has come.
    fn after(
        &self,
        page: &Page,
        metadata: &Metadata,
        received: u64,
        what: &str,
    ) -> Result<(Option<Page>, Proof), SyncError> {
        let announced = match (page.announced, metadata.total()) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        let so_far = page.received + received;
        // What was added meanwhile is no part of the promise.
        let end =
            Proof { announced: announced.map(|total| total.max(so_far)), received: so_far, missing: None };
        // Behind an empty page there is nothing, whatever its cursor.
        let Some(cursor) = metadata.cursor().filter(|_| received > 0) else {
            return Ok((None, end));
        };
        if page.cursor.as_ref() == Some(&cursor) {
            return Err(self.client.malformed(what, "its cursor leads back to itself"));
        }
        if announced.is_some_and(|total| so_far > 2 * total + ROOM_FOR_NEWS) {
            return Err(self.client.malformed(what, "its pages have no end"));
        }
        let next = Page { number: page.number + 1, cursor: Some(cursor), received: so_far, announced };
        Ok((Some(next), Proof { received, ..Proof::default() }))
    }
}

/// Whether an id can stand between quotes of a query.
fn is_askable(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.chars().all(|c| !c.is_control() && !matches!(c, '\'' | '\\'))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SOLUTION_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
