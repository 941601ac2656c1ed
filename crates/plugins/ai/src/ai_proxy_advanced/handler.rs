//! Asks who may ask, and puts the tries over the pool into the exchange.

use std::sync::Arc;
use std::time::Duration;

use gibbon_pdk::{Build, BuildError, Exchange, Fault, Flow, Handler, Host, Step, Timeouts};

use super::config::{Acls, Algorithm, Balancer, Config, Criterion, Rule};
use super::pool::{Pool, Running};
use crate::attempts::{Choose, Failing};
use crate::call::Call;
use crate::config::Clients;
use crate::entrance::Entrance;
use crate::incoming::{Incoming, Refusal};
use crate::matching::{Asked, is_one_of};
use crate::models;
use crate::target::Target;
use crate::telemetry;

/// The plugin with one configuration.
pub struct AiProxyAdvanced {
    pool: Arc<Pool>,
    rules: Arc<Balancer>,
    acls: Option<Acls>,
    entrance: Entrance,
}

/// Which member of the pool a call runs at.
#[derive(Debug)]
struct Place {
    number: usize,
    _running: Option<Running>,
}

impl AiProxyAdvanced {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(config: &Config, clients: &Clients, build: &Build<'_>) -> Result<Self, BuildError> {
        let name = super::PART.name;
        let refused = |cause: &str| Err(BuildError { plugin: name.to_owned(), cause: cause.to_owned() });
        if config.balancer.algorithm == Algorithm::Semantic {
            return refused("the algorithm 'semantic' is not available");
        }
        let targets = config.targets.iter().map(|t| Target::new(name, t, build).map(Arc::new));
        let targets: Vec<Arc<Target>> = targets.collect::<Result<_, _>>()?;
        let types: Vec<&str> = targets.iter().map(|t| t.route_type.as_str()).collect();
        let Some(first) = targets.first() else { return refused("there must be a target") };
        let entrance = Entrance::new(name, clients, first, false, build)?;
        if types.windows(2).any(|pair| matches!(pair, [a, b] if a != b)) {
            return refused("all targets must have the same route_type");
        }
        Ok(AiProxyAdvanced {
            pool: Arc::new(Pool::new(targets, &config.balancer)),
            rules: Arc::new(config.balancer.clone()),
            acls: config.acls.clone(),
            entrance,
        })
    }

    fn take(&self, x: &mut Exchange) -> Flow {
        let listed = self.pool.targets().filter(|target| self.allows(x, target, target.alias.as_deref()));
        let listed: Vec<Arc<Target>> = if models::are_asked_for(x) { listed.cloned().collect() } else { Vec::new() };
        if let Some(flow) = self.entrance.before_body(x, listed.iter()) {
            return flow;
        }
        let Some(first) = self.pool.target(0) else { return Fault::internal("no target").into() };
        self.entrance.take(x, first, |x, incoming| {
            Ok(Box::new(Choice {
                eligible: self.eligible(x, incoming)?,
                pool: Arc::clone(&self.pool),
                rules: Arc::clone(&self.rules),
                tried: Vec::new(),
                current: None,
                left: self.rules.retries,
                hash: self.hash(x),
                repeatable: x.request.method.is_idempotent(),
            }))
        })
    }

    /// The targets that this client may be led to: those of the alias it names, and of what the rules allow.
    fn eligible(&self, x: &Exchange, incoming: &Incoming) -> Result<Vec<usize>, Refusal> {
        let targets: Vec<&Arc<Target>> = self.pool.targets().collect();
        let asked = incoming.model.as_deref();
        let named = |target: &Target| asked.is_some() && target.alias.as_deref() == asked;
        let aliased = targets.iter().any(|t| t.alias.is_some());
        let found: Vec<usize> = match asked {
            Some(name) if aliased => {
                let found: Vec<usize> = targets.iter().enumerate().filter(|(_, t)| named(t)).map(|(n, _)| n).collect();
                if found.is_empty() {
                    return Err(Refusal::new(400, format!("model '{name}' is not available")));
                }
                found
            }
            _ => (0..targets.len()).collect(),
        };
        let allows = |n: &usize| targets.get(*n).is_some_and(|target| self.allows(x, target, asked));
        let allowed: Vec<usize> = found.into_iter().filter(allows).collect();
        if allowed.is_empty() {
            return Err(Refusal::new(403, "you are not allowed to use this model"));
        }
        Ok(allowed)
    }

