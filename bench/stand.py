"""The stand's own process (gibbon-load): started on the core that the gateways do not have, steered by JSON lines."""
import json, subprocess

STAND_CORE = "1"


class Stand:
    def __init__(self, binary, files):
        command = ["taskset", "-c", STAND_CORE, "sh", "-c", f'ulimit -n {files}; exec "$0"', binary]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.upstreams = self.expect("ready")["upstreams"]

    def say(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def expect(self, event):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the stand ended")
        got = json.loads(line)
        if got["event"] != event:
            raise SystemExit(f"the stand said {line.strip()} instead of {event}")
        return got

    def drive(self, address, load, warmup, seconds, rate=None, opened=lambda: None, closed=lambda: None):
        """One drive; `opened` and `closed` are called at the edges of the measuring window."""
        self.say({"do": "drive", "address": address, "warmup": warmup, "seconds": seconds, **load, **({"rate": rate} if rate else {})})
        self.expect("window-open")
        before = opened()
        self.expect("window-close")
        after = closed()
        return self.expect("done"), before, after

    def hold(self, address, connections, tls):
        self.say({"do": "hold", "address": address, "connections": connections, "tls": tls})
        return self.expect("held")["connections"]

    def release(self):
        self.say({"do": "release"})
        self.expect("released")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
