"""The official client, unmodified, and the headers it is given to read."""

import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import cloro
import httpx
import pytest
from cloro import Cloro

from fake_upstream import MODEL, TEXT
from program import ROOT, SANDBOX

CALL_S = 60
MODEL_LOADS_S = 180
FREE_SLOTS, LITE_SLOTS, HOBBY_SLOTS = 1, 10, 20
FREE_CREDITS, LITE_CREDITS = 500, 37_500
CHATGPT_NOW = 7

PROMPTED = ["chatgpt", "gemini", "copilot", "perplexity", "aimode"]
SEARCHED = ["google", "google_news"]
ALWAYS = {
    "chatgpt": ["text", "sources"],
    "gemini": ["text", "sources"],
    "copilot": ["text", "sources"],
    "perplexity": ["text", "sources", "related_queries", "videos", "images", "hotels", "places"],
    "aimode": ["text", "sources", "places", "map", "shoppingCards", "inlineProducts", "ads", "videos"],
    "google": ["organicResults", "peopleAlsoAsk", "relatedSearches", "ads"],
    "google_news": ["newsResults"],
}


class Customer:
    """The client with a key, and every response it got."""

    def __init__(self, program, key, retries=0):
        self.responses = []
        http = httpx.Client(timeout=CALL_S, event_hooks={"response": [self.responses.append]})
        self.client = Cloro(api_key=key, base_url=program.api, max_retries=retries, http_client=http)

    def ask(self, engine="chatgpt", prompt="best tea shops", **options):
        options.setdefault("country", "US")
        return getattr(self.client.monitor, engine)(prompt, **options)

    @property
    def headers(self):
        return self.responses[-1].headers

    def refused(self, call):
        """The error of a call that must be refused, and its code."""
        with pytest.raises(cloro.APIStatusError) as raised:
            call()
        body = raised.value.body
        assert body["success"] is False and body["error"]["timestamp"].endswith("Z"), body
        return raised.value, body["error"]["code"]


def check_standing(headers, limit, current=None):
    """The limit headers add up, in both families; current counts the request itself where it holds a slot."""
    rate_limit, rate_left = (int(headers[f"x-ratelimit-{part}"]) for part in ("limit", "remaining"))
    assert 0 <= rate_left < rate_limit
    for family in ("x-concurrent", "x-concurrency"):
        found = {part: int(headers[f"{family}-{part}"]) for part in ("limit", "current", "remaining")}
        assert found["limit"] == limit, found
        assert found["remaining"] == max(0, found["limit"] - found["current"]), found
        if current is not None:
            assert found["current"] == current, found


def check_named(headers):
    """Every response has its own id and its latency."""
    assert uuid.UUID(headers["x-request-id"])
    assert headers["x-latency-ms"].isdigit()


@pytest.mark.parametrize("engine", PROMPTED + SEARCHED)
def test_every_monitor_method_is_answered_on_a_test_key_for_nothing(bromo, account, engine):
    free = account("free")
    customer = Customer(bromo, bromo.test_key(free))
    result = customer.ask(engine)["result"]
    assert all(name in result for name in ALWAYS[engine]), sorted(result)
    assert result["provider"] == "sandbox"
    assert customer.headers["x-credits-charged"] == "0"
    assert customer.headers["x-credits-remaining"] == str(FREE_CREDITS)
    assert customer.ask(engine)["result"] == result


