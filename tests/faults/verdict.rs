//! The comparison at the end of each test, and the line of the table that it gives.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    load::{Account, Outcome},
    node::PATIENCE,
    shop::{Shop, Stored, ten_thousandths},
    viewer::Viewer,
};

/// The texts of one row of the table in docs/RELIABILITY.md.
pub struct Row {
    /// The test's name.
    pub test: &'static str,
    /// What the test breaks.
    pub fault: &'static str,
    /// What holds although it breaks, beyond "nothing is lost and nothing counts twice".
    pub promise: &'static str,
    begun: Instant,
}

/// The result of comparing the events that were sent with those that are stored.
#[derive(Debug, Default)]
pub struct Found {
    /// Events that were answered with 202 and are not stored.
    pub lost: u64,
    /// Events that are stored more than once.
    pub doubled: u64,
    /// Events that are stored although they were refused or never sent.
    pub alien: u64,
    pub stored: u64,
}

impl Found {
    /// Compares the events that were sent with those that are stored.
    pub fn between(account: &Account, stored: &Stored) -> Found {
        let mut found = Found { stored: stored.events.len() as u64, ..Found::default() };
        found.doubled = stored.events.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        let alien = stored
            .events
            .iter()
            .filter(|event| matches!(account.outcome(**event), None | Some(Outcome::Refused)));
        found.alien = alien.count() as u64;
        let answered = account.events(Outcome::Answered);
        let lost = answered.filter(|event| stored.events.binary_search(event).is_err());
        found.lost = lost.count() as u64;
        found
    }
}

impl Row {
    pub fn new(test: &'static str, fault: &'static str, promise: &'static str) -> Row {
        Row { test, fault, promise, begun: Instant::now() }
    }

    /// Waits until both sinks have everything, compares everything with everything, and writes the
    /// row of the table. Panics if an event is lost or doubled.
    pub fn close(self, shop: &mut Shop, account: &Account, viewer: Option<&Viewer>) {
        self.close_after_damage(shop, account, viewer, 0);
    }

    /// Does the same for a fault that itself has destroyed at most this many events.
    pub fn close_after_damage(
        self,
        shop: &mut Shop,
        account: &Account,
        viewer: Option<&Viewer>,
        destroyed: u64,
    ) {
        let (stored, found) = shop.compared(account, destroyed);
        assert_eq!(found.doubled, 0, "stored twice: {found:?}");
        assert_eq!(found.alien, 0, "stored though never sent or refused: {found:?}");
        assert!(found.lost <= destroyed, "answered 202 and not stored: {found:?}");
        assert!(account.count(Outcome::Answered) > 0, "the test has sent nothing");
        assert_eq!(stored.ledger, found.stored, "the ledger agrees with the rows");
        agrees(&shop.node.current_soon(&stored), &stored);
        if let Some(viewer) = viewer {
            viewer.until("what the store holds", |screen| {
                screen.counts == stored.counts && screen.revenue == stored.revenue
            });
        }
        let destroyed = found.lost;
        self.write(shop.node.peak_mib(), account, &Found { lost: 0, ..found }, destroyed);
    }

    /// Writes the row of the table, for a test that compares by itself.
    pub fn write(self, peak_mib: u64, account: &Account, found: &Found, destroyed: u64) {
        let all = [Outcome::Answered, Outcome::Refused, Outcome::Silent];
        let sent: u64 = all.iter().map(|outcome| account.count(*outcome)).sum();
        let line = json!({
            "test": self.test,
            "fault": self.fault,
            "promise": self.promise,
            "sent": sent,
            "answered": account.count(Outcome::Answered),
            "refused": account.count(Outcome::Refused),
            "silent": account.count(Outcome::Silent),
            "stored": found.stored,
            "lost": found.lost,
            "doubled": found.doubled,
            "destroyed": destroyed,
            "peak_mib": peak_mib,
            "seconds": self.begun.elapsed().as_secs(),
        });
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults");
        std::fs::create_dir_all(&folder).expect("target can be written");
        let file = folder.join(format!("{}.json", self.test));
        std::fs::write(file, format!("{line}\n")).expect("target can be written");
    }
}

impl Shop {
    /// Compares what is stored once both sinks have everything. A batch that is still open does not
    /// count as waiting, so events that are missing get time to arrive.
    pub fn compared(&self, account: &Account, destroyed: u64) -> (Stored, Found) {
        let begin = Instant::now();
        loop {
            self.node.settled();
            let stored = self.stored();
            let found = Found::between(account, &stored);
            let all = found.lost <= destroyed && stored.ledger == found.stored;
            if all || begin.elapsed() > PATIENCE / 4 {
                return (stored, found);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Checks that `/current` shows the sums of what the store holds.
fn agrees(current: &Value, stored: &Stored) {
    let counts: BTreeMap<String, u64> =
        serde_json::from_value(current["counts"].clone()).expect("counts");
    assert_eq!(counts, stored.counts, "counted as stored");
    let revenue = ten_thousandths(&current["revenue"].to_string());
    assert_eq!(revenue, stored.revenue, "summed as stored");
}

impl crate::node::Node {
    /// Reads `/current` once it shows as many events as are stored, or at the end of the time it
    /// has for that.
    fn current_soon(&self, stored: &Stored) -> Value {
        let begin = Instant::now();
        loop {
            let current = self.current();
            if current["events"] == stored.events.len() || begin.elapsed() > PATIENCE {
                return current;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
