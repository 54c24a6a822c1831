"""The features of small messages, in words."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dspamd.mail import view_modern
from dspamd.mail.message import Message
from dspamd.mail.view import SignaturePass

TEXT = b"Subject: x\n\n"
PAGE = b"Content-Type: text/html\n\n"


def names(message: bytes, signature_pass: SignaturePass | None = None, *, document: bool = False) -> set[str]:
    features = view_modern.view(message, signature_pass=signature_pass, document=document)
    found = [features.name(i).decode() for i in range(len(features))]
    assert len(set(features.values)) == len(features)
    return set(found)


WORDS, CASED, FIELDS = 0, 1, 2  # groups, as kinds.pxi has them


def words(message: bytes, where: str = "body", group: int = WORDS) -> set[str]:
    """The words of the body, or of a field."""
    features, start = view_modern.view(message), f'{where} contains "'
    found = [features.name(i).decode() for i, value in enumerate(features.values) if value >> 60 == group]
    return {name[len(start) : -1] for name in found if name.startswith(start)}


def of(kind: str, message: bytes) -> set[str]:
    """The rest of the names of features that begin with `kind`."""
    return {name[len(kind) :] for name in names(message) if name.startswith(kind)}


# -- texts


def test_words_have_no_case_and_their_case_is_a_feature_of_its_own() -> None:
    message = TEXT + b"Cheap pills: BUY now"
    assert words(message) == {"cheap", "pills", "buy", "now"}
    assert words(message, group=CASED) == {"Cheap", "BUY"}
    assert words(b"Subject: Cheap\n\n", "Subject", CASED) == {"Cheap"}


def test_words_of_the_subject_are_words_of_the_text_too() -> None:
    both = b"Subject: Hello\n\nhello"
    for group in WORDS, FIELDS:
        assert words(both, "Subject", group) == {"hello"}
    assert words(both) == set()
    subject, body = (
        view_modern.view(mail).values for mail in (b"Subject: hello\n\n", b"Subject: x\n\nhello")
    )
    assert [value >> 60 for value in set(subject) & set(body)].count(WORDS) == 1


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("utf-8", "Grüße aus Łódź"),
        ("iso-8859-1", "Grüße"),
        ("windows-1252", "„Grüße“ …"),
        ("iso-8859-15", "fünf € Grüße"),
        ("koi8-r", "дешёвые таблетки"),
        ("windows-1251", "дешёвые таблетки"),
        ("iso-8859-2", "Łódź"),
        ("utf-16", "Grüße"),
        ("utf-7", "Grüße"),
        ("cp1255", "שלום"),
    ],
)
def test_charsets_become_unicode(charset: str, text: str) -> None:
    head = (
        b"Content-Type: text/plain; charset=" + charset.encode() + b"\nContent-Transfer-Encoding: base64\n\n"
    )
    wanted = {word.casefold().strip("„“…") for word in text.split()} - {""}
    assert words(head + base64.encodebytes(text.encode(charset))) == wanted


def test_a_wrong_charset_is_read_as_what_it_most_likely_is() -> None:
    assert words(b"Content-Type: text/plain; charset=utf-8\n\nGr\xfc\xdfe") == {"grüsse"}
    assert words(b"Content-Type: text/plain; charset=nonsense\n\nGr\xfc\xdfe") == words(
        TEXT + "Grüße".encode()
    )


def test_forms_of_letters_make_no_difference() -> None:
    assert words(TEXT + "ｖｉａｇｒａ".encode()) == {"viagra"}
    assert words(TEXT + "𝐯𝐢𝐚𝐠𝐫𝐚".encode()) == {"viagra"}
    assert words(TEXT + "café".encode()) == words(TEXT + "café".encode()) == {"café"}
    assert words(TEXT + "ﬁne".encode()) == {"fine"}
    assert words(TEXT + "STRASSE straße".encode()) == {"strasse"}


def test_scripts_without_spaces_are_taken_in_pairs() -> None:
    assert words(TEXT + "中文字 ok".encode()) == {"中文", "文字", "ok"}
    assert words(TEXT + "中".encode()) == {"中"}
    assert words(TEXT + "ราคา".encode()) == {"รา", "าค", "คา"}
    head = b"Content-Type: text/plain; charset=gb2312\n\n"
    assert words(head + "免费发票".encode("gb2312")) == {"免费", "费发", "发票"}
    head = b"Content-Type: text/plain; charset=iso-2022-jp\n\n"
    assert words(head + "無料です".encode("iso-2022-jp")) == {"無料", "料で", "です"}


def test_marks_and_spaces_beyond_ascii_separate_words() -> None:
    assert words(TEXT + "one two\u3000three—four „five“ six。seven".encode()) == {
        "one", "two", "three", "four", "five", "six", "seven"
    }  # fmt: skip


def test_transfer_encodings() -> None:
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
    assert words(head + b"quoted-printable\n\nGr=C3=BC=C3=9Fe so=\nlong  =  \nend=zz=") == {
        "grüsse", "solong", "end", "zz"
    }  # fmt: skip
    assert words(head + b"base64\n\naGVsbG8=\nIHdvcmxk\n") == {"hello", "world"}
    assert words(head + b"8bit\n\naGVsbG8=") == {"agvsbg8"}


def test_all_texts_and_attached_messages_are_read() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=a\n\nbefore\n"
        b"--a\nContent-Type: multipart/alternative; boundary=ab\n\n"
        b"--ab\n\nplain\n--ab\nContent-Type: text/html\n\n<b>page</b>\n--ab--\nbetween\n"
        b"--a\nContent-Type: message/rfc822\n\nSubject: inner\n\nattached\n"
        b"--a--\nafter\n"
    )
    assert words(message) == {"plain", "page", "attached"}
    assert words(message, "Subject", FIELDS) == {"inner"}


def test_a_multipart_without_its_boundary_is_a_text() -> None:
    assert words(b"Content-Type: multipart/mixed; boundary=a\n\n--b\nhello\n") >= {"hello"}
    assert words(b"Content-Type: multipart/mixed\n\nhello\n") == {"hello"}
    assert words(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nhello") == {"hello"}


def test_a_part_ends_where_the_multipart_around_it_ends() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=a\n\n"
        b"--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--\n"
    )
    assert words(message) == {"one", "two"}


def test_a_document_has_no_header() -> None:
    assert 'body contains "hello"' in names(b"Subject: hello\n\nworld", document=True)
    assert "Subject contains hello" not in names(b"Subject: hello\n\nworld", document=True)


def test_signature_tags_are_cut_as_the_pass_says() -> None:
    message = b"X-DSPAM-Signature: 1,6b0\nX-DSPAM-Result: Spam\nSubject: x\n\nhello\n\n!DSPAM:1,6b0!\n"
    assert words(message) == {"hello", "!dspam:1", "6b0!"}
    assert not any("dspam" in name.lower() for name in names(message, SignaturePass(cut_tags=True)))
    assert any("dspam" in name for name in names(message, SignaturePass(headers_only=True, cut_tags=True)))
    plain = names(b"Subject: x\n\nhello\n\n")
    left = names(message, SignaturePass(cut_tags=True)) ^ plain
    assert all(name.startswith(("size", "pairs of fields")) for name in left)


# -- pages


def test_a_page_is_what_its_reader_sees() -> None:
    page = (
        b"<html><style>p {color: red}</style><script>var x</script><p>ch<b>ea</b>p</p>"
        b"now&nbsp;&euro;5 &#118;ia<!-- no -->gra"
    )
    assert words(PAGE + page) == {"cheap", "now", "€5", "viagra"}


@pytest.mark.parametrize(
    "start",
    [
        b'<div style="DISPLAY: none">',
        b"<div style='color:red; visibility : hidden'>",
        b"<div style=font-size:0>",
        b'<div style="font-size:1px;color:white">',
        b'<div style="max-height:0px">',
        b"<div hidden>",
    ],
)
def test_hidden_text_is_kept_apart(start: bytes) -> None:
    found = names(PAGE + b"seen " + start + b"secret <div>deep</div> more<br></div> again")
    assert {
        'hidden text contains "secret"',
        'hidden text contains "deep"',
        'hidden text contains "more"',
    } <= found
    assert {'body contains "seen"', 'body contains "again"', "HTML has hidden text"} <= found
    assert 'body contains "secret"' not in found


@pytest.mark.parametrize("style", [b"display:block", b"font-size:10px", b"opacity:0.9", b"x-display:none"])
def test_what_is_shown_is_not_hidden(style: bytes) -> None:
    assert words(PAGE + b'<p style="' + style + b'">text</p>') == {"text"}


def test_tags_and_attributes() -> None:
    found = names(PAGE + b'<TABLE Width="100%"><td bgcolor=#FFFFFF>')
    assert {"HTML has <table>", "HTML has <table width=...>", 'HTML has width="100%"'} <= found
    assert 'HTML has bgcolor="#ffffff"' in found


UNFINISHED = b'a < b|<|</|<a|<a href|<a href=|<a href="|<!--|&|&#|&#x|&#0;|&#9999999999;|<script>|</p|<?php'


@pytest.mark.parametrize("page", UNFINISHED.split(b"|"))
def test_an_unfinished_page_is_read_to_its_end(page: bytes) -> None:
    assert "hello" in words(PAGE + b"hello " + page)


# -- links


def test_hosts_of_links_and_what_is_above_them() -> None:
    message = TEXT + b"see http://www.Shop.example.org/buy/now?id=7 and mailto:bob@example.com"
    assert of("link to host ", message) == {"www.shop.example.org", "example.com"}
    assert of("link to a host in ", message) == {"shop.example.org", "example.org", "org", "com"}
    assert {'link with "/buy" behind its host', 'link with "/now" behind its host'} <= names(message)


def test_international_hosts_are_decoded() -> None:
    plain = TEXT + "http://bücher.example/".encode()
    coded = TEXT + b"http://xn--bcher-kva.example/"
    assert of("link to host ", plain) == of("link to host ", coded) == {"bücher.example"}
    assert "link to an international name" in names(coded)
    assert of("link to host ", TEXT + b"http://xn--fiqs8s.example/") == {"中国.example"}
    assert of("link to host ", TEXT + b"http://xn--a-.example/") == {"xn--a-.example"}


def test_links_that_mislead() -> None:
    assert "link to a number instead of a name" in names(TEXT + b"http://10.2.3.4/x")
    assert "link with a user name" in names(TEXT + b"http://bank.example@evil.example/")
    assert of("link to host ", TEXT + b"http://bank.example@evil.example/") == {"evil.example"}
    shown = "link shows another host than it leads to"
    assert shown in names(PAGE + b'<a href="http://evil.example/">http://bank.example</a>')
    assert shown not in names(PAGE + b'<a href="http://www.bank.example/">www.bank.example</a>')
    assert shown not in names(PAGE + b'<a href="http://www.bank.example/">click</a>')


# -- fields


def test_words_of_fields_have_the_name_of_the_field() -> None:
    found = names(
        b"From: Bob <bob@example.org>\nX-Mailer: Cheap Mailer 1.0\nMessage-ID: <a1@host.example>\n\n"
    )
    assert {
        'From contains "bob"',
        "the sender's domain is example.org",
        'sent by a program with "cheap" in its name (X-Mailer)',
    } <= found
    assert {"Message-ID was made by host host.example", "Message-ID is built like <a9@a.a>"} <= found


def test_encoded_words_are_decoded_whole() -> None:
    whole = b"Subject: =?utf-8?B?R3LDvMOf?=\n =?utf-8?Q?e_aus?= K\n\n"
    assert words(whole, "Subject", FIELDS) == {"grüsse", "aus", "k"}
    halves = b"Subject: =?utf-8?B?w?= =?utf-8?Q?=C3?= =?utf-8?Q?=BC?=\n\n"  # a character in two words
    assert words(halves, "Subject", FIELDS) == {"ü"}
    assert words(b"Subject: =?gb2312?B?w+K30Q==?=\n\n", "Subject", FIELDS) == {"免费"}
    assert words(b"Subject: =?utf-8?x?abc?= =?= =?\n\n", "Subject", FIELDS) >= {"?utf-8?x?abc"}


def test_structure() -> None:
    found = names(
        b"Received: x\nFROM: a\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n"
        b"Content-Type: text/plain; charset=Big5\n\n"
    )
    assert {
        "the first field is Received",
        "field From follows field Received",
        "the header has the field From",
        "the header has the field FROM",
    } <= found
    assert {
        "the sender's time zone is +0100",
        "the charset is big5",
        "the message is of type text/plain",
    } <= found
    assert not any("2024" in name for name in found)


def test_what_filters_and_mailboxes_add_is_left_out() -> None:
    message = (
        b"X-Spam-Status: Yes\nX-DSPAM-Result: Spam\nX-Virus-Scanned: a\nX-UIDL: b\nStatus: RO\nLines: 3\n"
        b"Content-Length: 30\nAuthentication-Results: other.example; spf=pass\n"
        b"Received-SPF: pass\nARC-Seal: x\n\n"
    )
    assert all(name.startswith(("size", "pairs", "number")) for name in names(message))


def test_hops_and_networks() -> None:
    found = names(
        b"Received: from mail.sender.example ([10.2.3.4])\n"
        b"\tby mx.example.org with ESMTP id 4Xyz; Mon, 1 Jan 2024 10:00:00 +0000\n"
        b"Received: from home\n\n"
    )
    assert {
        "it came through address 10.2.3.4",
        "it came through network 10.2.3",
        "it came through network 10.2",
        "Received has a host in sender.example",
    } <= found
    assert {
        'Received number 1 contains "mail.sender.example"',
        'Received number 2 contains "home"',
    } <= found
    assert not any("jan" in name.lower() or "4xyz" in name.lower() for name in found)


def test_letters_of_subject_and_sender() -> None:
    found = names("Subject: Über\nFrom: Al\n\n".encode())
    assert 'Subject contains "Über" (letters "Über")' in found
    assert not any(name.startswith("From") and "letters" in name for name in found)


@pytest.mark.parametrize(
    ("subject", "letters", "word"),
    [
        ("a specialist.", "cial", "specialist"),
        ("a specialist.", "st.", "specialist"),
        ("buy it now!", "it n", "it"),
        ("buy it now!", "t no", "now!"),
        ("(((((", "((((", "(((("),
    ],
)
def test_letters_are_shown_in_their_word(subject: str, letters: str, word: str) -> None:
    found = of("Subject contains ", f"Subject: {subject}\n\n".encode())
    assert any(name.startswith(f'"{word}" (letters "') and f'{letters}")' in name for name in found), found


# -- topics


def topics(message: bytes, name: str) -> set[str]:
    """The topics of the features with a word in their names."""
    features = view_modern.view(message)
    return {
        features.topic(i).decode().casefold()
        for i in range(len(features))
        if name in features.name(i).decode()
    }


def test_what_says_nearly_the_same_is_one_topic() -> None:
    message = (
        b"Received: from a ([10.2.3.4])\nSUBJECT: Cheap\n"
        b"Content-Type: text/html; charset=utf-8\n\n"
        b"<font color=red>Now NOW now http://www.shop.co.uk/ http://shop.co.uk http://de.example.org"
    )
    assert topics(message, "Cheap") == topics(message, "heap") == {'subject contains "cheap"'}
    assert topics(message, "the field S") == {"the header has the field subject"}
    assert topics(message, "text/html") == {'content-type contains "text/html"'}
    assert topics(message, "10.2") == {"it came through network 10"}
    assert topics(message, "NOW") == {'body contains "now"'}
    assert topics(message, "HTML has <font") == {"html has <font>"}
    assert topics(message, "link to host") == {"link to shop.co.uk", "link to example.org"}


@pytest.mark.parametrize(
    ("length", "words"),
    [(0, "1 to 2 bytes"), (700, "512 to 1024 bytes"), (3000, "2 to 4 kB"), (2 << 20, "2 to 4 MB")],
)
def test_sizes_are_told_in_bytes(length: int, words: str) -> None:
    assert f"size of the message is {words}" in names(b"x" * length, document=True)


def test_how_the_texts_are_written() -> None:
    page = b"\n--b\nContent-Type: text/html\n\n<p>YES?<script>$$$$</script>\n"
    text = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nNow 5 cheap, BIG pills!\n\n> it\n  in" + page
    assert of("capitals in 1,000 letters: ", text) == {"about 256"}  # 7 of 23
    assert of("dollar signs in 10,000 characters: ", text) == {"about 0"}
    assert of("exclamation marks in 10,000 characters: ", text) == {"about 256"}  # 1 of 39
    assert of("empty lines in 100: ", text) == {"about 32"}  # 2 of 6
    assert of("quoted lines in 100: ", text) == of("indented lines in 100: ", text) == {"about 16"}
    assert of("characters in the longest line: ", text) == {"about 16"}
    assert of("capitals in 1,000 letters: ", TEXT) == set()


CHECKED = (
    b"Authentication-Results: mx.Example.org 1;\n spf=pass (ok; dkim=no) smtp.mailfrom=bob@bank.example;\n"
    b" DKIM=fail header.d=evil.example\nAuthentication-Results: other.example; dmarc=pass\n\n"
)


def test_checks_of_our_own_server_are_believed() -> None:
    features = view_modern.view(CHECKED, our_hosts=frozenset([b"mx.example.org"]))
    found = {features.name(i).decode() for i in range(len(features))}
    assert {name for name in found if name.startswith("our server")} == {
        "our server found spf=pass", "our server found spf=pass of bank.example",
        "our server found dkim=fail", "our server found dkim=fail of evil.example",
    }  # fmt: skip
    for hosts in (frozenset[bytes](), frozenset([b"mx"])):
        silent = view_modern.view(CHECKED, our_hosts=hosts)
        assert not any(
            b"our server" in silent.name(i) or b"dmarc" in silent.name(i) for i in range(len(silent))
        )


def test_ignored_fields_are_left_out() -> None:
    message = b"X-Ours: a b\n c\nSubject: x\n\n"
    features = view_modern.view(message, ignored=frozenset([b"x-ours"]))
    assert not any(b"ours" in features.name(i).lower() for i in range(len(features)))
    assert any(b"X-Ours" in name.encode() for name in names(message))


# -- attachments


def test_names_and_types_of_attachments() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: application/zip; name=x.zip\n"
        b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment;\n"
        b' filename="My Invoice.PDF.exe"\n\n'
        b"UEsDBA==\n--a--\n"
    )
    found = names(message)
    assert {"name of an attachment ends in .exe", 'name of an attachment contains "invoice.pdf.exe"'} <= found
    assert {"an attachment is of type application/zip", "there is an attachment"} <= found
    other = message.replace(b"UEsDBA==", b"UEsDCA==")
    assert len(set(view_modern.view(message).values) ^ set(view_modern.view(other).values)) == 2


@pytest.mark.parametrize(
    "parameter",
    [
        b"filename*=utf-8''R%C3%A9sum%C3%A9.doc",
        b'filename="=?utf-8?Q?R=C3=A9sum=C3=A9.doc?="',
        "filename=Résumé.doc".encode(),
    ],
)
def test_names_of_attachments_are_decoded(parameter: bytes) -> None:
    message = b"Content-Type: application/msword\nContent-Disposition: attachment; " + parameter + b"\n\nx"
    assert 'name of an attachment contains "résumé.doc"' in names(message)


# -- hidden words


@pytest.mark.parametrize(
    "text", [b"v i a g r a now", b"V I A G R A", b"v-i-a-g-r-a", b"V.I.A.G.R.A!!! x"[:11]]
)
def test_letters_with_gaps(text: bytes) -> None:
    assert 'letters with gaps spell "viagra"' in names(TEXT + text)


@pytest.mark.parametrize(
    ("text", "word"), [(b"v1agra", "viagra"), (b"V1@gra!", "viagra"), (b"m0ney", "money")]
)
def test_digits_for_letters(text: bytes, word: str) -> None:
    assert f'digits or foreign letters spell "{word}"' in names(TEXT + text)


@pytest.mark.parametrize("text", [b"a b", b"2nd", b"mp3", b"1234", b"a1b2c3d4", b"x86"])
def test_what_does_not_hide(text: bytes) -> None:
    assert not any('spell "' in name for name in names(TEXT + text))


def test_letters_that_look_like_others() -> None:
    found = names(TEXT + "vіаgrа".encode())  # three of them are Cyrillic
    assert {'digits or foreign letters spell "viagra"', "letters of two alphabets in a word"} <= found
    assert not any("alphabets" in name for name in names(TEXT + "таблетки Grüße".encode()))


def test_invisible_characters() -> None:
    assert words(TEXT + "via\u200bg\u00adra".encode()) == {"viagra"}
    assert "invisible characters inside a word" in names(TEXT + "via\u200bgra".encode())
    assert words(PAGE + b"via&zwnj;gra") == {"viagra"}


# -- bounds


def test_of_a_long_text_only_so_much_is_looked_at() -> None:
    long = TEXT + b" ".join(b"w%d" % i for i in range(200_000))
    longer = long + b" last" * 100_000
    assert words(long) == words(longer)
    assert len(words(long)) <= 4000


def test_each_group_is_bounded() -> None:
    fields = b"".join(b"X-%d: a%d b%d http://h%d.example/\n" % (i, i, i, i) for i in range(5000))
    page = b"".join(b"<t%d a%d=v%d href=http://h%d.example/%d>" % (i, i, i, i, i) for i in range(5000))
    assert len(view_modern.view(fields + PAGE + page)) < 10_000


def test_names_are_one_line_of_utf8() -> None:
    message = b"Subject: a\x01b\n\xff: x\nX: \xe2\x80\xae\n\n" + bytes(range(256)) + b" " + b"\xc3\xa9" * 500
    features = view_modern.view(
        PAGE.removesuffix(b"\n") + message + b'<a href="http://' + b"\xf0\x9f\x98\x80" * 99
    )
    for i in range(len(features)):
        name = features.name(i).decode()
        assert name.isprintable()
        assert len(features.name(i)) <= 255


def test_sample() -> None:
    """All features of a small message, as they are known for ever: dictionaries keep them."""
    folder = Path(__file__).parent / "samples"
    features = view_modern.view(Message((folder / "modern.eml").read_bytes()).lf)
    lines = [f"{value:016x} {features.name(i).decode()}\n" for i, value in enumerate(features.values)]
    assert "".join(lines) == (folder / "modern.features").read_text(encoding="utf-8")
