//! A PgBouncer in transaction mode before a [`Postgres`].

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
};

use super::{
    port::Port,
    postgres::{PASSWORD, Postgres, USER},
    process::{command, find, folder, wait_until},
};

pub struct PgBouncer {
    folder: PathBuf,
    port: Port,
    server: Child,
}

impl PgBouncer {
    /// Starts a PgBouncer that holds this many connections to the server.
    pub fn start(postgres: &Postgres, pool_size: u32) -> PgBouncer {
        let folder = folder("pgb");
        let program = find("pgbouncer", &["/usr/sbin"], "apt-get install pgbouncer");
        let port = Port::free();
        std::fs::write(folder.join("users"), format!("\"{USER}\" \"{PASSWORD}\"\n")).unwrap();
        std::fs::write(
            folder.join("ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
                 auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = {pool_size}\nmax_client_conn = 100\n",
                postgres.port(),
                port.number(),
                folder.join("users").display(),
            ),
        )
        .unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let server = command(program)
            .arg(folder.join("ini"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv (util-linux) starts pgbouncer: {e}"));
        let mut bouncer = PgBouncer { folder, port, server };
        wait_until("PgBouncer starts", || {
            if let Ok(Some(status)) = bouncer.server.try_wait() {
                let log = std::fs::read_to_string(bouncer.folder.join("log"));
                panic!("PgBouncer ended with {status}: {}", log.unwrap_or_default());
            }
            TcpStream::connect(("127.0.0.1", bouncer.port())).is_ok()
        });
        bouncer
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
