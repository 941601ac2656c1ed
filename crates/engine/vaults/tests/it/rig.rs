//! Vaults that run, and servers for them to ask.

use std::sync::Arc;
use std::time::Duration;

use gibbon_outcall::{Client, Reach};
use gibbon_ports::HttpPort;
use gibbon_store::Secrets;
use gibbon_testkit::upstream::{Request, Upstream};
use gibbon_vaults::strategy::Surroundings;
use gibbon_vaults::{Config, Vaults};
use serde_json::{Value, json};

/// A server that answers in JSON; `None` is 404.
pub fn vault(answer: impl Fn(&Request) -> Option<(u16, Value)> + Send + Sync + 'static) -> Upstream {
    Upstream::serve(move |mut connection| {
        while let Some(request) = connection.read_request()? {
            let (status, body) = answer(&request).unwrap_or((404, json!({"errors": []})));
            connection.answer(status, &[("content-type", "application/json")], body.to_string())?;
        }
        Ok(())
    })
    .unwrap()
}

/// Vaults that run on a runtime of their own, as a node's do.
pub struct Rig {
    pub runtime: tokio::runtime::Runtime,
    pub vaults: Arc<Vaults>,
}

/// With these variables in the environment.
pub fn rig(variables: &[(&str, &str)]) -> Rig {
    let variables: Vec<(String, String)> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let resolver =
        gibbon_dns::Resolver::new(gibbon_dns::Settings::default(), Arc::new(gibbon_dns::SystemClock::default()));
    let http = Client::new(Arc::new(Reach::new(resolver, None)), runtime.handle().clone());
    let variable = move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let surroundings =
        Surroundings { variable: Arc::new(variable), http: Arc::new(HttpPort { client: http, user_agent: "".into() }) };
    let vaults = Vaults::new(surroundings, Box::new(|name| Config::of_settings(name, std::iter::empty())));
    runtime.spawn(Arc::clone(&vaults).run());
    Rig { runtime, vaults }
}

impl Rig {
    /// What a reference stands for once the vault was asked.
    pub fn secret(&self, reference: &str, vault: &Arc<Value>) -> String {
        self.vaults.look_up(reference, Some(vault));
        self.vaults.settle(Duration::from_secs(20));
        self.vaults.look_up(reference, Some(vault))
    }
}
