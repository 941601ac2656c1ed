#!/usr/bin/env python3
"""Asks a live node for everything its own description offers, with values nobody would send, and checks every answer.

A node is started on a datastore of its own and filled with one entity of each kind, so that paths lead somewhere. Then
schemathesis (installed by tests/install) walks `/openapi.json`: no answer may be a 500, have a status or a form that the
description does not name, or take longer than it should. Deletions come last, or little would be left to look at.

    tests/openapi/run.py [--examples N] [--seed N] [schemathesis options ...]
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "target/tools/schemathesis/bin/schemathesis"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Of each of the two walks, in seconds. In CI they take less than a minute together.
LIMIT = 900

# What is made before anything is asked, in this order: path, body, and the names it then goes by.
SEEDS = [
    ("certificates", "/certificates", {}, []),
    ("services", "/services", {"name": "service", "host": "backend.test"}, ["service"]),
    ("routes", "/services/service/routes", {"name": "route", "paths": ["/a"]}, ["route"]),
    ("consumers", "/consumers", {"username": "consumer"}, ["consumer"]),
    ("consumer_groups", "/consumer_groups", {"name": "group"}, ["group"]),
    (None, "/consumer_groups/group/consumers", {"consumer": "consumer"}, []),
    ("plugins", "/services/service/plugins", {"name": "request-termination", "instance_name": "plugin"}, ["plugin"]),
    (None, "/consumers/consumer/plugins", {"name": "rate-limiting", "config": {"minute": 5}}, []),
    ("upstreams", "/upstreams", {"name": "upstream.test"}, ["upstream.test"]),
    ("targets", "/upstreams/upstream.test/targets", {"target": "127.0.0.1:1"}, ["127.0.0.1:1"]),
    ("vaults", "/vaults", {"name": "env", "prefix": "my-env"}, ["my-env"]),
    ("key_sets", "/key-sets", {"name": "set"}, ["set"]),
    ("partials", "/partials", {"name": "partial", "type": "redis-ce", "config": {}}, ["partial"]),
    ("acls", "/consumers/consumer/acls", {"group": "members"}, ["members"]),
    ("basicauth_credentials", "/consumers/consumer/basic-auth", {"username": "basic", "password": "p"}, ["basic"]),
    ("hmacauth_credentials", "/consumers/consumer/hmac-auth", {"username": "hmac"}, ["hmac"]),
    ("jwt_secrets", "/consumers/consumer/jwt", {"key": "jwt"}, ["jwt"]),
    ("keyauth_credentials", "/consumers/consumer/key-auth", {"key": "key"}, ["key"]),
    ("oauth2_credentials", "/consumers/consumer/oauth2",
     {"name": "app", "client_id": "app", "redirect_uris": ["https://a.test"]}, ["app"]),
    ("workspaces", "/workspaces", {"name": "team"}, ["team", "default"]),
    ("rbac_users", "/rbac/users", {"name": "user", "user_token": "t"}, ["user"]),
    ("rbac_roles", "/rbac/roles", {"name": "role"}, ["role"]),
    (None, "/rbac/users/user/roles", {"roles": "role"}, []),
    ("rbac_role_endpoints", "/rbac/roles/role/endpoints", {"endpoint": "/services", "actions": "*"}, []),
    ("rbac_role_entities", "/rbac/roles/role/entities", {"entity_id": "*", "actions": "*"}, []),
    ("groups", "/groups", {"name": "staff"}, ["staff"]),
    ("admins", "/admins", {"username": "admin", "email": "a@a.test"}, ["admin"]),
    ("event_hooks", "/event-hooks", {"source": "crud", "event": "services", "handler": "log", "config": {}}, []),
    ("licenses", "/licenses", {"payload": "{}"}, []),
    ("sessions", "/sessions", {"session_id": "session"}, ["session"]),
    ("acme_storage", "/acme_storage", {"key": "k", "value": "v"}, []),
]

# Parameters that no entity stands behind.
WORDS = {
    "log_level": ["info", "notice"],
    "db_entity_name": ["services", "plugins", "consumers"],
    "name": ["services", "key-auth", "env", "redis-ce"],
    "source": ["crud", "balancer"],
    "tags": ["tag"],
    "address": ["127.0.0.1:1"],
    "workspace": ["default", "*"],
    "endpoint": ["services"],
    "entity_id": ["*"],
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def certificate(folder):
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test", "-days", "30",
         "-keyout", key, "-out", cert], check=True, capture_output=True)
    return {"cert": cert.read_text(), "key": key.read_text(), "snis": ["a.test"]}


def start(folder):
    """Starts a node and waits until it answers."""
    binary = os.environ.get("GIBBON_BIN", ROOT / "target/debug/gibbon")
    port = free_port()
    settings = {
        "PREFIX": str(folder / "prefix"), "DATABASE": "sqlite", "ADMIN_LISTEN": f"127.0.0.1:{port}",
        "PROXY_LISTEN": f"127.0.0.1:{free_port()}", "STATUS_LISTEN": "off", "ADMIN_GUI_LISTEN": "off",
        "NGINX_WORKER_PROCESSES": "1", "AUDIT_LOG": "on",
        # With the older client /status/dns answers 501, as Kong does, which is a fault to whoever fuzzes.
        "NEW_DNS_CLIENT": "on",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KONG_", "GIBBON_"))}
    environment |= {f"GIBBON_{name}": value for name, value in settings.items()}
    log = (folder / "node.log").open("w")
    node = subprocess.Popen([binary, "run"], env=environment, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            call(base + "/status")
            return node, base
        except (urllib.error.URLError, ConnectionError) as error:
            if node.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the node does not answer ({error}):\n{(folder / 'node.log').read_text()}")
            time.sleep(0.05)


def seed(base, folder):
    """Fills the node; returns what each kind of entity may be called by."""
    known = {name: list(words) for name, words in WORDS.items()}
    for kind, path, body, names in SEEDS:
        if kind == "certificates":
            body = certificate(folder)
            names = ["a.test"]
            known["snis"] = ["a.test"]
        try:
            made = call(base + path, body)
        except urllib.error.HTTPError as error:
            sys.exit(f"POST {path}: {error.code} {error.read().decode()}")
        if kind:
            identifier = made.get("id")
            known[kind] = names + ([identifier] if identifier else [])
    return known


def description(base, known):
    """The node's description, with path parameters that mostly name what there is."""
    document = call(base + "/openapi.json")
    for item in document["paths"].values():
        for parameter in item.get("parameters", []):
            if names := known.get(parameter["name"]):
                parameter["schema"] = {"anyOf": [{"enum": names}, {"enum": names}, parameter["schema"]]}
    return document