def test_grok_is_answered_through_the_client_s_own_request_method(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    body = {"prompt": "best tea shops", "country": "US"}
    answer = customer.client.request("POST", "/v1/monitor/grok", json=body)
    assert answer["success"] is True and "searchQueries" in answer["result"]


def test_parts_of_an_answer_are_there_when_asked_for(bromo, account):
    customer = Customer(bromo, account("lite").key)
    plain = customer.ask()["result"]
    assert "markdown" not in plain and "shoppingCards" not in plain
    wanted = {"markdown": True, "html": True, "rawResponse": True, "searchQueries": True, "shopping": True}
    result = customer.ask(include=wanted, state="CA")["result"]
    assert {"markdown", "rawResponse", "searchQueries", "shoppingCards"} <= result.keys()
    page = httpx.get(result["html"])
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert customer.headers["x-credits-charged"] == str(CHATGPT_NOW + 2 + 2)


def test_google_takes_every_option_the_client_has(bromo, account):
    customer = Customer(bromo, account("lite").key)
    result = customer.ask("google", device="ios", pages=3, location="Bern", include={"aioverview": {}})["result"]
    assert max(row["page"] for row in result["organicResults"]) == 3
    assert "aioverview" in result and "markdown" not in result["aioverview"]
    assert customer.headers["x-credits-charged"] == "11"


def test_fields_that_the_api_does_not_know_are_dropped(bromo, account):
    customer = Customer(bromo, account("lite").key)
    assert customer.ask("google", city="Bern", include={"markdown": True})["success"] is True
    assert customer.ask(country="de")["success"] is True


def test_countries_and_states_are_bare_lists(bromo, account):
    client = Customer(bromo, account("free").key).client
    assert len(client.countries()) == 250
    assert len(client.countries(model="aioverview")) == 231
    assert {"code": "CA", "name": "California"} in client.states() and len(client.states()) == 51


def test_a_provider_s_stream_becomes_a_result(bromo, account):
    customer = Customer(bromo, account("lite").key)
    result = customer.ask("copilot", "What is the capital of France?", include={"markdown": True})["result"]
    assert result["text"] == TEXT and "**Paris**" in result["markdown"]
    assert (result["provider"], result["model"]) == ("openai-chat", MODEL)


def test_the_model_in_the_program_answers(start):
    path = os.environ.get("BROMO_MODEL") or next(iter(sorted(ROOT.glob("bromo-data/models/*.gguf"))), None)
    if path is None:
        pytest.skip("no model under bromo-data/models, and BROMO_MODEL names none")
    program = start(
        endpoints={"chatgpt": {"provider": "embedded"}},
        providers={"embedded": {"model_path": str(path), "max_tokens": 20}},
    )
    customer = Customer(program, program.account("embedded", "free").key)
    deadline = time.monotonic() + MODEL_LOADS_S
    while True:
        try:
            result = customer.ask(prompt="What is the capital of France?")["result"]
            break
        except cloro.InternalServerError as error:
            assert error.status_code == 503 and time.monotonic() < deadline, error.body
            time.sleep(0.5)
    assert result["text"] and result["provider"] == "embedded" and result["model"]


def test_three_kinds_of_key_faults_are_told_apart(bromo, account):
    good = account("free").key

    def check(key, code, send=None):
        customer = Customer(bromo, key)
        if send is not None:
            customer.client._client.event_hooks["request"] = [
                lambda request: request.headers.update({"Authorization": send})
            ]
        error, found = customer.refused(customer.ask)
        assert isinstance(error, cloro.AuthenticationError) and found == code
        check_named(customer.headers)
        limits = [name for name in customer.headers if name.startswith(("x-ratelimit", "x-concurren", "x-credits"))]
        assert limits == []

    check(good, "MISSING_API_KEY", send=f"bearer {good}")
    check(good[:-1], "INVALID_API_KEY_FORMAT")
    check("sk_live_" + "0" * 32, "INVALID_OR_EXPIRED_API_KEY")


def test_an_invalid_request_names_its_fields(bromo, account):
    customer = Customer(bromo, account("free").key)
    error, code = customer.refused(lambda: customer.ask(prompt="", country="ZZ", include={"html": "yes"}))
    assert isinstance(error, cloro.BadRequestError) and code == "VALIDATION_ERROR"
    assert [row["field"] for row in error.body["error"]["details"]] == ["prompt", "country", "include.html"]
    check_standing(customer.headers, FREE_SLOTS, current=0)


def test_a_price_above_the_balance_is_refused(bromo, account):
    customer = Customer(bromo, account("free").key)
    error, code = customer.refused(lambda: customer.ask("perplexity"))
    assert isinstance(error, cloro.PermissionDeniedError) and code == "INSUFFICIENT_CREDITS"
    check_standing(customer.headers, FREE_SLOTS, current=0)
    assert "x-credits-charged" not in customer.headers


def test_an_unknown_route_is_not_found(bromo, account):
    customer = Customer(bromo, account("free").key)
    for method, path in [("GET", "/v1/nothing"), ("GET", "/v1/monitor/chatgpt"), ("POST", "/v1/countries")]:
        error, code = customer.refused(lambda: customer.client.request(method, path))
        assert isinstance(error, cloro.NotFoundError) and code == "RESOURCE_NOT_FOUND"
        assert error.body["error"]["details"] == {"id": path}
        check_standing(customer.headers, FREE_SLOTS, current=0)


def test_an_endpoint_without_a_provider_says_which_setting_is_missing(bromo, account):
    customer = Customer(bromo, account("free").key)
    body = {"prompt": "best tea shops", "country": "US"}
    error, code = customer.refused(lambda: customer.client.request("POST", "/v1/monitor/grok", json=body))
    assert isinstance(error, cloro.InternalServerError) and error.status_code == 503
    assert code == "SERVICE_UNAVAILABLE" and "grok" in error.message
    assert int(customer.headers["retry-after"]) > 0
    check_standing(customer.headers, FREE_SLOTS, current=0)


def test_a_failed_answer_costs_nothing(bromo, account):
    customer = Customer(bromo, account("free").key)
    error, code = customer.refused(lambda: customer.ask(prompt="[sandbox fail=refused] why?"))
    assert isinstance(error, cloro.InternalServerError) and code == "INTERNAL_SERVER_ERROR"
    assert customer.client.request("GET", "/v1/credits")["remaining"] == FREE_CREDITS


def at_the_start_of_a_second():
    time.sleep(1 - time.time() % 1)


def test_past_the_rate_of_one_path_the_other_paths_are_open(start):
    program = start(endpoints=SANDBOX, limits={"requests_per_second": 3})
    customer = Customer(program, program.account("narrow", "lite").key)
    at_the_start_of_a_second()
    for left in (2, 1, 0):
        customer.client.countries()
        assert customer.headers["x-ratelimit-remaining"] == str(left)
    error, code = customer.refused(customer.client.countries)
    assert isinstance(error, cloro.RateLimitError) and code == "RATE_LIMIT_EXCEEDED"
    assert (customer.headers["x-ratelimit-limit"], customer.headers["x-ratelimit-remaining"]) == ("3", "0")
    assert customer.headers["retry-after"] == "1"
    check_named(customer.headers)
    customer.client.states()
    patient = Customer(program, customer.client.api_key, retries=2)
    for _ in range(8):
        patient.client.countries()


class Busy:
    """A call that holds a slot while the block runs."""

    def __init__(self, program, key, latency_ms):
        self.customer = Customer(program, key)
        self.thread = threading.Thread(
            target=self.customer.ask, kwargs={"prompt": f"[sandbox latency_ms={latency_ms}] slow"}
        )
        self.watcher = Customer(program, key)

    def __enter__(self):
        self.thread.start()
        deadline = time.monotonic() + CALL_S
        while time.monotonic() < deadline:
            self.watcher.client.states()
            if self.watcher.headers["x-concurrent-current"] == "1":
                return self
        raise AssertionError("the slow call never took its slot")

    def __exit__(self, *_):
        self.thread.join(CALL_S)
        assert self.customer.responses[-1].status_code == 200


def test_one_call_over_the_slots_is_refused_at_once_and_costs_nothing(bromo, account):
    free = account("free")
    key = bromo.test_key(free)
    customer = Customer(bromo, key)
    with Busy(bromo, key, latency_ms=2_000):
        error, code = customer.refused(customer.ask)
        assert isinstance(error, cloro.RateLimitError) and code == "CONCURRENCY_LIMIT_EXCEEDED"
        assert error.body["error"]["details"] == {"limit": FREE_SLOTS}
        check_standing(customer.headers, FREE_SLOTS, current=FREE_SLOTS)
        assert 1 <= int(customer.headers["retry-after"]) <= 30
        assert "x-credits-charged" not in customer.headers
    customer.ask()
    check_standing(customer.headers, FREE_SLOTS, current=1)


def test_the_client_s_own_retry_waits_long_enough_for_a_slot(bromo, account):
    key = bromo.test_key(account("free"))
    patient = Customer(bromo, key, retries=2)
    with Busy(bromo, key, latency_ms=1_500):
        assert patient.ask()["success"] is True
    assert patient.responses[0].status_code == 429 and patient.responses[-1].status_code == 200


def test_the_headers_of_every_authenticated_response_add_up(bromo, account):
    customer = Customer(bromo, account("lite").key)
    get = lambda path: customer.client.request("GET", path)  # noqa: E731
    redirect = {"url": "https://www.google.com/url?q=https://tea.example/"}
    calls = [
        (customer.ask, 200, 1),
        (lambda: customer.ask("google"), 200, 1),
        (customer.client.countries, 200, 0),
        (customer.client.states, 200, 0),
        (lambda: get("/v1/credits"), 200, 0),
        (lambda: customer.client.request("POST", "/v1/monitor/google/goto", json=redirect), 200, 0),
        (lambda: customer.ask(prompt=""), 400, 0),
        (lambda: customer.client.countries(model="none"), 400, 0),
        (lambda: get("/v1/nothing"), 404, 0),
        (lambda: customer.ask(prompt="[sandbox fail=refused] why?"), 500, 1),
        (lambda: customer.ask("gemini", "x" * (2 << 20)), 413, 0),
    ]
    ids = set()
    for call, status, current in calls:
        try:
            call()
        except cloro.APIStatusError:
            pass
        assert customer.responses[-1].status_code == status
        check_standing(customer.headers, LITE_SLOTS, current)
        check_named(customer.headers)
        ids.add(customer.headers["x-request-id"])
        charged = {name for name in customer.headers if name.startswith("x-credits-")}
        assert len(charged) == (2 if status == 200 and current == 1 else 0)
    assert len(ids) == len(calls)


def test_charges_and_the_balance_agree(bromo, account):
    customer = Customer(bromo, account("free").key)
    for spent in (CHATGPT_NOW, 2 * CHATGPT_NOW):
        customer.ask()
        assert customer.headers["x-credits-charged"] == str(CHATGPT_NOW)
        assert customer.headers["x-credits-remaining"] == str(FREE_CREDITS - spent)
        left = customer.client.request("GET", "/v1/credits")
        assert left == {"remaining": FREE_CREDITS - spent, "perCycle": None, "cycleResetsAt": None}


def test_an_upgrade_and_a_grant_are_in_force_on_the_next_request(bromo, account):
    free = account("free")
    customer = Customer(bromo, free.key)
    customer.ask()
    check_standing(customer.headers, FREE_SLOTS, current=1)
    bromo.command("account", "set-plan", free.name, "lite")
    customer.ask()
    check_standing(customer.headers, LITE_SLOTS, current=1)
    balance = LITE_CREDITS - 2 * CHATGPT_NOW
    assert customer.headers["x-credits-remaining"] == str(balance)
    bromo.command("account", "grant", free.name, "1000")
    assert customer.client.request("GET", "/v1/credits")["remaining"] == balance + 1000
    bromo.command("account", "set-plan", free.name, "free")
    customer.client.states()
    check_standing(customer.headers, FREE_SLOTS, current=0)


def test_a_revoked_key_is_refused_on_the_next_request_and_its_sisters_are_not(bromo, account):
    free = account("free")
    key_id, key = bromo.key(free)
    customer = Customer(bromo, key)
    customer.client.states()
    bromo.command("key", "revoke", key_id)
    error, code = customer.refused(customer.client.states)
    assert isinstance(error, cloro.AuthenticationError) and code == "INVALID_OR_EXPIRED_API_KEY"
    Customer(bromo, free.key).client.states()


def test_three_times_as_many_callers_as_slots_never_run_more_than_the_slots(bromo, account, upstream):
    key = account("hobby").key
    upstream.latency_s, upstream.peak = 0.2, 0
    together = threading.Barrier(3 * HOBBY_SLOTS)

    def call_until_answered(_):
        customer = Customer(bromo, key)
        together.wait(CALL_S)
        deadline = time.monotonic() + CALL_S
        while time.monotonic() < deadline:
            try:
                customer.ask("copilot")
                return customer.responses
            except cloro.RateLimitError as error:
                assert error.body["error"]["code"] == "CONCURRENCY_LIMIT_EXCEEDED"
                time.sleep(0.05)
        raise AssertionError("a caller was never answered")

    try:
        with ThreadPoolExecutor(3 * HOBBY_SLOTS) as callers:
            responses = [each for some in callers.map(call_until_answered, range(3 * HOBBY_SLOTS)) for each in some]
    finally:
        upstream.latency_s = 0.0
    assert upstream.peak == HOBBY_SLOTS
    for response in responses:
        check_standing(response.headers, HOBBY_SLOTS)
        if response.status_code == 429:
            assert response.headers["x-concurrent-remaining"] == "0"
    last = Customer(bromo, key)
    last.ask("copilot")
    check_standing(last.headers, HOBBY_SLOTS, current=1)


def test_a_caller_that_waits_for_each_answer_is_never_refused_on_one_slot(bromo, account):
    customer = Customer(bromo, bromo.test_key(account("free")))
    for _ in range(300):
        customer.ask()
