// What a misspelt name was probably meant to be.

/// The known name closest to a misspelt one, if one is close. Two letters exchanged count as one mistake, capitals as none.
package func nearest(_ name: String, _ known: some Sequence<String>) -> String? {
  func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var cost = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), row[j] + 1, rows[i][j + 1] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, rows[i - 1][j - 1] + 1) }
        row.append(cost)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
  func letters(_ name: String) -> [UInt8] { Array(String(decoding: name.utf8.prefix(64), as: UTF8.self).lowercased().utf8) }
  let asked = letters(name)
  let limit = max(1, min(3, asked.count / 3))
  return known.map { ($0, distance(asked, letters($0))) }.filter { $0.1 <= limit }
    .min { ($0.1, $0.0) < ($1.1, $1.0) }?.0
}
