//! One worker: a thread with a runtime of its own, and all that its exchanges share. Nothing here is
//! shared between threads, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use gibbon_balance::{Attempt, NoPeer, Outcome, Pick, WorkerState};
use gibbon_http::client::{ClientSettings, Connection, H2Pool, Pool, PoolSettings};
use gibbon_message::Headers;
use gibbon_net::{BufferPool, Connector, Stream};
use gibbon_pdk::{Exchange, Host, Matched, Route};
use gibbon_plan::{Chain, Place, Plan, Upstream};
use gibbon_router::Scratch;
use uuid::Uuid;

use crate::access_line::AccessLine;
use crate::balance::{self, Balanced};
use crate::node::{Node, WorkerCounters};
use crate::outcalls::NotedHttp;
use crate::random::RequestIds;
use crate::settings::ProxySettings;
use crate::upstream_tls::TlsProfile;
use crate::upstreams::Live;

/// How many joined routes a worker remembers per plan before it starts over.
const BINDINGS: usize = 16_384;
/// How many exchanges are kept for reuse.
const FREE_EXCHANGES: usize = 256;

/// A route joined with its service, chain and upstream under one plan.
pub struct Bound {
    pub matched: Rc<Matched>,
    pub chain: Rc<Chain>,
    pub upstream: Option<Arc<Upstream>>,
    /// The service's host, where that is an address.
    pub address: Option<IpAddr>,
}

/// The plan a worker works with, and what it joined under it.
pub struct Pinned {
    pub number: u64,
    pub plan: Arc<Plan>,
    /// Whether some plugin of the plan traces.
    pub traces: bool,
    /// The chain of a request for which no route is known.
    pub global: Rc<Chain>,
    bound: RefCell<HashMap<Uuid, Rc<Bound>>>,
    chains: RefCell<HashMap<ChainKey, Rc<Chain>>>,
}

/// Where it stands, and the ids of the route and the service where they have configurations of their own.
type ChainKey = (Place, Option<Uuid>, Option<Uuid>);

impl Pinned {
    fn new(number: u64, plan: Arc<Plan>) -> Self {
        let global = Rc::new(plan.global_chain());
        let traces = plan.traces();
        Pinned { number, plan, traces, global, bound: RefCell::default(), chains: RefCell::default() }
    }

    /// The route joined with what belongs to it; made on the first request that meets it.
    pub fn bind(&self, route: &Arc<Route>) -> Rc<Bound> {
        if let Some(bound) = self.bound.borrow().get(&route.id) {
            return Rc::clone(bound);
        }
        let bound = Rc::new(self.join(route));
        let mut table = self.bound.borrow_mut();
        if table.len() >= BINDINGS {
            table.clear();
        }
        table.insert(route.id, Rc::clone(&bound));
        bound
    }

    fn join(&self, route: &Arc<Route>) -> Bound {
        let service = route.service.and_then(|id| self.plan.service(id)).cloned();
        let upstream = service.as_ref().and_then(|s| self.plan.upstream(s.workspace, &s.host)).cloned();
        let (own_route, own_service) = self.plan.chain_key(Some(route.id), route.service);
        let chain = self.chain((Place::of(route), own_route, own_service), route.service);
        let workspace = self.plan.directories.workspace_name(route.workspace);
        let address = service.as_ref().and_then(|service| balance::literal(&service.host));
        Bound { matched: Rc::new(Matched { route: Arc::clone(route), service, workspace }), chain, upstream, address }
    }

    fn chain(&self, key: ChainKey, service: Option<Uuid>) -> Rc<Chain> {
        if let Some(chain) = self.chains.borrow().get(&key) {
            return Rc::clone(chain);
        }
        let chain = Rc::new(self.plan.compile_chain(key.0, key.1, service));
        let mut table = self.chains.borrow_mut();
        if table.len() >= BINDINGS {
            table.clear();
        }
        table.insert(key, Rc::clone(&chain));
        chain
    }
}

/// What distinguishes pooled connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub address: std::net::SocketAddr,
    pub tls: Option<Rc<TlsProfile>>,
}

/// A worker's own part of an upstream.
struct Local {
    generation: u64,
    live: Arc<Live>,
    state: WorkerState,
}

/// One worker.
pub struct Worker {
    /// Its place among the workers, from 0.
    pub number: usize,
    pub settings: Rc<ProxySettings>,
    pub node: Arc<Node>,
    pub counters: Arc<WorkerCounters>,
    pub host: Host,
    pub wires: Rc<gibbon_http::Worker>,
    pub connector: Connector,
    pub client_settings: Rc<ClientSettings>,
    pub pool: Pool<PoolKey, Box<Connection<Stream>>>,
    /// Shared HTTP/2 connections, for gRPC.
    pub h2: H2Pool<PoolKey>,
    pub ids: RequestIds,
    /// Buffers lent to tunnels.
    pub buffers: BufferPool,
    /// Writes the access log line of an exchange.
    pub access_log: Option<AccessLine>,
    /// The same for stream connections.
    pub stream_log: Option<AccessLine>,
    pub tls: crate::upstream_tls::UpstreamTlsTable,
    pinned: RefCell<Rc<Pinned>>,
    locals: RefCell<HashMap<Uuid, Local>>,
    /// Boxed, for they are large and move from here to a connection's task and back.
    #[allow(clippy::vec_box)]
    exchanges: RefCell<Vec<Box<Exchange>>>,
    heads: RefCell<Vec<Headers>>,
    scratch: RefCell<Scratch>,
    turn: Cell<usize>,
}

