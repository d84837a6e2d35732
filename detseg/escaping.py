"""Text from outside, made safe for terminals, logs and JSON.

A file name, a label or a server's answer may hold control characters. Shown as they are, they move the
cursor, forge a line of a log, or turn the order of letters round. So they are shown as escapes.
"""

from __future__ import annotations

import re

# C0, DEL and C1, line and paragraph separators, what changes the direction of text, and lone surrogates: no
# encoding takes these, and Python has them for the bytes of a file name that are not UTF-8. The last two are
# no characters, and not in XML.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_IN_TEXT = re.compile(f"[{_CONTROLS}]")
_IN_JSON = re.compile(f"(?!\n)[{_CONTROLS}]")


def escape_controls(text: str) -> str:
    r"""Return the text with an escape for every control character, line breaks included: one line.

    >>> escape_controls("a\x1b[2Jb\nc\u202egpj")
    'a\\x1b[2Jb\\nc\\u202egpj'
    """
    return _IN_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def has_controls(text: str) -> bool:
    """Look for a control character in the text."""
    return _IN_TEXT.search(text) is not None


def escape_json(text: str) -> str:
    r"""Return JSON text with an escape for every control character; it means the same.

    JSON has line breaks between its values only, where they stay.

    >>> escape_json('{"name":\n "a\x9b\ud800"}')
    '{"name":\n "a\\u009b\\ud800"}'
    """
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
