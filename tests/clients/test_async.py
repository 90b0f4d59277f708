"""Tasks through the official client, unmodified, and the routes that it has no method for."""

import time
import uuid

import cloro
import pytest

from program import SANDBOX
from test_sdk import FREE_CREDITS, FREE_SLOTS, LITE_SLOTS, Customer, check_named, check_standing

CHATGPT_LATER = 5
QUEUE_MAX = 4
QUESTION = {"prompt": "best tea shops", "country": "US"}
FAST = {"poll_interval": 0.05, "timeout": 30}


@pytest.fixture
def customer(bromo, account):
    """On the one slot of plan Free, with a live key."""
    return Customer(bromo, account("free").key)


def slow(latency_ms, fail=""):
    return {"prompt": f"[sandbox latency_ms={latency_ms} {fail}] slow", "country": "US"}


def until(condition):
    """Waits for it."""
    deadline = time.monotonic() + FAST["timeout"]
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_task_is_created_read_and_waited_for(customer):
    tasks = customer.client.async_tasks
    made = tasks.create("CHATGPT", QUESTION, priority=3, idempotency_key="first")
    check_standing(customer.headers, FREE_SLOTS)
    check_named(customer.headers)
    assert uuid.UUID(made.id)
    assert (made.status, made.task_type, made.priority) == ("QUEUED", "CHATGPT", 3)
    assert made.created_at.endswith("Z") and made.raw["queuePosition"] == 1
    done = tasks.wait(made, **FAST)
    assert done["task"]["status"] == "COMPLETED" and done["task"]["latencyMs"] >= 0
    assert done["credits"] == {"creditsToCharge": CHATGPT_LATER, "creditsCharged": CHATGPT_LATER}
    # The answer is the one that is given now, without an envelope.
    assert done["response"] == customer.ask()["result"]
    assert "success" not in done and "webhook" not in done
    assert tasks.retrieve("first") == tasks.retrieve(made.id) == done
    assert customer.client.request("GET", "/v1/credits")["remaining"] == FREE_CREDITS - CHATGPT_LATER - 7


@pytest.mark.parametrize("kind", ["CHATGPT", "GEMINI", "COPILOT", "PERPLEXITY", "GROK", "AIMODE", "GOOGLE", "GOOGLE_NEWS"])
def test_every_kind_of_task_runs_on_a_test_key_for_nothing(bromo, account, kind):
    customer = Customer(bromo, bromo.test_key(account("free")))
    field = "query" if kind.startswith("GOOGLE") else "prompt"
    done = customer.client.async_tasks.run(kind, {field: "best tea shops", "country": "US"}, **FAST)
    assert done["response"]["provider"] == "sandbox" and done["credits"]["creditsCharged"] == 0


def test_a_batch_is_judged_item_by_item(customer):
    tasks = customer.client.async_tasks
    items = [
        {"task_type": "CHATGPT", "payload": QUESTION, "idempotency_key": "same"},
        {"task_type": "CHATGPT", "payload": {"prompt": "", "country": "US"}},
        {"taskType": "GEMINI", "payload": QUESTION, "idempotencyKey": "same"},
        {"task_type": "GOOGLE", "payload": {"query": "tea", "country": "US"}, "priority": 10},
        {"task_type": "PERPLEXITY", "payload": QUESTION},  # Dearer than the balance.
    ]
    results = tasks.create_batch(items)
    assert [each["index"] for each in results] == [0, 1, 2, 3, 4]
    codes = [each.get("error", {}).get("code") for each in results]
    assert codes == [None, "VALIDATION_ERROR", "RESOURCE_ALREADY_EXISTS", None, "INSUFFICIENT_CREDITS"]
    assert [fault["field"] for fault in results[1]["error"]["details"]["errors"]] == ["payload.prompt"]
    assert results[2]["error"]["details"]["id"] == results[0]["task"]["id"]
    for each in (results[0], results[3]):
        assert tasks.wait(each["task"]["id"], **FAST)["task"]["status"] == "COMPLETED"


def test_a_batch_is_an_array_of_one_to_five_hundred(customer):
    batch = customer.client.async_tasks.create_batch
    items = [{"task_type": "CHATGPT", "payload": QUESTION}] * 501
    for bad in (lambda: batch([]), lambda: batch(items)):
        error, code = customer.refused(bad)
        assert isinstance(error, cloro.BadRequestError) and code == "VALIDATION_ERROR"
    error, code = customer.refused(lambda: customer.client.request("POST", "/v1/async/task/batch", json={}))
    assert code == "VALIDATION_ERROR"
    assert customer.client.async_tasks.status()["queuedTasks"] == 0


