"""The published description and the server agree: generated requests, fitting and unfitting."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from program import SANDBOX

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
    )
    return program


@pytest.fixture(scope="session")
def live_key(strict):
    """A key whose account never runs out."""
    account = strict.account("generator", PLAN["name"])
    strict.command("account", "grant", account.name, GRANT)
    return account.key


@pytest.fixture(scope="session")
def described(strict):
    """The description as the server itself serves it."""
    return schemathesis.openapi.from_url(f"{strict.api}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_generated_requests_are_answered_as_described(case, live_key):
    response = case.call(headers={"Authorization": f"Bearer {live_key}"})
    # A wrong method is a 404 by contract, not a 405.
    excluded = [checks.unsupported_method]
    if isinstance(case.body, dict) and any(pair <= case.body.keys() for pair in EQUAL_ONLY):
        excluded.append(checks.negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)
