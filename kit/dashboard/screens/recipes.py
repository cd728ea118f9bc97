"""Screen 6: recipes and profiles: what each says and why, how two differ, what a run of one would cost."""

import shlex
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from textual import getters
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.host import NotYetError, check_new_file
from kit.dashboard.screens.base import KitScreen, following
from kit.dashboard.widgets.parts import Part
from kit.dashboard.widgets.recipe_panel import TABLES, Plan, RecipePanel
from kit.dashboard.widgets.table import REST, Cell, Column, Rows, VirtualTable
from kit.errors import KitError
from kit.files import user_path
from kit.recipe import copy_recipe, load_profile, load_recipe
from kit.watch.log_reader import Reading
from kit.watch.processes import run_json
from kit.watch.recipe_shelf import DROP, Entry, RecipeShelf, Resolved, check_overrides, resolve, split_overrides
from kit.watch.run_actions import recipe_arguments
from kit.watch.text import clean, count, shown_path

INTERVAL = 2.0
STYLES = {"shipped": "muted", "yours": "accent", "run": "good"}


class RecipesScreen(KitScreen):
    """The list above or beside what is known of the entry under its cursor, on the chosen profile."""

    NAME = "recipes"
    FILTER_HELP = "words of a setting's key, value or origin"
    AUTO_FOCUS = "#recipes-list"
    NEWS = ("run_directory",)
    about = getters.query_one(RecipePanel)

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
        self._asked: object = None

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="recipes-body"):
            yield VirtualTable(id="recipes-list", empty="reading recipes")
            with Vertical(id="recipes-right"):
                yield Static("", id="recipes-head", markup=False)
                yield RecipePanel(id="recipes-panel")

    def on_mount(self) -> None:
        self.set_interval(INTERVAL, self._look)

    @property
    def is_settled(self) -> bool:
        return bool(self.entries) and super().is_settled

    @property
    def table(self) -> VirtualTable[Entry]:
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
        if not self.at_work["list"] and self.is_shown:
            runs = self.app.runs_folder
            folders = tuple(dict.fromkeys([Path.cwd(), Path.cwd() / "recipes", runs.parent]))
            look = partial(self._shelf.look, folders, tuple(self._copied), self.app.run_directory)
            self.in_thread(look, self._take_entries, "list")

    def _take_entries(self, entries: tuple[Entry, ...]) -> None:
        """Show what there is, if it is not what there was."""
        if entries is not self.entries:
            self.entries = entries
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
                work = partial(resolve, entry, self.profile, tuple(self.overrides))
                self.in_thread(work, lambda resolved: self._show(resolved) if asked == self._asked else None, "settings")

    # Showing

    def _show(self, resolved: Resolved) -> None:
        entry = self.current
        if entry is None:
            return
        marked = next((each for each in self.entries if each.path == self.marked), None)
        self.query_one("#recipes-head", Static).update(self._head(entry, resolved))
        self.about.show(entry, resolved, marked, self.plan)

    def _head(self, entry: Entry, resolved: Resolved) -> Content:
        where = f"  {shown_path(entry.path)}"
        if entry.kind == "recipe":
            on: list[Part] = [(" on ", "$text-muted"), (clean(self._profile_name()), "bold")]
            on += [("  --set " + clean(" ".join(self.overrides)), "$text-warning")] if self.overrides else []
        else:
            on = [("  profile", "$text-muted")]
        first = Content.assemble((f" {clean(entry.name)}", "bold $text-accent"), *on, (where, "$text-muted"))
        if resolved.problem:
            return Content.assemble(first, ("\n ✗ " + clean(resolved.problem.splitlines()[0]), "bold $text-error"))
        return Content.assemble(first, "\n " + clean(entry.title))

    def _profile_name(self) -> str:
        return self._profile if self.profile is None or self.profile.origin == "shipped" else self.profile.name

    def _show_list(self) -> None:
        table = self.table
        longest = max((len(entry.name) for entry in self.entries), default=8)
        table.set_columns(
            (
                Column("", 1, key="mark"),
                Column("recipe", longest, least=8),
                Column("kind", 7),
                Column("from", 7, rank=2),
                Column("phases", 6, right=True, rank=3),
                Column("epochs", 6, right=True, rank=3),
                Column("what it is", REST, least=16, rank=1),
            )
        )
        table.is_marked = lambda entry: entry.path == self.marked
        at = self.entries.index(self.current) if self.current is not None else 0
        table.set_rows(self.entries, self._cells, cursor=at)

    def _cells(self, entry: Entry) -> list[Cell]:
        mark = "✗" if entry.problem else "●" if entry.path == self.marked else "◆" if entry == self.profile else ""
        return [
            (mark, "bad" if entry.problem else "accent"),
            (entry.name, "strong"),
            (entry.kind, "muted" if entry.kind == "profile" else ""),
            (entry.origin, STYLES[entry.origin]),
            count(entry.phases) if entry.phases is not None else "",
            count(entry.subnet_epochs) if entry.subnet_epochs is not None else "",
            entry.title or entry.problem.partition("\n")[0],
        ]

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
                self._open_panel(self.about.current)

    # Hooks

    def apply_filter(self, text: str) -> None:
        self.about.filter(text.lower().split())

    def copy_text(self) -> str | None:
        """The line under the cursor of the panel, or the path of the file."""
        if self.focused is not None and self.about in self.focused.ancestors_with_self:
            return self.about.line
        return None if self.current is None else str(self.current.path)

    def export_rows(self) -> Rows | None:
        return self.about.export()

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
        self.about.open(name)
        self.about.table.focus()

    def action_next_panel(self) -> None:
        """Settings, difference, plan, file."""
        self.about.open(following(TABLES, self.about.current))

    def action_only_written(self) -> None:
        self.about.toggle_defaults()

    def action_read_again(self) -> None:
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
        if self.marked is None:
            raise NotYetError("mark a recipe with the space bar first, then go to another one")
        self.about.open("difference")

    def action_next_profile(self) -> None:
        profiles = [entry for entry in self.entries if entry.kind == "profile" and not entry.problem]
        if profiles:
            self._use_profile(following(profiles, self.profile or profiles[-1]))

    def _use_profile(self, profile: Entry) -> None:
        self._profile = profile.argument
        self._show_list()
        self._select()
        self.app.say(f"runs are planned on {profile.name}", timeout=2)

    def action_override(self) -> None:
        """Set values for the plan and the run."""
        self.app.ask(
            "Set for this run",
            self._override,
            value=shlex.join(self.overrides),
            detail=f"KEY=VALUE ..., for instance phases.D1.epochs=3 profile.pool.size=100; a dash ({DROP}) drops all",
            check=check_overrides,
        )

    def _override(self, answer: str) -> None:
        self.overrides = [] if answer == DROP else split_overrides(answer)
        self._select()

    def _recipe(self) -> Entry:
        """The recipe under the cursor. Raises `KitError` unless it can be run."""
        entry = self.current
        if entry is None or entry.kind != "recipe":
            raise NotYetError("choose a recipe first: this is a profile")
        if entry.problem:
            raise KitError(f"{entry.name} cannot be run: {entry.problem}")
        return entry

    def action_plan(self) -> None:
        """Ask `kit` what a run of this recipe on this profile would cost."""
        recipe = self._recipe().argument
        arguments = recipe_arguments(recipe, self._profile, self.app.runs_folder, overrides=self.overrides)
        self._open_panel("plan")
        self._set_plan(Plan(state="planning: reading data, timing one step"))
        self.at_work["plan"] += 1
        self.run_worker(self._ask_plan(arguments, self._asked), exclusive=True, group="plan")

    async def _ask_plan(self, arguments: Sequence[str], asked: object) -> None:
        try:
            plan = Plan(document=await run_json([*arguments, "--dry-run"]))
        except KitError as error:
            plan = Plan(problem=f"{error}\n{error.hint}" if error.hint else str(error))
        finally:
            self.at_work["plan"] -= 1
        if asked == self._asked:
            self._set_plan(plan)

    def _set_plan(self, plan: Plan) -> None:
        self.plan = plan
        self.about.show_plan(plan)

    def action_run_recipe(self) -> None:
        """Start a run: with its plan and cost first."""
        from kit.dashboard.screens.start import StartScreen

        self.app.push_screen(StartScreen(self._recipe().argument, self._profile, shlex.join(self.overrides)))

    def action_copy_recipe(self) -> None:
        """Copy the file, to edit it."""
        entry = self.current
        if entry is not None:
            name = entry.path.name if not entry.is_of_run else f"{entry.name}-of-run.toml"
            self.app.ask(
                f"Copy {entry.kind} {entry.name} to",
                partial(self._copy, entry),
                value=f"my-{name}",
                detail="a new .toml file: edit it, and it is checked here as soon as it is saved",
                check=partial(check_new_file, endings=(".toml",)),
            )

    def _copy(self, entry: Entry, answer: str) -> None:
        def copy() -> Path:
            target = copy_recipe(str(entry.path), user_path(answer).absolute())
            (load_recipe if entry.kind == "recipe" else load_profile)(str(target))
            return target

        self.in_thread(copy, self._was_copied, "copy")

    def _was_copied(self, target: Path) -> None:
        self._copied.append(target)
        self._at = target
        self.app.say(f"written and checked: {shown_path(target)}")
        self._look()
