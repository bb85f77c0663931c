"""A disk that is full: one of a few megabytes, in a mount namespace."""

import subprocess
import sys
from collections import Counter

import pytest

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
EFFECTS = 400

TOOLS = '''
from llmspell import tool

@tool(idempotent=True)
def note(n: int) -> int:
    """Note a number.

    Args:
        n: It.
    """
    with open("{noted}", "a") as file:
        file.write(f"{{n}}\\n")
    return n
'''

SCRIPT = """
set -e
mount -t tmpfs -o size=6m tmpfs disk
cp many.lua tools.py disk/
cd disk
head -c 5500000 /dev/zero > filler
"$PYTHON" -m llmspell run many.lua --tools tools.py --allow-tool > ../first 2>&1 || echo "exit $?" >> ../first
cp ../noted ../noted_first
rm filler
"$PYTHON" -m llmspell resume last --tools tools.py --allow-tool > ../second 2>&1
"""


@pytest.fixture
def namespaces():
    try:
        made = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)
    except FileNotFoundError:
        pytest.skip("no unshare")
    if made.returncode:
        pytest.skip("no mount namespaces")


def test_a_run_stops_when_the_disk_is_full_and_goes_on_when_it_is_not(namespaces, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "tools.py").write_text(TOOLS.format(noted=tmp_path / "noted"))
    (tmp_path / "many.lua").write_text(f"for i = 1, {EFFECTS} do note{{n = i}} end return 'done'")
    command = [*UNSHARE, "env", f"PYTHON={sys.executable}", "sh", "-c", SCRIPT]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    first = (tmp_path / "first").read_text()
    assert "the disk is full" in first
    assert "free some space and try again" in first
    assert "exit 5" in first
    assert 0 < len((tmp_path / "noted_first").read_text().splitlines()) < EFFECTS
    assert (tmp_path / "second").read_text().splitlines()[0] == "done"
    noted = Counter(map(int, (tmp_path / "noted").read_text().split()))
    assert sorted(noted) == list(range(1, EFFECTS + 1))
    # But for the one whose end could not be written, none is done again.
    assert sorted(noted.values())[-2:] in ([1, 1], [1, 2])
