# Completion of cacheness in fish. The command itself provides the candidates: cacheness __complete.

function __cacheness_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    $words[1] __complete -- $words "$current" 2>/dev/null
end

complete --command cacheness --no-files --keep-order --arguments '(__cacheness_complete)'
