//! The chain of a route: which plugins run, in what order, with which of their configurations.
//!
//! A chain is compiled once for a pair of route and service. A step stands for one plugin name; which
//! configuration of it runs is decided when the step is reached, since an authentication plugin above
//! may have set the consumer. The most specific of twelve scopes wins ([`rank`]).

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_pdk::{Exchange, Handler, Phases, Protocols, Route};
use gibbon_router::Subsystem;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::condition::Condition;
use crate::entity;

/// What a plugin entity is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Binding {
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub group: Option<Uuid>,
}

/// Specificity of a binding, 1 (most specific) to 12 (global). A binding to both a consumer and a
/// group does not exist; the consumer would count.
#[must_use]
pub fn rank(binding: &Binding) -> u8 {
    let (consumer, group) = (binding.consumer.is_some(), binding.group.is_some());
    match (consumer, group, binding.route.is_some(), binding.service.is_some()) {
        (true, _, true, true) => 1,
        (_, true, true, true) => 2,
        (true, _, true, false) => 3,
        (true, _, false, true) => 4,
        (_, true, true, false) => 5,
        (_, true, false, true) => 6,
        (false, false, true, true) => 7,
        (true, _, false, false) => 8,
        (_, true, false, false) => 9,
        (false, false, true, false) => 10,
        (false, false, false, true) => 11,
        (false, false, false, false) => 12,
    }
}

/// Where a chain stands, which bounds what may be part of it, before any binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub subsystem: Subsystem,
    pub workspace: Uuid,
}

impl Place {
    /// Where the chain of a route stands.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        Place { subsystem: entity::subsystem(route.protocols), workspace: route.workspace }
    }

    /// Where a request stands that no route was found for: in the default workspace, as in Kong.
    #[must_use]
    pub fn without_route() -> Self {
        let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
        Place { subsystem: Subsystem::Http, workspace }
    }
}

/// One configuration of one plugin, ready to run.
pub struct Instance {
    pub id: Uuid,
    pub name: Arc<str>,
    pub priority: i64,
    pub phases: Phases,
    pub protocols: Protocols,
    pub binding: Binding,
    pub workspace: Uuid,
    pub handler: Arc<dyn Handler>,
    /// Names of plugins of the access phase that this configuration runs before and after.
    pub before: Box<[Box<str>]>,
    pub after: Box<[Box<str>]>,
    /// Must hold of a request for it to run; asked when it is reached.
    pub condition: Option<Condition>,
    /// Hash of the plugin entity: equal content keeps its handler across plans.
    pub content: u64,
}

impl Instance {
    /// Whether it may run there at all: it is of the same workspace, and one of its protocols is of the subsystem.
    /// Which of them a request speaks does not count, as in Kong.
    #[must_use]
    pub fn runs_in(&self, place: Place) -> bool {
        let own = match place.subsystem {
            Subsystem::Http => entity::HTTP,
            Subsystem::Stream => entity::STREAM,
        };
        self.workspace == place.workspace && self.protocols.intersects(own)
    }

    /// Whether its condition, if it has one, holds of an exchange.
    #[must_use]
    pub fn applies(&self, x: &Exchange) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(x))
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}, {:?})", self.name, self.id, self.binding)
    }
}

/// Configurations bound to consumers and groups, best rank first to be found.
#[derive(Default, Debug)]
struct ByIdentity {
    consumers: HashMap<Uuid, (u8, Arc<Instance>)>,
    groups: HashMap<Uuid, (u8, Arc<Instance>)>,
}

/// All configurations of one plugin name that can apply on a chain.
#[derive(Debug)]
pub struct Step {
    pub name: Arc<str>,
    pub priority: i64,
    /// The most specific configuration without consumer or group.
    plain: Option<(u8, Arc<Instance>)>,
    by_identity: Option<Box<ByIdentity>>,
}

/// Which configuration of a step an exchange collected.
#[derive(Clone, Debug)]
pub enum Collected {
    /// The step's plain one: found again by the step's number, no reference count touched.
    Plain(u16),
    /// One chosen by identity.
    Chosen(Arc<Instance>),
}

impl Step {
    fn new(name: Arc<str>, priority: i64) -> Self {
        Step { name, priority, plain: None, by_identity: None }
    }

    fn add(&mut self, instance: &Arc<Instance>) {
        let rank = rank(&instance.binding);
        let candidate = (rank, Arc::clone(instance));
        match (instance.binding.consumer, instance.binding.group) {
            (None, None) => keep_better(&mut self.plain, candidate),
            (Some(consumer), _) => {
                let table = &mut self.by_identity.get_or_insert_default().consumers;
                keep_better_in(table, consumer, candidate);
            }
            (None, Some(group)) => {
                let table = &mut self.by_identity.get_or_insert_default().groups;
                keep_better_in(table, group, candidate);
            }
        }
    }

