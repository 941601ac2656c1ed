//! The worker threads: one current-thread runtime each, sharing the plan and the node state only.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gibbon_http::{Drain, ServerSettings};
use gibbon_net::{BoundSocket, ConnectionLimits, Listener, UdpListener};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::node::Node;
use crate::run::Gateway;
use crate::serve::{self, Kind, Mode};
use crate::settings::ProxySettings;
use crate::worker::Worker;
use crate::{probe, stream};

/// What the threads are told, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Run,
    /// Another process has the listeners too: take no more connections, and have clients come again, idle ones with
    /// their next request.
    HandOver,
    /// Take no more connections; let the open ones finish.
    Drain,
    /// End now.
    Stop,
}

/// How long a client's idle connection may bring one more request after a hand-over. Busy clients send it at once; the
/// others find their connection closed, as after any keep-alive timeout.
const LAST_REQUEST: Duration = Duration::from_secs(5);

/// A listener as every worker serves it: `sockets` holds one per worker, or one that is shared.
pub struct Listening {
    pub sockets: Vec<BoundSocket>,
    pub mode: Mode,
}

/// What makes a worker's own things on its thread; they need not be `Send`.
pub trait WorkerParts: Send + Sync {
    /// The ports handed to plugins on this worker.
    fn host(&self, number: usize) -> gibbon_pdk::Host;
    /// Last touches to a worker before it serves (access log, ports that follow the plan).
    fn equip(&self, worker: &mut Worker);
}

/// Running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stage: watch::Sender<Stage>,
}

/// Everything the threads are started with.
pub struct Start {
    pub count: usize,
    pub node: Arc<Node>,
    pub settings: Arc<ProxySettings>,
    pub server: Arc<ServerSettings>,
    pub limits: Option<Arc<ConnectionLimits>>,
    pub parts: Arc<dyn WorkerParts>,
}

impl Workers {
    /// Starts the threads; each serves its share of the listeners.
    ///
    /// # Errors
    /// When a thread, its runtime or a listener cannot be made.
    pub fn start(start: &Start, listening: &[Listening]) -> std::io::Result<Workers> {
        let (stage, watched) = watch::channel(Stage::Run);
        let mut threads = Vec::with_capacity(start.count);
        for number in 0..start.count {
            let share = share_of(number, start.count, listening)?;
            let thread = Thread {
                number,
                node: Arc::clone(&start.node),
                settings: Arc::clone(&start.settings),
                server: Arc::clone(&start.server),
                limits: start.limits.clone(),
                parts: Arc::clone(&start.parts),
                stage: watched.clone(),
            };
            threads.push(thread.start(share)?);
        }
        Ok(Workers { threads, stage })
    }

    /// Moves all workers on; going back is not possible.
    pub fn advance(&self, to: Stage) {
        self.remote().advance(to);
    }

    /// A handle to move the workers on while another thread waits for them.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(self.stage.clone())
    }

    /// Waits for the threads to end.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Tells workers to move on.
#[derive(Clone)]
pub struct Remote(watch::Sender<Stage>);

impl Remote {
    /// Moves all workers on; going back is not possible.
    pub fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let further = to > *stage;
            *stage = (*stage).max(to);
            further
        });
    }
}

type Share = Vec<(BoundSocket, Mode)>;

/// One worker's sockets: its own of each listener, or another handle to the shared one. Sockets taken over from a process
/// with more workers are served too: each has a queue of its own.
fn share_of(number: usize, workers: usize, listening: &[Listening]) -> std::io::Result<Share> {
    let mut share = Vec::with_capacity(listening.len());
    for listener in listening {
        let first = number % listener.sockets.len().max(1);
        for socket in listener.sockets.iter().skip(first).step_by(workers.max(1)) {
            share.push((socket.try_clone()?, listener.mode.clone()));
        }
    }
    Ok(share)
}

struct Thread {
    number: usize,
    node: Arc<Node>,
    settings: Arc<ProxySettings>,
    server: Arc<ServerSettings>,
    limits: Option<Arc<ConnectionLimits>>,
    parts: Arc<dyn WorkerParts>,
    stage: watch::Receiver<Stage>,
}

