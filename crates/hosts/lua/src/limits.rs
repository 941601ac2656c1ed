//! What a piece of Lua may take: time without waiting, and memory.
//!
//! A thread looks every so often at whose turn it is on each machine. A turn that lasts too long gets a signal on its own
//! thread, and the handler sets a hook that raises an error at the next instruction, and at every one after it, so that
//! a `pcall` around a loop only delays the end by one. Code that runs in time pays two stores. Compiled loops look for
//! hooks because LuaJIT is built so (`.cargo/config.toml`); where it is not, nothing is compiled.
//!
//! A signal, and not the thread itself: it interrupts the machine between two of its own instructions, so that what both
//! write is never half written.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::os::raw::{c_char, c_int};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mlua::{Lua, ffi};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::settings::LuaSettings;

/// Ignored by default, so that a late one does no harm.
const SIGNAL: Signal = Signal::SIGURG;
/// How often the watching thread looks, as a part of the shortest limit, and at least and at most.
const LOOKS: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(250);

const REASON: &[u8] = b"the time limit for Lua was exceeded (lua_time_limit)";

/// The turns of one machine: a turn is a piece of Lua that runs without waiting.
struct Turns {
    /// Odd while one lasts; the number of the next otherwise.
    turn: AtomicU64,
    /// The turn that shall end.
    condemned: AtomicU64,
    state: *mut ffi::lua_State,
    thread: libc::pthread_t,
    limit: Duration,
}

// SAFETY: the interpreter's state is touched on its own thread only, by the machine and by the signal's handler.
unsafe impl Send for Turns {}
// SAFETY: as above; what other threads read and write is atomic.
unsafe impl Sync for Turns {}

/// A machine that is watched, and since when its turn has been seen to last.
struct Watched {
    turns: Arc<Turns>,
    seen: u64,
    since: Instant,
}

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

thread_local! {
    /// The machine whose turn it is on this thread.
    static RUNNING: Cell<*const Turns> = const { Cell::new(std::ptr::null()) };
}

/// The clock of one machine; without a limit it does nothing.
pub struct Clock(Option<Arc<Turns>>);

impl Clock {
    /// Bounds a machine's memory, and has its turns watched. Called on the machine's own thread, outside of any Lua.
    ///
    /// # Errors
    /// The interpreter was built without memory control, or there is no thread to be had.
    pub fn start(lua: &Lua, settings: &LuaSettings) -> mlua::Result<Clock> {
        if let Some(limit) = settings.memory_limit {
            lua.set_memory_limit(limit)?;
        }
        let Some(limit) = settings.time_limit else { return Ok(Clock(None)) };
        if !compiled_code_looks_for_hooks() {
            lua.load("jit.off() jit.flush()").exec()?;
        }
        watch()?;
        let turns = Arc::new(Turns {
            turn: AtomicU64::new(0),
            condemned: AtomicU64::new(0),
            state: lua.state(),
            // SAFETY: it asks for the number of the calling thread.
            thread: unsafe { libc::pthread_self() },
            limit,
        });
        watched().push(Watched { turns: Arc::clone(&turns), seen: 0, since: Instant::now() });
        Ok(Clock(Some(turns)))
    }

    /// Runs a piece of Lua under the time limit.
    pub fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        let _turn = self.0.as_deref().map(Turn::begin);
        call()
    }
}

impl Drop for Clock {
    /// On the machine's own thread, so no signal is sent to a thread that has ended.
    fn drop(&mut self) {
        if let Some(turns) = &self.0 {
            watched().retain(|watched| !Arc::ptr_eq(&watched.turns, turns));
        }
    }
}

/// A turn that lasts; it ends also when what runs panics.
struct Turn<'a> {
    turns: &'a Turns,
    before: *const Turns,
}

impl<'a> Turn<'a> {
    fn begin(turns: &'a Turns) -> Self {
        let before = RUNNING.replace(turns);
        if before != std::ptr::from_ref(turns) {
            turns.turn.fetch_add(1, Ordering::Relaxed);
        }
        Turn { turns, before }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let turns = self.turns;
        if self.before == std::ptr::from_ref(turns) {
            return;
        }
        let turn = turns.turn.fetch_add(1, Ordering::Relaxed);
        RUNNING.set(self.before);
        if turns.condemned.load(Ordering::Relaxed) == turn {
            // SAFETY: the machine lives and this is its thread.
            unsafe { ffi::lua_sethook(turns.state, None, 0, 0) };
        }
    }
}

