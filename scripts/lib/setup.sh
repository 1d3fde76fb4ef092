# shellcheck shell=bash
# What every script here shares: where things are, the system packages, and building. To be sourced by a script that
# has set `root` to the top of the checkout.

# Debian packages that Moongrad is built from and runs on, beside a Swift toolchain. libgcc-12-dev brings the link to
# OpenMP's libgomp, on which oneDNN runs; git, certificates and pkg-config are for Swift's package manager.
packages=(
  liblua5.4-dev libdnnl-dev libedit-dev libsleef-dev libmimalloc-dev liblapacke-dev zlib1g-dev
  libpng-dev libjpeg62-turbo-dev
  libc6-dev libgcc-12-dev libstdc++-12-dev binutils git ca-certificates pkg-config
)

# shellcheck disable=SC2154  # root: see above
build="$root/.build"
binary="$build/release/moongrad"
stamp="$build/moongrad.stamp"           # as old as the newest source that the binary was built from

say() { printf 'moongrad: %s\n' "$*" >&2; }

# fail SENTENCE: says it, and ends the script.
fail() {
  say "$@"
  exit 1
}

# Installs what is missing of `packages`. Where there is no Debian, says what is needed and leaves it to the build to
# find out.
install_packages() {
  local missing=() package log="$build/install.log" as_root=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [[ -e $build/foreign ]] && return
    say "this is no Debian; going on in the hope that the counterparts of these packages are there: ${packages[*]}"
    mkdir -p "$build" && : >"$build/foreign"
    return
  fi
  # Packages that never were on the machine are an error of dpkg-query's, which is no error here.
  local installed
  installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "these packages are missing and there is no sudo: as root, run  apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  mkdir -p "$build"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  # An update that fails may leave lists that are good enough, so only the installation decides.
  "${apt[@]}" update </dev/null >"$log" 2>&1 || true
  "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1 ||
    fail "could not install ${missing[*]}; the log is $log"
}

require_swift() {
  command -v swift >/dev/null ||
    fail "there is no Swift toolchain: install Swift 6.2 or newer from swift.org and put its 'swift' on the PATH"
}

# Whether a source is newer than the binary. A removed file makes its folder newer.
needs_build() {
  [[ ! -x $binary || ! -e $stamp ]] ||
    [[ -n $(find "$root/Package.swift" "$root/Sources" -newer "$stamp" -print -quit) ]]
}

# swift_build LOG ARGUMENTS…: runs `swift build`; a failure ends the script with the first error's line.
swift_build() {
  local log=$1 error
  shift
  if ! swift build --package-path "$root" "$@" </dev/null >"$log" 2>&1; then
    error=$(grep --max-count 1 'error:' "$log" | sed "s|$root/||") || true
    fail "the build failed${error:+ (${error#error: })}; the log is $log"
  fi
}

has_static_library() { [[ -d $(dirname -- "$(readlink -f -- "$(command -v swiftc)")")/../lib/swift_static ]]; }

# Links the binary once more, with Swift's library in it, where the toolchain has that library in this form: through a shared
# library's table every reference that is counted costs more, which makes a training step of small tensors a fifth longer. Such
# a binary also runs where there is no toolchain.
#
# The package manager's own `--static-swift-stdlib` compiles everything with another flag, under which no test can be built:
# what the tests in release take over from the binary would be compiled twice. So its link command is run with the one flag
# added, to a file beside the binary. Where that fails, the binary stays as it is.
link_swift_library() {
  local command argument previous="" arguments=() linked="$binary.linked"
  has_static_library || return 0
  command=$(grep --max-count 1 '"@[^"]*/moongrad.product/Objects.LinkFileList"' "$build/release.yaml") || return 0
  while IFS= read -r argument; do
    argument=${argument:1:-1}
    if [[ $previous == -o ]]; then argument=$linked; fi
    arguments+=("$argument")
    previous=$argument
  done < <(grep --only-matching '"[^"]*"' <<<"$command")
  if "${arguments[@]}" -static-stdlib >>"$build/build.log" 2>&1 ; then
    mv "$linked" "$binary"
  else
    rm -f "$linked"
    say "Swift's library could not be linked into the binary; see $build/build.log"
  fi
}

# Brings the binary up to date.
build_moongrad() {
  needs_build || return 0
  install_packages
  require_swift
  mkdir -p "$build"
  if [[ -x $binary ]]; then say "building, since the sources changed"; else say "building; the first time takes a few minutes"; fi
  # Sources that change during the build are newer than the stamp.
  : >"$stamp.new"
  swift_build "$build/build.log" --configuration release --product moongrad
  link_swift_library
  mv "$stamp.new" "$stamp"
}
