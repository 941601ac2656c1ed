//! Event hooks: others are told when an entity changes or a target's health does. Events wait in a bounded queue and are
//! sent one after another by a task of their own, so that no call and no request waits for a receiver.
//!
//! What an event looks like to its receiver stands in [`message`]; who hears of what, here.

mod message;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gibbon_model::Registry;
use gibbon_pdk::HttpClient;
use gibbon_plan::Change;
use gibbon_store::{Documents, Query, Row, StoreError, Tags};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, crud, failure};

/// Events that may wait; further ones are dropped and counted in the log.
const QUEUE: usize = 1000;
/// Tries per event, and the pause before the second; it doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// How often targets are looked at for changes of health, while a hook wants to know.
const HEALTH_BEAT: Duration = Duration::from_secs(1);
/// Hooks looked through per event, and messages remembered for `snooze` and `on_change`.
const MOST: usize = 1000;
const REMEMBERED: usize = 10_000;

/// Kinds of which nobody is told: records of the audit would tell of themselves without end, and the rest concerns
/// plugins' own bookkeeping.
const UNTOLD: &[&str] = &[
    "acme_storage",
    "audit_objects",
    "audit_requests",
    "oauth2_authorization_codes",
    "oauth2_tokens",
    "ratelimiting_metrics",
    "session_metadatas",
    "sessions",
    "parameters",
    "clustering_data_planes",
    "tags",
];
const OPERATIONS: [&str; 3] = ["create", "update", "delete"];

/// Something that happened.
#[derive(Clone, Debug)]
struct Event {
    source: &'static str,
    /// What hooks may ask for, the broadest first: `consumers`, `consumers:create`.
    names: Vec<String>,
    payload: Value,
}

/// An event on its way to one hook.
struct Delivery {
    hook: Row,
    event: Event,
}

/// Who hears of events.
pub struct Hooks {
    /// None where hooks are off or nothing can be sent.
    queue: Option<mpsc::Sender<Delivery>>,
    http: Option<Arc<dyn HttpClient>>,
    waiting: Mutex<Option<mpsc::Receiver<Delivery>>>,
    /// When each message was last sent: for `snooze`; and the last one of each hook: for `on_change`.
    sent: Mutex<HashMap<(Uuid, String), (Instant, String)>>,
}

impl Hooks {
    pub fn new(enabled: bool, http: Option<Arc<dyn HttpClient>>) -> Hooks {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Hooks { queue: enabled.then_some(queue), http, waiting: Mutex::new(Some(waiting)), sent: Mutex::default() }
    }

    /// Tells of changes of entities.
    pub async fn tell_of_changes(&self, documents: &Documents, changes: &[Change]) {
        let told: Vec<Event> = changes.iter().filter_map(|change| of_change(&documents.registry, change)).collect();
        self.tell(documents, told).await;
    }

    async fn tell(&self, documents: &Documents, events: Vec<Event>) {
        let Some(queue) = self.queue.as_ref().filter(|_| !events.is_empty()) else { return };
        let hooks = match documents.conductor.read(stored).await {
            Ok(hooks) => hooks,
            Err(error) => return tracing::warn!(target: "admin", "event hooks cannot be read: {error}"),
        };
        for event in events {
            for hook in hooks.iter().filter(|hook| wants(hook, &event) && self.is_due(hook, &event)) {
                let delivery = Delivery { hook: hook.clone(), event: event.clone() };
                if queue.try_send(delivery).is_err() {
                    tracing::warn!(target: "admin", "an event of source {} is dropped: {QUEUE} wait already", event.source);
                }
            }
        }
    }

    /// Whether a hook that asked to be told of changes only, or not again for a while, is to hear of it.
    fn is_due(&self, hook: &Row, event: &Event) -> bool {
        let only_changes = hook.document.get("on_change") == Some(&Value::Bool(true));
        let snooze = hook.document.get("snooze").and_then(Value::as_u64).unwrap_or(0);
        if !only_changes && snooze == 0 {
            return true;
        }
        let name = event.names.last().cloned().unwrap_or_default();
        let (message, now) = (event.payload.to_string(), Instant::now());
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= REMEMBERED {
            sent.clear();
        }
        let due = match sent.get(&(hook.id, name.clone())) {
            None => true,
            Some((at, last)) => {
                let asleep = snooze > 0 && now.duration_since(*at) < Duration::from_secs(snooze);
                *last != message || (!asleep && !only_changes)
            }
        };
        if due {
            sent.insert((hook.id, name), (now, message));
        }
        due
    }

