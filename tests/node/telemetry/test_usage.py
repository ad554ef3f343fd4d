"""How much of a limit is used: of the tightest one around the process, in both versions of control groups."""

from pathlib import Path

from node.telemetry.usage import Usage, descriptors, memory, resident


def group(folder: Path, limit: str, used: int, *, version: int, **statistics: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text("".join(f"{name} {value}\n" for name, value in statistics.items()))


def test_version_2_with_the_limit_further_up(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroup").write_text("0::/slice/unit\n")
    root = tmp_path / "cgroup"
    group(root / "slice", "1000", 900, version=2, active_file=300, inactive_file=100)
    group(root / "slice/unit", "max", 900, version=2)
    assert memory(tmp_path / "proc", root) == Usage(500, 1000)


def test_version_1_where_the_tightest_counts(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroup").write_text("5:cpu:/other\n4:memory:/a/b\n0::/\n")
    root = tmp_path / "cgroup"
    group(root / "memory", str(2**63 - 4096), 10_000, version=1)
    group(root / "memory/a", "1000", 800, version=1, total_inactive_file=200)
    group(root / "memory/a/b", "1000", 500, version=1)
    assert memory(tmp_path / "proc", root) == Usage(600, 1000)


def test_a_namespace_hides_the_path(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroup").write_text("0::/kubepods/x\n")
    group(tmp_path / "cgroup", "1000", 100, version=2)
    assert memory(tmp_path / "proc", tmp_path / "cgroup") == Usage(100, 1000)


def test_no_groups_are_no_limit(tmp_path: Path) -> None:
    assert memory(tmp_path, tmp_path) == Usage(0, 0)
    assert Usage(5, 0).share == 0.0


def test_this_process_uses_something() -> None:
    assert descriptors().used >= 3
    assert resident() > 2**20
