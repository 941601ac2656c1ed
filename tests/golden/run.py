#!/usr/bin/env python3
"""Replays the recorded scenarios of tests/golden/kong against a built gateway.

    run.py                          every scenario
    run.py routing headers          these themes
    run.py routing/methods          one scenario: prints each difference
    run.py --full routing/methods   and each differing step whole, as a unified diff
    run.py --list plugins           what there is
    run.py --by-file routing        start the gateway with a declarative file for each scenario: needs no Admin API

The gateway is started here, once per profile (see kong/profiles.md), on free ports and in a prefix of its own. A
scenario passes when its answers equal the recording; differences that are meant are listed with a reason in
differences.yaml, and scenarios that wait for something unbuilt are listed there as pending. The run fails when a
scenario fails that is not pending, or when a listed difference was not met; a pending one that passes is named, so
that it is taken off the list.

Needs Python 3 with PyYAML, and openssl; steps over HTTP/2 need curl and are skipped without it.
"""
import argparse, contextlib, copy, difflib, http.client, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time, traceback, uuid

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KONG = os.path.join(HERE, "kong")
START_SECONDS, STOP_SECONDS = 30, 10

# Settings beside the listeners; PLAIN and TLS stand for the proxy ports. kong/profiles.md says the same in words.
PROFILES = {
    "default": {},
    "expressions": {"router_flavor": "expressions"},
    "traditional": {"router_flavor": "traditional"},
    "trusted": {"trusted_ips": "0.0.0.0/0,::/0", "allow_debug_header": "on", "port_maps": "80:PLAIN, 443:TLS"},
    "tuned": {"headers": "off", "headers_upstream": "off", "nginx_http_client_max_body_size": "1k", "error_default_type": "application/json"},
    "tracing": {"tracing_instrumentations": "all", "tracing_sampling_rate": "1.0"},
    "postgres": {"database": "sqlite", "worker_consistency": "strict", "db_update_frequency": "0.2"},
}


# ---------------------------------------------------------------- ports

