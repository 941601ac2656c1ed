//! Limits of tokens and money.

use std::sync::{Arc, Condvar, Mutex};

use gibbon_testkit::client::{self, Client, Response};
use gibbon_testkit::servers;
use gibbon_testkit::upstream::{Connection, Upstream};
use serde_json::{Value, json};

use crate::*;

fn limiter(config: Value) -> Value {
    json!({"name": "ai-rate-limiting-advanced", "config": config})
}

#[test]
fn tokens_are_limited_by_what_calls_used() {
    let up = provider(200, "application/json", OPENAI);
    let limits =
        json!({"llm_providers": [{"name": "openai", "limit": [20], "window_size": [3600]}], "window_type": "fixed"});
    let rig = gateway_with(&[limiter(limits), ai_proxy("openai", target("openai", &up, json!({})))]);
    let answers: Vec<Response> = (0..3).map(|_| send(&rig, "/", &chat(false))).collect();
    let statuses: Vec<u16> = answers.iter().map(Response::status).collect();
    // The second finds 17 of 20 used; the third more than there is.
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(answers[1].header("x-ai-ratelimit-remaining-hour-openai"), Some("3"));
    assert_eq!(answers[2].header("x-ai-ratelimit-limit-hour-openai"), Some("20"));
    assert!(answers[2].header("retry-after").is_some());
    let message = answers[2].json().unwrap()["message"].clone();
    assert_eq!(message, "AI token rate limit exceeded for provider(s): openai");
    assert_eq!(up.requests().len(), 2);
}

#[test]
fn money_is_limited_by_policies_that_may_only_warn() {
    let up = provider(200, "application/json", OPENAI);
    let priced = target("openai", &up, json!({"input_cost": 1_000_000, "output_cost": 1_000_000}));
    let policy = |limit: f64, on_limit: &str| {
        json!({"limits": [{"limit": limit, "window_size": 86400, "tokens_count_strategy": "cost"}],
        "window_type": "fixed", "on_limit": on_limit, "match": [{"type": "header", "key": "x-team", "partition_by": true}]})
    };
    let rig = gateway_with(&[
        limiter(json!({"policies": [policy(10.0, "warn"), policy(30.0, "reject")]})),
        ai_proxy("openai", priced),
    ]);
    let ask = |team: &str| {
        let request = post("/", &chat(false)).replacen("Host:", &format!("X-Team: {team}\r\nHost:"), 1);
        let answer = client::once(rig.proxy, request).unwrap();
        (answer.status(), answer.header("x-ai-ratelimit-warning").map(str::to_owned))
    };
    let warned = || Some("policy-1".to_owned());
    assert_eq!([ask("a"), ask("a"), ask("a")], [(200, None), (200, warned()), (429, warned())]);
    // Each team has counts of its own.
    assert_eq!(ask("b"), (200, None));
}

#[test]
fn a_reservation_refuses_what_could_not_be_paid_and_is_put_right_after_the_call() {
    let up = provider(200, "application/json", OPENAI);
    let limits = json!({"llm_providers": [{"name": "openai", "limit": [300], "window_size": [3600]}], "window_type": "fixed", "reserve": true});
    let rig = gateway_with(&[limiter(limits), ai_proxy("openai", target("openai", &up, json!({})))]);
    let ask = |most: u32| {
        let mut body = chat(false);
        body["max_tokens"] = json!(most);
        send(&rig, "/", &body)
    };
    assert_eq!(ask(5000).status(), 429);
    assert!(up.requests().is_empty());
    // Each reserves some 140 of 300 and uses 17: far more than two pass, one after the other.
    let statuses: Vec<u16> = (0..6).map(|_| ask(100).status()).collect();
    assert_eq!(statuses, [200; 6]);
}

