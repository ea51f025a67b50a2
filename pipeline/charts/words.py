"""Figures and text as a drawing takes them."""

import re

# d3-format: thousands apart, no trailing zeros, never an exponent.
PLAIN = ",~r"
# Characters that no XML text may hold.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
