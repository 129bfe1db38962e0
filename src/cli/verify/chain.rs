//! `floodmark verify --chain`: whether each row is what was written, by the chain of hashes.

use std::{fmt, sync::Arc};

use indicatif::HumanCount;

use super::{VerifyArgs, business_days, day_asked, opened, read_still, words::at};
use crate::{
    config::Config,
    domain::time::{BusinessDay, BusinessZone, EARLIEST, LATEST, Millis},
    store::{
        Stores,
        chain::{
            ChainAccount, ChainAsked, ChainBreak, ChainDay, ChainDayVerdict, ChainFinding,
            ChainLinks, FoundAs, OutsideChain, batch_name,
        },
        retention::date_of,
    },
};

/// Gaps of the chain that are named.
const MAX_GAPS: usize = 10;

/// Verifies the days, prints what came of each, and returns how much differs.
pub(super) async fn verified(config: &Config, args: &VerifyArgs) -> Result<u64, String> {
    let zone = BusinessZone::named(&config.timezone)?;
    let stores = opened(config).await?;
    let (days, span) = match &args.day {
        Some(text) => {
            let day = day_asked(&zone, text)?;
            let span = (day.start, day.end);
            (vec![day], Some(span))
        }
        None => (all_days(&stores, &zone).await?, None),
    };
    let links = stores.chain.chain_links(span).await.map_err(|e| e.to_string())?;
    println!("{}", LinksInWords(&links));
    let mut verifier =
        ChainVerifier { stores, outside: links.outside.into(), account: ChainAccount::default() };
    let mut different = links.broken;
    let mut known_to = EARLIEST;
    for day in days {
        if span.is_none() {
            // Somebody may have added a row where no day is known.
            different += verifier.verify(known_to, day.start, None).await?;
            known_to = day.end;
        }
        different += verifier.verify(day.start, day.end, Some(&day)).await?;
    }
    if span.is_none() {
        different += verifier.verify(known_to, LATEST.saturating_add(1), None).await?;
    }
    Ok(different)
}

/// The days of which the store or its chain has anything.
async fn all_days(stores: &Stores, zone: &BusinessZone) -> Result<Vec<BusinessDay>, String> {
    let mut days = stores.days.days().await.map_err(|e| e.to_string())?;
    days.extend(stores.chain.chain_days().await.map_err(|e| e.to_string())?);
    Ok(business_days(zone, days))
}

/// What each day is verified with.
struct ChainVerifier {
    stores: Stores,
    outside: Arc<[OutsideChain]>,
    account: ChainAccount,
}

impl ChainVerifier {
    /// Holds rows from `from` to `to` against the chain. Of a stretch that is no day, only what differs is printed.
    async fn verify(
        &mut self,
        from: Millis,
        to: Millis,
        day: Option<&BusinessDay>,
    ) -> Result<u64, String> {
        if from >= to {
            return Ok(0);
        }
        let read = self.read(from, to).await?;
        let verdict = self.account.judge(&read);
        if day.is_some() || verdict.different > 0 {
            let date = day.map_or_else(|| "other days".to_owned(), |day| day.date.to_string());
            println!("{}", RowsInWords { date, read: &read, verdict: &verdict });
        }
        Ok(verdict.different)
    }

    async fn read(&self, from: Millis, to: Millis) -> Result<ChainDay, String> {
        let asked = ChainAsked {
            from,
            to,
            outside: self.outside.clone(),
            archived: self.stores.archived.clone().map(|it| it as _),
        };
        let read = || self.stores.chain.chain_rows(&asked);
        read_still(&self.stores, (from, to), read, |it| it.is_moving).await
    }
}

/// What came of following the chain.
struct LinksInWords<'a>(&'a ChainLinks);

