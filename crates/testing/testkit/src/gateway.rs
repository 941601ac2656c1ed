//! The real gateway as a child process: a temporary prefix, free ports, a configuration, and a clean end.
//!
//! Readiness is asked of the status API, never waited for by the clock. What the process wrote is kept and shown when
//! a start fails or a test panics. The test decides what the configuration says and what counts as a right answer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{self, Client, Response};
use crate::ports;

/// How long a start or a stop may take before the test gives up.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);
/// Pause between two questions to the status API: readiness is polled, so that no test sleeps for a guess.
const POLL: Duration = Duration::from_millis(5);
/// How much of each log a failure shows.
const LOG_TAIL: usize = 8192;

/// What a gateway is started with. Begin with [`Settings::new`], end with [`Settings::start`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    binary: Option<PathBuf>,
    values: BTreeMap<String, String>,
    config: Option<String>,
    addresses: Option<Addresses>,
}

impl Settings {
    /// One worker, no database, every listener on a free loopback port, all else at its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The declarative configuration (YAML or JSON text) to start with.
    #[must_use]
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// A setting by its `kong.conf` name, given to the process as `KONG_NAME`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_ascii_uppercase(), value.into());
        self
    }

    /// On the PostgreSQL that listens there, as [`servers::postgres`](crate::servers::postgres) sets it up.
    #[must_use]
    pub fn on_postgres(self, database: SocketAddr) -> Self {
        self.set("database", "postgres")
            .set("pg_port", database.port().to_string())
            .set("pg_user", "gibbon")
            .set("pg_database", "gibbon")
    }

    /// Another binary than the one [`binary_path`] finds.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// These addresses instead of ones of its own choice, for settings that spell them out.
    #[must_use]
    pub fn listening_at(mut self, addresses: Addresses) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Starts the gateway in the foreground and waits until it says that it is ready.
    ///
    /// # Errors
    /// When the process ends or is not ready in time; the error holds what it logged.
    pub fn start(self) -> Result<Gateway> {
        self.start_by("run")
    }

    /// Starts the gateway in the background, as `gibbon start` does.
    ///
    /// # Errors
    /// As [`Settings::start`].
    pub fn start_in_background(self) -> Result<Gateway> {
        self.start_by("start")
    }

    fn start_by(self, command: &str) -> Result<Gateway> {
        let binary = self.binary.clone().map_or_else(binary_path, Ok)?;
        let prefix = tempfile::Builder::new().prefix("gibbon-test-").tempdir()?;
        let addresses = self.addresses.map_or_else(Addresses::reserve, Ok)?;
        let mut values = addresses.settings();
        values.insert("PREFIX".into(), prefix.path().display().to_string());
        if let Some(config) = &self.config {
            let path = prefix.path().join("declarative.yml");
            fs::write(&path, config)?;
            values.insert("DECLARATIVE_CONFIG".into(), path.display().to_string());
        }
        values.extend(self.values);
        let output = prefix.path().join("output.log");
        let log = File::create(&output)?;
        let mut child = gateway_command(&binary, &values)
            .arg(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let in_background = command == "start";
        if in_background {
            let status = child.wait()?;
            ensure!(status.success(), "{command}: {status}\n{}", log_tail(&output));
        }
        let has_config = values.keys().any(|name| name.starts_with("DECLARATIVE_CONFIG"));
        let mut gateway = Gateway { child, prefix, addresses, values, binary, in_background, ended: None };
        gateway.wait_ready(if has_config { "/status/ready" } else { "/status" })?;
        Ok(gateway)
    }

    /// Runs a command of the gateway's command line with these settings in a prefix of its own, and returns what it
    /// printed. For `check`, `config parse`, `version` and their like.
    ///
    /// # Errors
    /// When the binary cannot be started; its exit code is for the test to judge.
    pub fn command_line(&self, arguments: &[&str]) -> Result<Output> {
        let binary = self.binary.clone().map_or_else(binary_path, Ok)?;
        let prefix = tempfile::Builder::new().prefix("gibbon-test-").tempdir()?;
        let mut values = BTreeMap::from([("PREFIX".to_owned(), prefix.path().display().to_string())]);
        values.extend(self.values.clone());
        Ok(gateway_command(&binary, &values).args(arguments).stdin(Stdio::null()).output()?)
    }
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP/1.1 and h2c.
    pub proxy: SocketAddr,
    /// TLS with ALPN `h2` and `http/1.1`.
    pub proxy_tls: SocketAddr,
    /// Admin API.
    pub admin: SocketAddr,
    /// Status API.
    pub status: SocketAddr,
}

