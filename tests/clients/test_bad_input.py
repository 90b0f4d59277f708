"""Hostile input over bare sockets: a clear refusal, and no memory kept."""

import json
import select
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from program import SANDBOX

HEAD_TIMEOUT_MS = 1_500
BODY_TIMEOUT_MS = 1_500
# A refusal that is due may come this much later on a busy machine.
SLACK_S = 10
BODY_MAX = 1 << 20
HUGE = 100 << 20
# What the server may grow by over all of these tests, at its highest: some bodies of the largest size.
MEMORY_GROWTH_MAX_KB = 32 * 1024
# What it may keep of refusals that it has made many times before.
MEMORY_CREEP_MAX_KB = 4 * 1024
REFUSALS = 100
IDLE_CONNECTIONS = 200


@pytest.fixture(scope="module")
def program(start):
    """A server that waits only briefly, and whose memory is measured from its first answers on."""
    program = start(
        endpoints=SANDBOX,
        listen={"head_timeout_ms": HEAD_TIMEOUT_MS, "body_timeout_ms": BODY_TIMEOUT_MS},
        api={"body_bytes_max": BODY_MAX},
    )
    program.customer = program.account("hostile", "lite")
    for prompt in ("tea", "x" * (BODY_MAX // 2), "[sandbox] tea"):
        body = {"prompt": prompt, "country": "US"}
        httpx.post(f"{program.api}/v1/monitor/chatgpt", json=body, headers=bearer(program))
    before = program.memory_kb("VmHWM")
    yield program
    grown = program.memory_kb("VmHWM") - before
    assert grown <= MEMORY_GROWTH_MAX_KB, f"grew by {grown} kB"


@pytest.fixture(autouse=True)
def still_well(program):
    """After every test the next customer is answered, with no slot held."""
    yield
    body = {"prompt": "tea", "country": "US"}
    response = httpx.post(f"{program.api}/v1/monitor/chatgpt", json=body, headers=bearer(program))
    assert response.status_code == 200 and response.headers["x-concurrent-current"] == "1"


def bearer(program):
    return {"Authorization": f"Bearer {program.customer.key}"}


class Wire:
    """A bare connection."""

    def __init__(self, program):
        address = urlsplit(program.api)
        self.socket = socket.create_connection((address.hostname, address.port), SLACK_S)
        self.buffer = b""

    def send(self, data):
        """Sends until the other side answers or closes; says whether all of it went out."""
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self.socket], [self.socket], [], SLACK_S)
            if readable:
                return False
            assert writable, "the server neither reads nor answers"
            try:
                view = view[self.socket.send(view[: 1 << 16]) :]
            except OSError:
                return False
        return True

    def receive(self):
        """More bytes, or none once the other side has closed."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.buffer += data
        return bool(data)

    def reply(self):
        """The next response: status, headers, body; none if the connection is closed without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.receive():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:])
        headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            assert self.receive(), "the body broke off"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(lines[0].split()[1]), headers, body

    def is_closed(self):
        """Whether the other side closes now, without a further byte."""
        return self.buffer == b"" and not self.receive()