/// Runs on the thread whose turn lasts too long, whatever it is doing.
extern "C" fn on_signal(_: c_int) {
    let running = RUNNING.get();
    // SAFETY: what the cell points at lives as long as the turn does. Setting a hook from a signal's handler is what
    // LuaJIT allows.
    unsafe {
        if let Some(turns) = running.as_ref()
            && turns.condemned.load(Ordering::Relaxed) == turns.turn.load(Ordering::Relaxed)
        {
            ffi::lua_sethook(turns.state, Some(stop), ffi::LUA_MASKCOUNT, 1);
        }
    }
}

/// The hook: an error with the place of the instruction that would be next.
unsafe extern "C-unwind" fn stop(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: a hook has room for these on the stack; nothing here needs to be dropped when the error unwinds.
    unsafe {
        ffi::luaL_where(state, 0);
        ffi::lua_pushlstring(state, REASON.as_ptr().cast::<c_char>(), REASON.len());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state);
    }
}

fn watched() -> std::sync::MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that looks, once per process.
fn watch() -> mlua::Result<()> {
    static STARTED: Once = Once::new();
    let mut outcome = Ok(());
    STARTED.call_once(|| {
        let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does what handlers may: it reads atomics and sets a hook.
        let installed = unsafe { sigaction(SIGNAL, &action) };
        let started = installed.map_err(std::io::Error::from).and_then(|_| {
            std::thread::Builder::new().name("lua-watch".to_owned()).spawn(|| {
                loop {
                    std::thread::sleep(look(Instant::now()));
                }
            })
        });
        outcome = started.map(|_| ()).map_err(mlua::Error::external);
    });
    outcome
}

/// Ends turns that last too long; how long to wait until the next look.
fn look(now: Instant) -> Duration {
    let mut next = LONGEST;
    for watched in watched().iter_mut() {
        let turns = &watched.turns;
        next = next.min(turns.limit / LOOKS);
        let turn = turns.turn.load(Ordering::Relaxed);
        if turn != watched.seen {
            (watched.seen, watched.since) = (turn, now);
        } else if turn % 2 == 1 && now.duration_since(watched.since) >= turns.limit {
            turns.condemned.store(turn, Ordering::Relaxed);
            // Again at each look: a signal at the wrong instruction is lost.
            // SAFETY: a machine whose clock is in the list has not left its thread.
            unsafe { libc::pthread_kill(turns.thread, SIGNAL as c_int) };
        }
    }
    next.max(SHORTEST)
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

unsafe extern "C-unwind" fn count(_: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    CALLS.set(CALLS.get().saturating_add(1));
}

/// Whether a compiled loop calls a hook, found out once: in one that does not, the hook is called for a few instructions
/// at its edges only.
pub fn compiled_code_looks_for_hooks() -> bool {
    static LOOKS: OnceLock<bool> = OnceLock::new();
    *LOOKS.get_or_init(|| {
        let looks = tried().unwrap_or(false);
        if !looks {
            tracing::warn!(
                "LuaJIT was built without LUAJIT_ENABLE_CHECKHOOK: Lua is not compiled, so that lua_time_limit holds"
            );
        }
        looks
    })
}

fn tried() -> mlua::Result<bool> {
    const TURNS: u32 = 10_000;
    let lua = crate::machine::interpreter();
    let turns: mlua::Function = lua.load(format!("return function() for _ = 1, {TURNS} do end end")).eval()?;
    turns.call::<()>(())?;
    CALLS.set(0);
    // SAFETY: the state lives, this is its thread, and the hook only counts.
    unsafe { ffi::lua_sethook(lua.state(), Some(count), ffi::LUA_MASKCOUNT, 1) };
    let called = turns.call::<()>(());
    // SAFETY: as above.
    unsafe { ffi::lua_sethook(lua.state(), None, 0, 0) };
    called.map(|()| CALLS.get() >= TURNS)
}