impl Addresses {
    /// Free ones.
    ///
    /// # Errors
    /// When the system has no port left.
    pub fn reserve() -> Result<Self> {
        let next = ports::free_tcp_address;
        Ok(Self { proxy: next()?, proxy_tls: next()?, admin: next()?, status: next()? })
    }

    fn settings(&self) -> BTreeMap<String, String> {
        [
            ("PROXY_LISTEN", format!("{} http2, {} ssl http2", self.proxy, self.proxy_tls)),
            ("ADMIN_LISTEN", self.admin.to_string()),
            ("STATUS_LISTEN", self.status.to_string()),
            ("ADMIN_GUI_LISTEN", "off".to_owned()),
            ("DATABASE", "off".to_owned()),
            ("NGINX_WORKER_PROCESSES", "1".to_owned()),
            ("ANONYMOUS_REPORTS", "off".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A running gateway. Dropping it ends the process and removes its prefix.
pub struct Gateway {
    child: Child,
    prefix: TempDir,
    addresses: Addresses,
    values: BTreeMap<String, String>,
    binary: PathBuf,
    /// The child has ended: the process that serves is known by the process id file alone.
    in_background: bool,
    ended: Option<ExitStatus>,
}

impl Gateway {
    /// Starts with a declarative configuration and default settings.
    ///
    /// # Errors
    /// As [`Settings::start`].
    pub fn with_config(text: impl Into<String>) -> Result<Self> {
        Settings::new().config(text).start()
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its working directory.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        self.prefix.path()
    }

    /// The process that was started. After an upgrade it waits for the one that serves.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that serves: the one that the process id file names.
    #[must_use]
    pub fn serving_pid(&self) -> Option<i32> {
        fs::read_to_string(self.prefix.path().join("pids/nginx.pid")).ok()?.trim().parse().ok()
    }

    /// Has a new process of the binary take over (USR2) and waits until it does. The old process may still be busy with its
    /// last connections.
    ///
    /// # Errors
    /// When no other process has taken over in time; the error holds what was logged.
    pub fn upgrade(&self) -> Result<()> {
        let before = self.serving_pid();
        self.signal(Signal::SIGUSR2)?;
        let deadline = Instant::now() + START;
        while self.serving_pid().is_none_or(|now| Some(now) == before) {
            ensure!(Instant::now() < deadline, "no successor within {START:?}\n{}", self.logs());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// A new plain connection to the proxy.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.addresses.proxy)
    }

    /// A new TLS connection to the proxy.
    ///
    /// # Errors
    /// As [`Client::connect_tls`].
    pub fn connect_tls(&self, server_name: &str, alpn: &[&str]) -> Result<Client> {
        Client::connect_tls(self.addresses.proxy_tls, server_name, alpn)
    }

    /// `GET target` through the proxy on a connection of its own.
    ///
    /// # Errors
    /// As [`client::get`].
    pub fn get(&self, host: &str, target: &str) -> Result<Response> {
        client::get(self.addresses.proxy, host, target)
    }

    /// A call of the Admin API; `body` is JSON unless it is empty.
    ///
    /// # Errors
    /// As [`client::once`].
    pub fn admin(&self, method: &str, target: &str, body: &str) -> Result<Response> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        client::once(self.addresses.admin, head + body)
    }

    /// Replaces the configuration through `POST /config` and fails unless it is accepted.
    ///
    /// # Errors
    /// When it is refused; the error shows the answer.
    pub fn load(&self, config: &serde_json::Value) -> Result<()> {
        let answer = self.admin("POST", "/config", &config.to_string())?;
        ensure!(answer.status() == 201, "POST /config answered {}: {}", answer.status(), answer.text());
        Ok(())
    }

    /// Sends a signal to the process that serves: HUP to reload, QUIT to drain, USR1 to reopen logs.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let serving = self.serving_pid().map(Pid::from_raw);
        ensure!(serving.is_some() || !self.in_background, "no process serves");
        Ok(kill(serving.unwrap_or_else(|| self.process()), signal)?)
    }

    /// Sends a signal to the process that was started, whichever serves.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal_first(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.process(), signal)?)
    }

    /// Runs a command of the command line against this gateway's prefix.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn command_line(&self, arguments: &[&str]) -> Result<Output> {
        Ok(gateway_command(&self.binary, &self.values).args(arguments).stdin(Stdio::null()).output()?)
    }

    /// Asks the status API until it answers 200 on `target`.
    ///
    /// # Errors
    /// When the process ends or the time is up; the error holds what was logged.
    pub fn wait_ready(&mut self, target: &str) -> Result<()> {
        let deadline = Instant::now() + START;
        let mut last = String::from("no answer");
        while Instant::now() < deadline {
            if let Some(status) = self.try_wait()? {
                bail!("the gateway ended with {status} before it was ready\n{}", self.logs());
            }
            match client::get(self.addresses.status, "status", target) {
                Ok(answer) if answer.status() == 200 => return Ok(()),
                Ok(answer) => last = format!("{}: {}", answer.status(), answer.text()),
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(POLL);
        }
        bail!("not ready within {START:?}; {target} last said {last}\n{}", self.logs())
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "still running after {limit:?}\n{}", self.logs());
            std::thread::sleep(POLL);
        }
    }

