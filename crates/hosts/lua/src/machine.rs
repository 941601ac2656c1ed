//! One Lua machine per worker, made on first use: the interpreter, the functions of ours in it, and the plugins and
//! configurations that it has met.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use gibbon_pdk::{Clock, Dial, Directory, Exchange, Host, NodeFacts, Phase, Random, SecretReader, Store};
use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table, Thread, Value};

use crate::code::Code;
use crate::direct::Anchor;
use crate::events::Event;
use crate::handler::LuaHandler;
use crate::json::{self, Nulls};
use crate::limits::Clock as Limit;
use crate::run::{self, Frame};
use crate::settings::LuaSettings;
use crate::shared::Shared;
use crate::{native, prelude};

/// What Lua may ask of the gateway; the ports of the worker, kept beyond a step.
pub struct Ports {
    pub directory: Rc<dyn Directory>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub dial: Arc<dyn Dial>,
    pub node: Arc<NodeFacts>,
    /// `None` where nothing but files is looked at.
    pub store: Option<Arc<dyn Store>>,
    pub secrets: Arc<dyn SecretReader>,
    pub shared: Arc<Shared>,
    pub worker: usize,
}

/// Coroutines kept for the next phase.
const MOST_FREE: usize = 256;

/// A configuration of a plugin, ready to run on this worker.
pub struct Instance {
    /// The handler's table.
    module: Table,
    conf: Table,
    /// What `kong.plugin`, `kong.ctx.plugin` and the log want to know.
    pub about: Table,
    /// What runs each phase that the handler has.
    starters: [Option<Anchor>; Phase::ALL.len()],
    /// Of the plugin's files.
    version: u64,
    alive: Weak<()>,
}

/// The Lua machine of a worker.
pub struct Machine {
    limit: Limit,
    pub lua: Lua,
    pub ports: Rc<Ports>,
    /// `request`, `phase` and `plugin` of what runs; Lua code of ours reads it.
    running: Table,
    threads: Table,
    instances: RefCell<HashMap<u64, Rc<Instance>>>,
    modules: RefCell<HashMap<String, (u64, Table)>>,
    /// The versions of plugins whose `init_worker` has run.
    begun: RefCell<HashMap<String, u64>>,
    configured: Cell<u64>,
    /// The body of coroutines that run one phase after another, and those that are free.
    again: Function,
    starter: Function,
    free: RefCell<Vec<Thread>>,
    /// Something came to the limit of memory.
    starved: Cell<bool>,
    /// What stands in for coroutines and requests that wait.
    pub resting: Thread,
    pub nobody: Table,
}

