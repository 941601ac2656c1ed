//! What waits: sleeping, sockets, timers, semaphores, light threads. A function here begins a wait and leaves it for the
//! driver; the coroutine then gives up control and gets the answer when it goes on.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use gibbon_pdk::{CertificatePem, Clock, DialTarget, Duplex, OutcallTls};
use mlua::{AnyUserData, Function, Lua, LuaString, Table, Thread, Variadic};
use smallvec::smallvec;

use super::{add, lossy};
use crate::current::{self, Answer, Out, Parked, Started, Wait};
use crate::machine::{Machine, Ports};

/// Timers that may be pending at once on a worker, as `lua_max_pending_timers` of Kong.
const MOST_TIMERS: usize = 16_384;
/// Bytes that one read of a socket takes in at most.
const READ: usize = 16 * 1024;

/// Connections that plugins gave back, by the name of their pool.
#[derive(Default)]
pub struct Pools(RefCell<HashMap<Vec<u8>, VecDeque<Kept>>>);

struct Kept {
    connection: Box<dyn Duplex>,
    reused: u32,
    tls: bool,
    until: u64,
}

/// A socket of Lua's.
struct Socket {
    connection: Rc<RefCell<Option<Box<dyn Duplex>>>>,
    reused: u32,
    tls: Cell<bool>,
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(86_400))
}

/// The first of a future and the end of a time.
async fn within<T>(clock: &dyn Clock, time: f64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = clock.sleep(seconds(time));
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

fn failed(error: &str) -> Answer {
    smallvec![Out::Nil, Out::Text(error.as_bytes().to_vec())]
}

/// An error of a connection in OpenResty's words.
fn words(error: &std::io::Error) -> String {
    use std::io::ErrorKind::*;
    match error.kind() {
        ConnectionRefused => "connection refused".to_owned(),
        TimedOut => "timeout".to_owned(),
        ConnectionReset => "connection reset by peer".to_owned(),
        UnexpectedEof | BrokenPipe | NotConnected | ConnectionAborted => "closed".to_owned(),
        _ => error.to_string(),
    }
}

fn park(wait: Wait) {
    current::park(Parked::Wait(wait));
}

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    add(lua, native, "may_wait", |_, ()| Ok(current::may_wait()))?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "sleep", move |_, time: f64| {
        let sleep = clock.sleep(seconds(time));
        park(Box::pin(async move {
            sleep.await;
            Answer::new()
        }));
        Ok(())
    })?;
    let dial = Arc::clone(&ports.dial);
    add(lua, native, "resolve", move |_, (host, port): (LuaString, u16)| {
        let (dial, host) = (Arc::clone(&dial), lossy(&host));
        park(Box::pin(async move {
            match dial.resolve(&host, port).await {
                Ok(found) => {
                    let port = f64::from(found.port());
                    let made: crate::current::Make = Box::new(move |_| Ok(mlua::Value::Number(port)));
                    smallvec![Out::Text(found.ip().to_string().into_bytes()), Out::Make(made)]
                }
                Err(error) => failed(&error.to_string()),
            }
        }));
        Ok(())
    })?;
    threads(lua, native)?;
    timers(lua, native, ports)?;
    semaphores(lua, native, ports)?;
    let pools = Rc::new(Pools::default());
    connect(lua, native, ports, &pools)?;
    transfer(lua, native, ports)?;
    keep(lua, native, ports, &pools)
}

fn threads(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "started", |_, thread: Thread| {
        current::add_started(Started { thread, parked: current::take_parked().unwrap_or(Parked::Turn) });
        Ok(())
    })?;
    add(lua, native, "join", |_, threads: Variadic<Thread>| {
        current::park(Parked::Join(threads.iter().map(|thread| thread.to_pointer() as usize).collect()));
        Ok(())
    })?;
    add(lua, native, "kill", |_, thread: Thread| {
        current::kill(thread.to_pointer() as usize);
        Ok(())
    })
}

fn timers(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let count = Rc::new(Cell::new(0usize));
    let counted = Rc::clone(&count);
    add(lua, native, "timers", move |_, ()| Ok(counted.get()))?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "timer", move |_, (delay, every, function): (f64, bool, Function)| {
        let Some(machine) = Machine::of_worker() else {
            // Files are being looked at; nothing runs here.
            return Ok((Some(true), None));
        };
        if count.get() >= MOST_TIMERS {
            return Ok((None, Some("too many pending timers")));
        }
        count.set(count.get() + 1);
        let (clock, count) = (Arc::clone(&clock), Rc::clone(&count));
        tokio::task::spawn_local(async move {
            loop {
                clock.sleep(seconds(delay)).await;
                machine.run_timer(&function).await;
                if !every {
                    break;
                }
            }
            count.set(count.get().saturating_sub(1));
        });
        Ok((Some(true), None))
    })
}

