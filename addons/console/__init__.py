"""The console: a process of its own, never in the data path. Session tokens, SAML sign-in, sign-in with a code."""
