"""What a function's code can reach, by the types that mypy finds: from a handler to the calls of AWS that adapters make.

The analysis errs on the side of more. Whatever a reached function names counts as called, so that a callback is followed where
it is handed over; a call of a port reaches that method of every class that has the port's methods and is made anywhere in what
is reached; what has no type (``Any``) may be any adapter that is made. Special methods of a class are reached when it is made.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mypy import build
from mypy.modulefinder import BuildSource
from mypy.nodes import (
    CallExpr,
    ClassDef,
    Decorator,
    Expression,
    FuncDef,
    MemberExpr,
    MypyFile,
    NameExpr,
    Node,
    OverloadedFuncDef,
    RefExpr,
    SymbolNode,
    SymbolTable,
    TypeInfo,
)
from mypy.options import Options
from mypy.subtypes import is_subtype
from mypy.traverser import NameAndMemberCollector
from mypy.types import (
    AnyType,
    CallableType,
    Instance,
    TupleType,
    Type,
    TypeType,
    TypeVarType,
    UnionType,
    get_proper_type,
)
from mypy.typevars import fill_typevars_with_any

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = "quicksilver.aws."
OURS = ("quicksilver.", "handler_")
OF_PLAIN_DATA = {"get", "items", "keys", "values", "pop", "update", "append", "read", "close"}
"""Methods of dictionaries, lists and files: on a value without a type they are taken for those."""


@dataclass(frozen=True)
class Reached:
    """``functions`` and ``made`` classes, by their whole names."""

    functions: frozenset[str]
    made: frozenset[str]

    def methods_of_adapters(self) -> dict[str, set[str]]:
        """The public methods that are reached of each adapter that is made, by the class's whole name."""
        found: dict[str, set[str]] = {}
        for name in self.functions:
            owner, _, method = name.rpartition(".")
            if owner in self.made and owner.startswith(ADAPTERS) and not method.startswith("_"):
                found.setdefault(owner, set()).add(method)
        return found


@dataclass
class _Walk:
    functions: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    waiting: list[Node] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)
    untyped: set[str] = field(default_factory=set)
    """Calls on a port or a class, and names on values without a type: answered again for each class made later."""


