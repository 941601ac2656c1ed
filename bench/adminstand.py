"""What the figures of the Admin API are measured with: a gateway with a datastore, a PostgreSQL of its own, callers that keep their connections,
a client that asks as decK does, and tables filled with more entities than anybody would send one by one."""
import glob, json, os, pwd, random, selectors, shutil, signal, socket, sqlite3, subprocess, sys, threading, time, uuid

from gateways import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
OUT = os.path.join(ROOT, "target", "bench", "admin")
START_SECONDS = 300
JSON = "Content-Type: application/json\r\n"


def folder(name):
    path = os.path.join(OUT, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def until(what, is_so, seconds=START_SECONDS, pause=0.005):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"never: {what}")
        time.sleep(pause)


def request(method, path, body=None, headers=""):
    """A request as bytes."""
    text = b"" if body is None else json.dumps(body).encode()
    kind = JSON if text else ""
    return f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{kind}{headers}Content-Length: {len(text)}\r\n\r\n".encode() + text


class Caller:
    """One connection, one call after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """Status and body of the next answer."""
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status = int(head[9:12])
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return status, body

    def more(self):
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise ConnectionError("closed")
        self.rest += piece

    def raw(self, method, path, body=None):
        self.send(request(method, path, body))
        return self.answer()

    def call(self, method, path, body=None, expect=(200, 201, 204)):
        status, text = self.raw(method, path, body)
        if status not in expect:
            sys.exit(f"{method} {path}: {status} {text[:500].decode(errors='replace')}")
        return json.loads(text) if text else None

    def close(self):
        self.socket.close()


class Node:
    """A gateway with a datastore, in a folder of its own."""

    def __init__(self, binary, prefix, **settings):
        self.binary, self.prefix = binary, prefix
        self.proxy, self.admin, self.status = free_port(), free_port(), free_port()
        settings = {"prefix": prefix, "proxy_listen": f"127.0.0.1:{self.proxy} reuseport backlog=16384", "admin_listen": f"127.0.0.1:{self.admin}",
                    "status_listen": f"127.0.0.1:{self.status}", "admin_gui_listen": "off", "log_level": "warn", "anonymous_reports": "off",
                    "proxy_access_log": "off", "admin_access_log": "off", **settings}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("KONG_", "GIBBON_"))}
        self.env.update({"KONG_" + k.upper(): str(v) for k, v in settings.items()})

    def command(self, *words):
        subprocess.run([self.binary, *words], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        """Seconds until it is ready."""
        self.log = open(os.path.join(self.prefix, "output.log"), "wb")
        began = time.monotonic()
        self.process = subprocess.Popen([self.binary, "run"], env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until("the gateway is ready", self.is_ready)
        return time.monotonic() - began

    def is_ready(self):
        if self.process.poll() is not None:
            with open(self.log.name, errors="replace") as f:
                sys.exit(f"the gateway ended with {self.process.returncode}:\n{f.read()[-3000:]}")
        try:
            caller = Caller(self.status)
            status, _ = caller.raw("GET", "/status/ready")
            caller.close()
            return status == 200
        except (OSError, ConnectionError):
            return False

    def caller(self):
        return Caller(self.admin)

    def resident(self):
        """Resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024

    def cpu(self):
        """Seconds of processor time so far: what a figure costs, whoever else uses the machine."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Postgres:
    """A server with durable commits and one empty database."""

    def __init__(self):
        self.folder = folder("postgres")
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            sys.exit("no PostgreSQL: run tests/install")
        self.programs = os.path.dirname(found[-1])
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            # Root may not run it, and its folder must be reachable for whoever may.
            self.folder = os.path.join("/tmp", f"gibbon-bench-postgres-{os.getpid()}")
            os.makedirs(self.folder)
            entry = pwd.getpwnam(self.user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.port = free_port()
        data = os.path.join(self.folder, "data")
        self.run("initdb", "--auth=trust", "--username=gibbon", "--encoding=UTF8", "-D", data)
        self.process = subprocess.Popen([os.path.join(self.programs, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", ""], user=self.user,
                                        cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("PostgreSQL takes sessions", lambda: self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "gibbon", "gibbon", check=False), 60, 0.1)

    def run(self, program, *words, check=True):
        command = [os.path.join(self.programs, program), *words]
        return subprocess.run(command, user=self.user, cwd=self.folder, check=check, capture_output=True).returncode == 0

    def settings(self):
        return {"database": "postgres", "pg_host": "127.0.0.1", "pg_port": self.port, "pg_user": "gibbon", "pg_database": "gibbon"}

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


def sync_latency(path):
    """Mean milliseconds of one small write that waits for the disk, in that folder."""
    name, times = os.path.join(path, "sync"), 200
    with open(name, "wb", buffering=0) as f:
        began = time.monotonic()
        for _ in range(times):
            f.write(bytes(4096))
            os.fdatasync(f.fileno())
        took = time.monotonic() - began
    os.remove(name)
    return 1000 * took / times


def drive(port, clients, requests):
    """Sends each of the requests once, every client its next one when it is answered. Seconds, and sorted latencies in seconds."""
    waiting, latencies = iter(requests), []
    selector = selectors.DefaultSelector()

    def send_next(connection):
        following = next(waiting, None)
        if following is None:
            selector.unregister(connection.socket)
            connection.close()
            return
        connection.sent = time.monotonic()
        connection.send(following)

    connections = [Caller(port) for _ in range(clients)]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    began = time.monotonic()
    for connection in connections:
        send_next(connection)
    while selector.get_map():
        for key, _ in selector.select():
            connection = key.data
            status, body = connection.answer()
            if status not in (200, 201, 204):
                sys.exit(f"{status} {body[:500].decode(errors='replace')}")
            latencies.append(time.monotonic() - connection.sent)
            send_next(connection)
    return time.monotonic() - began, sorted(latencies)


# ---- what decK does

def state(count):
    """A decK file of so many entities: services with two routes and a plugin each, consumers with a key and a group, upstreams with three targets."""
    services = [{"name": f"s{n}", "host": f"u{n % 50}", "port": 80, "protocol": "http",
                 "routes": [{"name": f"s{n}r{r}", "paths": [f"/s{n}/r{r}"], "strip_path": True} for r in range(2)],
                 "plugins": [{"name": "rate-limiting", "config": {"minute": 1000 + n, "policy": "local"}}]} for n in range(count * 9 // 50)]
    consumers = [{"username": f"c{n}", "keyauth_credentials": [{"key": f"key-{n}"}], "acls": [{"group": "bench"}]} for n in range(count * 4 // 50)]
    upstreams = [{"name": f"u{n}", "targets": [{"target": f"10.0.{n}.{t}:80", "weight": 100} for t in range(3)]} for n in range(count // 100)]
    return {"_format_version": "1.1", "services": services, "consumers": consumers, "upstreams": upstreams}


def entities_of(file):
    return sum(1 + sum(len(v) for v in e.values() if isinstance(v, list) and v and isinstance(v[0], dict)) for kind in ("services", "consumers", "upstreams") for e in file[kind])


def deck(node, file):
    """Seconds of a sync by the real program."""
    path = os.path.join(node.prefix, "deck.json")
    with open(path, "w") as f:
        json.dump(file, f)
    quiet = {**os.environ, "DECK_ANALYTICS": "off"}
    run = lambda *words: subprocess.run(["deck", *words, "--kong-addr", f"http://127.0.0.1:{node.admin}"], env=quiet, capture_output=True, text=True)
    began = time.monotonic()
    done = run("sync", "-s", path)
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(f"deck: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return took


LISTS = ("services routes plugins certificates ca_certificates snis upstreams consumers consumer_groups vaults keys key-sets partials key-auths hmac-auths jwts "
         "basic-auths oauth2 acls").split()


def replay(node, file):
    """Seconds of a sync as current versions of decK do it: ten connections, lists and schemas first, then a PUT with an id of its own for each entity,
    what is referred to before what refers to it."""
    made = lambda: str(uuid.uuid4())
    levels = [[], [], [], []]
    for s in file["services"]:
        sid = made()
        levels[1].append(("PUT", f"/services/{sid}", {k: s[k] for k in ("name", "host", "port", "protocol")}))
        levels[2] += [("PUT", f"/routes/{made()}", {**r, "service": {"id": sid}}) for r in s["routes"]]
        levels[3] += [("PUT", f"/plugins/{made()}", {**p, "service": {"id": sid}}) for p in s["plugins"]]
    for c in file["consumers"]:
        cid = made()
        levels[0].append(("PUT", f"/consumers/{cid}", {"username": c["username"]}))
        levels[1] += [("PUT", f"/consumers/{cid}/key-auth/{made()}", k) for k in c["keyauth_credentials"]]
        levels[1] += [("PUT", f"/consumers/{cid}/acls/{made()}", a) for a in c["acls"]]
    for u in file["upstreams"]:
        uid = made()
        levels[1].append(("PUT", f"/upstreams/{uid}", {"name": u["name"]}))
        # It tries a PUT, which Kong takes for existing targets only, and then does this.
        levels[2] += [("POST", f"/upstreams/{uid}/targets", {"id": made(), **t}) for t in u["targets"]]
    first = [("GET", "/", None)] + [("GET", f"/{name}?size=1000", None) for name in LISTS]
    first += [("GET", f"/schemas/{name}", None) for name in ("services", "routes", "upstreams", "targets", "plugins/rate-limiting")]
    began = time.monotonic()
    for level in [first, *levels]:
        drive(node.admin, 10, [request(*r) for r in level])
    return time.monotonic() - began


# ---- many entities at once

class Copies:
    """Fills the embedded datastore of a stopped gateway with copies of rows that its Admin API made. Ids and names of a template are replaced in
    everything that was stored of it, so that the copies are what the gateway would have written."""
    ROWS = 20_000

    def __init__(self, prefix):
        self.database = sqlite3.connect(os.path.join(prefix, "gibbon.sqlite"))
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.execute("PRAGMA cache_size = -400000")

    def fill(self, count, templates):
        """`templates`: kind, id, and a function from (number, ids of that number) to [(text, what it becomes)]. Ids become ids of each copy's own."""
        seed = random.Random(1)
        ids = [{t: uuid.UUID(int=seed.getrandbits(128), version=4) for _, t, _ in templates} for _ in range(count)]
        for kind, template, texts in templates:
            self.copy(kind, template, texts, ids)
        self.database.commit()

    def copy(self, kind, template, texts, ids):
        own = uuid.UUID(template).bytes
        entity = self.database.execute("SELECT workspace, expires, document FROM entities WHERE kind = ? AND id = ?", (kind, own)).fetchone()
        keys = self.database.execute("SELECT name, workspace, value FROM keys WHERE kind = ? AND id = ?", (kind, own)).fetchall()
        links = self.database.execute("SELECT field, parent FROM links WHERE kind = ? AND id = ?", (kind, own)).fetchall()

        def rows(number):
            mine = ids[number]
            renamed = [(old, str(new)) for old, new in mine.items()] + texts(number)

            def copied(text):
                for old, new in renamed:
                    text = text.replace(old, new)
                return text
            me = mine[template].bytes
            parents = {uuid.UUID(old).bytes: new.bytes for old, new in mine.items()}
            return ((kind, me, entity[0], entity[1], copied(entity[2])),
                    [(kind, name, workspace, copied(value), me) for name, workspace, value in keys],
                    [(kind, field, parents.get(parent, parent), me) for field, parent in links])

        # In the order of their keys, so that the trees grow at their ends.
        order = sorted(range(len(ids)), key=lambda n: ids[n][template].bytes)
        for start in range(0, len(order), self.ROWS):
            made = [rows(n) for n in order[start:start + self.ROWS]]
            self.database.executemany("INSERT INTO entities (kind, id, workspace, expires, document) VALUES (?, ?, ?, ?, ?)", (m[0] for m in made))
            self.database.executemany("INSERT INTO keys (kind, name, workspace, value, id) VALUES (?, ?, ?, ?, ?)", (k for m in made for k in m[1]))
            self.database.executemany("INSERT INTO links (kind, field, parent, id) VALUES (?, ?, ?, ?)", (row for m in made for row in m[2]))

    def close(self):
        self.database.close()
