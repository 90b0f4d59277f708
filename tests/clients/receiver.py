"""What bromo tells of ends: a receiver of webhooks, and verifiers that know the schemes from their descriptions alone."""

import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

LOOPBACK = ["127.0.0.0/8"]
WAIT_S = 30


@dataclass(frozen=True)
class Delivery:
    """One attempt, as it arrived."""

    path: str
    headers: dict
    body: bytes
    at: float

    @property
    def told(self):
        return json.loads(self.body)

    @property
    def task(self):
        return self.told["task"]["id"]

    def is_signed_by_standard(self, secret):
        """By the library of Standard Webhooks."""
        try:
            Webhook(secret).verify(self.body, self.headers)
            return True
        except WebhookVerificationError:
            return False

    def is_signed_by_cloro(self, secret, body=None):
        """As a cloro receiver does it: HMAC-SHA256 keyed with the whole secret, over timestamp, full stop, body."""
        stamp = self.headers.get("x-cloro-timestamp", "")
        if str(int(stamp or 0)) != stamp or abs(self.at - int(stamp)) > 300:
            return False
        message = stamp.encode() + b"." + (self.body if body is None else body)
        digest = hmac.new(secret.encode("utf-8"), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest("v1=" + digest, self.headers.get("x-cloro-signature", ""))


class Receiver(ThreadingHTTPServer):
    """Keeps every delivery. Says to each what `answers` has next for its path, and 200 when there is nothing left."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.arrived = threading.Condition()
        self.deliveries = []
        self.answers = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, path, count):
        """The deliveries to this path, once there are so many."""
        found = lambda: [each for each in self.deliveries if each.path == path]  # noqa: E731
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= count, WAIT_S), found()
            return found()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.arrived:
            answers = self.server.answers.get(self.path, [])
            status = answers.pop(0) if answers else 200
            self.server.deliveries.append(Delivery(self.path, headers, body, time.time()))
            self.server.arrived.notify_all()
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"heard")

    def log_message(self, *_):
        pass
