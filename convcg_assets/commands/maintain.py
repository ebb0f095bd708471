"""`convcg maintain`: old files of the lake go, but never one that a kept model was trained on."""

from dataclasses import asdict

import click

from convcg_assets.builds.cleanup import KEEP_DAYS, clean
from convcg_assets.builds.served_files import remove_old_features
from convcg_assets.commands.console import json_option, open_console, print_json, say, working
from convcg_assets.deployment import current_deployment


@click.command()
@click.option(
    "--keep-days", type=int, metavar="N", default=KEEP_DAYS, help="Days that replaced files stay."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def command(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Remove old files of the lake that no kept model was trained on.

    The current rows stay, whatever was replaced lately, and every version of a table that a model
    in the models folder records. Of registered models the bundles of the newest stay, of those that
    served last, and in any case of the champion (settings: promotion.keep_bundles).

    \b
    Example:
      convcg maintain --dry-run
    """
    from convcg_assets.defs.registry import Registry

    console, deployment = open_console(as_json=as_json), current_deployment()
    with working(console, "looking for old files" if dry_run else "removing old files"):
        cleaned = clean(deployment, keep_days=keep_days, dry_run=dry_run)
        features = remove_old_features(deployment, dry_run=dry_run)
        keep = deployment.settings.promotion.keep_bundles
        bundles = Registry(deployment).remove_old(keep=keep, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "tables": [asdict(done) for done in cleaned],
                "features": features,
                "bundles": [model.version for model in bundles],
            }
        )
        return
    for done in cleaned:
        kept = f", versions of models kept: {done.kept_versions}" if done.kept_versions else ""
        say(console, f"{done.table}: {done.num_files} files, {done.num_facts} facts{kept}")
    say(console, f"features of {len(features)} days, bundles of {len(bundles)} registered models")