/// A count, and who waits for it to be above zero.
struct Semaphore {
    count: Cell<i64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Semaphore {
    fn take(&self) -> bool {
        let count = self.count.get();
        if count > 0 {
            self.count.set(count - 1);
        }
        count > 0
    }
}

type Shared = Rc<Semaphore>;

fn semaphores(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    add(lua, native, "semaphore", |lua, count: i64| {
        lua.create_any_userdata::<Shared>(Rc::new(Semaphore { count: Cell::new(count), waiting: RefCell::default() }))
    })?;
    add(lua, native, "semaphore_take", |_, handle: AnyUserData| Ok(handle.borrow::<Shared>()?.take()))?;
    add(lua, native, "semaphore_count", |_, handle: AnyUserData| Ok(handle.borrow::<Shared>()?.count.get()))?;
    add(lua, native, "semaphore_post", |_, (handle, by): (AnyUserData, i64)| {
        let semaphore = Rc::clone(&*handle.borrow::<Shared>()?);
        semaphore.count.set(semaphore.count.get().saturating_add(by));
        semaphore.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        Ok(())
    })?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "semaphore_wait", move |_, (handle, time): (AnyUserData, f64)| {
        let semaphore = Rc::clone(&*handle.borrow::<Shared>()?);
        let clock = Arc::clone(&clock);
        park(Box::pin(async move {
            let taken = within(
                &*clock,
                time,
                poll_fn(|cx| {
                    if semaphore.take() {
                        return Poll::Ready(());
                    }
                    semaphore.waiting.borrow_mut().push(cx.waker().clone());
                    Poll::Pending
                }),
            );
            smallvec![Out::Flag(taken.await.is_some())]
        }));
        Ok(())
    })
}

fn handle(connection: Box<dyn Duplex>, reused: u32, tls: bool) -> Out {
    Out::Make(Box::new(move |lua| {
        let connection = Rc::new(RefCell::new(Some(connection)));
        lua.create_any_userdata(Socket { connection, reused, tls: Cell::new(tls) }).map(mlua::Value::UserData)
    }))
}

fn connect(lua: &Lua, native: &Table, ports: &Rc<Ports>, pools: &Rc<Pools>) -> mlua::Result<()> {
    let (dial, clock) = (Arc::clone(&ports.dial), Arc::clone(&ports.clock));
    add(lua, native, "socket_connect", move |_, (host, port, datagram, time): (LuaString, Option<u16>, bool, f64)| {
        let host = lossy(&host);
        let target = match (host.strip_prefix("unix:"), port) {
            (Some(path), _) if datagram => DialTarget::UnixDatagram { path: path.trim_start_matches("//").to_owned() },
            (Some(path), _) => DialTarget::Unix { path: path.trim_start_matches("//").to_owned() },
            (None, Some(port)) if datagram => DialTarget::Udp { host, port },
            (None, Some(port)) => DialTarget::Tcp { host, port },
            (None, None) => return Ok(Some("missing the port number")),
        };
        let (dial, clock) = (Arc::clone(&dial), Arc::clone(&clock));
        park(Box::pin(async move {
            match within(&*clock, time, dial.connect(target, None, seconds(time))).await {
                Some(Ok(connection)) => smallvec![handle(connection, 0, false)],
                Some(Err(error)) => failed(&words(&error)),
                None => failed("timeout"),
            }
        }));
        Ok(None)
    })?;
    let (pools, clock) = (Rc::clone(pools), Arc::clone(&ports.clock));
    add(lua, native, "socket_pooled", move |lua, pool: LuaString| {
        let now = clock.monotonic_ns();
        let mut all = pools.0.borrow_mut();
        let Some(kept) = all.get_mut(&*pool.as_bytes()) else { return Ok(None) };
        while let Some(Kept { connection, reused, tls, until }) = kept.pop_back() {
            if until > now {
                let connection = Rc::new(RefCell::new(Some(connection)));
                return lua
                    .create_any_userdata(Socket { connection, reused: reused + 1, tls: Cell::new(tls) })
                    .map(Some);
            }
        }
        Ok(None)
    })?;
    add(lua, native, "socket_reused", |_, socket: AnyUserData| Ok(socket.borrow::<Socket>()?.reused))?;
    add(lua, native, "socket_is_tls", |_, socket: AnyUserData| Ok(socket.borrow::<Socket>()?.tls.get()))
}