def test_a_key_that_is_taken_is_a_conflict_that_names_the_task(customer):
    tasks = customer.client.async_tasks
    made = tasks.create("CHATGPT", QUESTION, idempotency_key="once")
    tasks.wait(made, **FAST)
    error, code = customer.refused(lambda: tasks.create("GEMINI", QUESTION, idempotency_key="once"))
    assert isinstance(error, cloro.ConflictError) and code == "RESOURCE_ALREADY_EXISTS"
    assert error.body["error"]["details"] == {
        "field": "idempotencyKey", "value": "once", "id": made.id, "status": "COMPLETED",
    }
    check_standing(customer.headers, FREE_SLOTS, current=0)


def test_what_is_refused_raises_what_the_client_has_for_it(customer):
    tasks = customer.client.async_tasks
    checks = [
        (lambda: tasks.create("CHATGPT", {"country": "US"}, priority=11), cloro.BadRequestError, "VALIDATION_ERROR"),
        (lambda: tasks.create("PERPLEXITY", QUESTION), cloro.PermissionDeniedError, "INSUFFICIENT_CREDITS"),
        (lambda: tasks.retrieve(str(uuid.uuid4())), cloro.NotFoundError, "RESOURCE_NOT_FOUND"),
        (lambda: tasks.retrieve("no such key"), cloro.NotFoundError, "RESOURCE_NOT_FOUND"),
    ]
    for call, kind, expected in checks:
        error, code = customer.refused(call)
        assert isinstance(error, kind) and code == expected
        check_standing(customer.headers, FREE_SLOTS, current=0)
    error, _ = customer.refused(checks[0][0])
    assert {fault["field"] for fault in error.body["error"]["details"]} == {"payload.prompt", "priority"}


def test_a_task_that_fails_raises_with_all_that_is_known(customer):
    with pytest.raises(cloro.TaskFailedError) as raised:
        customer.client.async_tasks.run("CHATGPT", {"prompt": "[sandbox fail=refused] no", "country": "US"}, **FAST)
    told = raised.value.response
    assert told["response"]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert told["credits"]["creditsCharged"] == 0
    assert customer.client.request("GET", "/v1/credits")["remaining"] == FREE_CREDITS


