//! Where this node's entities are kept.

use std::sync::Arc;

use gibbon_conf::{Compat, Database, Settings};
use gibbon_model::Registry;
use gibbon_plan::Funnel;
use gibbon_store::{Conductor, Documents, Sqlite};
use tokio::runtime::Handle;

/// Opens the store that the settings name and loads what is in it.
///
/// # Errors
/// A store that cannot be opened or is not ready for this version, with what to do.
pub fn open(
    settings: &Settings,
    registry: Arc<Registry>,
    funnel: &Arc<Funnel>,
    _control: &Handle,
) -> anyhow::Result<Documents> {
    let (registry, funnel) = (registry, Arc::clone(funnel));
    let compat = match settings.compat {
        Compat::V3_10 => gibbon_schema::Compat::V3_10,
        Compat::V3_15 => gibbon_schema::Compat::V3_15,
    };
    let conductor = match settings.datastore.database {
        Database::Off => Conductor::declarative(Arc::clone(&registry), funnel, Some(settings.prefix.clone()))?,
        Database::Sqlite | Database::Postgres => {
            let (reader, writer) = Sqlite::open(&settings.datastore.sqlite_path)?;
            Conductor::over_datastore(Arc::clone(&registry), funnel, Arc::new(reader), Box::new(writer))?
        }
    };
    Ok(Documents { conductor, registry, compat })
}
