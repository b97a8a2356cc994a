"""What the API reference is told of our pieces: below ``@settings`` a class is a dataclass, bounds are in the text."""

from typing import Any

from griffe import Attribute, Class, ExprCall, ExprName, ExprSubscript, ExprTuple, Extension


class Settings(Extension):
    """Has pieces shown with a signature, as other dataclasses are."""

    def on_class_instance(self, *, cls: Class, **_: Any) -> None:
        """Call the decorator by the name that is known."""
        for decorator in cls.decorators:
            if str(decorator.value) == "settings":
                decorator.value = ExprName("dataclasses.dataclass")

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Take of ``Annotated[int, Field(ge=1)]`` the type alone, and ``Field(default=…)`` for dataclasses' own."""
        if isinstance(attr.value, ExprCall) and str(attr.value.function) == "Field":
            attr.value.function = ExprName("dataclasses.field")
        annotation = attr.annotation
        if isinstance(annotation, ExprSubscript) and str(annotation.left) == "Annotated":
            inner = annotation.slice
            attr.annotation = inner.elements[0] if isinstance(inner, ExprTuple) else inner
