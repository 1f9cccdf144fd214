"""Pipelines: which audit events are sent where, in which form, and what each of them becomes on the way.

Following the log and sending is `addons/edge` (`pipeline_*.py`); nothing here does either.
"""
