"""How two processes share the tests: what starts real servers runs one by one, the rest beside it file by file."""

import pytest

_SERVERS = ("stack", "triton", "orthanc")  # markers


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook, and would come before this file
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Servers share one process and come first, because they take longest."""
    served = {item.path for item in items if any(item.get_closest_marker(name) for name in _SERVERS)}
    items.sort(key=lambda item: item.path not in served)
    for item in items:
        group = "servers" if item.path in served else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