def test_a_failed_attempt_is_made_again(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    broken = {"prompt": "[sandbox fail=broken times=1] again", "country": "US"}
    assert customer.client.async_tasks.run("CHATGPT", broken, **FAST)["task"]["latencyMs"] >= 2000


def test_waiting_too_short_leaves_the_task_alone(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    tasks = customer.client.async_tasks
    made = tasks.create("CHATGPT", slow(700))
    with pytest.raises(cloro.TaskTimeoutError):
        tasks.wait(made, poll_interval=0.05, timeout=0.2)
    assert tasks.wait(made, **FAST)["task"]["status"] == "COMPLETED"


def test_tasks_and_calls_answered_now_share_the_slots(bromo, account):
    free = account("free")
    customer = Customer(bromo, bromo.test_key(free))
    tasks = customer.client.async_tasks
    first = tasks.create("CHATGPT", slow(1500))
    until(lambda: tasks.status()["processingTasks"] == 1)
    later = [tasks.create("CHATGPT", QUESTION, priority=priority) for priority in (1, 9, 1)]
    assert tasks.status() == {
        "queuedTasks": 3,
        "processingTasks": 1,
        "priorityBreakdown": [{"priority": 9, "count": 1}, {"priority": 1, "count": 2}],
        "concurrency": {"used": 1, "max": 1},
    }
    check_standing(customer.headers, FREE_SLOTS, current=1)
    error, code = customer.refused(customer.ask)
    assert isinstance(error, cloro.RateLimitError) and code == "CONCURRENCY_LIMIT_EXCEEDED"
    assert [tasks.retrieve(each)["task"]["queuePosition"] for each in later] == [2, 1, 3]
    bromo.command("account", "set-plan", free.name, "lite")
    for each in later:  # Beside the slow one: the upgrade is in force at once.
        assert tasks.wait(each, **FAST)["task"]["status"] == "COMPLETED"
    check_standing(customer.headers, LITE_SLOTS)
    assert tasks.wait(first, **FAST)["task"]["status"] == "COMPLETED"


def test_the_queue_is_cleared_and_tasks_are_cancelled(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    tasks, request = customer.client.async_tasks, customer.client.request
    runs = tasks.create("CHATGPT", slow(20_000), idempotency_key="runs")
    until(lambda: tasks.status()["processingTasks"] == 1)
    waits = [tasks.create("CHATGPT", QUESTION, idempotency_key=f"waits-{n}") for n in range(3)]
    gone = request("DELETE", f"/v1/async/task/{waits[0].id}")
    assert gone["task"]["id"] == waits[0].id
    error, code = customer.refused(lambda: tasks.retrieve(waits[0]))
    assert isinstance(error, cloro.NotFoundError) and code == "RESOURCE_NOT_FOUND"
    tasks.create("CHATGPT", QUESTION, idempotency_key="waits-0")
    assert request("DELETE", "/v1/async/queue") == {"success": True, "cleared": 3}
    assert request("DELETE", "/v1/async/queue") == {"success": True, "cleared": 0}
    cut = request("DELETE", "/v1/async/task/runs")
    assert (cut["task"]["status"], cut["response"]["error"]["code"]) == ("FAILED", "REQUEST_CANCELED")
    assert cut["credits"]["creditsCharged"] == 0
    until(lambda: tasks.status()["concurrency"]["used"] == 0)
    error, code = customer.refused(lambda: request("DELETE", f"/v1/async/task/{runs.id}"))
    assert isinstance(error, cloro.ConflictError) and code == "RESOURCE_CONFLICT"


def test_tasks_are_listed_page_by_page(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("lite")))
    tasks = customer.client.async_tasks
    fails = {"prompt": "[sandbox fail=refused] no", "country": "US"}
    items = [{"task_type": kind, "payload": payload} for kind in ("GEMINI", "GROK") for payload in (QUESTION, fails)] * 2
    made = [each["task"]["id"] for each in tasks.create_batch(items)]
    until(lambda: tasks.status()["queuedTasks"] + tasks.status()["processingTasks"] == 0)

    def listed(**query):
        pages, cursor = [], {}
        while cursor is not None:
            page = customer.client.request("GET", "/v1/async/tasks", params={"limit": 3, **query, **cursor})
            pages.append([each["task"]["id"] for each in page["tasks"]])
            assert len(pages[-1]) <= 3
            cursor = page["nextCursor"] and {"cursor": page["nextCursor"]}
        return sum(pages, [])

    assert listed() == made[::-1]
    assert set(listed(status="FAILED")) == set(made[1::2])
    assert listed(taskType="GROK", status="COMPLETED") == [made[6], made[2]]
    assert listed(status="QUEUED") == []


def test_the_older_paths_lead_to_the_same(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    request = customer.client.request
    made = request("POST", "/v1/task", json={"taskType": "GEMINI", "payload": QUESTION})["task"]["id"]
    batch = request("POST", "/v1/task/batch", json=[{"taskType": "GEMINI", "payload": QUESTION}])
    assert batch["summary"] == {"total": 1, "succeeded": 1, "failed": 0}
    customer.client.async_tasks.wait(made, **FAST)
    assert request("GET", f"/v1/tasks/{made}") == request("GET", f"/v1/task/{made}")


def test_a_queue_that_is_full_takes_a_batch_whole_or_not_at_all(start):
    program = start(endpoints=SANDBOX, limits={"queued_tasks_max": QUEUE_MAX})
    customer = Customer(program, program.test_key(program.account("full", "free")))
    tasks = customer.client.async_tasks
    tasks.create("CHATGPT", slow(20_000), idempotency_key="runs")
    until(lambda: tasks.status()["processingTasks"] == 1)
    item = {"task_type": "CHATGPT", "payload": QUESTION}
    tasks.create_batch([item] * (QUEUE_MAX - 1))
    error, code = customer.refused(lambda: tasks.create_batch([item] * 2))
    assert isinstance(error, cloro.RateLimitError) and code == "QUEUE_LIMIT_EXCEEDED"
    assert error.body["error"]["details"]["remainingCapacity"] == 1
    assert int(customer.headers["retry-after"]) > 0
    assert tasks.status()["queuedTasks"] == QUEUE_MAX - 1
    tasks.create("CHATGPT", QUESTION)
    _, code = customer.refused(lambda: tasks.create("CHATGPT", QUESTION))
    assert code == "QUEUE_LIMIT_EXCEEDED"
    customer.client.request("DELETE", "/v1/async/queue")
    customer.client.request("DELETE", "/v1/async/task/runs")
