//! Being woken when another node commits.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls};

use super::connection::PostgresSettings;
use super::tls::Connector;
use super::within;
use crate::conductor::Conductor;
use crate::error::StoreError;

/// Where committed changes are announced.
pub(super) const CHANNEL: &str = "gibbon_changes";

/// How long to wait before listening again after the connection was lost. Looking now and then goes on meanwhile.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps the conductor up with the other nodes as they announce changes. Runs until the runtime ends.
pub async fn listen(settings: PostgresSettings, conductor: Conductor) {
    loop {
        if let Err(error) = listen_once(&settings, &conductor).await {
            tracing::warn!("changes of other nodes are not announced for now: {error}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen_once(settings: &PostgresSettings, conductor: &Conductor) -> Result<(), StoreError> {
    // One waiting announcement stands for all: whoever looks sees everything.
    let (announce, mut announced) = mpsc::channel(1);
    let config = settings.config();
    let client = match &settings.tls {
        None => {
            let (client, mut connection) = within(settings.timeout, config.connect(NoTls)).await?;
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    pass_on(&message, &announce);
                }
            });
            client
        }
        Some(tls) => {
            let (client, mut connection) =
                within(settings.timeout, config.connect(Connector(tls.client.clone()))).await?;
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    pass_on(&message, &announce);
                }
            });
            client
        }
    };
    within(settings.timeout, client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
    // What was committed while nobody listened.
    conductor.keep_up().await;
    while announced.recv().await.is_some() {
        conductor.keep_up().await;
    }
    Err(StoreError::new("PostgreSQL: the connection was lost"))
}

fn pass_on(message: &AsyncMessage, announce: &mpsc::Sender<()>) {
    if let AsyncMessage::Notification(_) = message {
        let _ = announce.try_send(());
    }
}
