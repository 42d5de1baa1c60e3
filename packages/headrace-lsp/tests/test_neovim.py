"""The configuration on the page about editors, in Neovim itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edited_shop import FILES, edited_shop

PAGE = Path(__file__).parents[3] / "docs/how-to/editor.md"
STORY = """
local function wait(what, found)
  if not vim.wait(60000, found, 50) then print(what .. " never came") vim.cmd("cquit!") end
end
local function problems() return vim.diagnostic.get(0) end
wait("a problem", function()
  if #problems() == 0 then vim.cmd("silent! 7s/o.amount/o.amont/") end
  return #problems() > 0
end)
print("red: " .. problems()[1].lnum + 1 .. " " .. problems()[1].message:match("[^\\n]*"))
print("file: " .. vim.fn.readfile("assets/clean.sql")[7])
vim.cmd("7s/o.amont/o.amount/")
wait("the end of it", function() return #problems() == 0 end)
vim.fn.cursor(7, 62)
local place = vim.lsp.util.make_position_params()
for _, answer in pairs(vim.lsp.buf_request_sync(0, "textDocument/completion", place, 60000)) do
  print("fits: " .. table.concat(vim.tbl_map(function(row) return row.label end, answer.result), " "))
end
vim.fn.cursor(8, 7)
vim.lsp.buf.rename("sold")
wait("the rename", function() return vim.fn.search("from sold", "n") > 0 end)
wait("the move", function() return vim.fn.filereadable("contracts/sold.odcs.yaml") == 1 end)
vim.cmd("silent! wall")
vim.cmd("qa!")
"""


@pytest.mark.skipif(shutil.which("nvim") is None, reason="needs Neovim")
@pytest.mark.long
def test_the_configuration_of_the_page_works_in_neovim(tmp_path: Path) -> None:
    """Would catch: a page with a configuration that nobody has typed, and answers that only the
    client of the tests understands."""
    root = edited_shop(tmp_path / "shop")
    [configuration] = re.findall(r"```lua\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "init.lua").write_text(configuration)
    (tmp_path / "story.lua").write_text(STORY)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            *("nvim", "--headless", "-n", "-u", tmp_path / "init.lua", "assets/clean.sql"),
            *("-c", f"luafile {tmp_path / 'story.lua'}"),
        ],
        cwd=root,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "red: 7 unknown column `amont`" in said
    assert f"file: {FILES['assets/clean.sql'].splitlines()[6]}" in said
    assert "fits: order_id day customer amount" in said
    assert "source: sold" in (root / "sources/orders.yaml").read_text()
    assert "from sold o" in (root / "assets/clean.sql").read_text()
    assert "sold: [{order_id: 1" in (root / "tests/clean.yaml").read_text()