    /// Whether the rules allow this client the target, by the name it asks for or the target's own.
    fn allows(&self, x: &Exchange, target: &Target, asked: Option<&str>) -> bool {
        let Some(acls) = &self.acls else { return true };
        let model = target.model.as_ref().and_then(|m| m.fill(x).ok());
        permits(acls, &Asked { x, model: asked.or(model.as_deref()), provider: Some(target.provider()) })
    }

    fn hash(&self, x: &Exchange) -> Vec<u8> {
        if self.rules.algorithm != Algorithm::ConsistentHashing {
            return Vec::new();
        }
        let header = x.request.headers.get(&self.rules.hash_on_header);
        header.map_or_else(|| x.id.hex().to_vec(), <[u8]>::to_vec)
    }
}

fn permits(acls: &Acls, asked: &Asked<'_>) -> bool {
    let holds = |rule: &Rule| rule.r#match.iter().all(|c| is_one_of(asked, c.r#type, c.key.as_deref(), &c.values));
    let denied = acls.deny.as_ref().is_some_and(|rules| rules.iter().any(holds));
    !denied && acls.allow.as_ref().is_none_or(|rules| rules.iter().any(holds))
}

impl Handler for AiProxyAdvanced {
    fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        self.take(x).into()
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        if let (Some(place), Some(call)) = (x.slots.get::<Place>(), x.slots.get::<Call>())
            && call.answered
            && x.upstream_status < 400
        {
            let now = host.clock.monotonic_ns();
            match call.seen.failure {
                None => self.pool.ended(place.number, call, now),
                Some(_) => self.pool.failed(place.number, None, now),
            }
        }
        x.slots.take::<Place>();
        telemetry::log(x, telemetry::PROXY);
    }
}

/// The choices of one call.
#[derive(Debug)]
struct Choice {
    pool: Arc<Pool>,
    rules: Arc<Balancer>,
    eligible: Vec<usize>,
    tried: Vec<usize>,
    current: Option<usize>,
    left: u16,
    hash: Vec<u8>,
    /// The method may be repeated, whatever the provider saw.
    repeatable: bool,
}

impl Choice {
    fn has(&self, criterion: Criterion) -> bool {
        self.rules.failover_criteria.contains(&criterion)
    }
}

impl Choose for Choice {
    fn next(&mut self, x: &mut Exchange, host: &Host) -> Result<Arc<Target>, Refusal> {
        let now = host.clock.monotonic_ns();
        let chosen = self.pool.choose(&self.eligible, &self.tried, &self.hash, now);
        let found = chosen.and_then(|number| Some((number, Arc::clone(self.pool.target(number)?))));
        let Some((number, target)) = found else {
            return Err(Refusal::new(500, "all targets are unavailable"));
        };
        if self.eligible.iter().all(|n| self.tried.contains(n)) {
            self.tried.clear();
        }
        self.tried.push(number);
        self.current = Some(number);
        x.slots.set(Place { number, _running: self.pool.begin(number) });
        Ok(target)
    }

    fn may_follow(&self, failing: Failing, sent: bool) -> bool {
        let listed = match failing {
            Failing::Error => self.has(Criterion::Error),
            Failing::Timeout => self.has(Criterion::Timeout),
            Failing::InvalidHeader => self.has(Criterion::InvalidHeader),
            Failing::Status(status) => Criterion::of_status(status).is_some_and(|c| self.has(c)),
        };
        self.left > 0 && listed && (!sent || self.repeatable || self.has(Criterion::NonIdempotent))
    }

    fn failed(&mut self, failing: Failing, rest: Option<u64>, host: &Host) {
        self.left = self.left.saturating_sub(1);
        let counts = match failing {
            Failing::Status(403 | 404) => false,
            Failing::Status(status) => Criterion::of_status(status).is_some_and(|c| self.has(c)),
            _ => true,
        };
        if let Some(number) = self.current.filter(|_| counts || rest.is_some()) {
            self.pool.failed(number, rest, host.clock.monotonic_ns());
        }
    }

    fn pass_over(&mut self) -> bool {
        self.eligible.iter().any(|n| !self.tried.contains(n))
    }

    fn timeouts(&self) -> Option<Timeouts> {
        let ms = |n: u32| Duration::from_millis(n.into());
        Some(Timeouts {
            connect: ms(self.rules.connect_timeout),
            write: ms(self.rules.write_timeout),
            read: ms(self.rules.read_timeout),
        })
    }
}
