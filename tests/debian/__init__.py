"""The life of the Debian package in a root of its own: installed, used, upgraded, removed, purged.

`life` runs it, `root` makes the root, `bootstrap` (`make deb-test`) takes fresh Debian roots for it.
"""
