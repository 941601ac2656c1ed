//! A configuration of a Lua plugin as the engine sees it: one method per phase, each a coroutine.

use std::sync::Arc;

use bytes::Bytes;
use gibbon_pdk::{BodyChunk, Exchange, Flow, Handler, Host, Phase, Phases, Step};
use serde_json::Value;
use uuid::Uuid;

use crate::code::Code;
use crate::machine::Machine;
use crate::run::{Progress, Run, failed};
use crate::shared::Shared;

/// A configuration of a Lua plugin.
pub struct LuaHandler {
    pub shared: Arc<Shared>,
    pub code: Arc<Code>,
    /// Its own among all that this process ever made.
    pub number: u64,
    pub plugin_id: Uuid,
    pub config: Arc<Value>,
    /// Phases for which this configuration has nothing to run.
    pub idle: Phases,
    pub alive: Arc<()>,
}

/// A coroutine that waits for the request body.
struct Suspended(Run);

/// An answer whose body filter failed: nothing more of it leaves.
struct Spoiled;

impl LuaHandler {
    /// `None` if the phase is over.
    fn begin(&self, phase: Phase, x: &mut Exchange, host: &Host) -> Result<Option<(Run, Progress)>, String> {
        let text = |error: mlua::Error| crate::machine::describe(&error);
        let machine = Machine::here(&self.shared, host).map_err(text)?;
        machine.configure();
        let instance = machine.instance(self).map_err(text)?;
        Run::begin(&machine, &instance, phase, x)
    }

    /// A phase that may wait.
    fn run<'a>(&'a self, phase: Phase, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let begun = match x.slots.take::<Suspended>() {
            Some(Suspended(mut run)) => {
                run.body_is_read();
                run.advance(x).map(|progress| Some((run, progress)))
            }
            None => self.begin(phase, x, host),
        };
        match begun {
            Ok(None) => Step::NEXT,
            Ok(Some((run, Progress::Done(flow)))) => Step::Now(settle(flow, run, x)),
            Ok(Some((mut run, Progress::Waiting))) => Step::Later(Box::pin(async move {
                match run.finish(x).await {
                    Ok(flow) => settle(flow, run, x),
                    Err(error) => failed(phase.name(), &error),
                }
            })),
            Err(error) => Step::Now(failed(phase.name(), &error)),
        }
    }

    /// A phase that cannot wait; an error of it is logged here.
    fn run_now(&self, phase: Phase, x: &mut Exchange, host: &Host) -> Result<(), ()> {
        self.begin(phase, x, host).map(|_| ()).map_err(|error| {
            let (name, id) = (&self.code.name, self.plugin_id);
            tracing::error!(request_id = %x.id, "plugin '{name}' ({id}): {}: {error}", phase.name());
        })
    }
}

/// Keeps a coroutine that asked for the body, and puts what a plugin printed in the answer's place.
fn settle(flow: Flow, run: Run, x: &mut Exchange) -> Flow {
    match flow {
        Flow::ReadBody => {
            x.slots.set(Suspended(run));
            Flow::ReadBody
        }
        other => other,
    }
}

impl Handler for LuaHandler {
    fn idle_phases(&self) -> Phases {
        self.idle
    }

    fn certificate<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.run(Phase::Certificate, x, host)
    }

    fn rewrite<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.run(Phase::Rewrite, x, host)
    }

    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.run(Phase::Access, x, host)
    }

    fn preread<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.run(Phase::Preread, x, host)
    }

    fn response<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.run(Phase::Response, x, host)
    }

    /// A filter that fails must not let through what it was there to change: the client gets an error instead.
    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        if self.run_now(Phase::HeaderFilter, x, host).is_err() {
            let id = x.id;
            x.response.status = 500;
            x.response.headers.clear();
            x.response.headers.append("Content-Type", "application/json; charset=utf-8");
            let body = serde_json::json!({ "message": "An unexpected error occurred", "request_id": id.to_string() });
            x.replacement_body = Some(Bytes::from(body.to_string()));
        }
    }

    fn body_filter(&self, x: &mut Exchange, chunk: &mut BodyChunk, host: &Host) {
        if x.slots.get::<Spoiled>().is_some() {
            chunk.data.clear();
            return;
        }
        x.slots.set(Chunk { data: std::mem::take(&mut chunk.data), last: chunk.last });
        let outcome = self.run_now(Phase::BodyFilter, x, host);
        chunk.data = x.slots.take::<Chunk>().map(|chunk| chunk.data).unwrap_or_default();
        if outcome.is_err() {
            chunk.data.clear();
            x.slots.set(Spoiled);
        }
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        let _ = self.run_now(Phase::Log, x, host);
    }
}

/// The piece of the body that a filter looks at.
#[derive(Default)]
pub struct Chunk {
    pub data: Vec<u8>,
    pub last: bool,
}

impl Drop for LuaHandler {
    /// Plugins are told that a configuration went.
    fn drop(&mut self) {
        self.alive = Arc::new(());
        self.shared.changed();
    }
}
