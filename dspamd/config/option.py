"""One option of dspam.conf, as a typed attribute of a configuration.

A row of the option table (`options`) is an attribute of a class: `DeliveryHost = Text(...)`.
On a configuration the attribute is the value: `config.DeliveryHost` is a `str`, `config.Trust`
a tuple of them.  On the class it is the row: `Config.DeliveryHost` has the name of the option and
the syntax of its values.  So mypy knows every name and every type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from dspamd.config.option_types import DAYS, FACTOR, FLAG, Kind

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class Holder(Protocol):
    """A configuration."""

    def words(self, option: Option[Any]) -> tuple[str, ...]: ...


class Option(ABC, Generic[T]):
    """One row.  `default` of a list is its words; `sample` are the lines of the sample file.

    `suffix` is the kind of name that may follow the option after a dot ("profile", "domain",
    ...); a `bare` option also works without one.  `used=False` marks an option without effect,
    and `instead` says why it is not needed.
    """

    name: str
    many = False

    def __init__(
        self,
        kind: Kind,
        default: str,
        sample: str = "",  # "# value": commented out; "": the default, commented out
        *,
        help: str = "",
        suffix: str = "",
        bare: bool = True,
        used: bool = True,
        instead: str = "",
    ) -> None:
        self.kind, self.default, self.sample, self.help = kind, default, sample, help
        self.suffix, self.bare, self.used, self.instead = suffix, bare, used, instead

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.key = name.lower()

    @overload
    def __get__(self, config: None, owner: type) -> Self: ...
    @overload
    def __get__(self, config: Holder, owner: type) -> T: ...
    def __get__(self, config: Holder | None, owner: type) -> Self | T:
        if config is None:
            return self
        value = self.read(config.words(self))
        config.__dict__[self.name] = value  # Python looks there first from now on
        return value

    @abstractmethod
    def read(self, words: tuple[str, ...]) -> T:
        """The value that the words of the file, in their canonical spelling, mean."""

    @property
    def defaults(self) -> tuple[str, ...]:
        """The words of an absent option; one empty text if it has no default."""
        return (self.kind.canonical(self.default) if self.default else "",)


class Text(Option[str]):
    """A text; empty if the option has no value."""

    def read(self, words: tuple[str, ...]) -> str:
        return words[0]


class Number(Option[int]):
    """A number: bytes for sizes, seconds for times, bits for file modes."""

    def read(self, words: tuple[str, ...]) -> int:
        return int(words[0])


class Factor(Option[float]):
    """A number that something is multiplied by."""

    def __init__(self, default: str, sample: str = "", **row: Any) -> None:
        super().__init__(FACTOR, default, sample, **row)

    def read(self, words: tuple[str, ...]) -> float:
        return float(words[0])


class Flag(Option[bool]):
    """On or off."""

    def __init__(self, default: str, sample: str = "", **row: Any) -> None:
        super().__init__(FLAG, default, sample, **row)

    def read(self, words: tuple[str, ...]) -> bool:
        return words[0] == "on"


class Days(Option["int | None"]):
    """An age in days; None if it is off or absent."""

    def __init__(self, default: str, sample: str = "", **row: Any) -> None:
        super().__init__(DAYS, default, sample, **row)

    def read(self, words: tuple[str, ...]) -> int | None:
        return None if words[0] in ("", "off") else int(words[0])


class Words(Option[tuple[str, ...]]):
    """A list, in the order of the file."""

    many = True

    def read(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return words

    @property
    def defaults(self) -> tuple[str, ...]:
        return tuple(map(self.kind.canonical, self.default.split()))
