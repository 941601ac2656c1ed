//! Drives the coroutines of one phase of one plugin: resumes what is ready, and polls what the others wait for.
//!
//! A coroutine gives up control by yielding [`system`] and a kind; everything else it may yield is its own affair. The
//! Lua side hands such a yield up through coroutines that the plugin made itself (`lua/coroutines.lua`).
//!
//! What waits is put away in the interpreter's registry: of values that are at hand for Rust a machine has room for some
//! eight thousand, and many more requests than that may wait at once.

use std::future::poll_fn;
use std::os::raw::c_void;
use std::rc::Rc;
use std::task::{Context, Poll};

use gibbon_pdk::{Exchange, Fault, Flow, Phase, Reply, ReplyBody};
use mlua::thread::ThreadStatus;
use mlua::{LightUserData, MultiValue, Table, Thread, Value};

use crate::current::{self, Entered, Parked, Started};
use crate::direct::{self, Anchor, Outcome};
use crate::machine::{Instance, Machine, Request, describe};

/// Kinds of a yield to the driver, as `lua/coroutines.lua` knows them.
const WAIT: i64 = 1;
const READ_BODY: i64 = 2;
const EXIT: i64 = 3;
pub const DONE: i64 = 4;

static SYSTEM: u8 = 0;

/// The mark of a yield that is meant for the driver.
#[must_use]
pub fn system() -> LightUserData {
    LightUserData(std::ptr::from_ref(&SYSTEM).cast_mut().cast::<c_void>())
}

/// What a phase is run for.
pub struct Frame {
    /// The table of the request; one for all its phases.
    pub request: Table,
    pub phase: &'static str,
    /// The table that says which plugin and configuration runs.
    pub plugin: Option<Table>,
    pub may_wait: bool,
}

enum State {
    Ready(MultiValue),
    Parked(Parked),
    Done,
}

struct Task {
    /// While it is put away, the machine's own resting coroutine stands here.
    thread: Thread,
    put_away: Option<Anchor>,
    state: State,
}

impl Task {
    fn new(thread: Thread, state: State) -> Self {
        Task { thread, put_away: None, state }
    }
}

/// The coroutines of one phase of one plugin.
pub struct Run {
    machine: Rc<Machine>,
    frame: Frame,
    /// The handler itself first, then its light threads.
    tasks: Vec<Task>,
}

/// How far a run got.
pub enum Progress {
    Done(Flow),
    /// Something is waited for.
    Waiting,
}

impl Run {
    pub fn new(machine: Rc<Machine>, frame: Frame, thread: Thread, arguments: MultiValue) -> Self {
        Run { machine, frame, tasks: vec![Task::new(thread, State::Ready(arguments))] }
    }

    /// Begins a phase. Most end with the first resume, and nothing is made for them; `None` for those.
    ///
    /// # Errors
    /// What the plugin raised, with file and line.
    pub fn begin(
        machine: &Rc<Machine>,
        instance: &Instance,
        phase: Phase,
        x: &mut Exchange,
    ) -> Result<Option<(Run, Progress)>, String> {
        let Some(starter) = instance.starter(phase) else { return Ok(None) };
        let text = |error: mlua::Error| describe(&error);
        machine.recover().map_err(text)?;
        let thread = machine.thread().map_err(text)?;
        let may_wait = !matches!(phase, Phase::HeaderFilter | Phase::BodyFilter | Phase::Log);
        // What an earlier coroutine left before it failed must not become this one's answer.
        current::forget();
        // Taken out for as long as the exchange is Lua's.
        let request = x.slots.take::<Request>();
        let outcome = entered(x, may_wait, || {
            machine.timed(|| direct::resume(&machine.lua, &thread, starter, request.as_ref().map(|request| &request.0)))
        });
        if let Some(request) = request {
            x.slots.set(request);
        }
        let kind = match outcome {
            Outcome::Failed(error) => return Err(machine.describe(&error)),
            Outcome::Yielded(kind) => kind,
            Outcome::Done { request, printed } => {
                if let Some(request) = request {
                    machine.keep_request(x, &request).map_err(text)?;
                }
                if !printed && !current::has_news() {
                    machine.recycle(thread);
                    return Ok(None);
                }
                Some(DONE)
            }
        };
        let plugin = Some(instance.about.clone());
        let frame = Frame { request: machine.request_of_last(x).map_err(text)?, phase: phase.name(), plugin, may_wait };
        let mut run = Run { machine: Rc::clone(machine), frame, tasks: vec![Task::new(thread.clone(), State::Done)] };
        run.adopt();
        let progress = match run.gave_up(0, thread, kind) {
            Some(progress) => progress,
            None => run.advance(x)?,
        };
        Ok(Some((run, progress)))
    }

