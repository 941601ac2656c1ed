//! Where configuration lives and how changes by other nodes are noticed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::Builder;
use crate::settings::material::{KeyPairSource, Material};

/// Kind of datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// The embedded database.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// None: configuration is declarative.
    Off,
}

impl Database {
    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Off => "off",
        }
    }
}

/// Declarative configuration to load at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclarativeSource {
    /// A file.
    File(PathBuf),
    /// The text itself.
    Text(String),
}

/// Lowest TLS version towards PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresTlsVersion {
    /// 1.2 or later.
    Tls12,
    /// 1.3.
    Tls13,
}

/// One PostgreSQL server.
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Time for connecting and for an answer.
    pub timeout: Duration,
    /// User name.
    pub user: String,
    /// Password. Never print it.
    pub password: Option<String>,
    /// Database name.
    pub database: String,
    /// Schema.
    pub schema: Option<String>,
    /// Connect with TLS.
    pub tls: bool,
    /// Refuse a server without TLS.
    pub tls_required: bool,
    /// Verify the server's certificate.
    pub tls_verify: bool,
    /// Lowest TLS version.
    pub tls_version: PostgresTlsVersion,
    /// Client certificate.
    pub client: Option<KeyPairSource>,
    /// Queries under way at once; `None` is unlimited.
    pub max_concurrent_queries: Option<u32>,
    /// Time a query waits for its turn.
    pub semaphore_timeout: Duration,
    /// Time an idle connection is kept.
    pub keepalive_timeout: Option<Duration>,
    /// Connections kept.
    pub pool_size: Option<u32>,
    /// Connection attempts that may wait.
    pub backlog: Option<u32>,
}

impl std::fmt::Debug for Postgres {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Where configuration lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Kind.
    pub database: Database,
    /// File of the embedded database.
    pub sqlite_path: PathBuf,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// A read-only replica.
    pub postgres_replica: Option<Postgres>,
    /// Declarative configuration to load at start.
    pub declarative: Option<DeclarativeSource>,
    /// Secrets are encrypted where they are stored.
    pub keyring: Option<Keyring>,
    /// Time between looks for changes by other nodes.
    pub update_frequency: Duration,
    /// Time a change may take to reach every replica.
    pub update_propagation: Duration,
}

impl Datastore {
    pub(crate) fn build(b: &mut Builder<'_>, prefix: &Path) -> Self {
        let declarative = b
            .values
            .text("declarative_config")
            .map(|path| DeclarativeSource::File(PathBuf::from(path)))
            .or_else(|| b.values.text("declarative_config_string").map(|t| DeclarativeSource::Text(t.to_owned())));
        let postgres = Postgres::build(b, "pg_", "127.0.0.1");
        let replica_host = b.values.text("pg_ro_host").map(str::to_owned);
        let database = database(b, declarative.is_some());
        Self {
            database,
            keyring: Keyring::build(b, database),
            sqlite_path: prefix.join(b.values.text("sqlite_path").unwrap_or("gibbon.sqlite")),
            postgres,
            postgres_replica: replica_host.map(|host| Postgres::build(b, "pg_ro_", &host)),
            declarative,
            update_frequency: b.seconds("db_update_frequency").unwrap_or(Duration::from_secs(5)),
            update_propagation: b.seconds("db_update_propagation").unwrap_or_default(),
        }
    }
}

/// For whom the keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Public keys whose holders can open them; this node's own comes first.
    pub readers: Vec<Material>,
    /// This node's private key.
    pub own: Option<Material>,
}

impl Keyring {
    fn build(b: &mut Builder<'_>, database: Database) -> Option<Self> {
        if !b.values.flag("keyring_enabled") {
            return None;
        }
        if database == Database::Off {
            b.fault("keyring_enabled", "keyring_enabled: without a database there is nothing to encrypt; set database");
        }
        if b.values.text("keyring_strategy").is_some_and(|strategy| strategy != "cluster") {
            b.fault("keyring_strategy", "keyring_strategy must be cluster");
        }
        let public = b.material("keyring_public_key", "the public key");
        let own = b.material("keyring_private_key", "the private key");
        let recovery = b.material("keyring_recovery_public_key", "the public key");
        if own.is_some() && public.is_none() {
            b.fault("keyring_public_key", "keyring_private_key needs keyring_public_key, its other half");
        }
        let readers: Vec<Material> = public.into_iter().chain(recovery).collect();
        if readers.is_empty() {
            b.fault(
                "keyring_enabled",
                "keyring_enabled needs keyring_public_key and keyring_private_key, or keyring_recovery_public_key: \
                 otherwise all encrypted fields would be lost with this process",
            );
        }
        Some(Self { readers, own })
    }
}

