"""HTML stripping, as the original did it (reference/engine.md 1.10).

One pass over the bytes with three flags.  It is no HTML parser and must not
become one: dictionaries were trained on exactly this text, odd corners
included (Q-M11).  Positions after the end read as NUL (Q-M16).
"""

from __future__ import annotations

WHITE = b" \t\n\v\f\r"
DIGITS = b"0123456789"

URI_TAGS = [
    (b"<a", b"href"),
    (b"<img", b"src"),
    (b"<input", b"src"),
    (b"<iframe", b"src"),
    (b"<frame", b"src"),
    (b"<script", b"src"),
    (b"<form", b"action"),
    (b"<embed", b"src"),
    (b"<area", b"href"),
    (b"<base", b"href"),
    (b"<link", b"href"),
    (b"<source", b"src"),
    (b"<body", b"background"),
    (b"<blockquote", b"cite"),
    (b"<q", b"cite"),
    (b"<ins", b"cite"),
    (b"<del", b"cite"),
]
LINE_TAGS = (
    *(b"<p>", b"<p ", b"<p\t", b"<tr", b"<option", b"<br", b"<li", b"<div"),
    *(b"</select>", b"</table>"),
)
SKIPPED = (
    *(b"applet", b"embed", b"frameset", b"frame", b"iframe"),
    *(b"noembed", b"noscript", b"object", b"script", b"style"),
)
LETTERS = (
    b"agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml "
    b"eth ntilde ograve oacute ocirc otilde ouml times oslash ugrave uacute ucirc uuml yacute thorn szlig"
)
SYMBOLS = (
    b"iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 "
    b"acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest"
)
SILENT = (
    b"oelig scaron fnof circ tilde alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi "
    b"omicron pi rho sigma sigmaf tau upsilon phi chi psi omega upsih piv ensp emsp thinsp zwnj zwj lrm rlm "
    b"ndash mdash lsquo rsquo sbquo ldquo rdquo bdquo dagger bull hellip permil prime lsaquo rsaquo oline "
    b"frasl euro image weierp real trade alefsym larr uarr rarr darr harr crarr forall part exist empty "
    b"nabla isin notin ni prod sum minus lowast radic prop infin ang and or cap cup int there4 sim cong "
    b"asymp ne equiv le ge sub sup nsub sube supe oplus otimes perp sdot lceil rceil lfloor rfloor "
    b"lang rang loz spades clubs hearts diams"
)
ENTITIES: dict[bytes, bytes] = {
    b"&nbsp;": b" ",
    b"&quot;": b'"',
    b"&amp;": b"&",
    b"&apos;": b"'",
    b"&lt;": b"<",
    b"&gt;": b">",
    b"&divide;": b"\xf7",
    b"&yuml;": b"\xff",
    **{b"&%s;" % name: bytes([161 + n]) for n, name in enumerate(SYMBOLS.split())},
    **{b"&%s;" % name: bytes([192 + n]) for n, name in enumerate(LETTERS.split())},
    **{b"&%s;" % name: b"" for name in SILENT.split()},
    b"&thetasym": b"",
}


def strip(text: bytes) -> bytes:
    """The visible text of an HTML body, never longer than the body."""
    return _Stripper(text).run()


class _Stripper:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.lower = text.lower()
        self.out = bytearray()
        self.at = 0
        self.visible = True
        self.cell = False  # a </td> was seen and no other tag since
        self.skip = b""  # the closing tag that ends skipped content

    def byte(self, at: int) -> int:
        return self.text[at] if at < len(self.text) else 0

    def emit(self, data: bytes) -> None:
        self.out += data[: len(self.text) - len(self.out)]

    def run(self) -> bytes:
        while self.at < len(self.text) and len(self.out) < len(self.text):
            self.step()
            self.at += 1
        return bytes(self.out)

    def step(self) -> None:
        if self.byte(self.at) == ord("<"):
            if self.markup():
                return
        elif self.skip:
            return
        elif self.byte(self.at) not in WHITE:
            self.visible = True
        if self.text.startswith(b"&#", self.at):
            self.numeric_entity()
            self.visible = False
        elif entity := self.named_entity():
            self.emit(ENTITIES[entity])
            self.visible = False
            self.at += len(entity) - 1
        elif self.visible:
            self.emit(self.text[self.at : self.at + 1])

    def markup(self) -> bool:
        """Handle a '<'; False if it is the last byte and therefore text."""
        if self.skip:
            if self.lower.startswith(self.skip, self.at):
                self.at += len(self.skip) - 1
                self.skip = b""
            return True
        if self.lower.startswith(b"</td>", self.at):
            self.at += 4
            self.cell = True
            return True
        if self.cell and self.lower.startswith(b"<td", self.at):
            if self.out and self.out[-1] not in WHITE:
                self.emit(b" ")
            self.visible = False
        else:
            self.cell = False
            self.visible = True
        if self.at + 1 >= len(self.text):
            return False
        following = self.text[self.at + 1 : self.at + 2]
        if not (following.isalpha() or following in b"/!"):
            self.visible = True
            end = self.text.find(b"<", self.at + 1)
            end = len(self.text) if end < 0 else end
            self.emit(self.text[self.at : end])
            self.at = end
            return True
        end = self.at + 1
        while end < len(self.text) and self.text[end] not in b"<>":
            end += 1
        self.tag(end)
        self.at = end if self.byte(end) == ord(">") else end - 1
        return True

    def tag(self, end: int) -> None:
        for name, attribute in URI_TAGS:
            if self.lower.startswith(name, self.at) and self.byte(self.at + len(name)) in WHITE:
                self.uri(self.at + len(name) + 1, attribute, end)
                return
        if self.lower.startswith(LINE_TAGS, self.at):
            if self.out and self.out[-1] not in b"\r\n":
                self.emit(b"\n")
            return
        for name in SKIPPED:
            if self.lower.startswith(b"<" + name, self.at):
                self.skip = b"</%s>" % name
                return

    def uri(self, start: int, attribute: bytes, end: int) -> None:
        found = self.lower.find(attribute, start, start + 50 + len(attribute))
        if found < 0 or found > end:
            return
        at = self.past_white(found + len(attribute))
        if self.byte(at) != ord("="):
            return
        at = self.past_white(at + 1)
        delimiter = b">"
        if self.byte(at) in b"\"'":
            delimiter = self.text[at : at + 1]
            at += 1
        if self.lower.startswith((b"http:", b"https:", b"ftp:"), at):
            value, _, _ = self.text[at:].partition(delimiter)
            self.emit(b" " + value + b" ")

    def past_white(self, at: int) -> int:
        while self.byte(at) in WHITE:
            at += 1
        return at

    def numeric_entity(self) -> None:
        while self.byte(self.at + 2) == ord("0"):
            self.at += 1
        for digits in (2, 4):
            number = self.text[self.at + 2 : self.at + 2 + digits]
            end = self.at + 2 + digits
            if len(number) == digits and all(b in DIGITS for b in number) and self.byte(end) == ord(";"):
                if 32 <= int(number) <= 255:
                    self.emit(bytes([int(number)]))
                self.at = end
                return
        while self.at < len(self.text) and self.text[self.at] not in b"; \t":
            self.at += 1

    def named_entity(self) -> bytes:
        if self.byte(self.at) != ord("&"):
            return b""
        return next((name for name in ENTITIES if self.lower.startswith(name, self.at)), b"")
