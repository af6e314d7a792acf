"""
What runs as a Twisted service: the command, its ports, and the applications in a node.
"""
