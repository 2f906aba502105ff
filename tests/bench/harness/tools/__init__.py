"""The tools, in the order of the table. To add one: a file beside this one, and a line here."""

from harness.tools.alembic import Alembic
from harness.tools.cutover import Cutover
from harness.tools.dbmate import Dbmate
from harness.tools.diesel import Diesel
from harness.tools.refinery import Refinery
from harness.tools.sqitch import Sqitch
from harness.tools.tool import Tool
from harness.tools.yoyo import Yoyo


def all_tools() -> list[Tool]:
    """Ours first, then the peers."""
    return [Cutover(), Diesel(), Dbmate(), Refinery(), Yoyo(), Alembic(), Sqitch(verify=False), Sqitch(verify=True)]