impl Thread {
    /// Starts the thread, and its runtime on it: one that never leaves its thread needs no second scheduler on top for what
    /// is not `Send`.
    fn start(self, share: Share) -> std::io::Result<JoinHandle<()>> {
        let (made, outcome) = std::sync::mpsc::channel();
        let name = format!("worker-{}", self.number);
        let thread =
            std::thread::Builder::new().name(name).spawn(
                move || match tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => {
                        let _ = made.send(Ok(()));
                        self.run(&runtime, share);
                    }
                    Err(error) => {
                        let _ = made.send(Err(error));
                    }
                },
            )?;
        outcome.recv().map_err(std::io::Error::other)??;
        Ok(thread)
    }

    fn run(self, runtime: &LocalRuntime, share: Share) {
        gibbon_journal::set_thread_number(u32::try_from(self.number + 1).unwrap_or_default());
        runtime.block_on(self.serve(share));
    }

    async fn serve(mut self, share: Share) {
        let settings = Rc::new((*self.settings).clone());
        let mut worker = Worker::new(self.number, settings, Arc::clone(&self.node), self.parts.host(self.number));
        self.parts.equip(&mut worker);
        let worker = Rc::new(worker);
        spawn_local(Rc::clone(&worker.wires).run());
        let sweeping = Rc::clone(&worker);
        spawn_local(async move { sweeping.pool.run().await });
        let sweeping = Rc::clone(&worker);
        spawn_local(async move { sweeping.h2.run().await });
        if self.number == 0 {
            spawn_local(probe::run(Rc::clone(&worker)));
        }
        let drain = Drain::new();
        let gateway = Rc::new(Gateway { worker: Rc::clone(&worker) });
        let server = serve::server(gateway, Rc::new((*self.server).clone()), drain.clone());
        let accepting: Vec<_> =
            share.into_iter().filter_map(|(socket, mode)| self.listen(socket, mode, &worker, &server)).collect();
        let stage = self.stage.wait_for(|s| *s > Stage::Run).await.map_or(Stage::Stop, |stage| *stage);
        for task in accepting {
            task.abort();
        }
        if stage == Stage::HandOver {
            drain.announce();
            tokio::select! {
                _ = self.stage.wait_for(|s| *s > Stage::HandOver) => {}
                () = all_closed(&worker) => {}
                () = tokio::time::sleep(LAST_REQUEST) => {}
            }
        }
        drain.begin();
        tokio::select! {
            _ = self.stage.wait_for(|s| *s >= Stage::Stop) => {}
            () = all_closed(&worker) => {}
        }
    }

    fn listen(
        &self,
        socket: BoundSocket,
        mode: Mode,
        worker: &Rc<Worker>,
        server: &Rc<gibbon_http::Server<Gateway>>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let address = socket.address().clone();
        let serving = self.serving(socket, mode, worker, server);
        serving.inspect_err(|error| tracing::error!("worker {}: cannot serve {address}: {error}", self.number)).ok()
    }

    fn serving(
        &self,
        socket: BoundSocket,
        mode: Mode,
        worker: &Rc<Worker>,
        server: &Rc<gibbon_http::Server<Gateway>>,
    ) -> std::io::Result<tokio::task::JoinHandle<()>> {
        let counters = Arc::clone(&worker.counters.net);
        if mode.kind == Kind::Udp {
            return Ok(spawn_local(stream::serve_udp(UdpListener::new(socket)?, Rc::clone(worker))));
        }
        let listener = Listener::new(socket, self.limits.clone(), Arc::clone(&counters))?;
        Ok(match mode.kind {
            Kind::Stream => spawn_local(stream::accept(listener, Rc::new(mode), Rc::clone(worker), counters)),
            _ => spawn_local(serve::accept(listener, Rc::new(mode), Rc::clone(server), counters)),
        })
    }
}

/// Waits until no connection is open any more.
async fn all_closed(worker: &Worker) {
    while worker.counters.net.active.get() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
