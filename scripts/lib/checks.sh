# shellcheck shell=bash
# Rules of the sources that no compiler checks. Each function prints the places that break its rule.

# Lua raises errors by longjmp, which must not cross a Swift frame. So Swift calls only functions that never raise, which
# are these (lua_tolstring: on strings; only on numbers it allocates); all others are called in the C target CLuaShim.
# Comments may name what they like.
raising_calls() {
  local raw='lua_(gettop|settop|absindex|copy|rotate|pushnil|pushboolean|pushinteger|pushnumber|pushlightuserdata|pushvalue'
  raw+='|type|typename|is[a-z]+|tointegerx|tonumberx|toboolean|tothread|touserdata|topointer|tolstring|rawget|rawgeti|rawgetp'
  raw+='|rawlen|rawequal|getmetatable|setmetatable|checkstack|pcallk|resume|status|sethook|gethook|getstack|setupvalue|version)'
  raw+='|luaL_(unref|loadbufferx)'
  { grep --recursive --line-number --extended-regexp --include='*.swift' '\bluaL?_[a-z]+\b' Sources || true; } |
    sed --regexp-extended "/^[^:]+:[0-9]+: *\/\//d; h; s/^[^:]+:[0-9]+://; s/\b($raw)\b//g; /\bluaL?_[a-z]+\b/!d; g"
}

format_lint() {
  swift format lint --strict --parallel --recursive Package.swift Sources Tests scripts/host/Package.swift scripts/host/Sources 2>&1
}

# The command starts and runs faster with Swift's library in it, which does not hold all of Foundation: see link_swift_library.
swift_libraries() {
  # shellcheck disable=SC2154  # binary: see setup.sh
  if has_static_library; then ldd "$binary" | grep --ignore-case 'swift\|foundation' || true; fi
}
