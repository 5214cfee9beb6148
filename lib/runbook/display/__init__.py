"""How things look: tables and banners as HTML with inline styles, and the same as text for terminals.

In: rows of plain data, and texts from anywhere. Out: a `Block`, the same content twice, in which nothing can hide.
Knows nothing of facts, plans or clouds, and looks at no clock. Start with blocks.py.
"""