/// A provider that answers when it is told to; how many calls wait is what the test waits for.
fn held_back() -> (Upstream, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate);
    let up = Upstream::serve(move |mut c: Connection| {
        while c.read_request()?.is_some() {
            inner.pass();
            c.answer(200, &[("Content-Type", "application/json")], OPENAI)?;
        }
        Ok(())
    })
    .unwrap();
    (up, gate)
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// Asks so many times at once: the statuses, those of answers that had to wait for the provider last.
fn at_once(rig: &Rig, calls: usize, most: u32, gate: &Gate, up: &Upstream, expected: usize) -> Vec<u16> {
    std::thread::scope(|scope| {
        let ask = || {
            let mut body = chat(false);
            body["max_tokens"] = json!(most);
            send(rig, "/", &body).status()
        };
        let asking: Vec<_> = (0..calls).map(|_| scope.spawn(ask)).collect();
        let mut made = 0;
        eventually("the calls that may be made", || {
            made += up.requests().len();
            made >= expected
        });
        gate.open();
        asking.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

#[test]
fn calls_at_once_never_use_more_than_was_reserved() {
    // A body of some 130 bytes and 60 tokens of answer are about 93 tokens: five of them fit into 500, six do not.
    for strategy in ["local", "redis"] {
        let redis = servers::redis().unwrap();
        let (up, gate) = held_back();
        let limits = json!({"llm_providers": [{"name": "openai", "limit": [500], "window_size": [2_592_000]}],
            "window_type": "fixed", "reserve": true, "strategy": strategy,
            "redis": {"host": "127.0.0.1", "port": redis.address().port()}});
        let plugins = [limiter(limits), ai_proxy("openai", target("openai", &up, json!({})))];
        let rig = rig_with_workers(&plugins, "2");
        let statuses = at_once(&rig, 16, 60, &gate, &up, 4);
        let passed = statuses.iter().filter(|status| **status == 200).count();
        // With counts shared between nodes, those that are refused may stand in the way of one that would have fitted.
        assert!(passed <= 5 && passed >= 4, "{strategy}: {statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{strategy}: {statuses:?}");
    }
}

#[test]
fn money_is_reserved_by_the_price_of_the_target_that_is_chosen() {
    let (up, gate) = held_back();
    // About 33 tokens of prompt at 1 and 60 of answer at 10: some 633 a call.
    let priced = target("openai", &up, json!({"input_cost": 1_000_000, "output_cost": 10_000_000}));
    let policy = json!({"limits": [{"limit": 2000, "window_size": 2_592_000, "tokens_count_strategy": "cost"}], "window_type": "fixed"});
    let plugins = [limiter(json!({"policies": [policy], "reserve": true})), ai_proxy("openai", priced)];
    let rig = rig_with_workers(&plugins, "2");
    let statuses = at_once(&rig, 8, 60, &gate, &up, 3);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
}

#[test]
fn counts_in_redis_hold_for_every_node_and_the_nodes_own_when_it_is_gone() {
    let mut redis = servers::redis().unwrap();
    let up = provider(200, "application/json", OPENAI);
    let limits = json!({"llm_providers": [{"name": "openai", "limit": [30], "window_size": [2_592_000]}], "window_type": "fixed",
        "strategy": "redis", "namespace": "shared", "redis": {"host": "127.0.0.1", "port": redis.address().port()}});
    let plugins = [limiter(limits), ai_proxy("openai", target("openai", &up, json!({})))];
    let (first, second) = (gateway_with(&plugins), gateway_with(&plugins));
    let left = |rig: &Rig| {
        let answer = send(rig, "/", &chat(false));
        (answer.status(), answer.header("x-ai-ratelimit-remaining-month-openai").unwrap_or_default().to_owned())
    };
    assert_eq!(left(&first), (200, "30".to_owned()));
    // What was used is written behind the answer.
    eventually("the first node's count", || keys(redis.address()).iter().any(|count| count == "17"));
    assert_eq!(left(&second), (200, "13".to_owned()));
    eventually("both counts", || keys(redis.address()).iter().any(|count| count == "34"));
    assert_eq!(left(&first), (429, "0".to_owned()));
    redis.crash().unwrap();
    // This node knows of 17 tokens of its own.
    assert_eq!(left(&first), (200, "13".to_owned()));
}

/// The counts that lie in a Redis server.
fn keys(at: std::net::SocketAddr) -> Vec<String> {
    let mut server = Client::connect(at).unwrap();
    server.send("KEYS ai-rl:*\r\n").unwrap();
    let line = |server: &mut Client| String::from_utf8(server.read_until(b"\r\n").unwrap()).unwrap();
    let number = |text: &str| text.trim_end()[1..].parse::<usize>().unwrap();
    let count = number(&line(&mut server));
    let names: Vec<String> =
        (0..count).map(|_| (line(&mut server), line(&mut server)).1.trim_end().to_owned()).collect();
    let value = |name: &String| {
        server.send(format!("*2\r\n$3\r\nGET\r\n${}\r\n{name}\r\n", name.len())).unwrap();
        (line(&mut server), line(&mut server)).1.trim_end().to_owned()
    };
    names.iter().map(value).collect()
}

#[test]
fn a_policy_by_provider_is_looked_at_before_the_provider_is_asked() {
    let (a, b) = (provider(200, "application/json", OPENAI), provider(200, "application/json", ANTHROPIC));
    let mut first = target("openai", &a, json!({}));
    first["weight"] = json!(200);
    let targets = [first, target("anthropic", &b, json!({"anthropic_version": "1"}))];
    let policy = json!({"match": [{"type": "provider", "partition_by": true}], "window_type": "fixed",
        "limits": [{"limit": 10, "window_size": 2_592_000}]});
    let rig =
        gateway_with(&[limiter(json!({"policies": [policy]})), advanced(&targets, json!({"algorithm": "priority"}))]);
    let ask = || {
        let answer = send(&rig, "/", &chat(false));
        (answer.status(), answer.header("x-kong-llm-model").map(str::to_owned))
    };
    // Each call uses 17 of 10: when the first provider's tokens are used up the second's are, and then none are left.
    assert_eq!(ask(), (200, Some("openai/m".to_owned())));
    assert_eq!(ask(), (200, Some("anthropic/m".to_owned())));
    assert_eq!(ask(), (429, None));
    assert_eq!((a.requests().len(), b.requests().len()), (1, 1));
}

#[test]
fn keys_have_budgets_by_consumer_and_by_group_that_stop_or_warn() {
    let up = provider(200, "application/json", OPENAI);
    let budget = |who: &str, name: &str, limit: u32, period: &str, on_limit: &str| {
        json!({"match": [{"type": who, "values": [name]}], "on_limit": on_limit,
            "limits": [{"limit": limit, "window_size": 1, "period": period, "tokens_count_strategy": "cost"}]})
    };
    let priced = target("openai", &up, json!({"input_cost": 1_000_000, "output_cost": 1_000_000}));
    let config = json!({"_format_version": "3.0",
        "consumer_groups": [{"name": "team"}],
        "consumers": [
            {"username": "ann", "keyauth_credentials": [{"key": "key-of-ann"}]},
            {"username": "bob", "keyauth_credentials": [{"key": "key-of-bob"}], "groups": [{"name": "team"}]}],
        "services": [{"name": "llm", "url": "http://127.0.0.1:1", "routes": [{"name": "llm", "paths": ["/"], "strip_path": false}],
        "plugins": [{"name": "key-auth"}, ai_proxy("openai", priced), limiter(json!({"policies": [
            budget("consumer", "ann", 20, "day", "reject"), budget("consumer_group", "team", 10, "month", "warn")]}))]}]});
    let rig = Rig::start(&[("nginx_worker_processes", "1".to_owned())], &config.to_string());
    let ask = |key: &str| {
        let request = post("/", &chat(false)).replacen("Host:", &format!("apikey: {key}\r\nHost:"), 1);
        let answer = client::once(rig.proxy, request).unwrap();
        let reset = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        (answer.status(), answer.header("x-ai-ratelimit-warning").is_some(), reset.is_some_and(|s| s <= 86_400))
    };
    // A call costs 17.
    assert_eq!([ask("key-of-ann"), ask("key-of-ann")], [(200, false, false), (200, false, false)]);
    assert_eq!(ask("key-of-ann"), (429, false, true));
    assert_eq!([ask("key-of-bob"), ask("key-of-bob")], [(200, false, false), (200, true, false)]);
    assert_eq!(ask("key-of-nobody").0, 401);
}

#[test]
fn calls_served_in_a_cheaper_tier_cost_less() {
    let flex = OPENAI.replacen("\"id\"", "\"service_tier\":\"flex\",\"id\"", 1);
    let up = provider(200, "application/json", Box::leak(flex.into_boxed_str()));
    let priced = json!({"input_cost": 1_000_000, "output_cost": 1_000_000, "service_tier_factor": [{"tier": "flex", "factor": 0.5}]});
    let policy = json!({"limits": [{"limit": 100, "window_size": 2_592_000, "tokens_count_strategy": "cost"}], "window_type": "fixed"});
    let plugins = [limiter(json!({"policies": [policy]})), ai_proxy("openai", target("openai", &up, priced))];
    let rig = gateway_with(&plugins);
    send(&rig, "/", &chat(false));
    let left = send(&rig, "/", &chat(false)).header("x-ai-ratelimit-remaining-month-policy-1").map(str::to_owned);
    // 17 tokens at half a price of 1.
    assert_eq!(left.as_deref(), Some("91.5"));
}

#[test]
fn prices_come_from_a_list_where_the_configuration_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("prices.json");
    let text = json!({"models": [{"provider": "openai", "model": "m", "input": 1_000_000, "output": 2_000_000}]});
    std::fs::write(&list, text.to_string()).unwrap();
    let up = provider(200, "application/json", OPENAI);
    let policy = json!({"limits": [{"limit": 1000, "window_size": 2_592_000, "tokens_count_strategy": "cost"}], "window_type": "fixed"});
    let plugins = [limiter(json!({"policies": [policy]})), ai_proxy("openai", target("openai", &up, json!({})))];
    let settings = [("nginx_worker_processes", "1".to_owned()), ("ai_price_list", list.display().to_string())];
    let rig = Rig::start(&settings, &configuration(&plugins));
    send(&rig, "/", &chat(false));
    let left = send(&rig, "/", &chat(false)).header("x-ai-ratelimit-remaining-month-policy-1").map(str::to_owned);
    // 11 tokens at 1 and 6 at 2.
    assert_eq!(left.as_deref(), Some("977"));
}
