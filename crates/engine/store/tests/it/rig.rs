//! A conductor over a backend, with a plan behind it.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef, Registry, RegistryOptions};
use gibbon_pdk::{BuildError, Handler, Plugin};
use gibbon_plan::{BuildScope, Builder, Compiler, Funnel, Plan, Plugins, Publisher};
use gibbon_router::Flavor;
use gibbon_schema::Compat;
use gibbon_store::{
    Address, ChangeError, Conductor, Document, Documents, Keyring, Making, Memory, MemoryWriter, NoSecrets, Row,
    Sqlite, StoreError,
};
use serde_json::Value;
use uuid::Uuid;

/// One server for all tests; every rig has tables of its own in it.
pub mod postgres {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use gibbon_store::PostgresSettings;
    use gibbon_testkit::servers::{self, Server};
    use tokio::runtime::Runtime;

    static SERVER: LazyLock<Server> = LazyLock::new(|| servers::postgres().unwrap());
    pub static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

    /// A place for tables that nobody uses yet.
    pub fn fresh() -> PostgresSettings {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        PostgresSettings {
            host: "127.0.0.1".into(),
            port: SERVER.address().port(),
            user: "gibbon".into(),
            password: None,
            database: "gibbon".into(),
            schema: Some(format!("test{number}")),
            tls: None,
            timeout: Duration::from_secs(60),
            pool_size: Some(2),
            max_concurrent: None,
            turn_timeout: std::time::Duration::from_secs(60),
            keepalive: None,
            backlog: None,
        }
    }

    /// Every row of every table, as text.
    pub async fn dump(settings: &PostgresSettings) -> String {
        let mut config = tokio_postgres::Config::new();
        config.host(&settings.host).port(settings.port).user(&settings.user).dbname(&settings.database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let mut all = String::new();
        for table in ["entities", "keys", "links", "tags", "changes", "parameters", "counters"] {
            let sql = format!("SELECT t::text FROM {}.{table} t", settings.own_schema());
            for row in client.query(&sql, &[]).await.unwrap() {
                all.push_str(row.get(0));
                all.push('\n');
            }
        }
        all
    }

    /// Code that waits may not run on a runtime's threads.
    pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }
}

struct NoPlugins;

impl Builder for NoPlugins {
    fn build(&self, _: &Plugin, _: &Value, _: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        unreachable!("no plugin is loaded")
    }
}

pub fn workspace() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap()
}

pub struct Rig {
    pub documents: Documents,
    pub funnel: Arc<Funnel>,
    pub directory: tempfile::TempDir,
}

/// Every backend the rules must hold for.
pub fn each() -> Vec<(&'static str, Rig)> {
    vec![("memory", Rig::memory()), ("sqlite", Rig::sqlite()), ("postgres", Rig::postgres(&postgres::fresh()))]
}

fn funnel() -> Arc<Funnel> {
    let publisher = Arc::new(Publisher::new(Arc::new(Plan::empty(Flavor::TraditionalCompatible))));
    let compiler = Compiler::new(Flavor::TraditionalCompatible, Arc::new(Plugins::default()));
    Arc::new(Funnel::new(compiler, Box::new(NoPlugins), publisher))
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(&RegistryOptions::default()))
}

impl Rig {
    pub fn memory() -> Rig {
        Self::with(tempfile::tempdir().unwrap(), |making, _| {
            let memory = Memory::default();
            let writer = Box::new(MemoryWriter::new(memory.clone()));
            Conductor::over_datastore(making, Arc::new(memory), writer)
        })
    }

    pub fn sqlite() -> Rig {
        Self::sqlite_in(tempfile::tempdir().unwrap())
    }

    /// On tables that are made first if need be.
    pub fn postgres(settings: &gibbon_store::PostgresSettings) -> Rig {
        postgres::apart(|| {
            let runtime = postgres::RUNTIME.handle();
            gibbon_store::Migrations::open(settings, runtime).unwrap().migrate().unwrap();
            Self::with(tempfile::tempdir().unwrap(), |making, _| {
                let (reader, writer) = gibbon_store::Postgres::open(settings, runtime)?;
                Conductor::over_datastore(making, Arc::new(reader), Box::new(writer))
            })
        })
    }