/// Unset means what the other settings ask for: a declarative file needs no database, a PostgreSQL setting means PostgreSQL
/// (Kong's default, so that existing files keep working), and nothing at all means the embedded database.
fn database(b: &Builder<'_>, declarative: bool) -> Database {
    match b.values.given("database").map(|given| given.text.as_str()) {
        Some("off") => Database::Off,
        Some("sqlite") => Database::Sqlite,
        Some(_) => Database::Postgres,
        None if b.values.all_given().any(|(name, _)| name.starts_with("pg_")) => Database::Postgres,
        None if declarative => Database::Off,
        None => Database::Sqlite,
    }
}

impl Postgres {
    fn build(b: &mut Builder<'_>, prefix: &str, host: &str) -> Self {
        let name = |field: &str| format!("{prefix}{field}");
        let text = |b: &Builder<'_>, field: &str| b.values.text(&name(field)).map(str::to_owned);
        let mut whole = |field: &str| {
            let name = name(field);
            let number = b.values.number(&name)?;
            if number < 0.0 {
                b.fault(&name, format!("{name} must be greater than 0"));
            } else if number.fract() != 0.0 {
                b.fault(&name, format!("{name} must be an integer greater than 0"));
            }
            b.values.whole::<u32>(&name)
        };
        let max_concurrent_queries = whole("max_concurrent_queries").filter(|n| *n > 0);
        let semaphore_timeout = Duration::from_millis(whole("semaphore_timeout").unwrap_or(60_000).into());
        let keepalive_timeout = whole("keepalive_timeout").map(|ms| Duration::from_millis(ms.into()));
        let (pool_size, backlog) = (whole("pool_size"), whole("backlog"));
        let port = b.values.whole::<u16>(&name("port"));
        if port.is_none() && b.values.number(&name("port")).is_some() {
            b.fault(&name("port"), format!("{} must be between 0 and 65535", name("port")));
        }
        let tls = b.values.flag(&name("ssl"));
        Self {
            host: text(b, "host").unwrap_or_else(|| host.to_owned()),
            port: port.unwrap_or(5432),
            timeout: b.milliseconds(&name("timeout")).unwrap_or(Duration::from_secs(5)),
            user: text(b, "user").unwrap_or_else(|| "kong".to_owned()),
            password: text(b, "password"),
            database: text(b, "database").unwrap_or_else(|| "kong".to_owned()),
            schema: text(b, "schema"),
            tls,
            tls_required: b.values.flag(&name("ssl_required")),
            tls_verify: b.values.flag(&name("ssl_verify")),
            tls_version: match b.values.text(&name("ssl_version")) {
                Some("tlsv1_3") => PostgresTlsVersion::Tls13,
                _ => PostgresTlsVersion::Tls12,
            },
            client: if tls { client_pair(b) } else { None },
            max_concurrent_queries,
            semaphore_timeout,
            keepalive_timeout,
            pool_size,
            backlog,
        }
    }
}

/// The client certificate towards PostgreSQL; the replica uses the same one.
fn client_pair(b: &mut Builder<'_>) -> Option<KeyPairSource> {
    let (cert, key) = (b.values.text("pg_ssl_cert"), b.values.text("pg_ssl_cert_key"));
    match (cert.is_some(), key.is_some()) {
        (true, false) => b.fault("pg_ssl_cert", "pg_ssl_cert_key must be specified"),
        (false, true) => b.fault("pg_ssl_cert_key", "pg_ssl_cert must be specified"),
        _ => {}
    }
    let mut read = |name: &str| {
        let text = b.values.text(name)?;
        let material = Material::parse(text, b.surroundings);
        if material.is_none() {
            let message = format!("{name}: no such file at {}", Material::shown(text, name));
            b.fault(name, message);
        }
        material
    };
    let (cert, key) = (read("pg_ssl_cert"), read("pg_ssl_cert_key"));
    cert.zip(key).map(|(cert, key)| KeyPairSource { cert, key })
}
