# shellcheck shell=bash
# Tests in release, of what the release binary was built from.

# shellcheck disable=SC2154  # build, root: see setup.sh
release_tests="$build/release-tests/run"

# link_release_tests TESTS TARGET…: makes the program `release_tests` of a test target and all targets that it is built on.
#
# Swift's package manager has one program for all test targets, and builds it with other flags than the binary, since some
# import modules as @testable: four minutes. So it is asked for the one target alone, which takes the objects of the binary as
# they are, and these are linked here.
link_release_tests() {
  local target object name folder="${release_tests%/*}" log="$build/release-tests.log" objects=()
  swift_build "$log" --configuration release --target "$1"
  for target; do
    while IFS= read -r object; do
      # The object of a source that is gone stays in the folder. The build writes some sources itself.
      name=${object##*/}
      if [[ -n $(find "$root/Sources" "$root/Tests" "$build/plugins/outputs" "$build/release/$target.build/DerivedSources" \
        \( -path "*/$target/*" -o -path '*/DerivedSources/*' \) -name "${name%.o}" -print -quit 2>/dev/null) ]]; then objects+=("$object"); fi
    done < <(find "$build/release/$target.build" -name '*.o')
  done
  mkdir -p "$folder"
  printf 'import Testing\nawait Testing.__swiftPMEntryPoint() as Never\n' >"$folder/main.swift"
  swiftc -o "$release_tests" "$folder/main.swift" "${objects[@]}" -lsleef -lm -llua5.4 -ldnnl -lgomp -lz >>"$log" 2>&1 ||
    fail "the tests could not be linked in release; the log is $log"
}

# The same of EnduranceTests, which hold all that a host has.
link_endurance_tests() {
  link_release_tests EnduranceTests Moongrad Bindings LuaRuntime CLuaShim CProcesses Training Files CImages Tensors CKernels CContext
}
