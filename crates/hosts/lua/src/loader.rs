//! The thread that reads the files of plugins and runs what schemas bring as code: validators, checks, shorthands.
//! Whoever validates (the Admin API, a declarative file) asks it and waits; a validator that does not end is stopped by
//! the time limit, and the asker does not wait longer than that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mlua::{Function, Lua, MultiValue, Table};
use serde_json::Value;

use crate::json::{self, Nulls};
use crate::machine::{Machine, describe};
use crate::offline;
use crate::shared::Shared;

/// How long somebody waits for a validator.
const PATIENCE: Duration = Duration::from_secs(30);
/// Registry table of the functions that schemas brought, by number.
const FUNCTIONS: &str = "gibbon.schema_functions";

type Job = Box<dyn FnOnce(&Machine) + Send>;

/// The sending end.
#[derive(Clone)]
pub struct Loader(Sender<Job>);

impl Loader {
    /// Starts the thread; it ends when nobody can ask it any more.
    ///
    /// # Errors
    /// The thread cannot be made, or our own Lua does not load.
    pub fn start(shared: &Arc<Shared>) -> Result<Loader, String> {
        let (jobs, queue) = channel::<Job>();
        let (told, ready) = channel();
        let shared = Arc::clone(shared);
        let run = move || match Machine::new(offline::ports(&shared)) {
            Ok(machine) => {
                let _ = told.send(Ok(()));
                serve(&machine, &queue);
            }
            Err(error) => {
                let _ = told.send(Err(error.to_string()));
            }
        };
        std::thread::Builder::new().name("lua-schemas".to_owned()).spawn(run).map_err(|error| error.to_string())?;
        ready.recv().map_err(|error| error.to_string())??;
        Ok(Loader(jobs))
    }

    /// Does something with the machine of the thread.
    ///
    /// # Errors
    /// It took too long.
    pub fn with<T: Send + 'static>(&self, work: impl FnOnce(&Machine) -> T + Send + 'static) -> Result<T, String> {
        let (answer, waiting) = channel();
        let job: Job = Box::new(move |machine| {
            let _ = answer.send(work(machine));
        });
        self.0.send(job).map_err(|_| "the thread of the schemas is gone".to_owned())?;
        waiting.recv_timeout(PATIENCE).map_err(|_| "the schema's function did not end".to_owned())
    }

    /// Calls a function that a schema brought: `true`, or nil and what is wrong.
    ///
    /// # Errors
    /// What it raised.
    pub fn call(&self, number: usize, arguments: Vec<Value>) -> Result<Vec<Value>, String> {
        self.with(move |machine| call(machine, number, &arguments).map_err(|error| describe(&error)))?
    }
}

fn serve(machine: &Machine, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job(machine);
    }
}

/// Keeps a function of a schema; its number finds it again.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn keep(lua: &Lua, function: Function) -> mlua::Result<usize> {
    let functions = match lua.named_registry_value::<Option<Table>>(FUNCTIONS)? {
        Some(functions) => functions,
        None => {
            let functions = lua.create_table()?;
            lua.set_named_registry_value(FUNCTIONS, &functions)?;
            functions
        }
    };
    functions.raw_push(function)?;
    Ok(functions.raw_len())
}

fn call(machine: &Machine, number: usize, arguments: &[Value]) -> mlua::Result<Vec<Value>> {
    let lua = &machine.lua;
    let functions: Table = lua.named_registry_value(FUNCTIONS)?;
    let function: Function = functions.raw_get(number)?;
    let arguments = arguments.iter().map(|value| json::to_lua(lua, value, Nulls::Kept));
    let arguments: MultiValue = arguments.collect::<mlua::Result<_>>()?;
    let answers: MultiValue = machine.timed(|| function.call(arguments))?;
    Ok(answers.iter().map(|value| json::from_lua(lua, value).unwrap_or(Value::Null)).collect())
}
