"""Servers that bromo calls: an OpenAI-compatible one, and the one that resolves Google's redirects."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "fake-model-1"
PIECES = ["The capital of France ", "is **Paris**", "."]
TEXT = "The capital of France is Paris."
REDIRECT_TARGET = "https://tea.example/"


class FakeUpstream(ThreadingHTTPServer):
    """Streams one answer to every question, and counts how many it answers at once. The next `failures` it refuses
    as too many."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = threading.Lock()
        self.latency_s = 0.0
        self.failures = 0
        self.now = 0
        self.peak = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def begin(self):
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)

    def end(self):
        with self.lock:
            self.now -= 1

    def fails(self):
        with self.lock:
            fails = self.failures > 0
            self.failures -= fails
        return fails

    def handle_error(self, request, client_address):
        pass  # A caller that hangs up is part of the tests.


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.begin()
        try:
            time.sleep(self.server.latency_s)
        finally:
            # Before the answer: bromo may start the next call as soon as it has read this one.
            self.server.end()
        if self.server.fails():
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif asked.get("stream"):
            self.stream()
        else:
            self.whole()

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", REDIRECT_TARGET)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in PIECES:
            self.event(json.dumps(completion("delta", {"content": piece}, None)))
        self.event(json.dumps(completion("delta", {}, "stop")))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def whole(self):
        message = {"role": "assistant", "content": "".join(PIECES)}
        body = json.dumps(completion("message", message, "stop")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def completion(part, content, finish_reason):
    choice = {"index": 0, part: content, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice]}