def free_port():
    """A port nobody else is given for a minute: our side closes first, so it rests in TIME_WAIT."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)      # else even a server with the option could not bind it
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        server.close()
        client.close()
        return listener.getsockname()[1]


def free_base(offsets, tries=200):
    """A base port such that base + each offset is free, below the range that the system hands out by itself."""
    start = 12000 + os.getpid() * 7 % 8000
    for n in range(tries):
        base = 12000 + (start - 12000 + n * 500) % 18000
        with contextlib.ExitStack() as stack:
            try:
                for offset in offsets:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        s = stack.enter_context(socket.socket(socket.AF_INET, kind))
                        s.bind(("127.0.0.1", base + offset))
                return base
            except OSError:
                continue
    sys.exit("no free ports for the upstreams")


# golden.py's servers take their ports from this variable when they are imported.
os.environ.setdefault("GOLDEN_PORT_BASE", str(free_base([1, 2, 3, 4, 9, 100, 101, 443])))
sys.path.insert(0, KONG)
sys.dont_write_bytecode = True
import golden, upstream  # noqa: E402


# ---------------------------------------------------------------- the gateway

class Gateway:
    """One gateway with a profile's settings, to be configured through its Admin API or started with a file."""

    def __init__(self, binary, profile):
        self.binary, self.profile, self.process = binary, profile, None
        self.prefix = tempfile.mkdtemp(prefix="golden-gateway-")
        self.ports = {name: free_port() for name in ("proxy", "tls", "admin", "status")}
        self.target = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}

    def start(self, config=None):
        """Starts, or starts again; with a declarative file, waits for the proxy port alone."""
        self.end()
        at = self.target
        settings = {
            "prefix": self.prefix, "database": "off", "nginx_worker_processes": "1", "anonymous_reports": "off", "admin_gui_listen": "off",
            "proxy_listen": f"{at['proxy']}, {at['tls']} ssl http2", "admin_listen": at["admin"], "status_listen": at["status"],
            **{k: v.replace("PLAIN", str(self.ports["proxy"])).replace("TLS", str(self.ports["tls"])) for k, v in PROFILES[self.profile].items()},
        }
        if config:
            settings["declarative_config"] = config
        env = {k: v for k, v in os.environ.items() if not k.startswith(("KONG_", "GIBBON_"))}
        env.update({"KONG_" + k.upper(): v for k, v in settings.items()})
        with open(os.path.join(self.prefix, "output.log"), "wb") as output:
            self.process = subprocess.Popen([self.binary, "run"], env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            why = self.wait_listening("proxy") if config else self.wait_answering("status") or self.wait_answering("admin")
        except BaseException:
            self.stop()
            raise
        if why and not config:
            self.stop()
            sys.exit(why)
        return why

    def wait(self, ready, what):
        """Asks again and again; none when it is so, else what to say."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                return f"the gateway ended with {self.process.returncode} (profile {self.profile})\n{self.logs()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ready():
                    return None
            time.sleep(0.02)
        return f"{what} was not ready within {START_SECONDS} s (profile {self.profile})\n{self.logs()}"

    def wait_answering(self, name):
        def ready():
            c = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=2)
            c.request("GET", "/status")
            return c.getresponse().status == 200
        return self.wait(ready, f"the {name} API")

    def wait_listening(self, name):
        def ready():
            socket.create_connection(("127.0.0.1", self.ports[name]), timeout=2).close()
            return True
        return self.wait(ready, f"the {name} port")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def logs(self, size=4000):
        out = []
        names = [os.path.join(self.prefix, "output.log")] + [os.path.join(self.prefix, "logs", "error.log")]
        for name in names:
            with contextlib.suppress(OSError):
                with open(name, errors="replace") as f:
                    text = f.read()[-size:].strip()
                out.append(f"--- {os.path.basename(name)}\n{text}" if text else "")
        return "\n".join(filter(None, out))

    def end(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"profile {self.profile}: not stopped within {STOP_SECONDS} s of SIGTERM, killed")
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def stop(self, keep=False):
        self.end()
        if keep:
            print(f"kept the prefix {self.prefix}")
        else:
            shutil.rmtree(self.prefix, ignore_errors=True)


class FileRunner(golden.Runner):
    """Configures by starting the gateway with a declarative file for each scenario; leaves out what needs the Admin API."""
    gateway = None

    def configure(self, sc, t, v):
        cfg, probe = sc["config"], None
        if isinstance(cfg, str):
            text = self.subst(cfg, v)
        else:
            cfg = self.subst(copy.deepcopy(cfg), v)
            cfg.setdefault("_format_version", "3.0")
            if not any(golden.is_global(p) for p in cfg.get("plugins") or []):
                probe = self.add_probe(cfg, sc)
            text = json.dumps(cfg)
        path = os.path.join(self.tmp, "kong.yml")
        with open(path, "w") as f:
            f.write(text)
        why = self.gateway.start(path)
        if why:
            return {"status": 400, "refused": why}
        if probe:
            asked = {"do": "GET /golden-probe", "host": probe}
            self.gateway.wait(lambda: self.exchange(asked, t, v).get("status") == 502, "the configuration")
        else:
            time.sleep(0.5)
        return {"status": 201}

    def add_probe(self, cfg, sc):
        """A route that answers 502 once the configuration is in force; its host."""
        host = f"probe-{uuid.uuid4().hex[:12]}.invalid"
        route = {"name": "golden-probe", "hosts": [host], "paths": ["/golden-probe"]}
        if sc.get("profile") == "expressions":
            route = {"name": "golden-probe", "expression": f'http.host == "{host}"', "priority": 1}
        service = {"name": "golden-probe", "url": f"http://127.0.0.1:{upstream.PORTS['DEAD']}", "retries": 0, "routes": [route]}
        cfg["services"] = (cfg.get("services") or []) + [service]
        return host

    def step(self, st, t, v):
        if isinstance(st, dict) and st.get("to") in ("admin", "status"):
            return {"skipped": "no Admin API"}
        return super().step(st, t, v)

    def needs_admin(self, sc):
        """Refused configurations are judged by the Admin API's answer, and a database is filled through it."""
        return "config" not in sc or sc.get("profile") == "postgres" or sc.get("expect_config_error")


# ---------------------------------------------------------------- what is allowed

class Allowed:
    """differences.yaml: entries {scenario, path, reason[, got]} and pending entries {scenario, reason}, patterns as regular expressions."""

    def __init__(self, path):
        with open(path) as f:
            text = yaml.safe_load(f) or {}
        self.differences, self.pending = text.get("differences") or [], text.get("pending") or []
        for e in self.differences + self.pending:
            if not str(e.get("reason") or "").strip():
                sys.exit(f"{path}: an entry without a reason: {e}")
        self.fresh = set(text.get("fresh") or [])
        self.used = set()

    def is_fresh(self, name):
        return name in self.fresh

    def difference(self, name, path, got):
        for i, e in enumerate(self.differences):
            if re.fullmatch(e["scenario"], name) and re.search(e["path"], path) and ("got" not in e or re.search(e["got"], golden.short(got, 10000))):
                self.used.add(i)
                return e
        return None

    def is_pending(self, name):
        return next((e for e in self.pending if re.fullmatch(e["scenario"], name)), None)

    def unused(self, names):
        """Entries that some scenario of this run could have met, and none did."""
        for i, e in enumerate(self.differences):
            if i not in self.used and not e.get("sometimes") and any(re.fullmatch(e["scenario"], n) for n in names):
                yield e


# ---------------------------------------------------------------- running

class Scenario:
    def __init__(self, path):
        self.path = path
        self.body = golden.load(path)
        self.theme = os.path.basename(os.path.dirname(path))
        self.name = f"{self.theme}/{os.path.splitext(os.path.basename(path))[0]}"
        self.profile = self.body.get("profile", "default")

    def recording(self):
        with open(os.path.join(KONG, "recordings", self.name + ".json")) as f:
            want = json.load(f)
        want.pop("name", None)
        return want, want.pop("flaky", [])


def choose(wanted):
    every = [Scenario(p) for p in golden.find([os.path.join(KONG, "scenarios")])]
    chosen = [s for s in every if not wanted or s.theme in wanted or s.name in wanted or any(os.path.abspath(w) == s.path for w in wanted)]
    missing = [w for w in wanted if not any(w in (s.theme, s.name) or os.path.abspath(w) == s.path for s in every)]
    if missing:
        sys.exit(f"no such theme or scenario: {', '.join(missing)}")
    return sorted(chosen, key=lambda s: (s.profile, s.name))


def judge(s, runner, allowed):
    """Runs one scenario: its result, its unexplained differences, the explained ones, and both sides for a full view."""
    target = runner.targets[s.profile]
    try:
        got = runner.run(s.body)
    except Exception:  # a broken answer must not end the whole run
        return "error", [("", "", traceback.format_exc(limit=3))], [], None
    want, flaky = s.recording()
    if isinstance(runner, FileRunner):
        if want["setup"].get("status") != 201:
            return "skipped", [], [], None
        for n, st in enumerate(s.body.get("steps", [])):
            if isinstance(st, dict) and st.get("to") in ("admin", "status"):
                want["steps"][n] = got["steps"][n] = {}
    want = golden.comparable(runner.mask(want, target, s.body), runner.rules)
    got = golden.comparable(got, runner.rules)
    hard, soft = [], []
    for path, expected, answer in golden.diff(want, got):
        if any(path == p or path.startswith((p + ".", p + "[")) for p in flaky):
            continue
        entry = allowed.difference(s.name, path, answer)
        (soft if entry else hard).append((path, expected, answer))
    return ("differs" if hard else "passes"), hard, soft, (want, got)


def step_of(s, path):
    m = re.match(r"\.steps\[(\d+)\]", path)
    steps = s.body.get("steps", [])
    return golden.short(steps[int(m[1])], 160) if m and int(m[1]) < len(steps) else "the configuration"


def show_first(s, hard):
    path, expected, got = hard[0]
    if not path:
        return print("    " + got.strip().replace("\n", "\n    "))
    print(f"    at {path} after {step_of(s, path)}\n      recorded {golden.short(expected, 200)}\n      got      {golden.short(got, 200)}")
    if len(hard) > 1:
        print(f"      and {len(hard) - 1} more")


def show_all(s, hard, soft, sides, side_by_side):
    """Every difference, by step; then, if wished, each differing step as a unified diff."""
    print(f"    {s.body.get('purpose', '')}")
    for path, expected, got in soft:
        print(f"    allowed at {path}: recorded {golden.short(expected, 100)}, got {golden.short(got, 100)}")
    step = None
    for path, expected, got in hard:
        if not path:
            return show_first(s, hard)
        if step_of(s, path) != step:
            step = step_of(s, path)
            print(f"    {step}")
        print(f"      at {path}\n        recorded {golden.short(expected, 2000)}\n        got      {golden.short(got, 2000)}")
    if not side_by_side:
        return
    want, got = sides
    for n in sorted({int(m[1]) for p, _, _ in hard if (m := re.match(r"\.steps\[(\d+)\]", p))}):
        print(f"\n    step {n}: {step_of(s, f'.steps[{n}]')}")
        a, b = (readable(x["steps"][n] if n < len(x["steps"]) else None) for x in (want, got))
        print("\n".join("    " + line for line in difflib.unified_diff(a, b, "recorded", "got", lineterm="", n=2)))


def readable(step):
    """JSON by lines, a header with one value on one line."""
    return re.sub(r"\[\n\s+(.+)\n\s+\]", r"[\1]", golden.compact(step)).splitlines()


def find_binary(given):
    names = [given, os.environ.get("GIBBON_BIN")] if given or os.environ.get("GIBBON_BIN") else []
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    built = [os.path.join(target, kind, "gibbon") for kind in ("debug", "release")]
    names += sorted(filter(os.path.exists, built), key=os.path.getmtime, reverse=True)
    for name in filter(None, names):
        if os.access(name, os.X_OK):
            return os.path.abspath(name)
    sys.exit("no gateway binary: build it (cargo build -p gibbon), or name one with --binary or GIBBON_BIN")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("wanted", nargs="*", help="themes, scenarios (THEME/NAME) or scenario files")
    ap.add_argument("--binary", help="the gateway to test (default: GIBBON_BIN, then the newest under target/)")
    ap.add_argument("--list", action="store_true", help="name the scenarios and stop")
    ap.add_argument("--full", action="store_true", help="show each differing step whole, as a unified diff")
    ap.add_argument("--strict", action="store_true", help="treat pending scenarios like all others")
    ap.add_argument("--by-file", action="store_true", help="configure by a declarative file at start; leave out what needs the Admin API")
    ap.add_argument("--keep", action="store_true", help="keep the gateways' prefixes (logs) afterwards")
    ap.add_argument("--json", help="write the results here")
    a = ap.parse_args()
    scenarios = choose(a.wanted)
    if a.list:
        for s in scenarios:
            print(f"{s.name:50} {s.profile:12} {s.body.get('purpose', '')}")
        return 0
    binary = find_binary(a.binary)
    allowed = Allowed(os.path.join(HERE, "differences.yaml"))
    if not os.path.exists(os.path.join(KONG, "certs", "upstream.key")):
        subprocess.run(["sh", os.path.join(KONG, "certs.sh")], check=True)
    rules = golden.load(os.path.join(KONG, "rules.yaml"))
    runner = (FileRunner if a.by_file else golden.Runner)({}, upstream.start(os.path.join(KONG, "certs")), rules)
    results, gateway, began, bad = [], None, time.monotonic(), 0
    every_difference = a.full or len(scenarios) == 1
    try:
        for s in scenarios:
            if a.by_file and runner.needs_admin(s.body):
                results.append({"name": s.name, "theme": s.theme, "result": "skipped"})
                continue
            if gateway and (gateway.profile != s.profile or not gateway.alive() or allowed.is_fresh(s.name)):
                gateway.stop(a.keep)
                gateway = None
            if not gateway:
                gateway = Gateway(binary, s.profile)
                runner.targets[s.profile] = gateway.target
                runner.gateway = gateway
                if not a.by_file:
                    gateway.start()
            started = time.monotonic()
            result, hard, soft, sides = judge(s, runner, allowed)
            if not gateway.alive():
                result = "error"
                hard = [("", "", f"the gateway ended with {gateway.process.returncode}\n{gateway.logs()}")]
            pending = None if a.strict else allowed.is_pending(s.name)
            if pending:
                result = "pending" if hard else "passes though pending"
            failed = result not in ("passes", "pending", "skipped", "passes though pending")
            bad += failed
            results.append({"name": s.name, "theme": s.theme, "profile": s.profile, "result": result, "allowed": [p for p, _, _ in soft],
                            "differences": [{"path": p, "recorded": x, "got": y} for p, x, y in hard]})
            print(f"{result:8} {s.name} {time.monotonic() - started:.1f} s" + (f" ({len(soft)} allowed)" if soft else ""), flush=True)
            if every_difference and (hard or soft):
                show_all(s, hard, soft, sides, a.full)
            elif failed and hard:
                show_first(s, hard)
    finally:
        shutil.rmtree(runner.tmp_root, ignore_errors=True)
        if gateway:
            gateway.stop(a.keep)
    for e in allowed.unused([s.name for s in scenarios]) if not a.by_file else ():
        bad += 1
        print(f"listed but not met: {e['scenario']} at {e['path']}")
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)
    print()
    for theme in sorted({r["theme"] for r in results}):
        of = [r["result"] for r in results if r["theme"] == theme]
        print(f"{theme:10} " + ", ".join(f"{of.count(k)} {k}" for k in sorted(set(of))))
    early = [r["name"] for r in results if r["result"] == "passes though pending"]
    if early:
        print(f"take off the pending list: {', '.join(early)}")
    good = sum(r["result"].startswith("passes") for r in results)
    waiting = sum(r["result"] in ("pending", "skipped") for r in results)
    print(f"{time.monotonic() - began:.0f} s")
    print(f"golden: {good} passed, {len(results) - good - waiting} failed, {waiting} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
