//! The text of `--help` below the options.

pub(super) const ALL: &str = "\
Start with cacheness ls DIR to list the keys, and cacheness info DIR KEY to show an entry.
The directory is the first argument after the verb, or --dir, or CACHENESS_DIR, or ./cache.

Exit codes: 0 success, 1 failure, 2 invalid command line, 3 no such entry.
Data goes to standard output, messages go to standard error. NO_COLOR disables colour.";

pub(super) const LS: &str = "\
Examples:
  cacheness ls results --sort size -n 10
  cacheness ls --where 'accuracy >= 0.9 and params.model = ridge' --sort -accuracy
  cacheness ls --tag prod --where 'stage in [test, prod]' --older-than 7d
  cacheness ls --function trips -q | xargs cacheness rm";

pub(super) const INFO: &str = "\
Examples:
  cacheness info 3f2a
  cacheness info results 3f2a --head 20
  cacheness info 3f2a --verify --json";

pub(super) const STATS: &str = "\
Examples:
  cacheness stats results
  cacheness stats --json";

pub(super) const REPORT: &str = "\
Examples:
  cacheness report results --by model_type --by params.project
  cacheness report --by entry.storage_format --older-than 7d --json";

pub(super) const GET: &str = "\
Examples:
  cacheness get 3f2a
  cacheness get results 3f2a -o table.parquet";

pub(super) const PUT: &str = "\
Examples:
  cacheness put notes.txt --text model=ridge fold=3
  cacheness put results report.pdf --key report --metadata stage=prod --tag eu --ttl 7d";

pub(super) const QUERY: &str = "\
Examples:
  cacheness query \"SELECT data_type, count(*), sum(file_size) FROM entries GROUP BY data_type\"
  cacheness query results \"SELECT cache_key FROM entries WHERE params ->> 'model' = ?\" --param ridge --json
  cacheness query results - --csv < report.sql";

pub(super) const RM: &str = "\
Examples:
  cacheness rm 3f2a 51f1
  cacheness rm results --where 'params.model = ridge' --older-than 7d --dry-run
  cacheness rm results --function trips --yes";

pub(super) const VERIFY: &str = "\
Examples:
  cacheness verify results
  cacheness verify results --type array --json";

pub(super) const SEARCH: &str = "\
Examples:
  cacheness search 'fraud detect*'
  cacheness search results 'ridge OR lasso' --where 'accuracy > 0.9' -n 5";

pub(super) const INDEX: &str = "\
Examples:
  cacheness index add accuracy
  cacheness index add results --text
  cacheness index ls results";

pub(super) const TAG: &str = "\
Examples:
  cacheness tag add 3f2a prod eu
  cacheness tag remove results 3f2a eu
  cacheness tag ls";

pub(super) const CLEANUP: &str = "\
Example:
  cacheness cleanup results";

pub(super) const CLEAR: &str = "\
Examples:
  cacheness clear results
  cacheness clear results --yes";

pub(super) const CONFIG: &str = "\
Examples:
  cacheness config results
  CACHENESS_DEFAULT_TTL_SECONDS=3600 cacheness config --json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  cacheness completions bash > ~/.local/share/bash-completion/completions/cacheness
  cacheness completions zsh > \"${fpath[1]}/_cacheness\"
  cacheness completions fish > ~/.config/fish/completions/cacheness.fish";
