"""Pictures from outside: looked at before they are decoded, and only ever kept as we encode them again."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageOps

from domain.designs import LARGEST
from domain.errors import Invalid

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_PIXELS: Final = 25_000_000
"""Decoded, that is 75 MB. What claims more is refused by its header, before anything is decoded."""
KEPT_BYTES: Final = 2_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that is safe to keep: a JPEG without anything but its pixels."""

    jpeg: bytes
    width: int
    height: int
    digest: str


def clean_upload(content: bytes, largest: tuple[int, int] = LARGEST) -> Upload:
    """The picture again, turned upright, no larger than `largest` (a poster), as a JPEG. Raises `Invalid`."""
    if not 0 < len(content) <= MOST_BYTES:
        raise Invalid(f"a picture has 1 to {MOST_BYTES} bytes", bytes=len(content))
    picture = _opened(content)
    picture.thumbnail(largest)
    for quality in (90, 80, 65, 50):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= KEPT_BYTES:
            break
    jpeg = out.getvalue()
    if len(jpeg) > KEPT_BYTES:
        raise Invalid("this picture stays too large even when it is compressed", bytes=len(jpeg))
    return Upload(jpeg, *picture.size, hashlib.sha256(jpeg).hexdigest())


def _opened(content: bytes) -> Image.Image:
    """Decoded, upright, on white where it is transparent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise Invalid(
                        f"a picture has at most {MOST_PIXELS} pixels", size=list(picture.size)
                    )
                upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (
        OSError,
        ValueError,
        SyntaxError,
        struct.error,  # from turning a picture upright whose notes are damaged
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        kinds = ", ".join(FORMATS)
        raise Invalid(f"not a readable {kinds} picture", reason=type(error).__name__) from error
    white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, upright).convert("RGB")
