"""The structure of the package: what loads what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chinspect

PACKAGE = Path(chinspect.__file__).parent
ROOMS = (
    *("errors", "digests", "files", "intervals", "images", "world", "datasets", "execute", "relevance", "encoders"),
    *("artefacts", "report", "subjects", "cam", "faithfulness", "readouts", "similarity", "anomaly", "explain"),
    *(
        "spray",
        "groups",
        "stress",
        "proof",
        "mitigate",
        "export",
        "known",
        "audit",
        "serve",
        "compat",
        "cli",
        "__main__",
    ),
)
"""From the ground up: each imports only from those before it."""


def imports() -> dict[str, set[str]]:
    """All modules of the package, each with those that it imports anywhere in its code, for types too."""
    modules = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    edges: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        edges[name] = targets & modules.keys() - {name}
    return edges


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_rooms_import_only_from_rooms_below():
    upward = [
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if room(module) and room(target) and ROOMS.index(room(target)) > ROOMS.index(room(module))
    ]
    assert not upward


def test_no_module_reaches_itself():
    edges = imports()
    for start in edges:
        reached: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting += edges[module]
        assert start not in reached


def test_no_public_name_is_that_of_its_module():
    for path in PACKAGE.rglob("*.py"):
        names = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert path.stem not in names, path


@pytest.mark.parametrize("name", chinspect.__all__)
def test_the_package_gives_its_main_names(name):
    assert getattr(chinspect, name) is not None


def test_the_package_itself_loads_nothing():
    code = "import sys, chinspect; print(len([name for name in sys.modules if name.startswith('chinspect')]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"
