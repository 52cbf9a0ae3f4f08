"""What ends an iteration that does not end by itself."""

from __future__ import annotations


class IterationInterrupted(BaseException):
    """Raised in a user's thread whose iteration outlived the graceful stop.

    Not an ``Exception``: a body's ``except Exception`` must not swallow it.
    """
