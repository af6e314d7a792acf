"""
Side by side with other systems: C{python -m bench}.
"""
