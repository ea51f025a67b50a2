"""Charts as inline SVG: Altair says what, vl-convert draws. Same rows, same bytes, on any machine and in any order.

Nothing is fetched: the drawing's letters are measured with the font that vl-convert brings, and shown in the page's.
Colours are names of `palette`; a page that has a dark side maps them by `[fill="#..."]` rules.
"""
