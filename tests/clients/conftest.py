"""Programs that the tests share, each with what its tests need to see."""

import itertools

import pytest

from fake_upstream import MODEL, FakeUpstream
from node import compile_strictly
from program import BINARY, SANDBOX, Program

# Above every account of the smaller plans, so that this endpoint alone is too dear for them.
DEAR = 1_000


def pytest_configure():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it with cargo build -p bromo", returncode=1)


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Starts programs, and sees that each of them ends well."""
    running = []

    def start(**settings):
        running.append(Program(tmp_path_factory.mktemp("bromo"), settings))
        return running[-1]

    yield start
    for program in running:
        code = program.stop()
        assert code == 0, f"bromo ended with {code}:\n{program.output()}"


@pytest.fixture(scope="session")
def upstream():
    """What bromo calls as a provider."""
    server = FakeUpstream()
    yield server
    server.shutdown()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A folder with the TypeScript of examples and documentation, as JavaScript."""
    return compile_strictly(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def bromo(start, upstream):
    """The usual one: sandbox answers, but copilot asks a server, grok has no provider, perplexity is dear."""
    endpoints = {name: table for name, table in SANDBOX.items() if name != "grok"}
    endpoints["copilot"] = {"provider": "openai-chat", "base_url": f"{upstream.url}/v1", "model": MODEL}
    return start(endpoints=endpoints, prices={"perplexity": DEAR}, providers={"goto": {"base_url": upstream.url}})


_numbers = itertools.count(1)


@pytest.fixture
def account(bromo):
    """Makes accounts of the usual program, on a plan."""
    return lambda plan: bromo.account(f"account-{next(_numbers)}", plan)
