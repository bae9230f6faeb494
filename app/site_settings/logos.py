"""Uploaded logos, as new PNG files that contain nothing but pixels."""

from io import BytesIO

from app.site_settings.errors import UnreadableImage

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_FILE_BYTES = 1024 * 1024
MAX_SIDE = 2000
# Four times the height of the header's logo, for screens with many pixels.
SHOWN = (480, 112)


def reencode_logo(file: bytes) -> bytes:
    """Return the image as a PNG file in the size that is shown. Raises UnreadableImage."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - loaded with the first upload.

    try:
        with Image.open(BytesIO(file), formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE:  # Before its pixels are decoded.
                raise UnreadableImage(f"Use an image of at most {MAX_SIDE:,} by {MAX_SIDE:,} pixels.")
            shown = ImageOps.exif_transpose(image).convert("RGBA")
        shown.thumbnail(SHOWN)
        pixels = Image.frombytes("RGBA", shown.size, shown.tobytes())  # Without metadata.
        written = BytesIO()
        pixels.save(written, "PNG", optimize=True)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        raise UnreadableImage from None
    return written.getvalue()
