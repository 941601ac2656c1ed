//! The program as people and scripts use it: the real binary, its texts, its exit codes, its files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod life;
mod prefix;
mod settings;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_gibbon");

/// A place for one node. Whatever runs there is stopped at the end.
struct Place {
    dir: TempDir,
    called: &'static str,
    environment: Vec<(String, String)>,
}

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let listeners = ["PROXY", "ADMIN", "STATUS"];
        let mut environment: Vec<_> =
            listeners.iter().map(|name| (format!("KONG_{name}_LISTEN"), "127.0.0.1:0".to_owned())).collect();
        environment.push(("KONG_PROXY_LISTEN".into(), "127.0.0.1:0, 127.0.0.1:0 ssl".into()));
        Self { dir: tempfile::tempdir().unwrap(), called: "gibbon", environment }
    }

    fn called(mut self, name: &'static str) -> Self {
        self.called = name;
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn prefix(&self) -> PathBuf {
        self.dir.path().join("prefix")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let inherited = std::env::vars().filter(|(name, _)| name.starts_with("KONG_") || name.starts_with("GIBBON_"));
        for (name, _) in inherited {
            command.env_remove(name);
        }
        command.arg0(self.called).args(words).envs(self.environment.iter().cloned());
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::from(self.command(words).output().unwrap())
    }

    /// Runs a command that works at the prefix.
    fn at(&self, words: &[&str]) -> Said {
        let prefix = self.prefix();
        self.run(&[words, &["-p", prefix.to_str().unwrap()]].concat())
    }

    fn pid(&self) -> i32 {
        fs::read_to_string(self.prefix().join("pids/nginx.pid")).unwrap().trim().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap().success());
    }

    fn error_log(&self) -> String {
        fs::read_to_string(self.prefix().join("logs/error.log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.prefix().join("pids/nginx.pid").exists() {
            self.at(&["stop"]);
        }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The command succeeded and said this.
    fn well(&self, out: &str) {
        assert_eq!((self.code, self.out.as_str()), (0, out), "stderr: {}", self.err);
    }

    /// The command failed with this message in Kong's form.
    fn failed(&self, message: &str) {
        let expected = format!("Error: {message}\n\n  Run with --v (verbose) or --vv (debug) for more details\n");
        assert_eq!((self.code, self.err.as_str()), (1, expected.as_str()), "stdout: {}", self.out);
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
