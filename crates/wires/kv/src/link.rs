//! The connection to one server: made on first use, and again once it broke.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_outcall::{Reach, Tls};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::Error;

/// Commands that may wait for one server; more callers wait their turn.
const BUFFERED: usize = 1024;

/// How to connect; the same for all servers of a set.
#[derive(Clone)]
pub struct Way {
    pub reach: Arc<Reach>,
    pub runtime: Handle,
    pub tls: Option<Tls>,
    pub limit: Duration,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
}

/// A server.
pub struct Link {
    host: String,
    port: u16,
    way: Way,
    live: Mutex<Option<Live>>,
    /// One connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

struct Live {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    pub fn new(host: &str, port: u16, way: Way) -> Self {
        Link { host: host.to_owned(), port, way, live: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// One command.
    pub async fn command(&self, arguments: &[Bytes]) -> Result<redis::Value, Error> {
        let mut connection = self.connection().await?;
        let sent = connection.send_packed_command(&packed(arguments)).await;
        sent.map_err(|error| self.failed(error))
    }

    /// Several commands in one round trip; errors stand in their places.
    pub async fn pipeline(&self, commands: &[&[Bytes]]) -> Result<Vec<redis::Value>, Error> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        pipeline.ignore_errors();
        for arguments in commands {
            pipeline.add_command(packed(arguments));
        }
        let mut connection = self.connection().await?;
        let sent = connection.send_packed_commands(&pipeline, 0, commands.len()).await;
        sent.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redis::RedisError) -> Error {
        // After a timeout the answer may still come; a fresh connection cannot mix it up with another's.
        if error.is_timeout() || error.is_connection_dropped() || error.is_io_error() {
            self.live.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        error.into()
    }

    fn living(&self) -> Option<MultiplexedConnection> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().filter(|live| !live.driver.is_finished()).map(|live| live.connection.clone())
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let unavailable = || Error::Unavailable("timeout".to_owned());
        let _turn = tokio::time::timeout(self.way.limit, self.connecting.lock()).await.map_err(|_| unavailable())?;
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let connect = connect(self.way.clone(), self.host.clone(), self.port);
        // The connection must outlive the caller's runtime.
        let task = self.way.runtime.spawn(tokio::time::timeout(self.way.limit, connect));
        let live = task.await.map_err(|error| Error::Unavailable(error.to_string()))?.map_err(|_| unavailable())??;
        let connection = live.connection.clone();
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(live);
        Ok(connection)
    }
}

async fn connect(way: Way, host: String, port: u16) -> Result<Live, Error> {
    let stream = way.reach.tcp(&host, port, way.tls.as_ref(), way.limit).await;
    let stream = stream.map_err(|error| Error::Unavailable(error.to_string()))?;
    let mut who = RedisConnectionInfo::default().set_skip_set_lib_name().set_db(way.database);
    if let Some(password) = &way.password {
        who = who.set_password(password);
        if let Some(username) = &way.username {
            who = who.set_username(username);
        }
    }
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(way.limit)).set_pipeline_buffer_size(BUFFERED);
    // Greeting and driving go on side by side: the greeting's answers come through the driver.
    let (connection, driver) = MultiplexedConnection::new_with_config(&who, stream, config).await?;
    Ok(Live { connection, driver: tokio::spawn(driver) })
}

fn packed(arguments: &[Bytes]) -> Cmd {
    let mut command = Cmd::new();
    for argument in arguments {
        command.arg(&argument[..]);
    }
    command
}
