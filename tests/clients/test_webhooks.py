"""Webhooks, as a receiver sees them: both schemes by code that is not bromo's, retries, rotation, addresses."""

import base64
import json
import os
import subprocess

import cloro
import pytest

from node import docs_block, node
from program import ROOT, SANDBOX
from receiver import LOOPBACK, Receiver
from test_async import FAST, QUESTION, until
from test_sdk import Customer

SIGNED = {"webhook-id", "webhook-timestamp", "webhook-signature"} | {
    f"x-cloro-{part}" for part in ("timestamp", "signature", "webhook-id")
}


@pytest.fixture(scope="module")
def receiver():
    server = Receiver()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def program(start):
    """A server that may call this machine, and tries again after a second."""
    return start(endpoints=SANDBOX, webhooks={"allow_networks": LOOPBACK, "schedule_s": [1, 1]})


@pytest.fixture
def customer(program, receiver, request):
    """An account of its own, and a path of its own at the receiver."""
    made = program.account(request.node.name, "lite")
    customer = Customer(program, program.test_key(made))
    customer.account, customer.path = made, f"/{request.node.name}?token=1"
    customer.hook = {"url": receiver.url + customer.path}
    return customer


def told(customer, receiver, count=1, payload=QUESTION):
    """Runs a task, and gives the deliveries at its path once there are so many."""
    customer.client.async_tasks.create("CHATGPT", payload, webhook=customer.hook)
    return receiver.of(customer.path, count)


def is_delivered(customer, task):
    return customer.client.async_tasks.retrieve(task).get("webhook", {}).get("delivered")


def test_a_delivery_is_signed_in_both_schemes_over_the_very_bytes(customer, receiver):
    (delivery,) = told(customer, receiver, payload={"prompt": "tea or café? 茶", "country": "US"})
    secret = customer.account.webhook_secret
    assert delivery.is_signed_by_standard(secret) and delivery.is_signed_by_cloro(secret)
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["webhook-id"] == f"msg_{delivery.task}"
    assert delivery.headers["x-cloro-webhook-id"] == f"{delivery.task}-1"
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    assert not delivery.is_signed_by_standard(other) and not delivery.is_signed_by_cloro(other)
    assert not delivery.is_signed_by_cloro(secret, delivery.body + b" ")


def test_a_delivery_says_what_reading_the_task_says(customer, receiver):
    (good,) = told(customer, receiver)
    fails = {"prompt": "[sandbox fail=refused] no", "country": "US"}
    bad = told(customer, receiver, 2, fails)[1]
    for delivery in (good, bad):
        until(lambda: is_delivered(customer, delivery.task))
        read = customer.client.async_tasks.retrieve(delivery.task)
        webhook = read.pop("webhook")
        assert webhook["url"] == customer.hook["url"] and webhook["deliveredAt"].endswith("Z")
        assert delivery.told == read
    assert bad.told["response"]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert bad.told["credits"]["creditsCharged"] == 0


def test_a_failed_delivery_is_made_again_with_a_fresh_signature(customer, receiver):
    receiver.answers[customer.path] = [500, 302]
    deliveries = told(customer, receiver, 3)
    task = deliveries[0].task
    assert len({delivery.body for delivery in deliveries}) == 1
    assert {delivery.headers["webhook-id"] for delivery in deliveries} == {f"msg_{task}"}
    assert [each.headers["x-cloro-webhook-id"] for each in deliveries] == [f"{task}-{n}" for n in (1, 2, 3)]
    assert len({delivery.headers["webhook-timestamp"] for delivery in deliveries}) == 3
    for delivery in deliveries:
        assert delivery.is_signed_by_standard(customer.account.webhook_secret)
        assert delivery.is_signed_by_cloro(customer.account.webhook_secret)
    until(lambda: is_delivered(customer, task))
    log = customer.client.request("GET", f"/v1/async/task/{task}/deliveries")
    assert [(each["attempt"], each["status"], each["response"]) for each in log["attempts"]] == [
        (1, 500, "heard"), (2, 302, "heard"), (3, 200, "heard"),
    ]
    assert log["delivery"]["attempts"] == 3 and log["delivery"]["deliveredAt"] and not log["delivery"]["nextAttemptAt"]


def test_what_was_given_up_or_delivered_is_told_again_on_request(customer, receiver):
    receiver.answers[customer.path] = [410]
    (first,) = told(customer, receiver)
    path, since = f"/v1/async/task/{first.task}", {"since": first.told["task"]["createdAt"]}
    # Once the 410 is on record.
    until(lambda: customer.client.request("POST", "/v1/async/redeliver", json=since)["redelivered"] == 1)
    second = receiver.of(customer.path, 2)[1]
    assert second.headers["x-cloro-webhook-id"] == f"{first.task}-2"
    until(lambda: is_delivered(customer, first.task))
    assert customer.client.request("POST", f"{path}/redeliver")["success"] is True
    third = receiver.of(customer.path, 3)[2]
    assert third.body == first.body and third.is_signed_by_standard(customer.account.webhook_secret)
    unhooked = customer.client.async_tasks.run("CHATGPT", QUESTION, **FAST)["task"]["id"]
    error, code = customer.refused(lambda: customer.client.request("POST", f"/v1/async/task/{unhooked}/redeliver"))
    assert isinstance(error, cloro.ConflictError) and code == "RESOURCE_CONFLICT"