impl fmt::Display for LinksInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = self.0;
        let (batches, rows) = (HumanCount(links.batches), HumanCount(links.rows));
        write!(f, "chain: {batches} batches with {rows} rows, ")?;
        match links.broken {
            0 => write!(f, "whole")?,
            1 => write!(f, "broken in 1 place")?,
            broken => write!(f, "broken in {broken} places")?,
        }
        for it in &links.breaks {
            write!(f, "\n  {}", BreakInWords(it))?;
        }
        let more = links.broken - links.breaks.len() as u64;
        if more > 0 {
            write!(f, "\n  and {} more", HumanCount(more))?;
        }
        for (id, sealed_at) in links.gaps.iter().take(MAX_GAPS) {
            let (name, at) = (batch_name(*id), at(*sealed_at));
            write!(f, "\n  not in the chain: batches that were stored before {name}, sealed {at}")?;
        }
        let more = links.gaps.len().saturating_sub(MAX_GAPS) as u64;
        if more > 0 {
            write!(f, "\n  and before {} more", HumanCount(more))?;
        }
        if links.outside.last().is_some_and(|(_, to)| *to == Millis::MAX) {
            write!(
                f,
                "\n  not in the chain: what is stored now, at least by one node (ledger.chain)"
            )?;
        }
        Ok(())
    }
}

/// A break in one line.
struct BreakInWords<'a>(&'a ChainBreak);

impl fmt::Display for BreakInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ChainBreak::Changed(id) => {
                write!(f, "changed: {} is not what its hash was made of", batch_name(*id))
            }
            ChainBreak::Lost { batch, before } => {
                let (batch, before) = (batch_name(*batch), batch_name(*before));
                write!(f, "missing: {before}, on which {batch} follows")
            }
            ChainBreak::Differs { batch, before } => {
                let (batch, before) = (batch_name(*batch), batch_name(*before));
                write!(
                    f,
                    "changed: {before} has another hash than {batch} says, which follows on it"
                )
            }
            ChainBreak::LastLost(id) => {
                write!(f, "missing or changed: {}, the last one of its lane", batch_name(*id))
            }
            ChainBreak::Beyond(id) => {
                write!(f, "added: {}, behind the last one of its lane", batch_name(*id))
            }
        }
    }
}

/// What came of the rows of a day.
struct RowsInWords<'a> {
    date: String,
    read: &'a ChainDay,
    verdict: &'a ChainDayVerdict,
}

impl fmt::Display for RowsInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowsInWords { date, read, verdict } = self;
        let (rows, same) = (HumanCount(read.rows), HumanCount(read.same));
        write!(f, "{date}: {rows} rows, {same} as they were written, ")?;
        match verdict.different {
            0 => write!(f, "no difference")?,
            1 => write!(f, "1 difference")?,
            different => write!(f, "{} differences", HumanCount(different))?,
        }
        if read.outside > 0 {
            write!(f, "\n  not in the chain: {} rows", HumanCount(read.outside))?;
        }
        if verdict.retained > 0 {
            write!(f, "\n  explained: {} rows went by [retention]", HumanCount(verdict.retained))?;
        }
        if verdict.forgotten > 0 {
            let rows = HumanCount(verdict.forgotten);
            write!(f, "\n  explained: {rows} rows were of people who were forgotten")?;
        }
        for it in &verdict.findings {
            write!(f, "\n  {}", FindingInWords(it))?;
        }
        for id in &read.unreadable {
            write!(f, "\n  unreadable: where the rows of {} are, or their keys", batch_name(*id))?;
        }
        for ((day, kind), rows) in &verdict.unexplained {
            let (day, rows) = (date_of(*day), HumanCount(*rows));
            write!(
                f,
                "\n  missing: {rows} more rows of type {kind} of {day} (UTC) than were removed; which ones can't \
                 be told"
            )?;
        }
        for (day, rows) in &verdict.taken_off {
            let (day, rows) = (date_of(*day), HumanCount(*rows));
            write!(
                f,
                "\n  taken off the chain: {rows} more rows of {day} (UTC) than were removed"
            )?;
        }
        let of_groups = verdict.unexplained.values().chain(verdict.taken_off.values()).sum::<u64>();
        let named = (verdict.findings.len() + read.unreadable.len()) as u64 + of_groups;
        if verdict.different > named {
            write!(f, "\n  and {} more", HumanCount(verdict.different - named))?;
        }
        Ok(())
    }
}

/// A row in one line.
struct FindingInWords<'a>(&'a ChainFinding);

impl fmt::Display for FindingInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.0;
        let found = match it.found {
            FoundAs::Changed => "changed",
            FoundAs::Missing => "missing",
            FoundAs::Added => "added",
        };
        write!(f, "{found}: {} {} {}", at(it.time), it.kind, it.id)?;
        match it.place {
            Some((batch, place)) => write!(f, ", row {place} of {}", batch_name(batch)),
            None => Ok(()),
        }
    }
}
