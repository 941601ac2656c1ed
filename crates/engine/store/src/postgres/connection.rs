//! Connecting to the server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use gibbon_tls::ClientTls;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::tls::Connector;
use super::within;
use crate::error::StoreError;

/// How the connection is encrypted.
#[derive(Clone)]
pub struct PostgresTls {
    pub client: ClientTls,
    /// Refuse a server that speaks no TLS.
    pub required: bool,
}

/// Where the database is. Holds a password: never printed.
#[derive(Clone)]
pub struct PostgresSettings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    /// The schema that another product's tables would be in; ours is never this one.
    pub schema: Option<String>,
    pub tls: Option<PostgresTls>,
    /// Time for connecting and for an answer.
    pub timeout: Duration,
    /// How many connections read at once.
    pub pool_size: Option<usize>,
    /// How many transactions may be under way at once, the writing one included.
    pub max_concurrent: Option<usize>,
    /// How long one may wait for its turn.
    pub turn_timeout: Duration,
    /// How long an idle connection is kept; for ever if not given.
    pub keepalive: Option<Duration>,
    /// How many readers may wait for a connection; the next are refused.
    pub backlog: Option<usize>,
}

impl PostgresSettings {
    /// The schema of our tables.
    pub fn own_schema(&self) -> String {
        match &self.schema {
            Some(schema) => format!("gibbon_{schema}"),
            None => "gibbon".to_owned(),
        }
    }

    /// Its name inside a statement.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.own_schema().replace('"', "\"\""))
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).user(&self.user).dbname(&self.database);
        config.connect_timeout(self.timeout).application_name("gibbon");
        if let Some(password) = &self.password {
            config.password(password);
        }
        config.ssl_mode(match &self.tls {
            None => tokio_postgres::config::SslMode::Disable,
            Some(tls) if tls.required => tokio_postgres::config::SslMode::Require,
            Some(_) => tokio_postgres::config::SslMode::Prefer,
        });
        config
    }
}

/// A connection whose statements find our tables. A task of the current runtime drives it until it is dropped.
pub(super) async fn connect(settings: &PostgresSettings) -> Result<Client, StoreError> {
    let config = settings.config();
    let client = match &settings.tls {
        None => {
            let (client, connection) = within(settings.timeout, config.connect(NoTls)).await?;
            tokio::spawn(connection);
            client
        }
        Some(tls) => {
            let (client, connection) = within(settings.timeout, config.connect(Connector(tls.client.clone()))).await?;
            tokio::spawn(connection);
            client
        }
    };
    let schema = settings.quoted_schema();
    within(settings.timeout, client.batch_execute(&format!("SET search_path TO {schema}"))).await?;
    Ok(client)
}

/// Values of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How many statements a session keeps prepared; their texts are few.
const MOST_STATEMENTS: usize = 128;

/// A connection for code that may wait, with its statements prepared once. Never used on the runtime's own threads.
pub(super) struct Session {
    client: Client,
    runtime: Handle,
    limit: Duration,
    statements: RefCell<HashMap<String, Statement>>,
}

impl Session {
    pub fn open(settings: &PostgresSettings, runtime: &Handle) -> Result<Self, StoreError> {
        let client = runtime.block_on(connect(settings))?;
        Ok(Session { client, runtime: runtime.clone(), limit: settings.timeout, statements: RefCell::default() })
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Statements without values or answers.
    pub fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.runtime.block_on(within(self.limit, self.client.batch_execute(sql)))
    }

    pub fn all(&self, sql: &str, of: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        self.runtime.block_on(within(self.limit, self.client.query(&statement, of)))
    }

    pub fn one(&self, sql: &str, of: Parameters<'_>) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        self.runtime.block_on(within(self.limit, self.client.query_opt(&statement, of)))
    }

    pub fn run(&self, sql: &str, of: Parameters<'_>) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?;
        self.runtime.block_on(within(self.limit, self.client.execute(&statement, of))).map(drop)
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        let mut statements = self.statements.borrow_mut();
        if let Some(known) = statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.runtime.block_on(within(self.limit, self.client.prepare(sql)))?;
        if statements.len() >= MOST_STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}
