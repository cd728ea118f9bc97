"""One frame without a terminal: for scripts, CI, snapshots and the pictures in the README."""

import asyncio
from dataclasses import dataclass

from kit.dashboard.app import DashboardApp
from kit.dashboard.host import Options

PATIENCE = 30.0


@dataclass(frozen=True)
class Frame:
    """A frame as text, without trailing blanks, and as SVG."""

    text: str
    svg: str


def text_of(app: DashboardApp) -> str:
    """What the app shows now, as text: the lines that Textual would paint."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()).rstrip("\n")


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
            return Frame(text_of(app), app.export_screenshot(title="kit"))

    return asyncio.run(run())
