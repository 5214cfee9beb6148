"""Who may approve a plan, and whether they did: SSH signatures over a plan's id, its terms and its environment.

In: a plan, the settings' rules, the signers' files, approvals from the store. Out: statements that are valid now, or a
refusal with its reason. Start with statement.py, which defines what is signed, then verify.py.
"""