def head(program, *lines, method="POST", path="/v1/monitor/chatgpt", key=None):
    """A request's head. `key` replaces the whole value of the Authorization header."""
    authorization = f"Bearer {program.customer.key}" if key is None else key
    first = [f"{method} {path} HTTP/1.1", "Host: bromo", f"Authorization: {authorization}"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def with_body(program, body, **words):
    return head(program, f"Content-Length: {len(body)}", **words) + body


def asked(program, data):
    wire = Wire(program)
    wire.send(data)
    return wire.reply()


def check_problem(reply, status, code):
    """The refusal is the contract's envelope, and gives its code and details."""
    assert reply is not None, "closed without an answer"
    found, headers, body = reply
    assert found == status, body
    error = json.loads(body)["error"]
    assert (error["code"], headers["content-type"]) == (code, "application/json")
    assert "x-request-id" in headers and "x-latency-ms" in headers
    return error.get("details")


def check_bare(wire):
    """The refusal is a bare 4xx, or nothing, and the connection is closed."""
    reply = wire.reply()
    if reply is not None:
        assert 400 <= reply[0] < 500 and reply[2] == b"", reply
    assert wire.is_closed()


def test_a_body_of_100_mb_is_refused_while_it_is_sent(program):
    wire = Wire(program)
    assert wire.send(head(program, f"Content-Length: {HUGE}"))
    piece = b"x" * (1 << 20)
    sent = 0
    while sent < HUGE and wire.send(piece):
        sent += len(piece)
    assert sent < HUGE
    check_problem(wire.reply(), 413, "PAYLOAD_TOO_LARGE")


def test_a_body_of_unknown_length_is_refused_at_the_same_size(program):
    wire = Wire(program)
    assert wire.send(head(program, "Transfer-Encoding: chunked"))
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    while sent < HUGE and wire.send(piece):
        sent += len(piece)
    assert BODY_MAX < sent < HUGE
    check_problem(wire.reply(), 413, "PAYLOAD_TOO_LARGE")


def test_a_body_that_is_too_large_is_not_even_asked_for(program):
    wire = Wire(program)
    assert wire.send(head(program, f"Content-Length: {HUGE}", "Expect: 100-continue"))
    check_problem(wire.reply(), 413, "PAYLOAD_TOO_LARGE")


def test_refusals_leave_nothing_behind(program):
    def refuse_many():
        for _ in range(REFUSALS):
            wire = Wire(program)
            wire.send(head(program, "Transfer-Encoding: chunked"))
            wire.send(b"%x\r\n" % (2 * BODY_MAX) + b"x" * (2 * BODY_MAX))
            check_problem(wire.reply(), 413, "PAYLOAD_TOO_LARGE")
        return program.memory_kb("VmRSS")

    before = refuse_many()
    assert refuse_many() - before <= MEMORY_CREEP_MAX_KB


def test_without_a_key_a_huge_body_is_a_401(program):
    wire = Wire(program)
    assert wire.send(head(program, f"Content-Length: {HUGE}", key="Bearer nonsense"))
    check_problem(wire.reply(), 401, "INVALID_API_KEY_FORMAT")


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
        b"[" * 500_000,
        b'{"prompt":"\xff\xfe","country":"US"}',
        b'{"prompt":"\\ud800","country":"US"}',
        b'{"prompt":"tea","country":"US"} trailing',
        b'{"prompt":"tea",',
        b"\x00" * 1000,
        b"null",
        b"",
    ],
    ids=["deep-list", "deep-object", "unclosed", "utf-8", "surrogate", "trailing", "cut", "zeros", "null", "empty"],
)
def test_a_body_that_is_no_json_object_is_one_fault_of_the_body(program, body):
    details = check_problem(asked(program, with_body(program, body)), 400, "VALIDATION_ERROR")
    assert [row["field"] for row in details] == [""]
    assert len(details[0]["message"]) < 200


def test_a_body_with_100_000_unknown_fields_costs_no_large_answer(program):
    members = ",".join(f'"x{n}":1' for n in range(80_000))
    body = f'{{"prompt":"","country":"US",{members}}}'.encode()
    reply = asked(program, with_body(program, body))
    details = check_problem(reply, 400, "VALIDATION_ERROR")
    assert details[0]["field"] == "prompt" and len(reply[2]) < 10_000


def test_10_000_header_fields_are_refused(program):
    wire = Wire(program)
    wire.send(head(program, *(f"X-{n}: y" for n in range(10_000))))
    check_bare(wire)


def test_a_header_field_of_a_megabyte_is_refused(program):
    wire = Wire(program)
    wire.send(head(program, "X-Long: " + "y" * (1 << 20)))
    check_bare(wire)


def test_a_head_that_trickles_is_cut_off(program):
    wire = Wire(program)
    began = time.monotonic()
    for byte in head(program, "X-Slow: " + "y" * 1000):
        if not wire.send(bytes([byte])):
            break
        time.sleep(0.05)
        assert time.monotonic() - began < HEAD_TIMEOUT_MS / 1000 + SLACK_S, "still reading"
    check_bare(wire)


def test_a_body_that_trickles_is_a_408(program):
    wire = Wire(program)
    assert wire.send(head(program, "Content-Length: 1000"))
    began = time.monotonic()
    while wire.send(b" "):
        time.sleep(0.05)
        assert time.monotonic() - began < BODY_TIMEOUT_MS / 1000 + SLACK_S, "still reading"
    check_problem(wire.reply(), 408, "REQUEST_TIMEOUT")


