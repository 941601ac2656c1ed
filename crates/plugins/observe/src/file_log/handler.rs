//! Lines go to a thread of their own, one per path: a slow disk never holds a worker up.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use gibbon_pdk::{Build, BuildError, Exchange, Handler, Host, Metrics, write_log_entry};

use super::config::Config;
use crate::custom_fields::CustomFields;

/// Lines that may wait for the disk; more are dropped and counted.
const WAITING: usize = 8192;
/// Bytes written at once.
const TOGETHER: usize = 64 * 1024;
const LOST: &str = "gibbon_file_log_lost_lines_total";

pub struct FileLog {
    fields: CustomFields,
    writer: Arc<Writer>,
    metrics: Arc<dyn Metrics>,
    reopen: bool,
}

/// The way to a path's thread; the thread ends when it is dropped.
struct Writer(SyncSender<Line>);

struct Line {
    text: Vec<u8>,
    reopen: bool,
}

impl FileLog {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("file-log", config.custom_fields_by_lua.as_ref());
        let writer = build.shared(&format!("file-log:{}", config.path), || Writer::start(config.path.clone()));
        Ok(FileLog { fields, writer, metrics: Arc::clone(&build.metrics), reopen: config.reopen })
    }
}

impl Handler for FileLog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let mut text = Vec::with_capacity(2048);
        self.fields.add(x, host);
        write_log_entry(&mut text, x);
        text.push(b'\n');
        let line = Line { text, reopen: self.reopen };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.writer.0.try_send(line) {
            self.metrics.add(LOST, &[], 1);
        }
    }
}

impl Writer {
    fn start(path: String) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let started = std::thread::Builder::new().name("file-log".to_owned()).spawn(move || write(&path, &receiver));
        if let Err(error) = started {
            // Without the thread the channel is closed, and every line is counted as lost.
            tracing::error!("file-log: no thread to write with: {error}");
        }
        Writer(sender)
    }
}

fn write(path: &str, lines: &Receiver<Line>) {
    let mut file: Option<File> = None;
    while let Ok(first) = lines.recv() {
        let mut reopen = first.reopen;
        let mut text = first.text;
        while text.len() < TOGETHER
            && let Ok(next) = lines.try_recv()
        {
            reopen |= next.reopen;
            text.extend_from_slice(&next.text);
        }
        if reopen {
            file = None;
        }
        let written = match &mut file {
            Some(file) => file.write_all(&text),
            None => open(path).and_then(|opened| file.insert(opened).write_all(&text)),
        };
        if let Err(error) = written {
            file = None;
            tracing::error!("failed to write the file '{path}': {error}");
        }
    }
}

fn open(path: &str) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}
