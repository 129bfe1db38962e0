//! The addresses that the server listens on: that of everybody (`listen`), and that of operators
//! (`http.ops_listen`).

use std::net::{SocketAddr, TcpListener};

use super::{StartError, failed};
use crate::{config::Config, http::tls::Tls};

/// The listeners, which are bound, and what is spoken on them.
pub struct Listeners {
    /// The address of everybody's listener.
    pub addr: SocketAddr,
    /// The address of the operators' listener, where there is one.
    pub ops_addr: Option<SocketAddr>,
    pub(super) public: TcpListener,
    pub(super) ops: Option<TcpListener>,
    pub(super) tls: Option<Tls>,
}

impl Listeners {
    /// Takes the addresses of the configuration, and reads the certificate.
    pub fn bind(config: &Config) -> Result<Listeners, StartError> {
        let bind = |address: &str| {
            let bound = TcpListener::bind(address).and_then(|bound| {
                let at = bound.local_addr()?;
                Ok((bound, at))
            });
            bound.map_err(failed(&format!("can't listen on {address}")))
        };
        let (public, addr) = bind(&config.listen)?;
        let (ops, ops_addr) = match config.http.ops_listen.as_str() {
            "" => (None, None),
            address => bind(address).map(|(bound, at)| (Some(bound), Some(at)))?,
        };
        let tls = Tls::start(config).map_err(StartError::new)?;
        Ok(Listeners { addr, ops_addr, public, ops, tls })
    }

    /// Whether everybody has to speak TLS.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What operators have to speak. What stays on this machine needs no TLS, and no certificate has
    /// its name.
    pub(super) fn ops_tls(&self) -> Option<Tls> {
        self.tls.clone().filter(|_| !self.ops_addr.is_some_and(|at| at.ip().is_loopback()))
    }
}
