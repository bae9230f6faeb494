"""Refusals of site settings."""

from app.core.errors import AccountError


class UnreadableImage(AccountError):
    code = "unreadable_image"
    fields = ("removes_logo",)
    message = "Use a PNG, JPEG, WebP or GIF image."
