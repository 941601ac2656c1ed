//! The balancers in force, once per node: built from the plan's upstreams and what their names resolve
//! to, rebuilt when either changes. Health and counters behind them outlive every rebuild.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gibbon_balance::{Balancer, BalancerSpec, HealthRegistry, HealthView, Resolution, expand};
use gibbon_pdk::Clock;
use gibbon_plan::{Plan, Upstream};
use uuid::Uuid;

use crate::names::Names;

/// A balancer with what it was built from.
pub struct Live {
    pub upstream: Arc<Upstream>,
    pub balancer: Balancer,
    pub health: HealthView,
    /// When a name must be resolved again, in milliseconds of the node's monotonic clock.
    pub stale_at_ms: Option<u64>,
    /// The resolutions it stands on, to see whether a new answer changes anything.
    resolutions: Vec<Resolution>,
}

/// All balancers of a node.
pub struct Upstreams {
    pub names: Arc<Names>,
    pub clock: Arc<dyn Clock>,
    health: HealthRegistry,
    table: Mutex<HashMap<Uuid, Arc<Live>>>,
    /// Changes with every entry that is replaced: workers compare it before they look.
    generation: AtomicU64,
}

impl Upstreams {
    #[must_use]
    pub fn new(names: Arc<Names>, clock: Arc<dyn Clock>) -> Self {
        Upstreams {
            names,
            clock,
            health: HealthRegistry::new(),
            table: Mutex::default(),
            generation: AtomicU64::new(1),
        }
    }

    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Milliseconds of the node's monotonic clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.monotonic_ns() / 1_000_000
    }

    /// The balancer of an upstream, if one stands that was built from this very upstream.
    #[must_use]
    pub fn current(&self, upstream: &Upstream) -> Option<Arc<Live>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(&upstream.id).filter(|live| live.upstream.content == upstream.content).cloned()
    }

    #[must_use]
    pub fn by_id(&self, id: Uuid) -> Option<Arc<Live>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The balancer of an upstream, built now if need be; waits for the DNS only where targets have names.
    pub async fn ensure(&self, upstream: &Arc<Upstream>) -> Arc<Live> {
        match self.current(upstream) {
            Some(live) => live,
            None => self.rebuild(upstream).await,
        }
    }

    /// Resolves and builds anew; keeps the entry that stands if nothing changed.
    pub async fn rebuild(&self, upstream: &Arc<Upstream>) -> Arc<Live> {
        let mut resolutions = Vec::with_capacity(upstream.targets.len());
        let mut ttl_ms: Option<u64> = None;
        for target in upstream.targets.iter() {
            let (resolution, ttl) = self.resolve(target).await;
            ttl_ms = [ttl_ms, ttl].into_iter().flatten().min();
            resolutions.push(resolution);
        }
        // An answer from the hosts file never ages: its time to live is the largest there is.
        let stale_at_ms = ttl_ms.map(|ttl| self.now_ms().saturating_add(ttl.max(1000)));
        self.install(upstream, resolutions, stale_at_ms)
    }

    async fn resolve(&self, target: &gibbon_plan::Target) -> (Resolution, Option<u64>) {
        if target.spec.literal().is_some() {
            return (Resolution::Unknown, None);
        }
        let (resolution, ttl) = self.names.resolution(&target.spec.host).await;
        (resolution, Some(ttl))
    }

    fn install(&self, upstream: &Arc<Upstream>, resolutions: Vec<Resolution>, stale_at_ms: Option<u64>) -> Arc<Live> {
        let specs: Vec<_> = upstream.targets.iter().map(|t| t.spec.clone()).collect();
        let (targets, addresses) = expand(&specs, &resolutions, upstream.use_srv_name);
        let spec = BalancerSpec { algorithm: upstream.algorithm, slots: upstream.slots, targets, addresses };
        let balancer = Balancer::new(spec);
        let health = self.health.attach(&upstream.id_text, &balancer, upstream.checks.clone(), self.now_ms());
        let live = Arc::new(Live { upstream: Arc::clone(upstream), balancer, health, stale_at_ms, resolutions });
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let old = table.insert(upstream.id, Arc::clone(&live));
        drop(table);
        self.generation.fetch_add(1, Ordering::Release);
        drop(old);
        live
    }

    /// Builds the balancers of a plan and forgets those it no longer has.
    pub async fn follow(&self, plan: &Plan) {
        let mut named = HashSet::new();
        for upstream in plan.upstreams() {
            named.insert(upstream.id);
            self.ensure(upstream).await;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let before = table.len();
        table.retain(|id, _| named.contains(id));
        let changed = table.len() != before;
        drop(table);
        self.health.sweep(self.now_ms());
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Every balancer, for probes, reports and refreshes.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Live>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Resolves again what is due. Run it every second on the control runtime.
    pub async fn refresh(&self) {
        let now = self.now_ms();
        for live in self.all() {
            if live.stale_at_ms.is_some_and(|at| at <= now) {
                self.refresh_one(&live).await;
            }
        }
    }

    async fn refresh_one(&self, live: &Arc<Live>) {
        let upstream = &live.upstream;
        let mut resolutions = Vec::with_capacity(upstream.targets.len());
        let mut ttl_ms: Option<u64> = None;
        for (target, before) in upstream.targets.iter().zip(&live.resolutions) {
            let (resolution, ttl) = self.resolve(target).await;
            ttl_ms = [ttl_ms, ttl].into_iter().flatten().min();
            // A failed refresh keeps the addresses that were known: better an old address than none.
            resolutions.push(match (resolution, before) {
                (Resolution::Failed(_), Resolution::Records(..)) => before.clone(),
                (new, _) => new,
            });
        }
        let stale_at_ms = ttl_ms.map(|ttl| self.now_ms().saturating_add(ttl.max(1000)));
        self.install(upstream, resolutions, stale_at_ms);
    }
}

/// The balancer of an upstream of the plan in force, built now if need be; nothing if the plan has none with that id.
pub async fn live_of(node: &crate::node::Node, id: Uuid) -> Option<Arc<Live>> {
    let plan = node.publisher.current();
    let upstream = Arc::clone(plan.upstreams().find(|upstream| upstream.id == id)?);
    Some(node.upstreams.ensure(&upstream).await)
}
