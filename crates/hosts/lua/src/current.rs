//! The exchange that the running Lua code belongs to, and what it asks of its driver.
//!
//! Lua functions are called without a parameter of ours, so while a coroutine runs a slot of the worker points at its
//! exchange. Between two resumes it points at nothing, so coroutines of other exchanges find their own.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use gibbon_pdk::{Exchange, LocalFuture, Reply};
use mlua::{Lua, Thread, Value};
use smallvec::SmallVec;

/// Makes a value in the machine that asked for it.
pub type Make = Box<dyn FnOnce(&Lua) -> mlua::Result<Value>>;

/// A value that a wait ends with; made into Lua values when the coroutine goes on.
pub enum Out {
    Nil,
    Flag(bool),
    Text(Vec<u8>),
    /// Made when the coroutine goes on.
    Make(Make),
}

impl Out {
    /// As a Lua value.
    ///
    /// # Errors
    /// Lua's memory is at its limit.
    pub fn into_value(self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Out::Nil => Value::Nil,
            Out::Flag(flag) => Value::Boolean(flag),
            Out::Text(bytes) => Value::String(lua.create_string(bytes)?),
            Out::Make(make) => make(lua)?,
        })
    }
}

/// What a wait ends with.
pub type Answer = SmallVec<[Out; 3]>;
/// Something that a coroutine waits for.
pub type Wait = LocalFuture<'static, Answer>;

/// A light thread that was started and did not end at once, with what it waits for.
pub struct Started {
    pub thread: Thread,
    pub parked: Parked,
}

/// What a coroutine that gave up control is waiting for.
pub enum Parked {
    Wait(Wait),
    /// The end of one of these light threads, by their addresses.
    Join(Vec<usize>),
    /// Nothing: others may run first.
    Turn,
}

struct Slot {
    exchange: Cell<*mut Exchange>,
    /// Somebody looks at it.
    lent: Cell<bool>,
    wait: RefCell<Option<Parked>>,
    reply: RefCell<Option<Reply>>,
    started: RefCell<Vec<Started>>,
    may_wait: Cell<bool>,
    killed: RefCell<Vec<usize>>,
}

thread_local! {
    static SLOT: Slot = const {
        Slot {
            exchange: Cell::new(std::ptr::null_mut()),
            lent: Cell::new(false),
            wait: RefCell::new(None),
            reply: RefCell::new(None),
            started: RefCell::new(Vec::new()),
            may_wait: Cell::new(false),
            killed: RefCell::new(Vec::new()),
        }
    };
}

/// While it lives, the exchange is the one that Lua sees. It holds the exchange for itself, so that nobody else can reach it
/// meanwhile, and puts back what was seen before.
pub struct Entered<'a> {
    before: *mut Exchange,
    might_wait: bool,
    held: PhantomData<&'a mut Exchange>,
}

impl<'a> Entered<'a> {
    pub fn new(x: &'a mut Exchange, may_wait: bool) -> Self {
        SLOT.with(|slot| Entered {
            before: slot.exchange.replace(x),
            might_wait: slot.may_wait.replace(may_wait),
            held: PhantomData,
        })
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        SLOT.with(|slot| {
            slot.exchange.set(self.before);
            slot.may_wait.set(self.might_wait);
        });
    }
}

/// The exchange is free again, also after a panic.
struct Lent<'a>(&'a Cell<bool>);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Looks at the exchange in hand; at an empty one where there is none.
///
/// # Errors
/// Called from within another look: a finalizer of Lua's collector ran at the wrong moment.
pub fn with<T>(look: impl FnOnce(&mut Exchange) -> T) -> mlua::Result<T> {
    SLOT.with(|slot| {
        if slot.lent.replace(true) {
            return Err(mlua::Error::runtime("the request is not accessible from a finalizer"));
        }
        let _lent = Lent(&slot.lent);
        // SAFETY: `Entered` holds the exchange for itself as long as the slot points at it, and only one look is on at a
        // time.
        match unsafe { slot.exchange.get().as_mut() } {
            Some(x) => Ok(look(x)),
            None => Ok(look(&mut Exchange::default())),
        }
    })
}

/// Leaves what the running coroutine will wait for once it gives up control.
pub fn park(parked: Parked) {
    SLOT.with(|slot| *slot.wait.borrow_mut() = Some(parked));
}

pub fn take_parked() -> Option<Parked> {
    SLOT.with(|slot| slot.wait.borrow_mut().take())
}

/// Whether the phase in hand may wait.
pub fn may_wait() -> bool {
    SLOT.with(|slot| slot.may_wait.get())
}

/// Leaves the answer that the plugin gave.
pub fn set_reply(reply: Reply) {
    SLOT.with(|slot| *slot.reply.borrow_mut() = Some(reply));
}

pub fn take_reply() -> Option<Reply> {
    SLOT.with(|slot| slot.reply.borrow_mut().take())
}

pub fn add_started(started: Started) {
    SLOT.with(|slot| slot.started.borrow_mut().push(started));
}

/// Whether light threads were started or killed since the driver last looked.
pub fn has_news() -> bool {
    SLOT.with(|slot| !slot.started.borrow().is_empty() || !slot.killed.borrow().is_empty())
}

pub fn take_started() -> Vec<Started> {
    SLOT.with(|slot| std::mem::take(&mut *slot.started.borrow_mut()))
}

/// Marks a light thread as one that shall not go on.
pub fn kill(address: usize) {
    SLOT.with(|slot| slot.killed.borrow_mut().push(address));
}

pub fn take_killed() -> Vec<usize> {
    SLOT.with(|slot| std::mem::take(&mut *slot.killed.borrow_mut()))
}

/// Drops what a coroutine left and its driver did not take: it failed in between.
pub fn forget() {
    SLOT.with(|slot| {
        slot.reply.borrow_mut().take();
        slot.wait.borrow_mut().take();
    });
}
