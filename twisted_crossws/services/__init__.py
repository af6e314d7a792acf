"""
What runs as a Twisted service: ports, and the applications in a node.
"""