    /// The configuration that applies to this exchange as it stands now.
    pub fn choose(&self, x: &Exchange, number: u16) -> Option<Collected> {
        match &self.by_identity {
            None => self.plain.as_ref().map(|_| Collected::Plain(number)),
            Some(table) => self.choose_by_identity(table, x, number),
        }
    }

    fn choose_by_identity(&self, table: &ByIdentity, x: &Exchange, number: u16) -> Option<Collected> {
        let mut best = self.plain.as_ref().map(|(rank, _)| (*rank, Collected::Plain(number)));
        let mut offer = |candidate: Option<&(u8, Arc<Instance>)>| {
            if let Some((rank, instance)) = candidate
                && best.as_ref().is_none_or(|(r, _)| rank < r)
            {
                best = Some((*rank, Collected::Chosen(Arc::clone(instance))));
            }
        };
        if let Some(consumer) = &x.consumer {
            offer(table.consumers.get(&consumer.id));
        }
        // Groups come by name and only a strictly better rank replaces: the first by name wins.
        for group in x.consumer_groups.iter().flat_map(|groups| groups.iter()) {
            offer(table.groups.get(&group.id));
        }
        best.map(|(_, collected)| collected)
    }

    #[must_use]
    pub fn plain(&self) -> Option<&Arc<Instance>> {
        self.plain.as_ref().map(|(_, instance)| instance)
    }

    fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let identity = self.by_identity.iter().flat_map(|t| t.consumers.values().chain(t.groups.values()));
        self.plain.iter().chain(identity).map(|(_, instance)| instance)
    }
}

fn keep_better(slot: &mut Option<(u8, Arc<Instance>)>, candidate: (u8, Arc<Instance>)) {
    if slot.as_ref().is_none_or(|kept| is_better(&candidate, kept)) {
        *slot = Some(candidate);
    }
}

/// The more specific one; of equals, which the schema does not let in, the smaller id, so that all nodes agree.
fn is_better(candidate: &(u8, Arc<Instance>), kept: &(u8, Arc<Instance>)) -> bool {
    (candidate.0, candidate.1.id) < (kept.0, kept.1.id)
}

fn keep_better_in(table: &mut HashMap<Uuid, (u8, Arc<Instance>)>, key: Uuid, candidate: (u8, Arc<Instance>)) {
    let better = table.get(&key).is_none_or(|kept| is_better(&candidate, kept));
    if better {
        table.insert(key, candidate);
    }
}

/// An ordered list of steps.
#[derive(Debug, Default)]
pub struct Chain {
    pub steps: Vec<Step>,
    /// Union of the phases of all configurations: a phase absent here costs nothing.
    pub phases: Phases,
    /// How many of its steps trace: 0 records nothing for tracing.
    pub tracers: u8,
}

impl Chain {
    /// Compiles the configurations that can apply (bindings without route and service, or with the
    /// chain's own) into an ordered chain.
    #[must_use]
    pub fn compile<'a>(instances: impl IntoIterator<Item = &'a Arc<Instance>>) -> Chain {
        let mut by_name: HashMap<Arc<str>, Step> = HashMap::new();
        for instance in instances {
            by_name
                .entry(Arc::clone(&instance.name))
                .or_insert_with(|| Step::new(Arc::clone(&instance.name), instance.priority))
                .add(instance);
        }
        let mut steps: Vec<Step> = by_name.into_values().collect();
        steps.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(&a.name)));
        apply_ordering(&mut steps);
        let phases = steps.iter().flat_map(Step::instances).fold(Phases::NONE, |all, i| all.union(i.phases));
        let tracers = steps.iter().filter(|step| step.instances().any(|i| i.handler.traces())).count();
        Chain { steps, phases, tracers: tracers.min(usize::from(u8::MAX - 1)) as u8 }
    }

    /// The instance that was collected.
    #[must_use]
    pub fn instance<'a>(&'a self, collected: &'a Collected) -> Option<&'a Instance> {
        match collected {
            Collected::Plain(number) => self.steps.get(*number as usize)?.plain().map(|i| &**i),
            Collected::Chosen(instance) => Some(instance),
        }
    }
}

/// Moves steps so that `ordering.before` and `after` hold; a cycle leaves the priority order.
fn apply_ordering(steps: &mut Vec<Step>) {
    let wishes: Vec<(Arc<str>, Arc<str>)> = steps.iter().flat_map(wishes_of).collect();
    if wishes.is_empty() {
        return;
    }
    let mut rest: Vec<Step> = std::mem::take(steps);
    while !rest.is_empty() {
        let names: SmallVec<[Arc<str>; 16]> = rest.iter().map(|s| Arc::clone(&s.name)).collect();
        let is_free = |name: &Arc<str>| !wishes.iter().any(|(first, second)| second == name && names.contains(first));
        let next = rest.iter().position(|step| is_free(&step.name)).unwrap_or(0);
        steps.push(rest.remove(next));
    }
}

