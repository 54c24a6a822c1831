"""`python -m dspamd.commands.completion bash|zsh|fish`: a file that lets a shell complete our command lines.

What a command takes is read from the text that it answers to --help, what a preference or a directive takes
from the tables of options, so no list is kept here. All commands are in one file: it is made for the
package, and `dspamd.commands.completion` makes it for everybody else.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distribution

from dspamd.config.options import OPTIONS
from dspamd.config.preferences import KINDS

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)(=\[?|[ ](?=[A-Z]{2}|[a-z]+\|))?([a-z_]+(?:\|[a-z_]+)+)?")
_LETTER = re.compile(r"(?<![\w-])-([A-Za-z])(?![\w-])")
_FUNCTION = re.compile(r"(?m)^\t([a-z][a-z-]+)(?: ([a-z]+))?(?= \[| -| <|$)")


@dataclass(frozen=True, slots=True)
class Syntax:
    """What a command takes: options with the values that they know, and words that begin a command line.

    An option that has its value in the same word ends in "=". `functions` have the second words that may
    follow the first.
    """

    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)


Commands = dict[str, Syntax]

_BASH_HEAD = """\
# Made by python -m dspamd.commands.completion bash.
_dspamd() {
    local command=${1##*/} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=""
    local option=$before
    if [ "$word" = "=" ]; then
        option="$before=" word=""
    elif [ "$before" = "=" ]; then
        option="${COMP_WORDS[COMP_CWORD-2]}="
    fi"""
_BASH_TAIL = """\
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    case "${{COMPREPLY[0]}}" in *=) compopt -o nospace 2>/dev/null ;; esac
}}
complete -o default -F _dspamd {commands}"""


def syntaxes() -> Commands:
    """The syntax of each installed command, by its name."""
    scripts = distribution("dspamd").entry_points
    return {script.name: syntax(_help(script)) for script in sorted(scripts, key=lambda script: script.name)}


def _help(script: EntryPoint) -> str:
    """What a command answers to --help, on either stream."""
    answer = io.StringIO()
    with (
        contextlib.redirect_stdout(answer),
        contextlib.redirect_stderr(answer),
        contextlib.suppress(SystemExit),
    ):
        sys.argv = [script.name, "--help"]
        script.load()()
    return answer.getvalue()


def syntax(text: str) -> Syntax:
    """The syntax that a text of --help tells."""
    options: dict[str, tuple[str, ...]] = {"--help": (), "--version": ()}
    for name, takes, words in _OPTION.findall(text):
        options[f"--{name}{takes[:1].strip()}"] = tuple(words.split("|")) if words else ()
    options |= {f"-{letter}": () for letter in _LETTER.findall(text)}
    functions: dict[str, tuple[str, ...]] = {}
    for first, second in _FUNCTION.findall(text):
        functions[first] = tuple(filter(None, (*functions.get(first, ()), second)))
    return Syntax(options, functions)


def _directives() -> dict[str, tuple[str, ...]]:
    """The directives that dspam_eval takes after a colon, with the words that they know."""
    return {f"{option.name}=": option.kind.words for option in OPTIONS.values()}


def bash(commands: Commands) -> Iterator[str]:
    """Lines of one function for all commands. A shell splits words at = and : before it calls it."""
    values = {
        (name, option): known for name, one in commands.items() for option, known in one.options.items()
    }
    values |= {("dspam_eval", option): known for option, known in _directives().items()}
    yield _BASH_HEAD
    yield '    case "$command $option" in'
    for (name, option), known in values.items():
        if known:
            yield f'        "{name} {option}") words="{" ".join(known)}" ;;'
    yield "        *=) ;;"
    for name, one in commands.items():
        yield f'        "{name} "*) words="{" ".join(one.options)}" ;;'
    yield "    esac"
    yield '    case "$command $COMP_CWORD ${COMP_WORDS[1]}" in'
    for name, one in commands.items():
        if one.functions:
            yield f'        "{name} 1 "*) words+=" {" ".join(one.functions)}" ;;'
        for first, second in one.functions.items():
            if second:
                yield f'        "{name} 2 {first}") words+=" {" ".join(second)}" ;;'
            if _takes_preference(first, second):
                yield f'        "{name} 4 {first}") words+=" {" ".join(KINDS)}" ;;'
    yield "    esac"
    yield f'    [ "$command$before" = "dspam_eval:" ] && words="{" ".join(_directives())}"'
    yield _BASH_TAIL.format(commands=" ".join(commands))


def _takes_preference(first: str, second: tuple[str, ...]) -> bool:
    """Whether the fourth word after a function is the name of a preference."""
    return "preference" in second and first in ("add", "change", "delete")


def zsh(commands: Commands) -> Iterator[str]:
    """Lines of a function for the completion system of zsh."""
    yield f"#compdef {' '.join(commands)}"
    yield "# Made by python -m dspamd.commands.completion zsh."
    yield 'case "$service" in'
    for name, one in commands.items():
        words = [_zsh(option, known) for option, known in one.options.items()]
        if one.functions:
            seconds = dict.fromkeys(second for found in one.functions.values() for second in found)
            words += [
                f"'1:function:({' '.join(one.functions)})'",
                f"'2::what:({' '.join(seconds)})'",
                f"'4::preference:({' '.join(KINDS)})'",
            ]
        yield f"    {name}) _arguments {' '.join(words)} '*:file:_files' ;;"
    yield "esac"


def _zsh(option: str, known: tuple[str, ...]) -> str:
    """An argument of _arguments of zsh; a hyphen behind the option: the value is in the same word."""
    same_word = "-" if option.endswith("=") else ""
    if known:
        return f"'{option}{same_word}:value:({' '.join(known)})'"
    return f"'{option}{same_word}:value:_files'" if same_word else f"'{option}'"


def fish(commands: Commands) -> Iterator[str]:
    """Lines for fish."""
    yield "# Made by python -m dspamd.commands.completion fish."
    for name, one in commands.items():
        for option, known in one.options.items():
            dashes = "-l" if option.startswith("--") else "-s"
            takes = f" -x -a '{' '.join(known)}'" if known else " -r" * option.endswith("=")
            yield f"complete -c {name} {dashes} {option.strip('-=')}{takes}"
        if one.functions:
            yield f"complete -c {name} -n __fish_use_subcommand -f -a '{' '.join(one.functions)}'"
        for first, second in one.functions.items():
            if second:
                seen = f"__fish_seen_subcommand_from {first}"
                yield f"complete -c {name} -n '{seen}' -f -a '{' '.join(second)}'"
            if _takes_preference(first, second):
                seen = f"__fish_seen_subcommand_from {first}; and __fish_seen_subcommand_from preference"
                yield f"complete -c {name} -n '{seen}' -f -a '{' '.join(KINDS)}'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in SHELLS:
        sys.exit(f"usage: python -m dspamd.commands.completion {'|'.join(SHELLS)}")
    print(*SHELLS[sys.argv[1]](syntaxes()), sep="\n")


if __name__ == "__main__":
    main()
