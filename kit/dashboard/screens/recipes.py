"""Screen 6: recipes and profiles: what each says and why, how two differ, what a run of one would cost."""

import shlex
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.screens.base import KitScreen, Rows
from kit.dashboard.widgets.recipe_panel import PANELS, Plan, RecipePanel
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.errors import KitError
from kit.recipe import copy_recipe, load_profile, load_recipe
from kit.watch.log_reader import Reading
from kit.watch.processes import run_json
from kit.watch.recipe_shelf import DROP, Entry, RecipeShelf, Resolved, check_overrides, resolve, split_overrides
from kit.watch.text import clean, count, shown_path

INTERVAL = 2.0
STYLES = {"shipped": "muted", "yours": "accent", "run": "good"}


class RecipesScreen(KitScreen):
    """The list above or beside what is known of the entry under its cursor, on the chosen profile."""

    NAME = "recipes"
    FILTER_HELP = "words of a setting's key, value or origin"
    AUTO_FOCUS = "#recipes-list"
    NEWS = ("run_directory",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("recipes")]

    class Listed(Message):
        """The files were looked at."""

        def __init__(self, entries: tuple[Entry, ...]) -> None:
            super().__init__()
            self.entries = entries

    class Found(Message):
        """What would run was resolved."""

        def __init__(self, asked: object, resolved: Resolved) -> None:
            super().__init__()
            self.asked = asked
            self.resolved = resolved

    def __init__(self) -> None:
        super().__init__()
        self.entries: tuple[Entry, ...] = ()
        self.overrides: list[str] = []
        self.marked: Path | None = None
        self.plan = Plan()
        self._profile = "nano"
        self._at: Path | None = None
        self._copied: list[Path] = []
        self._shelf = RecipeShelf()
        self._pending = {"list"}
        self._asked: object = None

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="recipes-body"):
            yield VirtualTable(id="recipes-list", empty="reading recipes")
            with Vertical(id="recipes-right"):
                yield Static("", id="recipes-head", markup=False)
                yield RecipePanel(id="recipes-panel")

    def on_mount(self) -> None:
        """Look at the files again and again."""
        self.set_interval(INTERVAL, self._look)
        self._pending.clear()
        self._look()

    @property
    def is_settled(self) -> bool:
        return bool(self.entries) and not self._pending

    @property
    def panel(self) -> RecipePanel:
        return self.query_one(RecipePanel)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#recipes-list", VirtualTable)

    @property
    def current(self) -> Entry | None:
        """The entry under the cursor."""
        found = next((entry for entry in self.entries if entry.path == self._at), None)
        return found or next((entry for entry in self.entries if entry.name == "full"), None)

    @property
    def profile(self) -> Entry | None:
        """The profile that a run would be on."""
        return next((each for each in self.entries if each.kind == "profile" and each.argument == self._profile), None)

    # Reading

    def refresh_content(self, reading: Reading) -> None:
        self._look()

    def _look(self) -> None:
        if self.is_mounted and "list" not in self._pending and self.app.screen_stack[:1] == [self]:
            self._pending.add("list")
            runs = self.dashboard.runs_folder
            folders = tuple(dict.fromkeys([Path.cwd(), Path.cwd() / "recipes", runs.parent]))
            work = partial(self._shelf.look, folders, tuple(self._copied), self.dashboard.run_directory)
            self.run_worker(lambda: self.post_message(self.Listed(work())), thread=True, group="list")

    def on_recipes_screen_listed(self, message: Listed) -> None:
        """Show what there is, if it is not what there was."""
        self._pending.discard("list")
        if message.entries is not self.entries:
            self.entries = message.entries
            self._show_list()
            self._select()

    def _select(self) -> None:
        """Resolve what is under the cursor, unless that is under way."""
        entry = self.current
        if entry is None:
            return
        asked = (entry, self.profile, tuple(self.overrides))
        if asked != self._asked:
            self._asked = asked
            self.plan = Plan()
            if entry.kind == "profile":
                self._show(Resolved(entry.settings, entry.problem))
            else:
                self._pending.add("settings")
                work = partial(resolve, entry, self.profile, tuple(self.overrides))
                self.run_worker(lambda: self.post_message(self.Found(asked, work())), thread=True, group="resolve")

    def on_recipes_screen_found(self, message: Found) -> None:
        """Show the settings, unless the cursor has moved on."""
        if message.asked == self._asked:
            self._pending.discard("settings")
            self._show(message.resolved)

    # Showing

    def _show(self, resolved: Resolved) -> None:
        entry = self.current
        if entry is None:
            return
        marked = next((each for each in self.entries if each.path == self.marked), None)
        self.query_one("#recipes-head", Static).update(self._head(entry, resolved))
        self.panel.show(entry, resolved, marked, self.plan)

    def _head(self, entry: Entry, resolved: Resolved) -> Content:
        where = f"  {shown_path(entry.path)}"
        if entry.kind == "recipe":
            on = [(" on ", "$text-muted"), (clean(self._profile_name()), "bold")]
            sets = [("  --set " + clean(" ".join(self.overrides)), "$text-warning")] if self.overrides else []
        else:
            on, sets = [("  profile", "$text-muted")], []
        first = Content.assemble((f" {clean(entry.name)}", "bold $text-accent"), *on, *sets, (where, "$text-muted"))
        if resolved.problem:
            return Content.assemble(first, ("\n ✗ " + clean(resolved.problem.splitlines()[0]), "bold $text-error"))
        return Content.assemble(first, "\n " + clean(entry.title))

    def _profile_name(self) -> str:
        return self._profile if self.profile is None or self.profile.origin == "shipped" else self.profile.name

    def _show_list(self) -> None:
        table = self.table
        width = table.size.width
        longest = max((len(entry.name) for entry in self.entries), default=8)
        named = [Column("", 1, key="mark"), Column("recipe", max(8, min(longest, width - 30))), Column("kind", 7)]
        named += [Column("from", 7)] if width >= 60 else []
        named += [Column("phases", 6, right=True), Column("epochs", 6, right=True)] if width >= 50 else []
        rest = width - 2 - sum(column.width + VirtualTable.GAP for column in named) - VirtualTable.GAP
        table.set_columns([*named, Column("what it is", rest)] if rest >= 16 else named)
        table.is_marked = lambda index: self.entries[index].path == self.marked
        at = self.entries.index(self.current) if self.current is not None else 0
        table.set_rows(len(self.entries), self._cells, cursor=at)

    def _cells(self, index: int) -> list[Cell]:
        entry = self.entries[index]
        mark = "✗" if entry.problem else "●" if entry.path == self.marked else "◆" if entry == self.profile else ""
        values: dict[str, Cell] = {
            "mark": (mark, "bad" if entry.problem else "accent"),
            "recipe": (entry.name, "strong"),
            "kind": (entry.kind, "muted" if entry.kind == "profile" else ""),
            "from": (entry.origin, STYLES[entry.origin]),
            "phases": count(entry.phases) if entry.phases is not None else "",
            "epochs": count(entry.subnet_epochs) if entry.subnet_epochs is not None else "",
            "what it is": entry.title or entry.problem.splitlines()[0] if entry.problem else entry.title,
        }
        return [values[column.name] for column in self.table.columns]

    def on_resize(self) -> None:
        """Columns depend on the width."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        if self.is_mounted and self.entries:
            self._show_list()
            self.panel.fit()

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """The entry under the cursor is the one that is shown."""
        if message.table.id == "recipes-list" and message.row < len(self.entries):
            path = self.entries[message.row].path
            if path != self._at:
                self._at = path
                self._select()

    def on_virtual_table_selected(self, message: VirtualTable.Selected) -> None:
        """From the list into what it shows; a profile becomes the one to run on."""
        if message.table.id == "recipes-list":
            entry = self.current
            if entry is not None and entry.kind == "profile":
                self._use_profile(entry)
            else:
                self._open_panel(self.panel.name_of)

    # Hooks

    def apply_filter(self, text: str) -> None:
        self.panel.filter(text.lower().split())

    def copy_text(self) -> str | None:
        """The line under the cursor of the panel, or the path of the file."""
        if self.focused is not None and self.panel in self.focused.ancestors_with_self:
            return self.panel.line
        return None if self.current is None else str(self.current.path)

    def export_rows(self) -> Rows | None:
        return self.panel.export()

    async def action_back(self) -> None:
        """From the panel to the list, where only one of them fits."""
        if self.has_class("-flat") and self.query_one("#recipes-body").has_class("-inside"):
            self.query_one("#recipes-body").remove_class("-inside")
            self.focus_body()
        else:
            await super().action_back()

    # Actions

    def _open_panel(self, name: str) -> None:
        self.query_one("#recipes-body").add_class("-inside")
        self.panel.open(name)
        self.panel.table.focus()

    def action_next_panel(self) -> None:
        """Settings, difference, plan, file."""
        names = list(PANELS)
        self.panel.open(names[(names.index(self.panel.name_of) + 1) % len(names)])

    def action_only_written(self) -> None:
        """Hide defaults, or show them again."""
        self.panel.toggle_defaults()

    def action_read_again(self) -> None:
        """Read all files again."""
        self._shelf = RecipeShelf()
        self._asked = None
        self._look()

    def action_mark(self) -> None:
        """Mark an entry, to see how others differ from it."""
        entry = self.current
        if entry is not None:
            self.marked = None if self.marked == entry.path else entry.path
            self._marked_changed()

    def _marked_changed(self) -> None:
        self._asked = None
        self._show_list()
        self._select()

    def action_difference(self) -> None:
        """Show how the entry under the cursor differs from the marked one."""
        if self.marked is None:
            self.dashboard.say("mark a recipe with the space bar first, then go to another one", severity="warning")
        else:
            self.panel.open("difference")

    def action_next_profile(self) -> None:
        """Run on the next profile."""
        profiles = [entry for entry in self.entries if entry.kind == "profile" and not entry.problem]
        if profiles:
            at = profiles.index(self.profile) if self.profile in profiles else -1
            self._use_profile(profiles[(at + 1) % len(profiles)])

    def _use_profile(self, profile: Entry) -> None:
        self._profile = profile.argument
        self._show_list()
        self._select()
        self.dashboard.say(f"runs are planned on {profile.name}", timeout=2)

    def action_override(self) -> None:
        """Set values for the plan and the run."""
        self.dashboard.ask(
            "Set for this run",
            self._override,
            value=shlex.join(self.overrides),
            detail=f"KEY=VALUE ..., for instance phases.D1.epochs=3 profile.pool.size=100; a dash ({DROP}) drops all",
            check=check_overrides,
        )

    def _override(self, answer: str) -> None:
        self.overrides = [] if answer == DROP else split_overrides(answer)
        self._select()

    def _recipe(self) -> Entry | None:
        entry = self.current
        if entry is None or entry.kind != "recipe":
            self.dashboard.say("choose a recipe first: this is a profile", severity="warning")
            return None
        if entry.problem:
            self.dashboard.say(f"{entry.name} cannot be run: {entry.problem}", severity="error", timeout=10)
            return None
        return entry

    def action_plan(self) -> None:
        """Ask `kit` what a run of this recipe on this profile would cost."""
        entry = self._recipe()
        if entry is not None:
            arguments = ["run", "recipe", entry.argument, "--profile", self._profile]
            arguments += ["--runs", str(self.dashboard.runs_folder)]
            arguments += [word for override in self.overrides for word in ("--set", override)]
            self._open_panel("plan")
            self._set_plan(Plan(state="planning: reading data, timing one step"))
            self._pending.add("plan")
            self.run_worker(self._ask_plan(arguments, self._asked), exclusive=True, group="plan")

    async def _ask_plan(self, arguments: Sequence[str], asked: object) -> None:
        try:
            plan = Plan(document=await run_json([*arguments, "--dry-run"]))
        except KitError as error:
            plan = Plan(problem=f"{error}\n{error.hint}" if error.hint else str(error))
        self._pending.discard("plan")
        if asked == self._asked:
            self._set_plan(plan)

    def _set_plan(self, plan: Plan) -> None:
        self.plan = plan
        self.panel.show_plan(plan)

    def action_run_recipe(self) -> None:
        """Start a run: with its plan and cost first."""
        from kit.dashboard.screens.start import StartScreen

        entry = self._recipe()
        if entry is not None:
            self.app.push_screen(StartScreen(entry.argument, self._profile, shlex.join(self.overrides)))

    def action_copy_recipe(self) -> None:
        """Copy the file, to edit it."""
        entry = self.current
        if entry is not None:
            name = entry.path.name if not entry.is_of_run else f"{entry.name}-of-run.toml"
            self.dashboard.ask(
                f"Copy {entry.kind} {entry.name} to",
                partial(self._copy, entry),
                value=f"my-{name}",
                detail="a new .toml file: edit it, and it is checked here as soon as it is saved",
                check=_check_toml,
            )

    def _copy(self, entry: Entry, answer: str) -> None:
        def work() -> None:
            app = self.dashboard
            try:
                target = copy_recipe(str(entry.path), Path(answer).expanduser().absolute())
                (load_recipe if entry.kind == "recipe" else load_profile)(str(target))
            except KitError as error:
                app.call_from_thread(app.report, error)
            else:
                app.call_from_thread(self._was_copied, target)

        self.run_worker(work, thread=True, group="copy")

    def _was_copied(self, target: Path) -> None:
        self._copied.append(target)
        self._at = target
        self.dashboard.say(f"written and checked: {shown_path(target)}")
        self._look()


def _check_toml(answer: str) -> str:
    from kit.dashboard.app import check_new_file

    return check_new_file(answer) or ("" if answer.endswith(".toml") else "a recipe's file ends with .toml")