thread_local! {
    static HERE: RefCell<Option<Rc<Machine>>> = const { RefCell::new(None) };
    static WORKER: Cell<usize> = const { Cell::new(0) };
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Says which worker this thread is, before any Lua runs on it. Only then are there timers: they are tasks of its
/// runtime.
pub fn set_worker(number: usize) {
    WORKER.with(|worker| worker.set(number));
    SERVES.with(|serves| serves.set(true));
}

/// A bare interpreter with every standard library, the debugger's and the foreign function interface among them: Lua
/// plugins are installed by whoever runs the node and are trusted as such. What comes in configuration runs in a sandbox.
#[allow(unsafe_code)]
pub fn interpreter() -> Lua {
    // SAFETY: the unsafe part is what a plugin may do through `ffi` and `debug`, which is what its installer allowed.
    unsafe { Lua::unsafe_new_with(StdLib::ALL, LuaOptions::default()) }
}

impl Instance {
    /// What runs a phase, if the handler has it.
    #[must_use]
    pub fn starter(&self, phase: Phase) -> Option<&Anchor> {
        self.starters.get(phase as usize)?.as_ref()
    }
}

impl Machine {
    /// This worker's machine.
    ///
    /// # Errors
    /// Our own Lua code does not load: a limit of memory that is too low.
    pub fn here(shared: &Arc<Shared>, host: &Host) -> mlua::Result<Rc<Machine>> {
        HERE.with(|here| {
            if let Some(machine) = &*here.borrow()
                && Arc::ptr_eq(&machine.ports.shared, shared)
            {
                return Ok(Rc::clone(machine));
            }
            let ports = Ports {
                directory: Rc::clone(&host.directory),
                clock: Arc::clone(&host.clock),
                random: Arc::clone(&host.random),
                dial: Arc::clone(&host.dial),
                node: Arc::clone(&host.node),
                store: Some(Arc::clone(&host.store)),
                secrets: Arc::clone(&host.secrets),
                shared: Arc::clone(shared),
                worker: WORKER.with(Cell::get),
            };
            let machine = Rc::new(Machine::new(ports)?);
            *here.borrow_mut() = Some(Rc::clone(&machine));
            Ok(machine)
        })
    }

    /// A machine with these ports.
    ///
    /// # Errors
    /// As [`here`](Self::here).
    pub fn new(ports: Ports) -> mlua::Result<Machine> {
        let lua = interpreter();
        let ports = Rc::new(ports);
        let running = lua.create_table()?;
        let threads = lua.create_table()?;
        let natives = native::install(&lua, &ports, &running, &threads)?;
        prelude::load(&lua, &ports.shared.settings, &natives)?;
        let limit = Limit::start(&lua, &ports.shared.settings)?;
        let again: Function = lua.named_registry_value(prelude::AGAIN)?;
        let starter: Function = lua.named_registry_value(prelude::STARTER)?;
        let resting = lua.create_thread(again.clone())?;
        let nobody = lua.create_table()?;
        Ok(Machine {
            limit,
            lua,
            ports,
            running,
            threads,
            instances: RefCell::default(),
            modules: RefCell::default(),
            begun: RefCell::default(),
            configured: Cell::new(0),
            again,
            starter,
            free: RefCell::default(),
            starved: Cell::new(false),
            resting,
            nobody,
        })
    }

    pub fn settings(&self) -> &LuaSettings {
        &self.ports.shared.settings
    }

    /// Runs a piece of Lua with the exchange and the frame in hand, under the time limit.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn enter<T>(&self, frame: &Frame, x: &mut Exchange, call: impl FnOnce() -> T) -> mlua::Result<T> {
        self.running.raw_set("request", &frame.request)?;
        self.running.raw_set("phase", frame.phase)?;
        self.running.raw_set("plugin", frame.plugin.as_ref())?;
        Ok(run::entered(x, frame.may_wait, || self.limit.timed(call)))
    }

    /// The table of an exchange: one for all its phases.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn request(&self, x: &mut Exchange) -> mlua::Result<Table> {
        if let Some(request) = x.slots.get::<Request>() {
            return request.table();
        }
        let table = self.lua.create_table()?;
        self.keep_request(x, &table)?;
        Ok(table)
    }

    /// Makes a table that of an exchange.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn keep_request(&self, x: &mut Exchange, table: &Table) -> mlua::Result<()> {
        x.slots.set(Request(Anchor::new(&self.lua, table)?));
        Ok(())
    }

    /// The table that whatever ran last saw as that of its request; made if it asked for none.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn request_of_last(&self, x: &mut Exchange) -> mlua::Result<Table> {
        match self.running.raw_get("request")? {
            Value::Table(table) => {
                if x.slots.get::<Request>().is_none() {
                    self.keep_request(x, &table)?;
                }
                Ok(table)
            }
            _ => self.request(x),
        }
    }

    /// Runs a piece of Lua under the time limit.
    pub fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        self.limit.timed(call)
    }

    /// The configuration of a handler on this worker, made on first use.
    ///
    /// # Errors
    /// The plugin's file does not load.
    pub fn instance(&self, handler: &LuaHandler) -> mlua::Result<Rc<Instance>> {
        if let Some(instance) = self.instances.borrow().get(&handler.number)
            && instance.version == handler.code.version()
        {
            return Ok(Rc::clone(instance));
        }
        let instance = Rc::new(self.build(handler)?);
        let mut instances = self.instances.borrow_mut();
        instances.retain(|_, instance| instance.alive.strong_count() > 0);
        instances.insert(handler.number, Rc::clone(&instance));
        Ok(instance)
    }

    fn build(&self, handler: &LuaHandler) -> mlua::Result<Instance> {
        let version = handler.code.version();
        let module = self.module(&handler.code)?;
        let conf = self.conf(&handler.config)?;
        let about = self.lua.create_table()?;
        about.raw_set("name", &*handler.code.name)?;
        about.raw_set("id", handler.plugin_id.to_string())?;
        about.raw_set("conf", &conf)?;
        let mut starters = [const { None }; Phase::ALL.len()];
        for (slot, phase) in starters.iter_mut().zip(Phase::ALL) {
            if let Some(function) = module.get::<Option<Function>>(phase.name())? {
                let starter: Function = self.starter.call((function, &module, &conf, phase.name(), &about))?;
                *slot = Some(Anchor::new(&self.lua, starter)?);
            }
        }
        Ok(Instance { module, conf, about, starters, version, alive: Arc::downgrade(&handler.alive) })
    }

    /// A configuration as handlers see it: null is absent.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn conf(&self, config: &serde_json::Value) -> mlua::Result<Table> {
        match json::to_lua(&self.lua, config, Nulls::Dropped)? {
            Value::Table(table) => Ok(table),
            _ => self.lua.create_table(),
        }
    }

    /// The handler's table of a plugin; read anew when its files changed.
    ///
    /// # Errors
    /// The file does not load.
    pub fn module(&self, code: &Code) -> mlua::Result<Table> {
        if let Some((version, module)) = self.modules.borrow().get(&*code.name)
            && *version == code.version()
        {
            return Ok(module.clone());
        }
        let version = code.version();
        let require: Function = self.lua.globals().get("require")?;
        let forget: Function = self.lua.named_registry_value(prelude::FORGET)?;
        let name = format!("kong.plugins.{}.handler", code.name);
        forget.call::<()>(format!("kong.plugins.{}.", code.name))?;
        let module: Table = require.call(name)?;
        self.modules.borrow_mut().insert(code.name.to_string(), (version, module.clone()));
        Ok(module)
    }

    /// A coroutine for a phase: one that is free, or a new one.
    pub fn thread(&self) -> mlua::Result<Thread> {
        match self.free.borrow_mut().pop() {
            Some(thread) => Ok(thread),
            None => self.lua.create_thread(self.again.clone()),
        }
    }

    /// Keeps a coroutine that has done its phase for the next.
    pub fn recycle(&self, thread: Thread) {
        let mut free = self.free.borrow_mut();
        if free.len() < MOST_FREE {
            free.push(thread);
        }
    }

    /// Calls a function of a handler of our own; it cannot wait.
    ///
    /// # Errors
    /// What it raised.
    pub fn call(
        &self,
        handler: &LuaHandler,
        function: &str,
        phase: &'static str,
        x: &mut Exchange,
    ) -> mlua::Result<Value> {
        let instance = self.instance(handler)?;
        let function: Function = instance.module.get(function)?;
        let about = Some(instance.about.clone());
        let frame = Frame { request: self.request(x)?, phase, plugin: about, may_wait: false };
        self.enter(&frame, x, || function.call(instance.conf.clone()))?
    }

    /// What a piece of code in a configuration returns, as in the log phase. It is compiled once.
    ///
    /// # Errors
    /// What it raised, or why it may not run.
    pub fn evaluate(&self, plugin: &str, code: &str, x: &mut Exchange) -> Result<serde_json::Value, String> {
        let run = |x: &mut Exchange| -> mlua::Result<Value> {
            let about = self.lua.create_table()?;
            about.raw_set("name", plugin)?;
            let frame =
                Frame { request: self.request(x)?, phase: Phase::Log.name(), plugin: Some(about), may_wait: false };
            let evaluate: Function = self.lua.named_registry_value(prelude::EVALUATE)?;
            self.enter(&frame, x, || evaluate.call((code, plugin)))?
        };
        let value = run(x).map_err(|error| describe(&error))?;
        json::from_lua(&self.lua, &value)
    }

    /// One line that says what was raised and where.
    #[must_use]
    pub fn describe(&self, error: &mlua::Error) -> String {
        let text = describe(error);
        if matches!(error, mlua::Error::MemoryError(_)) || text.contains("not enough memory") {
            self.starved.set(true);
        }
        text
    }

    /// Frees what a coroutine held that came to the limit of memory: the interpreter itself would do so only once it has
    /// allocated as much again, which it cannot.
    pub fn recover(&self) -> mlua::Result<()> {
        if self.starved.replace(false) { self.lua.gc_collect() } else { Ok(()) }
    }

    /// Keeps how a light thread ended for `ngx.thread.wait`.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn keep_outcome(&self, thread: &Thread, outcome: mlua::Result<MultiValue>) -> mlua::Result<()> {
        let kept = self.lua.create_table()?;
        match outcome {
            Ok(values) => {
                kept.raw_set("ok", true)?;
                kept.raw_set("n", values.len())?;
                for (at, value) in values.into_iter().enumerate() {
                    kept.raw_set(at + 1, value)?;
                }
            }
            Err(error) => {
                kept.raw_set("ok", false)?;
                kept.raw_set("n", 1)?;
                kept.raw_set(1, describe(&error))?;
            }
        }
        self.threads.raw_set(thread.clone(), kept)
    }

    /// Tells the plugins their configurations, if those changed since this worker last looked.
    pub fn configure(self: &Rc<Self>) {
        let number = self.ports.shared.generation();
        if self.configured.replace(number) == number {
            return;
        }
        for (code, configs) in self.ports.shared.configurations() {
            let outdated =
                self.modules.borrow().get(&*code.name).is_some_and(|(version, _)| *version != code.version());
            if outdated && let Err(error) = self.init_worker(&code) {
                tracing::error!("plugin '{}': init_worker: {}", code.name, describe(&error));
            }
            if let Err(error) = self.configure_plugin(&code, &configs) {
                tracing::error!("plugin '{}': configure: {}", code.name, describe(&error));
            }
        }
    }

    fn configure_plugin(self: &Rc<Self>, code: &Code, configs: &[serde_json::Value]) -> mlua::Result<()> {
        let module = self.module(code)?;
        let Some(function) = module.get::<Option<Function>>("configure")? else { return Ok(()) };
        let argument = if configs.is_empty() {
            Value::Nil
        } else {
            let list = self.lua.create_table()?;
            for config in configs {
                list.push(self.conf(config)?)?;
            }
            Value::Table(list)
        };
        self.background("configure", code, function, (module, argument))
    }

    /// Runs `init_worker` of a plugin.
    ///
    /// # Errors
    /// What the plugin raised.
    pub fn init_worker(self: &Rc<Self>, code: &Code) -> mlua::Result<()> {
        self.begun.borrow_mut().insert(code.name.to_string(), code.version());
        let module = self.module(code)?;
        let Some(function) = module.get::<Option<Function>>("init_worker")? else { return Ok(()) };
        self.background("init_worker", code, function, module)
    }

    fn background(
        self: &Rc<Self>,
        phase: &'static str,
        code: &Code,
        function: Function,
        arguments: impl mlua::IntoLuaMulti,
    ) -> mlua::Result<()> {
        let about = self.lua.create_table()?;
        about.raw_set("name", &*code.name)?;
        let frame = Frame { request: self.lua.create_table()?, phase, plugin: Some(about), may_wait: false };
        let thread = self.lua.create_thread(function)?;
        let arguments = arguments.into_lua_multi(&self.lua)?;
        let mut run = run::Run::new(Rc::clone(self), frame, thread, arguments);
        let mut x = Box::<Exchange>::default();
        run.advance(&mut x).map(|_| ()).map_err(mlua::Error::runtime)
    }
}

