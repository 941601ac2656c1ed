//! Where this node's entities are kept.

use std::sync::Arc;
use std::time::Duration;

use gibbon_conf::{Compat, Database, Postgres as PostgresConf, PostgresTlsVersion, Settings};
use gibbon_model::Registry;
use gibbon_plan::Funnel;
use gibbon_store::{
    Conductor, Documents, Keyring, Making, MigrationState, Migrations, Postgres, PostgresSettings, PostgresTls,
    PrivateKey, PublicKey, Reader, Secrets, Sqlite, Writer, listen_to_postgres,
};
use gibbon_tls::{Certificate, ClientTls, ClientTlsSettings, IpSubject, Protocols, TrustStore, Verify};
use gibbon_vaults::Vaults;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::settings::text_of;

/// Opens the store that the settings name, loads what is in it, and keeps up with whoever else changes it.
///
/// # Errors
/// A store that cannot be opened or is not ready for this version, with what to do.
pub fn open(
    settings: &Settings,
    registry: Arc<Registry>,
    funnel: &Arc<Funnel>,
    vaults: &Arc<Vaults>,
    control: &Handle,
) -> anyhow::Result<Documents> {
    // What is loaded may refer to secrets, and waits for them.
    control.spawn(Arc::clone(vaults).run());
    let secrets: Arc<dyn Secrets> = vaults.clone();
    let making = Making { registry: Arc::clone(&registry), funnel: Arc::clone(funnel), secrets };
    let keyring = settings.datastore.keyring.as_ref().map(keyring).transpose()?;
    let over = |making: Making, reader: Arc<dyn Reader>, writer: Box<dyn Writer>| match keyring {
        Some(keyring) => Conductor::over_sealed_datastore(making, reader, writer, keyring),
        None => Conductor::over_datastore(making, reader, writer),
    };
    let conductor = match settings.datastore.database {
        Database::Off => Conductor::declarative(making, Some(settings.prefix.clone()))?,
        Database::Sqlite => {
            let (reader, writer) = Sqlite::open(&settings.datastore.sqlite_path)?;
            over(making, Arc::new(reader), Box::new(writer))?
        }
        Database::Postgres => {
            let place = primary(settings)?;
            readiness(&Migrations::open(&place, control)?.state()?)?;
            let (reader, writer) = Postgres::open(&place, control)?;
            let conductor = over(making, Arc::new(reader), Box::new(writer))?;
            control.spawn(listen_to_postgres(place, conductor.clone()));
            match &settings.datastore.postgres_replica {
                None => conductor,
                Some(from) => {
                    let reader = Postgres::read_only(&postgres(settings, from)?, control);
                    conductor.with_replica(Arc::new(reader))
                }
            }
        }
    };
    control.spawn(keep_up(conductor.clone(), settings.datastore.update_frequency));
    control.spawn(follow_secrets(Arc::clone(vaults), conductor.clone()));
    Ok(Documents { conductor, registry, compat: compat(settings) })
}

/// Secrets are sealed with its keys, which are read from the store.
fn keyring(from: &gibbon_conf::Keyring) -> anyhow::Result<Arc<Keyring>> {
    let public = |material| Ok(PublicKey::of_pem(&text_of(material)?)?);
    let readers = from.readers.iter().map(public).collect::<anyhow::Result<_>>()?;
    let own = from.own.as_ref().map(|material| anyhow::Ok(PrivateKey::of_pem(&text_of(material)?)?)).transpose()?;
    Ok(Keyring::new(readers, own))
}

pub fn compat(settings: &Settings) -> gibbon_schema::Compat {
    match settings.compat {
        Compat::V3_10 => gibbon_schema::Compat::V3_10,
        Compat::V3_15 => gibbon_schema::Compat::V3_15,
    }
}

/// Puts secrets in force that became known, or others.
async fn follow_secrets(vaults: Arc<Vaults>, conductor: Conductor) {
    loop {
        vaults.changed().await;
        conductor.refresh_secrets().await;
    }
}

