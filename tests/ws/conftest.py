"""
What several of these tests begin with.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.ws.nodes import makeNode
from twisted_crossws import Node


@pytest.fixture
def node(clock: Clock) -> Node:
    """A node that says again what it is told."""
    return makeNode(clock)
