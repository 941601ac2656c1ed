//! Real servers and tools around the gateway, as child processes on free ports: nginx, Redis, PostgreSQL, OpenLDAP, and clients
//! such as h2spec, grpcurl and curl.
//!
//! `tests/install` installs them. A test that needs one which is missing fails and says so: a skipped test proves
//! nothing. Each server has a folder of its own and ends with the test.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid, User, chown};
use tempfile::TempDir;

use crate::ports;

/// How long a server may take until it accepts connections (PostgreSQL on a busy machine is the slowest).
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A running server. Dropping it ends the process and removes its folder.
pub struct Server {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
    /// How to start it once more on what it left behind.
    again: Option<Box<dyn Fn() -> Command + Send + Sync>>,
}

impl Server {
    /// Starts a program that listens on `address`, and waits until it accepts connections. Its output goes to
    /// `output.log` in `folder`.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen in time; the error holds its output.
    pub fn start(mut command: Command, folder: TempDir, address: SocketAddr) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let log = fs::File::create(folder.path().join("output.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut server = Self { child, folder, address, again: None };
        server.wait_until_it_listens(&command)?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self, command: &Command) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{command:?} ended with {status}\n{}", self.output());
            }
            if Instant::now() > deadline {
                bail!("{command:?} does not listen on {} after {START:?}\n{}", self.address, self.output());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills it at once, with everything it started.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn crash(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        self.child.wait()?;
        Ok(())
    }

    /// Starts it after a crash, on the same address and on what is left in its folder. Tries until what it had started is
    /// gone as well: it refuses to run beside that.
    ///
    /// # Errors
    /// When it is none that keeps anything, or as [`Server::start`].
    pub fn start_again(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            match self.try_again() {
                Err(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                other => return other,
            }
        }
    }

    fn try_again(&mut self) -> Result<()> {
        use std::os::unix::process::CommandExt;
        let again = self.again.as_ref().context("this server keeps nothing")?;
        let mut command = again();
        let log = fs::File::options().append(true).open(self.folder.path().join("output.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        self.child = command.spawn().with_context(|| format!("start {command:?}"))?;
        self.wait_until_it_listens(&command)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder: configuration, data, logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote to its standard output and error.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        let _ = killpg(group, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// nginx with this text inside its `http` block; `LISTEN` in it becomes the address.
///
/// # Errors
/// As [`Server::start`].
pub fn nginx(http: &str) -> Result<Server> {
    let (folder, address) = place()?;
    let path = folder.path().join("nginx.conf");
    let base = folder.path().display();
    let user = if Uid::effective().is_root() { "user root;" } else { "" };
    let http = http.replace("LISTEN", &address.to_string());
    fs::write(
        &path,
        format!(
            "daemon off; {user} worker_processes 1; pid {base}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log {base}/access.log; client_body_temp_path {base}/body; proxy_temp_path {base}/proxy;\n\
             fastcgi_temp_path {base}/fastcgi; uwsgi_temp_path {base}/uwsgi; scgi_temp_path {base}/scgi;\n{http}\n}}\n"
        ),
    )?;
    let mut command = Command::new(tool("nginx")?);
    command.arg("-c").arg(&path).arg("-p").arg(folder.path());
    Server::start(command, folder, address)
}

/// Redis without persistence.
///
/// # Errors
/// As [`Server::start`].
pub fn redis() -> Result<Server> {
    let (folder, address) = place()?;
    let mut command = Command::new(tool("redis-server")?);
    command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.current_dir(folder.path());
    Server::start(command, folder, address)
}

/// OpenBao in memory, unsealed, with this token for root and a key-value engine of version 2 at `secret/`.
///
/// # Errors
/// As [`Server::start`].
pub fn openbao(root: &str) -> Result<Server> {
    let (folder, address) = place()?;
    let mut command = Command::new(tool("bao")?);
    command.args(["server", "-dev", "-dev-no-store-token", "-log-level=error"]);
    command.args([format!("-dev-root-token-id={root}"), format!("-dev-listen-address={address}")]);
    command.env("HOME", folder.path()).current_dir(folder.path());
    let server = Server::start(command, folder, address)?;
    // It listens before its engine is ready.
    let question = format!("GET /v1/secret/config HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {root}\r\n\r\n");
    let deadline = Instant::now() + START;
    while crate::client::once(address, &question)?.status() != 200 {
        ensure!(Instant::now() < deadline, "OpenBao is not ready after {START:?}\n{}", server.output());
        std::thread::sleep(POLL);
    }
    Ok(server)
}

/// OpenLDAP with the suffix `dc=test`, an administrator `cn=admin,dc=test` whose password is `admin`, and these further
/// entries as LDIF. With a certificate and its key in PEM it also speaks TLS: after STARTTLS, and from the start on the
/// second address.
///
/// # Errors
/// As [`Server::start`], and when the entries are not accepted.
pub fn slapd(entries: &str, pair: Option<(&str, &str)>) -> Result<(Server, SocketAddr)> {
    let (folder, address) = place()?;
    let secure = ports::free_tcp_address()?;
    let base = folder.path();
    fs::create_dir(base.join("db"))?;
    let mut settings = format!(
        "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
         pidfile {0}/slapd.pid\n",
        base.display()
    );
    if let Some((certificate, key)) = pair {
        fs::write(base.join("cert.pem"), certificate)?;
        fs::write(base.join("key.pem"), key)?;
        settings += &format!("TLSCertificateFile {0}/cert.pem\nTLSCertificateKeyFile {0}/key.pem\n", base.display());
    }
    settings += &format!(
        "database mdb\ndirectory {}/db\nmaxsize 16777216\nsuffix \"dc=test\"\nrootdn \"cn=admin,dc=test\"\nrootpw admin\n",
        base.display()
    );
    let path = base.join("slapd.conf");
    fs::write(&path, settings)?;
    let root = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: test\n";
    fs::write(base.join("entries.ldif"), format!("{root}\n{entries}"))?;
    let added =
        Command::new(tool("slapadd")?).arg("-f").arg(&path).arg("-l").arg(base.join("entries.ldif")).output()?;
    if !added.status.success() {
        bail!("slapadd: {}", String::from_utf8_lossy(&added.stderr));
    }
    let mut urls = format!("ldap://{address}/");
    if pair.is_some() {
        urls += &format!(" ldaps://{secure}/");
    }
    let mut command = Command::new(tool("slapd")?);
    command.arg("-f").arg(&path).args(["-h", &urls, "-d", "0"]);
    Ok((Server::start(command, folder, address)?, secure))
}

/// The ACME authority Pebble, with a name server to which every name is 127.0.0.1.
pub struct Pebble {
    /// Its directory is at `https://ADDRESS/dir`.
    pub authority: Server,
    _names: Server,
}

/// Starts Pebble. It fetches the answers to its challenges from `http_port`, and shows this certificate itself.
///
/// # Errors
/// As [`Server::start`].
pub fn pebble(http_port: u16, certificate: &str, key: &str) -> Result<Pebble> {
    let (folder, management) = place()?;
    let dns = ports::free_tcp_address()?;
    let mut command = Command::new(tool("pebble-challtestsrv")?);
    command.args(["-management", &management.to_string(), "-dns01", &dns.to_string(), "-defaultIPv4", "127.0.0.1"]);
    command.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
    let names = Server::start(command, folder, management)?;

    let (folder, address) = place()?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let config = serde_json::json!({ "pebble": {
        "listenAddress": address.to_string(),
        "managementListenAddress": ports::free_tcp_address()?.to_string(),
        "certificate": file("cert.pem", certificate)?,
        "privateKey": file("key.pem", key)?,
        "httpPort": http_port,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
    }});
    let config = file("config.json", &config.to_string())?;
    let mut command = Command::new(tool("pebble")?);
    command.args(["-config", &config, "-dnsserver", &dns.to_string()]).env("PEBBLE_VA_NOSLEEP", "1");
    let authority = Server::start(command, folder, address)?;
    Ok(Pebble { authority, _names: names })
}

/// PostgreSQL with a superuser `gibbon` that needs no password, and a database of the same name.
///
/// # Errors
/// As [`Server::start`], and when the cluster cannot be made.
pub fn postgres() -> Result<Server> {
    postgres_with(&["-F"])
}

/// As [`postgres`], but it waits for the disk, and can be crashed and started again.
///
/// # Errors
/// As [`postgres`].
pub fn durable_postgres() -> Result<Server> {
    postgres_with(&[])
}

/// As [`postgres`], speaking TLS with this certificate and key in PEM.
///
/// # Errors
/// As [`postgres`].
pub fn tls_postgres(certificate: &str, key: &str) -> Result<Server> {
    let (folder, address) = place()?;
    let (certificate_file, key_file) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    fs::write(&certificate_file, certificate)?;
    fs::write(&key_file, key)?;
    // It refuses a key that others can read.
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
    if let Some(owner) = database_owner()? {
        chown(&key_file, Some(owner.uid), Some(owner.gid))?;
    }
    let options = [
        "-F".to_owned(),
        "-cssl=on".to_owned(),
        format!("-cssl_cert_file={}", certificate_file.display()),
        format!("-cssl_key_file={}", key_file.display()),
    ];
    postgres_in(folder, address, &options.each_ref().map(String::as_str))
}

fn postgres_with(options: &[&str]) -> Result<Server> {
    let (folder, address) = place()?;
    postgres_in(folder, address, options)
}

fn postgres_in(folder: TempDir, address: SocketAddr, options: &[&str]) -> Result<Server> {
    let data = folder.path().join("data");
    let owner = database_owner()?;
    if let Some(owner) = &owner {
        chown(folder.path(), Some(owner.uid), Some(owner.gid))?;
    }
    let home = folder.path().to_owned();
    let as_owner = move |program: &Path| {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        if let Some(owner) = &owner {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        command.current_dir(&home);
        command
    };
    let binaries = postgres_binaries()?;
    let made = as_owner(&binaries.join("initdb"))
        .args(["--no-sync", "--auth=trust", "--username=gibbon", "--encoding=UTF8", "-D"])
        .arg(&data)
        .output()?;
    if !made.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
    }
    let create = as_owner(&binaries.join("createdb"));
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let serve = move || {
        let mut command = as_owner(&binaries.join("postgres"));
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-k", ""]);
        command.args(&options);
        command
    };
    let mut server = Server::start(serve(), folder, address)?;
    server.again = Some(Box::new(serve));
    create_database(create, address)?;
    Ok(server)
}

/// It listens before it takes sessions, so the first attempts may be turned away.
fn create_database(mut createdb: Command, address: SocketAddr) -> Result<()> {
    createdb.args(["-h", "127.0.0.1", "-U", "gibbon", "-p", &address.port().to_string(), "gibbon"]);
    let deadline = Instant::now() + START;
    loop {
        let made = createdb.output()?;
        if made.status.success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("createdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        std::thread::sleep(POLL);
    }
}

/// Root may not run a database server: it becomes the package's own user.
fn database_owner() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?;
    Ok(Some(user.context("no user postgres: run tests/install")?))
}

/// Debian keeps them out of PATH, in a folder per version.
fn postgres_binaries() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL: run tests/install")?;
    let mut found: Vec<PathBuf> = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.retain(|path| path.join("initdb").is_file());
    found.sort();
    found.pop().context("no initdb under /usr/lib/postgresql: run tests/install")
}

/// A program by name: in PATH, in the folders of system programs, or where `tests/install` puts what Debian lacks.
///
/// # Errors
/// When it is nowhere.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let test = std::env::current_exe()?;
    folders.extend(test.ancestors().take(5).map(|folder| folder.join("tools")));
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: run tests/install"))
}

pub(crate) fn place() -> Result<(TempDir, SocketAddr)> {
    Ok((tempfile::Builder::new().prefix("gibbon-test-").tempdir()?, ports::free_tcp_address()?))
}
