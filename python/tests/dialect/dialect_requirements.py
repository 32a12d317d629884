"""What the compliance suite may ask of the dialect: what SQLite has beyond what the suite takes for granted, and what a
store does not offer. Both lists are read by name; a requirement that is in neither is as the suite has it.
"""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

#: What the suite leaves out unless a dialect says that it has it.
OFFERED = """
    autocommit check_constraint_reflection computed_columns computed_columns_reflect_persisted computed_columns_stored
    computed_columns_virtual ctes ctes_on_dml ctes_with_update_delete date_historic datetime_historic datetime_literals
    datetime_microseconds deferrable_fks dialect_level_isolation_level_param empty_inserts_executemany
    foreign_key_constraint_option_reflection_ondelete get_isolation_level_values has_temp_table
    infinity_floats isolation_level json_array_indexes json_index_supplementary_unicode_element json_type
    multivalues_inserts on_update_cascade order_by_col_from_union precision_generic_float_type
    reflect_table_options reflects_pk_names regexp_match savepoints sql_expression_limit_offset temp_table_names temporary_views
    time_microseconds timestamp_microseconds tuple_in tuple_in_w_empty  unique_constraint_reflection
    unusual_column_name_characters views window_functions
"""

#: What the suite takes for granted, and the reason why it does not apply.
NOT_FOR_US = {
    "schemas": "a session sees the database of its cache and attaches no other",
    "unicode_ddl": "its tables have a foreign key on a column that is not unique, which SQLite refuses if it checks keys",
    "implicitly_named_constraints": "SQLite gives constraints no names",
    "parens_in_union_contained_select_w_limit_offset": "SQLite's grammar has no such parentheses",
    "parens_in_union_contained_select_wo_limit_offset": "SQLite's grammar has no such parentheses",
}


class Requirements(SuiteRequirements):
    """The answers."""


for _name in OFFERED.split():
    assert hasattr(SuiteRequirements, _name), _name
    setattr(Requirements, _name, property(lambda self: exclusions.open()))
for _name in NOT_FOR_US:
    setattr(Requirements, _name, property(lambda self: exclusions.closed()))
