"""What is measured: one entry per scenario, in the order of the report.

A scenario names its setup, the load, and its contenders. Most are "every gateway that can, with the same setup"; where the
question is what a feature costs, the contenders are Gibbon with and without it.
"""
from dataclasses import dataclass, field, replace

from gateways import Setup

EVERY = ("gibbon", "nginx", "haproxy", "envoy")


@dataclass
class Scenario:
    name: str
    title: str
    setup: Setup = Setup()
    load: dict = field(default_factory=dict)        # for the stand's `drive`: protocol, tls, connections, streams, requests
    against: tuple = EVERY                          # gateways with this setup
    baseline: tuple = ()                            # (label, setup, load) of Gibbon itself, to compare with
    kind: str = "drive"                             # drive | idle | streams | start
    fixed_rate: bool = True                         # measure latency at a fixed rate as well
    rate: int = 0                                   # that rate per second, in place of a share of what is possible
    slow: bool = False                              # only with --all or by name: takes minutes to set up
    bar: tuple = ()                                 # what is to hold of CPU per request against a contender: (label, at most, "times" | "µs more")


def load(protocol="http1", connections=64, tls=False, streams=1, **requests):
    return {"protocol": protocol, "connections": connections, "tls": tls, "streams": streams, "requests": requests}


PLAIN = load()
KEYED = load(headers=[["apikey", "key-{i}"]], spread=1)
ROUTED = dict(host="h{g}.test", path="/p{i}/{n}", headers=[["x-class", "bench"]], groups=1000)
AUTH = ("key-auth", "rate-limiting")
TEN = ("correlation-id", "request-transformer", "response-transformer", "cors", "ip-restriction", "bot-detection", "key-auth", "acl", "rate-limiting", "prometheus")
PLAIN_ITSELF = (("gibbon plain", Setup(), PLAIN),)
KEYED_ITSELF = (("gibbon key-auth", Setup(plugins=("key-auth",), consumers=1000), load(headers=[["apikey", "key-{i}"]], spread=1000)),)


EVERY_FIGURE = (("prometheus", {"per_consumer": True, "status_code_metrics": True, "latency_metrics": True, "bandwidth_metrics": True, "upstream_health_metrics": True}),)
# Nobody listens there: what is measured is what a request pays.
ONE_IN_A_HUNDRED = (("opentelemetry", {"traces_endpoint": "http://127.0.0.1:9/v1/traces", "sampling_rate": 0.01}),)

LUA_NOTHING = (("pre-function", {"access": ["return function() end"]}),)
LUA_HEADER = (("pre-function", {"access": ["return function() kong.service.request.set_header('x-copy', kong.request.get_header('x-given')) end"]}),)
GIVEN = load(headers=[["x-given", "one"]])
# The same in Rust.
COPY_ITSELF = (("gibbon request-transformer", Setup(plugins=("request-transformer",), configs=(("request-transformer", {"add": {"headers": ["x-copy:$(headers['x-given'])"]}}),)), GIVEN),)


def times(most, label="gibbon plain"):
    return label, most, "times"


def more(most, label="gibbon plain"):
    return label, most, "µs more"


def routes(count, **more):
    return Scenario(f"routes-{count}", f"{count:,} routes, every path unique", Setup(routes=count), load(**ROUTED, spread=count), ("gibbon",), PLAIN_ITSELF, fixed_rate=False, **more)


def consumers(count, **more):
    return Scenario(f"consumers-{count}", f"key-auth + rate-limiting, {count:,} consumers drawn at random", Setup(plugins=AUTH, consumers=count),
                    load(headers=[["apikey", "key-{i}"]], spread=count), ("gibbon",), PLAIN_ITSELF, fixed_rate=False, bar=times(1.08), **more)


CHAT = '{"model":"stand","messages":[{"role":"user","content":"What is the answer?"}]}'


def chat(connections=64, stream=False, **more):
    """A chat of 1 KB."""
    text = '{"model":"stand"' + (',"stream":true' if stream else "") + ',"messages":[{"role":"user","content":"' + "What is the answer? " * 48 + '"}]}'
    return load(method="POST", path="/v1/chat/completions", text=text, headers=[["Content-Type", "application/json"]], connections=connections, **more)


