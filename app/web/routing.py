"""URL rules that compile their URL builders on first use."""

from collections.abc import Callable

from werkzeug.routing import Rule


class LazyRule(Rule):
    """A rule that compiles its URL builders on first use: a process builds URLs for few of its 170 rules."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: list[Callable[..., tuple[str, str]]] = []

        def build(rule: LazyRule, **values: object) -> tuple[str, str]:
            if not compiled:
                compiled.append(super()._compile_builder(append_unknown))
            return compiled[0](rule, **values)

        return build
