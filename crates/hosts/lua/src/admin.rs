//! The paths that plugins add to the Admin API (`api.lua`). They run on a thread of their own, with a machine like a
//! worker's, so that an administrator's list of a million entities holds no request up.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use gibbon_message::Method;
use gibbon_pdk::{AdminAnswer, AdminCall, AdminPaths, AdminRoot, Exchange, Flow, Host, Reply, ReplyBody, SendFuture};
use mlua::{Function, MultiValue, Table, Value};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use crate::json::{self, Nulls};
use crate::machine::{Machine, describe, set_worker};
use crate::prelude;
use crate::run::{Frame, Progress, Run};
use crate::shared::Shared;

/// Calls that may wait for the thread.
const WAITING: usize = 256;

struct Job {
    first: String,
    call: AdminCall,
    answer: oneshot::Sender<Option<AdminAnswer>>,
}

/// What answers below one first segment.
struct Below {
    first: String,
    jobs: mpsc::Sender<Job>,
}

impl AdminPaths for Below {
    fn answer(&self, call: AdminCall) -> SendFuture<'_, Option<AdminAnswer>> {
        Box::pin(async move {
            let (answer, waiting) = oneshot::channel();
            let job = Job { first: self.first.clone(), call, answer };
            self.jobs.send(job).await.ok()?;
            waiting.await.ok()?
        })
    }
}

/// Gives a worker's ports to the thread, on it.
pub type MakeHost = Arc<dyn Fn() -> Host + Send + Sync>;

/// Starts the thread for these plugins, and says what answers below which first segment.
///
/// # Errors
/// An `api.lua` that does not load, or a thread that cannot be made.
pub fn start(shared: &Arc<Shared>, plugins: Vec<Arc<str>>, host: MakeHost) -> Result<Vec<AdminRoot>, String> {
    let (jobs, queue) = mpsc::channel(WAITING);
    let (told, ready) = std::sync::mpsc::channel();
    let shared = Arc::clone(shared);
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(told.send(Err(error.to_string()))),
        };
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let host = host();
            set_worker(host.node.worker_count);
            match Machine::here(&shared, &host).and_then(|machine| Ok((load(&machine, &plugins)?, machine))) {
                Ok((firsts, machine)) => {
                    let _ = told.send(Ok(firsts));
                    serve(machine, queue).await;
                }
                Err(error) => drop(told.send(Err(describe(&error)))),
            }
        });
    };
    std::thread::Builder::new().name("lua-admin".to_owned()).spawn(run).map_err(|error| error.to_string())?;
    let firsts = ready.recv().map_err(|error| error.to_string())??;
    let root = |first: String| -> AdminRoot {
        (Cow::Owned(first.clone()), Arc::new(Below { first, jobs: jobs.clone() }) as Arc<dyn AdminPaths>)
    };
    Ok(firsts.into_iter().map(root).collect())
}

fn load(machine: &Machine, plugins: &[Arc<str>]) -> mlua::Result<Vec<String>> {
    let load: Function = machine.lua.named_registry_value(prelude::LOAD_ADMIN)?;
    let mut firsts: Vec<String> = Vec::new();
    for plugin in plugins {
        firsts.extend(load.call::<Vec<String>>(&**plugin)?);
    }
    firsts.sort_unstable();
    firsts.dedup();
    Ok(firsts)
}

async fn serve(machine: Rc<Machine>, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.recv().await {
        let machine = Rc::clone(&machine);
        tokio::task::spawn_local(async move {
            let outcome = answer(&machine, &job.first, job.call).await;
            let answered = outcome.unwrap_or_else(|error| {
                tracing::error!(target: "lua", "admin_api: {error}");
                Some(AdminAnswer::message(500, "An unexpected error occurred"))
            });
            let _ = job.answer.send(answered);
        });
    }
}

async fn answer(machine: &Rc<Machine>, first: &str, call: AdminCall) -> Result<Option<AdminAnswer>, String> {
    let mut run = begin(machine, first, call).map_err(|error| describe(&error))?;
    let mut x = Box::<Exchange>::default();
    let flow = match run.advance(&mut x)? {
        Progress::Done(flow) => flow,
        Progress::Waiting => run.finish(&mut x).await?,
    };
    match flow {
        Flow::Reply(reply) => Ok(Some(answered(*reply))),
        Flow::Fail(fault) => Err(format!("{fault:?}")),
        // No path of a plugin fits.
        Flow::Next | Flow::ReadBody => Ok(None),
    }
}

fn begin(machine: &Rc<Machine>, first: &str, call: AdminCall) -> mlua::Result<Run> {
    let lua = &machine.lua;
    let function: Function = lua.named_registry_value(prelude::CALL_ADMIN)?;
    let path = lua.create_sequence_from(std::iter::once(first.to_owned()).chain(call.path))?;
    let query = lua.create_table()?;
    for (name, value) in &call.query {
        put(lua, &query, name, value)?;
    }
    let body = json::to_lua(lua, &call.body, Nulls::Kept)?;
    let arguments =
        [Value::String(lua.create_string(method_name(&call.method))?), Value::Table(path), Value::Table(query), body];
    let frame = Frame { request: lua.create_table()?, phase: "admin_api", plugin: None, may_wait: true };
    let thread = lua.create_thread(function)?;
    Ok(Run::new(Rc::clone(machine), frame, thread, MultiValue::from_iter(arguments)))
}

fn method_name(method: &Method) -> String {
    method.as_str().to_owned()
}

/// A name that comes twice becomes a list.
fn put(lua: &mlua::Lua, table: &Table, name: &str, value: &str) -> mlua::Result<()> {
    match table.raw_get::<Value>(name)? {
        Value::Nil => table.raw_set(name, value),
        Value::Table(list) => list.raw_push(value),
        before => {
            let list = lua.create_sequence_from([before, Value::String(lua.create_string(value)?)])?;
            table.raw_set(name, list)
        }
    }
}

fn answered(reply: Reply) -> AdminAnswer {
    let status = reply.status;
    match reply.body {
        ReplyBody::Empty => AdminAnswer::empty(status),
        ReplyBody::Json(body) => AdminAnswer::json(status, body),
        ReplyBody::Error(message) => {
            let message = message.map_or_else(|| gibbon_message::reason(status).to_owned(), |text| text.into_owned());
            AdminAnswer::message(status, &message)
        }
        ReplyBody::Bytes(bytes) if bytes.is_empty() => AdminAnswer::empty(status),
        ReplyBody::Bytes(bytes) => {
            let body = serde_json::from_slice(&bytes);
            AdminAnswer::json(status, body.unwrap_or_else(|_| Json::from(String::from_utf8_lossy(&bytes).into_owned())))
        }
    }
}
