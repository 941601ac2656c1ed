//! What a piece of Lua may take: time without waiting, and memory.
//!
//! The time limit is a hook that the interpreter calls every so many instructions. Compiled loops would not call it, so
//! compilation is off while there is a limit: `while true do end` must end, also inside of `pcall` or a coroutine. Once
//! the time is over, the hook comes at every instruction, so that a `pcall` around the loop only delays it by one.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, VmState};

use crate::settings::LuaSettings;

/// Instructions between two looks at the clock: about a tenth of a millisecond.
const EVERY: u32 = 20_000;

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static OVER: Cell<bool> = const { Cell::new(false) };
}

/// Bounds a machine's memory and arms its clock.
///
/// # Errors
/// The interpreter was built without memory control.
pub fn arm(lua: &Lua, settings: &LuaSettings) -> mlua::Result<()> {
    if let Some(limit) = settings.memory_limit {
        lua.set_memory_limit(limit)?;
    }
    if settings.time_limit.is_some() {
        lua.load("jit.off() jit.flush()").exec()?;
        watch(lua, EVERY)?;
    }
    Ok(())
}

fn watch(lua: &Lua, every: u32) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(every), move |lua, _| {
        let over = DEADLINE.with(Cell::get).is_some_and(|deadline| Instant::now() >= deadline);
        if !over {
            return Ok(VmState::Continue);
        }
        if !OVER.with(|flag| flag.replace(true)) {
            watch(lua, 1)?;
        }
        Err(mlua::Error::runtime("the time limit for Lua was exceeded (lua_time_limit)"))
    })
}

/// Runs a piece of Lua under the time limit.
pub fn timed<T>(lua: &Lua, settings: &LuaSettings, call: impl FnOnce() -> T) -> T {
    let Some(limit) = settings.time_limit else { return call() };
    DEADLINE.with(|deadline| deadline.set(Some(end(limit))));
    let outcome = call();
    DEADLINE.with(|deadline| deadline.set(None));
    if OVER.with(|flag| flag.replace(false))
        && let Err(error) = watch(lua, EVERY)
    {
        tracing::error!("the clock of a Lua machine cannot be armed again: {error}");
    }
    outcome
}

fn end(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400))
}
