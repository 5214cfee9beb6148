"""What a run is told: the settings of an environment (params/*.yaml) and the parameters of a request.

In: YAML, a notebook's declared parameters, values as they were typed. Out: `Settings` and `Request`, checked as a whole
before anything is asked of a cloud. Start with schema.py, which documents every key of params, then request.py.
"""
