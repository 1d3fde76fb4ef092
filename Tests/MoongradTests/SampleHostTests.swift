// The game in scripts/host, which checks what its story tells.

import Testing

@Suite struct SampleHostTests {
  @Test func theStoryHolds() throws {
    let folder = command[...(command.lastIndex(of: "/") ?? command.startIndex)]
    let game = try run([folder + "SampleHost"])
    #expect(game.status == 0, "\(game.errors)")
    #expect(game.output.split(separator: "✓").count == 8 && !game.output.contains("✗"), "\(game.output)")
  }
}
