"""MessagePack as LangGraph's serializer writes it, as plain data. No class is imported or made.

LangGraph stores objects as extension types whose content is MessagePack again: a module, a class, and what the object
was made of. The numbers are those of langgraph.checkpoint.serde.jsonplus.
"""

from typing import Any

from lockstitch.inspect._instance import Instance

MAX_NESTING = 32
"""Objects within objects. MessagePack itself is bounded by the library."""
_WITH_CLASS = range(6)
_NUMPY_ARRAY, _DELTA_SNAPSHOT = 6, 7


def read(data: bytes) -> Any:
    """The value. Raises ValueError for anything but MessagePack, and where the library for it is missing."""
    try:
        import ormsgpack
    except ImportError:
        raise ValueError("reading it needs ormsgpack, which lockstitch[langgraph] brings") from None
    return _Reader(ormsgpack).read(data)


class _Reader:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._nesting = 0
        self._problem = ""  # the library does not say why an extension could not be read

    def read(self, data: bytes) -> Any:
        try:
            return self._library.unpackb(data, ext_hook=self._extension, option=self._library.OPT_NON_STR_KEYS)
        except (ValueError, TypeError) as error:  # TypeError: such as a key that cannot be one
            raise self._failed(str(error)) from error

    def _failed(self, problem: str) -> ValueError:
        """The first problem; the library makes others of it on the way out."""
        self._problem = self._problem or problem
        return ValueError(self._problem)

    def _extension(self, code: int, data: bytes) -> Any:
        if code not in _WITH_CLASS and code not in (_NUMPY_ARRAY, _DELTA_SNAPSHOT):
            return Instance("msgpack", f"extension {code}", bytes(data))
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise self._failed(f"objects are nested more than {MAX_NESTING} deep")
            return self._instance(code, self.read(data))
        finally:
            self._nesting -= 1

    def _instance(self, code: int, content: Any) -> Any:
        if code == _DELTA_SNAPSHOT:
            return content
        if not isinstance(content, list) or len(content) < 3:
            raise self._failed("an object without a class")
        if code == _NUMPY_ARRAY:
            return Instance("numpy", f"ndarray[{content[0]}, {content[1]}]", content[-1])
        module, name, value = content[:3]
        return Instance(str(module), str(name), value)
