"""
What nodes agree on. It sees the bus by its interface alone.
"""
