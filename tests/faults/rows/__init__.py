"""The rows by the numbers of the catalogue of faults, those that tell most first."""

from tests.faults.ground import Row
from tests.faults.rows import clocks, databases, failpoints, floods, kills, mix, proofs, redises

ALL: dict[str, Row] = {
    "F06": failpoints.every_failpoint,
    "F02": kills.worker_in_the_middle,
    "F03": kills.host_in_the_middle,
    "F01": kills.idle_worker_with_a_message,
    "F05": kills.zombie,
    "F07": redises.killed,
    "F08": redises.emptied,
    "F09": redises.away,
    "F10": redises.clients_killed,
    "F11": redises.frozen,
    "F12": redises.half_open,
    "F14": databases.cut_off,
    "F15": databases.restarted,
    "F16": databases.away,
    "F18": databases.locked,
    "F19": databases.commits_unanswered,
    "F20": redises.disk_full,
    "F21": databases.disk_full,
    "F23": clocks.jumps,
    "F24": redises.memory_full,
    "F25": floods.queue_and_cancels,
    "F26": floods.messages_by_tens,
    "F32": floods.cancel_and_end,
    "F33": floods.readers_come_and_go,
    "F34": floods.unread,
    "F35": floods.slow_senders,
    "F36": floods.gone_clients,
    "TENK": floods.ten_thousand,
    "F30": kills.deploy,
    **proofs.ROWS,
    "BUSY": kills.busy_loops,
    "MIX": mix.random_mix,
}
