//! The thread behind the conductor.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gibbon_model::Registry;
use gibbon_plan::{Change, CompileError, Funnel, Plan};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::backend::{Add, Writer};
use crate::conductor::{Declaration, Making, now};
use crate::error::{ChangeError, StoreError};
use crate::memory::{Memory, Table, table_of};
use crate::query::{Query, Rows, Tags};
use crate::references::Secrets;
use crate::rules::{Write, settle};
use crate::saved;
use crate::told::Told;

/// How many waiting jobs share one commit.
const GROUP: usize = 512;
/// How many rows or changes are read at once.
const CHUNK: usize = 5_000;

/// How many rows are compiled at once when all are, and how many such pages are read ahead.
const PAGE: usize = 1_000;
const PAGES_AHEAD: usize = 4;

/// How long the start waits for secrets; what is not known then is used as soon as it is.
const FIRST_SECRETS: Duration = Duration::from_secs(10);
/// How long a change waits for the secrets it refers to.
const NEW_SECRETS: Duration = Duration::from_secs(3);

/// What plugins keep for themselves for a time, and what concerns the Admin API alone. They are looked up in the store
/// when needed and never enter the plan, so they are not told to it either.
const NOT_IN_THE_PLAN: &[&str] = &[
    "acme_storage",
    "admins",
    "audit_objects",
    "audit_requests",
    "clustering_data_planes",
    "event_hooks",
    "group_rbac_roles",
    "groups",
    "oauth2_authorization_codes",
    "oauth2_tokens",
    "ratelimiting_metrics",
    "rbac_role_endpoints",
    "rbac_role_entities",
    "rbac_roles",
    "rbac_user_groups",
    "rbac_user_roles",
    "rbac_users",
    "session_metadatas",
    "sessions",
];

/// Whether changes of that kind are compiled and told to other nodes.
pub(crate) fn is_planned(entity: &str) -> bool {
    !NOT_IN_THE_PLAN.contains(&entity)
}

type Watching = Box<dyn Fn(&[Change]) + Send + Sync>;

/// Who is told of changes that are in force.
#[derive(Default)]
pub(crate) struct Watcher(OnceLock<Watching>);

impl Watcher {
    pub(crate) fn set(&self, watching: Watching) {
        let _ = self.0.set(watching);
    }