def chats(name, title, setup, direct, **more):
    """A chat through ai-proxy, beside the same one without the plugin and without a gateway."""
    return Scenario(name, title, setup, chat(), ("gibbon", "litellm", "portkey"), (("gibbon without ai-proxy", Setup(direct), chat()), ("direct", Setup(direct), chat())), rate=1000, **more)


SCENARIOS = [
    Scenario("plain-200", "plain proxy, 200-byte answers", load=PLAIN),
    Scenario("plain-10k", "plain proxy, 10 KB answers", Setup("medium"), PLAIN),
    Scenario("plain-log", "plain proxy, 200 bytes, access log on", Setup(access_log=True), PLAIN, fixed_rate=False),
    Scenario("post-1k", "POST of 1 KB", load=load(method="POST", body=1000), fixed_rate=False),
    Scenario("post-1m", "POST of 1 MB, passed on as it comes", Setup(stream_bodies=True), load(method="POST", body=1_000_000, connections=16), fixed_rate=False),
    Scenario("tls-keepalive", "TLS, keep-alive", load=load(tls=True)),
    Scenario("tls-full", "TLS, a new connection and full handshake per request", load=load("connect", 32, tls=True), fixed_rate=False),
    Scenario("tls-resumed", "TLS, a new connection and resumed session per request", load=load("resume", 32, tls=True), fixed_rate=False),
    Scenario("connect", "a new plain connection per request", load=load("connect", 32), fixed_rate=False),
    Scenario("http2-1", "HTTP/2 over TLS, 64 connections with 1 stream", load=load("http2", 64, tls=True)),
    Scenario("http2-100", "HTTP/2 over TLS, 4 connections with 100 streams", load=load("http2", 4, tls=True, streams=100), fixed_rate=False),
    Scenario("grpc", "gRPC unary over TLS, 8 connections with 10 streams", Setup("grpc", grpc=True), load("grpc", 8, tls=True, streams=10, method="POST", path="/bench.Echo/Say"), fixed_rate=False),
    Scenario("websocket", "WebSocket, 64-byte messages there and back", Setup("websocket"), load("websocket", 64), fixed_rate=False),
    Scenario("events", "server-sent events, 1,000 streams of 10 a second", Setup("events"), load("events", 1000), fixed_rate=False),
    Scenario("slow", "an upstream that takes 20 ms, 1,000 clients", Setup("slow"), load(connections=1000), fixed_rate=False),
    Scenario("churn", "an upstream that closes after each answer", Setup("closing"), PLAIN, fixed_rate=False),
    Scenario("chat", "LLM chat passed through, 700-byte answers", Setup("chat"), load(method="POST", text=CHAT, headers=[["Content-Type", "application/json"]]), fixed_rate=False),
    Scenario("chat-stream", "LLM stream passed through, 52 events an answer", Setup("chat-stream"), load(method="POST", text=CHAT, headers=[["Content-Type", "application/json"]]), fixed_rate=False),
    chats("ai-chat", "LLM chat of 1 KB through ai-proxy, as it is", Setup("chat", ai="openai"), "chat"),
    chats("ai-convert", "LLM chat of 1 KB through ai-proxy, OpenAI's format in, Anthropic's out", Setup("message", ai="anthropic"), "message"),
    Scenario("ai-stream", "LLM streams through ai-proxy, 52 events an answer, each in a segment of its own, 1,000 clients", Setup("chat-stream", ai="openai"),
             chat(1000, stream=True), ("gibbon",), fixed_rate=False),
    Scenario("ai-block", "LLM streams through ai-proxy, 1,002 events an answer, in blocks", Setup("chat-block", ai="openai"), chat(stream=True), ("gibbon",), fixed_rate=False),
    Scenario("ai-held", "memory per open LLM stream, 8,000 of them", Setup("chat-held", ai="openai"), chat(8000, stream=True), ("gibbon",), kind="streams"),
    Scenario("ai-held-1000", "memory per open LLM stream, 1,000 of them", Setup("chat-held", ai="openai"), chat(1000, stream=True), ("gibbon",), kind="streams"),
    Scenario("auth-limit", "key-auth + rate-limiting", Setup(plugins=AUTH, consumers=1), KEYED, ("gibbon",), PLAIN_ITSELF, fixed_rate=False, bar=times(1.05)),
    Scenario("ten-plugins", "ten plugins", Setup(plugins=TEN, consumers=1), KEYED, ("gibbon",), PLAIN_ITSELF, fixed_rate=False, bar=more(1.0)),
    Scenario("prometheus", "key-auth + prometheus with figures of 1,000 consumers", Setup(plugins=("key-auth", "prometheus"), consumers=1000, configs=EVERY_FIGURE),
             load(headers=[["apikey", "key-{i}"]], spread=1000), ("gibbon",), KEYED_ITSELF, fixed_rate=False, bar=times(1.03, "gibbon key-auth")),
    Scenario("tracing", "opentelemetry, 1 % of requests sampled", Setup(plugins=("opentelemetry",), configs=ONE_IN_A_HUNDRED), PLAIN, ("gibbon",), PLAIN_ITSELF, fixed_rate=False,
             bar=times(1.03)),
    Scenario("lua-nothing", "Lua that does nothing, in access", Setup(plugins=("pre-function",), configs=LUA_NOTHING), PLAIN, ("gibbon",), PLAIN_ITSELF, fixed_rate=False, bar=more(1.0)),
    Scenario("lua-header", "Lua that reads a header and sets another", Setup(plugins=("pre-function",), configs=LUA_HEADER), GIVEN, ("gibbon",), COPY_ITSELF, fixed_rate=False,
             bar=more(3.0, "gibbon request-transformer")),
    Scenario("lua-compiled", "the same without a time limit, so that Lua is compiled", Setup(plugins=("pre-function",), configs=LUA_HEADER, settings=(("lua_time_limit", "0"),)), GIVEN,
             ("gibbon",), COPY_ITSELF, fixed_rate=False, bar=more(3.0, "gibbon request-transformer")),
    Scenario("four-workers", "key-auth + one shared rate limit, four workers on the one core", Setup(plugins=AUTH, consumers=1, workers=4), KEYED, ("gibbon",),
             (("gibbon one worker", Setup(plugins=AUTH, consumers=1), KEYED),), fixed_rate=False),
    Scenario("changes", "100,000 routes in the database, one changed every second", Setup(routes=100_000, database=True, changing=True),
             load(host="h{g}.test", path="/p{i}/{n}", headers=[["x-class", "bench"]], groups=1000, spread=50_000), ("gibbon",),
             (("gibbon undisturbed", Setup(routes=100_000, database=True), load(host="h{g}.test", path="/p{i}/{n}", headers=[["x-class", "bench"]], groups=1000, spread=50_000)),)),
    routes(1000), routes(100_000), routes(1_000_000, slow=True),
    consumers(1_000_000, slow=True),
    Scenario("start", "second start until the first answer, one route", load=PLAIN, kind="start"),
    Scenario("start-json", "second start until the first answer, 100,000 routes in JSON", Setup(routes=100_000), load(**ROUTED), ("gibbon",), kind="start"),
    Scenario("start-yaml", "second start until the first answer, 100,000 routes in YAML", Setup(routes=100_000, yaml=True), load(**ROUTED), ("gibbon",), kind="start"),
    Scenario("idle-plain", "memory per idle client", load=load(connections=5000), kind="idle"),
    Scenario("idle-tls", "memory per idle TLS client", load=load(connections=5000, tls=True), kind="idle"),
]


def contenders(scenario, names):
    """(label, gateway name, setup, load) of everyone who takes part, in order."""
    out = [(name, name, scenario.setup, scenario.load) for name in scenario.against if name in names]
    if "gibbon" in names:
        out += [(label, "direct" if label == "direct" else "gibbon", setup, load) for label, setup, load in scenario.baseline]
    return out


def choose(wanted, every):
    known = {s.name: s for s in SCENARIOS}
    missing = [w for w in wanted if w not in known]
    if missing:
        raise SystemExit(f"no scenario {', '.join(missing)}; there are {', '.join(known)}")
    return [known[w] for w in wanted] if wanted else [s for s in SCENARIOS if every or not s.slow]
