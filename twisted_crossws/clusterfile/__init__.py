"""
Many servers in one configuration file: its sections, its environments, and the plan that comes of them.
"""
