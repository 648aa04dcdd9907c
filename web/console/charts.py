"""Charts as SVG inside the page, drawn by pygal and coloured by classes of console.css: one picture serves light and
dark, and no inline style or script is needed. Each is drawn twice, for a desk and for a phone, whose text would shrink.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from xml.etree import ElementTree

import pygal
from markupsafe import Markup

# pygal hooks itself into every import, by a protocol that Python has given up, for maps that we do not draw.
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]

_SIZES: Final = (("wide", 560, 210, 7), ("narrow", 360, 210, 4))
"""Name, width, height, and how many days are named below."""
_SVG: Final = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, slots=True)
class Series:
    """A row of values, one a day, with its title."""

    title: str
    values: Sequence[float]


def bars(
    title: str, days: Sequence[date], series: Sequence[Series], shown: Callable[[float], str] = str
) -> Markup:
    """Bars by day, the series side by side; `shown` writes a value for the axis and the hint."""
    return _drawn(pygal.Bar, title, days, series, shown)


def line(title: str, days: Sequence[date], series: Sequence[Series]) -> Markup:
    """A line by day."""
    return _drawn(pygal.Line, title, days, series, str)


def _drawn(
    kind: Any,
    title: str,
    days: Sequence[date],
    series: Sequence[Series],
    shown: Callable[[float], str],
) -> Markup:
    pictures = [_picture(kind, size, days, series, shown) for size in _SIZES]
    return Markup('<figure class="chart-box" role="img" aria-label="{}">{}</figure>').format(
        title, Markup("").join(pictures)
    )


def _picture(
    kind: Any, size: tuple[str, int, int, int], days: Sequence[date], series: Sequence[Series],
    shown: Callable[[float], str],
) -> Markup:  # fmt: skip
    name, width, height, labels = size
    top = max((value for one in series for value in one.values), default=0)
    chart = kind(
        js=[], css=[], width=width, height=height, explicit_size=False, show_legend=False, margin=8,
        show_minor_x_labels=False, truncate_label=-1, show_dots=False, fill=kind is pygal.Line,
        range=(0, max(top, 4)), min_scale=2, max_scale=4, value_formatter=shown, spacing=6,
    )  # fmt: skip
    chart.x_labels = [f"{day:%m-%d}" for day in days]
    step = max(1, -(-len(days) // labels))
    chart.x_labels_major = chart.x_labels[::-1][::step]
    for one in series:
        chart.add(one.title, list(one.values))
    return _cleaned(chart.render_tree(), f"chart chart-{name}")


def _cleaned(tree: Any, css: str) -> Markup:
    """Without pygal's styles, scripts and notes; its descriptions become hints that a browser shows by itself."""
    svg = ElementTree.fromstring(ElementTree.tostring(tree, encoding="unicode"))  # noqa: S314 # pygal's own output
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag in {f"{_SVG}defs", f"{_SVG}title", f"{_SVG}script"}:
                parent.remove(child)
        _hint(parent)
    svg.attrib = {"class": css, "viewBox": svg.attrib["viewBox"], "aria-hidden": "true"}
    ElementTree.register_namespace("", _SVG[1:-1])
    written = ElementTree.tostring(svg, encoding="unicode")
    return Markup(re.sub(r' style="[^"]*"', "", written))  # noqa: S704 # numbers and our own words, escaped by ElementTree


def _hint(parent: Any) -> None:
    notes = {child.get("class", ""): child for child in parent if child.tag == f"{_SVG}desc"}
    for child in notes.values():
        parent.remove(child)
    if "value" in notes and "x_label" in notes:
        hint = ElementTree.SubElement(parent, f"{_SVG}title")
        hint.text = f"{notes['x_label'].text}: {notes['value'].text}"
