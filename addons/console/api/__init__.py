"""The console's REST API: what the pages show and do, for programs of people. See `app.py` for its addresses."""
