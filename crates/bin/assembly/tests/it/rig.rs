//! A node started inside the test, on free ports, from settings and a declarative text.

use std::net::SocketAddr;
use std::path::Path;

use gibbon_assembly::{NodeSettings, Running};
use gibbon_conf::{Input, Surroundings};
use gibbon_net::Inherited;
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream::Upstream;
use serde_json::{Value, json};

struct Machine;

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// A running node; it stops when dropped.
pub struct Rig {
    running: Option<Running>,
    pub proxy: SocketAddr,
    _prefix: tempfile::TempDir,
}

impl Rig {
    /// Starts a node with two workers, these further settings and this configuration.
    pub fn start(settings: &[(&str, String)], config: &str) -> Rig {
        let rig = Rig::bare(settings);
        rig.load(config);
        rig
    }

    /// Starts a node of one worker, so that what holds it up is noticed, with these further settings, a service for all paths,
    /// these plugins for everybody, and the rest of the configuration.
    pub fn before(settings: &[(&str, String)], upstream: &Upstream, plugins: &Value, rest: &Value) -> Rig {
        let mut config = json!({
            "_format_version": "3.0",
            "services": [{
                "name": "s",
                "url": format!("http://{}", upstream.address()),
                "routes": [{"name": "r", "paths": ["/"], "strip_path": false}],
            }],
            "plugins": plugins,
        });
        for (name, value) in rest.as_object().unwrap() {
            config[name] = value.clone();
        }
        let mut all = vec![("nginx_worker_processes", "1".to_owned())];
        all.extend_from_slice(settings);
        Rig::start(&all, &config.to_string())
    }

    /// Starts a node with two workers and these further settings, and without a configuration.
    pub fn bare(settings: &[(&str, String)]) -> Rig {
        let prefix = tempfile::tempdir().unwrap();
        let proxy = free_tcp_address().unwrap();
        let mut arguments = vec![
            ("prefix".to_owned(), prefix.path().display().to_string()),
            ("database".to_owned(), "off".to_owned()),
            ("proxy_listen".to_owned(), format!("{proxy} reuseport")),
            ("admin_listen".to_owned(), "off".to_owned()),
            ("status_listen".to_owned(), "off".to_owned()),
            ("nginx_worker_processes".to_owned(), "2".to_owned()),
        ];
        arguments.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &Machine).unwrap();
        let node = NodeSettings {
            settings: &loaded.settings,
            values: &loaded.values,
            node_id: "",
            access_logs: Default::default(),
            log_level: None,
        };
        let running = Running::start(&node, Inherited::none()).unwrap();
        Rig { running: Some(running), proxy, _prefix: prefix }
    }

    /// Replaces the configuration.
    pub fn load(&self, config: &str) {
        self.running().declarative.replace(config.as_bytes()).unwrap();
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_fast();
        }
    }
}
