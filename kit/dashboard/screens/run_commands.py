"""Stopping and continuing, for every screen that shows a run."""

from functools import partial

from kit.dashboard.screens.base import KitScreen
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.watch.run_actions import continue_arguments, stop_run


class RunCommands(KitScreen):
    """Override `commanded`."""

    def commanded(self) -> tuple[RunDirectory, str, int | None] | None:
        """The run that commands are about, its status, and the process that its log names."""
        raise NotImplementedError

    def action_stop(self) -> None:
        commanded, app = self.commanded(), self.app
        if commanded is None:
            return
        run, _, pid = commanded

        def stop() -> None:
            def told(pid: int) -> None:
                app.say(f"asked process {pid} to stop; it saves its state first")

            self.in_thread(partial(stop_run, run, pid), told, "action")

        detail = "Its process saves its state and ends. Continue it at any time: nothing is lost."
        app.confirm(f"Stop run {run.id}?", stop, detail=detail, yes="Stop")

    def action_continue(self) -> None:
        commanded, app = self.commanded(), self.app
        if commanded is None:
            return
        run, status, _ = commanded

        def arguments() -> list[str]:
            if status in ("running", "finished"):
                raise KitError(f"run {run.id} is {status}: there is nothing to continue")
            return continue_arguments(run, app.runs_folder)

        self.in_thread(arguments, lambda words: app.start_kit(f"continue {run.id}", *words), "action")
