"""Starting a run: choose, see what it will cost, start."""

import shlex

from textual import getters, on, work
from textual.app import ComposeResult
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Select, Static

from kit.dashboard.bindings import bindings
from kit.dashboard.host import Host
from kit.dashboard.widgets.plan_table import PLAN_COLUMNS, plan_rows, plan_summary
from kit.dashboard.widgets.table import Cell, VirtualTable
from kit.errors import KitError
from kit.recipe import profile_names, recipe_names
from kit.watch.processes import run_json
from kit.watch.run_actions import recipe_arguments


class StartScreen(ModalScreen[None]):
    """A form, its plan, and a button that only works for what was planned."""

    app = getters.app(Host)
    BINDINGS = bindings("start")
    AUTO_FOCUS = "#start-recipe"

    def __init__(self, recipe: str = "full", profile: str = "nano", overrides: str = "") -> None:
        super().__init__()
        self.recipe = recipe
        self.profile = profile
        self.overrides = overrides
        self._planned: list[str] | None = None
        self._run: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="start"):
            yield Static("Start a run", classes="dialog-title", markup=False)
            with Grid(id="start-form"):
                yield Label("recipe")
                yield _choice("start-recipe", recipe_names(), self.recipe)
                yield Label("profile")
                yield _choice("start-profile", profile_names(), self.profile)
                yield Label("seed")
                yield Input("0", id="start-seed", type="integer", compact=True)
                yield Label("data")
                yield Input(placeholder="the profile's own", id="start-data", compact=True)
                yield Label("pool")
                yield Input(placeholder="drawn by the profile", id="start-pool", compact=True)
                yield Label("set")
                yield Input(
                    self.overrides, placeholder="phases.D1.epochs=3 profile.pool.size=100", id="start-set", compact=True
                )
            yield Static("", id="start-status", markup=False)
            yield VirtualTable(PLAN_COLUMNS, id="start-plan")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Plan", id="start-plan-button", variant="primary", compact=True)
                yield Button("Start", id="start-button", variant="success", compact=True, disabled=True)
                yield Button("Cancel", id="start-cancel", compact=True)

    def on_mount(self) -> None:
        """Say what to do first."""
        self._say("Plan it first: one step is timed here, which takes some seconds.", "$text-muted")

    # The form

    def arguments(self) -> list[str]:
        """The command's arguments. Raises `KitError` when the form makes no sense."""
        recipe, profile = (str(self.query_one(f"#start-{name}", Select).value) for name in ("recipe", "profile"))
        seed, data, pool, overrides = (
            self.query_one(f"#start-{name}", Input).value.strip() for name in ("seed", "data", "pool", "set")
        )
        if not (seed.isascii() and seed.isdecimal()):
            raise KitError(f"the seed must be a whole number from 0 on, not {seed!r}")
        try:
            words = shlex.split(overrides)
        except ValueError as error:
            raise KitError(f"set: {error}") from error
        options = {"seed": seed, "data": data or None, "pool": pool or None}
        return recipe_arguments(recipe, profile, self.app.runs_folder, overrides=words, **options)

    @on(Input.Changed)
    @on(Select.Changed)
    def _changed(self) -> None:
        # A plan is about what was planned.
        if self._planned is not None:
            self._planned = None
            self._show_rows([])
            self.query_one("#start-button", Button).disabled = True
            self._say("Changed: plan it again.", "$text-muted")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_plan()

    # Planning

    @on(Button.Pressed, "#start-plan-button")
    def action_plan(self) -> None:
        """Ask `kit` what this run would cost."""
        try:
            arguments = self.arguments()
        except KitError as error:
            self._say(str(error), "$text-error")
            return
        self._say("Planning: reading data, timing one step ...", "$text-accent")
        self._plan(arguments)

    @work(exclusive=True, group="plan")
    async def _plan(self, arguments: list[str]) -> None:
        try:
            plan = await run_json([*arguments, "--dry-run"])
        except KitError as error:
            self._say(f"{error}\n{error.hint or ''}".strip(), "$text-error")
            return
        self._planned, self._run = arguments, str(plan.get("run"))
        self._show_rows(plan_rows(plan))
        self._say(plan_summary(plan), "$text-success")
        button = self.query_one("#start-button", Button)
        button.disabled = False
        button.focus()

    def _show_rows(self, rows: list[list[Cell]]) -> None:
        self.query_one("#start-plan", VirtualTable).set_rows(rows, list, cursor=0)

    def _say(self, text: str, style: str) -> None:
        self.query_one("#start-status", Static).update(Content.styled(text, style))

    # Starting

    @on(Button.Pressed, "#start-button")
    def action_start(self) -> None:
        if self._planned is None:
            self._say("Plan it first.", "$text-warning")
            return
        label = f"{self._planned[2]} on {self._planned[4]}"
        if self.app.start_kit(label, *self._planned, run=self._run) is not None:
            self.dismiss()
            self.app.show("runs")

    @on(Button.Pressed, "#start-cancel")
    def action_cancel(self) -> None:
        self.dismiss()


def _choice(name: str, options: list[str], chosen: str) -> Select[str]:
    shown = options if chosen in options else [chosen, *options]
    return Select([(Content(option), option) for option in shown], value=chosen, allow_blank=False, id=name, compact=True)
