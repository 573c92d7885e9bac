"""What alembic runs; ``store.open_store`` hands it the connection."""

from alembic import context

from studies.store import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
