"""The statistics: from the classic view of a message to a verdict and a lesson.

    tokens = tokenize(view, token_options)                # once for all users with equal options
    run = Run(tokens, snapshot, score_options, lesson)    # one user's eyes
    if run.patterns is not None:                          # noise reduction asks a second time
        run.weigh(hits_of_patterns)
    run.result, run.factors, run.learned, run.signature

Pure: bytes and numbers in, values out.  The values are in `model`, the training
modes in `modes`, the loops in one extension, `_kernel`.  Reading and writing
counters is the business of whoever calls.
"""

from dspamd.engine._kernel import Run
from dspamd.engine.model import (
    Explained,
    Factor,
    Hits,
    Label,
    Learned,
    Lesson,
    Mode,
    Result,
    ScoreOptions,
    Snapshot,
    Source,
    TokenChange,
    TokenOptions,
    Totals,
)
from dspamd.engine.tokenizer import Tokens, tokenize, tokens_from_signature

__all__ = [
    "Explained",
    "Factor",
    "Hits",
    "Label",
    "Learned",
    "Lesson",
    "Mode",
    "Result",
    "Run",
    "ScoreOptions",
    "Snapshot",
    "Source",
    "TokenChange",
    "TokenOptions",
    "Tokens",
    "Totals",
    "tokenize",
    "tokens_from_signature",
]
