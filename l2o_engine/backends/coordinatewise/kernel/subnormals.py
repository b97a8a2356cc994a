"""Whether a thread computes with subnormal numbers, which take some CPUs a hundred times as long as others do."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from l2o_engine.backends.compiled.vectors import target_cpu

_FLUSHING = 0x8040  # of MXCSR: results that would be subnormal are 0, and such operands count as 0


@intrinsic
def flush_subnormals(typingctx: Any) -> Any:
    """flush_subnormals(): have this thread take subnormal numbers for 0, where the CPU can; return how it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        if not _is_x86():
            return ir.Constant(word, 0)
        place = cgutils.alloca_once(builder, word)
        _call_with_mode(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, ir.Constant(word, _FLUSHING)), place)
        _call_with_mode(builder, "ldmxcsr", place)
        return before

    return types.int32(), codegen


@intrinsic
def restore_subnormals(typingctx: Any, before: Any) -> Any:
    """restore_subnormals(before): have this thread take them as it did before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _is_x86():
            place = cgutils.alloca_once_value(builder, args[0])
            _call_with_mode(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


def _is_x86() -> bool:
    return target_cpu()[0].startswith("x86_64")


def _call_with_mode(builder: Any, name: str, place: Any) -> None:
    bytes_ = ir.IntType(8).as_pointer()
    function_type = ir.FunctionType(ir.VoidType(), [bytes_])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, bytes_)])