    /// After the engine has read the body: the coroutine that asked goes on.
    pub fn body_is_read(&mut self) {
        for task in &mut self.tasks {
            if matches!(task.state, State::Parked(Parked::Turn)) {
                task.state = State::Ready(MultiValue::new());
            }
        }
    }

    /// Resumes everything that is ready until nothing is.
    ///
    /// # Errors
    /// What the plugin raised, with file and line.
    pub fn advance(&mut self, x: &mut Exchange) -> Result<Progress, String> {
        while let Some(at) = self.tasks.iter().position(|task| matches!(task.state, State::Ready(_))) {
            let Some(task) = self.tasks.get_mut(at) else { break };
            let State::Ready(arguments) = std::mem::replace(&mut task.state, State::Done) else { break };
            let thread = task.thread.clone();
            // What an earlier coroutine left before it failed must not become this one's answer.
            current::forget();
            let yielded = self.machine.enter(&self.frame, x, || thread.resume::<MultiValue>(arguments));
            let outcome = yielded.and_then(|resumed| resumed);
            self.adopt();
            let values = match outcome {
                Ok(values) => values,
                Err(error) if at == 0 => return Err(self.machine.describe(&error)),
                // The end of a light thread is its parent's affair.
                Err(error) => {
                    self.end_thread(&thread, Err(error));
                    continue;
                }
            };
            if thread.status() != ThreadStatus::Resumable {
                self.end_thread(&thread, Ok(values));
                continue;
            }
            if let Some(progress) = self.gave_up(at, thread, kind(&values)) {
                return Ok(progress);
            }
        }
        if self.tasks.iter().any(|task| matches!(task.state, State::Parked(_))) {
            return Ok(Progress::Waiting);
        }
        Ok(Progress::Done(self.printed()))
    }

    /// A coroutine gave up control for this reason; how far the run got, if others must not go on now.
    fn gave_up(&mut self, at: usize, thread: Thread, kind: Option<i64>) -> Option<Progress> {
        match kind {
            Some(EXIT) => {
                let reply = current::take_reply();
                return Some(Progress::Done(reply.map_or(Flow::Next, Flow::from)));
            }
            Some(READ_BODY) => {
                self.park(at, Parked::Turn);
                return Some(Progress::Done(Flow::ReadBody));
            }
            // The coroutine is free for the next phase of anybody.
            Some(DONE) => {
                self.machine.recycle(thread);
                return None;
            }
            Some(WAIT) => self.park(at, current::take_parked().unwrap_or(Parked::Turn)),
            _ => self.park(at, Parked::Turn),
        }
        // Somebody who only let others go first must not starve the worker.
        self.wake_joiners_and_turns().then_some(Progress::Waiting)
    }

    /// What a handler printed without ending the request itself is the answer.
    fn printed(&self) -> Flow {
        if !matches!(self.frame.phase, "rewrite" | "access" | "preread") {
            return Flow::Next;
        }
        let Ok(Value::Table(out)) = self.frame.request.raw_get("out") else { return Flow::Next };
        let mut body = Vec::new();
        for part in out.sequence_values::<mlua::LuaString>().flatten() {
            body.extend_from_slice(&part.as_bytes());
        }
        let status = self.frame.request.raw_get::<Option<u16>>("status").ok().flatten().unwrap_or(200);
        let mut reply = Reply::new(status);
        reply.body = ReplyBody::Bytes(body.into());
        Flow::from(reply)
    }

    fn park(&mut self, at: usize, parked: Parked) {
        if let Some(task) = self.tasks.get_mut(at) {
            task.state = State::Parked(parked);
        }
    }

    /// Takes in the light threads that the last resume started.
    fn adopt(&mut self) {
        for Started { thread, parked } in current::take_started() {
            self.tasks.push(Task::new(thread, State::Parked(parked)));
        }
        let killed = current::take_killed();
        if !killed.is_empty() {
            self.tasks.retain(|task| !killed.contains(&(task.thread.to_pointer() as usize)));
        }
    }