    /// Sends one event, a few times if need be.
    async fn deliver(&self, delivery: &Delivery) {
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            match self.send(&delivery.hook, &delivery.event).await {
                Ok(_) => return,
                Err(error) if attempt == TRIES => {
                    tracing::error!(target: "admin", "event hook {}: {error}", delivery.hook.id);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    async fn send(&self, hook: &Row, event: &Event) -> Result<u16, String> {
        match message::of(&hook.document, event.source, &event.names, &event.payload)? {
            message::Message::Log(line) => {
                tracing::info!(target: "admin", "event hook {}: {line}", hook.id);
                Ok(200)
            }
            message::Message::Call(request) => {
                let http = self.http.as_ref().ok_or("this node sends nothing")?;
                let answer = http.call(*request).await.map_err(|error| error.to_string())?;
                if answer.status < 400 {
                    Ok(answer.status)
                } else {
                    Err(format!("the receiver answered {}", answer.status))
                }
            }
        }
    }
}

impl Admin {
    /// Sends events to their hooks, and looks for changes of health. Runs as long as the node does.
    pub async fn run_hooks(self: Arc<Admin>) {
        let waiting = self.hooks.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting.filter(|_| self.hooks.queue.is_some()) else { return };
        let watcher = Arc::clone(&self);
        tokio::spawn(async move { watcher.watch_health().await });
        while let Some(delivery) = waiting.recv().await {
            self.hooks.deliver(&delivery).await;
        }
    }

    async fn watch_health(&self) {
        let mut beat = tokio::time::interval(HEALTH_BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen: HashMap<(Uuid, String), &'static str> = HashMap::new();
        loop {
            beat.tick().await;
            let upstreams = match self.documents.conductor.read(upstreams_if_wanted).await {
                Ok(Some(upstreams)) => upstreams,
                Ok(None) | Err(_) => continue,
            };
            let mut events = Vec::new();
            for upstream in upstreams {
                let Some(report) = self.node.upstream(upstream.id).await else { continue };
                let name = upstream.document.get("name").and_then(Value::as_str).unwrap_or_default();
                let places = report.targets.iter().flat_map(|target| target.addresses.iter().map(move |a| (target, a)));
                for (target, address) in places {
                    let place = (upstream.id, format!("{}:{}", address.ip, address.port));
                    let health = address.health.as_str();
                    let before = seen.insert(place, health);
                    if before.is_some_and(|before| before != health) {
                        let payload = json!({
                            "upstream_id": upstream.id.to_string(), "upstream": name, "hostname": target.host,
                            "ip": address.ip.to_string(), "port": address.port, "health": health.to_ascii_lowercase(),
                        });
                        events.push(Event { source: "balancer", names: vec!["health".into()], payload });
                    }
                }
            }
            self.hooks.tell(&self.documents, events).await;
        }
    }
}

fn of_change(registry: &Registry, change: &Change) -> Option<Event> {
    let def = registry.get(&change.entity).filter(|_| !UNTOLD.contains(&&*change.entity))?;
    let shown = |document: &Option<Arc<Value>>| {
        let fields = document.as_ref()?.as_object()?.clone();
        Some(Value::Object(def.present(fields)))
    };
    let (before, after) = (shown(&change.before), shown(&change.after));
    let operation = match (&before, &after) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    let mut payload = Map::new();
    payload.insert("operation".into(), operation.into());
    payload.insert("schema".into(), change.entity.as_ref().into());
    if operation == "update" {
        payload.insert("old_entity".into(), before.clone().into());
    }
    payload.insert("entity".into(), after.or(before).into());
    let names = vec![change.entity.to_string(), format!("{}:{operation}", change.entity)];
    Some(Event { source: "crud", names, payload: Value::Object(payload) })
}

fn wants(hook: &Row, event: &Event) -> bool {
    let text = |name: &str| hook.document.get(name).and_then(Value::as_str);
    text("source") == Some(event.source)
        && text("event").is_none_or(|wanted| event.names.iter().any(|name| name == wanted))
}

fn all_of(rows: &mut dyn gibbon_store::Rows, entity: &str, limit: usize) -> Result<Vec<Row>, StoreError> {
    let query =
        Query { entity: entity.into(), workspace: None, parent: None, tags: Tags::Whatever, after: None, limit };
    rows.page(&query)
}

fn stored(rows: &mut dyn gibbon_store::Rows) -> Result<Vec<Row>, StoreError> {
    all_of(rows, "event_hooks", MOST)
}

fn upstreams_if_wanted(rows: &mut dyn gibbon_store::Rows) -> Result<Option<Vec<Row>>, StoreError> {
    let is_wanted = |hook: &Row| hook.document.get("source").and_then(Value::as_str) == Some("balancer");
    if !stored(rows)?.iter().any(is_wanted) {
        return Ok(None);
    }
    all_of(rows, "upstreams", REMEMBERED).map(Some)
}

/// Sources with their events and what each tells.
fn sources_of(registry: &Registry) -> Map<String, Value> {
    let mut changes = Map::new();
    for def in registry.iter().filter(|def| !UNTOLD.contains(&def.name.as_ref())) {
        let fields = json!({ "fields": ["operation", "entity", "old_entity", "schema"] });
        changes.insert(def.name.to_string(), fields.clone());
        for operation in OPERATIONS {
            changes.insert(format!("{}:{operation}", def.name), fields.clone());
        }
    }
    let health = json!({ "fields": ["upstream_id", "upstream", "hostname", "ip", "port", "health"] });
    let mut sources = Map::new();
    sources.insert("balancer".into(), json!({ "health": health }));
    sources.insert("crud".into(), changes.into());
    sources
}

/// `/event-hooks/sources`
pub fn sources(admin: &Admin) -> Answer {
    Answer::ok(json!({ "data": sources_of(&admin.documents.registry) }))
}

/// `/event-hooks/sources/{source}`
pub fn source(admin: &Admin, name: &str) -> Answer {
    match sources_of(&admin.documents.registry).get(name) {
        Some(events) => Answer::ok(json!({ "data": events })),
        None => Answer::not_found(),
    }
}

/// `/event-hooks/{h}/ping`: sends the receiver a message that says it is none.
pub async fn ping(admin: &Admin, call: &Call) -> Answer {
    let hook = match hook(admin, call).await {
        Ok(hook) => hook,
        Err(answer) => return answer,
    };
    if hook.document.get("handler").and_then(Value::as_str) != Some("webhook") {
        return Answer::bad("only hooks with the handler webhook can be pinged");
    }
    let payload = json!({ "source": "kong:event_hooks", "event": "ping", "event_hooks": [hook.id.to_string()] });
    sent(admin, &hook, Event { source: "kong:event_hooks", names: vec!["ping".into()], payload }).await
}

/// `/event-hooks/{h}/test`: sends the payload of the call as if it were an event.
pub async fn test(admin: &Admin, call: &Call) -> Answer {
    let (hook, payload) = match (hook(admin, call).await, call.body.fields_as_sent()) {
        (Ok(hook), Ok(payload)) => (hook, payload),
        (Err(answer), _) | (_, Err(answer)) => return answer,
    };
    let name = hook.document.get("event").and_then(Value::as_str).unwrap_or("test").to_owned();
    let event = Event { source: "test", names: vec![name], payload: Value::Object(payload) };
    sent(admin, &hook, event).await
}

async fn hook(admin: &Admin, call: &Call) -> Result<Row, Answer> {
    let def = admin.documents.registry.get("event_hooks").map(Arc::clone).ok_or_else(Answer::not_found)?;
    crud::existing(admin, call, &def, call.parameter(0)).await
}

async fn sent(admin: &Admin, hook: &Row, event: Event) -> Answer {
    match admin.hooks.send(hook, &event).await {
        Ok(status) => {
            let data = event.payload.clone();
            Answer::ok(json!({ "data": data, "result": { "status": status } }))
        }
        Err(error) => Answer::message(StatusCode::BAD_GATEWAY, format!("the event was not delivered: {error}")),
    }
}

/// What is wrong with the settings of a hook beyond its schema.
///
/// # Errors
/// The answer that says so.
pub fn check(admin: &Admin, fields: &Map<String, Value>) -> Result<(), Answer> {
    let faults = message::faults(fields, &sources_of(&admin.documents.registry));
    if faults.is_empty() { Ok(()) } else { Err(failure::schema_violation(&faults)) }
}
