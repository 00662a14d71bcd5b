"""``aetl completion bash|zsh|fish``: the shell completes commands, groups, options and keys."""

from __future__ import annotations

from aetl.config import ConfigError, nearest

BASH = """\
_aetl() {
  local line=${COMP_LINE:0:COMP_POINT} full part reply
  full=${line##*[[:space:]]}
  part=${full##*[=:@]}  # bash replaces what stands after these alone
  COMPREPLY=()
  while IFS= read -r reply; do
    COMPREPLY+=("${reply:${#full}-${#part}}")
  done < <("${COMP_WORDS[0]}" _complete "$line" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o bashdefault -o default -F _aetl aetl
"""
ZSH = """\
#compdef aetl
_aetl() {
  local -a found
  found=(${(f)"$($words[1] _complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -Q -S '' -- $found; else _files; fi
}
compdef _aetl aetl
"""
FISH = """\
complete -c aetl -a '(aetl _complete (commandline -cp) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
WHERE = {
    "bash": "echo 'eval \"$(aetl completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(aetl completion zsh)\"' >> ~/.zshrc",
    "fish": "aetl completion fish > ~/.config/fish/completions/aetl.fish",
}


def main(arguments: list[str]) -> int:
    """Print the script that teaches a shell to complete ``aetl``."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("usage: aetl completion bash|zsh|fish\n\nPrints a script. To have it always:\n")
        print("\n".join(f"  {line}" for line in WHERE.values()))
        return 0 if arguments else 2
    script = SCRIPTS.get(arguments[0])
    if script is None:
        raise ConfigError(f"completion {arguments[0]}: {nearest(arguments[0], SCRIPTS)}")
    print(script, end="")
    return 0
