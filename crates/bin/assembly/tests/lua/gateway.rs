//! A node with Lua plugins, and the upstream that its one service leads to.

use std::path::{Path, PathBuf};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};

use rig::Rig;

#[path = "../it/rig.rs"]
pub mod rig;

/// A folder that `lua_package_path` leads to.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    pub fn plugin(self, name: &str, handler: &str, schema: &str) -> Self {
        let folder = self.0.path().join("kong/plugins").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("handler.lua"), handler).unwrap();
        std::fs::write(folder.join("schema.lua"), schema).unwrap();
        self
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Where the plugins of the tests lie, as `lua_package_path` says it.
fn written() -> String {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "lua"].iter().collect();
    format!("{}/?.lua", folder.display())
}

/// A schema whose config has these fields.
pub fn schema(name: &str, fields: &str) -> String {
    format!(
        "return {{ name = '{name}', fields = {{ {{ config = {{ type = 'record', fields = {{ {fields} }} }} }} }} }}"
    )
}

/// Settings with a certificate for TLS listeners, in files of this folder.
pub fn certificate(folder: &Path) -> [(&'static str, String); 2] {
    let made = rcgen::generate_simple_self_signed(vec!["h.test".to_owned()]).unwrap();
    let (cert, key) = (folder.join("listener.crt"), folder.join("listener.key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    [("ssl_cert", cert.display().to_string()), ("ssl_cert_key", key.display().to_string())]
}

pub struct Gateway {
    pub upstream: Upstream,
    pub rig: Rig,
    _files: Files,
}

impl Gateway {
    /// Serves `/` with these plugins on the service: a YAML list, indented by two.
    pub fn with(files: Files, names: &str, plugins: &str) -> Self {
        Self::set(files, names, plugins, &[])
    }

    pub fn set(files: Files, names: &str, plugins: &str, further: &[(&str, &str)]) -> Self {
        Self::before(upstream::echo().unwrap(), files, names, plugins, further)
    }

    /// As `set`, with this upstream.
    pub fn before(upstream: Upstream, files: Files, names: &str, plugins: &str, further: &[(&str, &str)]) -> Self {
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n    strip_path: false\n  plugins:\n{plugins}",
            upstream.address()
        );
        let path = files.path().display();
        let mut settings = vec![
            ("plugins", format!("bundled{names}")),
            ("lua_package_path", format!("{path}/?.lua;{path}/?/init.lua;{}", written())),
        ];
        settings.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Gateway { upstream, rig: Rig::start(&settings, &config), _files: files }
    }

    pub fn get(&self, target: &str) -> Response {
        client::get(self.rig.proxy, "api.test", target).unwrap()
    }

    pub fn send(&self, head: &str, body: &str) -> Response {
        client::once(self.rig.proxy, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n{body}")).unwrap()
    }
}

/// A pre-function with this code in `access`.
pub fn access(code: &str) -> Gateway {
    let code = serde_json::Value::from(code);
    Gateway::with(Files::new(), "", &format!("  - {{name: pre-function, config: {{access: [{code}]}}}}"))
}

/// A pre-function with this code in `access`, trusted as a plugin's.
pub fn trusted(code: &str, further: &[(&str, &str)]) -> Gateway {
    let code = serde_json::Value::from(code);
    let mut settings = vec![("untrusted_lua", "on")];
    settings.extend(further);
    Gateway::set(Files::new(), "", &format!("  - {{name: pre-function, config: {{access: [{code}]}}}}"), &settings)
}
