//! The one face of the three kinds of installation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_outcall::{Reach, Tls};
use tokio::runtime::Handle;

use crate::Error;
use crate::cluster::Cluster;
use crate::link::{Link, Way};
use crate::sentinel;

/// Where the server is and how to speak to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    /// For connecting, and for each answer.
    pub timeout: Duration,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
    pub tls: Option<TlsSettings>,
    /// `host:port` of a cluster's nodes; empty unless it is one.
    pub cluster_nodes: Vec<String>,
    /// `host:port` of sentinels; empty unless they are used.
    pub sentinel_nodes: Vec<String>,
    pub sentinel_master: Option<String>,
    /// Who to be towards the sentinels, which know nothing of the servers' passwords.
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<String>,
}

type TlsSettings = Tls;

/// A value of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Int(i64),
    Text(Bytes),
    List(Vec<Value>),
}

/// A key-value store, wherever it runs.
pub struct Store {
    kind: Kind,
}

enum Kind {
    One(Link),
    Watched { sentinels: Vec<Link>, name: String, way: Way, master: Mutex<Option<Arc<Link>>> },
    Cluster(Cluster),
}

impl Store {
    /// Nothing is connected yet. Connections live on `runtime`.
    #[must_use]
    pub fn new(settings: &Settings, reach: Arc<Reach>, runtime: Handle) -> Self {
        let way = Way {
            reach,
            runtime,
            tls: settings.tls.clone(),
            limit: settings.timeout,
            username: settings.username.clone(),
            password: settings.password.clone(),
            database: settings.database,
        };
        let kind = if !settings.cluster_nodes.is_empty() {
            Kind::Cluster(Cluster::new(addresses(&settings.cluster_nodes, 6379), way))
        } else if !settings.sentinel_nodes.is_empty() {
            let (username, password) = (settings.sentinel_username.clone(), settings.sentinel_password.clone());
            // Sentinels have no databases.
            let to = Way { username, password, database: 0, ..way.clone() };
            let nodes = addresses(&settings.sentinel_nodes, 26379);
            let sentinels = nodes.iter().map(|(host, port)| Link::new(host, *port, to.clone())).collect();
            let name = settings.sentinel_master.clone().unwrap_or_default();
            Kind::Watched { sentinels, name, way, master: Mutex::default() }
        } else {
            Kind::One(Link::new(&settings.host, settings.port, way))
        };
        Store { kind }
    }

    /// Sends a command.
    ///
    /// # Errors
    /// The server cannot be reached, does not answer in time, or refuses.
    pub async fn command(&self, arguments: &[Bytes]) -> Result<Value, Error> {
        let answer = match &self.kind {
            Kind::One(link) => link.command(arguments).await,
            Kind::Cluster(cluster) => cluster.command(arguments).await,
            Kind::Watched { .. } => {
                let link = self.master().await?;
                let answer = link.command(arguments).await;
                self.judge(answer)
            }
        };
        value(answer?)
    }

    /// Sends several commands in one round trip (a cluster: one after the other). All are sent even if
    /// an early one is refused.
    ///
    /// # Errors
    /// As [`command`](Self::command); the first refusal if there are several.
    pub async fn pipeline(&self, commands: &[Vec<Bytes>]) -> Result<Vec<Value>, Error> {
        let parts: Vec<&[Bytes]> = commands.iter().map(Vec::as_slice).collect();
        let answers = match &self.kind {
            Kind::One(link) => link.pipeline(&parts).await?,
            Kind::Watched { .. } => {
                let link = self.master().await?;
                let answers = link.pipeline(&parts).await;
                self.judge(answers)?
            }
            Kind::Cluster(cluster) => {
                let mut answers = Vec::with_capacity(commands.len());
                for arguments in commands {
                    answers.push(cluster.command(arguments).await?);
                }
                answers
            }
        };
        answers.into_iter().map(value).collect()
    }

    async fn master(&self) -> Result<Arc<Link>, Error> {
        let Kind::Watched { sentinels, name, way, master } = &self.kind else {
            return Err(Error::Unavailable("no sentinels".to_owned()));
        };
        if let Some(link) = &*master.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(link));
        }
        let (host, port) = sentinel::master(sentinels, name).await?;
        let link = Arc::new(Link::new(&host, port, way.clone()));
        *master.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
        Ok(link)
    }

    /// A failure may mean that the master is another one now: the next command asks again.
    fn judge<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let (Err(error), Kind::Watched { master, .. }) = (&answer, &self.kind)
            && error.is_about_roles()
        {
            master.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        answer
    }
}

fn addresses(nodes: &[String], default: u16) -> Vec<(String, u16)> {
    let split = |node: &String| match node.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(default)),
        None => (node.clone(), default),
    };
    nodes.iter().map(split).collect()
}

fn value(from: redis::Value) -> Result<Value, Error> {
    use redis::Value as R;
    let list = |values: Vec<R>| values.into_iter().map(value).collect::<Result<_, _>>().map(Value::List);
    Ok(match from {
        R::Nil => Value::Nil,
        R::Int(number) => Value::Int(number),
        R::Boolean(yes) => Value::Int(i64::from(yes)),
        R::BulkString(bytes) => Value::Text(bytes.into()),
        R::SimpleString(text) | R::VerbatimString { text, .. } => Value::Text(text.into()),
        R::Okay => Value::Text(Bytes::from_static(b"OK")),
        R::Double(number) => Value::Text(number.to_string().into()),
        R::Array(values) | R::Set(values) => list(values)?,
        R::Map(pairs) => list(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect())?,
        R::ServerError(error) => return Err(error.into()),
        other => return Err(Error::Unavailable(format!("an answer of a kind not asked for: {other:?}"))),
    })
}
