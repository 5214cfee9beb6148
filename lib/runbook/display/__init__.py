"""Display of data: tables and banners as HTML with inline styles, and the same content as text for terminals.

In: rows of plain data, and untrusted text. Out: a `Block`, the same content as HTML and as text, without hidden
characters. Does not depend on facts, plans or clouds, and reads no clock. Start with blocks.py.
"""

from runbook.display.blocks import Block
from runbook.display.text import Row, few, is_plain, one_line, show, text_table, visible
