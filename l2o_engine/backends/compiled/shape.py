"""What a kernel is compiled for: a frozen dataclass of numbers and words, and the kernel's module."""

from typing import ClassVar


class Shape:
    """What is compiled into a kernel; all else is an argument of its entries.

    Attributes
    ----------
    kernel
        The module that the kernel is made of. It has SHAPE, the class; DRIVER, the functions of the generated module;
        ENTRIES, the names of those that are called from outside; INLINED, of large ones that are called from one
        place, and so need not be compiled by themselves as well; ``bind(shape)``, every other name that they use;
        ``signatures(shape)``, the entries' types; SOURCES and VERSIONS, all else that the machine code depends on.
    """

    kernel: ClassVar[str]
