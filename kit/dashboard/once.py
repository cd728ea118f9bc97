"""One frame without a terminal: for scripts, CI, snapshots and the pictures in the README."""

import asyncio
import io
from dataclasses import dataclass

from rich.console import Console

from kit.dashboard.app import DashboardApp, Options

PATIENCE = 30.0


@dataclass(frozen=True)
class Frame:
    """A frame as text, without trailing blanks, and as SVG."""

    text: str
    svg: str


def frame_of(app: DashboardApp) -> Frame:
    """What the app shows now."""
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    console.print(app.screen._compositor.render_update(full=True, screen_stack=app._background_screens))
    text = console.export_text(styles=False, clear=False)
    lines = [line.rstrip() for line in text.splitlines()[:height]]
    return Frame("\n".join(lines).rstrip("\n"), app.export_screenshot(title="kit"))


def render_once(options: Options, size: tuple[int, int], *, press: tuple[str, ...] = ()) -> Frame:
    """Start the app headless, wait until everything on the disk is shown, press keys, and take a frame."""

    async def run() -> Frame:
        app = DashboardApp(options)
        async with app.run_test(size=size) as pilot:
            deadline = asyncio.get_running_loop().time() + PATIENCE

            async def settle() -> None:
                await pilot.pause()
                while not app.is_settled and asyncio.get_running_loop().time() < deadline:
                    await pilot.pause(0.02)

            await settle()
            for key in press:
                await pilot.press(key)
                await settle()
            await pilot.pause(0.05)
            return frame_of(app)

    return asyncio.run(run())
