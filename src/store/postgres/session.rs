//! Pools of connections, and the session that a caller borrows from one. Nothing in a session
//! outlives its transaction (no `SET`, no named statement, no session lock), so that PgBouncer
//! may sit in between in transaction mode.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Error, Row, SimpleQueryMessage,
    config::SslMode,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    config::{PostgresAddress, PostgresConfig},
    domain::time::Millis,
    sink::{SinkError, SinkErrorKind},
    store::postgres::{errors::Failure, password, tls},
};

/// How much longer than `statement_timeout` we wait, so that the server has time to cancel a slow
/// statement itself and to say so, which leaves a better message than our own timeout.
const GRACE: Duration = Duration::from_secs(1);

/// A pool of connections to one address.
pub(super) struct PostgresSessions {
    /// Who borrows from it: the label of its metrics.
    name: &'static str,
    pool: Pool,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

impl PostgresSessions {
    /// A pool of at most `size` connections, for those of this name. Connects to nothing yet.
    pub fn new(
        config: &PostgresConfig,
        address: &PostgresAddress,
        (name, size): (&'static str, usize),
    ) -> Result<PostgresSessions, SinkError> {
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let statement_timeout = Duration::from_millis(config.statement_timeout_ms);
        let hosts = address.config.get_hosts().len().max(1) as u32;
        let manager = Manager::from_connect(
            address.config.clone(),
            Connector { tls: tls::connector(address)?, address: Arc::new(address.clone()) },
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(statement_timeout),
                // The hosts are tried in turn, and each attempt covers resolving, connecting,
                // TLS and authentication.
                create: Some(connect_timeout * hosts),
                recycle: Some(connect_timeout),
            })
            .build()
            .map_err(|e| SinkError {
                kind: SinkErrorKind::Other,
                message: format!("Postgres: {e}"),
            })?;
        Ok(PostgresSessions { name, pool, connect_timeout, statement_timeout })
    }

    /// Borrows a connection.
    pub async fn get(&self) -> Result<Session, Failure> {
        let waiting = self.pool.status().waiting;
        metrics::gauge!("floodmark_postgres_waiting", "pool" => self.name).set(waiting as f64);
        let connection = self.pool.get().await?;
        let open = self.pool.status().size;
        metrics::gauge!("floodmark_postgres_connections", "pool" => self.name).set(open as f64);
        Ok(Session {
            connection: Some(connection),
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
        })
    }
}

/// Makes the connections of a pool.
struct Connector {
    tls: MakeRustlsConnect,
    address: Arc<PostgresAddress>,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, config: &tokio_postgres::Config) -> Connecting<'_> {
        let mut config = config.clone();
        Box::pin(async move {
            if config.get_password().is_none()
                && let Some(password) = password::find(&self.address)
            {
                config.password(password);
            }
            // A Unix socket has no host name to verify and no TLS, so TLS that is only preferred
            // is not tried.
            let named = config
                .get_hosts()
                .iter()
                .any(|host| matches!(host, tokio_postgres::config::Host::Tcp(_)));
            if !named && config.get_ssl_mode() == SslMode::Prefer {
                config.ssl_mode(SslMode::Disable);
            }
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                // Only for debugging: whoever uses the client gets the error too, and reports it.
                if let Err(e) = connection.await {
                    tracing::debug!("a connection to Postgres ended: {e}");
                }
            });
            Ok((client, task))
        })
    }
}

/// A parameter of a statement: its value, and the type that it is sent as.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A borrowed connection.
///
/// ```text
///  get ─> begin ─> run, query, rows, answer ─> COMMIT ─> done ─> back in the pool
///           └──────────────┴── error, or the caller goes away ─> closed
/// ```
///
/// It goes back to its pool only by [`Session::done`]. After an error, or when its caller goes
/// away in the middle, it is closed instead. That rolls back what was open, and makes the next
/// caller connect anew (to the new primary after a failover).
pub(super) struct Session {
    connection: Option<Object>,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

impl Session {
    /// The driver's client, for what this type has no method for. Its answers are to be awaited
    /// through [`Session::answer`], which limits how long that takes.
    pub fn client(&self) -> &Client {
        self.connection.as_ref().expect("only done() takes it")
    }

    /// Begins a transaction of the given mode (`""`: the server's default). The server cancels its
    /// statements after `postgres.statement_timeout_ms`. The answer has to come within
    /// `postgres.connect_timeout_ms`, since this costs the server nothing: a server that is
    /// stopped, or gone without a word, is noticed here and not at a long statement.
    pub async fn begin(&self, mode: &str) -> Result<(), Failure> {
        let limit = self.statement_timeout.as_millis();
        let sql = format!("BEGIN {mode}; SET LOCAL statement_timeout = {limit}");
        within(self.connect_timeout, self.client().batch_execute(&sql)).await
    }

    /// Waits for one answer, for as long as a statement may take.
    pub async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        within(self.statement_timeout + GRACE, answer).await
    }

    /// Runs SQL without parameters by the simple protocol, and returns the rows as text.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let messages = self.answer(self.client().simple_query(sql)).await?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Runs one statement with parameters, and returns its rows. It is parsed and executed in one
    /// exchange, under no name: a named statement would outlive the transaction.
    pub async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        self.answer(self.client().query_typed(sql, parameters)).await
    }

    /// As [`Session::query`], for a statement that may take long.
    pub async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        self.lift_timeout().await?;
        within(limit, self.client().query_typed(sql, parameters)).await
    }

    /// As [`Session::run`], for statements that may take long.
    pub async fn run_within(&self, limit: Duration, sql: &str) -> Result<(), Failure> {
        self.lift_timeout().await?;
        within(limit, self.client().batch_execute(sql)).await
    }

    /// Vacuums a table, outside of a transaction. The server's own limit of a statement applies.
    pub async fn vacuum(&self, limit: Duration, table: &str) -> Result<(), Failure> {
        within(limit, self.client().batch_execute(&format!("VACUUM {table}"))).await
    }

    /// Lets the statements of this transaction take as long as they need.
    async fn lift_timeout(&self) -> Result<(), Failure> {
        self.run("SET LOCAL statement_timeout = 0").await
    }

    /// The server's clock, Unix ms.
    pub async fn clock(&self) -> Result<Millis, Failure> {
        let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(self.query(sql, &[]).await?[0].try_get(0)?)
    }

    /// Runs SQL that has no parameters and returns no rows.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.answer(self.client().batch_execute(sql)).await
    }

    /// Gives the connection back to its pool. To be called only when no transaction is open on it
    /// and nothing went wrong.
    pub fn done(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Taken out of the pool for good, and closed. See the type's doc for why.
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// Waits for an answer for at most `limit`.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::timeout(limit)),
    }
}
