"""The first tables."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("responses", "events")


def upgrade() -> None:
    op.create_table(
        "studies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("definition_sha256", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("registration", sa.String(), nullable=False),
        sa.Column("stimuli_sha256", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        *_on_every_row(),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
    )
    op.create_table(
        "participants",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("slot_number", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("piano_roll", sa.Boolean(), nullable=False),
        sa.Column("page_id", sa.Integer(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_sha256", sa.String(), nullable=True),
        sa.Column("background", sa.JSON(), nullable=True),
        sa.Column("sound", sa.JSON(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completion_code", sa.String(), nullable=True),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_participants_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_participants"),
        sa.UniqueConstraint("code", name="uq_participants_code"),
        sa.UniqueConstraint("token_hash", name="uq_participants_token_hash"),
    )
    op.create_index("ix_participants_study_id", "participants", ["study_id"], unique=False)
    op.create_table(
        "stimuli",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("audio", sa.String(), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_stimuli_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_stimuli"),
        sa.UniqueConstraint("study_id", "system", "item", "variant", name="uq_stimuli_study_id_system_item_variant"),
    )
    op.create_table(
        "external_ids",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id_hash", sa.String(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_external_ids_participant_id"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_external_ids_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_external_ids"),
        sa.UniqueConstraint("study_id", "kind", "id_hash", name="uq_external_ids_study_id_kind_id_hash"),
    )
    op.create_index("ix_external_ids_participant_id", "external_ids", ["participant_id"], unique=False)
    op.create_table(
        "free_texts",
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_free_texts_participant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_free_texts"),
        sa.UniqueConstraint("participant_id", "field", name="uq_free_texts_participant_id_field"),
    )
    op.create_table(
        "slots",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("cells", sa.JSON(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=True),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_slots_participant_id"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_slots_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_slots"),
        sa.UniqueConstraint("participant_id", name="uq_slots_participant_id"),
        sa.UniqueConstraint("study_id", "simulated", "number", name="uq_slots_study_id_simulated_number"),
    )
    op.create_table(
        "trials",
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("stimuli", sa.JSON(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_trials_participant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("participant_id", "number", name="uq_trials_participant_id_number"),
    )
    op.create_table(
        "pages",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("pass_number", sa.Integer(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name="fk_pages_trial_id"),
        sa.PrimaryKeyConstraint("id", name="pk_pages"),
        sa.UniqueConstraint("key", name="uq_pages_key"),
    )
    op.create_index("ix_pages_trial_id", "pages", ["trial_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("page_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["page_id"], ["pages.id"], name="fk_events_page_id"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("page_id", "sequence", name="uq_events_page_id_sequence"),
    )
    op.create_table(
        "responses",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("page_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("heard", sa.JSON(), nullable=False),
        *_on_every_row(),
        sa.ForeignKeyConstraint(["page_id"], ["pages.id"], name="fk_responses_page_id"),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name="fk_responses_trial_id"),
        sa.PrimaryKeyConstraint("id", name="pk_responses"),
        sa.UniqueConstraint("trial_id", "question", name="uq_responses_trial_id_question"),
    )
    for table in APPEND_ONLY:
        _refuse_updates(table)


def _on_every_row() -> Iterator[sa.Column]:
    yield sa.Column("id", sa.Integer(), nullable=False)
    yield sa.Column("created_at", sa.DateTime(timezone=True), nullable=False)
    yield sa.Column("app_version", sa.String(), nullable=False)
    yield sa.Column("schema_version", sa.Integer(), nullable=False)


def _refuse_updates(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()"
    )
