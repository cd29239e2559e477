"""The rows by the numbers of the catalogue of faults, those that tell most first."""

from tests.faults.ground import Row
from tests.faults.rows import failpoints, kills

ALL: dict[str, Row] = {
    "F06": failpoints.every_failpoint,
    "F02": kills.worker_in_the_middle,
    "F03": kills.host_in_the_middle,
    "F01": kills.idle_worker_with_a_message,
    "F05": kills.zombie,
    "F30": kills.deploy,
    "BUSY": kills.busy_loops,
}
