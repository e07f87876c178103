"""A user's own picture as square pixels: turned upright, on white where it is transparent, cropped and resized."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from fedgen_bench import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_KINDS = ("PNG", "JPEG", "WEBP", "BMP")
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I")  # 16 bits a pixel, of which the upper 8 are kept


def decoded(content: bytes | Path, size: int, name: str) -> np.ndarray:
    """Pixels of a picture, uint8 of shape (3, size, size).

    It is turned as its EXIF orientation says, put on white where it is transparent, made RGB, cropped to its middle
    square, and resized with antialiasing (bicubic).

    Raises:
        DataError: it is no such picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=_KINDS) as picture:
                square = _square(_rgb(ImageOps.exif_transpose(picture)), size)
    except Exception as error:  # noqa: BLE001 - a damaged file makes its decoder raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{name} is no {', '.join(_KINDS)} image that can be read ({reason}). Replace it, or leave it out."
        ) from None
    return np.asarray(square).transpose(2, 0, 1)


def _rgb(picture: Any) -> Any:
    if picture.mode in _DEEP_GREY:
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture.convert("RGB")


def _square(picture: Any, size: int) -> Any:
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