/// The Lua table of a request, in its exchange; there once Lua asked for it.
pub struct Request(pub Anchor);

impl Request {
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn table(&self) -> mlua::Result<Table> {
        self.0.get()
    }
}

/// The first line of an error, without the stack.
#[must_use]
pub fn describe(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::CallbackError { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let line = text.split("\nstack traceback:").next().unwrap_or_default().trim();
    if has_place(line) {
        return line.replace('\n', " ");
    }
    // An error without a place (a table, or a level of 0): the innermost frame of Lua says where.
    let place = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with("[C]") && !l.starts_with("stack traceback"))
        .find_map(|l| l.split_once(": in ").map(|(place, _)| place.to_owned()));
    match place {
        Some(place) => format!("{place}: {}", line.replace('\n', " ")),
        None => line.replace('\n', " "),
    }
}

/// Whether a message begins with `file:line:`.
fn has_place(line: &str) -> bool {
    line.match_indices(':').any(|(at, _)| {
        let rest = line.get(at + 1..).unwrap_or_default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest.as_bytes().get(digits) == Some(&b':')
    })
}

impl Machine {
    /// This thread's machine, if it is a worker that serves.
    #[must_use]
    pub fn of_worker() -> Option<Rc<Machine>> {
        if !SERVES.with(Cell::get) {
            return None;
        }
        Machine::of_thread()
    }

