"""Runnable examples of pytest-ipload; see README.md."""
