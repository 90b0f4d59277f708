"""Three nodes behind HAProxy, with the servers they share."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx

from program import BINARY, START_S, STOP_S, Program, free_ports, merged

SERVERS = Path(os.environ.get("BROMO_SERVERS", BINARY.parent / "examples/servers")).absolute()
NODES = 3
# HAProxy looks five times a second and believes what it saw twice; a node drains for longer than that.
DRAIN_MS = 1_500

BALANCER = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout client 310s
    timeout server 310s
    option redispatch
    retries 3
frontend api
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200ms fall 2 rise 2
"""


class Servers:
    """PostgreSQL and Redis; both end with this process."""

    def __init__(self):
        self.process = subprocess.Popen([SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.urls = json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(STOP_S) == 0


class Node(Program):
    """One of several: its token, its key file and its servers are those of all."""

    def __init__(self, folder, number, servers, settings):
        folder = Path(folder)
        (folder / str(number)).mkdir()
        shared = {
            "listen": {"drain_ms": DRAIN_MS},
            "store": {"url": servers.urls["postgres"]},
            "admission": {"url": servers.urls["redis"]},
            "admin": {"token_file": str(folder / "token")},
            "webhooks": {"seal_key_file": str(folder / "seal-key")},
        }
        super().__init__(folder / str(number), merged(shared, settings))
        self.token_file = folder / "token"

    def restart(self):
        """Ends it as an operator would and starts it where it was; its exit code."""
        code = self.stop()
        self._run()
        assert self._is_ready(), f"bromo did not become ready again:\n{self.output()}"
        return code


class Balancer:
    """HAProxy before the nodes. It asks each node's admin listener whether it is ready."""

    def __init__(self, folder, nodes):
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "the tests need HAProxy: apt-get install haproxy"
        (port,) = free_ports(1)
        self.api = f"http://127.0.0.1:{port}"
        lines = [
            f"    server node-{number} {node.api.removeprefix('http://')} port {node.admin.rsplit(':', 1)[1]}\n"
            for number, node in enumerate(nodes)
        ]
        config = Path(folder) / "haproxy.cfg"
        config.write_text(BALANCER.format(port=port) + "".join(lines))
        self.process = subprocess.Popen([program, "-db", "-f", config])
        deadline = time.monotonic() + START_S
        while not self._leads_somewhere():
            assert time.monotonic() < deadline and self.process.poll() is None, "HAProxy leads nowhere"
            time.sleep(0.02)

    def _leads_somewhere(self):
        try:
            return httpx.get(f"{self.api}/v1/countries").status_code == 401
        except httpx.TransportError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(STOP_S)


class Cluster:
    """All of it. Looks like a program to those who only call the API and the command line."""

    def __init__(self, folder, settings):
        self.servers = Servers()
        self.nodes = [Node(folder, number, self.servers, settings) for number in range(NODES)]
        self.balancer = Balancer(folder, self.nodes)
        self.api = self.balancer.api
        self.command, self.account = self.nodes[0].command, self.nodes[0].account
        self.test_key = self.nodes[0].test_key

    def stop(self):
        """Ends everything; the nodes' exit codes."""
        self.balancer.stop()
        codes = [node.stop() for node in self.nodes]
        self.servers.stop()
        return codes
