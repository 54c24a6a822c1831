"""What is published of dspamd: source distribution, wheel, Debian package, and lists of what they hold.

Each step is a program (`python -m release.sdist`, ...) that `make` calls. Made twice from one commit, the
files are equal, byte for byte: their times are that of the commit, or SOURCE_DATE_EPOCH (`release.moment`).
"""
