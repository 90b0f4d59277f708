#!/usr/bin/env python3
"""Answers later: everything is handed in at once, and webhooks bring the answers.

    pip install cloro
    export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
    export CLORO_WEBHOOK_SECRET=whsec_…                  # printed when the account was made
    export CLORO_WEBHOOK_URL=https://hooks.example.com/  # how the server reaches the receiver below
    python webhooks.py prompts.txt answers.jsonl

Reads one prompt a line and writes one JSON line for each, as the answers come. Run it again to go on: what was handed
in is not handed in twice, and what has a result is not asked again. Python 3.9 or newer.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cloro

BASE_URL = os.environ.get("CLORO_BASE_URL", "http://127.0.0.1:8787")
SECRET = os.environ["CLORO_WEBHOOK_SECRET"]
WEBHOOK_URL = os.environ["CLORO_WEBHOOK_URL"]
LISTEN = os.environ.get("LISTEN", "127.0.0.1"), int(os.environ.get("PORT", "9000"))
# Another name asks the same prompts anew; a key is bound until 24 h after the end of its task.
RUN = os.environ.get("RUN", "")
TASK_TYPE, COUNTRY = "CHATGPT", "US"
BATCH_MAX = 500
BODY_MAX = 50 << 20
TOLERANCE_S = 300  # Between signing and receiving.
SWEEP_S = float(os.environ.get("SWEEP_S", "60"))  # Between looks for what no webhook told of …
SWEEP_MAX = 500  # … and how many tasks are looked at.
WAIT_MAX_S = 60
MAY_PASS = (cloro.RateLimitError, cloro.InternalServerError, cloro.APIConnectionError)


def verify(headers, body):
    """Raises ValueError unless these bytes were signed with our secret, and lately."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if abs(time.time() - int(stamp)) > TOLERANCE_S:
        raise ValueError("signed too long ago")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{name}.{stamp}.".encode() + body, "sha256")
    ours = b"v1," + base64.b64encode(mac)
    # Several while a secret is being rotated.
    theirs = headers.get("webhook-signature", "").encode().split(b" ")
    if not any([hmac.compare_digest(ours, each) for each in theirs]):
        raise ValueError("wrong signature")


class Receiver(BaseHTTPRequestHandler):
    """Answers 2xx once a result is on disk: only then is the delivery done."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self):
        size = int(self.headers.get("Content-Length", BODY_MAX + 1))
        if size > BODY_MAX:
            self.close_connection = True
            return self.reply(413)
        body = self.rfile.read(size)
        try:
            verify(self.headers, body)  # Before anything looks into it.
        except ValueError:
            return self.reply(401)
        self.server.run.take(json.loads(body))
        self.reply(200)

    def reply(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Run:
    """The prompts that wait for their answer, by idempotency key, and the file that answers go to."""

    def __init__(self, prompts_file, answers_file):
        done, failures = read(answers_file)
        self.pending = {}
        for line, prompt in enumerate(prompts_file.read_text().split("\n"), 1):
            if prompt.strip() and (line, prompt) not in done:
                # A failed task keeps its key, so that the next try needs another one.
                name = "\0".join([RUN, str(line), prompt, str(failures[line, prompt])])
                self.pending[hashlib.sha256(name.encode()).hexdigest()[:32]] = (line, prompt)
        self.out = answers_file.open("a")
        self.seen = set()
        self.lock = threading.RLock()
        self.client = cloro.Cloro(base_url=BASE_URL)

    async def all(self):
        """Runs to the end; the reason if some prompts could not be handed in."""
        self.loop, self.empty = asyncio.get_running_loop(), asyncio.Event()
        server = ThreadingHTTPServer(LISTEN, Receiver)
        server.run = self
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stopped = await self.submit()
        while self.pending:
            try:
                await asyncio.wait_for(self.empty.wait(), SWEEP_S)
            except asyncio.TimeoutError:
                # No webhook is certain to arrive, so ask too: oldest first, and on while that finds any.
                while await self.look(list(self.pending)[:SWEEP_MAX]):
                    pass
        return stopped

    async def submit(self):
        """Hands everything in. Safe to repeat: a key that is bound to a task makes no second one."""
        jobs, known = list(self.pending.items()), []
        for first in range(0, len(jobs), BATCH_MAX):
            batch = jobs[first : first + BATCH_MAX]
            for (key, _), result in zip(batch, await self.create(batch)):
                error = result.get("error", {"code": None})
                if error["code"] == "RESOURCE_ALREADY_EXISTS":
                    known.append(key)
                elif error["code"] == "INSUFFICIENT_CREDITS":
                    for key, _ in jobs[first + result["index"] :]:
                        self.end(key)
                    return "the credits do not cover the rest"
                elif error["code"]:
                    self.end(key, {"error": error})
        await self.look(known)
        return None

    async def create(self, batch):
        tasks = [
            {
                "task_type": TASK_TYPE,
                "payload": {"prompt": prompt, "country": COUNTRY},
                "idempotency_key": key,
                "webhook": {"url": WEBHOOK_URL},
            }
            for key, (_, prompt) in batch
        ]
        tries = 0
        while True:
            try:
                return await asyncio.to_thread(self.client.async_tasks.create_batch, tasks)
            except MAY_PASS as error:  # Among these: the queue is full until some tasks have run.
                tries += 1
                print(f"not handed in yet: {error}", file=sys.stderr)
                await asyncio.sleep(random.uniform(0, min(WAIT_MAX_S, 2**tries)))

    async def look(self, keys):
        """Asks for these tasks; how many have ended."""
        return sum(await asyncio.gather(*(asyncio.to_thread(self.look_at, key) for key in keys)))

    def look_at(self, key):
        try:
            told = self.client.async_tasks.retrieve(key)
        except cloro.NotFoundError:
            print(f"a task is gone, run again to hand it in: {key}", file=sys.stderr)
            self.end(key)
            return True
        except MAY_PASS:
            return False
        if "response" in told:
            self.take(told)
            return True
        with self.lock:  # Others first, the next time.
            if key in self.pending:
                self.pending[key] = self.pending.pop(key)
        return False

    def take(self, told):
        """A final task, as a webhook brings it and as reading it does. It may come twice, and be another run's."""
        task, response = told["task"], told["response"]
        with self.lock:
            if task["id"] in self.seen:
                return
            answer = {"result": response} if task["status"] == "COMPLETED" else response
            self.end(task["idempotencyKey"], {"task": task["id"], **answer})
            self.seen.add(task["id"])

    def end(self, key, answer=None):
        """Takes a prompt from those that wait. Its answer is on disk when this returns."""
        with self.lock:
            line, prompt = self.pending.pop(key, (None, None))
            if answer and line:
                record = {"line": line, "prompt": prompt, **answer}
                self.out.write(json.dumps(record, ensure_ascii=False) + "\n")
                self.out.flush()
                os.fsync(self.out.fileno())
            if not self.pending:
                self.loop.call_soon_threadsafe(self.empty.set)


def read(path):
    """The lines that have their result, and those that failed; one that a crash left half-written is ended."""
    done, failures = set(), Counter()
    with path.open("a+") as file:
        file.seek(0)
        line = "\n"
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            job = record["line"], record["prompt"]
            if "result" in record:
                done.add(job)
            else:
                failures[job] += 1
        if not line.endswith("\n"):
            file.write("\n")
    return done, failures


def main(prompts_file, answers_file):
    stopped = asyncio.run(Run(prompts_file, answers_file).all())
    if stopped:
        sys.exit(f"stopped: {stopped}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
