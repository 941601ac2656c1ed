//! `gibbon-load`: reads commands as JSON lines from standard input and writes events as JSON lines. See [`gibbon_load`].
//!
//! It starts its upstreams, prints their ports, and then does one command at a time until its input ends.

use std::io::{BufRead, Write};

use anyhow::Result;
use gibbon_load::command::{Command, Event};
use gibbon_load::drive::{self, Link};
use gibbon_load::upstream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

fn main() -> Result<()> {
    // One look at the sockets after each round of ready tasks: the pacing of a fixed rate runs as a task that yields.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(31).build()?;
    LocalSet::new().block_on(&runtime, stand())
}

async fn stand() -> Result<()> {
    say(&Event::Ready { upstreams: upstream::start()? });
    let mut lines = lines();
    let mut held: Vec<Link> = Vec::new();
    while let Some(line) = lines.recv().await {
        let done = match serde_json::from_str(&line) {
            Ok(Command::Drive(of)) => drive::run(*of, |event| say(&event)).await.map(Event::Done),
            Ok(Command::Hold(of)) => drive::hold(&of).await.map(|links| {
                held.extend(links);
                Event::Held { connections: held.len() }
            }),
            Ok(Command::Release {}) => {
                held.clear();
                Ok(Event::Released {})
            }
            Err(error) => Err(error.into()),
        };
        say(&done.unwrap_or_else(|error| Event::Failed { reason: format!("{error:#}") }));
    }
    Ok(())
}

/// Standard input by lines. The thread that reads it sleeps while a drive runs.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(event: &Event) {
    let Ok(text) = serde_json::to_string(event) else { return };
    let mut out = std::io::stdout().lock();
    // Whoever steers the stand has gone: the end of input follows.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
