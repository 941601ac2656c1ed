//! Tries whose next target a plugin names when the last one came to nothing: `kong.service.set_target_retry_callback`.

use std::fmt;
use std::rc::Rc;

use gibbon_pdk::{AttemptSource, Exchange, Fault, Flow, Host, Resort, Retry, Step};
use mlua::{Function, Lua, Table, Value};

use crate::direct::Anchor;
use crate::machine::{Machine, describe};
use crate::run::Frame;

/// The function that is asked before every try but the first, and for which plugin.
struct Retried {
    machine: Rc<Machine>,
    callback: Anchor,
    plugin: Option<Anchor>,
    tries: u16,
}

impl fmt::Debug for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retried").field("tries", &self.tries).finish_non_exhaustive()
    }
}

/// Has the exchange in hand ask this function. Another source of tries stays.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn ask(lua: &Lua, callback: Function, plugin: Option<Table>) -> mlua::Result<()> {
    let Some(machine) = Machine::of_thread() else { return Ok(()) };
    let plugin = plugin.map(|plugin| Anchor::new(lua, plugin)).transpose()?;
    let source = Retried { machine, callback: Anchor::new(lua, callback)?, plugin, tries: 0 };
    crate::current::with(|x| {
        x.attempts.get_or_insert_with(|| Box::new(source));
    })
}

impl Retried {
    /// Whether there is a next try; the function sets its target.
    fn next(&self, x: &mut Exchange) -> mlua::Result<Result<(), String>> {
        let callback: Function = self.callback.get()?;
        let plugin = self.plugin.as_ref().map(Anchor::get).transpose()?;
        let frame = Frame { request: self.machine.request(x)?, phase: "balancer", plugin, may_wait: false };
        let (go, reason): (Value, Value) = self.machine.enter(&frame, x, || callback.call(()))??;
        Ok(match go {
            Value::Nil | Value::Boolean(false) => Err(reason.to_string().unwrap_or_default()),
            _ => Ok(()),
        })
    }
}

impl AttemptSource for Retried {
    fn prepare<'a>(&'a mut self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        self.tries = self.tries.saturating_add(1);
        if self.tries == 1 {
            // What is sent again has to be there again.
            return Step::Now(if x.body.is_unread() { Flow::ReadBody } else { Flow::Next });
        }
        match self.next(x) {
            Ok(Ok(())) => Step::NEXT,
            Ok(Err(reason)) => Step::fail(Fault::plugin(format!("retry handler failed: {reason}"))),
            Err(error) => Step::fail(Fault::plugin(format!("retry handler failed: {}", describe(&error)))),
        }
    }

    fn answered(&mut self, _: &mut Exchange, _: &Host) -> Result<(), Fault> {
        Ok(())
    }

    fn failed(&mut self, x: &mut Exchange, fault: &Fault, _: &Host) -> Resort {
        let retries = x.destination.retries.or(x.service().map(|service| service.retries)).unwrap_or(0);
        if fault.retry != Retry::Never && self.tries <= retries { Resort::Again } else { Resort::Fault }
    }
}
