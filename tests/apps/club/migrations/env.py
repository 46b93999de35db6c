"""What Flask-Migrate has written, without its offline mode."""

import logging
from logging.config import fileConfig

from alembic import context
from flask import current_app

config = context.config
fileConfig(config.config_file_name)
logger = logging.getLogger("alembic.env")


def process_revision_directives(context, revision, directives):
    if getattr(config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives[:] = []
        logger.info("No changes in schema detected.")


migrate = current_app.extensions["migrate"]
arguments = {"process_revision_directives": process_revision_directives, **migrate.configure_args}
with migrate.db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=migrate.db.metadata, **arguments)
    with context.begin_transaction():
        context.run_migrations()
