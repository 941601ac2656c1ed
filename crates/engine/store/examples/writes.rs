//! How many durable single writes per second the embedded datastore takes, and how long a list of 1,000 rows takes, beside
//! what the disk itself needs for a sync. `cargo run --release -p gibbon-store --example writes [DIRECTORY]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gibbon_model::{DEFAULT_WORKSPACE_ID, Registry, RegistryOptions};
use gibbon_pdk::{BuildError, Handler, Plugin};
use gibbon_plan::{BuildScope, Builder, Compiler, Funnel, Plan, Plugins, Publisher};
use gibbon_router::Flavor;
use gibbon_schema::Compat;
use gibbon_store::{Conductor, Documents, Making, NoSecrets, Query, Sqlite, Tags};
use serde_json::{Value, json};
use uuid::Uuid;

const CLIENTS: usize = 64;
const WRITES: usize = 10_000;
const LISTS: u32 = 50;

struct NoPlugins;

impl Builder for NoPlugins {
    fn build(&self, _: &Plugin, _: &Value, _: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        unreachable!("no plugin is loaded")
    }
}

fn main() {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(directory).unwrap();
    println!("one sync of the disk: {:?}", sync_latency(directory.path()));
    let documents = open(directory.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let took = write(&documents).await;
        println!(
            "{WRITES} durable writes by {CLIENTS} clients: {took:?}, {:.0} per second",
            WRITES as f64 / took.as_secs_f64()
        );
        println!("a list of 1,000 rows: {:?}", list(&documents).await);
    });
}

fn sync_latency(directory: &Path) -> Duration {
    const TIMES: u32 = 100;
    let mut file = std::fs::File::create(directory.join("sync")).unwrap();
    let began = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    began.elapsed() / TIMES
}

fn open(directory: &Path) -> Documents {
    let registry = Arc::new(Registry::new(&RegistryOptions::default()));
    let publisher = Arc::new(Publisher::new(Arc::new(Plan::empty(Flavor::TraditionalCompatible))));
    let compiler = Compiler::new(Flavor::TraditionalCompatible, Arc::new(Plugins::default()));
    let funnel = Arc::new(Funnel::new(compiler, Box::new(NoPlugins), publisher));
    let (reader, writer) = Sqlite::open(&directory.join("writes.sqlite")).unwrap();
    let making = Making { registry: Arc::clone(&registry), funnel, secrets: Arc::new(NoSecrets) };
    let conductor = Conductor::over_datastore(making, Arc::new(reader), Box::new(writer)).unwrap();
    Documents { conductor, registry, compat: Compat::V3_10 }
}

fn workspace() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap()
}

async fn write(documents: &Documents) -> Duration {
    let began = Instant::now();
    let client = |client: usize| {
        let documents = documents.clone();
        tokio::spawn(async move {
            let services = documents.registry.get("services").unwrap().clone();
            for n in 0..WRITES / CLIENTS {
                let service = json!({"name": format!("service-{client}-{n}"), "url": "http://backend.test:8080/path"});
                let Value::Object(service) = service else { unreachable!("an object") };
                documents.insert(&services, workspace(), service).await.unwrap();
            }
        })
    };
    for done in (0..CLIENTS).map(client).collect::<Vec<_>>() {
        done.await.unwrap();
    }
    began.elapsed()
}

async fn list(documents: &Documents) -> Duration {
    let services = documents.registry.get("services").unwrap().clone();
    let began = Instant::now();
    for _ in 0..LISTS {
        let query = Query {
            entity: "services".into(),
            workspace: Some(workspace()),
            parent: None,
            tags: Tags::Whatever,
            after: None,
            limit: 1000,
        };
        let page = documents.page(&services, query).await.unwrap();
        let text = serde_json::to_vec(&page.iter().map(|(_, value)| value).collect::<Vec<_>>()).unwrap();
        assert!(page.len() == 1000 && text.len() > 100_000);
    }
    began.elapsed() / LISTS
}
