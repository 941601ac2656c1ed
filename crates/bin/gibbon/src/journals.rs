//! Opens the logs the settings name and makes the error log the program's event log.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use gibbon_assembly::{AccessLogs, OpenAccessLog};
use gibbon_conf::{AccessLogTarget, LogFormat, Logs, Sink};
use gibbon_journal::{
    AccessLog, Destination, ErrorLog, FileDestination, Handle, Journal, LevelControl, StreamDestination,
};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::syslog::Syslog;

/// The open logs.
#[derive(Debug)]
pub struct OpenLogs {
    /// The writer thread; closing it writes what is held.
    pub journal: Journal,
    /// Level of the error log, which may change while running.
    pub level: LevelControl,
    /// Of every kind of traffic.
    pub access: AccessLogs,
}

/// Opens every log. Events of the program go to the error logs from here on.
pub fn open(logs: &Logs) -> anyhow::Result<OpenLogs> {
    let journal = Journal::start().context("could not start the log writer")?;
    let hostname = hostname();
    let level = LevelControl::new(logs.level);
    let open = |sink: &Sink| open_sink(&journal, sink, &hostname);
    let error_log = ErrorLog::new(level.clone(), open(&logs.proxy_error)?, logs.json_errors)
        .route("stream", open(&logs.stream_error)?)
        .route("admin_gui", open(&logs.admin_gui_error)?)
        .route("admin", open(&logs.admin_error)?)
        .route("status", open(&logs.status_error)?);
    tracing_subscriber::registry().with(error_log).try_init().context("could not open the error log")?;
    gibbon_assembly::log_panics();
    let access = |target: &AccessLogTarget, formats: &BTreeMap<String, LogFormat>| -> anyhow::Result<OpenAccessLog> {
        let (Some(handle), Some(format)) = (open(&target.sink)?, formats.get(&target.format)) else { return Ok(None) };
        let compiled = AccessLog::compile(format, &hostname);
        Ok(Some((compiled.with_context(|| format!("log format {}", target.format))?, handle)))
    };
    let access = AccessLogs {
        proxy: access(&logs.proxy_access, &logs.formats)?,
        stream: access(&logs.stream_access, &logs.stream_formats)?,
        admin: access(&logs.admin_access, &logs.formats)?,
        status: access(&logs.status_access, &logs.formats)?,
    };
    Ok(OpenLogs { access, journal, level })
}

/// Checks that every format compiles, without opening anything.
pub fn check_formats(logs: &Logs) -> anyhow::Result<()> {
    for (name, format) in logs.formats.iter().chain(&logs.stream_formats) {
        AccessLog::compile(format, "").with_context(|| format!("log format {name}"))?;
    }
    Ok(())
}

fn open_sink(journal: &Journal, sink: &Sink, hostname: &str) -> anyhow::Result<Option<Handle>> {
    let opened = match sink {
        Sink::Off => return Ok(None),
        Sink::File(path) => journal.handle(&path.to_string_lossy(), || file(path)),
        Sink::Syslog(options) => journal.handle(&format!("syslog:{options}"), || {
            Ok(Box::new(Syslog::open(options, hostname)?) as Box<dyn Destination>)
        }),
    };
    opened.map(Some).with_context(|| match sink {
        Sink::File(path) => format!("could not open the log {}", path.display()),
        Sink::Off | Sink::Syslog(_) => "could not open a log".to_owned(),
    })
}

/// The standard streams by their usual names are the process's own: opening them by path fails where they are sockets.
fn file(path: &Path) -> std::io::Result<Box<dyn Destination>> {
    Ok(match path.to_str() {
        Some("/dev/stdout") => Box::new(StreamDestination::Stdout),
        Some("/dev/stderr") => Box::new(StreamDestination::Stderr),
        _ => Box::new(FileDestination::open(path)?),
    })
}

/// Name of this machine.
pub fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
