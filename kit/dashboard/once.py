"""One frame without a terminal: for scripts, CI, snapshots and the pictures in the README."""

import asyncio
import html
import re
from dataclasses import dataclass

from rich.cells import cell_len

from kit.dashboard.app import DashboardApp
from kit.dashboard.host import Options

PATIENCE = 30.0
_SVG_TEXT = re.compile(r'<text [^>]*x="([\d.]+)"[^>]*-line-(\d+)\)">([^<]*)</text>')
SVG_CELL = 12.2
"""Width of a character in Textual's pictures."""


@dataclass(frozen=True)
class Frame:
    """A frame as text, without trailing blanks, and as SVG."""

    text: str
    svg: str


def frame_of(app: DashboardApp) -> Frame:
    """What the app shows now."""
    svg = app.export_screenshot(title="kit")
    lines = [""] * app.size.height
    for x, line, text in _SVG_TEXT.findall(svg):
        before = lines[int(line)]
        gap = round(float(x) / SVG_CELL) - cell_len(before)
        lines[int(line)] = before + " " * gap + html.unescape(text).replace("\xa0", " ")
    return Frame("\n".join(line.rstrip() for line in lines).rstrip("\n"), svg)


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
