"""What is made from text alone is made once for each test process: the builders of addresses, and page templates.

A test opens an application of its own, with its own routes and template environment; compiling their code again for
each was most of what that cost (70 ms an application, 20 ms a template). What is kept here is code, never state: an
entry is found by everything that it was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


class KeptTemplates(BytecodeCache):
    """Jinja's own cache, in memory. It knows a template by its name, its file and a digest of its source."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._kept[bucket.key, bucket.checksum] = bucket.code


def keep_compiled() -> None:
    """From now on, in this process."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": KeptTemplates()}
    compile_builder = Rule._compile_builder
    builders: dict[Any, Callable[..., tuple[str, str]]] = {}

    def kept(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        made_from = (self.rule, tuple(self._trace), repr(self.defaults), append_unknown)
        if made_from not in builders:
            builders[made_from] = compile_builder(self, append_unknown)
        return builders[made_from]

    Rule._compile_builder = kept  # type: ignore[method-assign] # werkzeug has no place for a cache