def test_after_a_rotation_the_old_secret_signs_too(customer, receiver, program):
    old = customer.account.webhook_secret
    new = program.command("webhook-secret", "rotate", customer.account.name)["webhook_secret"]
    assert new != old and new.startswith("whsec_")
    receiver.answers[customer.path] = [500]
    first, second = told(customer, receiver, 2)
    for delivery in (first, second):
        assert delivery.is_signed_by_standard(old) and delivery.is_signed_by_standard(new)
    # One signature fits there: the new secret makes it first, then the old one.
    assert first.is_signed_by_cloro(new) and not first.is_signed_by_cloro(old)
    assert second.is_signed_by_cloro(old) and not second.is_signed_by_cloro(new)
    newest = program.command("webhook-secret", "rotate", customer.account.name)["webhook_secret"]
    third = told(customer, receiver, 3)[2]
    assert [third.is_signed_by_standard(secret) for secret in (newest, new, old)] == [True, True, False]


def test_without_a_secret_nothing_is_signed_until_there_is_one_again(customer, receiver, program):
    assert program.command("webhook-secret", "disable", customer.account.name)["webhook_secret"] is None
    (plain,) = told(customer, receiver)
    assert not SIGNED & plain.headers.keys()
    secret = program.command("webhook-secret", "rotate", customer.account.name)["webhook_secret"]
    signed = told(customer, receiver, 2)[1]
    assert SIGNED <= signed.headers.keys() and signed.is_signed_by_standard(secret)
    assert not signed.is_signed_by_standard(customer.account.webhook_secret)


def test_an_address_of_this_machine_is_refused_unless_the_operator_allowed_it(bromo, account, receiver):
    customer = Customer(bromo, bromo.test_key(account("free")))
    for url in (receiver.url, "http://localhost/", "http://169.254.169.254/", "http://[::1]/", "http://2130706433/", "x"):
        error, code = customer.refused(
            lambda: customer.client.async_tasks.create("CHATGPT", QUESTION, webhook={"url": url})
        )
        assert isinstance(error, cloro.BadRequestError) and code == "VALIDATION_ERROR"
        assert [fault["field"] for fault in error.body["error"]["details"]] == ["webhook.url"], url


def test_the_verifiers_of_the_documentation_verify(customer, receiver, tmp_path, compiled):
    (delivery,) = told(customer, receiver)
    page = {}
    exec(docs_block("webhooks.md", "python"), page)
    secret, headers, body = customer.account.webhook_secret, delivery.headers, delivery.body
    for verify in (page["verify_standard"], page["verify_cloro"]):
        assert verify(secret, headers, body)
        assert not verify(secret[:-4] + "AAAA", headers, body)
        assert not verify(secret, headers, body + b" ")
        assert not verify(secret, {}, body)
        old = {**headers, "webhook-timestamp": "1", "x-cloro-timestamp": "1"}
        assert not verify(secret, old, body)
    (tmp_path / "body").write_bytes(body)
    script = """
        const page = require(process.argv[1]), { readFileSync } = require("node:fs");
        const [secret, headers, body] = [process.argv[2], JSON.parse(process.argv[3]), readFileSync(process.argv[4])];
        const stale = { ...headers, "webhook-timestamp": "1", "x-cloro-timestamp": "1" };
        console.log(JSON.stringify([page.verifyStandard, page.verifyCloro].map((verify) => [
            verify(secret, headers, body), verify(secret.slice(0, -4) + "AAAA", headers, body),
            verify(secret, headers, Buffer.concat([body, body])), verify(secret, {}, body), verify(secret, stale, body),
        ])));
    """
    said = node("-e", script, compiled / "docs.js", secret, json.dumps(headers), tmp_path / "body")
    assert json.loads(said) == [[True, False, False, False, False]] * 2


def test_the_script_that_checks_a_delivery_by_hand_checks_it(customer, receiver, tmp_path):
    (delivery,) = told(customer, receiver)
    headers, body = tmp_path / "headers.txt", tmp_path / "body.json"
    headers.write_text("".join(f"{name}: {value}\r\n" for name, value in delivery.headers.items()))
    body.write_bytes(delivery.body)

    def check(secret):
        command = ["bash", ROOT / "examples/curl/verify.sh", headers, body]
        done = subprocess.run(
            command, env={**os.environ, "CLORO_WEBHOOK_SECRET": secret}, capture_output=True, text=True
        )
        return done.returncode, done.stdout.count("good: "), done.stdout.count("WRONG: ")

    assert check(customer.account.webhook_secret) == (0, 2, 0)
    assert check(customer.account.webhook_secret[:-4] + "AAAA") == (1, 0, 2)
    body.write_bytes(delivery.body + b" ")
    assert check(customer.account.webhook_secret) == (1, 0, 2)
