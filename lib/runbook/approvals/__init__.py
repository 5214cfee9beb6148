"""Who may agree to a change, and whether they did: SSH signatures over a plan's id, its terms and its place.

In: a plan, the settings' rules, the signers' files, approvals from the store. Out: statements that count now, or a
refusal with its reason. Start with statement.py, which says what is signed, then verify.py.
"""
