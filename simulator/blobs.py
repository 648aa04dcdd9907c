"""The bytes of uploaded files: they do not belong in memory, nor in the state file."""

import shutil
import tempfile
from pathlib import Path


class Blobs:
    """Uploaded files by name. Without a folder they live in a temporary one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="simulator-"))
        self._temporary = folder is None
        self._folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> None:
        """Store; names are our own media ids, so they are safe as file names."""
        (self._folder / name).write_bytes(content)

    def get(self, name: str) -> bytes:
        """Read back; FileNotFoundError when it was never stored or has been cleared."""
        return (self._folder / name).read_bytes()

    def clear(self) -> None:
        """Forget all files."""
        for path in self._folder.iterdir():
            path.unlink()

    def close(self) -> None:
        """Remove the folder if it was only a temporary one."""
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)
