"""The server: candidates for the person who asks, by the model in service.

It knows the model and the web, not how the model came about: what it serves is named to it.
"""
