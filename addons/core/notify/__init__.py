"""Approvals in other places: who is told of a question, in which words, and what answers that come back must prove."""
