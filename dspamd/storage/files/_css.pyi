from array import array
from mmap import mmap

def css_resident(file: bytearray | mmap) -> bool: ...
def css_find(
    file: bytearray | mmap, seek: int, tokens: array[int]
) -> tuple[array[int], array[int], array[int], array[int]]: ...
def css_plan(
    file: bytearray | mmap,
    seek: int,
    tokens: array[int],
    spam: array[int],
    innocent: array[int],
    spam_limit: int,
    innocent_limit: int,
) -> tuple[array[int], array[int], array[int], array[int], array[int]]: ...
def css_store(
    file: bytearray | mmap,
    seek: int,
    tokens: array[int],
    spam: array[int],
    innocent: array[int],
    first: int,
    holes: int = -1,
) -> int: ...
def css_delete(file: bytearray | mmap, seek: int, tokens: array[int]) -> int: ...
def css_joined(
    file: bytearray | mmap, seek: int, tokens: array[int]
) -> tuple[array[int], array[int], array[int], array[int]]: ...
def css_pour(file: bytearray | mmap, fresh: bytearray, seek: int) -> int: ...
def css_after(file: bytearray | mmap, after: int, limit: int) -> array[int]: ...
def css_age(file: bytearray | mmap, days: int) -> None: ...
