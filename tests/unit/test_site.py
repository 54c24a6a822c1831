"""The site of the documents: what mkdocs gets. `make docs` builds it, and fails for a link to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.site import GUIDE, LINK, configuration, manuals, pages
from tests.support.documents import PAGES, ROOT


def test_every_page_for_a_site_is_in_the_guide() -> None:
    assert sorted(GUIDE) == sorted(PAGES)


def test_every_page_has_a_place_in_the_menu() -> None:
    menu = str(configuration(ROOT, Path("source"), Path("site"))["nav"])
    assert [page for page in [*pages(ROOT), *manuals(ROOT)] if f"'{page}" not in menu] == []


@pytest.mark.parametrize("page", pages(ROOT), ids=str)
def test_a_link_leads_to_a_file(page: Path) -> None:
    """Not to a folder: on a site it is none."""
    text = (ROOT / page).read_text()
    links = [match[1] for match in LINK.finditer(text) if match[1] != "message.lf,"]
    assert [link for link in links if not ((ROOT / page).parent / link).is_file()] == []
