"""Dataclasses and models as plain states."""

import json
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, Field, SecretStr

from lockstitch.plain._typed import check_comes_back, from_plain, to_plain


class Color(Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    color: Color | None = None


@dataclass
class Order:
    items: list[Item] = field(default_factory=list)
    by_name: dict[str, Item] = field(default_factory=dict)
    note: str | None = None


class Model(BaseModel):
    at: datetime
    tags: list[str] = []


ORDER = Order([Item("a", Color.RED), Item("b")], {"x": Item("c")}, "hi")


def test_a_dataclass() -> None:
    plain = to_plain(ORDER)
    assert plain == {
        "items": [{"name": "a", "color": "red"}, {"name": "b", "color": None}],
        "by_name": {"x": {"name": "c", "color": None}},
        "note": "hi",
    }
    assert from_plain(Order, plain) == ORDER


def test_a_model() -> None:
    model = Model(at=datetime(2026, 1, 2, tzinfo=UTC), tags=["a"])
    assert from_plain(Model, to_plain(model)) == model


class Message(BaseModel):
    role: str


class Chat(BaseModel):
    messages: list[Message] = []
    by_number: dict[int, Message] = {}


class Renamed(BaseModel):
    name: str = Field("anon", alias="Name")


class Trimmed(BaseModel, str_strip_whitespace=True):
    text: str


class Base(BaseModel):
    x: int = 1


class Derived(Base):
    y: int = 0


class Holder(BaseModel):
    base: Base


class Secret(BaseModel):
    password: SecretStr


class Odd(BaseModel):
    color: Color = Color.RED
    amount: Decimal = Decimal("1.50")
    pair: tuple[int, str] = (1, "a")
    names: set[str] = {"a", "b"}
    child: Chat = Chat(messages=[Message(role="user")], by_number={1: Message(role="tool")})


@pytest.mark.parametrize(
    "model", [Renamed(Name="bob"), Odd(), Chat(by_number={7: Message(role="a")}), Holder(base=Base())]
)
def test_models_come_back(model: BaseModel) -> None:
    """Also where fields have aliases, and keys and values are no JSON."""
    assert from_plain(type(model), json.loads(json.dumps(to_plain(model)))) == model


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (Holder(base=Derived(y=7)), r"value\['base'\]\['y'\]"),
        (Secret(password=SecretStr("abc")), r"value\['password'\]"),
    ],
)
def test_a_model_that_loses_something_is_not_saved(model: BaseModel, path: str) -> None:
    with pytest.raises(ValueError, match=f"{path} does not come back from the JSON of"):
        to_plain(model)


def test_what_is_nested_too_deep_or_holds_itself_is_refused() -> None:
    deepest: dict[str, Any] = {"a": 1}
    for _ in range(500):
        deepest = {"a": deepest}
    assert to_plain(deepest) == deepest
    own_list: list[Any] = []
    own_list.append(own_list)
    own_dict: dict[str, Any] = {}
    own_dict["a"] = own_dict
    for value in ({"a": deepest}, own_list, own_dict, Box(anything=own_list)):
        with pytest.raises(ValueError, match="nested more than 500 deep, or holds itself"):
            to_plain(value)


def test_models_inside_a_dict() -> None:
    assert to_plain({"items": [Item("a")]}) == {"items": [{"name": "a", "color": None}]}


def test_a_field_added_later_has_its_default() -> None:
    assert from_plain(Order, {"items": []}) == Order()


@pytest.mark.parametrize(
    ("kind", "data", "error"),
    [
        (Order, {"items": [{"name": "a", "size": 1}]}, r"value\['items'\]\[0\]\['size'\] is stored, and Item has no"),
        (Order, {"items": [{}]}, r"value\['items'\]\[0\]: .*missing 1 required positional argument: 'name'"),
        (Order, {"items": [1]}, r"value\['items'\]\[0\] is of type int, not a dict for Item"),
        (Model, {"at": "2026-01-02T00:00:00Z", "more": 1}, r"value\['more'\] is stored, and Model does not keep it"),
        (
            Chat,
            {"messages": [{"role": "user", "content": "hi"}]},
            r"\['content'\] is stored, and Chat does not keep it",
        ),
        (Renamed, {"name": "bob"}, r"value\['name'\] is stored"),
        (Trimmed, {"text": " a "}, r"value\['text'\] is stored as ' a ', and Trimmed makes 'a' of it"),
        (Model, {"at": "never"}, "Input should be a valid datetime"),
    ],
)
def test_what_the_type_has_no_place_for_raises(kind: Any, data: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        from_plain(kind, data)


@dataclass(frozen=True, slots=True)
class Counted:
    items: list[str]
    count: int = field(init=False, default=0)
    first: Item | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.items))


def test_fields_that_are_no_arguments_come_back() -> None:
    counted = Counted(["a", "b"])
    object.__setattr__(counted, "count", 7)
    object.__setattr__(counted, "first", Item("a"))
    assert from_plain(Counted, to_plain(counted)) == counted
    assert from_plain(Counted, {"items": ["a"]}) == Counted(["a"])


@dataclass
class Special(Item):
    pass


@dataclass(eq=False)
class Box:
    anything: Any = None
    items: Sequence[Item] = ()
    either: Item | Counted | None = None
    known: list[Item] = field(default_factory=list)


class Typed(TypedDict):
    items: list[Item]


@pytest.mark.parametrize("state", [ORDER, Box(1, [], None, [Item("a")]), Counted(["a"]), Odd()])
def test_what_comes_back_is_saved(state: Any) -> None:
    check_comes_back(type(state), state, to_plain(state))
    check_comes_back(dict, {"items": [state]}, to_plain({"items": [state]}))


@pytest.mark.parametrize(
    ("kind", "state", "path"),
    [
        (Box, Box(anything=Item("a")), r"value\['anything'\] is of type Item, and would come back as dict"),
        (Box, Box(items=[Item("a")]), r"value\['items'\]\[0\] is of type Item"),
        (Box, Box(either=Item("a")), r"value\['either'\] is of type Item"),
        (Box, Box(known=[Special("a")]), r"value\['known'\]\[0\] is of type Special, and would come back as Item"),
        (Typed, {"items": [Item("a")]}, r"value\['items'\]\[0\] is of type Item"),
        (Base, Derived(y=7), r"value\['y'\] is stored, and Base does not keep it"),
    ],
)
def test_what_would_come_back_as_something_else_is_not_saved(kind: Any, state: Any, path: str) -> None:
    with pytest.raises(ValueError, match=path):
        check_comes_back(kind, state, to_plain(state))


@dataclass
class Rated:
    rate: InitVar[int]
    total: int = 0


@dataclass
class Defaulted:
    rate: InitVar[int] = 1
    total: int = 0


@dataclass
class Bill:
    rated: Rated


def test_an_argument_that_is_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'rated'..'rate'. is an argument of Rated"):
        to_plain(Bill(Rated(2)))
    assert from_plain(Defaulted, to_plain(Defaulted(2, 3))) == Defaulted(1, 3)
