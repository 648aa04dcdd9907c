"""What import-linter cannot say: "nothing but". It can forbid names; these tests allow names and forbid the rest."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ["domain", "wechat", "bot", "web", "jobs", "simulator"]


def _imported(path: Path) -> Iterator[str]:
    """Dotted names of everything that the file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@cache
def _foreign(path: Path) -> frozenset[str]:
    """Top-level names that come neither from Python nor from the file's own folder."""
    own = path.relative_to(ROOT).parts[0]
    names = {name.partition(".")[0] for name in _imported(path)}
    return frozenset(names - sys.stdlib_module_names - {own})


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_of_the_product_is_read(folder: str) -> None:
    assert _files(folder)


def test_domain_is_python_and_sqlalchemy() -> None:
    drawing = {"PIL", "segno", "pylopdf_fonts_zh_cn"}
    allowed = {
        "secrets.py": {"sqlalchemy", "cryptography", "argon2"},
        "patterns.py": {"regex"},
        "drawing": drawing,
    }
    found: dict[str, set[str]] = {}
    for path in _files("domain"):
        name = "drawing" if path.parent.name == "drawing" else path.name
        found.setdefault(name, set()).update(_foreign(path))
    assert {
        name: more
        for name, names in found.items()
        if (more := names - allowed.get(name, {"sqlalchemy"}))
    } == {}


def test_simulator_knows_nothing_of_ours() -> None:
    ours = {*FOLDERS, "app", "config", "demo", "launch"} - {"simulator"}
    found = {str(path.relative_to(ROOT)): _foreign(path) & ours for path in _files("simulator")}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("werobot", {"bot/robot.py"}),
        ("wechatpayv3", {"wechat/pay.py"}),
        ("rq", {"jobs"}),
        ("config", {"jobs"}),
        ("app", {"jobs"}),
    ],
)
def test_library_is_imported_only_in_its_home(library: str, home: set[str]) -> None:
    """`jobs` has the processes' main functions, which read the settings; no other room does."""
    places = [path.relative_to(ROOT) for folder in FOLDERS for path in _files(folder)]
    found = {str(place) for place in places if library in _foreign(ROOT / place)}
    assert {name for name in found if not (name in home or Path(name).parts[0] in home)} == set()
