"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aetl.foreign import refuse_endless

if TYPE_CHECKING:
    from torch import Tensor


_FICLONE = 0x40049409  # of linux/fs.h
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic(path: Path, private: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder that becomes ``path`` when the block succeeds; where it
    is ``private``, its owner alone can read it.

    When the block fails (full disk, Ctrl-C) the temporary file is removed and ``path`` keeps what
    it held before.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, (0o600 if private else 0o666) & ~_UMASK)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _FULL:  # a write names no file, and the temporary one is gone
            error.filename = str(path)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, private: bool = False) -> None:
    with atomic(path, private) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def _dumper() -> type:
    import yaml
    from omegaconf._utils import OmegaConfDumper

    class Dumper(yaml.CDumper if yaml.__with_libyaml__ else yaml.Dumper):  # type: ignore[misc]
        pass

    Dumper.add_representer(str, OmegaConfDumper.str_representer)
    return Dumper


def yaml_of(value: Any) -> str:
    """Plain values as ``OmegaConf.to_yaml`` writes them, an eighth of its time by libyaml."""
    import yaml

    text: str = yaml.dump(
        value, Dumper=_dumper(), default_flow_style=False, sort_keys=False, allow_unicode=True
    )
    return text


def append(path: Path, content: bytes, private: bool = False) -> None:
    """Add to a file, wholly or not at all; what is ``private`` its owner alone can read."""
    mode = 0o600 if private else 0o666
    with open(path, "ab", buffering=0, opener=lambda p, flags: os.open(p, flags, mode)) as file:
        before = file.tell()
        if private and before:  # others could read what there was
            os.fchmod(file.fileno(), mode)
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except BaseException as error:
            with suppress(OSError):
                file.truncate(before)
            if isinstance(error, OSError):
                error.filename = str(path)
            raise


def write_json(path: Path, value: Any, private: bool = False) -> None:
    """Strict JSON, at which other readers do not stop: what is no finite number is null."""
    try:
        text = json.dumps(value, indent=1, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=1, default=str, allow_nan=False)
    write_text(path, text + "\n", private)


def _finite(value: Any) -> Any:
    """The value with None for every NaN and infinity in it."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_torch(path: Path, value: Any) -> None:
    """Save with torch; by way of memory, so that a full disk is an ``OSError`` like any other."""
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Save as safetensors: numbers and names alone, nothing that could be run."""
    from safetensors.torch import save

    # Cloned, since the format knows no two names of one memory (tied weights).
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    content = save(plain)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; ``UserError`` for what is not one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from aetl.types import UserError

    refuse_endless(path)
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise UserError(f"{path}: is not a file of safetensors ({error})") from None


def copy(source: Path, target: Path) -> None:
    """A file's content at a second place, where it may be changed without changing the first.

    Where the file system can (btrfs, XFS), both share their blocks until one is written to.
    """
    with atomic(target) as temporary, source.open("rb") as old, temporary.open("r+b") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 1 << 20)


class Elsewhere(Exception):
    """A folder that leads out of the place that is written to, told in one line."""

    of_user = True


def refuse_link(folder: Path) -> None:
    """``Elsewhere`` for a link: a run's folder may come from anybody, and through one we would
    write wherever it leads."""
    if folder.is_symlink():
        raise Elsewhere(
            f"{folder}: is a link to {os.readlink(folder)}, and nothing is written through it; "
            "remove it"
        )


class Damaged(ValueError):
    """A file of ours that is no longer what was written, told in one line."""

    of_user = True


def hold(path: Path) -> IO[bytes]:
    """A file that is locked as long as it is open: by the operating system, so that a process that
    is killed lets go of it, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "wb")  # noqa: SIM115 (it stays open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a disk without locks: nothing is there to be asked
        path.unlink(missing_ok=True)
    return file


def is_let_go(path: Path) -> bool:
    """Whether somebody held the file and does so no more."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is held, or was never there
        return False
    return True


def read_json(path: Path) -> Any:
    """What a JSON file holds; ``Damaged`` for what is none."""
    refuse_endless(path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # of JSON or of UTF-8
        raise Damaged(
            f"{path}: is cut off or not JSON ({error}); restore it from a copy, or remove it"
        ) from None


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hex digits."""
    refuse_endless(path)
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its own digest in it, under ``check``."""
    bare = {k: v for k, v in record.items() if k != "check"}
    plain = json.loads(json.dumps(_finite(bare), default=str))  # as it is read again
    return {**plain, "check": _check(plain)}


def is_altered(record: Any) -> bool:
    """Whether a record that has its digest is not what was written."""
    if not isinstance(record, dict) or "check" not in record:
        return False
    return bool(record["check"] != _check({k: v for k, v in record.items() if k != "check"}))


def _check(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Read once: asking for the mask means setting it, which no other thread should see.
_UMASK = _umask()
