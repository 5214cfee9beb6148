"""The way to Google Cloud, and to the sandbox in its place: one guard through which every request passes.

In: `Settings`. Out: a `Cloud` with read-only clients, and errors that became gaps. Only this package imports `requests`
or Google's clients. Start with guard.py, which says what may be read, then client.py.
"""
