"""
Floor 6: several processes of one machine as one service: who starts them, shares ports among them, and commands them.
"""