/// Looks now and then for changes by others, and for rows whose time is over.
async fn keep_up(conductor: Conductor, frequency: Duration) {
    let mut times = tokio::time::interval(frequency.max(Duration::from_millis(50)));
    times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        conductor.keep_up().await;
    }
}

/// Whether a node may start on tables in that state.
///
/// # Errors
/// What to do first.
pub fn readiness(state: &MigrationState) -> anyhow::Result<()> {
    match state {
        MigrationState::Present { pending } if pending.is_empty() => Ok(()),
        MigrationState::Present { .. } => {
            anyhow::bail!("new migrations are available; run 'gibbon migrations up' to bring the database up to date")
        }
        MigrationState::Absent => {
            anyhow::bail!(
                "the database needs bootstrapping: to start a new installation, run 'gibbon migrations bootstrap'"
            )
        }
        MigrationState::ForeignOnly => anyhow::bail!(
            "the database holds the tables of a Kong gateway and none of this one's: run 'gibbon migrations bootstrap \
             --from-kong' to take over its configuration; Kong's tables are read and stay as they are"
        ),
        MigrationState::Newer => anyhow::bail!("the database's tables were made by a later release"),
    }
}

/// Our tables in the PostgreSQL of the settings, for commands.
pub struct Tables {
    // Dropped after what runs on it.
    pub migrations: Migrations,
    _runtime: Runtime,
}

impl Tables {
    /// Connects.
    ///
    /// # Errors
    /// A server that cannot be reached, or TLS settings that cannot be used.
    pub fn open(settings: &Settings) -> anyhow::Result<Tables> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let migrations = Migrations::open(&primary(settings)?, runtime.handle())?;
        Ok(Tables { migrations, _runtime: runtime })
    }
}

/// The PostgreSQL that all is written to.
pub(crate) fn primary(settings: &Settings) -> anyhow::Result<PostgresSettings> {
    postgres(settings, &settings.datastore.postgres)
}

fn postgres(settings: &Settings, from: &PostgresConf) -> anyhow::Result<PostgresSettings> {
    Ok(PostgresSettings {
        host: from.host.clone(),
        port: from.port,
        user: from.user.clone(),
        password: from.password.clone(),
        database: from.database.clone(),
        schema: from.schema.clone(),
        tls: if from.tls { Some(postgres_tls(settings, from)?) } else { None },
        timeout: from.timeout,
        pool_size: from.pool_size.map(|size| size as usize),
        max_concurrent: from.max_concurrent_queries.map(|most| most as usize),
        turn_timeout: from.semaphore_timeout,
        keepalive: from.keepalive_timeout,
        backlog: from.backlog.map(|most| most as usize),
    })
}

fn postgres_tls(settings: &Settings, from: &PostgresConf) -> anyhow::Result<PostgresTls> {
    let verify = match from.tls_verify {
        false => Verify::Off,
        true => {
            Verify::On { trust: trust(settings)?, depth: settings.tls.verify_depth, ip_subject: IpSubject::ByAddress }
        }
    };
    let identity = match &from.client {
        Some(pair) => Some(Certificate::from_pem(text_of(&pair.cert)?.as_bytes(), text_of(&pair.key)?.as_bytes())?),
        None => None,
    };
    let protocols = Protocols { tls12: from.tls_version == PostgresTlsVersion::Tls12, tls13: true };
    let client = ClientTls::new(&ClientTlsSettings { verify, identity, protocols, ..ClientTlsSettings::default() })?;
    Ok(PostgresTls { client, required: from.tls_required })
}

fn trust(settings: &Settings) -> anyhow::Result<TrustStore> {
    if settings.tls.trusted.is_empty() {
        return Ok(TrustStore::system()?);
    }
    let texts: Vec<String> = settings.tls.trusted.iter().map(text_of).collect::<Result<_, _>>()?;
    Ok(TrustStore::from_pem(texts.iter().map(|text| ("lua_ssl_trusted_certificate", text.as_bytes())))?)
}
