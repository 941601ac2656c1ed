//! Walking the chain: which handlers run in a phase, and what becomes of what they say.
//!
//! `rewrite` runs the global chain. `access` collects: each step's configuration is chosen when it is
//! reached; after a reply the later handlers do not run, but are still collected. The later phases run
//! what was collected.

use gibbon_pdk::{BodyChunk, Exchange, Fault, Flow, Handler, Host, Instrumentations, Phase, Reply, Step};
use gibbon_plan::{Chain, Collected, Instance};
use smallvec::SmallVec;

use crate::body_source::BodySource;
use crate::outcalls;

/// The configurations that an exchange collected, in order.
pub type Collection = SmallVec<[Collected; 12]>;

/// How a walk ended.
#[derive(Debug)]
pub enum Walked {
    On,
    Reply(Box<Reply>),
    Fault(Box<Fault>),
}

/// Which method of a handler is meant; those that may wait.
#[derive(Clone, Copy, Debug)]
pub enum Waiting {
    Certificate,
    Rewrite,
    Access,
    Response,
    Preread,
}

impl Waiting {
    fn phase(self) -> Phase {
        match self {
            Waiting::Certificate => Phase::Certificate,
            Waiting::Rewrite => Phase::Rewrite,
            Waiting::Access => Phase::Access,
            Waiting::Response => Phase::Response,
            Waiting::Preread => Phase::Preread,
        }
    }

    /// The kind of span that a step of this phase is.
    fn instrumented(self) -> Instrumentations {
        match self {
            Waiting::Rewrite => Instrumentations::PLUGIN_REWRITE,
            Waiting::Access => Instrumentations::PLUGIN_ACCESS,
            Waiting::Certificate | Waiting::Response | Waiting::Preread => Instrumentations::NONE,
        }
    }

    fn step<'a>(self, handler: &'a dyn Handler, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        match self {
            Waiting::Certificate => handler.certificate(x, host),
            Waiting::Rewrite => handler.rewrite(x, host),
            Waiting::Access => handler.access(x, host),
            Waiting::Response => handler.response(x, host),
            Waiting::Preread => handler.preread(x, host),
        }
    }
}

/// Runs one handler until it has nothing more to ask. Few exchanges are traced; the others do not carry that around.
async fn run_step(
    which: Waiting,
    instance: &Instance,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
) -> Walked {
    if x.trace.is_watched() {
        return Box::pin(run_traced(which, instance, x, host, body)).await;
    }
    run_handler(which, instance, x, host, body).await
}

/// As a span and a part of the timing, with the calls that the handler makes.
async fn run_traced(
    which: Waiting,
    instance: &Instance,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
) -> Walked {
    enter_plugin(x, instance, host);
    let span = x.trace.start_step(which.instrumented(), which.phase(), &instance.name, &*host.clock);
    let notes = outcalls::wanted(&x.trace);
    let walked = outcalls::noting(notes.as_ref(), run_handler(which, instance, x, host, body)).await;
    outcalls::record(notes, &mut x.trace);
    x.trace.end(span, &*host.clock);
    x.trace.leave(PLUGIN_PARTS, &*host.clock);
    walked
}

/// Of a plugin's step in the timing: all plugins, those of this name, this one.
const PLUGIN_PARTS: usize = 3;

fn enter_plugin(x: &mut Exchange, instance: &Instance, host: &Host) {
    if x.trace.timing().is_some() {
        for part in ["plugins", &*instance.name, &instance.id.to_string()] {
            x.trace.enter(part, &*host.clock);
        }
    }
}

async fn run_handler(
    which: Waiting,
    instance: &Instance,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
) -> Walked {
    loop {
        let flow = match which.step(&*instance.handler, x, host) {
            Step::Now(flow) => flow,
            Step::Later(future) => future.await,
        };
        match flow {
            Flow::Next => return Walked::On,
            Flow::Reply(reply) => return Walked::Reply(reply),
            Flow::Fail(fault) => return Walked::Fault(Box::new(blame(instance, *fault))),
            Flow::ReadBody => match Box::pin(body.buffer(x)).await {
                Ok(()) => {}
                Err(fault) => return Walked::Fault(Box::new(fault)),
            },
        }
    }
}

/// Names the plugin in a fault's cause.
fn blame(instance: &Instance, fault: Fault) -> Fault {
    let cause = format!("plugin '{}' ({}): {}", instance.name, instance.id, fault.cause);
    Fault { cause: cause.into(), ..fault }
}

