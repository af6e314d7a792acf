"""The version, in a module of its own so that the packaging can read it without importing Twisted."""

__version__ = "0.1.0"