def test_idle_connections_hold_up_nobody(program):
    idle = [Wire(program) for _ in range(IDLE_CONNECTIONS)]
    for wire in idle:
        wire.send(b"POST /v1/monitor/chatgpt HTTP/1.1\r\nHost: br")
    status, _, _ = asked(program, with_body(program, b'{"prompt":"tea","country":"US"}'))
    assert status == 200
    for wire in idle:
        check_bare(wire)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_not_found(program, method):
    details = check_problem(asked(program, head(program, method=method)), 404, "RESOURCE_NOT_FOUND")
    assert details == {"id": "/v1/monitor/chatgpt"}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "MISSING_API_KEY"),
        ("Bearer", "MISSING_API_KEY"),
        ("Bearer ", "MISSING_API_KEY"),
        ("bearer {key}", "MISSING_API_KEY"),
        ("BEARER {key}", "MISSING_API_KEY"),
        ("Basic {key}", "MISSING_API_KEY"),
        ("{key}", "MISSING_API_KEY"),
        ("Bearer\t{key}", "MISSING_API_KEY"),
        ("Bearer {key}0", "INVALID_API_KEY_FORMAT"),
        ("Bearer {key} {key}", "INVALID_API_KEY_FORMAT"),
        ("Bearer sk_live_", "INVALID_API_KEY_FORMAT"),
        ("Bearer sk_live_" + "G" * 32, "INVALID_API_KEY_FORMAT"),
        ("Bearer SK_LIVE_" + "0" * 32, "INVALID_API_KEY_FORMAT"),
        ("Bearer a.b.c", "INVALID_API_KEY_FORMAT"),
        ("Bearer \xff\xfe", "INVALID_API_KEY_FORMAT"),
        ("Bearer " + "0" * 30_000, "INVALID_API_KEY_FORMAT"),
        ("Bearer sk_test_" + "0" * 32, "INVALID_OR_EXPIRED_API_KEY"),
    ],
)
def test_a_key_that_is_none_is_refused_with_its_own_code(program, value, code):
    value = value.replace("{key}", program.customer.key)
    status, headers, body = reply = asked(program, head(program, "Content-Length: 0", key=value))
    assert check_problem(reply, 401, code) is None
    assert not [name for name in headers if name.startswith(("x-ratelimit", "x-concurren", "x-credits"))]


def test_two_keys_are_no_key(program):
    second = f"Authorization: Bearer {program.customer.key}"
    check_problem(asked(program, head(program, second, "Content-Length: 0")), 401, "MISSING_API_KEY")


def test_a_key_of_a_megabyte_is_refused(program):
    wire = Wire(program)
    wire.send(head(program, key="Bearer " + "0" * (1 << 20)))
    check_bare(wire)


def test_garbage_after_a_request_ends_the_connection_after_its_answer(program):
    wire = Wire(program)
    wire.send(with_body(program, b'{"prompt":"tea","country":"US"}') + b"\x00\x01garbage\r\n\r\n" * 10)
    status, headers, _ = wire.reply()
    assert status == 200 and headers["x-concurrent-current"] == "1"
    check_bare(wire)


def test_requests_in_a_row_are_answered_in_their_order(program):
    paths = ["/v1/states", "/v1/nothing", "/v1/countries"]
    wire = Wire(program)
    wire.send(b"".join(head(program, method="GET", path=path) for path in paths))
    assert [wire.reply()[0] for _ in paths] == [200, 404, 200]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"\xff" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    ],
    ids=["tls", "ones", "short", "version", "zero", "space", "value", "negative", "lengths", "coding"],
)
def test_what_is_no_http_is_a_bare_refusal(program, data):
    wire = Wire(program)
    wire.send(data)
    check_bare(wire)


def test_a_chunk_that_is_none_is_a_refusal(program):
    wire = Wire(program)
    wire.send(head(program, "Transfer-Encoding: chunked") + b"zz\r\nnonsense")
    reply = wire.reply()
    assert reply is None or 400 <= reply[0] < 500
