"""The published description and the server agree: generated requests, fitting and unfitting."""

from collections import Counter, defaultdict

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from program import SANDBOX
from receiver import LOOPBACK, Receiver
from test_async import FAST, QUESTION, slow
from test_sdk import Customer

EXAMPLES = 30
GRANT = "1000000000000"
PLAN = {
    "name": "wide",
    "title": "Wide",
    "usd_per_month": 0,
    "credits": 0,
    "slots": 1000,
    "support": "none",
    "self_serve": False,
}

# Fields that may stand together only if they are equal. A schema cannot compare them, so it forbids the
# pair, and the server accepts more than the schema says.
EQUAL_ONLY = [{"country", "gl"}, {"url", "query"}, {"url", "uule"}, {"url", "pages"}]


@pytest.fixture(scope="session")
def strict(start, upstream):
    """A server without limits that a generator could reach."""
    program = start(
        api={"strict": True},
        endpoints=SANDBOX,
        limits={"requests_per_second": 1_000_000},
        plans=[PLAN],
        providers={"goto": {"base_url": upstream.url}},
        webhooks={"allow_networks": LOOPBACK},
    )
    return program


@pytest.fixture(scope="session")
def live_key(strict):
    """A key whose account never runs out."""
    account = strict.account("generator", PLAN["name"])
    strict.command("account", "grant", account.name, GRANT)
    return account.key


@pytest.fixture(scope="session")
def tasks(strict, live_key):
    """What a path may name: an ended task that was told of, and at each call a new one that runs for long."""
    client = Customer(strict, live_key).client.async_tasks
    receiver = Receiver()
    ended = client.run("CHATGPT", QUESTION, webhook={"url": receiver.url}, **FAST)["task"]["id"]
    yield {"ended": lambda: ended, "running": lambda: client.create("CHATGPT", slow(3_000)).id}
    receiver.shutdown()


@pytest.fixture(scope="session")
def described(strict):
    """The description as the server itself serves it."""
    return schemathesis.openapi.from_url(f"{strict.api}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")

# Statuses that each operation has answered with.
answered = defaultdict(Counter)


@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_generated_requests_are_answered_as_described(case, live_key, tasks):
    # Nobody guesses the name of a task, so every second request is given one.
    if "id" in (case.path_parameters or {}) and not is_unfitting(case, ParameterLocation.PATH):
        if answered[case.operation.label].total() % 2:
            case.path_parameters["id"] = tasks["running" if case.method == "DELETE" else "ended"]()
    # A request made unfitting by its key alone goes out as it was made.
    unfitting_key = is_unfitting(case, ParameterLocation.HEADER)
    response = case.call(headers={} if unfitting_key else {"Authorization": f"Bearer {live_key}"})
    answered[case.operation.label][response.status_code] += 1
    # A wrong method is a 404 by contract, not a 405.
    excluded = [checks.unsupported_method]
    if may_be_accepted_all_the_same(case):
        excluded.append(checks.negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)


def is_unfitting(case, location):
    component = case.meta.components.get(location)
    return component is not None and component.mode == GenerationMode.NEGATIVE


def may_be_accepted_all_the_same(case):
    """Where the server takes more than its description says."""
    if isinstance(case.body, dict) and any(pair <= case.body.keys() for pair in EQUAL_ONLY):
        return True
    # Parameters that nobody asked for are dropped.
    known = {parameter.name for parameter in case.operation.query}
    return bool(set(case.query or {}) - known)


def test_every_operation_was_tried_with_fitting_and_unfitting_requests():
    assert len(answered) == 22
    for operation, statuses in answered.items():
        assert statuses[200] > 0, f"{operation}: {statuses}"
        assert statuses[400] + statuses[401] > 0, f"{operation}: {statuses}"
