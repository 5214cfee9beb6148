"""From texts to causes: what a text says, which published code that is, and which of several texts counts most.

signatures.py reads a text by the forms in forms.yaml; codes.py looks them up in ../codes/*.yaml, in phrases.yaml
and in the rows of params; weighing.py ranks the causes that all texts about one function tell. Nothing here knows of
changes, jobs or other functions. Start with signatures.py.
"""