fn transfer(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let clock = Arc::clone(&ports.clock);
    type Handshake = (AnyUserData, Option<LuaString>, bool, f64, Option<String>, Option<String>);
    add(lua, native, "socket_tls", move |_, (socket, name, verify, time, cert, key): Handshake| {
        let socket = socket.borrow::<Socket>()?;
        let Some(connection) = socket.connection.borrow_mut().take() else { return Ok(Some("socket busy")) };
        // Verified or not, what comes of it is known before the socket is used again.
        socket.tls.set(true);
        let place = Rc::clone(&socket.connection);
        let tls = OutcallTls { verify, server_name: name.as_ref().map(lossy) };
        let identity = cert.zip(key).map(|(cert, key)| Arc::new(CertificatePem { cert, key }));
        let clock = Arc::clone(&clock);
        park(Box::pin(async move {
            let secured = match identity {
                Some(identity) => connection.start_tls_as(tls, identity, seconds(time)),
                None => connection.start_tls(tls, seconds(time)),
            };
            match within(&*clock, time, secured).await {
                Some(Ok(connection)) => {
                    *place.borrow_mut() = Some(connection);
                    smallvec![Out::Flag(true)]
                }
                Some(Err(error)) => failed(&words(&error)),
                None => failed("timeout"),
            }
        }));
        Ok(None)
    })?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "socket_send", move |_, (socket, data, time): (AnyUserData, LuaString, f64)| {
        let socket = socket.borrow::<Socket>()?;
        let Some(mut connection) = socket.connection.borrow_mut().take() else { return Ok(Some("socket busy")) };
        let place = Rc::clone(&socket.connection);
        let (clock, data) = (Arc::clone(&clock), data.as_bytes().to_vec());
        park(Box::pin(async move {
            match within(&*clock, time, connection.write(&data)).await {
                Some(Ok(())) => {
                    *place.borrow_mut() = Some(connection);
                    smallvec![Out::Flag(true)]
                }
                Some(Err(error)) => failed(&words(&error)),
                // Part of it may have left: the connection is of no use any more.
                None => failed("timeout"),
            }
        }));
        Ok(None)
    })?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "socket_read", move |_, (socket, time): (AnyUserData, f64)| {
        let socket = socket.borrow::<Socket>()?;
        let Some(mut connection) = socket.connection.borrow_mut().take() else { return Ok(Some("socket busy")) };
        let place = Rc::clone(&socket.connection);
        let clock = Arc::clone(&clock);
        park(Box::pin(async move {
            let read = within(&*clock, time, connection.read(READ)).await;
            *place.borrow_mut() = Some(connection);
            match read {
                Some(Ok(bytes)) if bytes.is_empty() => failed("closed"),
                Some(Ok(bytes)) => smallvec![Out::Text(bytes.to_vec())],
                Some(Err(error)) => failed(&words(&error)),
                None => failed("timeout"),
            }
        }));
        Ok(None)
    })
}

fn keep(lua: &Lua, native: &Table, ports: &Rc<Ports>, pools: &Rc<Pools>) -> mlua::Result<()> {
    add(lua, native, "socket_close", |_, socket: AnyUserData| {
        let connection = socket.borrow::<Socket>()?.connection.borrow_mut().take();
        drop(connection);
        Ok(())
    })?;
    let (pools, clock) = (Rc::clone(pools), Arc::clone(&ports.clock));
    let most = ports.shared.settings.socket_pool_size;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    add(lua, native, "socket_keep", move |_, (socket, pool, time): (AnyUserData, LuaString, f64)| {
        let socket = socket.borrow::<Socket>()?;
        let Some(connection) = socket.connection.borrow_mut().take() else { return Ok(()) };
        let until = clock.monotonic_ns().saturating_add((time.max(0.0) * 1e9) as u64);
        let mut all = pools.0.borrow_mut();
        let kept = all.entry(pool.as_bytes().to_vec()).or_default();
        kept.push_back(Kept { connection, reused: socket.reused, tls: socket.tls.get(), until });
        while kept.len() > most {
            kept.pop_front();
        }
        Ok(())
    })
}
