"""The official client before three nodes, through a load balancer that knows nothing but HTTP."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cluster import NODES, Cluster
from program import SANDBOX
from test_sdk import CALL_S, CHATGPT_NOW, FREE_CREDITS, FREE_SLOTS, PROMPTED, SEARCHED, Customer, check_standing

CALLERS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), {"endpoints": SANDBOX})
    yield cluster
    assert cluster.stop() == [0] * NODES


@pytest.fixture
def account(cluster):
    return lambda plan: cluster.account(f"account-{uuid.uuid4().hex[:8]}", plan)


@pytest.mark.parametrize("engine", PROMPTED + SEARCHED)
def test_every_monitor_method_is_answered_whichever_node_it_comes_to(cluster, account, engine):
    customer = Customer(cluster, cluster.test_key(account("free")))
    results = [customer.ask(engine)["result"] for _ in range(2 * NODES)]
    assert all(result["provider"] == "sandbox" for result in results)


def test_a_caller_that_waits_for_each_answer_is_never_refused_on_one_slot_of_three_nodes(cluster, account):
    customer = Customer(cluster, cluster.test_key(account("free")))
    for _ in range(300):
        customer.ask()
        check_standing(customer.headers, FREE_SLOTS, current=1)


def test_charges_of_all_nodes_come_off_one_balance(cluster, account):
    customer = Customer(cluster, account("free").key)
    for number in range(1, 2 * NODES + 1):
        customer.ask()
        assert customer.headers["x-credits-remaining"] == str(FREE_CREDITS - number * CHATGPT_NOW)
    assert customer.client.request("GET", "/v1/credits")["remaining"] == FREE_CREDITS - 2 * NODES * CHATGPT_NOW


def test_a_change_of_plan_is_in_force_on_every_node_for_the_next_request(cluster, account):
    free = account("free")
    customer = Customer(cluster, free.key)
    for plan, slots in [("lite", 10), ("hobby", 20), ("free", 1)]:
        cluster.command("account", "set-plan", free.name, plan)
        for _ in range(2 * NODES):
            customer.client.states()
            check_standing(customer.headers, slots, current=0)


class Load:
    """Callers that ask for answers now and hand in tasks, one after the other, without a retry, until told to stop."""

    def __init__(self, cluster, key):
        self.cluster, self.key = cluster, key
        self.stopping = threading.Event()
        self.answered, self.tasks = 0, []

    def call(self, number):
        customer = Customer(self.cluster, self.key)
        while not self.stopping.is_set():
            if number % 2:
                body = {"taskType": "CHATGPT", "payload": {"prompt": "best tea shops", "country": "US"}}
                self.tasks.append(customer.client.request("POST", "/v1/async/task", json=body)["task"]["id"])
                time.sleep(0.01)
            else:
                assert customer.ask()["success"] is True
            self.answered += 1

    def end(self, customer, task):
        deadline = time.monotonic() + CALL_S
        while time.monotonic() < deadline:
            status = customer.client.request("GET", f"/v1/async/task/{task}")["task"]["status"]
            if status not in ("QUEUED", "PROCESSING"):
                return status
            time.sleep(0.05)
        return status


def test_a_rolling_restart_under_load_fails_no_request(cluster, account):
    key = cluster.test_key(account("starter"))
    load = Load(cluster, key)
    with ThreadPoolExecutor(CALLERS) as callers:
        calling = [callers.submit(load.call, number) for number in range(CALLERS)]
        try:
            for node in cluster.nodes:
                before = load.answered
                assert node.restart() == 0
                wait_until_balanced(cluster, node)
                assert load.answered > before
        finally:
            load.stopping.set()
        for each in calling:
            each.result(CALL_S)
    customer = Customer(cluster, key)
    assert len(load.tasks) > NODES
    assert {load.end(customer, task) for task in load.tasks} == {"COMPLETED"}


def wait_until_balanced(cluster, node):
    """Until a node that came back is given requests again."""
    count = lambda: sum(  # noqa: E731
        float(line.rsplit(" ", 1)[1])
        for line in httpx.get(f"{node.admin}/metrics").text.splitlines()
        if line.startswith("bromo_calls_total")
    )
    before, deadline = count(), time.monotonic() + CALL_S
    while count() == before:
        assert time.monotonic() < deadline, "HAProxy never came back to it"
        time.sleep(0.02)
