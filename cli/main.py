"""The `forebay` command and where each of its subcommands lives."""

from importlib import import_module

import click

from tasks import errors, secretfiles

# name -> "module:command". Imported only when asked for: `forebay up` stays
# running beside the models and should not hold an HTTP client or an ORM in memory.
COMMANDS = {
    "ask": "cli.client.ask:ask",
    "backup": "cli.operator.backup:backup",
    "batch": "cli.client.batch:batch",
    "cancel": "cli.client.cancel:cancel",
    "conformance": "cli.conformance.command:conformance",
    "demo": "cli.launcher.tour.demo:demo",
    "doctor": "cli.operator.doctor.command:doctor",
    "ingest": "cli.client.ingest:ingest",
    "jobs": "cli.client.jobs:jobs",
    "keys": "cli.operator.keys:keys",
    "migrate": "cli.operator.migrate:migrate",
    "models": "cli.operator.models:models",
    "requeue": "cli.operator.requeue:requeue",
    "restore": "cli.operator.restore:restore",
    "run": "cli.client.run:run",
    "search": "cli.client.search:search",
    "status": "cli.client.status:status",
    "submit": "cli.client.submit:submit",
    "summarize": "cli.client.summarize:summarize",
    "tenants": "cli.operator.tenants:tenants",
    "up": "cli.launcher.up:up",
    "usage": "cli.operator.usage:usage",
    "watch": "cli.client.watch:watch",
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all subcommands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The subcommand of that name, imported now; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="forebay", message="forebay %(version)s")
def main() -> None:
    """Forebay: inference jobs for models you run yourself."""
    try:
        secretfiles.require()
    except errors.SettingsError as error:
        raise click.ClickException(str(error)) from error
