//! One drive: connections that ask, arrivals that say when, and a window in which answers count.

mod arrivals;
mod connector;
mod events;
mod http1;
mod http2;
mod websocket;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::command::{Drive, Event, Hold, Protocol};
use crate::requests::{Dice, Writer};
use crate::tally::{Report, Tally};

pub use arrivals::Arrivals;
pub use connector::{Connector, Link};

/// Rest before a broken connection is opened again, so that a gateway that refuses is not hammered.
const RECONNECT: Duration = Duration::from_millis(20);

/// What every connection of a drive shares.
pub(crate) struct Job {
    pub writer: Writer,
    pub arrivals: Arrivals,
    pub tally: Tally,
    pub drive: Drive,
}

/// Puts load on a gateway; `announce` is called when the window opens and when it closes.
///
/// # Errors
/// When the TLS client cannot be set up. Errors of the gateway are counted, not returned.
pub async fn run(drive: Drive, announce: impl Fn(Event)) -> Result<Report> {
    let dice = Dice::new(&drive.requests);
    let job = Rc::new(Job {
        writer: Writer::new(&drive.requests, headers_of(drive.protocol)),
        arrivals: Arrivals::new(drive.rate, dice),
        tally: Tally::default(),
        drive,
    });
    let mut tasks = JoinSet::new();
    for _ in 0..job.drive.connections {
        // One connector each, so that each resumes its own session: tickets serve once, and a shared store runs dry.
        tasks.spawn_local(keep_connected(Rc::clone(&job), Connector::new(&job.drive)?));
    }
    if job.drive.rate.is_some() {
        let pacing = Rc::clone(&job);
        tasks.spawn_local(async move { pacing.arrivals.pace(&pacing.tally).await });
    }
    tokio::time::sleep(Duration::from_secs_f64(job.drive.warmup)).await;
    announce(Event::WindowOpen {});
    let (began, cpu) = (Instant::now(), own_cpu());
    job.tally.open();
    tokio::time::sleep(Duration::from_secs_f64(job.drive.seconds)).await;
    job.tally.close();
    let (window, cpu) = (began.elapsed(), own_cpu() - cpu);
    announce(Event::WindowClose {});
    tasks.shutdown().await;
    Ok(job.tally.report(window, cpu))
}

/// Opens connections that stay idle after one answered request each; failed ones are left out.
///
/// # Errors
/// When the TLS client cannot be set up.
pub async fn hold(hold: &Hold) -> Result<Vec<Link>> {
    let drive = Drive {
        address: hold.address,
        protocol: Protocol::Http1,
        tls: hold.tls,
        connections: hold.connections,
        streams: 1,
        rate: None,
        warmup: 0.0,
        seconds: 0.0,
        requests: hold.requests.clone(),
    };
    let (connector, writer) = (Connector::new(&drive)?, Writer::new(&hold.requests, ""));
    let mut open = Vec::new();
    for _ in 0..hold.connections {
        if let Some(link) = http1::open_and_ask(&connector, &writer).await {
            open.push(link);
        }
    }
    Ok(open)
}

fn headers_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Connect | Protocol::Resume => "Connection: close\r\n",
        Protocol::Websocket => websocket::HEADERS,
        Protocol::Events => "Accept: text/event-stream\r\n",
        Protocol::Http1 | Protocol::Http2 | Protocol::Grpc => "",
    }
}

/// Opens a connection again and again until the drive is over.
async fn keep_connected(job: Rc<Job>, connector: Connector) {
    while !job.tally.is_over() {
        let ended = match job.drive.protocol {
            Protocol::Http1 => http1::keep_alive(&job, &connector).await,
            Protocol::Connect | Protocol::Resume => http1::one_each(&job, &connector).await,
            Protocol::Http2 | Protocol::Grpc => http2::streams(&job, &connector).await,
            Protocol::Websocket => websocket::echo(&job, &connector).await,
            Protocol::Events => events::read(&job, &connector).await,
        };
        if let Err(what) = ended {
            job.tally.failed(what);
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

/// CPU seconds of this thread, which is the whole stand.
fn own_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds: u64 = text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