    fn tell(&self, changes: &[Change]) {
        if let Some(watching) = self.0.get().filter(|_| !changes.is_empty()) {
            watching(changes);
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;

/// What the thread is asked to do.
pub(crate) enum Job {
    Commit { writes: Vec<Write>, reply: Reply<Vec<Change>> },
    Replace { declaration: Declaration, reply: Reply<()> },
    SetParameter { name: String, value: String, reply: Reply<()> },
    Count { add: Add, reply: Reply<i64> },
    KeepUp { reply: Reply<()> },
    Refresh { reply: Reply<()> },
}

/// A job that went well so far; it is answered when the group is committed.
enum Done {
    Changed(Reply<Vec<Change>>, Vec<Change>),
    Counted(Reply<i64>, i64),
    Kept(Reply<()>),
}

impl Done {
    fn answer(self, error: Option<&StoreError>) {
        let failed = error.map(|e| ChangeError::Store(e.clone()));
        match self {
            Done::Changed(reply, changes) => drop(reply.send(failed.map_or(Ok(changes), Err))),
            Done::Counted(reply, value) => drop(reply.send(failed.map_or(Ok(value), Err))),
            Done::Kept(reply) => drop(reply.send(failed.map_or(Ok(()), Err))),
        }
    }
}

/// Everything the thread works with.
pub(crate) struct Machine {
    registry: Arc<Registry>,
    funnel: Arc<Funnel>,
    writer: Option<Box<dyn Writer>>,
    memory: Memory,
    directory: Option<PathBuf>,
    /// The number of the last change that is in the plan.
    compiled: u64,
    secrets: Arc<dyn Secrets>,
    told: Told,
    watcher: Arc<Watcher>,
}

/// All rows of a kind, page by page, as changes that bring them in.
struct Pages {
    /// What the next page is; nothing after the last.
    query: Option<Query>,
}

impl Pages {
    fn of(entity: &str) -> Pages {
        let query = Query {
            entity: entity.into(),
            workspace: None,
            parent: None,
            tags: Tags::Whatever,
            after: None,
            limit: PAGE,
        };
        Pages { query: Some(query) }
    }

    fn are_read(&self) -> bool {
        self.query.is_none()
    }

    fn next(&mut self, rows: &mut dyn Rows) -> Result<Vec<Change>, StoreError> {
        let Some(query) = &mut self.query else { return Ok(Vec::new()) };
        let page = rows.page(query)?;
        query.after = page.last().map(|row| row.id);
        let insert = |row: crate::Row| Change {
            entity: Arc::clone(&query.entity),
            id: row.id,
            workspace: row.workspace,
            before: None,
            after: Some(row.document),
        };
        let is_last = page.len() < PAGE;
        let changes = page.into_iter().map(insert).collect();
        if is_last {
            self.query = None;
        }
        Ok(changes)
    }
}

/// What a group of jobs did to the plan that is being made.
#[derive(Default)]
struct Group {
    done: Vec<Done>,
    staged: Vec<Change>,
    /// What changes in the store.
    made: Vec<Change>,
    plan: Option<Arc<Plan>>,
    last: u64,
}

impl Machine {
    pub(crate) fn new(making: Making) -> Self {
        Machine {
            registry: making.registry,
            funnel: making.funnel,
            secrets: making.secrets,
            writer: None,
            memory: Memory::default(),
            directory: None,
            compiled: 0,
            told: Told::default(),
            watcher: Arc::default(),
        }
    }

    pub(crate) fn watcher(&self) -> Arc<Watcher> {
        Arc::clone(&self.watcher)
    }

    pub(crate) fn declare_into(&mut self, memory: Memory, directory: Option<PathBuf>) {
        self.memory = memory;
        self.directory = directory;
    }

    pub(crate) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < GROUP
                && let Ok(job) = waiting.try_recv()
            {
                jobs.push(job);
            }
            match self.writer.take() {
                Some(mut writer) => {
                    self.run_group(&mut *writer, jobs);
                    self.writer = Some(writer);
                }
                None => jobs.into_iter().for_each(|job| self.run_declarative(job)),
            }
        }
    }

    // ---- over a datastore

    /// Compiles everything that is stored. What is locked is compiled when it is unlocked.
    pub(crate) fn load(&mut self, mut writer: Box<dyn Writer>) -> Result<(), StoreError> {
        if writer.is_locked() {
            tracing::error!("the stored configuration is encrypted with keys that are not here; nothing is in force");
            self.writer = Some(writer);
            return Ok(());
        }
        writer.begin()?;
        let result = self.recompile(&mut *writer);
        writer.rollback();
        self.writer = Some(writer);
        result
    }

    fn recompile(&mut self, writer: &mut dyn Writer) -> Result<(), StoreError> {
        let mut result = Ok(());
        let registry = Arc::clone(&self.registry);
        self.funnel.clear();
        self.told = Told::default();
        let kinds = registry.iter().filter(|def| def.primary_key == ["id"] && is_planned(&def.name));
        for def in kinds {
            writer.read(&mut |rows| {
                if result.is_ok() {
                    result = self.compile_kind(rows, &def.name);
                }
            });
        }
        result?;
        let mut sequence = Ok(0);
        writer.read(&mut |rows| sequence = rows.sequence());
        self.compiled = sequence?;
        self.secrets.settle(FIRST_SECRETS);
        self.stage_refreshed(&mut Group::default());
        self.funnel.publish(self.funnel.stage(&[], None).map_err(|e| StoreError::new(e.to_string()))?);
        Ok(())
    }

    /// Looks up what waiting writes refer to before a transaction is open, so that none has to wait for a vault.
    fn prepare_secrets(&self, jobs: &[Job]) {
        let writes = jobs.iter().flat_map(|job| match job {
            Job::Commit { writes, .. } => writes.as_slice(),
            _ => &[],
        });
        self.told.references().prepare(writes, &self.registry, &*self.secrets, NEW_SECRETS);
    }

    /// Compiles what secrets are now. One that does not fit where it belongs leaves the one before in force, and is named.
    fn stage_refreshed(&mut self, group: &mut Group) {
        let hash = self.funnel.publisher.current().hash.clone();
        for change in self.told.refreshed(&self.registry, &*self.secrets) {
            match self.funnel.stage(std::slice::from_ref(&change), hash.clone()) {
                Ok(plan) => {
                    group.plan = Some(plan);
                    group.staged.push(change);
                }
                Err(error) => {
                    tracing::error!("a secret was changed to one that does not fit; the one before is used: {error}");
                    self.told.keep(&change);
                }
            }
        }
    }

    /// Compiles the rows of a kind. A second thread reads and parses what comes next meanwhile: with many rows either takes
    /// seconds. It also keeps what is thrown away soon apart from what stays, so that the memory of the one can be used
    /// for the other.
    fn compile_kind(&mut self, rows: &mut dyn Rows, entity: &str) -> Result<(), StoreError> {
        let mut pages = Pages::of(entity);
        let first = pages.next(rows)?;
        if pages.are_read() {
            self.compile_stored(&first);
            return Ok(());
        }
        std::thread::scope(|scope| {
            let (ahead, read) = std::sync::mpsc::sync_channel::<Vec<Change>>(PAGES_AHEAD);
            let compile = move || {
                self.compile_stored(&first);
                read.iter().for_each(|changes| drop(self.compile_stored(&changes)));
            };
            let thread = std::thread::Builder::new().name("compile".into());
            thread.spawn_scoped(scope, compile).map_err(|e| StoreError::new(e.to_string()))?;
            while !pages.are_read() {
                if ahead.send(pages.next(rows)?).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Compiles what is stored already. What does not compile here was accepted by another version or by a node with
    /// other plugins: it is left out and named, and the rest is served.
    fn compile_stored(&mut self, changes: &[Change]) -> Option<Arc<Plan>> {
        match self.stage(changes.to_vec(), None).map(|(plan, _)| plan) {
            Ok(plan) => Some(plan),
            Err(error) if changes.len() < 2 => {
                tracing::error!("left out: {error}");
                None
            }
            Err(_) => {
                let mut plan = None;
                for change in changes {
                    plan = self.compile_stored(std::slice::from_ref(change)).or(plan);
                }
                plan
            }
        }
    }

    fn run_group(&mut self, writer: &mut dyn Writer, jobs: Vec<Job>) {
        self.prepare_secrets(&jobs);
        if let Err(error) = writer.begin() {
            return jobs.into_iter().for_each(|job| refuse(job, &error));
        }
        if let Err(error) = self.catch_up(writer) {
            writer.rollback();
            return jobs.into_iter().for_each(|job| refuse(job, &error));
        }
        let before = self.told.clone();
        let mut group = Group { last: self.compiled, ..Group::default() };
        for job in jobs {
            self.run_job(writer, job, &mut group);
        }
        match writer.commit() {
            Ok(()) => {
                self.compiled = group.last;
                if let Some(plan) = group.plan {
                    self.funnel.publish(plan);
                }
                self.watcher.tell(&group.made);
                group.done.into_iter().for_each(|done| done.answer(None));
            }
            Err(error) => {
                tracing::error!("changes were not committed: {error}");
                writer.rollback();
                self.funnel.take_back(&group.staged);
                self.told = before;
                group.done.into_iter().for_each(|done| done.answer(Some(&error)));
            }
        }
    }

    /// Compiles what other nodes committed since the last look, and puts it in force.
    fn catch_up(&mut self, writer: &mut dyn Writer) -> Result<(), StoreError> {
        loop {
            let mut news = Ok(Some(Vec::new()));
            let compiled = self.compiled;
            writer.read(&mut |rows| news = rows.changes_after(compiled, CHUNK));
            let Some(news) = news? else {
                tracing::info!("too many changes were missed; the whole configuration is read again");
                return self.recompile(writer);
            };
            let Some((last, _)) = news.last() else { return Ok(()) };
            self.compiled = *last;
            let changes: Vec<Change> = news.into_iter().map(|(_, change)| change).collect();
            if let Some(plan) = self.compile_stored(&changes) {
                self.funnel.publish(plan);
            }
            self.watcher.tell(&changes);
        }
    }

    fn run_job(&mut self, writer: &mut dyn Writer, job: Job, group: &mut Group) {
        match job {
            Job::Commit { writes, reply } => match self.change(writer, &writes, group) {
                Ok(changes) => group.done.push(Done::Changed(reply, changes)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Job::SetParameter { name, value, reply } => match writer.set_parameter(&name, &value) {
                Ok(()) => group.done.push(Done::Kept(reply)),
                Err(error) => drop(reply.send(Err(error.into()))),
            },
            Job::Count { add, reply } => match writer.count(&add) {
                Ok(value) => group.done.push(Done::Counted(reply, value)),
                Err(error) => drop(reply.send(Err(error.into()))),
            },
            Job::KeepUp { reply } => {
                if let Err(error) = self.sweep(writer, group) {
                    tracing::warn!("rows whose time is over stay: {error}");
                }
                group.done.push(Done::Kept(reply));
            }
            Job::Refresh { reply } => {
                self.stage_refreshed(group);
                group.done.push(Done::Kept(reply));
            }
            Job::Replace { reply, .. } => {
                let error = StoreError::new("this node's configuration is in a datastore");
                drop(reply.send(Err(error.into())));
            }
        }
    }

    /// Settles, compiles and writes one list.
    fn change(
        &mut self,
        writer: &mut dyn Writer,
        writes: &[Write],
        group: &mut Group,
    ) -> Result<Vec<Change>, ChangeError> {
        let mut settled = Ok(Vec::new());
        writer.read(&mut |rows| settled = settle(&self.registry, rows, writes, now()));
        let settled = settled?;
        if settled.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Vec<Change> = settled.iter().map(|s| s.change.clone()).collect();
        let planned: Vec<Change> = changes.iter().filter(|c| is_planned(&c.entity)).cloned().collect();
        let before = self.told.clone();
        let (plan, told) = match planned.is_empty() {
            true => (None, Vec::new()),
            false => self.stage(planned, None).map(|(plan, told)| (Some(plan), told))?,
        };
        match writer.write(&settled) {
            Ok(sequence) => {
                group.last = group.last.max(sequence);
                group.staged.extend(told);
                group.made.extend(changes.iter().cloned());
                group.plan = plan.or(group.plan.take());
                Ok(changes)
            }
            Err(error) => {
                self.funnel.take_back(&told);
                self.told = before;
                Err(error.into())
            }
        }
    }

    /// Compiles changes; returns them as the plan was told of them.
    fn stage(&mut self, changes: Vec<Change>, hash: Option<Arc<str>>) -> Result<(Arc<Plan>, Vec<Change>), ChangeError> {
        let before = self.told.clone();
        let told = self.told.expand(changes, &self.registry, &*self.secrets).map_err(ChangeError::Refused);
        let staged = told.and_then(|told| {
            let plan = self.funnel.stage(&told, hash).map_err(|e| refusal(&e))?;
            Ok((plan, told))
        });
        if staged.is_err() {
            self.told = before;
        }
        staged
    }

    /// Deletes rows whose time is over.
    fn sweep(&mut self, writer: &mut dyn Writer, group: &mut Group) -> Result<(), StoreError> {
        let mut over = Ok(Vec::new());
        writer.read(&mut |rows| over = rows.expired(now(), CHUNK));
        writer.forget_counters(now())?;
        for (entity, workspace, id) in over? {
            if let Err(error) = self.change(writer, &[Write::Delete { entity, workspace, id }], group) {
                tracing::warn!("a row whose time is over stays: {error}");
            }
        }
        Ok(())
    }

    // ---- declarative

    fn run_declarative(&mut self, job: Job) {
        match job {
            Job::Replace { declaration, reply } => drop(reply.send(self.replace(declaration))),
            Job::Commit { reply, .. } => drop(reply.send(Err(ChangeError::ReadOnly))),
            Job::SetParameter { reply, .. } => drop(reply.send(Err(ChangeError::ReadOnly))),
            Job::Count { reply, .. } => drop(reply.send(Err(ChangeError::ReadOnly))),
            Job::KeepUp { reply } => drop(reply.send(Ok(()))),
            Job::Refresh { reply } => {
                let mut group = Group::default();
                self.stage_refreshed(&mut group);
                if let Some(plan) = group.plan {
                    self.funnel.publish(plan);
                }
                drop(reply.send(Ok(())));
            }
        }
    }

    fn replace(&mut self, declaration: Declaration) -> Result<(), ChangeError> {
        let mut writes = declaration.writes;
        self.memory.look(|old| keep_times(old, &mut writes, declaration.stamped));
        let table = table_of(&self.registry, &writes, now())?;
        self.told.references().prepare(writes.iter(), &self.registry, &*self.secrets, NEW_SECRETS);
        let changes: Vec<Change> = self.memory.look(|old| difference(&self.registry, old, &table));
        let (plan, _) = self.stage(changes.clone(), Some(declaration.hash.clone()))?;
        if let Some(directory) = &self.directory
            && let Err(error) = saved::save(directory, &declaration.hash, &table)
        {
            tracing::error!("the configuration is in force but was not kept for the next start: {error}");
        }
        self.memory.replace(table);
        self.funnel.publish(plan);
        self.watcher.tell(&changes);
        Ok(())
    }
}

fn refuse(job: Job, error: &StoreError) {
    let error = || ChangeError::Store(error.clone());
    match job {
        Job::Commit { reply, .. } => drop(reply.send(Err(error()))),
        Job::Count { reply, .. } => drop(reply.send(Err(error()))),
        Job::Replace { reply, .. }
        | Job::SetParameter { reply, .. }
        | Job::KeepUp { reply }
        | Job::Refresh { reply } => drop(reply.send(Err(error()))),
    }
}

fn refusal(error: &CompileError) -> ChangeError {
    ChangeError::Refused(error.to_string())
}

/// Entities that are the same but for the times that were set when they were read keep the times they have.
fn keep_times(old: &Table, writes: &mut [Write], stamped: f64) {
    for write in writes {
        let Write::Put { entity, id, document, .. } = write else { continue };
        let Some(row) = old.row(entity, *id) else { continue };
        if let Some(kept) = with_times_of(document, &row.document, stamped)
            && kept == *row.document
        {
            *document = Arc::clone(&row.document);
        }
    }
}

fn with_times_of(new: &Value, old: &Value, stamped: f64) -> Option<Value> {
    let mut kept = new.clone();
    let fields = kept.as_object_mut()?;
    for name in ["created_at", "updated_at"] {
        let is_automatic = fields.get(name).and_then(Value::as_f64).is_some_and(|at| (at - stamped).abs() < 1.0);
        if is_automatic && let Some(time) = old.get(name) {
            fields.insert(name.to_owned(), time.clone());
        }
    }
    Some(kept)
}

/// The changes that lead from one table to the other: deletions first, children before parents, then the rest, parents
/// before children.
fn difference(registry: &Registry, old: &Table, new: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    let kinds = || registry.iter().map(|def| def.name.as_ref()).filter(|kind| is_planned(kind));
    for kind in kinds().rev() {
        for row in old.of(kind).filter(|row| new.row(kind, row.id).is_none()) {
            changes.push(change(kind, row.id, row.workspace, Some(&row.document), None));
        }
    }
    for kind in kinds() {
        for row in new.of(kind) {
            match old.row(kind, row.id) {
                Some(before) if Arc::ptr_eq(&before.document, &row.document) || before.document == row.document => {}
                before => {
                    changes.push(change(kind, row.id, row.workspace, before.map(|b| &b.document), Some(&row.document)))
                }
            }
        }
    }
    changes
}

fn change(entity: &str, id: Uuid, workspace: Uuid, before: Option<&Arc<Value>>, after: Option<&Arc<Value>>) -> Change {
    Change { entity: entity.into(), id, workspace, before: before.cloned(), after: after.cloned() }
}
