"""The code to deploy: a git checkout on this machine, its tests and its archive.

In: the path of a directory. Out: a `Fact` with one row, and the bytes that are deployed. Nothing is asked of the cloud.
Start with source_code.py.
"""
