"""
Tests of C{bench}: what is made of measurements, and that the command works.
"""
