"""Every example, run as it stands against a real server: all prompts answered once, nothing paid twice."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import httpx
import pytest

from fake_upstream import MODEL, TEXT
from node import NODE
from program import ROOT, SANDBOX, free_ports
from receiver import LOOPBACK
from test_async import until
from test_sdk import FREE_CREDITS, FREE_SLOTS, HOBBY_SLOTS, Busy, Customer

EXAMPLE_S = 90
DEAR = 100
NOW = DEAR + 2
DEAD_PORT = 9  # Nobody listens there.
LANGUAGES = ["python", "typescript", "curl"]
RECEIVING = ["python", "typescript"]


@pytest.fixture(scope="module")
def program(start, upstream):
    """`chatgpt`, which the examples ask, is a server that counts how many ask it at once; test keys get the sandbox."""
    endpoints = {**SANDBOX, "chatgpt": {"provider": "openai-chat", "base_url": f"{upstream.url}/v1", "model": MODEL}}
    return start(
        endpoints=endpoints,
        answers={"attempts_max": 1},
        prices={"chatgpt": DEAR},
        webhooks={"allow_networks": LOOPBACK},
    )


numbers = itertools.count(1)


class Example:
    """An example with its files, its account, and the environment it is told to use."""

    def __init__(self, program, account, folder, command):
        self.program, self.account, self.command = program, account, command
        self.prompts_file, self.answers_file = folder / "prompts.txt", folder / "answers.jsonl"
        self.port = free_ports(1)[0]
        self.test_key = program.test_key(account)
        self.environment = {
            **os.environ,
            "CLORO_BASE_URL": program.api,
            "CLORO_API_KEY": self.test_key,
            "CLORO_WEBHOOK_SECRET": account.webhook_secret,
            "CLORO_WEBHOOK_URL": f"http://127.0.0.1:{self.port}/?token=1",
            "PORT": str(self.port),
        }

    def start(self, prompts, **environment):
        self.prompts_file.write_text("\n".join(prompts))
        command = [*self.command, self.prompts_file, self.answers_file]
        output = subprocess.PIPE
        return subprocess.Popen(
            command, env={**self.environment, **environment}, stdout=output, stderr=subprocess.STDOUT, text=True
        )

    def run(self, prompts, code=0, **environment):
        """Runs it to its end, and gives what it printed."""
        process = self.start(prompts, **environment)
        try:
            output, _ = process.communicate(timeout=EXAMPLE_S)
        finally:
            process.kill()
        assert process.returncode == code, output
        return output

    def records(self):
        """What it wrote, by line number. Each line of the prompts is there at most once."""
        records = [json.loads(line) for line in self.answers_file.read_text().split("\n") if line]
        prompts = self.prompts_file.read_text().split("\n")
        assert all(prompts[record["line"] - 1] == record["prompt"] for record in records)
        by_line = {record["line"]: record for record in records}
        assert len(by_line) == len(records)
        return by_line

    def task_count(self):
        """Tasks that its account ever made here."""
        tasks, cursor = 0, {}
        while cursor is not None:
            page = Customer(self.program, self.account.key).client.request(
                "GET", "/v1/async/tasks", params={"limit": 100, **cursor}
            )
            tasks += len(page["tasks"])
            cursor = page["nextCursor"] and {"cursor": page["nextCursor"]}
        return tasks


@pytest.fixture
def example(program, tmp_path, compiled):
    """Makes examples of a pattern in a language, on a plan."""
    commands = {
        ("workers", "python"): [sys.executable, ROOT / "examples/python/workers.py"],
        ("workers", "typescript"): [NODE, compiled / "workers.js"],
        ("workers", "curl"): ["bash", ROOT / "examples/curl/workers.sh"],
        ("tasks", "python"): [sys.executable, ROOT / "examples/python/webhooks.py"],
        ("tasks", "typescript"): [NODE, compiled / "webhooks.js"],
        ("tasks", "curl"): ["bash", ROOT / "examples/curl/queue.sh"],
    }

    def example(pattern, language, plan):
        account = program.account(f"example-{next(numbers)}", plan)
        return Example(program, account, tmp_path, commands[pattern, language])

    return example


def refusals(program, cause="slots"):
    """Requests refused for this cause since the start."""
    for line in httpx.get(f"{program.admin}/metrics").text.splitlines():
        if line.startswith(f'bromo_refusals_total{{cause="{cause}"}}'):
            return int(line.split()[-1])
    raise AssertionError("no such metric")


def hard_prompts(count):
    """Prompts that a shell, a JSON writer and a line reader may stumble over; a blank line among them."""
    odd = ["", "  tea & \"milk\" $HOME `id` \\n 'x' ", "café 茶 \u2028 \U0001f375", "-n", "%s\t%d", "{\"a\": [1]}"]
    return [f"question {number}" for number in range(count - len(odd))] + odd


# Now.


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("plan", "slots", "count"), [("free", FREE_SLOTS, 8), ("hobby", HOBBY_SLOTS, 30)])
def test_workers_fill_the_slots_and_are_never_refused(program, upstream, example, language, plan, slots, count):
    workers = example("workers", language, plan)
    program.command("account", "grant", workers.account.name, str(count * NOW))
    prompts, before = hard_prompts(count), refusals(program)
    upstream.latency_s, upstream.peak = (0.0 if slots == 1 else 0.3), 0
    try:
        output = workers.run(prompts, CLORO_API_KEY=workers.account.key)
    finally:
        upstream.latency_s = 0.0
    records = workers.records()
    assert records.keys() == {line for line, prompt in enumerate(prompts, 1) if prompt.strip()}, output
    assert all(record["result"]["text"] == TEXT for record in records.values())
    assert refusals(program) == before
    assert upstream.peak <= slots
    if language != "curl":  # A shell takes longer to start a worker than that one needs.
        assert upstream.peak >= slots / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_workers_beside_others_wait_for_their_turn(program, example, language):
    workers = example("workers", language, "free")
    prompts, before = ["one", "two", "three"], refusals(program)
    with Busy(program, workers.test_key, latency_ms=900):
        workers.run(prompts)
    records = workers.records()
    assert [records[line]["result"]["provider"] for line in (1, 2, 3)] == ["sandbox"] * 3
    assert refusals(program) > before


@pytest.mark.parametrize("language", LANGUAGES)
def test_workers_ask_again_where_it_may_help_and_only_there(program, upstream, example, language):
    workers = example("workers", language, "free")
    program.command("account", "grant", workers.account.name, "1000")
    upstream.failures = 1
    workers.run(["worth a second try", "x" * 10_001, "fine"], CLORO_API_KEY=workers.account.key)
    records = workers.records()
    assert upstream.failures == 0
    assert records[1]["result"]["text"] == records[3]["result"]["text"] == TEXT
    assert records[2]["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("language", LANGUAGES)
def test_workers_stop_when_the_credits_end_and_go_on_later(program, example, language):
    workers = example("workers", language, "free")
    prompts, key = [f"question {number}" for number in range(6)], workers.account.key
    assert "Insufficient credits" in workers.run(prompts, code=1, CLORO_API_KEY=key)
    first = {line for line, record in workers.records().items() if "result" in record}
    assert len(first) == FREE_CREDITS // NOW
    program.command("account", "grant", workers.account.name, "10000")
    drop_failures(workers.answers_file)
    workers.run(prompts, CLORO_API_KEY=key)
    assert all(record["result"] for record in workers.records().values()) and len(workers.records()) == len(prompts)
    left = Customer(program, key).client.request("GET", "/v1/credits")["remaining"]
    assert left == FREE_CREDITS + 10_000 - len(prompts) * NOW


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_key_that_is_no_good_ends_the_workers_at_once(example, language):
    workers = example("workers", language, "free")
    process = workers.start(["one"], CLORO_API_KEY="sk_test_" + "0" * 32)
    output, _ = process.communicate(timeout=EXAMPLE_S)
    assert process.returncode != 0 and output


# Later.


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("plan", "slots", "count"), [("free", FREE_SLOTS, 8), ("hobby", HOBBY_SLOTS, 510)])
def test_everything_handed_in_is_answered_once(upstream, program, example, language, plan, slots, count):
    tasks = example("tasks", language, plan)
    program.command("account", "grant", tasks.account.name, str(count * DEAR))
    prompts = hard_prompts(count)
    upstream.peak = 0
    output = tasks.run(prompts, CLORO_API_KEY=tasks.account.key)
    records = tasks.records()
    assert records.keys() == {line for line, prompt in enumerate(prompts, 1) if prompt.strip()}, output
    assert all(record["result"]["text"] == TEXT for record in records.values())
    assert len({record["task"] for record in records.values()}) == len(records) == tasks.task_count()
    assert upstream.peak <= slots
    # Again: there is nothing left to do.
    before = tasks.answers_file.read_text()
    tasks.run(prompts, CLORO_API_KEY=tasks.account.key)
    assert tasks.answers_file.read_text() == before and tasks.task_count() == len(records)


@pytest.mark.parametrize("language", LANGUAGES)
def test_failed_tasks_and_bad_prompts_are_told_apart_from_answers(example, language):
    tasks = example("tasks", language, "hobby")
    tasks.run(["[sandbox fail=refused] no", "x" * 10_001, "fine"])
    records = tasks.records()
    assert records[1]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert records[2]["error"]["code"] == "VALIDATION_ERROR"
    assert records[3]["result"]["text"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_credits_do_not_cover_is_handed_in_later(program, example, language):
    tasks = example("tasks", language, "free")
    prompts, key = [f"question {number}" for number in range(7)], tasks.account.key
    assert "credits" in tasks.run(prompts, code=1, CLORO_API_KEY=key)
    assert tasks.records().keys() == set(range(1, FREE_CREDITS // DEAR + 1))
    program.command("account", "grant", tasks.account.name, "10000")
    tasks.run(prompts, CLORO_API_KEY=key)
    assert all(record["result"] for record in tasks.records().values()) and tasks.task_count() == len(prompts)


@pytest.mark.parametrize("language", RECEIVING)
def test_a_sweep_finds_what_no_webhook_told_of(example, language):
    tasks = example("tasks", language, "lite")
    tasks.run(hard_prompts(12), SWEEP_S="0.2", CLORO_WEBHOOK_URL=f"http://127.0.0.1:{DEAD_PORT}/")
    assert len(tasks.records()) == 11


@pytest.mark.parametrize("language", RECEIVING)
def test_a_run_that_was_killed_goes_on_without_a_second_task(example, language):
    tasks = example("tasks", language, "free")
    prompts = ["fast", "[sandbox latency_ms=1000] slow", "after it"]
    process = tasks.start(prompts)
    until(lambda: tasks.answers_file.exists() and tasks.answers_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    with tasks.answers_file.open("a") as file:
        file.write('{"line": 2, "prompt": "[sand')  # What a crash may leave.
    tasks.run(prompts, SWEEP_S="0.2")
    lines = tasks.answers_file.read_text().splitlines()
    whole = [json.loads(line)["line"] for line in lines if line.endswith("}")]
    assert Counter(whole) == Counter([1, 2, 3]) and tasks.task_count() == 3


@pytest.mark.parametrize("language", RECEIVING)
def test_a_receiver_takes_nothing_that_is_not_signed_lately_and_nothing_twice(example, language):
    tasks = example("tasks", language, "free")
    process = tasks.start(["[sandbox latency_ms=1200] slow"])
    until(lambda: is_open(tasks.port))
    customer = Customer(tasks.program, tasks.test_key)
    listed = until(lambda: customer.client.request("GET", "/v1/async/tasks")["tasks"])[0]
    forged = json.dumps({**listed, "task": {**listed["task"], "status": "COMPLETED"}, "response": {"text": "forged"}})
    url = f"http://127.0.0.1:{tasks.port}/"

    def post(body, headers):
        return httpx.post(url, content=body, headers=headers).status_code

    secret, other = tasks.account.webhook_secret, "whsec_" + base64.b64encode(b"x" * 24).decode()
    now = int(time.time())
    assert post(forged, {}) == 401
    assert post(forged, signed(other, now, forged)) == 401
    assert post(forged, signed(secret, now - 301, forged)) == 401
    assert post(forged, {**signed(secret, now, forged), "webhook-id": "msg_other"}) == 401
    assert post("not JSON", signed(other, now, "not JSON")) == 401
    foreign = json.dumps({"task": {"id": "x", "status": "FAILED", "idempotencyKey": None}, "response": {"error": {}}})
    assert post(foreign, signed(secret, now, foreign)) == 200
    assert not tasks.answers_file.exists() or tasks.answers_file.read_text() == ""
    output, _ = process.communicate(timeout=EXAMPLE_S)
    assert process.returncode == 0, output
    assert tasks.records()[1]["result"]["provider"] == "sandbox"


def signed(secret, stamp, body):
    """The headers of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"msg_x.{stamp}.{body}".encode(), hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "msg_x", "webhook-timestamp": str(stamp), "webhook-signature": signature}


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def drop_failures(path):
    """So that each line stands there once."""
    lines = [line for line in path.read_text().splitlines(keepends=True) if '"error"' not in line]
    path.write_text("".join(lines))
