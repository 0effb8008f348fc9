"""Objects that are not made."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """Stands for an object: the class that it was of, and what it was stored as (its fields, as a rule)."""

    module: str
    type: str
    value: Any

    @property
    def name(self) -> str:
        """The full name of the class."""
        return f"{self.module}.{self.type}" if self.module else self.type

    def field(self, name: str) -> Any:
        """A field of the object; None where there is no such field."""
        return self.value.get(name) if isinstance(self.value, dict) else None