    /// Remembers how a light thread ended, for `ngx.thread.wait`, and wakes who waits for it.
    fn end_thread(&mut self, thread: &Thread, outcome: mlua::Result<MultiValue>) {
        let address = thread.to_pointer() as usize;
        if self.tasks.first().is_some_and(|main| main.thread.to_pointer() as usize == address) {
            return;
        }
        if let Err(error) = self.machine.keep_outcome(thread, outcome) {
            tracing::error!("lua: the outcome of a light thread was lost: {error}");
        }
        self.tasks.retain(|task| task.thread.to_pointer() as usize != address);
        for task in &mut self.tasks {
            if let State::Parked(Parked::Join(waited)) = &task.state
                && waited.contains(&address)
            {
                task.state = State::Ready(MultiValue::new());
            }
        }
    }

    /// Whether somebody yielded without waiting for anything.
    fn wake_joiners_and_turns(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.state, State::Parked(Parked::Turn)))
    }

    /// Polls what is waited for; whoever has an answer becomes ready.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for task in &mut self.tasks {
            let next = match &mut task.state {
                State::Parked(Parked::Wait(wait)) => match wait.as_mut().poll(cx) {
                    Poll::Ready(answer) => {
                        let values = answer.into_iter().map(|out| out.into_value(&self.machine.lua));
                        // Out of memory: the coroutine goes on with nothing and finds out itself.
                        values.collect::<mlua::Result<MultiValue>>().unwrap_or_default()
                    }
                    Poll::Pending => continue,
                },
                State::Parked(Parked::Turn) => MultiValue::new(),
                _ => continue,
            };
            task.state = State::Ready(next);
            ready = true;
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Puts coroutines and request away for as long as they wait. Out of memory they stay at hand.
    fn put_away(&mut self, x: &mut Exchange) {
        let machine = &self.machine;
        for task in &mut self.tasks {
            task.put_away = Anchor::new(&machine.lua, &task.thread).ok();
            if task.put_away.is_some() {
                task.thread = machine.resting.clone();
            }
        }
        // The exchange has it; a run without an exchange of its own keeps it here.
        if x.slots.get::<Request>().is_some() || machine.keep_request(x, &self.frame.request).is_ok() {
            self.frame.request = machine.nobody.clone();
        }
    }

    fn take_out(&mut self, x: &mut Exchange) -> mlua::Result<()> {
        for task in &mut self.tasks {
            if let Some(kept) = task.put_away.take() {
                task.thread = kept.get()?;
            }
        }
        self.frame.request = self.machine.request(x)?;
        Ok(())
    }

    /// Waits and resumes until the phase is over or asks for the body.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub async fn finish(&mut self, x: &mut Exchange) -> Result<Flow, String> {
        loop {
            let mut yielded = false;
            self.put_away(x);
            poll_fn(|cx| {
                if self.tasks.iter().any(|task| matches!(task.state, State::Parked(Parked::Turn))) && !yielded {
                    yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.poll(cx)
            })
            .await;
            self.take_out(x).map_err(|error| describe(&error))?;
            match self.advance(x)? {
                Progress::Done(flow) => return Ok(flow),
                Progress::Waiting => {}
            }
        }
    }
}

fn kind(values: &MultiValue) -> Option<i64> {
    let mut values = values.iter();
    match (values.next(), values.next()) {
        (Some(Value::LightUserData(mark)), Some(Value::Integer(kind))) if *mark == system() => Some(*kind),
        #[allow(clippy::cast_possible_truncation)] // one of three small numbers
        (Some(Value::LightUserData(mark)), Some(Value::Number(kind))) if *mark == system() => Some(*kind as i64),
        _ => None,
    }
}

/// What the engine is told when a plugin failed: 500, and one line in the error log.
#[must_use]
pub fn failed(phase: &str, error: &str) -> Flow {
    Flow::from(Fault::plugin(format!("{phase}: {error}")))
}

/// Makes the exchange the one that Lua sees for one call.
pub fn entered<T>(x: &mut Exchange, may_wait: bool, call: impl FnOnce() -> T) -> T {
    let _entered = Entered::new(x, may_wait);
    call()
}