    pub fn sqlite_in(directory: tempfile::TempDir) -> Rig {
        Self::with(directory, |making, directory| {
            let (reader, writer) = Sqlite::open(&directory.join("test.sqlite"))?;
            Conductor::over_datastore(making, Arc::new(reader), Box::new(writer))
        })
    }

    /// As `sqlite_in`, with secrets encrypted.
    pub fn sealed_sqlite(directory: tempfile::TempDir, keyring: &Arc<Keyring>) -> Rig {
        Self::with(directory, |making, directory| {
            let (reader, writer) = Sqlite::open(&directory.join("test.sqlite"))?;
            Conductor::over_sealed_datastore(making, Arc::new(reader), Box::new(writer), Arc::clone(keyring))
        })
    }

    /// As `postgres`, with secrets encrypted.
    pub fn sealed_postgres(settings: &gibbon_store::PostgresSettings, keyring: &Arc<Keyring>) -> Rig {
        postgres::apart(|| {
            let runtime = postgres::RUNTIME.handle();
            gibbon_store::Migrations::open(settings, runtime).unwrap().migrate().unwrap();
            Self::with(tempfile::tempdir().unwrap(), |making, _| {
                let (reader, writer) = gibbon_store::Postgres::open(settings, runtime)?;
                Conductor::over_sealed_datastore(making, Arc::new(reader), Box::new(writer), Arc::clone(keyring))
            })
        })
    }

    /// A second process on a file; `directory` is only for what else it keeps.
    pub fn sqlite_at(path: &std::path::Path, directory: tempfile::TempDir) -> Rig {
        Self::with(directory, |making, _| {
            let (reader, writer) = Sqlite::open(path)?;
            Conductor::over_datastore(making, Arc::new(reader), Box::new(writer))
        })
    }

    pub fn declarative_in(directory: tempfile::TempDir) -> Rig {
        Self::with(directory, |making, directory| Conductor::declarative(making, Some(directory.to_owned())))
    }

    fn with(
        directory: tempfile::TempDir,
        open: impl FnOnce(Making, &std::path::Path) -> Result<Conductor, StoreError>,
    ) -> Rig {
        let (registry, funnel) = (registry(), funnel());
        let making =
            Making { registry: Arc::clone(&registry), funnel: Arc::clone(&funnel), secrets: Arc::new(NoSecrets) };
        let conductor = open(making, directory.path()).unwrap();
        Rig { documents: Documents { conductor, registry, compat: Compat::V3_10 }, funnel, directory }
    }

    pub fn def(&self, entity: &str) -> Arc<EntityDef> {
        Arc::clone(self.documents.registry.get(entity).unwrap())
    }

    pub fn plan(&self) -> Arc<Plan> {
        self.funnel.publisher.current()
    }

    pub async fn insert(&self, entity: &str, document: Value) -> Result<Row, ChangeError> {
        self.documents.insert(&self.def(entity), workspace(), fields(document)).await
    }

    pub async fn update(&self, entity: &str, address: &Address, changes: Value) -> Result<Row, ChangeError> {
        self.documents.update(&self.def(entity), workspace(), address, fields(changes)).await
    }

    pub async fn delete(&self, entity: &str, id: Uuid) -> Result<bool, ChangeError> {
        self.documents.delete(&self.def(entity), workspace(), &Address::Id(id)).await
    }

    pub async fn find(&self, entity: &str, id: Uuid) -> Option<Row> {
        self.documents.find(&self.def(entity), workspace(), &Address::Id(id)).await.unwrap()
    }
}

pub fn named(field: &str, value: &str) -> Address {
    Address::Key { field: field.into(), value: value.into() }
}

pub fn fields(document: Value) -> Document {
    match document {
        Value::Object(fields) => fields,
        other => panic!("not an object: {other}"),
    }
}

pub fn text(row: &Row, field: &str) -> String {
    row.document[field].as_str().unwrap_or_default().to_owned()
}
