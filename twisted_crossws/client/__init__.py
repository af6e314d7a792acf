"""
The client in Python: what an application calls, and the line under it.
"""

from twisted_crossws.client.connector import Connector

__all__ = ["Connector"]