    /// This thread's machine, whatever it is for.
    #[must_use]
    pub fn of_thread() -> Option<Rc<Machine>> {
        HERE.with(|here| here.borrow().clone())
    }

    /// Runs the function of a timer to its end; an error of it is logged.
    pub async fn run_timer(self: &Rc<Self>, function: &Function) {
        self.run_alone("timer", function, MultiValue::from_iter([Value::Boolean(false)])).await;
    }

    /// Hands an event to whoever registered for it on this worker.
    #[allow(clippy::cast_precision_loss)] // the number of a worker
    pub async fn deliver(self: &Rc<Self>, event: &Event) {
        let begin = || -> mlua::Result<(Function, MultiValue)> {
            let deliver = self.lua.named_registry_value(prelude::DELIVER)?;
            let text = |text: &str| self.lua.create_string(text).map(Value::String);
            let worker = event.worker.map_or(Value::Nil, |number| Value::Number(number as f64));
            let data = json::to_lua(&self.lua, &event.data, Nulls::Kept)?;
            Ok((deliver, MultiValue::from_iter([text(&event.source)?, text(&event.event)?, data, worker])))
        };
        match begin() {
            Ok((deliver, arguments)) => self.run_alone("event", &deliver, arguments).await,
            Err(error) => tracing::error!(target: "lua", "event: {}", describe(&error)),
        }
    }

    /// Runs a function without a request to its end.
    async fn run_alone(self: &Rc<Self>, what: &str, function: &Function, arguments: MultiValue) {
        let outcome = self.lone_run(function, arguments);
        let ended = match outcome {
            Ok(mut run) => {
                let mut x = Box::<Exchange>::default();
                match run.advance(&mut x) {
                    Ok(run::Progress::Waiting) => run.finish(&mut x).await.map(|_| ()),
                    Ok(run::Progress::Done(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(describe(&error)),
        };
        if let Err(error) = ended {
            tracing::error!(target: "lua", "{what}: {error}");
        }
    }

    fn lone_run(self: &Rc<Self>, function: &Function, arguments: MultiValue) -> mlua::Result<run::Run> {
        let frame = Frame { request: self.lua.create_table()?, phase: "timer", plugin: None, may_wait: true };
        let thread = self.lua.create_thread(function.clone())?;
        Ok(run::Run::new(Rc::clone(self), frame, thread, arguments))
    }
}
