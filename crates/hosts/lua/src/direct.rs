//! Values and coroutines by Lua's own C interface, for what every phase of every request does: through mlua's safe face
//! the same costs more than the phase.
#![allow(unsafe_code)]

use std::os::raw::c_int;

use mlua::{FromLua, IntoLua, Lua, Table, Thread, Value, ffi};

use crate::run::{self, DONE};

/// A value that Lua's collector leaves alone until this is dropped, with a number to find it by. Other than values that
/// mlua keeps at hand there may be any number of them.
pub struct Anchor {
    lua: Lua,
    number: c_int,
}

impl Anchor {
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn new(lua: &Lua, value: impl IntoLua) -> mlua::Result<Anchor> {
        let mut number = ffi::LUA_NOREF;
        // SAFETY: takes the one value from the stack; an error in between is caught by the protected call around it.
        unsafe { lua.exec_raw::<()>(value, |state| number = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)) }?;
        Ok(Anchor { lua: lua.clone(), number })
    }

    /// The value.
    ///
    /// # Errors
    /// It is of another type.
    pub fn get<T: FromLua>(&self) -> mlua::Result<T> {
        let number = self.number;
        // SAFETY: pushes one value, for which there is room.
        unsafe { self.lua.exec_raw((), |state| ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, number)) }
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // SAFETY: the interpreter lives, for a share of it is held here; the slots that are written exist.
        unsafe { ffi::luaL_unref(self.lua.state(), ffi::LUA_REGISTRYINDEX, self.number) }
    }
}

/// How far a coroutine got.
pub enum Outcome {
    /// It did its phase. `request`: it made the table of its request. `printed`: there is something in it that was printed.
    Done {
        request: Option<Table>,
        printed: bool,
    },
    /// It gave up control for a reason that the driver knows, or for one of its own.
    Yielded(Option<i64>),
    Failed(mlua::Error),
}

/// Has a coroutine run a phase. `request` is the table of the request, if it has one.
pub fn resume(lua: &Lua, thread: &Thread, starter: &Anchor, request: Option<&Anchor>) -> Outcome {
    let state = thread.state();
    // SAFETY: the coroutine is one of ours, suspended between two phases or before its first, so it takes two arguments
    // and has room for them. What it leaves is taken off its stack before it is used again.
    unsafe {
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, starter.number);
        match request {
            Some(request) => ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, request.number),
            None => ffi::lua_pushboolean(state, 0),
        }
        match ffi::lua_resume_(state, 2) {
            ffi::LUA_YIELD => yielded(lua, state, request.is_none()),
            // The body of our coroutines never ends.
            ffi::LUA_OK => Outcome::Failed(mlua::Error::runtime("a coroutine ended that should go on")),
            // There is no memory for a stack either.
            ffi::LUA_ERRMEM => Outcome::Failed(mlua::Error::MemoryError("not enough memory".to_owned())),
            _ => Outcome::Failed(error(lua, state)),
        }
    }
}

/// Reads what a coroutine yielded.
///
/// SAFETY: `state` has just yielded.
unsafe fn yielded(lua: &Lua, state: *mut ffi::lua_State, is_new: bool) -> Outcome {
    // SAFETY: only indices up to the top are read, and the top is what was yielded.
    unsafe {
        let top = ffi::lua_gettop(state);
        let kind =
            (top >= 2 && ffi::lua_touserdata(state, 1) == run::system().0).then(|| ffi::lua_tointeger(state, 2) as i64);
        if kind == Some(DONE) && top == 4 {
            let printed = ffi::lua_toboolean(state, 4) != 0;
            let made = is_new && ffi::lua_toboolean(state, 3) != 0;
            let request = made.then(|| table(lua, state));
            ffi::lua_settop(state, 0);
            return match request.transpose() {
                Ok(request) => Outcome::Done { request, printed },
                Err(error) => Outcome::Failed(error),
            };
        }
        ffi::lua_settop(state, 0);
        Outcome::Yielded(kind)
    }
}

/// The table at the third place.
///
/// SAFETY: there is one.
unsafe fn table(lua: &Lua, from: *mut ffi::lua_State) -> mlua::Result<Table> {
    // SAFETY: one value is moved to where there is room for it.
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushvalue(from, 3);
            ffi::lua_xmove(from, state, 1);
        })
    }
}

/// What a coroutine raised, with its stack if it is text.
///
/// SAFETY: the coroutine has just failed, so its error is on top.
unsafe fn error(lua: &Lua, from: *mut ffi::lua_State) -> mlua::Error {
    // SAFETY: moves or copies the topmost value; what raises in between is caught by the protected call.
    let raised = unsafe {
        lua.exec_raw::<Value>((), |state| {
            if ffi::lua_type(from, -1) == ffi::LUA_TUSERDATA {
                ffi::lua_xmove(from, state, 1);
                return;
            }
            let mut length = 0;
            ffi::lua_xmove(from, state, 1);
            let text = ffi::luaL_tolstring(state, -1, &raw mut length);
            ffi::luaL_traceback(state, from, text, 0);
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        })
    };
    match raised {
        Ok(Value::Error(error)) => *error,
        Ok(Value::String(text)) => mlua::Error::RuntimeError(text.to_string_lossy()),
        Ok(other) => mlua::Error::runtime(format!("an error that is a {}", other.type_name())),
        Err(error) => error,
    }
}