class Program:
    """Every handler in ``lambdas/`` and all that they import, as mypy reads it."""

    def __init__(self, root: Path = ROOT) -> None:
        options = Options()
        options.export_types = options.preserve_asts = options.check_untyped_defs = True
        options.incremental = False
        options.ignore_missing_imports = options.ignore_errors = True
        options.follow_imports = "silent"
        options.python_version = sys.version_info[:2]
        options.mypy_path = [str(root / "layers" / "core" / "python")]
        sources = [
            BuildSource(str(path), f"handler_{path.parent.name}", None)
            for path in sorted(root.glob("lambdas/*/handler.py"))
        ]
        result = build.build(sources, options)
        self._types, self._files = result.types, result.files
        self._named: dict[int, list[Expression]] = {}

    # -- following --

    def reached(self, handler: str, *, never_made: Collection[str] = ()) -> Reached:
        """What ``lambdas/<handler>/handler.py`` reaches where no class of ``never_made`` is."""
        walk = _Walk()
        start = self._found(f"handler_{handler}.lambda_handler")
        assert start is not None, f"lambdas/{handler}/handler.py has no lambda_handler"
        self._enter(walk, start)
        while walk.waiting:
            node = walk.waiting.pop()
            for expression in self._names_in(node):
                self._follow(walk, expression, frozenset(never_made))
        return Reached(frozenset(walk.functions), frozenset(walk.made))

    def within(self, module: str, function: str) -> set[str]:
        """The functions of the same module that ``function`` reaches, itself included."""
        walk = _Walk(modules={module})
        walk.made.add(function.rpartition(".")[0])
        self._enter(walk, self._found(function))
        while walk.waiting:
            for expression in self._names_in(walk.waiting.pop()):
                self._follow(walk, expression, frozenset())
        return {name for name in walk.functions if name.startswith(f"{module}.")}

    def _follow(self, walk: _Walk, expression: Expression, never: frozenset[str]) -> None:
        if isinstance(expression, RefExpr) and expression.node is not None:
            self._enter(walk, expression.node, never)
        if isinstance(expression, MemberExpr):
            for kind in self._kinds(self._types.get(expression.expr)):
                if kind is None:
                    if expression.name not in OF_PLAIN_DATA:
                        self._ask(walk, "", expression.name)
                elif kind.fullname.startswith(OURS):
                    self._ask(walk, kind.fullname, expression.name)

    def _ask(self, walk: _Walk, owner: str, name: str) -> None:
        if (owner, name) not in walk.asked:
            walk.asked.add((owner, name))
            if owner:
                self._enter_member(walk, self._class(owner), name)
            for made in sorted(walk.made):
                self._answer(walk, made, owner, name)

    def _answer(self, walk: _Walk, made: str, owner: str, name: str) -> None:
        """Enter the method ``name`` of a class that is made, where a call on ``owner`` may be one of it."""
        info = self._class(made)
        if not owner:
            if made.startswith(ADAPTERS):
                self._enter_member(walk, info, name)
            return
        asked = self._class(owner)
        fits = asked in info.mro or (
            asked.is_protocol and is_subtype(fill_typevars_with_any(info), fill_typevars_with_any(asked))
        )
        if fits:
            self._enter_member(walk, info, name)

    def _enter_member(self, walk: _Walk, info: TypeInfo, name: str) -> None:
        symbol = info.get(name)
        if symbol is not None and symbol.node is not None:
            self._enter(walk, symbol.node)

    def _enter(self, walk: _Walk, node: SymbolNode | None, never: frozenset[str] = frozenset()) -> None:
        match node:
            case FuncDef() | Decorator() | OverloadedFuncDef():
                function = node.func if isinstance(node, Decorator) else node
                name = function.fullname
                if name.startswith(OURS) and name not in walk.functions:
                    walk.functions.add(name)
                    walk.waiting.append(node)
                    self._enter_module(walk, self._module_of(name))
            case TypeInfo() if node.fullname.startswith(OURS) and node.fullname not in never:
                self._make(walk, node)
            case _:
                return

    def _make(self, walk: _Walk, info: TypeInfo) -> None:
        if info.fullname in walk.made:
            return
        walk.made.add(info.fullname)
        self._enter_module(walk, self._module_of(info.fullname))
        for base in info.mro:
            for name, symbol in base.names.items():
                if name.startswith("__") and name.endswith("__") and symbol.node is not None:
                    self._enter(walk, symbol.node)
        for owner, name in sorted(walk.asked):
            self._answer(walk, info.fullname, owner, name)

    def _enter_module(self, walk: _Walk, module: str) -> None:
        """What a module does when it is imported: its statements, and those in the bodies of its classes."""
        if module in walk.modules:
            return
        walk.modules.add(module)
        walk.waiting.extend(_statements(self._files[module].defs))

    # -- looking up --

    def _names_in(self, node: Node) -> list[Expression]:
        if id(node) not in self._named:
            collector = NameAndMemberCollector()
            node.accept(collector)
            self._named[id(node)] = [*collector.name_exprs, *collector.member_exprs]
        return self._named[id(node)]

    def _kinds(self, found: Type | None) -> Iterator[TypeInfo | None]:
        """The classes that a value may be of; ``None`` for a value without a type."""
        match get_proper_type(found):
            case Instance() as instance:
                yield instance.type
            case UnionType() as union:
                for item in union.items:
                    yield from self._kinds(item)
            case TypeVarType() as variable:
                yield from self._kinds(variable.upper_bound)
            case TypeType() as of_type:
                yield from self._kinds(of_type.item)
            case CallableType() as function if function.is_type_obj():
                yield function.type_object()
            case TupleType() as row:
                yield row.partial_fallback.type
            case AnyType():
                yield None

    def _class(self, name: str) -> TypeInfo:
        node = self._found(name)
        assert isinstance(node, TypeInfo), name
        return node

    def _found(self, name: str) -> SymbolNode | None:
        """What a name of a module or a class is; nothing for a function within a function, which is part of that one."""
        module = self._module_of(name)
        names, node = self._files[module].names, None
        for part in name.removeprefix(f"{module}.").split("."):
            node = names[part].node if part in names else None
            names = node.names if isinstance(node, TypeInfo) else SymbolTable()
        return node

    def _module_of(self, name: str) -> str:
        while name not in self._files:
            name = name.rpartition(".")[0]
            assert name
        return name

    def untyped(self, function: str) -> set[str]:
        """The names that a function asks of values without a type, as clients are."""
        node = self._found(function)
        return {
            expression.name
            for expression in (self._names_in(node) if node else ())
            if isinstance(expression, MemberExpr) and None in self._kinds(self._types.get(expression.expr))
        }

    # -- sources, for what is no name: words in quotes --

    def module_of(self, name: str) -> str:
        return self._module_of(name)

    @cached_property
    def _trees(self) -> dict[str, ast.Module]:
        return {}

    def tree(self, module: str) -> ast.Module:
        """A module's syntax, as Python's own ``ast``."""
        if module not in self._trees:
            self._trees[module] = ast.parse(Path(self._files[module].path).read_text())
        return self._trees[module]

    def source(self, function: str) -> ast.AST:
        """The syntax of one function, by its whole name; nothing for one that a decorator has made."""
        module = self._module_of(function)
        found: ast.AST = self.tree(module)
        for part in function.removeprefix(f"{module}.").split("."):
            named = (
                child
                for child in ast.walk(found)
                if isinstance(child, ast.ClassDef | ast.FunctionDef) and child.name == part
            )
            found = next(named, ast.Module([], []))
        return found


def _is_ours(decorator: Expression) -> bool:
    made_by = decorator.callee if isinstance(decorator, CallExpr) else decorator
    return isinstance(made_by, RefExpr) and made_by.fullname.startswith(OURS)


def _statements(defs: list[Node] | list[object]) -> Iterator[Node]:
    for statement in defs:
        if isinstance(statement, ClassDef):
            yield from _statements(statement.defs.body)
            yield from statement.decorators
            yield from statement.base_type_exprs
        elif isinstance(statement, Decorator):
            yield from statement.decorators
            if any(_is_ours(decorator) for decorator in statement.decorators):
                yield statement.func  # handed over, to whoever the decorator gives it
        elif not isinstance(statement, FuncDef | OverloadedFuncDef | MypyFile | NameExpr) and isinstance(
            statement, Node
        ):
            yield statement
