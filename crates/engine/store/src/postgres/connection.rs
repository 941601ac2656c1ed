//! Connecting to the server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
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

/// A statement with values of its own, for later.
pub(super) struct Deed {
    pub sql: &'static str,
    pub values: Vec<Box<dyn ToSql + Sync + Send>>,
}

/// How many statements are on their way at once.
const TOGETHER: usize = 64;

/// How many statements a session keeps prepared; their texts are few.
const MOST_STATEMENTS: usize = 128;

/// A connection for code that may wait, with its statements prepared once. Never used on the runtime's own threads.
pub(super) struct Session {
    client: Client,
    runtime: Handle,
    limit: Duration,
    statements: RefCell<HashMap<String, Statement>>,
    /// Sent ahead of the next statement, without a wait for its own answer.
    ahead: RefCell<Option<String>>,
}

impl Session {
    pub fn open(settings: &PostgresSettings, runtime: &Handle) -> Result<Self, StoreError> {
        let client = runtime.block_on(connect(settings))?;
        Ok(Session {
            client,
            runtime: runtime.clone(),
            limit: settings.timeout,
            statements: RefCell::default(),
            ahead: RefCell::default(),
        })
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Statements without values or answers.
    pub fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(self.client.batch_execute(sql))
    }

    /// As [`Self::batch`], on its way together with the statement that follows; if it fails, that one does.
    pub fn batch_ahead(&self, sql: &str) {
        *self.ahead.borrow_mut() = Some(sql.to_owned());
    }

    pub fn all(&self, sql: &str, of: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.query(&statement, of))
    }

    pub fn one(&self, sql: &str, of: Parameters<'_>) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.query_opt(&statement, of))
    }

    pub fn run(&self, sql: &str, of: Parameters<'_>) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.execute(&statement, of)).map(drop)
    }

    /// All of them in a savepoint, on their way together: over a network the ways to the server and back are what a
    /// change costs.
    ///
    /// # Errors
    /// That of the first that fails, which those behind it only repeat; the savepoint is still to be rolled back to.
    pub fn run_in_savepoint(&self, deeds: &[Deed]) -> Result<(), StoreError> {
        self.batch_ahead("SAVEPOINT one");
        for some in deeds.chunks(TOGETHER) {
            let mut under_way: Vec<UnderWay<'_>> = Vec::with_capacity(some.len());
            for deed in some {
                let statement = self.prepared(deed.sql)?;
                under_way.push(Box::pin(async move {
                    let values = deed.values.iter().map(|value| &**value as &(dyn ToSql + Sync));
                    let values: Vec<&(dyn ToSql + Sync)> = values.collect();
                    self.client.execute(&statement, &values).await.map(drop)
                }));
            }
            self.wait(in_order(under_way))?;
        }
        self.batch("RELEASE one")
    }

    /// Waits for an answer, and first for that to what was sent ahead of it.
    fn wait<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        let Some(ahead) = self.ahead.borrow_mut().take() else {
            return self.runtime.block_on(within(self.limit, asked));
        };
        let both = async {
            let (first, then) = tokio::join!(self.client.batch_execute(&ahead), asked);
            first.and(then)
        };
        self.runtime.block_on(within(self.limit, both))
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        let mut statements = self.statements.borrow_mut();
        if let Some(known) = statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(self.client.prepare(sql))?;
        if statements.len() >= MOST_STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

type UnderWay<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + 'a>>;

/// Sends all, in their order, and waits for all; the first error is told.
async fn in_order(mut all: Vec<UnderWay<'_>>) -> Result<(), tokio_postgres::Error> {
    let mut answers: Vec<Option<Result<(), tokio_postgres::Error>>> = all.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (asked, answer) in all.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(result) = asked.as_mut().poll(context) {
                *answer = Some(result);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}
