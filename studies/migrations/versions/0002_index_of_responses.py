"""An index of the answers to a page: without it every page of a person who is erased is looked for in all answers."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_responses_page_id", "responses", ["page_id"], unique=False)
