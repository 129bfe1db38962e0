//! Databases that come back with another past: copies of the files, dumps, and a standby that
//! lags behind.

use std::path::{Path, PathBuf};

use super::{FOLDERS, HINT, PASSWORD, Postgres, USER};
use crate::support::{
    port::Port,
    process::{command, find, folder, run, wait_until},
};

impl Postgres {
    /// The server's own files.
    pub fn files(&self) -> PathBuf {
        self.data()
    }

    /// Copies the files of the server, which must be stopped.
    pub fn copy(&self) -> PathBuf {
        assert!(self.server.is_none(), "a file-level copy is taken while it is stopped");
        let copy = self.folder.join("copy");
        run(command("cp").args(["-a", "--reflink=auto"]).arg(self.data()).arg(&copy));
        copy
    }

    /// Puts these files in the place of the server's own, which are gone then. The server must be
    /// stopped.
    pub fn put_back(&mut self, copy: &Path) {
        assert!(self.server.is_none(), "files are exchanged while it is stopped");
        std::fs::remove_dir_all(self.data()).expect("its files");
        std::fs::rename(copy, self.data()).expect("another folder of the same disk");
        self.settle_in();
    }

    /// Exchanges the files of two servers, which must be stopped: then each has the other's
    /// database behind its own address.
    pub fn exchange(&mut self, other: &mut Postgres) {
        let aside = self.folder.join("aside");
        std::fs::rename(self.data(), &aside).expect("its files");
        std::fs::create_dir(self.data()).expect("an empty folder");
        self.put_back(&other.data());
        std::fs::create_dir(other.data()).expect("an empty folder");
        other.put_back(&aside);
    }

    /// Starts a standby of this server, which receives what is committed here a little later.
    pub fn standby(&self) -> Postgres {
        let standby = Postgres { port: Port::free(), server: None, folder: folder("pg") };
        run(self
            .tool("pg_basebackup")
            .args(["--wal-method=stream", "--write-recovery-conf", "--checkpoint=fast"])
            .arg("-D")
            .arg(standby.data()));
        standby.settle_in();
        let mut standby = standby;
        standby.start_again();
        standby
    }

    /// Cuts the standby off from its primary: it lacks what is committed there from now on.
    pub async fn cut_off(&self) {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''").await;
        self.sql("SELECT pg_reload_conf()").await;
        let begin = std::time::Instant::now();
        while !self.sql("SELECT 1 FROM pg_stat_wal_receiver").await.is_empty() {
            assert!(begin.elapsed().as_secs() < 30, "the standby still receives");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Makes the standby take the place of this server, as after a failover: it is promoted and
    /// gets this server's address. Whatever it had not received is gone.
    pub async fn fail_over_to(&mut self, mut standby: Postgres) {
        self.stop_immediate();
        assert_eq!(standby.sql("SELECT pg_promote()").await, [["t"]], "it is promoted");
        standby.stop_in_order();
        self.put_back(&standby.data());
        self.start_again();
    }

    /// Dumps the database with pg_dump, while it is used.
    pub fn dump(&self) -> PathBuf {
        let file = self.folder.join("dump");
        run(self.tool("pg_dump").args(["--format=custom", "--file"]).arg(&file).arg("postgres"));
        file
    }

    /// Restores a dump into a new database, which then takes the name of the one that is used.
    pub fn restore(&self, dump: &Path) {
        self.psql("CREATE DATABASE restored");
        run(self.tool("pg_restore").args(["--dbname", "restored"]).arg(dump));
        self.rename("postgres", "lost");
        self.rename("restored", "postgres");
    }

    /// Puts an empty database in the place of the one that is used.
    pub fn set_aside(&self) {
        self.psql("CREATE DATABASE empty TEMPLATE template0");
        self.rename("postgres", "aside");
        self.rename("empty", "postgres");
    }

    /// Brings back what [`Postgres::set_aside`] has put aside.
    pub fn bring_back(&self) {
        self.rename("postgres", "empty");
        self.rename("aside", "postgres");
    }

    fn rename(&self, name: &str, to: &str) {
        self.psql(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"));
        let used = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        // A session that is about to end still keeps the database from being renamed.
        wait_until("nobody uses the database", || self.psql(&used).trim() == "0");
        self.psql(&format!("ALTER DATABASE {name} RENAME TO {to}"));
        if to == "postgres" {
            self.psql("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS true");
        }
    }

    /// Runs SQL in a database that nobody else uses, and returns what it printed.
    fn psql(&self, sql: &str) -> String {
        run(self.tool("psql").args(["-X", "-A", "-t", "-d", "template1", "-c", sql]))
    }

    /// One of PostgreSQL's client programs, with address and user.
    fn tool(&self, name: &str) -> std::process::Command {
        let mut command = command(find(name, &FOLDERS, HINT));
        command.env("PGPASSWORD", PASSWORD);
        command.args(["-h", "127.0.0.1", "-p", &self.port().to_string(), "-U", USER]);
        command
    }
}
