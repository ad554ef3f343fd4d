"""The entry point, and the table of commands.

``entrepot serve`` has to answer soon after it is started, and ``entrepot --help`` is read by people who wait: so a
command's module is imported when the command is called, by its name in the table, and the help comes from the table.
"""

import importlib
import sys
from typing import NamedTuple

import click

from node.cli.failures import Failed, WrongUsage, failure
from node.cli.options import examples
from protocol.errors import EntrepotError, Refusal


class Row(NamedTuple):
    """Where a command is."""

    module: str
    attribute: str
    help: str  # The first line of the command's own.


COMMANDS = {
    "serve": Row("node.cli.serve", "serve", "Start a node."),
    "init": Row("node.cli.identity", "init", "Make the first node of an account."),
    "invite": Row("node.cli.identity", "invite", "Make a token with which another node joins."),
    "join": Row("node.cli.identity", "join", "Make a node of an account that exists."),
    "authority": Row("node.cli.identity", "authority", "The authority of this account."),
    "trust": Row("node.cli.trust", "trust", "Accounts that this one trusts."),
    "repo": Row("node.cli.images", "repo", "Repositories."),
    "tag": Row("node.cli.images", "tag", "Tags."),
    "image": Row("node.cli.images", "image", "Images."),
    "collect": Row("node.cli.images", "collect", "Free at once what nothing needs any more."),
    "du": Row("node.cli.images", "du", "Show what takes how much room."),
    "backup": Row("node.cli.backup", "backup", "Back up a node, running or stopped."),
    "restore": Row("node.cli.restore", "restore", "Make a data directory out of a backup."),
    "check": Row("node.cli.check", "check", "Prove that a store is as it has to be."),
    "scrub": Row("node.cli.scrub", "scrub", "Read and compare all that is stored, and mend it."),
    "replication": Row("node.cli.replication", "replication", "Replication to other registries."),
    "pull-through": Row("node.cli.pullthrough", "pull_through", "Repositories that are pulled through."),
    "events": Row("node.cli.events", "events", "What happened: events, from any position."),
    "webhook": Row("node.cli.webhooks", "webhook", "Webhooks: who is told of what happens."),
    "user": Row("node.cli.users", "user", "Users, their groups, passwords and policies."),
    "group": Row("node.cli.groups", "group", "Groups of users."),
    "role": Row("node.cli.roles", "role", "Roles, which others assume."),
    "issuer": Row("node.cli.issuers", "issuer", "OpenID issuers whose tokens open sessions of roles."),
    "key": Row("node.cli.keys", "key", "Access keys of users."),
    "policy": Row("node.cli.policy", "policy", "Policies: kept, attached, checked, and what they decide."),
    "audit": Row("node.cli.audit", "audit", "Who did what."),
    "kms": Row("node.cli.kms", "kms", "KMS keys: keys of this registry under which repositories are encrypted."),
    "master-key": Row(
        "node.cli.kms",
        "master_key",
        "The node's master key, under which all its other keys are kept (identity/master.key).",
    ),
    "peer": Row("node.cli.peers", "peer", "Other nodes."),
    "read-only": Row("node.cli.readonly", "read_only", "Refuse changes of content for a while."),
    "doctor": Row("node.cli.doctor", "doctor", "Look at all that a node depends on, and say what to do."),
    "top": Row("node.cli.top", "top", "Show what the node does at the moment."),
    "reload": Row("node.cli.reload", "reload", "Take over a changed configuration and certificate."),
    "config": Row("node.cli.config", "config", "The configuration."),
    "version": Row("node.cli.version", "version", "Show the version."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:  # type: ignore[explicit-override]  # 3.12 has it.
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(  # type: ignore[explicit-override]  # 3.12 has it.
        self, _ctx: click.Context, cmd_name: str
    ) -> click.Command | None:
        """Import the command."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command: click.Command = getattr(importlib.import_module(row.module), row.attribute)
        return command

    def format_commands(  # type: ignore[explicit-override]  # 3.12 has it.
        self, _ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:  # type: ignore[explicit-override]  # 3.12 has it.
        """Run the command; what entrepot raises on purpose becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            raise failure(refusal.status, str(refusal)) from refusal
        except EntrepotError as error:
            raise Failed(str(error)) from error


REMOTE = frozenset({"user", "group", "role", "issuer", "key", "policy", "audit", "peer"})
"""Commands that can be for a node elsewhere."""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "entrepot serve --data a --listen 127.0.0.1:5000",
        "entrepot repo ls --data a",
        "entrepot image inspect library/nginx:1.27 --data a --json",
        "ENTREPOT_ENDPOINT=https://registry.example entrepot user ls",
    ),
)
@click.option(
    "--endpoint",
    envvar="ENTREPOT_ENDPOINT",
    metavar="URL",
    help="Ask the node there, with the access key of the environment or of ~/.aws, and not that of --data: "
    f"for {', '.join(sorted(REMOTE))}.",
)
@click.pass_context
def entrepot(context: click.Context, endpoint: str | None) -> None:
    """A container registry for people with more than one site.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no node is running, 4 not found, 5 refused.
    """
    command = context.invoked_subcommand
    if endpoint is None:
        return
    if command in REMOTE:
        context.obj = {"endpoint": endpoint}
    elif context.get_parameter_source("endpoint") is click.core.ParameterSource.COMMANDLINE:
        raise WrongUsage(f"{command} works on this machine alone; --endpoint is for {', '.join(sorted(REMOTE))}")


def main() -> None:
    """Run the command line and exit."""
    entrepot(prog_name="entrepot", args=sys.argv[1:])
