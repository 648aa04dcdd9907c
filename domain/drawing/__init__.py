"""Posters as pictures: the only part of the domain that draws (Pillow, segno, fonts). Pure: data in, bytes out."""

from __future__ import annotations

from domain.drawing.canvas import Shown, draw, render_preview
from domain.drawing.uploads import Upload, clean_upload

__all__ = ["Shown", "Upload", "clean_upload", "draw", "render_preview"]
