"""Numbers, views and tokens, compared with everything that was recorded of them."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import pytest

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import Tokens, crc64, tokenize
from dspamd.mail import view_classic
from tests.golden.cases import Case, cases
from tests.golden.data import messages, rows


@functools.cache
def corpus() -> dict[str, bytes]:
    """All messages, as the original's library took them: a C text, which ends before the first NUL.

    Over the wire, and in our views, a NUL is dropped instead.
    """
    handmade = {row["message"]: bytes.fromhex(row["hex"]) for row in rows("handmade_messages.jsonl")}
    everything = handmade | messages("real_messages.tar.gz")
    return {name: message.partition(b"\0")[0] for name, message in everything.items()}


def token_rows() -> list[Any]:
    return [
        pytest.param(row, id="{message} {tokenizer} {options}".format_map(row))
        for file in ("handmade_tokens.jsonl", "real_tokens.jsonl")
        for row in rows(file)
    ]


def options(row: dict[str, Any]) -> TokenOptions:
    words = row["options"].split(",")
    return TokenOptions(
        tokenizer=row["tokenizer"],
        url_context="url" in words,
        whitelist="wl" in words,
        noise=True,
        ignore_headers=frozenset(
            word.removeprefix("ignore=").lower().encode() for word in words if word.startswith("ignore=")
        ),
    )


def digest(tokens: Tokens) -> str:
    pairs = sorted(zip(tokens.values, tokens.frequencies, strict=True))
    return hashlib.sha256(b"".join(b"%d:%d\n" % pair for pair in pairs)).hexdigest()


def test_every_recorded_number() -> None:
    recorded = rows("crc64.jsonl")
    assert len(recorded) == 467
    for row in recorded:
        text = bytes.fromhex(row["hex"]) if "hex" in row else bytes.fromhex(row["repeat_hex"]) * row["count"]
        assert crc64(text) == int(row["crc64"]), row


@pytest.mark.parametrize(
    "row", rows("handmade_degenerated.jsonl") + rows("real_degenerated.jsonl"), ids=lambda row: row["message"]
)
def test_view(row: dict[str, Any]) -> None:
    view = view_classic.view(corpus()[row["message"]])
    assert view.headers == row["header_text"].encode("latin-1")
    assert view.body == row["body_text"].encode("latin-1")


@pytest.mark.parametrize("row", token_rows())
def test_tokens(row: dict[str, Any]) -> None:
    tokens = tokenize(view_classic.view(corpus()[row["message"]]), options(row))
    values, names = tokens.values, [tokens.name(i) for i in range(len(tokens))]
    assert [crc64(name) for name in names] == list(values)
    assert len(tokens) == row["count"]
    if row["count"]:  # the only rows without a sum and a digest are empty ones
        assert sum(tokens.frequencies) == row["frequency_total"]
        assert digest(tokens) == row["sha256_crc_freq"]
    assert tokens.whitelist == (int(row["whitelist_token"]) or None)
    if row["tokens"]:
        found = list(zip((name.decode("latin-1") for name in names), tokens.frequencies, strict=True))
        recorded = [(token[0], token[-1]) for token in row["tokens"]]
        keeps_order = len(row["tokens"][0]) == 3  # rows with numbers are in the original's order
        assert found == recorded if keeps_order else sorted(found) == sorted(recorded)
    for stream, kind in ((tokens.order_stream, "order"), (tokens.chained_stream, "chained_order")):
        if row.get(kind) is not None:
            assert [values[i] for i in stream] == [int(value) for value in row[kind]]


@pytest.mark.parametrize("case", cases("tokens"), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    facts, wanted = case.facts, [(name, frequency) for name, frequency in case.facts["tokens"]]
    if "recorded" in facts:
        named = dict(zip(("message", "tokenizer", "options"), facts["recorded"], strict=True))
        (row,) = (row for row in rows("handmade_tokens.jsonl") if named.items() <= row.items())
        assert case.given == corpus()[row["message"]]
        assert sorted((token[0], token[-1]) for token in row["tokens"]) == wanted
    token_options = TokenOptions(
        tokenizer=facts["tokenizer"],
        url_context=facts["url_context"],
        whitelist=facts["whitelist"],
        noise=True,
        ignore_headers=frozenset(name.lower().encode() for name in facts["ignore_headers"]),
    )
    tokens = tokenize(view_classic.view(case.given), token_options)
    found = ((tokens.name(i).decode("latin-1"), tokens.frequencies[i]) for i in range(len(tokens)))
    assert sorted(found) == wanted