    /// What the process wrote, the last part of each file: its own output first, then the logs in its prefix. Access
    /// logs are left out: they drown the rest.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut files = vec![self.prefix.path().join("output.log")];
        if let Ok(entries) = fs::read_dir(self.prefix.path().join("logs")) {
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            files.extend(paths.filter(|path| !path.to_string_lossy().contains("access")));
        }
        files.iter().map(|path| log_tail(path)).collect()
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() && (!self.in_background || self.serving_pid().is_none()) {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway's logs:\n{}", self.logs());
        }
        if self.ended.is_none() {
            // The group, because a test may have upgraded the binary.
            let _ = match self.in_background {
                true => self.signal(Signal::SIGTERM),
                false => killpg(self.process(), Signal::SIGTERM).map_err(Into::into),
            };
            if self.wait_exit(STOP).is_err() {
                eprintln!("the gateway did not stop within {STOP:?} of SIGTERM and was killed");
            }
        }
        if self.in_background {
            let _ = self.signal(Signal::SIGKILL);
        } else {
            let _ = killpg(self.process(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// The gateway to test: `GIBBON_BIN`, or what cargo built for this integration test (`CARGO_BIN_EXE_gibbon`), or
/// `gibbon` beside the running test's own folder.
///
/// # Errors
/// When none of the three exists; the error says what to set.
pub fn binary_path() -> Result<PathBuf> {
    for name in ["GIBBON_BIN", "CARGO_BIN_EXE_gibbon"] {
        if let Some(path) = std::env::var_os(name) {
            return Ok(path.into());
        }
    }
    let test = std::env::current_exe()?;
    test.ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("gibbon"))
        .find(|path| path.is_file())
        .context("no gateway binary: build it (cargo build -p gibbon) or name one in GIBBON_BIN")
}

fn gateway_command(binary: &Path, values: &BTreeMap<String, String>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(binary);
    // A developer's own settings must not change what a test tests.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("KONG_") || text.starts_with("GIBBON_") {
            command.env_remove(&name);
        }
    }
    command.envs(values.iter().map(|(name, value)| (format!("KONG_{name}"), value))).process_group(0);
    command
}

fn log_tail(path: &Path) -> String {
    let Ok(bytes) = fs::read(path) else {
        return String::new();
    };
    let from = bytes.len().saturating_sub(LOG_TAIL);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    if text.trim().is_empty() { text } else { format!("--- {}\n{text}\n", path.display()) }
}

/// Loopback with a port: what configurations and settings spell out.
#[must_use]
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