def walk(base, file, arguments, more):
    """One run of schemathesis; returns whether every answer was as described."""
    command = [
        TOOL, "run", file, "--url", base, "--checks", CHECKS, "--phases", "fuzzing", "--request-timeout", "20",
        "--max-examples", str(arguments.examples), "--seed", str(arguments.seed), "--suppress-health-check", "all",
        "--generation-database", "none", "--warnings", "off", *more, *arguments.options,
    ]
    return subprocess.run(command, cwd=file.parent, timeout=LIMIT).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=4, help="requests per operation and kind of data")
    parser.add_argument("--seed", type=int, default=1)
    arguments, arguments.options = parser.parse_known_args()
    if not TOOL.exists():
        sys.exit(f"{TOOL} is missing: run tests/install")
    with tempfile.TemporaryDirectory(prefix="gibbon-openapi-") as name:
        folder = pathlib.Path(name)
        node, base = start(folder)
        try:
            known = seed(base, folder)
            file = folder / "openapi.json"
            file.write_text(json.dumps(description(base, known)))
            good = walk(base, file, arguments, ["--exclude-method", "DELETE"])
            good &= walk(base, file, arguments, ["--include-method", "DELETE"])
            if node.poll() is not None:
                good = False
                print(f"the node ended with {node.returncode}:\n{(folder / 'node.log').read_text()[-4000:]}")
        finally:
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
