//! The disk of the spool is full, or the spool has reached its limit.

use std::{fs::File, io::Write, path::Path, process::Command, thread, time::Duration};

use crate::{
    load::{Load, Outcome, Plan},
    node::Node,
    shop::{BRISK, Servers, Shop},
    verdict::Row,
    viewer::Viewer,
};

/// A small file system in memory, mounted below a test's folder.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path, bytes: u64) -> SmallDisk {
        std::fs::create_dir(path).expect("a folder to mount on");
        let size = format!("size={bytes}");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "floodmark-test"])
            .arg(path)
            .output()
            .expect("mount (util-linux) runs");
        assert!(
            output.status.success(),
            "this test fills a disk of its own, and mounting one needs root (in a container: \
             --cap-add SYS_ADMIN): {}",
            String::from_utf8_lossy(&output.stderr)
        );
        SmallDisk { path: path.to_owned() }
    }

    /// Fills the disk with a file that takes all the room that is left.
    fn fill(&self) {
        let mut ballast =
            File::options().append(true).create(true).open(self.ballast()).expect("a file");
        assert!(ballast.write_all(&vec![0; 64 << 20]).is_err(), "the disk is not small");
    }

    /// Fills the disk until the load is refused more than `refused` times: the sinks delete segments
    /// that they have read, and each of these makes room again.
    fn fill_until_refused(&self, load: &Load, refused: u64) {
        load.wait("requests are refused", |load| {
            self.fill();
            load.refused() > refused
        });
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast");
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A shop whose data folder is a small disk of its own.
fn on_small_disk(bytes: u64) -> (Shop, SmallDisk) {
    let servers = Servers::start();
    let places = servers.settings();
    let mut settings: Vec<(&str, &str)> = BRISK.to_vec();
    settings.extend(places.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let data = scratch.path().join("data");
    let disk = SmallDisk::mount(&data, bytes);
    let node = Node::on(scratch, data, &settings, &[]);
    (Shop { node, servers: Some(servers) }, disk)
}

#[test]
fn disk_full_under_the_spool_then_freed() {
    let row = Row::new(
        "disk_full_under_the_spool_then_freed",
        "something else takes the last byte of the spool's disk, twice, once with a restart",
        "503 with Retry-After, nothing of it stored; by itself it goes on when there is room; \
         /readyz says why",
    );
    let (mut shop, disk) = on_small_disk(16 << 20);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    load.goes_on(1000);
    disk.fill_until_refused(&load, 0);
    shop.node.until("it says so", |node| {
        disk.fill();
        node.reasons().iter().any(|reason| reason.starts_with("intake: full"))
    });
    // Events that were answered before still go on to the sinks. The segments that both sinks have
    // read are deleted and make room, although there is not a byte for a new cursor file.
    shop.node
        .until("the sinks have it all", |node| node.get("/readyz")["lag"]["store"]["batches"] == 0);
    disk.free();
    load.goes_on(1000);
    shop.is_ready();

    disk.fill_until_refused(&load, load.refused());
    shop.node.kill();
    disk.free();
    shop.node.restart();
    load.goes_on(1000);
    let account = load.stop();
    let refusals = account.count(Outcome::Refused) / Plan::PLAIN.events;
    assert_eq!(account.told_when, refusals, "every 503 says when to come back");
    row.close(&mut shop, &account, Some(&viewer));
    drop(shop);
}

#[test]
fn disk_filled_by_the_spool_itself() {
    let row = Row::new(
        "disk_filled_by_the_spool_itself",
        "Postgres is gone until the spool has filled its disk of 6 MB",
        "503 with Retry-After; the spool drains and goes on though no byte was left",
    );
    let (mut shop, disk) = on_small_disk(6 << 20);
    shop.is_ready();
    let load = Load::start(shop.node.addr(), 0, Plan { events: 200, ..Plan::PLAIN });
    load.goes_on(1000);
    shop.postgres().stop_immediate();
    load.wait("requests are refused", |load| load.refused() > 1000);
    // Not even the smallest file fits on the disk now.
    disk.fill();
    shop.postgres().start_again();
    load.goes_on(1000);
    let account = load.stop();
    row.close(&mut shop, &account, None);
    drop(shop);
}

#[test]
fn spool_at_its_limit() {
    let row = Row::new(
        "spool_at_its_limit",
        "Postgres is gone until the spool has reached spool.max_bytes",
        "503 with Retry-After and a reason in /readyz; it goes on by itself when Postgres is back",
    );
    let mut shop = Shop::on_servers(&[("FLOODMARK_SPOOL__MAX_BYTES", "3000000")]);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, Plan { events: 200, ..Plan::PLAIN });
    load.goes_on(1000);
    shop.postgres().stop_immediate();
    load.wait("requests are refused", |load| load.refused() > 2000);
    let reasons = shop.node.reasons();
    assert!(reasons.iter().any(|reason| reason.starts_with("spool: full")), "{reasons:?}");
    // The spool may exceed its limit by one group of requests at most.
    thread::sleep(Duration::from_secs(1));
    let bytes = shop.node.metric("floodmark_spool_bytes");
    assert!(bytes < 4_000_000.0, "{bytes} bytes in the spool");
    shop.postgres().start_again();
    load.goes_on(1000);
    let account = load.stop();
    let refusals = account.count(Outcome::Refused) / 200;
    assert_eq!(account.told_when, refusals, "every 503 says when to come back");
    shop.is_ready();
    row.close(&mut shop, &account, Some(&viewer));
}

#[test]
fn committer_panics() {
    let row = Row::new(
        "committer_panics",
        "the thread that writes the spool panics between a write and its fsync",
        "the process ends in order, says why and exits with an error; nothing hangs",
    );
    let mut shop = Shop::armed(&[], &[("FAILPOINTS", "spool-written=40*off->panic")]);
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    let status = shop.node.ended("the committer panicked");
    assert!(!status.success(), "its service manager is to start it again: {status}");
    assert!(shop.node.log().contains("committer panicked"), "the log says which part");
    shop.node.restart();
    load.goes_on(1000);
    let account = load.stop();
    shop.is_ready();
    row.close(&mut shop, &account, Some(&viewer));
}
