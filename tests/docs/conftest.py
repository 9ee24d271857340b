"""The hub on localhost, for pages that tell of one."""

from tests.sharing.conftest import hub as hub
