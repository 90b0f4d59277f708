"""The real program: configured, started, asked by its own command line, and ended."""

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BROMO_BIN", ROOT / "target/debug/bromo")).absolute()

START_S = 60
STOP_S = 30
COMMAND_S = 60
# Another process may take a free port between the look and the start.
PORT_TRIES = 3

ENDPOINTS = ["chatgpt", "gemini", "copilot", "perplexity", "grok", "aimode", "google", "google-news"]
SANDBOX = {name: {"provider": "sandbox"} for name in ENDPOINTS}


@dataclass(frozen=True)
class Account:
    """An account, its first key, which is a live one, and what its webhooks are signed with."""

    id: str
    name: str
    key: str
    webhook_secret: str


class Program:
    """A running `bromo serve` with a data folder of its own."""

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.token_file = self.folder / "admin-token"
        for left in reversed(range(PORT_TRIES)):
            self._start(settings)
            if self._is_ready():
                return
            if left == 0 or "in use" not in self.output():
                self.stop()
                raise AssertionError(f"bromo did not become ready:\n{self.output()}")

    def _start(self, settings):
        api, admin = free_ports(2)
        self.api, self.admin = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{admin}"
        own = {
            "listen": {"api": f"127.0.0.1:{api}", "admin": f"127.0.0.1:{admin}", "threads": 2},
            "store": {"url": f"sqlite://{self.folder}/data"},
            "admin": {"token_file": str(self.token_file)},
            "api": {"public_url": self.api},
            "telemetry": {"level": "warn"},
        }
        (self.folder / "bromo.toml").write_text(toml(merged(own, settings)))
        self._output = self.folder / "output"
        self._run()

    def _run(self):
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", "bromo.toml"], cwd=self.folder, stdout=output, stderr=output
            )

    def _is_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.admin}/readyz").status_code == 200:
                    return True
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        return False

    def output(self):
        """What it printed."""
        return self._output.read_text(errors="replace")

    def stop(self):
        """Ends it as an operator would, and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def command(self, *words):
        """Runs a command of the program against this server and gives the JSON it prints."""
        server = ["--json", "--admin", self.admin, "--token-file", self.token_file]
        done = subprocess.run(
            [BINARY, *words, *server], cwd=self.folder, capture_output=True, text=True, timeout=COMMAND_S
        )
        assert done.returncode == 0, f"bromo {' '.join(map(str, words))}: {done.stderr}"
        return json.loads(done.stdout)

    def account(self, name, plan):
        """A new account."""
        made = self.command("account", "create", name, "--plan", plan)
        return Account(made["account"], name, made["key"], made["webhook_secret"])

    def key(self, account, *words):
        """A further key of an account: its id and the key."""
        made = self.command("key", "create", account.name, *words)
        return made["id"], made["key"]

    def test_key(self, account):
        """A further key that the sandbox answers at price 0."""
        return self.key(account, "--test")[1]

    def memory_kb(self, field):
        """Resident memory: `VmRSS` now, `VmHWM` at its highest so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1])


def free_ports(count):
    """Ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def merged(base, over):
    """Both tables; where both have a value, the second one's."""
    both = dict(base)
    for name, value in over.items():
        nested = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = merged(both[name], value) if nested else value
    return both


def toml(table, path=""):
    """A table of plain values, tables and lists of tables. A JSON text is a TOML text too."""
    lines, below = [], []
    for name, value in table.items():
        if isinstance(value, dict):
            below.append(f"[{path}{name}]\n{toml(value, f'{path}{name}.')}")
        elif isinstance(value, list) and any(isinstance(row, dict) for row in value):
            below.extend(f"[[{path}{name}]]\n{toml(row)}" for row in value)
        else:
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines + below)