/// Pairs `(first, second)` that a step asks for.
fn wishes_of(step: &Step) -> Vec<(Arc<str>, Arc<str>)> {
    let me = &step.name;
    step.instances()
        .flat_map(|i| {
            let before = i.before.iter().map(|other| (Arc::clone(me), Arc::from(&**other)));
            let after = i.after.iter().map(|other| (Arc::from(&**other), Arc::clone(me)));
            before.chain(after).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use gibbon_pdk::{Consumer, ConsumerGroup, Phase};

    struct Nothing;
    impl Handler for Nothing {}

    fn uuid(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn instance(id: u8, name: &str, priority: i64, binding: Binding) -> Arc<Instance> {
        Arc::new(Instance {
            id: uuid(id),
            name: name.into(),
            priority,
            phases: Phases::of(&[Phase::Access]),
            protocols: Protocols::default(),
            binding,
            workspace: Uuid::nil(),
            handler: Arc::new(Nothing),
            before: Box::default(),
            after: Box::default(),
            condition: None,
            content: 0,
        })
    }

    fn bound(route: u8, service: u8, consumer: u8, group: u8) -> Binding {
        let some = |n: u8| (n > 0).then(|| uuid(n));
        Binding { route: some(route), service: some(service), consumer: some(consumer), group: some(group) }
    }

    fn chosen(chain: &Chain, x: &Exchange) -> Option<Uuid> {
        let collected = chain.steps[0].choose(x, 0)?;
        chain.instance(&collected).map(|i| i.id)
    }

    fn exchange(consumer: Option<u8>, groups: &[u8]) -> Exchange {
        let consumer = consumer.map(|n| {
            Arc::new(Consumer {
                id: uuid(n),
                username: None,
                custom_id: None,
                tags: Default::default(),
                created_at: 0,
                updated_at: 0,
            })
        });
        let groups: Vec<_> =
            groups.iter().map(|n| Arc::new(ConsumerGroup { id: uuid(*n), name: n.to_string().into() })).collect();
        Exchange { consumer, consumer_groups: (!groups.is_empty()).then(|| groups.into()), ..Exchange::default() }
    }

    #[test]
    fn the_twelve_scopes_win_in_their_order() {
        // Given one configuration per scope, ids by rank.
        let bindings = [
            bound(1, 2, 3, 0),
            bound(1, 2, 0, 4),
            bound(1, 0, 3, 0),
            bound(0, 2, 3, 0),
            bound(1, 0, 0, 4),
            bound(0, 2, 0, 4),
            bound(1, 2, 0, 0),
            bound(0, 0, 3, 0),
            bound(0, 0, 0, 4),
            bound(1, 0, 0, 0),
            bound(0, 2, 0, 0),
            bound(0, 0, 0, 0),
        ];
        let all: Vec<_> = bindings.iter().zip(1..).map(|(b, id)| instance(id, "p", 1, *b)).collect();
        let x = exchange(Some(3), &[4]);
        // When the most specific ones are taken away one by one, then the next one wins.
        for first in 0..all.len() {
            let chain = Chain::compile(&all[first..]);
            assert_eq!(chosen(&chain, &x), Some(uuid(first as u8 + 1)));
        }
    }

    #[test]
    fn of_several_groups_the_first_by_name_wins() {
        let all = [instance(1, "p", 1, bound(0, 0, 0, 8)), instance(2, "p", 1, bound(0, 0, 0, 7))];
        assert_eq!(chosen(&Chain::compile(&all), &exchange(Some(3), &[7, 8])), Some(uuid(2)));
    }

    #[test]
    fn a_configuration_of_another_consumer_does_not_run() {
        let all = [instance(1, "p", 1, bound(0, 0, 9, 0))];
        assert_eq!(chosen(&Chain::compile(&all), &exchange(Some(3), &[])), None);
    }

    #[test]
    fn steps_go_by_priority_then_by_name_descending() {
        let all = [
            instance(1, "a", 10, Binding::default()),
            instance(2, "b", 10, Binding::default()),
            instance(3, "c", 20, Binding::default()),
        ];
        let names: Vec<_> = Chain::compile(&all).steps.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }

    #[test]
    fn ordering_moves_a_plugin_and_a_cycle_does_not_hang() {
        let mut late = instance(1, "late", 1, Binding::default());
        Arc::get_mut(&mut late).unwrap().before = Box::new(["early".into()]);
        let mut early = instance(2, "early", 9, Binding::default());
        let names =
            |all: &[Arc<Instance>]| Chain::compile(all).steps.iter().map(|s| s.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&[late.clone(), early.clone()]), ["late", "early"]);
        Arc::get_mut(&mut early).unwrap().before = Box::new(["late".into()]);
        assert_eq!(names(&[late, early]).len(), 2);
    }
}
