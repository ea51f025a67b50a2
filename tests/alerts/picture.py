"""Messages as somebody sees them, for review: `python -m tests.alerts.picture FOLDER` draws the golden payloads.

A plain rendering of Block Kit: headers, sections, contexts, buttons; bold, code and escapes of mrkdwn.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
_STYLE = """
body { font: 15px/1.46 "Lato", "Helvetica Neue", Arial, sans-serif; color: #1d1c1d; margin: 24px; width: 640px; }
.message { border-left: 4px solid #ddd; padding: 2px 0 2px 14px; margin: 0 0 26px; }
h3 { font-size: 18px; margin: 0 0 6px; } p { margin: 0 0 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
.context { color: #616061; font-size: 13px; } code { color: #c01343; background: #f6f6f6; padding: 1px 3px; }
button { border: 1px solid #bbb; border-radius: 4px; background: #fff; padding: 5px 12px; margin-right: 8px; }
"""


def html_of(blocks: list[Mapping[str, Any]]) -> str:
    """The blocks of one message."""
    parts = []
    for block in blocks:
        if block["type"] == "header":
            parts.append(f"<h3>{escape(block['text']['text'])}</h3>")
        elif block["type"] == "section":
            parts.append(f"<p>{_mrkdwn(block['text']['text'])}</p>")
        elif block["type"] == "context":
            parts += [f"<p class=context>{_mrkdwn(element['text'])}</p>" for element in block["elements"]]
        elif block["type"] == "actions":
            buttons = "".join(f"<button>{escape(one['text']['text'])}</button>" for one in block["elements"])
            parts.append(f"<p>{buttons}</p>")
        else:
            raise ValueError(f"A block of type {block['type']} is drawn by nobody here.")
    return f"<div class=message>{''.join(parts)}</div>"


def _mrkdwn(text: str) -> str:
    """Only & < > are escaped in mrkdwn, as in HTML."""
    plain = escape(unescape(text), quote=False)
    return re.sub(r"(?<!\w)\*([^*\n]+)\*", r"<b>\1</b>", re.sub(r"`([^`\n]+)`", r"<code>\1</code>", plain))


def payloads() -> dict[str, list[Mapping[str, Any]]]:
    """Every golden message by its name."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for path in sorted(GOLDEN.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        of_file = {path.stem: content} if "blocks" in content else content
        found |= {name: payload["blocks"] for name, payload in of_file.items()}
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "messages.html"
    body = "".join(html_of(blocks) for blocks in payloads().values())
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>{body}", encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=720,3600"]
    subprocess.run([*command, f"--screenshot={folder / 'messages.png'}", page.as_uri()], check=True, timeout=60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