/// Runs the plain configurations of a chain (no identity is known yet): `rewrite`, `certificate`.
pub async fn global(
    which: Waiting,
    chain: &Chain,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
) -> Walked {
    if !chain.phases.contains(which.phase()) {
        return Walked::On;
    }
    for instance in chain.steps.iter().filter_map(|s| s.plain()).filter(|i| i.phases.contains(which.phase())) {
        match run_step(which, instance, x, host, body).await {
            Walked::On => {}
            ended => return ended,
        }
    }
    Walked::On
}

/// `access` (or `preread`): collects and runs.
pub async fn collect(
    which: Waiting,
    chain: &Chain,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
    collection: &mut Collection,
) -> Walked {
    let mut ended = Walked::On;
    for (number, step) in chain.steps.iter().enumerate() {
        let Some(collected) = step.choose(x, number as u16) else { continue };
        let Some(instance) = chain.instance(&collected).filter(|instance| instance.applies(x)) else { continue };
        if matches!(ended, Walked::On) && instance.phases.contains(which.phase()) {
            ended = run_step(which, instance, x, host, body).await;
        }
        collection.push(collected);
    }
    ended
}

/// Collects without running anything: an error came before `access`, the global chain still logs.
pub fn collect_global(chain: &Chain, x: &Exchange, collection: &mut Collection) {
    for (number, step) in chain.steps.iter().enumerate() {
        if step.plain().is_some_and(|instance| instance.applies(x)) {
            collection.push(Collected::Plain(number as u16));
        }
    }
}

/// Whether somebody collected takes part in a phase.
#[must_use]
pub fn listens(chain: &Chain, collection: &Collection, phase: Phase) -> bool {
    chain.phases.contains(phase) && participants(chain, collection, phase).next().is_some()
}

fn participants<'a>(chain: &'a Chain, collection: &'a Collection, phase: Phase) -> impl Iterator<Item = &'a Instance> {
    collection.iter().filter_map(|c| chain.instance(c)).filter(move |i| i.phases.contains(phase))
}

/// The `response` phase over a buffered answer; the first reply ends it.
pub async fn response(
    chain: &Chain,
    collection: &Collection,
    x: &mut Exchange,
    host: &Host,
    body: &mut BodySource<'_, '_>,
) -> Walked {
    for instance in participants(chain, collection, Phase::Response) {
        match run_step(Waiting::Response, instance, x, host, body).await {
            Walked::On => {}
            ended => return ended,
        }
    }
    Walked::On
}

pub fn header_filter(chain: &Chain, collection: &Collection, x: &mut Exchange, host: &Host) {
    x.trace.enter("header_filter", &*host.clock);
    if chain.phases.contains(Phase::HeaderFilter) {
        if x.trace.is_on() {
            x.trace.times.header_filter_start = host.clock.monotonic_ns();
        }
        for instance in participants(chain, collection, Phase::HeaderFilter) {
            let kind = Instrumentations::PLUGIN_HEADER_FILTER;
            let span = x.trace.start_step(kind, Phase::HeaderFilter, &instance.name, &*host.clock);
            timed(instance, x, host, |x| instance.handler.header_filter(x, host));
            x.trace.end(span, &*host.clock);
        }
        if x.trace.is_on() {
            x.trace.times.header_filter_end = host.clock.monotonic_ns();
        }
    }
    x.trace.leave(1, &*host.clock);
}

pub fn body_filter(chain: &Chain, collection: &Collection, x: &mut Exchange, chunk: &mut BodyChunk, host: &Host) {
    x.trace.enter("body_filter", &*host.clock);
    for instance in participants(chain, collection, Phase::BodyFilter) {
        timed(instance, x, host, |x| instance.handler.body_filter(x, chunk, host));
    }
    x.trace.leave(1, &*host.clock);
}

/// Runs a step that cannot wait, as a part of the timing.
fn timed(instance: &Instance, x: &mut Exchange, host: &Host, step: impl FnOnce(&mut Exchange)) {
    if !x.trace.is_watched() {
        return step(x);
    }
    enter_plugin(x, instance, host);
    step(x);
    x.trace.leave(PLUGIN_PARTS, &*host.clock);
}

pub fn log(chain: &Chain, collection: &Collection, x: &mut Exchange, host: &Host) {
    x.trace.enter("log", &*host.clock);
    if chain.phases.contains(Phase::Log) {
        for instance in participants(chain, collection, Phase::Log) {
            timed(instance, x, host, |x| instance.handler.log(x, host));
        }
    }
    x.trace.leave(1, &*host.clock);
}
