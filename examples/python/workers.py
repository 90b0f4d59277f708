#!/usr/bin/env python3
"""Answers now: as many workers as the account has slots.

    pip install httpx
    export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
    python workers.py prompts.txt answers.jsonl

Reads one prompt a line and writes one JSON line for each, as the answers come. Run it again to go on: what has a
result is not asked again. Python 3.11 or newer.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import httpx

BASE_URL = os.environ.get("CLORO_BASE_URL", "http://127.0.0.1:8787")
ENDPOINT, COUNTRY = "chatgpt", "US"
TIMEOUT_S = 310  # The server answers or gives up within 290 s.
MAY_PASS = {408, 500, 502, 503, 504}  # Worth another try; so is a connection that broke.
TRIES_MAX = 5
FIRST_WAIT_S, WAIT_MAX_S = 0.5, 30


@dataclass
class Job:
    line: int
    prompt: str
    failures: int = 0  # A 429 is none.


class Pool:
    """Workers that share a list of prompts. Their number follows what the headers say."""

    def __init__(self, client, jobs, out):
        self.client, self.jobs, self.out = client, deque(jobs), out
        self.workers = 0
        self.grow_at = self.asked_at = 0.0
        self.refusals = 0
        self.stopped = None

    async def run(self):
        # Costs nothing, holds no slot, and shows the slots as they are now.
        response = await self.client.get("/v1/credits")
        response.raise_for_status()
        self.limit = int(response.headers["X-Concurrent-Limit"])
        self.size = max(1.0, float(response.headers["X-Concurrent-Remaining"]))
        async with asyncio.TaskGroup() as self.group:
            self.grow()

    def grow(self):
        while self.jobs and self.workers < int(self.size) and time.monotonic() >= self.grow_at:
            self.workers += 1
            self.group.create_task(self.work())

    async def work(self):
        while self.jobs and self.workers <= int(self.size):
            job = self.jobs.popleft()
            outcome = await self.answer(job)
            if outcome is None:  # Refused: whoever is free first may take it.
                self.jobs.appendleft(job)
            else:
                record = {"line": job.line, "prompt": job.prompt, **outcome}
                self.out.write(json.dumps(record, ensure_ascii=False) + "\n")
                self.out.flush()
        self.workers -= 1
        self.grow()

    async def answer(self, job):
        """The result, or the error that asking again would not change; none after a 429."""
        while True:
            asked_at, response = time.monotonic(), None
            try:
                body = {"prompt": job.prompt, "country": COUNTRY}
                response = await self.client.post(f"/v1/monitor/{ENDPOINT}", json=body)
            except httpx.TransportError as error:
                problem = {"code": "NO_ANSWER", "message": repr(error)}
            else:
                self.learn(response, asked_at)
                if response.status_code == 200:
                    self.refusals = 0
                    self.size = min(self.limit, self.size + 1 / self.size)  # One more after each round.
                    self.grow()
                    return {"result": response.json()["result"]}
                problem = problem_of(response)
                if response.status_code == 429:
                    return await self.refused(response, problem)
                if response.status_code in (401, 403):  # It would be the same for every other prompt.
                    self.stopped = problem["message"]
                    self.jobs.clear()
                if response.status_code not in MAY_PASS:
                    return {"error": problem}
            job.failures += 1
            if job.failures == TRIES_MAX:
                return {"error": problem}
            await asyncio.sleep(wait_s(response, job.failures))

    def learn(self, response, asked_at):
        """Takes the limit from the newest request: headers tell of the moment when it was admitted."""
        if asked_at >= self.asked_at and "X-Concurrent-Limit" in response.headers:
            self.asked_at = asked_at
            self.limit = int(response.headers["X-Concurrent-Limit"])
            self.size = min(self.size, self.limit)

    async def refused(self, response, problem):
        """Others have the slots: one worker less, and no new one before the wait is over. The last one waits."""
        self.refusals += 1
        wait = wait_s(response, self.refusals)
        if problem["code"].startswith("CONCURREN"):
            self.size = max(1, min(self.size, self.workers - 1))
            self.grow_at = time.monotonic() + wait
            if self.workers > 1:
                return
        await asyncio.sleep(wait)


def wait_s(response, tries):
    """Retry-After, if there is one, and full jitter on top: callers that were refused together come back apart."""
    asked = response.headers.get("Retry-After", "0") if response is not None else "0"
    return int(asked) + random.uniform(0, min(WAIT_MAX_S, FIRST_WAIT_S * 2**tries))


def problem_of(response):
    try:
        return response.json()["error"]
    except (ValueError, KeyError, TypeError):  # A proxy in between spoke.
        return {"code": f"HTTP_{response.status_code}", "message": response.text[:200]}


def answered(path):
    """The lines that have their result; one that a crash left half-written is ended."""
    done = set()
    with path.open("a+") as file:
        file.seek(0)
        line = "\n"
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if "result" in record:
                done.add((record["line"], record["prompt"]))
        if not line.endswith("\n"):
            file.write("\n")
    return done


async def main(prompts_file, answers_file):
    done = answered(answers_file)
    prompts = enumerate(prompts_file.read_text().split("\n"), 1)
    jobs = [Job(*each) for each in prompts if each[1].strip() and each not in done]
    headers = {"Authorization": f"Bearer {os.environ['CLORO_API_KEY']}"}
    limits = httpx.Limits(max_connections=None)
    with answers_file.open("a") as out:
        async with httpx.AsyncClient(base_url=BASE_URL, headers=headers, timeout=TIMEOUT_S, limits=limits) as client:
            pool = Pool(client, jobs, out)
            await pool.run()
    if pool.stopped:
        sys.exit(f"stopped: {pool.stopped}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