impl Worker {
    #[must_use]
    pub fn new(number: usize, settings: Rc<ProxySettings>, node: Arc<Node>, mut host: Host) -> Self {
        if !host.node.tracing.instrumentations.is_empty() || settings.request_debug.is_some() {
            host.http = Arc::new(NotedHttp { inner: host.http, clock: Arc::clone(&host.clock) });
        }
        let upstream = &settings.upstream;
        let pools = PoolSettings {
            per_key: upstream.pool_size,
            idle_timeout: upstream.pool_idle,
            max_requests: upstream.pool_requests,
            ..PoolSettings::default()
        };
        let client_settings = Rc::new(ClientSettings { max_head: upstream.max_head, ..ClientSettings::default() });
        let pinned = Pinned::new(node.publisher.number(), node.publisher.current());
        Worker {
            number,
            counters: node.counters.get(number).cloned().unwrap_or_default(),
            wires: gibbon_http::Worker::new(),
            connector: Connector::default(),
            client_settings,
            h2: H2Pool::new(pools.clone()),
            pool: Pool::new(pools),
            ids: RequestIds::default(),
            buffers: BufferPool::new(16 * 1024, 64),
            access_log: None,
            stream_log: None,
            tls: crate::upstream_tls::UpstreamTlsTable::default(),
            pinned: RefCell::new(Rc::new(pinned)),
            locals: RefCell::new(HashMap::new()),
            exchanges: RefCell::default(),
            heads: RefCell::default(),
            scratch: RefCell::default(),
            turn: Cell::new(number.wrapping_mul(0x9e37)),
            settings,
            node,
            host,
        }
    }

    /// The plan in force, as this worker holds it: one comparison unless it changed.
    pub fn pin(&self) -> Rc<Pinned> {
        let number = self.node.publisher.number();
        if self.pinned.borrow().number != number {
            let fresh = Rc::new(Pinned::new(number, self.node.publisher.current()));
            let old = std::mem::replace(&mut *self.pinned.borrow_mut(), fresh);
            self.tls.forget();
            drop(old);
        }
        Rc::clone(&self.pinned.borrow())
    }

    /// Runs a look-up with this worker's scratch memory.
    pub fn with_scratch<T>(&self, look_up: impl FnOnce(&mut Scratch) -> T) -> T {
        look_up(&mut self.scratch.borrow_mut())
    }

    /// A number that grows by one at each call, for taking turns.
    pub fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The balancer of an upstream; no lock unless some balancer of the node changed.
    pub async fn live(&self, upstream: &Arc<Upstream>) -> Arc<Live> {
        let generation = self.node.upstreams.generation();
        if let Some(local) = self.locals.borrow().get(&upstream.id)
            && local.generation == generation
            && local.live.upstream.content == upstream.content
        {
            return Arc::clone(&local.live);
        }
        let live = Box::pin(self.node.upstreams.ensure(upstream)).await;
        let mut locals = self.locals.borrow_mut();
        match locals.get_mut(&upstream.id) {
            Some(local) => {
                local.generation = generation;
                local.live = Arc::clone(&live);
            }
            None => {
                let state = WorkerState::new(self.next_turn() as u64);
                locals.insert(upstream.id, Local { generation, live: Arc::clone(&live), state });
            }
        }
        live
    }

    /// Lets the balancer choose with this worker's counts.
    ///
    /// # Errors
    /// When no address is available.
    pub fn pick(&self, live: &Live, attempt: &Attempt<'_>) -> Result<Pick, NoPeer> {
        match self.locals.borrow_mut().get_mut(&live.upstream.id) {
            Some(local) => live.balancer.pick(&mut local.state, &live.health, attempt),
            None => Err(NoPeer::Nobody),
        }
    }

    /// Ends a try: counts the connection off, feeds the latency of one that went well, and reports what
    /// was noticed to the passive checks.
    pub fn end_try(&self, balanced: Balanced, seconds: Option<f64>, outcome: Option<Outcome>) {
        let Balanced { live, index, lease } = balanced;
        let now_ms = self.node.upstreams.now_ms();
        if let Some(local) = self.locals.borrow_mut().get_mut(&live.upstream.id) {
            if let Some(seconds) = seconds {
                local.state.observe(&lease, seconds, now_ms);
            }
            local.state.release(lease, &live.balancer);
        }
        if let Some(outcome) = outcome {
            self.report(&live, index, outcome, now_ms);
        }
    }

    fn report(&self, live: &Live, index: gibbon_balance::AddressIndex, outcome: Outcome, now_ms: u64) {
        if !live.upstream.checks.passive.is_on() {
            return;
        }
        if let Some(change) = live.health.report(index, gibbon_balance::Source::Passive, outcome, now_ms) {
            let address = live.balancer.address(index).map(gibbon_balance::Address::socket);
            let state = if change.healthy { "healthy" } else { "unhealthy" };
            if let Some(address) = address {
                tracing::warn!("upstream '{}': target {address} is now {state} (passive)", live.upstream.name);
            }
        }
    }

    pub fn take_exchange(&self) -> Box<Exchange> {
        self.exchanges.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_back(&self, mut x: Box<Exchange>) {
        x.clear();
        let mut free = self.exchanges.borrow_mut();
        // A head far above the ordinary must not stay in memory for ever.
        if free.len() < FREE_EXCHANGES && x.request.headers.capacity() < 16 * 1024 {
            free.push(x);
        }
    }

    pub fn take_headers(&self) -> Headers {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_back_headers(&self, headers: Headers) {
        let mut free = self.heads.borrow_mut();
        if free.len() < FREE_EXCHANGES && headers.capacity() < 16 * 1024 {
            free.push(headers);
        }
    }
}
