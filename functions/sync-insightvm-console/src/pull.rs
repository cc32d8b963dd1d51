//! Units that ask the API: pages of assets with their tags and findings, and single definitions.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Host, Rule, RuleId, ScanJob, ScanOutcome};
use futures::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use sync::http::segment;
use sync::split::json::only;
use sync::{BadRecord, Coverage, HostReport, Mode, Next, Proof, Run, Sink, SyncError, UNREADABLE, Unit};

use crate::ConsoleScanner;
use crate::client::{Assets, Client, DEFINITIONS, total};
use crate::normalize::json::{self, Asset, OnAsset, SiteScan};
use crate::work::{self, DEFINITIONS_AT_ONCE};

/// Calls at the same time: more of them slow a console's database down for everybody.
const PARALLEL: usize = 2;
/// So many tags are asked for one by one, however few assets there are.
const FEW: usize = 20;
/// A search reaches so much further back, because the console counts days in its own time zone; and so long a scan is taken
/// to last where the console does not tell.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Results of a scan are there so long after its end at the latest, beside what a run reaches back anyway. Each hour more
/// is an hour of scans that every incremental run reads once more.
const INTEGRATION: SignedDuration = SignedDuration::from_hours(2);

impl ConsoleScanner {
    /// Reads a page of assets, plans what is found on them or asks for it, and plans the page after it.
    pub(crate) async fn pull_assets(
        &self,
        run: &Run,
        unit: &Unit,
        (number, total_before, from): (u64, Option<u64>, Option<Timestamp>),
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        let from = match (run.mode, from) {
            (Mode::Full, _) => None,
            (Mode::Incremental { since }, None) => Some(self.news_since(since, now).await?),
            (Mode::Incremental { .. }, told) => told,
        };
        if run.mode == Mode::Full && number == 0 {
            // A console answers for what it does not show as for what is not there.
            match self.client.all("sites", now, &mut json::listed_site).await {
                Ok(sites) => sink.may_see(sites.into_iter().map(|site| site.id).collect()).await?,
                // Whoever may not see the sites sees assets all the same.
                Err(error) if error.is_of_one_answer() && !error.is_transient() => {
                    tracing::warn!(%error, "the console did not tell its sites");
                    sink.may_see(vec![UNREADABLE.to_owned()]).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let which = from.map_or(Assets::All, |from| {
            Assets::ScannedSince(before(from, DAY).to_zoned(jiff::tz::TimeZone::UTC).date())
        });
        let mut page = self.client.assets(which, number, self.page_size, now).await?;
        let (mut assets, mut received): (Vec<Asset>, u64) = (Vec::new(), 0);
        while let Some(asset) = page.next(&mut json::asset).await? {
            received += 1;
            match asset {
                Ok(asset) => assets.push(asset),
                Err(bad) => sink.refuse(bad),
            }
        }
        let size = u64::from(self.page_size);
        let total = total(&page);
        // What a page has to hold, by the console's own count.
        let announced = total.map(|total| total.saturating_sub(number * size).min(size));
        let mut proof = Proof { announced, received, missing: None };
        // Fewer assets than a page ago: those behind the deleted one have moved up, one of them to the page before.
        if let (Some(before), Some(total)) = (total_before, total)
            && total < before
        {
            proof.missing = Some(format!("{} assets were deleted while the list was read", before - total));
        }
        let mut next: Vec<Unit> = Vec::new();
        if received > 0 && total.map_or(received == size, |total| (number + 1) * size < total) {
            next.push(work::assets_after(number + 1, total, from));
        }
        // A day is coarse: what nobody has looked at since then has not changed.
        assets.retain(|asset| asset.host.last_scanned_at.zip(from).is_none_or(|(at, from)| at >= from));
        if self.vulnerabilities && self.by_report {
            let assessed = assets.iter().filter(|asset| asset.assessed);
            let number_of = |asset: &Asset| asset.host.native.parse::<u64>().ok();
            let all: Vec<u64> = assessed.clone().filter_map(number_of).collect();
            let by_agent = assessed.filter(|asset| asset.host.credentialed == Some(true));
            let agents = by_agent.filter_map(|a| Some((number_of(a)?, a.host.last_scanned_at?))).collect();
            self.describe(assets, sink).await?;
            if !all.is_empty() {
                next.push(work::findings(number, all, agents));
            }
            return Ok(Next::More(next, proof));
        }
        let mut tags = self.tags(&assets, now).await?;
        if !self.vulnerabilities {
            for asset in &mut assets {
                tags.remove(&asset.host.native)
                    .into_iter()
                    .flatten()
                    .for_each(|tag| json::attach(&mut asset.host, tag));
            }
            self.describe(assets, sink).await?;
            return Ok(Next::More(next, proof));
        }
        let scanned: Vec<Host> = assets
            .iter()
            .filter(|asset| asset.assessed)
            .map(|asset| {
                let Host { last_scanned_at, credentialed, .. } = asset.host;
                let native = asset.host.native.clone();
                let mut host = Host { native, last_scanned_at, credentialed, ..Host::default() };
                tags.remove(&host.native).into_iter().flatten().for_each(|tag| json::attach(&mut host, tag));
                host
            })
            .collect();
        self.describe(assets, sink).await?;
        let asked = scanned.len();
        let (rules, refused) = self.findings_of(scanned, sink).await?;
        if refused > 0 {
            let why = "they were deleted meanwhile, or the user lacks the right to them";
            proof.missing =
                Some(format!("{refused} of {asked} assets do not show what is found on them: {why}"));
        }
        let unknown = sink.unknown_rules(rules.into_iter().collect()).await?;
        let unknown: Vec<String> = unknown.iter().map(|rule| rule.as_str().to_owned()).collect();
        next.extend(work::definitions(&unknown, &unit.id));
        Ok(Next::More(next, proof))
    }

    /// From when on looks at an asset are news to whoever has asked at `since`. An asset bears the time at which a scan has
    /// looked at it, and its results are there when the whole scan has ended, which may be days later. So whatever scans
    /// looked at that ended since then, or not long before, counts from their beginning on.
    async fn news_since(&self, since: Timestamp, now: Timestamp) -> Result<Timestamp, SyncError> {
        let day = before(since, DAY);
        let mut page = match self.client.newest_scans(false, now).await {
            Ok(page) => page,
            Err(error) if error.is_refused_password() || error.is_transient() => return Err(error),
            // Whoever may not see the scans sees assets all the same.
            Err(error) => {
                tracing::warn!(%error, "the console did not tell its scans, so what a scan of more than a day looked at is late");
                return Ok(day);
            }
        };
        let (mut from, mut told) = (since, 0_u64);
        let mut is_all = false;
        while let Some(scan) = page.next(&mut json::listed_scan).await? {
            told += 1;
            let Some(scan) = scan.ok().flatten() else { continue };
            if scan.at.is_some_and(|at| at < before(since, INTEGRATION)) {
                is_all = true;
            } else {
                from = from.min(scan.began.unwrap_or(day));
            }
        }
        let is_all = is_all || total(&page).is_some_and(|total| total <= told);
        Ok(if is_all { from } else { from.min(day) })
    }

    async fn describe(&self, assets: Vec<Asset>, sink: &mut dyn Sink) -> Result<(), SyncError> {
        if self.assets {
            for asset in assets {
                sink.inventory(asset.host).await?;
            }
        }
        Ok(())
    }

    /// Asks for the findings of each host. Answers their rules, and how many hosts show none.
    async fn findings_of(
        &self,
        hosts: Vec<Host>,
        sink: &mut dyn Sink,
    ) -> Result<(BTreeSet<RuleId>, usize), SyncError> {
        let (mut rules, mut refused) = (BTreeSet::new(), 0);
        let now = sink.now();
        let mut answers = stream::iter(hosts)
            .map(|host| async move { Ok::<_, SyncError>((on_asset(&self.client, &host, now).await?, host)) })
            .buffered(PARALLEL);
        while let Some(answer) = answers.next().await {
            let (found, host) = answer?;
            let Some(Found { elements, bad, whole }) = found else {
                refused += 1;
                continue;
            };
            bad.into_iter().for_each(|bad| sink.refuse(bad));
            let findings = json::findings(elements);
            rules.extend(findings.iter().map(|finding| finding.rule.clone()));
            let coverage = if whole { Coverage::Whole } else { Coverage::Part };
            sink.report(HostReport { host, findings, coverage }).await?;
        }
        Ok((rules, refused))
    }

    /// The tags of these assets. Asked for by tag where there are fewer of them than assets, as there usually are.
    async fn tags(
        &self,
        assets: &[Asset],
        now: Timestamp,
    ) -> Result<BTreeMap<String, Vec<json::ConsoleTag>>, SyncError> {
        let wanted: BTreeSet<u64> =
            assets.iter().filter_map(|asset| asset.host.native.parse().ok()).collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = self.client.all("tags", now, &mut json::listed_tag).await?;
        let mut tags: BTreeMap<String, Vec<json::ConsoleTag>> = BTreeMap::new();
        if known.len() > wanted.len().max(FEW) {
            let mut answers = stream::iter(wanted)
                .map(|asset| async move { self.tags_of(asset.to_string(), now).await })
                .buffered(PARALLEL);
            while let Some(answer) = answers.next().await {
                tags.extend([answer?]);
            }
            return Ok(tags);
        }
        let mut answers = stream::iter(known)
            .map(|(number, tag)| async move { Ok::<_, SyncError>((self.tagged(number, now).await?, tag)) })
            .buffered(PARALLEL);
        while let Some(answer) = answers.next().await {
            let (assets, tag) = answer?;
            for asset in assets.intersection(&wanted) {
                tags.entry(asset.to_string()).or_default().push(tag.clone());
            }
        }
        Ok(tags)
    }

    /// The assets that have a tag.
    async fn tagged(&self, tag: u64, now: Timestamp) -> Result<BTreeSet<u64>, SyncError> {
        let mut assets = BTreeSet::new();
        if let Some(mut page) = self.client.tagged(tag, now).await? {
            while let Some(id) = page.next(&mut json::listed_id).await? {
                assets.extend(id.ok().flatten());
            }
        }
        Ok(assets)
    }

    /// An asset with its tags.
    async fn tags_of(
        &self,
        asset: String,
        now: Timestamp,
    ) -> Result<(String, Vec<json::ConsoleTag>), SyncError> {
        let mut tags = Vec::new();
        if let Some(mut page) = self.client.tags_of(&asset, now).await? {
            while let Some(tag) = page.next(&mut json::listed_tag).await? {
                tags.extend(tag.ok().flatten().map(|(_, tag)| tag));
            }
        }
        Ok((asset, tags))
    }

    /// How each site was last scanned. A site whose last scan is not among the newest of the console still tells when it was.
    pub(crate) async fn scan_jobs(&self, now: Timestamp) -> Result<Vec<ScanJob>, SyncError> {
        let mut sites = self.client.all("sites", now, &mut json::listed_site).await?;
        // No scan looks at those that agents report to.
        sites.retain(|site| !site.is_of_agents);
        let mut last: BTreeMap<String, SiteScan> = BTreeMap::new();
        let mut page = self.client.newest_scans(false, now).await?;
        while let Some(scan) = page.next(&mut json::listed_scan).await? {
            let Some(scan) = scan.ok().flatten() else { continue };
            if last.get(&scan.site).is_none_or(|known| known.at < scan.at) {
                last.insert(scan.site.clone(), scan);
            }
        }
        let mut page = self.client.newest_scans(true, now).await?;
        while let Some(scan) = page.next(&mut json::listed_scan).await? {
            // What came of the last one that ended counts, until there is one.
            if let Some(scan) = scan.ok().flatten() {
                last.entry(scan.site.clone()).or_insert(scan);
            }
        }
        let job = |site: json::Site| {
            let (outcome, at) = match (last.get(&site.id), site.scanned_at) {
                (Some(scan), _) => (scan.outcome, scan.at),
                (None, Some(at)) => (ScanOutcome::Untold, Some(at)),
                (None, None) => (ScanOutcome::Never, None),
            };
            ScanJob { id: site.id, name: site.name, outcome, at, scheduled: None }
        };
        Ok(sites.into_iter().map(job).collect())
    }

    /// Asks whether there still are these assets.
    pub(crate) async fn confirm_missing(
        &self,
        assets: Vec<String>,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let (client, now) = (&self.client, sink.now());
        let ask = |asset: String| async move { client.has_asset(&asset, now).await };
        let rest = work::missing(&sync::confirm_each(assets, ask, sink).await?);
        if !rest.is_empty() {
            return Ok(Next::More(rest, Proof::default()));
        }
        Ok(Next::Done(Proof::default()))
    }

    /// Reads again what is known and was changed.
    pub(crate) async fn read_changed(
        &self,
        number: u64,
        since: Timestamp,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let mut page = self.client.newest_definitions(number, sink.now()).await?;
        // The console tells days, of its own time zone.
        let since_day = before(since, DAY);
        let (mut received, mut last, mut sorted) = (0, None::<Timestamp>, true);
        let mut changed = Vec::new();
        while let Some(rule) = page.next(&mut json::rule).await? {
            received += 1;
            let rule = match rule {
                Ok(rule) => rule,
                Err(bad) => {
                    sink.refuse(bad);
                    continue;
                }
            };
            sorted &= last.is_none_or(|last| rule.modified.is_none_or(|at| at <= last));
            last = rule.modified.or(last);
            if rule.modified.is_some_and(|at| at >= since_day) {
                changed.push(rule);
            }
        }
        let known = sink.unknown_rules(changed.iter().map(|rule| rule.id.clone()).collect()).await?;
        let unused: BTreeSet<RuleId> = known.into_iter().collect();
        for rule in changed.into_iter().filter(|rule| !unused.contains(&rule.id)) {
            sink.rule(rule).await?;
        }
        if !sorted {
            tracing::warn!(
                "the console does not sort its definitions, so that not all that were changed are read again"
            );
        }
        let is_full = received == DEFINITIONS && last.is_some_and(|at| at >= since_day);
        let is_all = total(&page).is_none_or(|total| (number + 1).saturating_mul(DEFINITIONS) >= total);
        let goes_on = sorted && is_full && !is_all;
        let proof = Proof { received, ..Proof::default() };
        Ok(match goes_on {
            true => Next::More(vec![work::changed(number + 1, since)], proof),
            false => Next::Done(proof),
        })
    }

    /// Asks for some of these definitions, one by one; another unit for the rest. Behind the last one, the hosts that wait for
    /// them are sent on.
    pub(crate) async fn pull_definitions(
        &self,
        rules: Vec<String>,
        hosts_of: &str,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        let mut received = 0;
        let mut without = Vec::new();
        // A try before this one may have got some way.
        let rules = sink.unknown_rules(rules.into_iter().map(RuleId::new).collect()).await?;
        let mut rules: Vec<String> = rules.iter().map(|rule| rule.as_str().to_owned()).collect();
        let rest = rules.split_off(rules.len().min(DEFINITIONS_AT_ONCE));
        let mut answers = stream::iter(rules)
            .map(
                |rule| async move { Ok::<_, SyncError>((definition(&self.client, &rule, now).await?, rule)) },
            )
            .buffered(PARALLEL);
        while let Some(answer) = answers.next().await {
            match answer? {
                (Some(Ok(rule)), _) => {
                    received += 1;
                    sink.rule(rule).await?;
                }
                (Some(Err(bad)), rule) => {
                    sink.refuse(bad);
                    without.push(RuleId::new(rule));
                }
                (None, rule) => without.push(RuleId::new(rule)),
            }
        }
        drop(answers);
        sink.rules_without_definition(without).await?;
        if !rest.is_empty() {
            let proof = Proof { received, ..Proof::default() };
            return Ok(Next::More(work::definitions(&rest, hosts_of), proof));
        }
        sink.rescore_hosts_of(hosts_of).await?;
        Ok(Next::Done(Proof { received, ..Proof::default() }))
    }
}

fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What the pages of one asset say.
struct Found {
    elements: Vec<OnAsset>,
    bad: Vec<BadRecord>,
    whole: bool,
}

async fn on_asset(client: &Client, host: &Host, now: Timestamp) -> Result<Option<Found>, SyncError> {
    let mut found = Found { elements: Vec::new(), bad: Vec::new(), whole: true };
    let (mut number, mut received) = (0, 0);
    // Pages that shift while a scan is integrated repeat one and lose another: each counts once.
    let mut seen = BTreeSet::new();
    loop {
        let Some(mut page) = client.findings(&host.native, number, now).await? else { return Ok(None) };
        let before = received;
        let mut read = |offset, bytes: &[u8]| json::finding(offset, bytes, host.last_scanned_at);
        while let Some(element) = page.next(&mut read).await? {
            received += 1;
            match element {
                Ok(element) if seen.insert(element.vulnerability.clone()) => found.elements.push(element),
                Ok(_) => {}
                Err(bad) => found.bad.push(bad),
            }
        }
        number += 1;
        match total(&page) {
            Some(total) if received < total && received > before => {}
            total => {
                found.whole = found.bad.is_empty()
                    && host.last_scanned_at.is_some()
                    && total == Some(seen.len() as u64)
                    && found.elements.iter().all(|element| element.whole);
                return Ok(Some(found));
            }
        }
    }
}

/// A definition with what to do about it. `None`: the console has none, or does not show it.
async fn definition(
    client: &Client,
    rule: &str,
    now: Timestamp,
) -> Result<Option<Result<Rule, BadRecord>>, SyncError> {
    let path = format!("vulnerabilities/{}", segment(rule));
    let Some(bytes) = client.document(&path, now).await? else { return Ok(None) };
    let mut rule = match only(&bytes, json::rule) {
        Ok(rule) => rule,
        Err(bad) => return Ok(Some(Err(bad))),
    };
    let listed = client.document(&format!("{path}/solutions"), now).await?.unwrap_or_default();
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Solutions {
        resources: Vec<String>,
    }
    let mut listed: Solutions = serde_json::from_slice(&listed).unwrap_or_default();
    listed.resources.sort();
    let mut solutions = Vec::new();
    for solution in listed.resources.iter().take(json::SOLUTIONS) {
        let Some(bytes) = client.document(&format!("solutions/{}", segment(solution)), now).await? else {
            continue;
        };
        // Advice that cannot be read does not cost the definition.
        solutions.extend(json::solution(&bytes));
    }
    json::remedy(&mut rule, solutions);
    Ok(Some(Ok(rule)))
}
